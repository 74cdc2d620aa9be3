// The agent's side of the conversation with its node's application: the application polls for commands and reports;
// what it was told stays here until it says how it went, and is told again when it connects anew.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "log/protocol/control_messages.h"
#include "log/rpc/event_loop.h"
#include "log/rpc/services.h"
#include "understudy/status.h"

namespace understudy {

inline constexpr size_t kAppCommandsMax = 64;      // for the application, without a result yet
inline constexpr int64_t kAppSilenceMsMax = 1000;  // without a word for so long it counts as hung
inline constexpr uint32_t kAppPollMsMax = 500;     // an application that lives is heard at least so often

// Strand of the loop held for every call and callback.
class AppLink final : public AgentServiceHandler {
 public:
  struct Hooks {
    // Whether this process is the node's application. Not ok: it is told so, and nothing it says is taken.
    std::function<Status(const AppReport&)> admit;
    // The application said something. `urgent`: more than progress, the coordinator should hear of it at once.
    std::function<void(bool urgent)> heard;
    std::function<void(CommandResult)> result;
  };
  AppLink(EventLoop* loop, Hooks hooks);
  ~AppLink() override;

  void AppNextCommand(uint64_t connection, AppReport report, uint32_t wait_ms,
                      Reply<NextCommandResponse> reply) override;
  void AppReported(uint64_t connection, AppReport report, Reply<NextCommandResponse> reply) override;
  void OnDisconnect(uint64_t connection) override;

  // Hands a command on, now or when the application connects. Its result comes by the hook, at the latest when the
  // process ends. The same id again is ignored.
  void Send(const Command& command);
  // The process is gone: unfinished commands fail with kUnavailable and `reason`.
  void ProcessEnded(const std::string& reason);

  // What it last said; null when it is not connected, or was not heard for kAppSilenceMsMax.
  const AppReport* report() const;

 private:
  struct Pending {
    Command command;
    bool delivered = false;  // on the present connection
  };
  Status Take(uint64_t connection, AppReport report);
  void Deliver();
  void AnswerPoll(const Command& command);
  void WatchSilence();

  EventLoop* loop_;
  Hooks hooks_;
  uint64_t connection_ = 0;  // 0: none
  bool has_report_ = false;
  AppReport report_;
  Instant heard_at_;
  std::deque<Pending> pending_;
  Reply<NextCommandResponse> poll_;  // waits for a command
  EventLoop::TimerId poll_timer_ = 0;
  EventLoop::TimerId silence_timer_ = 0;
};

}  // namespace understudy

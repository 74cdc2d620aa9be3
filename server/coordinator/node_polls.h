// The agents' long polls and the commands that wait for them: a queue a node. A command that is sent again (same id)
// replaces the one still waiting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "log/rpc/event_loop.h"
#include "log/rpc/services.h"

namespace understudy::coordinator {

// Strand held for every call.
class NodePolls {
 public:
  static constexpr size_t kQueueMax = 64;  // a node; beyond it the oldest goes: the core sends it again
  static constexpr uint32_t kWaitMsMax = 30'000;

  explicit NodePolls(EventLoop* loop) : loop_(loop) {}
  ~NodePolls() { Stop(); }

  // The node asked again, perhaps over a new connection: what an older poll was told would be lost, so it is ended.
  void Supersede(const std::string& node);
  // Answered with the first command of the node's queue, or with SetIdle's answer after `wait_ms`.
  void Poll(const std::string& node, uint32_t wait_ms, Reply<NextCommandResponse> reply);
  void Send(const std::string& node, Command command);
  bool Waits(const std::string& node) const;
  // What polls get that were waited for in vain. At first kNone.
  void SetIdle(NextCommandResponse idle) { idle_ = std::move(idle); }
  // Answers all polls with it and forgets all commands.
  void AnswerAll(const NextCommandResponse& response);
  void ForgetCommands();
  // Answers all polls with kUnavailable.
  void Stop();

 private:
  struct Waiting {
    Reply<NextCommandResponse> reply;
    EventLoop::TimerId timer = 0;
  };
  struct Node {
    std::deque<Command> queue;
    std::map<uint64_t, Waiting> polls;  // one at most, but for the moment it is answered
  };
  void Answer(Node& node, NextCommandResponse response);

  EventLoop* const loop_;
  uint64_t next_poll_ = 0;
  NextCommandResponse idle_;
  std::map<std::string, Node> nodes_;
};

}  // namespace understudy::coordinator

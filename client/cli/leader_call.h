// One call of an operator's to the coordinator that leads, found among several: those that stand by say where it is,
// one that does not answer is passed by, and a change of the leader is waited for.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"

namespace understudy::cli {

// Strand held for every call and callback.
class LeaderCall : public std::enable_shared_from_this<LeaderCall> {
 public:
  static constexpr int64_t kTryMs = 200;        // between two coordinators that are asked
  static constexpr int64_t kPatienceMs = 5000;  // until a coordinator leads

  using Call = std::function<void(CoordinatorServiceClient*, Done<DocumentResponse>)>;
  struct Options {
    std::vector<std::string> coordinators;
    // Opens the connection to an address, or has it; null: one too many.
    std::function<CoordinatorServiceClient*(const std::string&)> open;
    bool repeatable = true;  // asking twice does no harm; else it is sent on only when it certainly was not taken
  };
  // `done` is called once; the last address that answered in `answered`.
  LeaderCall(EventLoop* loop, Options options, Call call, Done<DocumentResponse> done);

  void Start();
  const std::string& answered() const { return answered_; }

 private:
  void AskNext();
  void Ask(const std::string& address);
  void OnAnswer(const std::string& address, Result<DocumentResponse> answer);
  void Arm();
  void End(Result<DocumentResponse> answer);

  EventLoop* const loop_;
  const Options options_;
  const Call call_;
  Done<DocumentResponse> done_;  // empty: called
  size_t next_ = 0;
  std::set<std::string> asking_;
  std::map<std::string, Instant> asked_at_;
  std::set<std::string> unreachable_;
  Result<DocumentResponse> last_ = Status(StatusCode::kUnavailable, "no coordinator was asked");
  std::string answered_;
  Instant deadline_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace understudy::cli

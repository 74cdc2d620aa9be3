// Starts and stops the one application of a node and notices its end at once (pidfd on the event loop). What runs is
// written down, so that the next agent of the node finds it again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log/env/process.h"
#include "log/protocol/control_messages.h"
#include "log/rpc/event_loop.h"
#include "understudy/status.h"

namespace understudy {

struct SupervisorOptions {
  std::string record_path;
  std::string agent_address;  // what its application has as UNDERSTUDY_AGENT
  std::string output_path;
  uint64_t output_bytes_max = 16u << 20;
};

// What the supervisor knows of the process.
struct Supervised {
  ProcessState process = ProcessState::kNone;
  std::string exit_reason;  // with kExited and kFailed
  bool stopped = false;     // with kExited: it was asked to end
  std::string service;      // whose program it runs, or ran
  int64_t pid = 0;          // 0: nothing runs
  int64_t start_ticks = 0;
  int64_t memory_limit_bytes = 0;
  int64_t starts = 0;  // processes started by this supervisor
};

// Strand of the loop held for every call and callback.
class Supervisor {
 public:
  Supervisor(EventLoop* loop, SupervisorOptions options);
  ~Supervisor();  // the application runs on

  // Called after each change of state().
  void SetOnChange(std::function<void()> fn) { on_change_ = std::move(fn); }
  const Supervised& state() const { return state_; }

  // What an earlier agent of this node left running: the process of its run record, or, when it died before it could
  // write that, the one that has this agent's address in its environment.
  bool AdoptLeftBehind();
  // A process that says it is this node's application. kNotFound when there is no such process, kFailedPrecondition
  // when another one runs.
  Status Adopt(int64_t pid, int64_t start_ticks, const std::string& service);

  // kAlreadyExists: the service's program runs already. kFailedPrecondition: another one does, or the last is being
  // stopped. Else the error of exec, after which the state is kFailed.
  Status Start(const SpawnOptions& launch, const std::string& service, int64_t memory_limit_bytes);
  // It has said something: kStarting becomes kRunning.
  void MarkRunning();

  // SIGTERM to its process group, SIGKILL after `grace_ms`. `stopped` is called when it has ended; at once when nothing
  // runs. A second call may only shorten the grace.
  void Stop(int64_t grace_ms, std::function<void()> stopped);

  // Call now and then: cuts the application's output file when it has grown beyond its bound.
  void RotateOutput();

 private:
  bool AdoptRecorded();
  bool AdoptByEnvironment();
  void Watch(std::unique_ptr<Process> process, const std::string& service, int64_t memory_limit_bytes);
  void OnPidfd();
  void Kill();
  void Changed() const;

  EventLoop* loop_;
  SupervisorOptions options_;
  std::function<void()> on_change_;
  Supervised state_;
  std::unique_ptr<Process> process_;
  std::vector<std::function<void()>> stopped_;  // not empty: being stopped
  EventLoop::TimerId kill_timer_ = 0;
  Instant kill_at_ = Instant::Never();
};

}  // namespace understudy

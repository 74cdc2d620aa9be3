// The thread that touches a spare's state machine, and what it has to do next. Everything that loads, resets, applies
// to or looks at the state goes through here, one thing after the other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "client/replay/applier.h"
#include "log/epoch/follower.h"
#include "understudy/state_machine.h"
#include "understudy/types.h"

namespace understudy {

// Thread-safe.
class ReplayQueue {
 public:
  // `on_applied` runs on the thread after each stretch of records with the last LSN of it.
  ReplayQueue(StateMachine* state_machine, int lanes, std::function<void(Lsn)> on_applied);
  ~ReplayQueue();  // Stop()
  ReplayQueue(const ReplayQueue&) = delete;
  ReplayQueue& operator=(const ReplayQueue&) = delete;

  // In the order of the calls; whoever pushes bounds what is outstanding.
  void Push(std::vector<Released> released);
  void Push(ReleasedBatch batch);
  void Run(std::function<void()> fn);

  // Forgets what was pushed and not yet applied; functions still run.
  void DropRecords();
  // Lets what is under way end, drops the rest, joins.
  void Stop();

  Lsn applied() const { return Lsn(applied_.load(std::memory_order_acquire)); }
  // On the thread (from a function given to Run): where the state stands now.
  void SetApplied(Lsn lsn) { applied_.store(lsn.value(), std::memory_order_release); }
  uint64_t records_applied() const { return records_applied_.load(std::memory_order_relaxed); }

 private:
  using Task = std::variant<Released, std::function<void()>>;
  void Loop();
  void Perform(std::deque<Task>* tasks);

  StateMachine* const state_machine_;
  Applier applier_;
  const std::function<void(Lsn)> on_applied_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  bool stopping_ = false;
  std::atomic<uint64_t> applied_{0};
  std::atomic<uint64_t> records_applied_{0};
  std::vector<ApplyRange> gathered_;  // the thread's own
  std::thread thread_;
};

}  // namespace understudy

#include "client/replay/replay_queue.h"

#include <optional>
#include <utility>

namespace understudy {
namespace {

// Applied in one go before the applied LSN is told: bounds how far behind the reader's back-pressure lags.
constexpr size_t kStretchBytesMax = 4u << 20;

}  // namespace

ReplayQueue::ReplayQueue(StateMachine* state_machine, int lanes, std::function<void(Lsn)> on_applied)
    : state_machine_(state_machine),
      applier_(state_machine, lanes),
      on_applied_(std::move(on_applied)),
      thread_([this] { Loop(); }) {}

ReplayQueue::~ReplayQueue() { Stop(); }

void ReplayQueue::Push(std::vector<Released> released) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Released& item : released) tasks_.emplace_back(std::move(item));
  wake_.notify_one();
}

void ReplayQueue::Push(ReleasedBatch batch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  tasks_.emplace_back(Released{std::nullopt, std::move(batch)});
  wake_.notify_one();
}

void ReplayQueue::Run(std::function<void()> fn) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;
  tasks_.emplace_back(std::move(fn));
  wake_.notify_one();
}

void ReplayQueue::DropRecords() {
  std::deque<Task> dropped;  // destroyed without the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  dropped.swap(tasks_);
  for (Task& task : dropped) {
    if (std::holds_alternative<std::function<void()>>(task)) tasks_.push_back(std::move(task));
  }
}

void ReplayQueue::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void ReplayQueue::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (stopping_) return;
    // A stretch of records up to its bound, or one function.
    std::deque<Task> stretch;
    size_t bytes = 0;
    while (!tasks_.empty() && bytes < kStretchBytesMax) {
      const bool function = std::holds_alternative<std::function<void()>>(tasks_.front());
      if (function && !stretch.empty()) break;
      if (!function) bytes += std::get<Released>(tasks_.front()).batch.length;
      stretch.push_back(std::move(tasks_.front()));
      tasks_.pop_front();
      if (function) break;
    }
    lock.unlock();
    Perform(&stretch);
    stretch.clear();
    lock.lock();
  }
}

void ReplayQueue::Perform(std::deque<Task>* tasks) {
  if (auto* fn = std::get_if<std::function<void()>>(&tasks->front())) {
    (*fn)();
    return;
  }
  gathered_.clear();
  Lsn last;
  uint64_t count = 0;
  for (Task& task : *tasks) {
    const Released& released = std::get<Released>(task);
    if (released.loss) {
      count += applier_.Apply(gathered_);
      gathered_.clear();
      last = released.loss->to;
      state_machine_->OnLoss(released.loss->from, released.loss->to);
    } else {
      gathered_.push_back({released.batch.bytes(), released.batch.from, released.batch.to});
      last = released.batch.to;
    }
  }
  count += applier_.Apply(gathered_);
  records_applied_.fetch_add(count, std::memory_order_relaxed);
  SetApplied(last);
  on_applied_(last);
}

}  // namespace understudy

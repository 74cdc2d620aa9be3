#include "server/lognode/work_pool.h"

#include <utility>

namespace understudy {

WorkPool::WorkPool(size_t threads, size_t jobs_max_per_thread) : jobs_max_(jobs_max_per_thread) {
  for (size_t i = 0; i < threads; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->thread = std::thread(Run, workers_.back().get());
  }
}

WorkPool::~WorkPool() {
  for (const auto& worker : workers_) {
    const std::lock_guard lock(worker->mutex);
    worker->stop = true;
    worker->changed.notify_one();
  }
  for (const auto& worker : workers_) worker->thread.join();
}

bool WorkPool::Post(uint64_t affinity, std::function<void()> job) {
  // Neighbouring numbers should not gang up on one thread.
  Worker& worker = *workers_[(affinity * 0x9E3779B97F4A7C15ULL >> 32) % workers_.size()];
  const std::lock_guard lock(worker.mutex);
  if (worker.stop || worker.jobs.size() >= jobs_max_) return false;
  worker.jobs.push_back(std::move(job));
  worker.changed.notify_one();
  return true;
}

void WorkPool::Run(Worker* worker) {
  std::unique_lock lock(worker->mutex);
  while (true) {
    worker->changed.wait(lock, [&] { return worker->stop || !worker->jobs.empty(); });
    if (worker->stop) return;
    const std::function<void()> job = std::move(worker->jobs.front());
    worker->jobs.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace understudy

// A few threads for work that waits for the disk and is not an append: cold reads, checkpoint files, boot counts.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace understudy {

// Thread-safe.
class WorkPool {
 public:
  WorkPool(size_t threads, size_t jobs_max_per_thread);
  ~WorkPool();  // finishes the jobs that run, drops those that wait

  // Jobs of equal `affinity` run one after the other, in order. False when the queue is full: the job is dropped.
  [[nodiscard]] bool Post(uint64_t affinity, std::function<void()> job);

 private:
  struct Worker {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> jobs;
    bool stop = false;
    std::thread thread;
  };
  static void Run(Worker* worker);

  size_t jobs_max_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace understudy

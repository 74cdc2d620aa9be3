// A thread that calls a function every so often, and sooner when woken.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace understudy {

class PeriodicThread {
 public:
  PeriodicThread(int64_t period_ms, std::function<void()> fn);
  ~PeriodicThread();  // waits for a call under way; not from within it
  PeriodicThread(const PeriodicThread&) = delete;
  PeriodicThread& operator=(const PeriodicThread&) = delete;
  void Wake();  // any thread; calls of Wake during a call of the function lead to one more

 private:
  const int64_t period_ms_;
  const std::function<void()> fn_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace understudy

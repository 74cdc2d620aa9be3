#include "log/env/periodic_thread.h"

#include <chrono>

namespace understudy {

PeriodicThread::PeriodicThread(int64_t period_ms, std::function<void()> fn)
    : period_ms_(period_ms), fn_(std::move(fn)), thread_([this] {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
          changed_.wait_for(lock, std::chrono::milliseconds(period_ms_), [this] { return woken_ || stopping_; });
          if (stopping_) return;
          woken_ = false;
          lock.unlock();
          fn_();
          lock.lock();
        }
      }) {}

PeriodicThread::~PeriodicThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void PeriodicThread::Wake() {
  const std::lock_guard lock(mutex_);
  if (woken_) return;
  woken_ = true;
  changed_.notify_one();
}

}  // namespace understudy

// An event loop and the threads that drive it.
#pragma once

#include <thread>
#include <vector>

#include "log/rpc/event_loop.h"

namespace understudy {

class LoopThreads {
 public:
  explicit LoopThreads(Clock* clock) : loop_(clock) {}
  ~LoopThreads() { Stop(); }

  void Start(size_t threads) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { loop_.Run(); });
  }
  // Idempotent. Not from one of its own threads.
  void Stop() {
    loop_.Stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  EventLoop* loop() { return &loop_; }
  template <class Fn>
  auto WithStrand(const Fn& fn) {
    const EventLoop::Section section(&loop_);
    return fn();
  }

 private:
  EventLoop loop_;
  std::vector<std::thread> threads_;
};

}  // namespace understudy

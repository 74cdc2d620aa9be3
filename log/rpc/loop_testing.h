// For the tests of the loop: threads that drive it, and when they sleep.
#pragma once

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "log/rpc/event_loop.h"

namespace understudy::rpc_test {

inline constexpr int64_t kWaitNs = 20 * kNsPerSecond;

// Returns when the kernel says that the thread sleeps.
inline void AwaitSleeping(pid_t thread) {
  const Instant deadline = SystemClock()->Now() + kWaitNs;
  std::string state;
  while (state != "S" && SystemClock()->Now() < deadline) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string pid;
    std::string name;
    stat >> pid >> name >> state;
    std::this_thread::yield();
  }
  ASSERT_EQ(state, "S");
}

inline pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// Drives a loop in a thread of its own.
class Runner {
 public:
  explicit Runner(EventLoop* loop)
      : loop_(loop), thread_([this] {
          id_.store(ThreadId());
          loop_->Run();
        }) {
    while (id_.load() == 0) {
      std::this_thread::yield();
    }
  }
  ~Runner() {
    loop_->Stop();
    thread_.join();
  }
  pid_t id() const { return id_.load(); }

 private:
  EventLoop* loop_;
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

}  // namespace understudy::rpc_test

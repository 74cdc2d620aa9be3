// The one thread that executes commands and owns the connections: a libevent loop that other threads can hand work to.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

struct event;
struct event_base;
struct evutil_monotonic_timer;

namespace understudy::resp_kv {

class Executor {
 public:
  Executor();
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `fn` between two events, on the thread that is in Run. Any thread. After Run has returned: in the caller's.
  void RunAndWait(std::function<void()> fn);
  // Runs `fn` after the event being served now. Any thread. Dropped when Run has returned.
  void Post(std::function<void()> fn);
  // Has the wake handler called soon; calls before it has started count as one. Any thread; cheap.
  void Wake();
  void SetWakeHandler(std::function<void()> handler) { on_wake_ = std::move(handler); }

  // Serves events on the calling thread until Stop, which any thread may call.
  void Run();
  void Stop();

  // The rest: on the thread of Run, or before it.
  event_base* base() { return base_; }
  // Calls `fn` every `interval_ms` until the Executor goes.
  void Every(int64_t interval_ms, std::function<void()> fn);
  // Calls `fn` once.
  void After(int64_t delay_ms, std::function<void()> fn);
  int64_t MonotonicUs();
  int64_t UnixMs();  // of the machine's clock, read once a loop iteration

 private:
  struct Timer;
  void RunTasks();

  event_base* base_;
  event* wake_event_;
  evutil_monotonic_timer* monotonic_;
  std::function<void()> on_wake_;
  std::vector<std::unique_ptr<Timer>> timers_;
  std::vector<std::unique_ptr<Timer>> once_;

  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::function<void()>> tasks_;  // handed over, not begun
  bool running_ = true;                       // Run has not returned yet
  bool woken_ = false;
};

}  // namespace understudy::resp_kv

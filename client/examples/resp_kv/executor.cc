#include "client/examples/resp_kv/executor.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <event2/util.h>

#include <algorithm>
#include <utility>

#include "understudy/check.h"

namespace understudy::resp_kv {

namespace {

timeval FromMs(int64_t ms) {
  timeval interval;
  interval.tv_sec = static_cast<time_t>(ms / 1000);
  interval.tv_usec = static_cast<suseconds_t>(ms % 1000 * 1000);
  return interval;
}

}  // namespace

struct Executor::Timer {
  event* handle = nullptr;
  std::function<void()> fn;
  ~Timer() { event_free(handle); }
  static void Fire(evutil_socket_t, short, void* self) { static_cast<Timer*>(self)->fn(); }
};

Executor::Executor() : monotonic_(evutil_monotonic_timer_new()) {
  UNDERSTUDY_CHECK(evthread_use_pthreads() == 0);
  base_ = event_base_new();
  UNDERSTUDY_CHECK(base_ != nullptr && monotonic_ != nullptr);
  evutil_configure_monotonic_time(monotonic_, 0);
  wake_event_ = event_new(
      base_, -1, EV_PERSIST, [](evutil_socket_t, short, void* self) { static_cast<Executor*>(self)->RunTasks(); },
      this);
}

Executor::~Executor() {
  timers_.clear();
  once_.clear();
  event_free(wake_event_);
  evutil_monotonic_timer_free(monotonic_);
  event_base_free(base_);
}

void Executor::RunAndWait(std::function<void()> fn) {
  std::unique_lock lock(mutex_);
  if (!running_) {
    lock.unlock();
    fn();
    return;
  }
  bool finished = false;
  tasks_.push_back([&] {
    fn();
    // Notified under the lock: the caller, and `finished` with it, may be gone right after.
    const std::lock_guard guard(mutex_);
    finished = true;
    done_.notify_all();
  });
  event_active(wake_event_, EV_TIMEOUT, 0);
  done_.wait(lock, [&finished] { return finished; });
}

void Executor::Post(std::function<void()> fn) {
  const std::lock_guard guard(mutex_);
  tasks_.push_back(std::move(fn));
  event_active(wake_event_, EV_TIMEOUT, 0);
}

void Executor::Wake() {
  const std::lock_guard guard(mutex_);
  if (!std::exchange(woken_, true) && running_) {
    event_active(wake_event_, EV_TIMEOUT, 0);
  }
}

void Executor::RunTasks() {
  std::vector<std::function<void()>> tasks;
  bool woken = false;
  {
    const std::lock_guard guard(mutex_);
    tasks.swap(tasks_);
    woken = std::exchange(woken_, false);
  }
  for (auto& task : tasks) {
    task();
  }
  if (woken && on_wake_) {
    on_wake_();
  }
}

void Executor::Run() {
  event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY);
  {
    const std::lock_guard guard(mutex_);
    running_ = false;
  }
  RunTasks();  // what was handed over before that
}

void Executor::Stop() { event_base_loopbreak(base_); }

void Executor::Every(int64_t interval_ms, std::function<void()> fn) {
  auto timer = std::make_unique<Timer>();
  timer->fn = std::move(fn);
  timer->handle = event_new(base_, -1, EV_PERSIST, Timer::Fire, timer.get());
  const timeval interval = FromMs(interval_ms);
  event_add(timer->handle, &interval);
  timers_.push_back(std::move(timer));
}

void Executor::After(int64_t delay_ms, std::function<void()> fn) {
  Timer* timer = once_.emplace_back(std::make_unique<Timer>()).get();
  timer->fn = [this, timer, fn = std::move(fn)] {
    // Its closure lives in the timer: freed only after the call.
    const auto mine = std::find_if(once_.begin(), once_.end(), [timer](const auto& one) { return one.get() == timer; });
    const std::unique_ptr<Timer> owned = std::move(*mine);
    once_.erase(mine);
    fn();
  };
  timer->handle = evtimer_new(base_, Timer::Fire, timer);
  const timeval delay = FromMs(delay_ms);
  event_add(timer->handle, &delay);
}

int64_t Executor::MonotonicUs() {
  timeval now;
  evutil_gettime_monotonic(monotonic_, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_usec;
}

int64_t Executor::UnixMs() {
  timeval now;
  event_base_gettimeofday_cached(base_, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_usec / 1000;
}

}  // namespace understudy::resp_kv

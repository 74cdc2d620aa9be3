// An event loop that any number of threads may drive. Readiness handlers, timers and posted functions run one at a
// time, with the strand held; what belongs to the loop (connections, protocol cores) is touched only then. Because
// a thread that waits for an answer can drive the loop itself, and a thread that goes off to wait for the disk leaves
// the others driving, the hop from thread to thread (up to 70 us on a small machine) is off the idle path:
// docs/decisions/0002-driven-event-loop.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "log/env/clock.h"
#include "understudy/types.h"

namespace understudy {

class EventLoop {
 public:
  explicit EventLoop(Clock* clock);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Drives until Stop. The calling thread must not hold the strand. May run on several threads at once.
  void Run();
  void Stop();  // any thread

  // Waits at most `timeout_ns` for events without the strand, handles what came with it, then runs the after-work
  // without it. Several threads may call it at once; the one that began to wait last is woken first.
  void RunOnce(int64_t timeout_ns);

  // Held by handlers while they run. Take it to touch what belongs to the loop from outside a handler.
  std::mutex& strand() { return strand_; }

  // Any thread, strand held or not. Runs soon, under the strand.
  void Post(std::function<void()> fn);

  // Strand held. The handler is told which of EPOLLIN/EPOLLOUT/EPOLLHUP/EPOLLERR came; edge-triggered, so it must read
  // or write until EAGAIN.
  using FdHandler = std::function<void(uint32_t events)>;
  void Watch(int fd, uint32_t events, FdHandler handler);
  void Unwatch(int fd);  // before closing the fd; the handler does not run afterwards

  // Strand held. Fires once, not before `at`.
  using TimerId = uint64_t;
  TimerId At(Instant at, std::function<void()> fn);
  void Cancel(TimerId id);  // no effect when it has fired

  // Runs after each dispatch on the dispatching thread, without the strand: the place for work that may block while
  // other threads drive on (a log server's group commit). Set before the loop runs.
  void SetAfterWork(std::function<void()> fn);

  Clock* clock() const { return clock_; }

 private:
  struct Impl;
  Clock* clock_;
  std::mutex strand_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

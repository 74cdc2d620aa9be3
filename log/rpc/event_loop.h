// An event loop that any number of threads may drive. Readiness handlers, timers and posted functions run one at a
// time, with the strand held; what belongs to the loop (connections, protocol cores) is touched only then. Because
// a thread that waits for an answer can drive the loop itself, and a thread that goes off to wait for the disk leaves
// the others driving, the hop from thread to thread (up to 70 us on a small machine) is off the idle path:
// docs/decisions/0002-driven-event-loop.md. await.h has the wait of such a caller.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "log/env/clock.h"
#include "understudy/types.h"

namespace understudy {

class Completion;

// Must outlive everything that it calls back, and be destroyed when no thread drives it any more.
class EventLoop {
 public:
  explicit EventLoop(Clock* clock);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Drives until Stop. The calling thread must not hold the strand. May run on several threads at once.
  void Run();
  void Stop();  // any thread; final

  // Waits at most `timeout_ns` (negative: without bound) for events without the strand, handles what came with it,
  // then runs the after-work without it. Several threads may call it at once; the one that began to wait last is woken
  // first. May return early with nothing done: a caller that waits for something uses Completion.
  void RunOnce(int64_t timeout_ns);

  // Held by handlers while they run. To touch from outside a handler what belongs to the loop, hold it through a
  // Section; a plain lock works too, but each thing that is sent under it is a system call of its own.
  std::mutex& strand() { return strand_; }

  // Holds the strand, ahead of drivers that want it for new events; runs the deferred functions at its end.
  class Section {
   public:
    explicit Section(EventLoop* loop);
    // Only if nobody else holds it (not this thread either): see held(). Who finds it taken may leave its work for
    // the after-work of whoever has it.
    Section(EventLoop* loop, std::try_to_lock_t);
    ~Section();
    bool held() const { return loop_ != nullptr; }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    EventLoop* loop_;
  };

  // Any thread, strand held or not. Runs soon, under the strand, on a driving thread.
  void Post(std::function<void()> fn);

  // Strand held. Runs at the end of the present dispatch or Section (still under the strand, before the after-work), so
  // that what many handlers produce can leave in one system call. Outside of both it runs at once.
  void Defer(std::function<void()> fn);

  // Strand held. The handler is told which of EPOLLIN/EPOLLOUT/EPOLLRDHUP/EPOLLHUP/EPOLLERR came; edge-triggered, so it
  // must read or write until EAGAIN. A short read or write is as good as EAGAIN, unless EPOLLRDHUP or EPOLLHUP came
  // too.
  using FdHandler = std::function<void(uint32_t events)>;
  void Watch(int fd, uint32_t events, FdHandler handler);
  void ChangeWatch(int fd, uint32_t events);  // what is ready already is reported (again)
  void Unwatch(int fd);                       // before closing the fd; the handler does not run afterwards

  // Strand held. Fires once, not before `at`.
  using TimerId = uint64_t;  // never 0
  TimerId At(Instant at, std::function<void()> fn);
  void Cancel(TimerId id);  // no effect when it has fired, or on 0

  // Runs after each dispatch on the dispatching thread, without the strand: the place for work that may block while
  // other threads drive on (a log server's group commit). Set before the loop runs.
  void SetAfterWork(std::function<void()> fn);

  Clock* clock() const { return clock_; }

 private:
  friend class Completion;
  struct Impl;
  Clock* clock_;
  std::mutex strand_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

// The inside of EventLoop, for event_loop.cc and await.cc only.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "log/rpc/event_loop.h"

namespace understudy {

struct EventLoop::Impl {
  static constexpr int kEventsMax = 64;
  // Passes over what came in meanwhile before a dispatch ends, so that the after-work is not put off for long.
  static constexpr int kRoundsMax = 4;

  struct Watched {
    int fd = -1;
    uint32_t generation = 0;             // tells a reused slot (and fd) from the one an older event meant
    std::unique_ptr<FdHandler> handler;  // on the heap: it may be retired while it runs
  };

  explicit Impl(EventLoop* loop);
  ~Impl();

  // One wait and its dispatch. `driver`: the Completion for whose sake the calling thread drives, if any.
  void RunOnce(int64_t timeout_ns, Completion* driver);
  int WaitForEvents(epoll_event* events, int64_t timeout_ns);
  void Dispatch(const epoll_event* events, int count);

  // Strand held.
  void Handle(const epoll_event* events, int count);
  void RunHandedAndPosted();
  void RunTimers();
  void EndScope();  // deferred functions, retired handlers, timer
  void ArmTimer();

  void Wake();  // any thread: one waiter returns

  EventLoop* const loop;
  int epoll_fd = -1;
  int wake_fd = -1;   // eventfd, edge-triggered, never read: every write is an edge
  int timer_fd = -1;  // edge-triggered, never read
  int kick_fd = -1;   // eventfd, level-triggered: readable while the driving caller must come back from its wait
  std::atomic<bool> stopped{false};
  std::atomic<int> run_threads{0};
  std::function<void()> after_work;

  // At most one thread dispatches; what others wake up with meanwhile they hand to it rather than queue for the strand.
  std::mutex handoff_mutex;
  bool dispatcher = false;                    // under handoff_mutex
  bool wake_pending = false;                  // likewise
  std::vector<epoll_event> handed;            // likewise
  std::vector<std::function<void()>> posted;  // likewise
  std::atomic<uint32_t> sections_waiting{0};
  std::atomic<uint32_t> sections_entered{0};  // by waiting for the strand

  // Under the strand.
  bool in_scope = false;  // a dispatch or a Section
  std::vector<epoll_event> handed_taken;
  std::vector<std::function<void()>> posted_taken;
  std::vector<std::function<void()>> deferred;
  std::deque<Watched> watched;
  std::vector<uint32_t> free_slots;
  std::unordered_map<int, uint32_t> slot_of_fd;
  std::vector<std::unique_ptr<FdHandler>> retired;
  std::map<std::pair<Instant, TimerId>, std::function<void()>> timers;
  std::unordered_map<TimerId, Instant> timer_at;
  TimerId next_timer = 1;
  int64_t armed_ns = INT64_MAX;  // when timer_fd fires
  std::atomic<int64_t> next_due_ns{INT64_MAX};

  // Callers that wait (await.h).
  std::mutex parking_mutex;
  Completion* driving = nullptr;   // under parking_mutex
  bool driver_waiting = false;     // likewise: the driving caller is in epoll_wait, or about to be
  Completion* parked = nullptr;    // likewise: a stack
  Completion* promoted = nullptr;  // likewise: woken to drive, not there yet
  std::atomic<int> kicked{0};      // changed under parking_mutex
};

}  // namespace understudy

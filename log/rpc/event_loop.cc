#include "log/rpc/event_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "log/rpc/await.h"
#include "log/rpc/event_loop_impl.h"
#include "understudy/check.h"

namespace understudy {

namespace {

// Tokens of generation 0 are the loop's own.
enum : uint64_t { kWakeToken = 0, kTimerToken = 1, kKickToken = 2 };

uint64_t Token(uint32_t generation, uint32_t slot) { return uint64_t{generation} << 32 | slot; }

void AddToEpoll(int epoll_fd, int fd, uint32_t events, uint64_t token) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  UNDERSTUDY_CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

}  // namespace

EventLoop::Impl::Impl(EventLoop* l) : loop(l) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  UNDERSTUDY_CHECK(epoll_fd >= 0 && wake_fd >= 0 && kick_fd >= 0 && timer_fd >= 0);
  AddToEpoll(epoll_fd, wake_fd, EPOLLIN | EPOLLET, kWakeToken);
  AddToEpoll(epoll_fd, timer_fd, EPOLLIN | EPOLLET, kTimerToken);
  AddToEpoll(epoll_fd, kick_fd, EPOLLIN, kKickToken);
}

EventLoop::Impl::~Impl() {
  for (int fd : {epoll_fd, wake_fd, kick_fd, timer_fd}) {
    close(fd);
  }
}

EventLoop::EventLoop(Clock* clock) : clock_(clock), impl_(std::make_unique<Impl>(this)) {}

EventLoop::~EventLoop() {
  // What these functions hold on to may call the loop back while it goes.
  auto posted = std::move(impl_->posted);
  auto deferred = std::move(impl_->deferred);
  auto timers = std::move(impl_->timers);
  impl_->timers.clear();
  std::vector<std::unique_ptr<FdHandler>> handlers = std::move(impl_->retired);
  for (auto& watched : impl_->watched) {
    handlers.push_back(std::move(watched.handler));
  }
}

void EventLoop::Run() {
  impl_->run_threads.fetch_add(1);
  while (!impl_->stopped.load(std::memory_order_acquire)) {
    impl_->RunOnce(-1, nullptr);
  }
  impl_->run_threads.fetch_sub(1);
  impl_->Wake();  // the next one
}

void EventLoop::Stop() {
  impl_->stopped.store(true, std::memory_order_release);
  impl_->Wake();
}

void EventLoop::RunOnce(int64_t timeout_ns) { impl_->RunOnce(timeout_ns, nullptr); }

int EventLoop::Impl::WaitForEvents(epoll_event* events, int64_t timeout_ns) {
  timespec timeout{};
  timeout.tv_sec = timeout_ns / kNsPerSecond;
  timeout.tv_nsec = timeout_ns % kNsPerSecond;
  const int count = epoll_pwait2(epoll_fd, events, kEventsMax, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  UNDERSTUDY_CHECK(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

void EventLoop::Impl::RunOnce(int64_t timeout_ns, Completion* driver) {
  if (driver != nullptr) {
    std::lock_guard lock(parking_mutex);
    if (driver->done()) {
      return;
    }
    driver_waiting = true;
  }
  epoll_event events[kEventsMax];
  const int count = WaitForEvents(events, timeout_ns);
  if (driver != nullptr) {
    std::lock_guard lock(parking_mutex);
    driver_waiting = false;
    if (kicked.load(std::memory_order_relaxed) != 0) {
      uint64_t ignored;
      UNDERSTUDY_CHECK(read(kick_fd, &ignored, sizeof ignored) == sizeof ignored);
      kicked.store(0, std::memory_order_release);
      kicked.notify_all();
    }
  }
  bool kick_seen = false;
  bool wake_seen = false;
  for (int i = 0; i < count; ++i) {
    kick_seen = kick_seen || events[i].data.u64 == kKickToken;
    wake_seen = wake_seen || events[i].data.u64 == kWakeToken;
  }
  if (wake_seen && stopped.load(std::memory_order_acquire) && run_threads.load() > 0) {
    Wake();  // it was for a thread in Run
  }
  if (count > 0 || next_due_ns.load(std::memory_order_relaxed) <= loop->clock_->Now().ns()) {
    Dispatch(events, count);
  }
  if (after_work) {
    after_work();
  }
  if (kick_seen && driver == nullptr) {
    kicked.wait(1, std::memory_order_acquire);  // the driving caller is on its way; do not spin before it
  }
}

void EventLoop::Impl::Dispatch(const epoll_event* events, int count) {
  {
    std::lock_guard lock(handoff_mutex);
    if (dispatcher) {
      handed.insert(handed.end(), events, events + count);
      return;
    }
    dispatcher = true;
  }
  // One Section that waits goes first; not all that may come meanwhile, or these would starve the loop.
  const uint32_t entered = sections_entered.load(std::memory_order_acquire);
  if (sections_waiting.load(std::memory_order_acquire) > 0) {
    sections_entered.wait(entered, std::memory_order_acquire);
  }
  bool wake = false;
  {
    std::lock_guard strand(loop->strand_);
    in_scope = true;
    Handle(events, count);
    for (int round = 1;; ++round) {
      RunTimers();
      RunHandedAndPosted();
      EndScope();
      std::lock_guard lock(handoff_mutex);
      const bool idle = handed.empty() && posted.empty();
      if (idle || round == kRoundsMax) {
        dispatcher = false;
        wake = !idle;
        wake_pending = wake;
        break;
      }
    }
    in_scope = false;
  }
  if (wake) {
    Wake();
  }
}

void EventLoop::Impl::Handle(const epoll_event* events, int count) {
  for (int i = 0; i < count; ++i) {
    const uint64_t token = events[i].data.u64;
    const auto generation = static_cast<uint32_t>(token >> 32);
    const auto slot = static_cast<uint32_t>(token);
    if (generation == 0) {
      if (token == kTimerToken) {
        armed_ns = INT64_MAX;
      }
      continue;
    }
    if (watched[slot].generation == generation && watched[slot].handler != nullptr) {
      (*watched[slot].handler)(events[i].events);
    }
  }
}

void EventLoop::Impl::RunHandedAndPosted() {
  {
    std::lock_guard lock(handoff_mutex);
    handed_taken.swap(handed);
    posted_taken.swap(posted);
    wake_pending = false;
  }
  Handle(handed_taken.data(), static_cast<int>(handed_taken.size()));
  handed_taken.clear();
  for (auto& fn : posted_taken) {
    fn();
    fn = nullptr;
  }
  posted_taken.clear();
}

void EventLoop::Impl::RunTimers() {
  if (timers.empty()) {
    return;
  }
  const Instant now = loop->clock_->Now();
  const TimerId end = next_timer;  // not those that these set anew, or a timer for "now" would never let go
  for (auto it = timers.begin(); it != timers.end() && it->first.first <= now && it->first.second < end;
       it = timers.begin()) {
    auto fn = std::move(it->second);
    timer_at.erase(it->first.second);
    timers.erase(it);
    fn();
  }
}

void EventLoop::Impl::EndScope() {
  for (size_t i = 0; i < deferred.size(); ++i) {  // they may defer more
    auto fn = std::move(deferred[i]);
    fn();
  }
  deferred.clear();
  while (!retired.empty()) {
    auto handlers = std::move(retired);
    retired.clear();
  }
  ArmTimer();
}

void EventLoop::Impl::ArmTimer() {
  const int64_t due = timers.empty() ? INT64_MAX : timers.begin()->first.first.ns();
  next_due_ns.store(due, std::memory_order_relaxed);
  if (due >= armed_ns) {
    return;  // it fires early enough, and then is armed again
  }
  const int64_t wait = std::max<int64_t>(1, due - loop->clock_->Now().ns());
  itimerspec spec{};
  spec.it_value.tv_sec = wait / kNsPerSecond;
  spec.it_value.tv_nsec = wait % kNsPerSecond;
  UNDERSTUDY_CHECK(timerfd_settime(timer_fd, 0, &spec, nullptr) == 0);
  armed_ns = due;
}

void EventLoop::Impl::Wake() {
  const uint64_t one = 1;
  UNDERSTUDY_CHECK(write(wake_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

EventLoop::Section::Section(EventLoop* loop) : loop_(loop) {
  auto& impl = *loop->impl_;
  impl.sections_waiting.fetch_add(1, std::memory_order_acq_rel);
  loop->strand_.lock();
  // In this order: whoever still sees it waiting will see it enter.
  impl.sections_waiting.fetch_sub(1, std::memory_order_acq_rel);
  impl.sections_entered.fetch_add(1, std::memory_order_acq_rel);
  impl.sections_entered.notify_all();
  impl.in_scope = true;
}

EventLoop::Section::Section(EventLoop* loop, std::try_to_lock_t) : loop_(loop->strand_.try_lock() ? loop : nullptr) {
  if (loop_ != nullptr) {
    loop_->impl_->in_scope = true;
  }
}

EventLoop::Section::~Section() {
  if (loop_ == nullptr) {
    return;
  }
  loop_->impl_->EndScope();
  loop_->impl_->in_scope = false;
  loop_->strand_.unlock();
}

void EventLoop::Post(std::function<void()> fn) {
  bool wake;
  {
    std::lock_guard lock(impl_->handoff_mutex);
    impl_->posted.push_back(std::move(fn));
    wake = !impl_->dispatcher && !impl_->wake_pending;
    impl_->wake_pending = impl_->wake_pending || wake;
  }
  if (wake) {
    impl_->Wake();
  }
}

void EventLoop::Defer(std::function<void()> fn) {
  if (impl_->in_scope) {
    impl_->deferred.push_back(std::move(fn));
  } else {
    fn();
  }
}

void EventLoop::Watch(int fd, uint32_t events, FdHandler handler) {
  UNDERSTUDY_CHECK(!impl_->slot_of_fd.contains(fd));
  uint32_t slot;
  if (impl_->free_slots.empty()) {
    slot = static_cast<uint32_t>(impl_->watched.size());
    impl_->watched.emplace_back();
  } else {
    slot = impl_->free_slots.back();
    impl_->free_slots.pop_back();
  }
  auto& watched = impl_->watched[slot];
  watched.fd = fd;
  watched.generation = std::max(1U, watched.generation + 1);
  watched.handler = std::make_unique<FdHandler>(std::move(handler));
  impl_->slot_of_fd[fd] = slot;
  AddToEpoll(impl_->epoll_fd, fd, events | EPOLLET, Token(watched.generation, slot));
}

void EventLoop::ChangeWatch(int fd, uint32_t events) {
  const auto it = impl_->slot_of_fd.find(fd);
  UNDERSTUDY_CHECK(it != impl_->slot_of_fd.end());
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.u64 = Token(impl_->watched[it->second].generation, it->second);
  UNDERSTUDY_CHECK(epoll_ctl(impl_->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::Unwatch(int fd) {
  const auto it = impl_->slot_of_fd.find(fd);
  if (it == impl_->slot_of_fd.end()) {
    return;
  }
  const uint32_t slot = it->second;
  impl_->slot_of_fd.erase(it);
  epoll_ctl(impl_->epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
  auto& watched = impl_->watched[slot];
  watched.fd = -1;
  std::unique_ptr<FdHandler> handler = std::move(watched.handler);
  impl_->free_slots.push_back(slot);
  if (impl_->in_scope) {
    impl_->retired.push_back(std::move(handler));  // it may be the one that runs
  }
}

EventLoop::TimerId EventLoop::At(Instant at, std::function<void()> fn) {
  const TimerId id = impl_->next_timer++;
  impl_->timers.emplace(std::pair(at, id), std::move(fn));
  impl_->timer_at.emplace(id, at);
  if (!impl_->in_scope) {
    impl_->ArmTimer();
  }
  return id;
}

void EventLoop::Cancel(TimerId id) {
  const auto it = impl_->timer_at.find(id);
  if (it != impl_->timer_at.end()) {
    impl_->timers.erase(std::pair(it->second, id));
    impl_->timer_at.erase(it);
  }
}

void EventLoop::SetAfterWork(std::function<void()> fn) { impl_->after_work = std::move(fn); }

}  // namespace understudy

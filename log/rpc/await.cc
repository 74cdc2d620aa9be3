#include "log/rpc/await.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "log/rpc/event_loop_impl.h"
#include "understudy/check.h"

namespace understudy {

namespace {

// Which thread a driving Completion belongs to: the address is the identity.
thread_local Completion* driving_here = nullptr;

void FutexWait(std::atomic<uint32_t>* word, uint32_t expected, int64_t timeout_ns) {
  timespec timeout{};
  timeout.tv_sec = timeout_ns / kNsPerSecond;
  timeout.tv_nsec = timeout_ns % kNsPerSecond;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &timeout, nullptr, 0);
}

void FutexWake(std::atomic<uint32_t>* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

}  // namespace

void Completion::Set() {
  const uint32_t before = state_.exchange(kDone, std::memory_order_acq_rel);
  UNDERSTUDY_CHECK(before != kDone);
  if (before == kParked) {
    FutexWake(&state_);
  } else if (before == kDriving && driving_here != this) {
    auto& impl = *loop_->impl_;
    std::lock_guard lock(impl.parking_mutex);
    if (impl.driving == this && impl.driver_waiting && impl.kicked.load(std::memory_order_relaxed) == 0) {
      impl.kicked.store(1, std::memory_order_release);
      const uint64_t one = 1;
      UNDERSTUDY_CHECK(write(impl.kick_fd, &one, sizeof one) == sizeof one);
    }
  }
}

bool Completion::Wait(int64_t timeout_ns) {
  if (done()) {
    return true;
  }
  Clock* clock = loop_->clock();
  const Instant deadline = timeout_ns < 0 ? Instant::Never() : clock->Now() + timeout_ns;
  auto& impl = *loop_->impl_;
  bool slept = false;
  while (!done() && (deadline == Instant::Never() || clock->Now() < deadline)) {
    bool drive = false;
    {
      std::lock_guard lock(impl.parking_mutex);
      impl.promoted = impl.promoted == this ? nullptr : impl.promoted;
      uint32_t expected = kPending;
      drive = impl.driving == nullptr;
      if (!state_.compare_exchange_strong(expected, drive ? kDriving : kParked, std::memory_order_acq_rel)) {
        break;  // done
      }
      if (drive) {
        impl.driving = this;
      } else {
        next_parked_ = impl.parked;
        impl.parked = this;
        parked_ = true;
      }
    }
    if (drive) {
      Drive(deadline);
    } else {
      Park(deadline);
      slept = true;
    }
  }
  if (slept) {  // it may have been this one's turn
    std::lock_guard lock(impl.parking_mutex);
    impl.promoted = impl.promoted == this ? nullptr : impl.promoted;
    PromoteOne();
  }
  return done();
}

void Completion::Drive(Instant deadline) {
  auto& impl = *loop_->impl_;
  Clock* clock = loop_->clock();
  driving_here = this;
  while (!done()) {
    int64_t timeout_ns = -1;
    if (deadline != Instant::Never()) {
      timeout_ns = deadline - clock->Now();
      if (timeout_ns <= 0) {
        break;
      }
    }
    impl.RunOnce(timeout_ns, this);
  }
  driving_here = nullptr;
  uint32_t expected = kDriving;
  state_.compare_exchange_strong(expected, kPending, std::memory_order_acq_rel);

  std::lock_guard lock(impl.parking_mutex);
  impl.driving = nullptr;
  PromoteOne();
}

void Completion::PromoteOne() {
  auto& impl = *loop_->impl_;
  while (impl.driving == nullptr && impl.promoted == nullptr && impl.parked != nullptr) {
    Completion* next = impl.parked;
    impl.parked = next->next_parked_;
    next->parked_ = false;
    uint32_t expected = kParked;
    if (next->state_.compare_exchange_strong(expected, kPending, std::memory_order_acq_rel)) {
      impl.promoted = next;
      FutexWake(&next->state_);  // under the lock, so that it cannot be gone
    }
  }
}

void Completion::Park(Instant deadline) {
  Clock* clock = loop_->clock();
  while (state_.load(std::memory_order_acquire) == kParked) {
    int64_t timeout_ns = -1;
    if (deadline != Instant::Never()) {
      timeout_ns = deadline - clock->Now();
      if (timeout_ns <= 0) {
        break;
      }
    }
    FutexWait(&state_, kParked, timeout_ns);
  }
  uint32_t expected = kParked;
  state_.compare_exchange_strong(expected, kPending, std::memory_order_acq_rel);
  auto& impl = *loop_->impl_;
  std::lock_guard lock(impl.parking_mutex);
  for (Completion** at = &impl.parked; parked_ && *at != nullptr; at = &(*at)->next_parked_) {
    if (*at == this) {
      *at = next_parked_;
      parked_ = false;
      break;
    }
  }
}

bool DriveUntil(EventLoop* loop, int64_t timeout_ns, const std::function<bool()>& condition) {
  Clock* clock = loop->clock();
  const Instant deadline = clock->Now() + timeout_ns;
  for (;;) {
    {
      EventLoop::Section section(loop);
      if (condition()) {
        return true;
      }
    }
    const int64_t left = deadline - clock->Now();
    if (left <= 0) {
      return false;
    }
    loop->RunOnce(std::min(left, 2 * kNsPerMs));
  }
}

}  // namespace understudy

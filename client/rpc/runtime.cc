#include "client/rpc/runtime.h"

#include <mutex>
#include <utility>

namespace understudy {
namespace {

// Upper bound of one wait of a driving waiter. Another thread that finishes its completion wakes it; this only
// covers the instants between its last look and its wait, when that wake-up may reach the loop's thread instead.
constexpr int64_t kDriveNsMax = 2 * kNsPerMs;

thread_local bool in_callback = false;
thread_local const Completion* driving = nullptr;

}  // namespace

Runtime::Runtime(Clock* clock) : loop_(clock) {
  loop_.SetAfterWork([this] {
    if (const auto* fn = after_work_.load(std::memory_order_acquire)) (*fn)();
  });
  thread_ = std::thread([this] { loop_.Run(); });
}

Runtime::~Runtime() { Stop(); }

void Runtime::Stop() {
  if (!thread_.joinable()) return;
  loop_.Stop();
  thread_.join();
}

void Runtime::Run(std::function<void()> fn) { loop_.Post(std::move(fn)); }

void Runtime::Await(const std::shared_ptr<Completion>& completion, Drive drive) {
  std::atomic<uint32_t>& state = completion->state_;
  uint32_t seen = Completion::kPending;
  if (drive == Drive::kSelf && !driven_.exchange(true, std::memory_order_acquire)) {
    if (state.compare_exchange_strong(seen, Completion::kDriving, std::memory_order_acq_rel)) {
      driving = completion.get();
      while (!completion->done()) loop_.RunOnce(kDriveNsMax);
      driving = nullptr;
    }
    driven_.store(false, std::memory_order_release);
    return;
  }
  if (!state.compare_exchange_strong(seen, Completion::kSleeping, std::memory_order_acq_rel)) return;
  while (!completion->done()) state.wait(Completion::kSleeping, std::memory_order_acquire);
}

void Runtime::Finish(const std::shared_ptr<Completion>& completion) {
  const uint32_t was = completion->state_.exchange(Completion::kDone, std::memory_order_acq_rel);
  if (was == Completion::kSleeping) {
    completion->state_.notify_one();
  } else if (was == Completion::kDriving && driving != completion.get()) {
    loop_.Post([] {});  // it may be waiting for events: give it one
  }
}

bool Runtime::InCallback() { return in_callback; }

Runtime::CallbackScope::CallbackScope() : outer_(std::exchange(in_callback, true)) {}
Runtime::CallbackScope::~CallbackScope() { in_callback = outer_; }

}  // namespace understudy

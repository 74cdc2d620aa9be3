#include "client/rpc/runtime.h"

#include <utility>

namespace understudy {
namespace {

thread_local bool in_callback = false;

}  // namespace

Runtime::Runtime(Clock* clock) : loop_(clock) {
  loop_.SetAfterWork([this] { AfterWork(); });
  thread_ = std::thread([this] { loop_.Run(); });
}

Runtime::~Runtime() { Stop(); }

void Runtime::Stop() {
  if (!thread_.joinable()) return;
  loop_.Stop();
  thread_.join();
}

void Runtime::AfterWork() {
  if (const auto* fn = after_work_.load(std::memory_order_acquire)) (*fn)();
}

bool Runtime::InCallback() { return in_callback; }

Runtime::CallbackScope::CallbackScope() : outer_(std::exchange(in_callback, true)) {}
Runtime::CallbackScope::~CallbackScope() { in_callback = outer_; }

}  // namespace understudy

#include "tests/e2e/resp_check/gap_meter.h"

#include <algorithm>

namespace understudy::resp_check {

void GapMeter::Success(Instant now) {
  const std::lock_guard guard(mutex_);
  ++window_.successes;
  if (last_.has_value() && now - *last_ > window_.longest_ns) {
    window_.longest_ns = now - *last_;
    window_.longest_began = *last_;
    longest_ever_ns_ = std::max(longest_ever_ns_, window_.longest_ns);
  }
  // Successes of several threads may arrive a little out of order.
  if (!last_.has_value() || now > *last_) {
    last_ = now;
  }
}

GapMeter::Window GapMeter::Peek(Instant now) const {
  const std::lock_guard guard(mutex_);
  Window window = window_;
  window.running_ns = last_.has_value() ? now - *last_ : 0;
  return window;
}

GapMeter::Window GapMeter::NextWindow(Instant now) {
  const Window window = Peek(now);
  const std::lock_guard guard(mutex_);
  window_ = {};
  return window;
}

int64_t GapMeter::LongestEverNs() const {
  const std::lock_guard guard(mutex_);
  return longest_ever_ns_;
}

void GapMeter::Pause() {
  const std::lock_guard guard(mutex_);
  last_.reset();
}

}  // namespace understudy::resp_check

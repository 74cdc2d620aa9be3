#include "server/lognode/io_budget.h"

#include <algorithm>

namespace understudy {
namespace {

constexpr double kSufferFactor = 1.5;
constexpr double kSufferSlackNs = 100'000;  // noise of a fast disk
constexpr double kBurstSeconds = 0.05;
constexpr int64_t kWindowNs = IoBudget::kWindowMs * kNsPerMs;

}  // namespace

IoBudget::IoBudget(uint64_t bytes_per_s_max)
    : rate_max_(static_cast<double>(std::max(bytes_per_s_max, kBytesPerSecondMin))),
      rate_(rate_max_),
      tokens_(rate_max_ * kBurstSeconds) {}

void IoBudget::EndWindow() {
  const bool busy = copied_ || copied_before_;
  if (appends_ == 0) {
    rate_ = std::min(rate_max_, rate_ * 2);
  } else if (!busy) {
    const double mean = appends_ns_ / appends_;
    quiet_ = quiet_.has_value() ? *quiet_ * 0.7 + mean * 0.3 : mean;
    quiet_at_ = window_begin_;
  } else if (quiet_.has_value()) {
    const bool suffers = appends_ns_ / appends_ > *quiet_ * kSufferFactor + kSufferSlackNs;
    rate_ = suffers ? rate_ / 2 : rate_ + rate_max_ / 32;
    rate_ = std::clamp(rate_, static_cast<double>(kBytesPerSecondMin), rate_max_);
  }
  // Two windows: the first may still feel what was copied before it.
  if (appends_ > 0 && busy && (!quiet_.has_value() || window_begin_ - quiet_at_ > kPauseEveryMs * kNsPerMs)) {
    if (pause_until_ <= window_begin_) pause_until_ = window_begin_ + 3 * kWindowNs;
    if (!quiet_.has_value() && !copied_) quiet_at_ = window_begin_;
  }
  copied_before_ = copied_;
  copied_ = false;
  appends_ = 0;
  appends_ns_ = 0;
}

void IoBudget::Roll(Instant now) {
  if (!started_) {
    started_ = true;
    window_begin_ = filled_at_ = quiet_at_ = now;
    return;
  }
  if (now > filled_at_) {
    const double seconds = static_cast<double>(now - filled_at_) / static_cast<double>(kNsPerSecond);
    tokens_ = std::min(tokens_ + rate_ * seconds, rate_max_ * kBurstSeconds);
    filled_at_ = now;
  }
  // After a long silence a handful of empty windows says all there is to say.
  for (int i = 0; i < 8 && now - window_begin_ >= kWindowNs; ++i) {
    EndWindow();
    window_begin_ = window_begin_ + kWindowNs;
  }
  if (now - window_begin_ >= kWindowNs) window_begin_ = now;
}

Instant IoBudget::ReadyAt(Instant now) {
  Roll(now);
  Instant at = std::max(now, pause_until_);
  if (tokens_ <= 0) {
    const double wait_s = -tokens_ / rate_;
    at = std::max(at, now + static_cast<int64_t>(wait_s * static_cast<double>(kNsPerSecond)) + 1);
  }
  return at;
}

void IoBudget::Spend(uint64_t bytes, Instant now) {
  Roll(now);
  tokens_ -= static_cast<double>(bytes);
  copied_ = true;
}

void IoBudget::NoteAppend(int64_t latency_ns, Instant now) {
  Roll(now);
  appends_ns_ += static_cast<double>(latency_ns);
  ++appends_;
}

}  // namespace understudy

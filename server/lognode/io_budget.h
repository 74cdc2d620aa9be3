// How fast copies that nobody waits for may go: a token bucket that gives way to appends. It knows what an append costs
// while nothing is copied, and slows down when one costs half as much again; with no appends it goes at full rate.
//
// Additive increase, multiplicative decrease, over windows of kWindowMs. The quiet figure is measured in windows
// without copies; under copies that never end, a short pause now and then makes one.
#pragma once

#include <cstdint>
#include <optional>

#include "understudy/types.h"

namespace understudy {

class IoBudget {
 public:
  static constexpr int64_t kWindowMs = 100;
  static constexpr int64_t kPauseEveryMs = 5'000;  // for a window without copies, while appends come
  static constexpr uint64_t kBytesPerSecondMin = 1u << 20;

  explicit IoBudget(uint64_t bytes_per_s_max);

  // When the next piece may start: `now`, or later.
  Instant ReadyAt(Instant now);
  void Spend(uint64_t bytes, Instant now);
  // From an append's arrival until it was durable. A sample now and then is enough.
  void NoteAppend(int64_t latency_ns, Instant now);

  uint64_t bytes_per_s() const { return static_cast<uint64_t>(rate_); }

 private:
  void Roll(Instant now);
  void EndWindow();

  double rate_max_;
  double rate_;
  double tokens_;
  Instant filled_at_;
  bool started_ = false;
  Instant window_begin_;
  double appends_ns_ = 0;  // of this window
  int appends_ = 0;
  bool copied_ = false;          // in this window
  bool copied_before_ = false;   // in the one before it, whose writes may still be under way
  std::optional<double> quiet_;  // ns an append takes without copies
  Instant quiet_at_;
  Instant pause_until_;
};

}  // namespace understudy

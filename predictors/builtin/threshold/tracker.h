// One bound watching one metric: the alarm with its duration and hysteresis, and the slope. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "predictors/builtin/threshold/config.h"

namespace understudy::threshold {

// Least squares over the window: value = level + slope * (t - last sample's time).
struct Slope {
  double level = 0;  // fitted, at the last sample
  double per_s = 0;
  double standard_error = 0;  // of per_s
};

// Quantiles of the time until a value is reached, seconds.
struct TimeTo {
  double p10_s = 0, p50_s = 0, p90_s = 0;
};

class Tracker {
 public:
  Tracker(const Bound& bound, double stale_s, double trend_s) : bound_(&bound), stale_s_(stale_s), trend_s_(trend_s) {}

  // Times ascend.
  void Observe(int64_t time_ns, double value);

  // Whether there is a value young enough to speak of.
  bool Known(int64_t now_ns) const;
  bool seen() const { return seen_; }
  bool alarm() const { return alarm_; }
  double value() const { return value_; }
  // How long the value has been beyond the limit, up to the last sample.
  double beyond_s() const { return beyond_since_ ? Seconds(last_ns_ - *beyond_since_) : 0; }

  // Empty: too few points, or too short a stretch of time.
  std::optional<Slope> FitSlope() const;
  // Time until `target` from `now`. Empty: the value does not head there with any certainty. Zeros: it is there.
  std::optional<TimeTo> TimeUntil(double target, int64_t now_ns) const;
  // Probability that `target` is reached within `horizon_s` of `now` if the slope holds, from the slope's error.
  double ProbabilityWithin(double target, int64_t now_ns, double horizon_s) const;

  // All that the above depends on.
  struct State {
    bool seen = false, alarm = false;
    int64_t last_ns = 0;
    double value = 0;
    std::optional<int64_t> beyond_since, good_since;
    std::deque<std::pair<int64_t, double>> window;
  };
  State Save() const { return {seen_, alarm_, last_ns_, value_, beyond_since_, good_since_, window_}; }
  void Restore(State state);

 private:
  static constexpr size_t kWindowMax = 512;  // points; at more, every second one is dropped

  static double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }
  bool Beyond(double value, double limit) const { return bound_->above ? value > limit : value < limit; }
  // How far it is to `target` from the fitted level carried on to `now`; not positive when reached.
  double Distance(const Slope& slope, double target, int64_t now_ns) const;

  const Bound* bound_;
  double stale_s_, trend_s_;
  bool seen_ = false, alarm_ = false;
  int64_t last_ns_ = 0;
  double value_ = 0;
  std::optional<int64_t> beyond_since_, good_since_;
  std::deque<std::pair<int64_t, double>> window_;
};

}  // namespace understudy::threshold

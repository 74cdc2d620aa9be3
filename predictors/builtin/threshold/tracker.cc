#include "predictors/builtin/threshold/tracker.h"

#include <algorithm>
#include <cmath>

namespace understudy::threshold {

namespace {
constexpr double kZ90 = 1.2815515655446004;  // the 90 % quantile of the normal distribution
constexpr size_t kPointsMin = 5;
constexpr double kFarS = 30.0 * 86400;  // beyond that a slope of a minute says nothing
}  // namespace

void Tracker::Observe(int64_t time_ns, double value) {
  // What happened in a long gap is not known: durations begin anew.
  if (seen_ && Seconds(time_ns - last_ns_) > stale_s_) {
    beyond_since_.reset();
    good_since_.reset();
    window_.clear();
  }
  seen_ = true;
  last_ns_ = time_ns;
  value_ = value;

  if (Beyond(value, bound_->limit)) {
    if (!beyond_since_) beyond_since_ = time_ns;
  } else {
    beyond_since_.reset();
  }
  const bool good = !Beyond(value, bound_->clear);
  if (good) {
    if (!good_since_) good_since_ = time_ns;
  } else {
    good_since_.reset();
  }
  if (!alarm_ && beyond_since_ && Seconds(time_ns - *beyond_since_) >= bound_->for_s) alarm_ = true;
  if (alarm_ && good_since_ && Seconds(time_ns - *good_since_) >= bound_->clear_for_s) alarm_ = false;

  window_.emplace_back(time_ns, value);
  while (Seconds(time_ns - window_.front().first) > trend_s_) window_.pop_front();
  if (window_.size() > kWindowMax) {
    std::deque<std::pair<int64_t, double>> thinned;
    for (size_t i = window_.size() % 2; i < window_.size(); i += 2) thinned.push_back(window_[i]);
    thinned.back() = window_.back();
    window_ = std::move(thinned);
  }
}

bool Tracker::Known(int64_t now_ns) const { return seen_ && Seconds(now_ns - last_ns_) <= stale_s_; }

std::optional<Slope> Tracker::FitSlope() const {
  if (window_.size() < kPointsMin) return std::nullopt;
  if (Seconds(window_.back().first - window_.front().first) < trend_s_ / 4) return std::nullopt;
  const double n = static_cast<double>(window_.size());
  double mean_t = 0, mean_v = 0;
  for (const auto& [t, v] : window_) {
    mean_t += Seconds(t - last_ns_) / n;
    mean_v += v / n;
  }
  double tt = 0, tv = 0;
  for (const auto& [t, v] : window_) {
    const double dt = Seconds(t - last_ns_) - mean_t;
    tt += dt * dt;
    tv += dt * (v - mean_v);
  }
  if (!(tt > 0)) return std::nullopt;
  Slope slope;
  slope.per_s = tv / tt;
  slope.level = mean_v - slope.per_s * mean_t;
  double residual = 0;
  for (const auto& [t, v] : window_) {
    const double error = v - (slope.level + slope.per_s * Seconds(t - last_ns_));
    residual += error * error;
  }
  slope.standard_error = std::sqrt(residual / (n - 2) / tt);
  if (!std::isfinite(slope.per_s) || !std::isfinite(slope.standard_error)) return std::nullopt;
  return slope;
}

double Tracker::Distance(const Slope& slope, double target, int64_t now_ns) const {
  const double at_now = slope.level + slope.per_s * Seconds(now_ns - last_ns_);
  return bound_->above ? target - at_now : at_now - target;
}

std::optional<TimeTo> Tracker::TimeUntil(double target, int64_t now_ns) const {
  if (!Beyond(target, value_)) return TimeTo{};
  const std::optional<Slope> slope = FitSlope();
  if (!slope) return std::nullopt;
  const double speed = bound_->above ? slope->per_s : -slope->per_s;
  const double slowest = speed - kZ90 * slope->standard_error;
  if (!(slowest > 0)) return std::nullopt;
  const double distance = std::max(0.0, Distance(*slope, target, now_ns));
  const TimeTo time{distance / (speed + kZ90 * slope->standard_error), distance / speed, distance / slowest};
  if (time.p50_s > kFarS || !std::isfinite(time.p90_s)) return std::nullopt;
  return time;
}

double Tracker::ProbabilityWithin(double target, int64_t now_ns, double horizon_s) const {
  if (!Beyond(target, value_)) return 1;
  const std::optional<Slope> slope = FitSlope();
  if (!slope) return 0;
  const double speed = bound_->above ? slope->per_s : -slope->per_s;
  if (!(speed - kZ90 * slope->standard_error > 0)) return 0;  // noise near the bound is no trend
  const double needed = std::max(0.0, Distance(*slope, target, now_ns)) / horizon_s;
  // A perfectly straight line has no error; then the answer is plain.
  if (!(slope->standard_error > 1e-12 * std::abs(speed))) return speed >= needed ? 1 : 0;
  return 0.5 * std::erfc((needed - speed) / slope->standard_error / std::sqrt(2.0));
}

void Tracker::Restore(State state) {
  seen_ = state.seen;
  alarm_ = state.alarm;
  last_ns_ = state.last_ns;
  value_ = state.value;
  beyond_since_ = state.beyond_since;
  good_since_ = state.good_since;
  window_ = std::move(state.window);
}

}  // namespace understudy::threshold

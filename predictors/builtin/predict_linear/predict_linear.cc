// The alert rule most operators have today, as a predictor, so that others can be measured against it: Prometheus's
// `predict_linear(metric[window], horizon) > limit` with a `for` duration (prometheus.io/docs/prometheus/latest/
// querying/functions: simple linear regression over the range). A line through two points or more, no test whether it
// means anything. docs/predictors.md.
#include <cmath>
#include <cstdio>
#include <deque>

#include "predictors/builtin/predict_linear/config.h"
#include "understudy/predictor.hpp"

namespace understudy::predict_linear {
namespace {

double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

// A sliding window with the sums of its least-squares line, kept as points come and go. Times and values are relative
// to those of the oldest point at the last rebuild, so that large ones do not swallow small changes; rebuilt each time
// as many points have left as are in it, so that rounding does not gather.
class Window {
 public:
  void Add(int64_t time_ns, double value, double window_s) {
    points_.push_back({time_ns, value});
    Count(points_.back(), 1);
    while (Seconds(time_ns - points_.front().time_ns) > window_s) {
      Count(points_.front(), -1);
      points_.pop_front();
      ++left_;
    }
    if (left_ > points_.size() || points_.size() == 1) Rebuild();
    if (points_.size() > kPointsMax) Thin();
  }
  bool empty() const { return points_.empty(); }
  size_t size() const { return points_.size(); }
  int64_t last_ns() const { return points_.back().time_ns; }
  double last() const { return points_.back().value; }

  // Where the line will be at `time_ns`. Needs two points.
  double At(int64_t time_ns) const {
    const double n = static_cast<double>(points_.size());
    const double tt = sum_tt_ - sum_t_ * sum_t_ / n;
    const double slope = tt > 0 ? (sum_tv_ - sum_t_ * sum_v_ / n) / tt : 0;
    const double level = (sum_v_ - slope * sum_t_) / n;
    return base_value_ + level + slope * Seconds(time_ns - base_ns_);
  }

 private:
  struct Point {
    int64_t time_ns;
    double value;
  };
  static constexpr size_t kPointsMax = 20'000;  // beyond that every second one is dropped

  void Count(const Point& point, int sign) {
    const double t = Seconds(point.time_ns - base_ns_), v = point.value - base_value_;
    sum_t_ += sign * t;
    sum_v_ += sign * v;
    sum_tt_ += sign * t * t;
    sum_tv_ += sign * t * v;
  }
  void Rebuild() {
    base_ns_ = points_.front().time_ns;
    base_value_ = points_.front().value;
    sum_t_ = sum_v_ = sum_tt_ = sum_tv_ = 0;
    for (const Point& point : points_) Count(point, 1);
    left_ = 0;
  }
  void Thin() {
    std::deque<Point> kept;
    for (size_t i = 1 - points_.size() % 2; i < points_.size(); i += 2) kept.push_back(points_[i]);
    points_ = std::move(kept);
    Rebuild();
  }

  std::deque<Point> points_;
  size_t left_ = 0;
  int64_t base_ns_ = 0;
  double base_value_ = 0;
  double sum_t_ = 0, sum_v_ = 0, sum_tt_ = 0, sum_tv_ = 0;
};

class PredictLinear {
 public:
  PredictLinear(sdk::Host host, std::string_view config)
      : host_(host), config_(ParseConfig(config)), watched_(config_.rules.size()) {}

  // The metric of each rule, and after it the one that is its limit, if any.
  std::vector<std::string> Metrics() const {
    std::vector<std::string> names;
    for (const Rule& rule : config_.rules) {
      names.push_back(rule.metric);
      if (!rule.limit_metric.empty()) names.push_back(rule.limit_metric);
    }
    return names;
  }

  void Observe(const sdk::SampleView& sample) {
    size_t at = 0;
    for (size_t i = 0; i < watched_.size(); ++i) {
      const Rule& rule = config_.rules[i];
      Watched& watched = watched_[i];
      const std::optional<double> value = sample[at++];
      if (!rule.limit_metric.empty()) {
        if (const std::optional<double> limit = sample[at++]) watched.limit = *limit * rule.limit_factor;
      } else {
        watched.limit = rule.limit * rule.limit_factor;
      }
      // Beyond it the sums of squares overflow.
      if (!value || std::abs(*value) > 1e100) continue;
      watched.window.Add(sample.time_ns(), *value, config_.window_s);
      // `for`: since when has the line led beyond the limit? Judged at each sample, as the rule is by Prometheus.
      if (config_.horizon_s > 0) Judge(&watched, rule, sample.time_ns(), config_.horizon_s);
    }
  }

  int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const {
    bool known = false;
    for (const Watched& watched : watched_) known = known || Known(watched, now_ns);
    if (!known) {
      host_.Explain("fewer than two values in the window");
      return UNDERSTUDY_WARMING;
    }
    for (understudy_forecast& forecast : forecasts) Fill(now_ns, &forecast);
    return UNDERSTUDY_OK;
  }

  void Reset(int32_t) { watched_.assign(config_.rules.size(), {}); }

 private:
  struct Watched {
    Window window;
    std::optional<double> limit;
    std::optional<int64_t> since_ns;  // the line has led beyond the limit; with horizon_s of the configuration only
  };

  bool Known(const Watched& watched, int64_t now_ns) const {
    return watched.limit && watched.window.size() >= 2 &&
           Seconds(now_ns - watched.window.last_ns()) <= config_.window_s;
  }
  static bool Beyond(const Rule& rule, double value, double limit) {
    return rule.above ? value > limit : value < limit;
  }

  static void Judge(Watched* watched, const Rule& rule, int64_t now_ns, double horizon_s) {
    const bool beyond =
        watched->limit && watched->window.size() >= 2 &&
        Beyond(rule, watched->window.At(now_ns + static_cast<int64_t>(horizon_s * 1e9)), *watched->limit);
    if (!beyond) {
      watched->since_ns.reset();
    } else if (!watched->since_ns) {
      watched->since_ns = now_ns;
    }
  }

  void Fill(int64_t now_ns, understudy_forecast* forecast) const {
    const double ahead_s = config_.horizon_s > 0 ? config_.horizon_s : Seconds(forecast->horizon_ns);
    size_t known = 0;
    forecast->probability = config_.base_probability;
    for (size_t i = 0; i < watched_.size(); ++i) {
      const Rule& rule = config_.rules[i];
      const Watched& watched = watched_[i];
      if (!Known(watched, now_ns)) continue;
      ++known;
      const double value = watched.window.At(now_ns + static_cast<int64_t>(ahead_s * 1e9));
      if (!Beyond(rule, value, *watched.limit)) continue;
      if (config_.for_s > 0 && !(watched.since_ns && Seconds(now_ns - *watched.since_ns) >= config_.for_s)) continue;
      forecast->probability = config_.probability;
      char text[UNDERSTUDY_REASON_MAX];
      std::snprintf(text, sizeof text, "%.80s %.4g, in %.4g s %.4g %s %.4g", rule.metric.c_str(), watched.window.last(),
                    ahead_s, value, rule.above ? ">" : "<", *watched.limit);
      sdk::SetReason(forecast, text);
    }
    forecast->confidence = static_cast<double>(known) / static_cast<double>(watched_.size());
    if (forecast->reason[0] == '\0') sdk::SetReason(forecast, "the line does not lead beyond the limit");
  }

  sdk::Host host_;
  Config config_;
  std::vector<Watched> watched_;
};

}  // namespace
}  // namespace understudy::predict_linear

UNDERSTUDY_PREDICTOR(understudy::predict_linear::PredictLinear, "predict_linear", "1.0.0")

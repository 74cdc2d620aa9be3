#include "predictors/builtin/trend/regime.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <span>

#include "predictors/stats/quantiles.h"

namespace understudy::trend {
namespace {

constexpr double kOutlying = 8;      // robust standard deviations: an increment that is not of the usual kind
constexpr double kDropShare = 0.25;  // of the window's range: a fall worth the name
constexpr double kLiftShare = 0.1;

struct Increments {
  double median = 0, deviation = 0;
};

Increments Usual(const Window& window, size_t begin, std::vector<double>* scratch) {
  scratch->clear();
  for (size_t i = begin; i + 1 < window.n; ++i) scratch->push_back(window.low[i + 1] - window.low[i]);
  Increments usual;
  usual.median = stats::Median(*scratch);
  usual.deviation = stats::kMadToSigma * stats::MedianAbsoluteDeviation(*scratch, usual.median);
  return usual;
}

double Range(const Window& window, size_t begin) {
  const auto [low, high] = std::minmax_element(window.low.begin() + static_cast<std::ptrdiff_t>(begin),
                                               window.low.begin() + static_cast<std::ptrdiff_t>(window.n));
  return *high - *low;
}

// The bucket after the last fall that is out of the ordinary.
size_t AfterLastDrop(const Window& window, std::vector<double>* scratch) {
  const Increments usual = Usual(window, 0, scratch);
  const double far = std::max(kOutlying * usual.deviation, kDropShare * Range(window, 0));
  for (size_t i = window.n - 1; i > 0; --i) {
    const double floor = std::min(usual.median, 0.0) - far;
    if (window.low[i] - window.low[i - 1] >= floor) continue;
    if (i >= 2 && window.low[i] - window.low[i - 2] >= floor) continue;  // back from a spike of one bucket
    return i;
  }
  return 0;
}

// A deploy, a cache that is loaded, a table that doubles: one bucket holds a rise unlike its neighbours'. The part
// before is raised to the level after, so that neither the test nor the slope sees the step. When such steps are many
// they are the growth itself.
double TakeOutLifts(Window* window, size_t begin, std::vector<double>* scratch) {
  const size_t n = window->n - begin;
  if (n < 5) return 0;
  const Increments usual = Usual(*window, begin, scratch);
  const double far = std::max(kOutlying * usual.deviation, kLiftShare * Range(*window, begin));
  const auto step = [&](size_t i) { return window->low[i] - window->low[i - 1] - usual.median; };
  std::vector<size_t> lifts;
  for (size_t i = begin + 1; i < window->n; ++i) {
    if (step(i) <= far) continue;
    double neighbours = 0;
    for (size_t j = i - std::min<size_t>(2, i - begin - 1); j <= std::min(i + 2, window->n - 1); ++j) {
      if (j != i) neighbours = std::max(neighbours, std::abs(step(j)));
    }
    if (step(i) > 3 * neighbours) lifts.push_back(i);
  }
  if (lifts.empty() || lifts.size() > std::max<size_t>(1, n / 8)) return 0;
  double sum = 0;
  for (const size_t at : lifts) {
    const double lift = step(at);
    sum += lift;
    for (size_t i = begin; i < at; ++i) {
      window->low[i] += lift;
      window->high[i] += lift;
    }
  }
  return sum;
}

// Sums for least squares over a prefix.
struct Sums {
  double n = 0, t = 0, v = 0, tt = 0, tv = 0, vv = 0;
  void Add(double time, double value) {
    n += 1;
    t += time;
    v += value;
    tt += time * time;
    tv += time * value;
    vv += value * value;
  }
  Sums Minus(const Sums& other) const {
    return {n - other.n, t - other.t, v - other.v, tt - other.tt, tv - other.tv, vv - other.vv};
  }
  double Rest() const {  // of the line
    const double ss_t = tt - t * t / n, ss_v = vv - v * v / n, ss_tv = tv - t * v / n;
    return std::max(0.0, ss_t > 0 ? ss_v - ss_tv * ss_tv / ss_t : ss_v);
  }
};

// Where a line with one bend fits so much better than a smooth curve (a parabola, for the purpose) that its extra
// parameter is worth it by AICc: the bucket of the bend, `begin` when nowhere.
size_t AfterBend(const Window& window, size_t begin, double evidence) {
  const size_t n = window.n - begin;
  if (n < kPointsMin + 4) return begin;
  const double range = Range(window, begin);
  if (!(range > 0)) return begin;
  // Scaled to 0..1, so that sums of squares stay well conditioned; spikes of one bucket are taken out by a median of 3.
  std::array<double, kWindowMax> t, v;
  std::array<Sums, kWindowMax + 1> sums;
  for (size_t i = 0; i < n; ++i) {
    const size_t at = begin + i;
    const double a = window.low[i == 0 ? at : at - 1], b = window.low[at], c = window.low[i + 1 == n ? at : at + 1];
    v[i] = (std::max(std::min(a, b), std::min(std::max(a, b), c)) - window.low[begin]) / range;
    t[i] = (window.time_s[at] - window.time_s[begin]) / (window.time_s[window.n - 1] - window.time_s[begin]);
    sums[i + 1] = sums[i];
    sums[i + 1].Add(t[i], v[i]);
  }
  const double count = static_cast<double>(n);
  const double tiny = count * 1e-6;
  size_t best = 0;
  double best_rest = DBL_MAX;
  for (size_t i = 4; i + kPointsMin <= n; ++i) {
    const double rest = sums[i].Rest() + sums[n].Minus(sums[i]).Rest();
    if (rest < best_rest) {
      best_rest = rest;
      best = i;
    }
  }
  // The parabola by residuals: t^2 and v both freed of the line.
  double s_q = 0, s_qq = 0, s_tq = 0, s_vq = 0;
  for (size_t i = 0; i < n; ++i) {
    const double q = t[i] * t[i];
    s_q += q;
    s_qq += q * q;
    s_tq += t[i] * q;
    s_vq += v[i] * q;
  }
  const Sums& all = sums[n];
  const double ss_t = all.tt - all.t * all.t / count, ss_tv = all.tv - all.t * all.v / count;
  const double ss_tq = s_tq - all.t * s_q / count, ss_vq = s_vq - all.v * s_q / count;
  const double ss_qq = s_qq - s_q * s_q / count;
  double smooth = all.Rest();
  if (ss_t > 0) {
    const double q = ss_qq - ss_tq * ss_tq / ss_t, vq = ss_vq - ss_tv * ss_tq / ss_t;
    if (q > 0) smooth = std::max(0.0, smooth - vq * vq / q);
  }
  const auto aicc = [&](double rest, double k) {
    return count * std::log((rest + tiny) / count) + 2 * k + 2 * k * (k + 1) / (count - k - 1);
  };
  // Two lines and where they meet: 5, and the variance; a parabola: 3, and the variance.
  return aicc(best_rest, 6) + evidence < aicc(smooth, 4) ? begin + best : begin;
}

}  // namespace

void FindRegime(Window* window, Regime* regime, std::vector<double>* scratch, double evidence) {
  regime->x.clear();
  regime->low.clear();
  regime->high.clear();
  regime->before = -DBL_MAX;
  regime->begin = 0;
  regime->lifted = 0;
  regime->dropped = false;
  if (window->n < kPointsMin) return;
  if (!window->medians) regime->begin = AfterLastDrop(*window, scratch);
  regime->dropped = regime->begin > 0;
  for (size_t i = 2; i < regime->begin; ++i) {  // held for three buckets
    regime->before = std::max(regime->before, std::min({window->low[i], window->low[i - 1], window->low[i - 2]}));
  }
  if (window->n - regime->begin < kPointsMin) return;
  if (!window->medians) regime->lifted = TakeOutLifts(window, regime->begin, scratch);
  for (int bends = 0; bends < 2; ++bends) {
    const size_t after = AfterBend(*window, regime->begin, evidence);
    if (after == regime->begin) break;
    for (size_t i = regime->begin + 2; i < after; ++i) {
      regime->before = std::max(regime->before, std::min({window->low[i], window->low[i - 1], window->low[i - 2]}));
    }
    regime->begin = after;
  }
  const size_t n = window->n - regime->begin;
  const size_t merge = (n + kPointsMax - 1) / kPointsMax;
  const double end_s = window->time_s[window->n - 1];
  // The newest points are whole; what does not fill a point at the old end is left out.
  for (size_t i = regime->begin + n % merge; i < window->n; i += merge) {
    double x = 0, low = 0, high = window->high[i], highs = 0;
    for (size_t j = i; j < i + merge; ++j) {
      x += window->time_s[j] - end_s;
      low += window->low[j];
      high = std::max(high, window->high[j]);
      highs += window->high[j];
    }
    regime->x.push_back(x / static_cast<double>(merge));
    regime->low.push_back(low / static_cast<double>(merge));
    regime->high.push_back(window->medians ? highs / static_cast<double>(merge) : high);
  }
}

}  // namespace understudy::trend

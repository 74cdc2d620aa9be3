#include "predictors/builtin/trend/scatter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "predictors/stats/mann_kendall.h"
#include "predictors/stats/quantiles.h"
#include "predictors/stats/theil_sen.h"

namespace understudy::trend {
namespace {

constexpr size_t kRecent = 8;
constexpr double kUpper = 0.85;
constexpr double kMeanToSigma = 1.2533;  // of a normal distribution: sigma over mean absolute deviation
constexpr double kZ90 = 1.6449;
constexpr double kDependenceMax = 0.8;
constexpr double kEvenFirst = 2;     // log odds before: the form that gets to the limit later must be refuted
constexpr double kLeastRest = 0.02;  // a scatter of 2 % is none
constexpr double kLeastNow = 0.02;   // of the level by the one form, where the other is out of the question

// How many values say as much as one independent one: (1 + r) / (1 - r) of a first-order autoregression (Yue and Wang,
// "The Mann-Kendall test modified by effective sample size to detect trend in serially correlated hydrological series",
// Water Resources Management 18, 2004), where r is significant (Hamed and Rao, "A modified Mann-Kendall trend test for
// autocorrelated data", J. Hydrology 204, 1998). Of the residuals, as the trend itself would pass for dependence; wild
// ones are drawn in.
double Dependence(std::span<const double> rests, double sigma) {
  double product = 0, squares = 0, before = 0;
  for (size_t i = 0; i < rests.size(); ++i) {
    const double rest = std::clamp(rests[i], -2 * sigma, 2 * sigma);
    if (i > 0) product += rest * before;
    squares += rest * rest;
    before = rest;
  }
  const double r = squares > 0 ? std::min(product / squares, kDependenceMax) : 0;
  return r > kZ90 / std::sqrt(static_cast<double>(rests.size())) ? (1 + r) / (1 - r) : 1;
}

double MeanSize(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += std::abs(value);
  return sum / static_cast<double>(values.size());
}

}  // namespace

double StartedLog(double value, double start) { return std::log(std::max(value, 0.0) + start); }

double RecentLevel(const Series& series) {
  std::array<double, kRecent> samples;
  return stats::Median(std::span(samples).first(series.scale(0).Newest(samples)));
}

void ExtractScatter(const Series& series, size_t k, Window* window) {
  series.scale(k).Extract(window);
  window->bucket_s = series.bucket_s(k);
  window->medians = true;
  if (k > 0) return;
  const size_t odd = window->n % 2;  // the newest pair is whole
  window->n /= 2;
  window->bucket_s *= 2;
  for (size_t i = 0; i < window->n; ++i) {
    const size_t a = odd + 2 * i, b = a + 1;
    window->time_s[i] = window->time_s[a];
    const double first = window->low[a], second = window->low[b];
    window->low[i] = (first + second) / 2;
    window->high[i] = std::max(first, second);
  }
}

std::optional<Growth> FitScatter(const Regime& regime, double limit, bool of_samples, FitScratch* scratch) {
  const std::vector<double>&x = regime.x, &y = regime.low;
  const size_t n = x.size();
  const double count = static_cast<double>(n);
  const double span = -x[0];
  const stats::KendallTest test = stats::MannKendall(y, &scratch->sorted);
  if (!(test.z > 0) || !(span > 0)) return std::nullopt;

  // It grows by the same factor each second ...
  const stats::SenSlope sen = stats::TheilSen(x, y, test.variance, kZ90, &scratch->pairs);
  if (!(sen.slope > 0)) return std::nullopt;
  const double level = stats::MedianIntercept(x, y, sen.slope, &scratch->pairs);
  std::vector<double>& rests = scratch->rests;
  rests.resize(n);
  for (size_t i = 0; i < n; ++i) rests[i] = y[i] - level - sen.slope * x[i];
  const double steep_rest = std::max(MeanSize(rests), kLeastRest);

  // ... or by the same amount, which the logarithm bends.
  std::vector<double>& amounts = scratch->bent;
  amounts.resize(n);
  for (size_t i = 0; i < n; ++i) amounts[i] = std::exp(y[i] - level);
  const double speed = stats::TheilSen(x, amounts, test.variance, kZ90, &scratch->pairs).slope;
  const double now = stats::MedianIntercept(x, amounts, speed, &scratch->pairs);
  const double even_level = level + std::log(std::max(now, kLeastNow));
  double even_weight = 0;
  if (now > kLeastNow && speed > 0) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      amounts[i] = y[i] - level - std::log(std::max(now + speed * x[i], kLeastNow * now));
      sum += std::abs(amounts[i]);
    }
    // Akaike weight of a form with as many parameters; residuals of a Laplace distribution, as in growth.cc.
    const double even_rest = std::max(sum / count, kLeastRest);
    even_weight = 1 / (1 + std::exp(std::clamp(count * std::log(even_rest / steep_rest) - kEvenFirst, -60.0, 60.0)));
    if (even_weight > 0.5) rests.swap(amounts);
  }

  Growth growth;
  growth.points = n;
  growth.logarithmic = true;
  growth.span_s = span;
  growth.linear = {sen.slope, 0, 1 - even_weight};
  if (even_weight > 0) growth.curved = {.speed = speed / now, .weight = even_weight, .even = true};
  growth.level = (1 - even_weight) * level + even_weight * even_level;
  growth.rise = sen.slope * span;
  growth.scatter = kMeanToSigma * std::max(MeanSize(rests), kLeastRest);
  const double dependence = growth.dependence = Dependence(rests, growth.scatter);
  growth.z = test.z / std::sqrt(dependence);
  const double noise = growth.scatter * std::sqrt(dependence / count);  // of a mean
  const double by_ranks = (sen.high - sen.low) / (2 * kZ90) * std::sqrt(dependence);
  growth.certainty = std::min(1e3, sen.slope / std::hypot(by_ranks, noise * std::sqrt(12.0) / span));

  // A latency does not fail at one moment: it is of no use somewhere between one value in seven beyond the limit and
  // half of them.
  scratch->sorted.resize(n);
  for (size_t i = 0; i < n; ++i) scratch->sorted[i] = rests[i] + regime.high[i] - y[i];
  growth.peak = std::max(0.0, stats::Quantile(scratch->sorted, of_samples ? kUpper : 0.5)) / 2;
  // Besides, it is uncertain where the level is now: the end of a line.
  growth.spread = std::hypot(2 * noise, growth.peak / std::sqrt(3));
  growth.headroom = limit - growth.level - growth.peak;
  return growth;
}

double ScatterRise(const Window& window, double dependence, FitScratch* scratch) {
  const std::span<const double> all(window.low.data(), window.n);
  return stats::MannKendall(all, &scratch->sorted).z / std::sqrt(dependence);
}

}  // namespace understudy::trend

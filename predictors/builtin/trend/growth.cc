#include "predictors/builtin/trend/growth.h"

#include <algorithm>
#include <cmath>

#include "predictors/stats/mann_kendall.h"
#include "predictors/stats/quantiles.h"
#include "predictors/stats/theil_sen.h"

namespace understudy::trend {
namespace {

constexpr double kBendMax = 6;
constexpr size_t kPointsToBend = 9;      // three in each third
constexpr double kMeanToSigma = 1.2533;  // of a normal distribution: sigma over mean absolute deviation
constexpr double kZ90 = 1.6449;

// (e^(bend u) - 1) / bend.
double Bent(double u, double bend) {
  if (std::abs(bend) < 1e-9) return u;
  return std::expm1(std::min(bend * u, 60.0)) / bend;
}

// The bend from the medians of the three thirds: for y = p + q e^(bend u) their differences have the ratio
// e^(bend / 3). That is the method of partial totals for the modified exponential (Cornell, "A method for fitting
// linear combinations of exponentials", Biometrics 18, 1962), with medians for totals.
double EstimateBend(std::span<const double> x, std::span<const double> y, std::vector<double>* scratch) {
  const size_t n = x.size(), third = n / 3;
  const auto middle = [&](std::span<const double> of, size_t begin) {
    scratch->assign(of.begin() + static_cast<std::ptrdiff_t>(begin),
                    of.begin() + static_cast<std::ptrdiff_t>(begin + third));
    return stats::Median(*scratch);
  };
  const size_t starts[] = {0, (n - third) / 2, n - third};
  const double y1 = middle(y, starts[0]), y2 = middle(y, starts[1]), y3 = middle(y, starts[2]);
  const double x1 = middle(x, starts[0]), x3 = middle(x, starts[2]);
  const double first = y2 - y1, second = y3 - y2;
  const double step = (x3 - x1) / 2 / (x[n - 1] - x[0]);
  if (!(first + second > 0) || !(step > 0)) return 0;
  if (!(first > 0)) return kBendMax;
  if (!(second > 0)) return -kBendMax;
  return std::clamp(std::log(second / first) / step, -kBendMax, kBendMax);
}

// Corrected Akaike criterion (Hurvich and Tsai, "Regression and time series model selection in small samples",
// Biometrika 76, 1989) for residuals of a Laplace distribution, whose likelihood goes with a median fit.
double Aicc(double mean_rest, double n, double k) {
  return 2 * n * std::log(mean_rest) + 2 * k + 2 * k * (k + 1) / (n - k - 1);
}

struct LineFit {
  stats::SenSlope sen;
  double level = 0;      // at x = 0
  double mean_rest = 0;  // mean absolute residual
};

LineFit FitLine(std::span<const double> x, std::span<const double> y, double variance_s, FitScratch* scratch) {
  LineFit fit;
  fit.sen = stats::TheilSen(x, y, variance_s, kZ90, &scratch->pairs);
  fit.level = stats::MedianIntercept(x, y, fit.sen.slope, &scratch->pairs);
  for (size_t i = 0; i < x.size(); ++i) fit.mean_rest += std::abs(y[i] - fit.level - fit.sen.slope * x[i]);
  fit.mean_rest /= static_cast<double>(x.size());
  return fit;
}

// How far the residuals walk, per sqrt(second): what their increments over a quarter of the points have more than those
// from point to point, for white noise shows in both and a random walk grows with the distance (the variance ratio of
// Lo and MacKinlay, "Stock market prices do not follow random walks", Rev. Financial Studies 1, 1988). At least a
// quarter of the plain estimate, as that of so few points can be far too low. Residuals are a bridge, hence the share
// of 3/4.
double Wander(std::span<const double> x, std::span<const double> rests) {
  const size_t n = x.size(), lag = std::max<size_t>(2, n / 4);
  double near = 0, far = 0;
  for (size_t i = 0; i + 1 < n; ++i) near += std::abs(rests[i + 1] - rests[i]);
  for (size_t i = 0; i + lag < n; ++i) far += std::abs(rests[i + lag] - rests[i]);
  near *= kMeanToSigma / static_cast<double>(n - 1);
  far *= kMeanToSigma / static_cast<double>(n - lag);
  const double step_s = (x[n - 1] - x[0]) / static_cast<double>(n - 1);
  const double walked = (far * far - near * near) / (static_cast<double>(lag - 1) * step_s);
  const double plain = far * far / (static_cast<double>(lag) * step_s);
  return std::sqrt(std::max(walked, plain / 2) / 0.75);
}

}  // namespace

double Growth::Gain(const Curve& curve, double t) const {
  return curve.even ? std::log1p(curve.speed * t) : curve.speed * span_s * Bent(t / span_s, curve.bend);
}

double Growth::reach() const {
  if (!(rise > 0)) return 1e9;
  return logarithmic ? std::expm1(headroom) / -std::expm1(-rise) : headroom / rise;
}

double Growth::Parabola(const Curve& curve, double t) const {
  return curve.speed * t * (1 + curve.bend * t / (2 * span_s));
}

double Growth::Level(double t) const {
  double sum = level + linear.weight * Gain(linear, t);
  if (curved.weight > 0) {
    const double gain = Gain(curved, t);
    sum += curved.weight * (curved.bend > 0 ? (gain + Parabola(curved, t)) / 2 : gain);
  }
  return sum;
}

// Growth with a random walk around it reaches a limit as a Wiener process with drift does (Whitmore, "Estimating
// degradation by a Wiener diffusion process subject to measurement error", Lifetime Data Analysis 1, 1995). The slope's
// own error is added, and the spread of the peaks; the passage is taken from the distribution of the level at t.
double Growth::Reached(double t) const {
  const double noise = spread * spread + wander * wander * t;
  const double straight = linear.speed * t;
  const auto passed = [&](double gain) {
    const double slope_error = gain / certainty;
    // That it goes on bending so, or straight on.
    const double form_error = curved.even ? 0 : (gain - straight) / 2;
    const double variance = noise + slope_error * slope_error + form_error * form_error;
    const double ahead = gain - headroom;
    return variance > 0 ? stats::NormalCdf(ahead / std::sqrt(variance)) : (ahead >= 0 ? 1.0 : 0.0);
  };
  double reached = linear.weight > 0 ? linear.weight * passed(Gain(linear, t)) : 0;
  if (curved.weight > 0) {
    const double by_curve = passed(Gain(curved, t));
    reached += curved.weight * (curved.bend > 0 ? (by_curve + passed(Parabola(curved, t))) / 2 : by_curve);
  }
  return reached;
}

std::optional<double> Growth::Quantile(double q, double far_s) const {
  if (Reached(0) >= q) return 0;
  double low = 0, high = span_s / 64;
  while (Reached(high) < q) {
    low = high;
    high *= 2;
    if (low > far_s) return std::nullopt;
  }
  for (int i = 0; i < 30; ++i) {
    const double middle = (low + high) / 2;
    (Reached(middle) < q ? low : high) = middle;
  }
  return high;
}

std::optional<Growth> FitGrowth(std::span<const double> x, std::span<const double> low, std::span<const double> high,
                                double limit, double bucket_s, const PastNoise& past, FitScratch* scratch) {
  const size_t n = x.size();
  const double count = static_cast<double>(n);
  const double span = x[n - 1] - x[0];
  const stats::KendallTest test = stats::MannKendall(low, &scratch->sorted);
  if (!(test.z > 0) || !(span > 0)) return std::nullopt;
  const LineFit line = FitLine(x, low, test.variance, scratch);
  if (!(line.sen.slope > 0)) return std::nullopt;

  Growth growth;
  growth.z = test.z;
  growth.points = n;
  growth.span_s = span;
  growth.linear = {line.sen.slope, 0, 1};
  growth.level = line.level;
  growth.rise = line.sen.slope * span;
  const double least_rest = 1e-4 * growth.rise;  // a perfect line is no better than a nearly perfect one

  scratch->rests.resize(n);
  for (size_t i = 0; i < n; ++i) scratch->rests[i] = low[i] - line.level - line.sen.slope * x[i];
  double rest = line.mean_rest;
  if (n >= kPointsToBend) {
    const double bend = EstimateBend(x, low, &scratch->sorted);
    scratch->bent.resize(n);
    for (size_t i = 0; i < n; ++i) scratch->bent[i] = span * Bent(x[i] / span, bend);
    const LineFit curve = FitLine(scratch->bent, low, test.variance, scratch);
    const double gain =
        Aicc(std::max(line.mean_rest, least_rest), count, 3) - Aicc(std::max(curve.mean_rest, least_rest), count, 4);
    const double weight = 1 / (1 + std::exp(-std::clamp(gain, -60.0, 60.0) / 2));
    if (weight > 0.01 && curve.sen.slope > 0) {
      growth.curved = {curve.sen.slope, bend, weight};
      growth.linear.weight = 1 - weight;
      growth.level = growth.linear.weight * line.level + weight * curve.level;
      growth.rise = growth.linear.weight * growth.rise - weight * curve.sen.slope * scratch->bent[0];
      if (weight > 0.5) {
        rest = curve.mean_rest;
        for (size_t i = 0; i < n; ++i) scratch->rests[i] = low[i] - curve.level - curve.sen.slope * scratch->bent[i];
      }
    }
  }

  // The slope's standard error: from the ranks, from the past's noise, and from the walk that such a series does
  // anyway.
  growth.wander = std::max(Wander(x, scratch->rests), past.wander);
  const double noise = std::max(kMeanToSigma * rest, past.spread);
  const double by_ranks = (line.sen.high - line.sen.low) / (2 * kZ90);
  const double by_noise = noise * std::sqrt(12 / count) / span;
  const double by_walk = growth.wander / std::sqrt(span);
  const double error = std::sqrt(by_ranks * by_ranks + by_noise * by_noise + by_walk * by_walk);
  growth.certainty = std::min(1e3, line.sen.slope / std::max(error, 1e-300));

  // Where the peaks are above the envelope, a bucket's highest value being its newest on a slope.
  scratch->sorted.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const double above = high[i] - (low[i] - scratch->rests[i]) - line.sen.slope * std::min(bucket_s, span);
    scratch->sorted[i] = std::max(above, scratch->rests[i]);
  }
  const double peak = stats::Median(scratch->sorted);
  growth.spread = std::max(stats::kMadToSigma * stats::MedianAbsoluteDeviation(scratch->sorted, peak), noise);
  // When within a bucket the limit is reached, nobody can say.
  growth.spread = std::hypot(growth.spread, growth.speed() * bucket_s / 2);
  growth.peak = std::max(0.0, peak);
  growth.headroom = limit - growth.level - growth.peak;
  return growth;
}

}  // namespace understudy::trend

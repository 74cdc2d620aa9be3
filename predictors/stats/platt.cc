#include "predictors/stats/platt.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "understudy/check.h"

namespace understudy::stats {
namespace {

constexpr int kIterationsMax = 100;
constexpr double kStepMin = 1e-10;
constexpr double kRidge = 1e-12;  // keeps the Hessian positive definite

// -log likelihood of target t at log-odds z, without overflow.
double Loss(double z, double t) { return (z > 0 ? z : 0) - t * z + std::log1p(std::exp(-std::abs(z))); }

}  // namespace

double Sigmoid(double z) { return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z)); }

double Logit(double probability, double margin) {
  const double p = std::clamp(probability, margin, 1 - margin);
  return std::log(p / (1 - p));
}

double Platt::Apply(double score) const { return Sigmoid(slope * score + offset); }

Platt FitPlatt(std::span<const double> scores, std::span<const uint8_t> outcomes, std::span<const double> weights) {
  UNDERSTUDY_CHECK(!scores.empty() && scores.size() == outcomes.size());
  UNDERSTUDY_CHECK(weights.empty() || weights.size() == scores.size());
  const size_t n = scores.size();
  const auto weight = [&](size_t i) { return weights.empty() ? 1.0 : weights[i]; };
  double happened = 0, not_happened = 0, mean = 0, total = 0, square = 0;
  for (size_t i = 0; i < n; ++i) {
    (outcomes[i] != 0 ? happened : not_happened) += weight(i);
    mean += weight(i) * scores[i];
    total += weight(i);
  }
  mean /= total;
  for (size_t i = 0; i < n; ++i) square += weight(i) * (scores[i] - mean) * (scores[i] - mean);
  const double high = (happened + 1) / (happened + 2), low = 1 / (not_happened + 2);
  const double base = Logit((happened + 1) / (total + 2));
  const double spread = std::sqrt(square / total);
  if (!(spread > 0)) return {0, base};

  // On standardised scores, so that their scale does not matter.
  double a = 0, b = base;
  const auto z_of = [&](size_t i) { return (scores[i] - mean) / spread; };
  const auto objective = [&](double at_a, double at_b) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += weight(i) * Loss(at_a * z_of(i) + at_b, outcomes[i] != 0 ? high : low);
    return sum;
  };
  double value = objective(a, b);
  for (int iteration = 0; iteration < kIterationsMax; ++iteration) {
    double ga = 0, gb = 0, haa = kRidge, hbb = kRidge, hab = 0;
    for (size_t i = 0; i < n; ++i) {
      const double z = z_of(i), p = Sigmoid(a * z + b);
      const double error = weight(i) * (p - (outcomes[i] != 0 ? high : low)), curve = weight(i) * p * (1 - p);
      ga += error * z;
      gb += error;
      haa += curve * z * z;
      hab += curve * z;
      hbb += curve;
    }
    if (std::abs(ga) < 1e-9 * total && std::abs(gb) < 1e-9 * total) break;
    const double det = haa * hbb - hab * hab;
    const double da = -(hbb * ga - hab * gb) / det, db = -(haa * gb - hab * ga) / det;
    const double slope = ga * da + gb * db;
    double step = 1;
    for (; step >= kStepMin; step /= 2) {
      const double next = objective(a + step * da, b + step * db);
      if (next < value + 1e-4 * step * slope) {
        a += step * da;
        b += step * db;
        value = next;
        break;
      }
    }
    if (step < kStepMin) break;  // no further progress in floating point
  }
  if (!(a > 0)) return {0, base};
  return {a / spread, b - a * mean / spread};
}

}  // namespace understudy::stats

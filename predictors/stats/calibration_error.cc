#include "predictors/stats/calibration_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "understudy/check.h"

namespace understudy::stats {
namespace {

constexpr double kCertain = 1e-9;

void CheckSizes(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
                std::span<const double> weights) {
  UNDERSTUDY_CHECK(!probabilities.empty() && probabilities.size() == outcomes.size());
  UNDERSTUDY_CHECK(weights.empty() || weights.size() == probabilities.size());
}

template <class Score>
double Mean(std::span<const double> probabilities, std::span<const uint8_t> outcomes, std::span<const double> weights,
            Score score) {
  CheckSizes(probabilities, outcomes, weights);
  double sum = 0, total = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const double weight = weights.empty() ? 1 : weights[i];
    sum += weight * score(probabilities[i], outcomes[i] != 0);
    total += weight;
  }
  return sum / total;
}

}  // namespace

std::vector<ReliabilityBin> Reliability(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
                                        size_t bins, std::span<const double> weights) {
  CheckSizes(probabilities, outcomes, weights);
  UNDERSTUDY_CHECK(bins > 0);
  std::vector<ReliabilityBin> out(bins);
  for (size_t i = 0; i < bins; ++i) {
    out[i].low = static_cast<double>(i) / static_cast<double>(bins);
    out[i].high = static_cast<double>(i + 1) / static_cast<double>(bins);
  }
  for (size_t i = 0; i < probabilities.size(); ++i) {
    UNDERSTUDY_CHECK(probabilities[i] >= 0 && probabilities[i] <= 1);
    const size_t at = std::min(bins - 1, static_cast<size_t>(probabilities[i] * static_cast<double>(bins)));
    const double weight = weights.empty() ? 1 : weights[i];
    out[at].weight += weight;
    out[at].mean_forecast += weight * probabilities[i];
    out[at].outcome_rate += outcomes[i] != 0 ? weight : 0;
  }
  for (ReliabilityBin& bin : out) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    bin.mean_forecast = bin.weight > 0 ? bin.mean_forecast / bin.weight : nan;
    bin.outcome_rate = bin.weight > 0 ? bin.outcome_rate / bin.weight : nan;
  }
  return out;
}

double ExpectedCalibrationError(const std::vector<ReliabilityBin>& bins) {
  double sum = 0, total = 0;
  for (const ReliabilityBin& bin : bins) {
    if (!(bin.weight > 0)) continue;
    sum += bin.weight * std::abs(bin.mean_forecast - bin.outcome_rate);
    total += bin.weight;
  }
  return total > 0 ? sum / total : 0;
}

double ExpectedCalibrationError(std::span<const double> probabilities, std::span<const uint8_t> outcomes, size_t bins,
                                std::span<const double> weights) {
  return ExpectedCalibrationError(Reliability(probabilities, outcomes, bins, weights));
}

double BrierScore(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
                  std::span<const double> weights) {
  return Mean(probabilities, outcomes, weights, [](double p, bool happened) {
    const double error = p - (happened ? 1 : 0);
    return error * error;
  });
}

double LogLoss(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
               std::span<const double> weights) {
  return Mean(probabilities, outcomes, weights, [](double p, bool happened) {
    const double q = std::clamp(p, kCertain, 1 - kCertain);
    return -std::log(happened ? q : 1 - q);
  });
}

}  // namespace understudy::stats

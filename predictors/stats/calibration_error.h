// How good probabilities were, now that the outcomes are known. Pure; any thread. In all of them `outcomes[i]` (0 or 1)
// belongs to `probabilities[i]` (0 to 1); `weights` is empty, or one positive number each. Not empty.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace understudy::stats {

// One bar of a reliability diagram: forecasts from `low` to below `high` (the last one: to `high`).
struct ReliabilityBin {
  double low = 0, high = 0;
  double weight = 0;         // how many forecasts
  double mean_forecast = 0;  // NaN when there was none
  double outcome_rate = 0;   // likewise
};

// `bins` (at least 1) bins of equal width, empty ones included.
std::vector<ReliabilityBin> Reliability(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
                                        size_t bins = 10, std::span<const double> weights = {});

// Expected calibration error: the mean distance between what was said and what happened, by bin, each bin weighed by
// its forecasts (Naeini et al., AAAI 2015).
double ExpectedCalibrationError(const std::vector<ReliabilityBin>& bins);
double ExpectedCalibrationError(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
                                size_t bins = 10, std::span<const double> weights = {});

// Mean squared distance between probability and outcome (G. W. Brier 1950); 0 is best, always saying the base rate p
// has p (1 - p).
double BrierScore(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
                  std::span<const double> weights = {});

// Mean of -log(the probability of what happened), natural; probabilities are first kept 1e-9 away from 0 and 1.
double LogLoss(std::span<const double> probabilities, std::span<const uint8_t> outcomes,
               std::span<const double> weights = {});

}  // namespace understudy::stats

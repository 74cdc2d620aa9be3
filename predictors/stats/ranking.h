// How well scores rank what happened above what did not, whatever the scores mean. Pure; any thread. Arguments as in
// calibration_error.h; scores are finite. NaN when all outcomes are alike.
#pragma once

#include <cstdint>
#include <span>

namespace understudy::stats {

// Area under the receiver operating characteristic: the chance that a failure scores above a survival, ties half.
double RocAuc(std::span<const double> scores, std::span<const uint8_t> outcomes, std::span<const double> weights = {});

// Area under the precision-recall curve as average precision: sum over thresholds of (recall step) * precision.
double AveragePrecision(std::span<const double> scores, std::span<const uint8_t> outcomes,
                        std::span<const double> weights = {});

}  // namespace understudy::stats

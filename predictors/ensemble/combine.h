// Several predictors' forecasts of one primary as one. Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "predictors/host/predictor_host.h"

namespace understudy::ensemble {

inline constexpr char kEnsemble[] = "ensemble";  // the combined forecasts' predictor
inline constexpr double kQuiet = 0.02;           // at or below this a predictor sees nothing

// What a predictor's word has meant so far: the calibrated probability of its `forecast`.
using Calibrate = std::function<double(const Forecast& forecast)>;

// One forecast a horizon, ascending, from the forecasts of all predictors of one primary; empty when none of them may
// speak. Rules, so that a further predictor can warn earlier but never make a warning of nothing:
//  - Predictors in the shadow count for nothing; those that warm up or abstain say nothing. When nobody can say, the
//    answer is WARMING if somebody warms up, else ABSTAIN, with the first reason.
//  - Silence is no evidence: a predictor whose calibrated word is at most kQuiet does not outvote one that sees its
//    metric fail. When all are silent the highest word counts.
//  - Those that warn are pooled: the mean of their log-odds, weighed by confidence and by how much they say. They may
//    look at the same metric, so agreement adds nothing: the result lies between the lowest and the highest of them.
//  - The probability never falls with the horizon.
//  - Times to failure of those that warn (of all, when none does) are averaged in the logarithm, with the same weights.
//  - A restart cures only what all of those say it cures.
std::vector<Forecast> Combine(const std::vector<Forecast>& forecasts, const Calibrate& calibrate);

}  // namespace understudy::ensemble

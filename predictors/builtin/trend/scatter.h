// How a latency creeps: growth of the level of a series that scatters by a factor, with spikes. Pure.
//
// The series is that of StartedLog, in medians (series.h): there the scatter is about the same at every level, so that
// growth and noise add up again.
#pragma once

#include <optional>

#include "predictors/builtin/trend/growth.h"
#include "predictors/builtin/trend/regime.h"
#include "predictors/builtin/trend/series.h"

namespace understudy::trend {

// What is below a twentieth of the limit is all the same.
inline constexpr double kStartShare = 0.05;
// log(value + start), `start` above 0, so that values near nothing do not become far away ones (Tukey, "Exploratory
// Data Analysis", 1977). Values below zero count as zero.
double StartedLog(double value, double start);

// The median of the last eight samples: one of them shows nothing.
double RecentLevel(const Series& series);

// A window for FindRegime. That of samples comes in pairs, as a gauge is often read twice before it changes.
void ExtractScatter(const Series& series, size_t k, Window* window);

// As FitGrowth, but that the limit is reached when between one sample in seven and half of them are beyond it.
// `of_samples`: each point is one or a few of them.
std::optional<Growth> FitScatter(const Regime& regime, double limit, bool of_samples, FitScratch* scratch);

// Mann-Kendall over all of the window, `dependence` of FitScatter taken into account: whether it has risen at all.
double ScatterRise(const Window& window, double dependence, FitScratch* scratch);

}  // namespace understudy::trend

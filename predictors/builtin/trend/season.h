// The daily cycle of a window of two days or more. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "predictors/builtin/trend/series.h"

namespace understudy::trend {

inline constexpr double kSeasonWindowS = 2 * 86400;  // shorter windows do not show a daily cycle

struct Season {
  bool found = false;
  double highest = 0;  // of the cycle, above the line
  double widest = 0;   // of the cycle, to either side
  double z = 0;        // Mann-Kendall among buckets of the same time of day
};

// Takes the cycle out of `window` when it explains most of what a line leaves. Windows shorter than two days or with
// fewer than six buckets a day are left as they are.
Season TakeOutDailyCycle(Window* window, std::vector<double>* scratch);

}  // namespace understudy::trend

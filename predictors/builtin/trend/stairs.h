// Growth by bursts with rests between them: a heap that grows by arenas, files that are written and kept. No line fits
// it, and its bursts are too few to outweigh a random walk by their size; what gives it away is that it never goes
// back. Pure.
#pragma once

#include <optional>

#include "predictors/builtin/trend/growth.h"
#include "predictors/builtin/trend/series.h"

namespace understudy::trend {

// Of the window since its lowest bucket. Nothing: it has gone back too far for its rise, the rise is all of one or two
// bursts, or it has rested for longer than such bursts explain. `limit` is in the units of the window.
std::optional<Growth> FitStairs(const Window& window, double limit);

}  // namespace understudy::trend

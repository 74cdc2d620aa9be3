// Which part of a window is one and the same story: cuts it at restarts and collections, takes out level shifts, and
// cuts where the direction changed. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "predictors/builtin/trend/series.h"

namespace understudy::trend {

inline constexpr size_t kPointsMin = 8;   // fewer say nothing
inline constexpr size_t kPointsMax = 32;  // more are merged: a fit costs 496 pairs at most

// The last regime of a window, as points for a fit.
struct Regime {
  size_t begin = 0;      // first bucket of the window that belongs to it
  double before = 0;     // highest level held earlier in the window, -DBL_MAX when none was
  bool dropped = false;  // begins with a fall: a restart, a collection, a rotation
  double lifted = 0;     // sum of the level shifts upwards that were taken out
  // The points: time before the newest bucket's start is negative, seconds.
  std::vector<double> x, low, high;
};

// Cuts `window` (which it changes: level shifts are taken out, so that earlier values are raised to the last level).
// Of medians single falls and rises tell nothing: they are cut where the direction changed only.
// Less than kPointsMin points: there is no regime long enough yet.
// `evidence`: by how much a line with a bend must be better than a smooth curve, by AICc; 4 is strong (Burnham and
// Anderson, "Model Selection and Multimodel Inference", 2002).
void FindRegime(Window* window, Regime* regime, std::vector<double>* scratch, double evidence);

}  // namespace understudy::trend

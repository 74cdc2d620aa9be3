#include "predictors/builtin/trend/stairs.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace understudy::trend {
namespace {

constexpr size_t kBlocks = 8;
constexpr size_t kBucketsMin = 2 * kBlocks;
constexpr double kRiseOverRetreat = 10;
constexpr double kBurstsMin = 4;   // that the rise is made of, counted by their weight
constexpr double kRestMax = 2;     // times the longest rest before
constexpr double kStep = 0.02;     // of the rise: less is rest
constexpr double kStepMin = 1e-3;  // of the rise: as little retreat as this is none

}  // namespace

// A walk without drift that has risen by R has done so without a retreat of D with probability e^(-R / D): its highest
// point before the first retreat of D is distributed exponentially (Taylor, "A stopped Brownian motion formula", Ann.
// Probability 3, 1975).
std::optional<Growth> FitStairs(const Window& window, double limit) {
  if (window.n < kBucketsMin) return std::nullopt;
  const size_t last = window.n - 1;
  size_t begin = 0;
  for (size_t i = 1; i < window.n; ++i) {
    if (window.low[i] <= window.low[begin]) begin = i;
  }
  if (last - begin < kBucketsMin) return std::nullopt;
  const double rise = window.low[last] - window.low[begin];
  if (!(rise > 0)) return std::nullopt;
  double highest = window.low[begin], retreat = kStepMin * rise;
  for (size_t i = begin; i <= last; ++i) {
    highest = std::max(highest, window.low[i]);
    retreat = std::max(retreat, highest - window.low[i]);
  }
  if (rise < kRiseOverRetreat * retreat) return std::nullopt;

  // Rests: from one level to the next that is higher by a step.
  const double step = std::max(kStep * rise, retreat);
  double level = window.low[begin], since_s = window.time_s[begin], longest_s = 0;
  for (size_t i = begin + 1; i <= last; ++i) {
    if (window.low[i] < level + step) continue;
    longest_s = std::max(longest_s, window.time_s[i] - since_s);
    level = window.low[i];
    since_s = window.time_s[i];
  }
  if (window.time_s[last] - since_s > kRestMax * longest_s) return std::nullopt;

  // What blocks of equal length rose by: their mean is the speed, their scatter its error and the walk.
  std::array<double, kBlocks> rose;
  double squares = 0;
  for (size_t b = 0; b < kBlocks; ++b) {
    const size_t from = begin + (last - begin) * b / kBlocks, to = begin + (last - begin) * (b + 1) / kBlocks;
    rose[b] = window.low[to] - window.low[from];
    squares += rose[b] * rose[b];
  }
  const double bursts = rise * rise / squares;
  if (bursts < kBurstsMin) return std::nullopt;
  const double span_s = window.time_s[last] - window.time_s[begin];
  const double mean = rise / kBlocks;
  const double error = std::sqrt(std::max(squares - kBlocks * mean * mean, 0.0) * kBlocks / (kBlocks - 1));

  Growth growth;
  growth.z = std::sqrt(2 * rise / retreat);
  growth.points = last - begin + 1;
  growth.span_s = span_s;
  growth.linear = {rise / span_s, 0, 1};
  growth.level = window.low[last];
  growth.rise = rise;
  // Even where all blocks are alike, eight of them say no more than that.
  growth.certainty = rise / std::max(error, rise / (kBlocks * std::sqrt(kBlocks)));
  growth.wander = error / std::sqrt(span_s);
  growth.spread = std::hypot(retreat, squares / rise / std::sqrt(12));  // anywhere within a burst
  growth.peak = window.high[last] - window.low[last];
  growth.headroom = limit - growth.level - growth.peak;
  // What rises ever slower, like a cache that fills, goes on like that: an exponential approach to less than the limit.
  // How fast it slows down is told by when, on the average, the rise happened.
  double when = 0;
  for (size_t i = begin; i < last; ++i) {
    when += (window.low[i + 1] - window.low[i]) * (window.time_s[i + 1] - window.time_s[begin]);
  }
  const double bend = 12 * (0.5 - when / (rise * span_s));
  if (bend > 0 && rise < std::expm1(bend) * growth.headroom) return std::nullopt;
  return growth;
}

}  // namespace understudy::trend

// Isotonic regression by pooling adjacent violators: the monotone step from scores to probabilities that fits outcomes
// best (Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002).
// Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace understudy::stats {

// `score` ascends strictly, `probability` does not fall; both of one length, at least 1.
struct Isotonic {
  std::vector<double> score, probability;

  // Between two points by linear interpolation, outside of all by the nearest one. NaN for NaN.
  double Apply(double score) const;
};

// `outcomes[i]` says whether it happened (0 or 1) where the score was `scores[i]`; `weights` is empty, or one positive
// number a score. No probability comes out as 0 or 1: one pseudo outcome of weight 1/2 is added against the order at
// each end, so that a block of n that all survived becomes 0.5 / (n + 0.5). `scores` are finite and not empty. O(n log
// n).
Isotonic FitIsotonic(std::span<const double> scores, std::span<const uint8_t> outcomes,
                     std::span<const double> weights = {});

}  // namespace understudy::stats

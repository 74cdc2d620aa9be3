// Platt scaling: a logistic curve from scores to probabilities. J. Platt, "Probabilistic outputs for support vector
// machines", 1999, fitted as in H.-T. Lin, C.-J. Lin and R. C. Weng, "A note on Platt's probabilistic outputs", 2007.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <span>

namespace understudy::stats {

// probability = 1 / (1 + exp(-(slope * score + offset))). Scores are best log-odds: Logit below.
struct Platt {
  double slope = 1, offset = 0;

  double Apply(double score) const;
};

// Arguments as for FitIsotonic. Targets are smoothed as Platt proposes, so that no slope is infinite even when scores
// part the outcomes fully. The slope is never negative: where scores mislead it is 0, and the answer the base rate.
Platt FitPlatt(std::span<const double> scores, std::span<const uint8_t> outcomes, std::span<const double> weights = {});

// Log-odds of a probability, which is first kept `margin` away from 0 and 1.
double Logit(double probability, double margin = 1e-6);

// The other way.
double Sigmoid(double log_odds);

}  // namespace understudy::stats

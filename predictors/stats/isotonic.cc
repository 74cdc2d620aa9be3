#include "predictors/stats/isotonic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "understudy/check.h"

namespace understudy::stats {
namespace {

constexpr double kPseudoWeight = 0.5;

// Outcomes that share one probability.
struct Block {
  double first_score, last_score, weight, happened;
  double mean() const { return happened / weight; }
};

}  // namespace

double Isotonic::Apply(double at) const {
  UNDERSTUDY_CHECK(!score.empty() && score.size() == probability.size());
  if (std::isnan(at)) return std::numeric_limits<double>::quiet_NaN();
  const auto above = std::upper_bound(score.begin(), score.end(), at);
  if (above == score.begin()) return probability.front();
  if (above == score.end()) return probability.back();
  const size_t i = static_cast<size_t>(above - score.begin());
  const double share = (at - score[i - 1]) / (score[i] - score[i - 1]);
  return probability[i - 1] + share * (probability[i] - probability[i - 1]);
}

Isotonic FitIsotonic(std::span<const double> scores, std::span<const uint8_t> outcomes,
                     std::span<const double> weights) {
  UNDERSTUDY_CHECK(!scores.empty() && scores.size() == outcomes.size());
  UNDERSTUDY_CHECK(weights.empty() || weights.size() == scores.size());
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });

  // Equal scores are one block from the start: they can never be told apart.
  std::vector<Block> points;
  for (const size_t i : order) {
    const double weight = weights.empty() ? 1 : weights[i];
    const double happened = outcomes[i] != 0 ? weight : 0;
    if (!points.empty() && points.back().last_score == scores[i]) {
      points.back().weight += weight;
      points.back().happened += happened;
    } else {
      points.push_back({scores[i], scores[i], weight, happened});
    }
  }
  points.front().weight += kPseudoWeight;
  points.front().happened += kPseudoWeight;
  points.back().weight += kPseudoWeight;

  std::vector<Block> blocks;
  for (Block block : points) {
    while (!blocks.empty() && blocks.back().mean() >= block.mean()) {
      block = {blocks.back().first_score, block.last_score, blocks.back().weight + block.weight,
               blocks.back().happened + block.happened};
      blocks.pop_back();
    }
    blocks.push_back(block);
  }

  Isotonic fit;
  for (const Block& block : blocks) {
    fit.score.push_back(block.first_score);
    fit.probability.push_back(block.mean());
    if (block.last_score > block.first_score) {
      fit.score.push_back(block.last_score);
      fit.probability.push_back(block.mean());
    }
  }
  return fit;
}

}  // namespace understudy::stats

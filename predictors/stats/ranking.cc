#include "predictors/stats/ranking.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "understudy/check.h"

namespace understudy::stats {
namespace {

// Weight of what happened and what did not at each distinct score, highest score first.
struct Step {
  double score, happened, not_happened;
};

std::vector<Step> Steps(std::span<const double> scores, std::span<const uint8_t> outcomes,
                        std::span<const double> weights) {
  UNDERSTUDY_CHECK(!scores.empty() && scores.size() == outcomes.size());
  UNDERSTUDY_CHECK(weights.empty() || weights.size() == scores.size());
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<Step> steps;
  for (const size_t i : order) {
    if (steps.empty() || steps.back().score != scores[i]) steps.push_back({scores[i], 0, 0});
    (outcomes[i] != 0 ? steps.back().happened : steps.back().not_happened) += weights.empty() ? 1 : weights[i];
  }
  return steps;
}

struct Totals {
  double happened = 0, not_happened = 0;
};

Totals Sum(const std::vector<Step>& steps) {
  Totals totals;
  for (const Step& step : steps) {
    totals.happened += step.happened;
    totals.not_happened += step.not_happened;
  }
  return totals;
}

}  // namespace

double RocAuc(std::span<const double> scores, std::span<const uint8_t> outcomes, std::span<const double> weights) {
  const std::vector<Step> steps = Steps(scores, outcomes, weights);
  const Totals totals = Sum(steps);
  if (!(totals.happened > 0 && totals.not_happened > 0)) return std::numeric_limits<double>::quiet_NaN();
  double area = 0, happened = 0;
  for (const Step& step : steps) {
    area += step.not_happened * (happened + step.happened / 2);
    happened += step.happened;
  }
  return area / totals.happened / totals.not_happened;
}

double AveragePrecision(std::span<const double> scores, std::span<const uint8_t> outcomes,
                        std::span<const double> weights) {
  const std::vector<Step> steps = Steps(scores, outcomes, weights);
  const Totals totals = Sum(steps);
  if (!(totals.happened > 0 && totals.not_happened > 0)) return std::numeric_limits<double>::quiet_NaN();
  double area = 0, happened = 0, seen = 0;
  for (const Step& step : steps) {
    happened += step.happened;
    seen += step.happened + step.not_happened;
    area += step.happened / totals.happened * (happened / seen);
  }
  return area;
}

}  // namespace understudy::stats

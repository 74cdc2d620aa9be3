#include "predictors/train/residuals.h"

#include <algorithm>

namespace understudy::train {

std::array<double, 3> ResidualQuantiles(std::vector<Residual> residuals, double sigma) {
  constexpr std::array<double, 3> kShare = {0.1, 0.5, 0.9};
  constexpr std::array<double, 3> kNormal = {-1.2815515655446004, 0, 1.2815515655446004};
  std::array<double, 3> out;
  for (size_t q = 0; q < 3; ++q) out[q] = kNormal[q] * sigma;
  // At equal values those that are known come first: the censored ones were still at risk then.
  std::stable_sort(residuals.begin(), residuals.end(), [](const Residual& a, const Residual& b) {
    return a.value != b.value ? a.value < b.value : a.censored < b.censored;
  });
  double at_risk = 0, survival = 1;
  for (const Residual& residual : residuals) at_risk += residual.weight;
  size_t q = 0;
  for (const Residual& residual : residuals) {
    if (!residual.censored) {
      survival *= std::max(0.0, 1 - residual.weight / at_risk);
      for (; q < 3 && 1 - survival >= kShare[q] - 1e-12; ++q) out[q] = residual.value;
    }
    at_risk -= residual.weight;
  }
  for (size_t i = 1; i < 3; ++i) out[i] = std::max(out[i], out[i - 1]);
  return out;
}

}  // namespace understudy::train

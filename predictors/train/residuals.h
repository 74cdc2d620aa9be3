// How far the truth lies from the time head: quantiles of residuals some of which are only known to be greater.
#pragma once

#include <array>
#include <vector>

namespace understudy::train {

struct Residual {
  double value = 0;
  bool censored = false;  // the true one is `value` or more
  double weight = 1;
};

// The 10, 50 and 90 % quantile after E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete
// observations", 1958. Where censoring hides a quantile, that of a normal distribution of deviation `sigma` stands in.
// Ascending.
std::array<double, 3> ResidualQuantiles(std::vector<Residual> residuals, double sigma);

}  // namespace understudy::train

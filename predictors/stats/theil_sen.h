// Robust lines: slopes that a third (Theil-Sen: 29 %) or a half (Siegel) of wild values cannot bend.
//
//  - H. Theil, "A rank-invariant method of linear and polynomial regression analysis", Proc. Kon. Ned. Akad. v.
//    Wetensch. A 53, 1950.
//  - P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63, 1968.
//  - A. F. Siegel, "Robust regression using repeated medians", Biometrika 69, 1982.
#pragma once

#include <span>
#include <vector>

namespace understudy::stats {

struct SenSlope {
  double slope = 0;  // median of the slopes of all pairs; 0 when all x are the same
  double low = 0;    // Sen's interval: `z` standard errors of Kendall's S to either side
  double high = 0;
};

// `x` ascends, both have the same size of at least 2 and are finite. `variance_s` is that of Kendall's S (MannKendall
// gives it), `z` the wanted number of standard errors: 1.645 for 90 %. `*scratch` is grown to n(n-1)/2 and kept, so
// that a caller who keeps it allocates once. O(n^2).
SenSlope TheilSen(std::span<const double> x, std::span<const double> y, double variance_s, double z,
                  std::vector<double>* scratch);

// Median over i of the median over j of the slopes of (i, j). As above.
double SiegelSlope(std::span<const double> x, std::span<const double> y, std::vector<double>* scratch);

// Median of y - slope * x: the intercept that goes with either (Conover, "Practical Nonparametric Statistics", 1980).
double MedianIntercept(std::span<const double> x, std::span<const double> y, double slope,
                       std::vector<double>* scratch);

}  // namespace understudy::stats

// Order statistics and the normal distribution. Pure; no call allocates but what it says.
#pragma once

#include <span>

namespace understudy::stats {

// Of standard deviation: MAD * kMadToSigma estimates sigma of a normal distribution (Rousseeuw and Croux, "Alternatives
// to the Median Absolute Deviation", J. Am. Stat. Assoc. 88, 1993).
inline constexpr double kMadToSigma = 1.4826;

// The q-quantile (0 <= q <= 1), linear between order statistics: definition 7 of Hyndman and Fan, "Sample Quantiles in
// Statistical Packages", The American Statistician 50, 1996. `values` is not empty, holds no NaN, and is left in
// another order.
double Quantile(std::span<double> values, double q);

// The mean of the two middle ones when their number is even. As Quantile.
double Median(std::span<double> values);

// The k-th smallest, k from 0. As Quantile.
double OrderStatistic(std::span<double> values, size_t k);

// Median absolute deviation from `centre`, not scaled. Leaves the deviations in `values`.
double MedianAbsoluteDeviation(std::span<double> values, double centre);

// P(Z <= z) of the standard normal distribution, and its inverse (0 < p < 1; relative error below 1.2e-9: Acklam's
// rational approximation).
double NormalCdf(double z);
double NormalQuantile(double p);

}  // namespace understudy::stats

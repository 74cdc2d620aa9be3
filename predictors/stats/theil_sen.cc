#include "predictors/stats/theil_sen.h"

#include <algorithm>
#include <cmath>

#include "predictors/stats/quantiles.h"

namespace understudy::stats {

SenSlope TheilSen(std::span<const double> x, std::span<const double> y, double variance_s, double z,
                  std::vector<double>* scratch) {
  const size_t n = x.size();
  scratch->resize(n * (n - 1) / 2);
  size_t count = 0;
  double* slopes = scratch->data();
  for (size_t i = 0; i + 1 < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) {
      if (x[j] > x[i]) slopes[count++] = (y[j] - y[i]) / (x[j] - x[i]);
    }
  }
  if (count == 0) return {};
  const std::span<double> all(slopes, count);
  SenSlope result;
  result.slope = Median(all);
  // Gilbert, "Statistical Methods for Environmental Pollution Monitoring", 1987, section 16.5; ranks rounded as Sen
  // did.
  const double pairs = static_cast<double>(count);
  const double width = z * std::sqrt(variance_s);
  const double last = pairs - 1;
  result.low = OrderStatistic(all, static_cast<size_t>(std::clamp(std::round((pairs - width) / 2) - 1, 0.0, last)));
  result.high = OrderStatistic(all, static_cast<size_t>(std::clamp(std::round((pairs + width) / 2), 0.0, last)));
  return result;
}

double SiegelSlope(std::span<const double> x, std::span<const double> y, std::vector<double>* scratch) {
  const size_t n = x.size();
  scratch->resize(2 * n);
  const std::span<double> slopes(scratch->data(), n), medians(scratch->data() + n, n);
  size_t used = 0;
  for (size_t i = 0; i < n; ++i) {
    size_t count = 0;
    for (size_t j = 0; j < n; ++j) {
      if (x[j] != x[i]) slopes[count++] = (y[j] - y[i]) / (x[j] - x[i]);
    }
    if (count > 0) medians[used++] = Median(slopes.first(count));
  }
  return used == 0 ? 0 : Median(medians.first(used));
}

double MedianIntercept(std::span<const double> x, std::span<const double> y, double slope,
                       std::vector<double>* scratch) {
  scratch->resize(std::max(scratch->size(), x.size()));
  const std::span<double> rests(scratch->data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) rests[i] = y[i] - slope * x[i];
  return Median(rests);
}

}  // namespace understudy::stats

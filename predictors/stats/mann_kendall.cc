#include "predictors/stats/mann_kendall.h"

#include <algorithm>
#include <cmath>

namespace understudy::stats {
namespace {

double SumOfSigns(std::span<const double> values) {
  int64_t s = 0;
  for (size_t i = 0; i + 1 < values.size(); ++i) {
    const double value = values[i];
    int64_t row = 0;
    for (size_t j = i + 1; j < values.size(); ++j) row += (values[j] > value) - (values[j] < value);
    s += row;
  }
  return static_cast<double>(s);
}

double Weight(double t) { return t * (t - 1) * (2 * t + 5); }

// `sorted` ascends.
double VarianceOf(std::span<const double> sorted) {
  double sum = Weight(static_cast<double>(sorted.size()));
  for (size_t begin = 0; begin < sorted.size();) {
    size_t end = begin + 1;
    while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
    sum -= Weight(static_cast<double>(end - begin));
    begin = end;
  }
  return std::max(0.0, sum / 18);
}

double Score(double s, double variance) {
  if (s == 0 || !(variance > 0)) return 0;
  return (s > 0 ? s - 1 : s + 1) / std::sqrt(variance);
}

}  // namespace

KendallTest MannKendall(std::span<const double> values, std::vector<double>* scratch) {
  scratch->assign(values.begin(), values.end());
  std::sort(scratch->begin(), scratch->end());
  KendallTest test;
  test.s = SumOfSigns(values);
  test.variance = VarianceOf(*scratch);
  test.z = Score(test.s, test.variance);
  return test;
}

KendallTest SeasonalKendall(std::span<const double> values, std::span<const uint32_t> season, uint32_t seasons,
                            std::vector<double>* scratch) {
  KendallTest test;
  for (uint32_t k = 0; k < seasons; ++k) {
    scratch->clear();
    for (size_t i = 0; i < values.size(); ++i) {
      if (season[i] == k) scratch->push_back(values[i]);
    }
    if (scratch->size() < 2) continue;
    test.s += SumOfSigns(*scratch);
    std::sort(scratch->begin(), scratch->end());
    test.variance += VarianceOf(*scratch);
  }
  test.z = Score(test.s, test.variance);
  return test;
}

}  // namespace understudy::stats

// The Mann-Kendall test: does a series rise or fall over time, whatever its distribution?
//
//  - H. B. Mann, "Nonparametric tests against trend", Econometrica 13, 1945.
//  - M. G. Kendall, "Rank Correlation Methods", 4th edition, 1975 (variance with ties).
//  - R. M. Hirsch, J. R. Slack, R. A. Smith, "Techniques of trend analysis for monthly water quality data", Water
//    Resources Research 18, 1982 (the seasonal test: only values of the same season are compared).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace understudy::stats {

struct KendallTest {
  double s = 0;         // pairs that rise minus pairs that fall
  double variance = 0;  // of s if there is no trend, ties taken into account
  double z = 0;         // (s -+ 1) / sqrt(variance), 0 when s is 0 or nothing can be said
};

// `values` in the order of time, finite. `*scratch` is kept by callers who want no allocation. O(n^2).
KendallTest MannKendall(std::span<const double> values, std::vector<double>* scratch);

// `season[i]` in [0, seasons) of values[i]; S and its variance are summed over the seasons.
KendallTest SeasonalKendall(std::span<const double> values, std::span<const uint32_t> season, uint32_t seasons,
                            std::vector<double>* scratch);

}  // namespace understudy::stats

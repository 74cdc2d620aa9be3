#include "predictors/builtin/trend/season.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "predictors/stats/mann_kendall.h"
#include "predictors/stats/quantiles.h"
#include "predictors/stats/theil_sen.h"

namespace understudy::trend {
namespace {

constexpr double kDayS = kSeasonWindowS / 2;
constexpr uint32_t kPhasesMin = 6, kPhasesMax = 48;
constexpr double kExplained = 0.5;  // share of the mean absolute residual that the cycle must take away

}  // namespace

Season TakeOutDailyCycle(Window* window, std::vector<double>* scratch) {
  Season season;
  const size_t n = window->n;
  if (n < 2 * kPhasesMin || window->time_s[n - 1] - window->time_s[0] < kSeasonWindowS) return season;
  const auto phases = static_cast<uint32_t>(std::min<double>(kPhasesMax, std::floor(kDayS / window->bucket_s)));
  if (phases < kPhasesMin) return season;

  const std::span<const double> time(window->time_s.data(), n), low(window->low.data(), n);
  std::vector<uint32_t> phase(n);
  for (size_t i = 0; i < n; ++i) {
    const double day = std::fmod(time[i] + window->bucket_s / 2, kDayS) / kDayS;
    phase[i] = std::min(phases - 1, static_cast<uint32_t>(day * phases));
  }
  // The seasonal Kendall slope (Hirsch, Slack and Smith 1982): only values of the same time of day are compared, so
  // that the part of a day at the window's end does not bend it.
  scratch->clear();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) {
      if (phase[i] == phase[j] && time[j] - time[i] > kDayS / 2) {
        scratch->push_back((low[j] - low[i]) / (time[j] - time[i]));
      }
    }
  }
  if (scratch->empty()) return season;
  const double slope = stats::Median(*scratch);
  const double level = stats::MedianIntercept(time, low, slope, scratch);
  std::vector<double> rests(n);
  for (size_t i = 0; i < n; ++i) rests[i] = low[i] - level - slope * time[i];
  std::vector<double> profile(phases, 0);
  for (uint32_t k = 0; k < phases; ++k) {
    scratch->clear();
    for (size_t i = 0; i < n; ++i) {
      if (phase[i] == k) scratch->push_back(rests[i]);
    }
    // One value is no cycle: it would explain itself.
    if (scratch->size() >= 2) profile[k] = stats::Median(*scratch);
  }
  double before = 0, after = 0;
  for (size_t i = 0; i < n; ++i) {
    before += std::abs(rests[i]);
    after += std::abs(rests[i] - profile[phase[i]]);
  }
  if (!(after < (1 - kExplained) * before)) return season;

  season.found = true;
  season.z = stats::SeasonalKendall(low, phase, phases, scratch).z;
  for (size_t i = 0; i < n; ++i) {
    window->low[i] -= profile[phase[i]];
    window->high[i] -= profile[phase[i]];
  }
  season.highest = *std::max_element(profile.begin(), profile.end());
  season.widest = std::max(season.highest, -*std::min_element(profile.begin(), profile.end()));
  return season;
}

}  // namespace understudy::trend

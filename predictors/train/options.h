// What `understudy train` can be told. Each has a default that is right for most.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "predictors/builtin/gbt/features.h"

namespace understudy::train {

struct TrainOptions {
  std::vector<double> horizons_s;    // empty: 60, 300 and 900 s, or 5, 15 and 60 intervals of samples rarer than 30 s
  std::vector<std::string> metrics;  // empty: all that are in every trace
  gbt::WindowUnit window_unit = gbt::WindowUnit::kSamples;
  std::vector<double> windows = {10, 30, 60};
  bool age = true;
  bool failures = true, degradations = false;  // which events are what is to be forecast
  double cap_remaining_s = 0;                  // 0: ten times the longest horizon
  enum class Scale { kAuto, kLinear, kLog } time_scale = Scale::kAuto;
  int rounds_max = 200;
  int patience = 25;  // rounds without progress on the stopping part
  int depth = 4;
  double learning_rate = 0.08;
  uint64_t seed = 1;
  size_t rows_max = 200'000;                  // beyond, quiet stretches are thinned (and weigh more)
  int threads = 1;                            // of XGBoost; the same number gives the same model
  std::string failure_booster, time_booster;  // bytes of boosters trained elsewhere; empty: train

  // What is done, and how much of it is: 0 to 1. May be empty. Called on the caller's thread.
  std::function<void(const std::string& stage, double share)> progress;
};

// Samples further apart than this: default horizons count in samples.
inline constexpr double kDefaultHorizonsIntervalMaxS = 30;

}  // namespace understudy::train

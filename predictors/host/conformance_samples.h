// What a plugin under test is shown: runs of samples, each with one trouble, all from arithmetic, none from chance.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "predictors/host/plugin_library.h"

namespace understudy {

struct SampleRun {
  const char* name;  // "jumps"
  std::vector<PluginSample> samples;
};

// The time of the first sample of every run. Not zero: nothing may depend on when a clock began.
inline constexpr int64_t kRunBeginNs = 3'600 * kNsPerSecond;

// A second apart; a slope, a wave and some noise; values of the size of bytes, fractions and counts in turn.
std::vector<PluginSample> OrdinarySamples(size_t metrics, size_t count, int64_t begin_ns = kRunBeginNs);

// Missing values, infinities of a double's range, zeros, jumps, gaps, repeats of one value, samples a nanosecond apart.
std::vector<SampleRun> TroubledRuns(size_t metrics);

// Configurations no plugin can want.
std::vector<std::string> GarbageConfigs();

}  // namespace understudy

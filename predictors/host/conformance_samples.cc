#include "predictors/host/conformance_samples.h"

#include <cmath>
#include <limits>

namespace understudy {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Between 0 and 1, the same for the same pair in every run: a multiplicative hash.
double Noise(uint64_t row, uint64_t metric) {
  uint64_t x = (row + 1) * 0x9E3779B97F4A7C15ull ^ (metric + 1) * 0xC2B2AE3D27D4EB4Full;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 32;
  return static_cast<double>(x >> 11) / 9007199254740992.0;
}

template <class Value>
std::vector<PluginSample> Make(size_t metrics, size_t count, int64_t step_ns, Value value) {
  std::vector<PluginSample> samples(count);
  for (size_t row = 0; row < count; ++row) {
    samples[row].time_ns = kRunBeginNs + static_cast<int64_t>(row) * step_ns;
    for (size_t m = 0; m < metrics; ++m) samples[row].values.push_back(value(row, m));
  }
  return samples;
}

}  // namespace

std::vector<PluginSample> OrdinarySamples(size_t metrics, size_t count, int64_t begin_ns) {
  static constexpr double kScale[] = {4e8, 1, 200};
  std::vector<PluginSample> samples = Make(metrics, count, kNsPerSecond, [](size_t row, size_t m) {
    const double t = static_cast<double>(row);
    return kScale[m % 3] * (0.3 + 0.0005 * t + 0.05 * std::sin(t / 17) + 0.02 * Noise(row, m));
  });
  for (PluginSample& sample : samples) sample.time_ns += begin_ns - kRunBeginNs;
  return samples;
}

std::vector<SampleRun> TroubledRuns(size_t metrics) {
  const double big = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  std::vector<SampleRun> runs;
  const auto add = [&](const char* name, std::vector<PluginSample> samples) {
    runs.push_back({name, std::move(samples)});
  };
  add("one sample", OrdinarySamples(metrics, 1));
  add("nothing but missing values", Make(metrics, 120, kNsPerSecond, [](size_t, size_t) { return kMissing; }));
  add("every other value missing", Make(metrics, 240, kNsPerSecond, [](size_t row, size_t m) {
        return (row + m) % 2 == 0 ? 0.5 + 0.001 * static_cast<double>(row) : kMissing;
      }));
  std::vector<PluginSample> vanish = OrdinarySamples(metrics, 240);
  for (size_t row = 120; row < vanish.size(); ++row) vanish[row].values.assign(metrics, kMissing);
  add("metrics that vanish", std::move(vanish));
  add("infinities and NaN", Make(metrics, 60, kNsPerSecond, [](size_t row, size_t) {
        const double infinity = std::numeric_limits<double>::infinity();
        return row % 3 == 0 ? infinity : row % 3 == 1 ? -infinity : kMissing;
      }));
  add("huge values", Make(metrics, 120, kNsPerSecond, [&](size_t row, size_t) { return row % 2 == 0 ? big : -big; }));
  add("huge values that grow",
      Make(metrics, 120, kNsPerSecond, [&](size_t row, size_t) { return big / 1000 * static_cast<double>(row); }));
  add("tiny values", Make(metrics, 120, kNsPerSecond, [&](size_t row, size_t) { return row % 2 == 0 ? tiny : -tiny; }));
  add("zeros", Make(metrics, 120, kNsPerSecond, [](size_t row, size_t) { return row % 2 == 0 ? 0.0 : -0.0; }));
  add("one value repeated", Make(metrics, 600, kNsPerSecond, [](size_t, size_t) { return 0.75; }));
  add("jumps", Make(metrics, 240, kNsPerSecond,
                    [](size_t row, size_t m) { return (row / 20 % 2 == 0 ? 1e3 : 1e12) * (1 + Noise(row, m)); }));
  add("values that run backwards",
      Make(metrics, 240, kNsPerSecond, [](size_t row, size_t) { return 1e9 - 1e7 * static_cast<double>(row); }));
  std::vector<PluginSample> gaps = OrdinarySamples(metrics, 240);
  for (size_t row = 0; row < gaps.size(); ++row)
    gaps[row].time_ns += static_cast<int64_t>(row / 40) * 86'400 * kNsPerSecond;
  add("gaps of a day", std::move(gaps));
  add("samples a nanosecond apart",
      Make(metrics, 120, 1, [](size_t row, size_t m) { return 0.5 + 0.1 * Noise(row, m); }));
  add("samples of a year ago",
      Make(metrics, 100, 4 * 86'400 * kNsPerSecond, [](size_t row, size_t m) { return 0.5 + 0.1 * Noise(row, m); }));
  return runs;
}

std::vector<std::string> GarbageConfigs() {
  std::string deep(10'000, '[');
  return {"",
          " ",
          "null",
          "[]",
          "0",
          "\"text\"",
          "{",
          "{\"a\":}",
          "{\"no such field\": 1}",
          "{\"bounds\": -1, \"window_s\": \"x\", \"metrics\": {}}",
          std::string("{\"a\0b\": 1}", 10),
          "\xFF\xFE\x80 not UTF-8",
          std::move(deep),
          "{\"a\": \"" + std::string(100'000, 'x') + "\"}",
          "{\"a\": 1e999}"};
}

}  // namespace understudy

// The trend plugin, loaded as a shared object through the ABI like anybody's, on series made from seeds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "predictors/host/plugin_library.h"

namespace understudy {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr double kMiB = 1048576;
constexpr double kLimit = 512;

class TrendTest : public testing::Test {
 protected:
  TrendTest() : library_(PluginLibrary::Load(std::string(PLUGINS) + "/trend.so").value()) {
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
  }

  std::string ConfigError(const std::string& config) {
    PluginAnswer answer;
    EXPECT_FALSE(PluginInstance::Create(library_.get(), config, 1, &answer)) << config;
    EXPECT_EQ(answer.code, UNDERSTUDY_BAD_CONFIG);
    return answer.text;
  }
  void Make(const std::string& config) {
    PluginAnswer answer;
    instance_ = PluginInstance::Create(library_.get(), config, 1, &answer);
    ASSERT_TRUE(instance_) << answer.text;
  }
  // Values by the metrics' names; the others are missing.
  void Observe(double time_s, const std::map<std::string, double>& values) {
    now_s_ = time_s;
    PluginSample sample{static_cast<int64_t>(time_s * 1e9), {}};
    for (const std::string& name : instance_->metrics()) {
      const auto at = values.find(name);
      sample.values.push_back(at == values.end() ? kMissing : at->second);
    }
    ASSERT_TRUE(instance_->Observe({sample}).ok());
  }
  void Observe(double time_s, double value) { Observe(time_s, {{"m", value}}); }
  Forecast Predict(double horizon_s = 60, double later_s = 0) {
    std::vector<Forecast> forecasts;
    const auto now_ns = static_cast<int64_t>((now_s_ + later_s) * 1e9);
    answer_ = instance_->Predict(now_ns, {static_cast<int64_t>(horizon_s * 1000)}, &forecasts);
    if (!answer_.ok()) return {};
    EXPECT_EQ(CheckForecast(forecasts[0]), "");
    return forecasts[0];
  }
  // Feeds a series and returns the time at which the forecast first says 0.5 or more; empty: never.
  std::optional<double> FirstAlarm(const std::vector<double>& values, double step_s, double horizon_s) {
    for (size_t i = 0; i < values.size(); ++i) {
      Observe(static_cast<double>(i) * step_s, values[i]);
      last_ = Predict(horizon_s);
      if (answer_.ok() && last_.probability >= 0.5) return now_s_;
    }
    return std::nullopt;
  }

  std::unique_ptr<PluginLibrary> library_;
  std::unique_ptr<PluginInstance> instance_;
  PluginAnswer answer_;
  Forecast last_;
  double now_s_ = 0;
};

// Standard normal numbers of a seed; the same on every machine, unlike std::normal_distribution.
class Noise {
 public:
  explicit Noise(uint64_t seed) : random_(seed) {}
  double Uniform() { return (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53; }
  double operator()() { return std::sqrt(-2 * std::log(Uniform())) * std::cos(6.283185307179586 * Uniform()); }

 private:
  std::mt19937_64 random_;  // tidy: allow(random): of a fixed seed
};

constexpr uint64_t kSeeds[] = {1, 2, 3, 4, 5};

// Runs until the value reaches the limit, as a real process would.
std::vector<double> UntilLimit(const std::function<double(int)>& value) {
  std::vector<double> values;
  do {
    values.push_back(value(static_cast<int>(values.size())));
  } while (values.back() < kLimit && values.size() < 100000);
  return values;
}

std::vector<double> Samples(int count, const std::function<double(int)>& value) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(value(i));
  return values;
}

TEST_F(TrendTest, ConfigurationErrorsNameTheField) {
  EXPECT_EQ(ConfigError("{"), "config: not valid JSON");
  EXPECT_EQ(ConfigError("[]"), "config: an object is needed");
  EXPECT_EQ(ConfigError(R"({"metric":[]})"), "metric: unknown field");
  EXPECT_EQ(ConfigError(R"({"metrics":[]})"), "metrics: \"auto\" or an array of 1 to 64 metrics is needed");
  EXPECT_EQ(ConfigError(R"({"metrics":[{"capacity":1}]})"), "metrics[0].metric: required");
  EXPECT_EQ(ConfigError(R"({"metrics":[{"metric":"a"},{"metric":"a"}]})"),
            "metrics[1].metric: \"a\" is watched already");
  EXPECT_EQ(ConfigError(R"({"metrics":[{"metric":"a","capacity":"4 MB"}]})"),
            "metrics[0].capacity: unknown unit \"MB\"; known are KiB, MiB, GiB, TiB, k, M, G, %");
  EXPECT_THAT(ConfigError(R"({"metrics":[{"metric":"a","capacity":["b","c","d","e"]}]})"),
              StartsWith("metrics[0].capacity: "));
  EXPECT_THAT(ConfigError(R"({"metrics":[{"metric":"a","capacity":["b",true]}]})"),
              StartsWith("metrics[0].capacity[1]: "));
  EXPECT_THAT(ConfigError(R"({"metrics":[{"metric":"a","direction":1}]})"), StartsWith("metrics[0].direction: "));
  EXPECT_THAT(ConfigError(R"({"metrics":[{"metric":"proc.*"}]})"), StartsWith("metrics[0].metric: "));
  EXPECT_EQ(ConfigError(R"({"base_probability":2})"), "base_probability: 2 is not between 0 and 1");
  EXPECT_EQ(ConfigError(R"({"stale_s":-1})"), "stale_s: -1 is not between 0 and 864000");
}

TEST_F(TrendTest, WithoutAWordMemoryDescriptorsDiskAndLatencyAreWatched) {
  Make("{}");
  EXPECT_THAT(instance_->metrics(),
              testing::IsSupersetOf({"proc.rss_bytes", "proc.memory_limit_bytes", "cgroup.memory_limit_bytes",
                                     "proc.fds", "proc.fds_limit", "node.disk_free_bytes", "node.disk_latency_ms",
                                     "node.memory_available_bytes", "log.append_p99_us", "proc.uptime_s"}));
  for (int t = 0; t < 40; ++t) {
    Observe(t, {{"proc.rss_bytes", (100 + 6.0 * t) * kMiB}, {"cgroup.memory_limit_bytes", 512 * kMiB}});
  }
  const Forecast forecast = Predict();
  ASSERT_TRUE(answer_.ok()) << answer_.text;
  EXPECT_GT(forecast.probability, 0.95);
  EXPECT_DOUBLE_EQ(forecast.confidence, 1);  // what this machine does not measure is not missed
  EXPECT_EQ(forecast.reason,
            "proc.rss_bytes grows 6 MiB/s (Mann-Kendall z 5.9), reaches 512 MiB in 30 s (30 s to 30 s)");
  EXPECT_NEAR(forecast.ttf_p50_s, 412 / 6.0 - 39, 0.5);
  EXPECT_NEAR(Predict(60, 3).ttf_p50_s, 412 / 6.0 - 42, 0.5);  // counted from now
  EXPECT_LT(Predict(10).probability, 0.05);

  Make("{}");
  for (int t = 0; t < 60; ++t) {
    Observe(t, {{"node.disk_free_bytes", (1000 - 12.0 * t) * kMiB}, {"proc.fds", 12.0}, {"proc.fds_limit", 1024.0}});
  }
  EXPECT_THAT(Predict().reason, StartsWith("node.disk_free_bytes falls 12 MiB/s"));
  EXPECT_NEAR(Predict().ttf_p50_s, 1000 / 12.0 - 59, 0.5);
}

TEST_F(TrendTest, ALeakIsSeenInTheFirstThirdOrWhenItsEndComesIntoTheHorizon) {
  for (const double life_s : {30.0, 60.0, 120.0, 600.0}) {
    for (const uint64_t seed : kSeeds) {
      Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
      Noise noise(seed);
      const std::vector<double> values =
          UntilLimit([&](int t) { return 100 + 412 / life_s * t + kLimit * 0.005 * noise(); });
      const auto end_s = static_cast<double>(values.size() - 1);
      const std::optional<double> alarm_s = FirstAlarm(values, 1, 60);
      ASSERT_TRUE(alarm_s) << life_s << " s, seed " << seed;
      EXPECT_LE(*alarm_s, std::max(0.45 * end_s, end_s - 35)) << life_s << " s, seed " << seed;
      EXPECT_GE(*alarm_s, end_s - 75) << "seed " << seed;
    }
  }
}

TEST_F(TrendTest, TheSameForEveryCadence) {
  const auto alarm = [&](double step_s) {
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    Noise noise(7);
    const std::vector<double> values = UntilLimit([&](int t) { return 100 + 2.5 * t + noise(); });
    return FirstAlarm(values, step_s, 60 * step_s).value_or(-1) / step_s;
  };
  const double at = alarm(1);
  EXPECT_GT(at, 0);
  EXPECT_NEAR(alarm(60), at, 1);
  EXPECT_NEAR(alarm(300), at, 1);
  EXPECT_NEAR(alarm(0.1), at, 1);
}

TEST_F(TrendTest, ASawToothIsNoTrendAndOneWhoseFloorGrowsIs) {
  for (const uint64_t seed : kSeeds) {
    for (const int period : {10, 60, 300}) {
      Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
      Noise noise(seed);
      EXPECT_EQ(
          FirstAlarm(Samples(4000, [&](int t) { return 100 + (t % period) * 200.0 / period + 3 * noise(); }), 1, 60),
          std::nullopt)
          << period << " s, seed " << seed << ": " << last_.reason;
    }
    for (const int period : {5, 8, 12, 20}) {
      Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
      Noise noise(seed);
      const std::vector<double> values =
          UntilLimit([&](int t) { return 100 + 2.0 * t + (t % period) * 80.0 / period + noise(); });
      const std::optional<double> alarm_s = FirstAlarm(values, 1, 60);
      ASSERT_TRUE(alarm_s) << period << " s, seed " << seed;
      EXPECT_LE(*alarm_s, static_cast<double>(values.size()) - 40) << period << " s, seed " << seed;
    }
  }
}

// What must never look like a failure, one line each; a day of samples a second would take the test too long.
TEST_F(TrendTest, NoFalseAlarms) {
  struct Calm {
    const char* name;
    double step_s, horizon_s;
    int samples;
    std::function<double(int, Noise&)> value;
  };
  double walk = 0;
  const Calm calms[] = {
      {"constant", 1, 60, 2000, [](int, Noise&) { return 511.0; }},
      {"noise", 1, 60, 8000, [](int, Noise& noise) { return 300 + 60 * noise(); }},
      {"noise near the limit", 1, 60, 8000, [](int, Noise& noise) { return 440 + 20 * noise(); }},
      {"latencies", 1, 60, 8000, [](int, Noise& noise) { return 100 * std::exp(0.5 * noise()); }},
      {"noise with a memory", 1, 60, 8000,
       [&](int t, Noise& noise) {
         walk = t == 0 ? 0 : 0.97 * walk + 7 * noise();
         return 300 + walk;
       }},
      {"deploys", 1, 60, 8000, [](int t, Noise& noise) { return 100 + 80 * (t / 2000) + 2 * noise(); }},
      {"a cache that is loaded", 1, 60, 4000,
       [](int t, Noise& noise) { return 100 + 200 * std::clamp((t - 2000) / 20.0, 0.0, 1.0) + noise(); }},
      {"warming up", 1, 60, 4000, [](int t, Noise& noise) { return 20 + 350 * (1 - std::exp(-t / 300.0)) + noise(); }},
      {"a plateau", 1, 60, 4000, [](int t, Noise& noise) { return std::min(100 + 0.1 * t, 380.0) + 2 * noise(); }},
      {"days", 60, 3600, 1440 * 6,
       [](int t, Noise& noise) { return 250 + 180 * std::sin(6.283185 * t / 1440) + 8 * noise(); }},
      {"days, every five minutes", 300, 3600, 288 * 14,
       [](int t, Noise& noise) { return 250 + 180 * std::sin(6.283185 * t / 288) + 8 * noise(); }},
      {"log rotation", 60, 3600, 1440 * 5, [](int t, Noise& noise) { return 200 + 0.15 * (t % 1440) + 0.3 * noise(); }},
  };
  for (const Calm& calm : calms) {
    for (const uint64_t seed : kSeeds) {
      Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
      Noise noise(seed);
      const std::vector<double> values = Samples(calm.samples, [&](int t) { return calm.value(t, noise); });
      EXPECT_EQ(FirstAlarm(values, calm.step_s, calm.horizon_s), std::nullopt)
          << calm.name << ", seed " << seed << ": " << last_.reason;
    }
  }
}

}  // namespace
}  // namespace understudy

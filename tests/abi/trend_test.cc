// The trend plugin, loaded as a shared object through the ABI like anybody's, on series made from seeds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
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
  EXPECT_EQ(ConfigError(R"({"metrics":[{"metric":"a","noise":"loud"}]})"),
            "metrics[0].noise: \"additive\" or \"multiplicative\" is needed");
  EXPECT_EQ(ConfigError(R"({"metrics":[{"metric":"a","direction":"down","noise":"multiplicative"}]})"),
            "metrics[0].noise: \"multiplicative\" goes with the direction \"up\" only");
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
            "proc.rss_bytes grows 6 MiB/s (Mann-Kendall z 5.9), reaches 512 MiB in 30 s (29 s to 30 s)");
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

TEST_F(TrendTest, LimitsAddToWhatIsWatchedWithoutAWord) {
  EXPECT_EQ(ConfigError(R"({"limits":{}})"), "limits: an object of 1 to 32 metrics and their capacities is needed");
  EXPECT_EQ(ConfigError(R"({"limits":{"app.*":1}})"), "limits.app.*: wildcards are not supported");
  EXPECT_THAT(ConfigError(R"({"limits":{"app.a":"1 furlong"}})"), StartsWith("limits.app.a: unknown unit"));
  EXPECT_THAT(ConfigError(R"({"metrics":[{"metric":"m"}],"limits":{"app.a":1}})"), StartsWith("limits: goes with"));
  Make(R"({"limits":{"app.latency_p99_us":"100 k","proc.rss_bytes":"64 MiB"}})");
  for (int t = 0; t < 30; ++t) Observe(t, {{"app.latency_p99_us", 1000.0 + 1500 * t}, {"proc.rss_bytes", 9 * kMiB}});
  EXPECT_GT(Predict(60).probability, 0.9);
  EXPECT_THAT(Predict(60).reason, StartsWith("the median of app.latency_p99_us grows"));
  Make(R"({"limits":{"app.latency_p99_us":"100 k","proc.rss_bytes":"64 MiB"}})");
  for (int t = 0; t < 30; ++t) Observe(t, {{"proc.rss_bytes", (9.0 + t) * kMiB}});
  EXPECT_GT(Predict(60).probability, 0.9);
  EXPECT_THAT(Predict(60).reason, HasSubstr("reaches 64 MiB"));
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

// Between silence and an alarm there is a suspicion: said, but below what moves a service, and gone when the growth is.
TEST_F(TrendTest, GrowthIsSuspectedBeforeItIsProven) {
  for (const uint64_t seed : kSeeds) {
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    Noise noise(seed);
    int suspected = 0;
    double last = 0;
    for (int t = 0; t < 60 && last < 0.7; ++t) {
      Observe(t, 100 + 8.0 * std::max(0, t - 15) + 6 * noise());
      const Forecast forecast = Predict();
      if (!answer_.ok()) continue;
      last = forecast.probability;
      if (!forecast.reason.ends_with("may have begun to grow towards its limit")) continue;
      ++suspected;
      EXPECT_GT(last, 0.01);
      EXPECT_LE(last, 0.45);
      EXPECT_FALSE(forecast.has_ttf);
    }
    EXPECT_GE(last, 0.7) << "seed " << seed;
    EXPECT_GT(suspected, 0) << "seed " << seed;
    for (int t = 60; t < 200; ++t) Observe(t, 100 + 6 * noise());
    EXPECT_EQ(Predict().probability, 0.01) << "seed " << seed;
  }
}

// Growth by bursts of several seconds with rests of as long between them, as of a heap that is used again before it
// grows: no line fits it.
TEST_F(TrendTest, BurstsThatNeverGoBackAreGrowth) {
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    Noise noise(seed);
    double level = 60;
    int left = 0;
    bool bursts = false;
    const std::vector<double> values = UntilLimit([&](int) {
      if (left-- == 0) {
        bursts = !bursts;
        left = 4 + static_cast<int>(12 * noise.Uniform());
      }
      if (bursts) level += 1 + 6 * noise.Uniform();
      return level + 0.2 * noise();
    });
    const std::optional<double> alarm_s = FirstAlarm(values, 0.5, 60);
    ASSERT_TRUE(alarm_s) << "seed " << seed;
    EXPECT_GE(static_cast<double>(values.size()) * 0.5 - *alarm_s, 10) << "seed " << seed;
    EXPECT_LE(last_.ttf_p10_s, last_.ttf_p50_s);
  }
}

// The same bursts are no growth when they are few, when each is smaller than the one before, or when they go back.
TEST_F(TrendTest, BurstsThatEndOrGoBackAreNot) {
  const std::pair<const char*, std::function<double(int, Noise&)>> calms[] = {
      {"two bursts", [](int t, Noise& noise) { return 60 + 120 * (t >= 300) + 120 * (t >= 330) + 0.2 * noise(); }},
      {"a cache in chunks",
       [](int t, Noise& noise) { return 60 + 300 * (1 - std::exp(-(t / 12 * 12) / 40.0)) + 0.2 * noise(); }},
      {"there and back",
       [](int t, Noise& noise) { return 60 + 30 * ((t / 12 % 3 == 1) + (t / 60 % 2) * 4) + 0.2 * noise(); }},
  };
  for (const auto& [name, value] : calms) {
    for (const uint64_t seed : kSeeds) {
      Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
      Noise noise(seed);
      EXPECT_EQ(FirstAlarm(Samples(2000, [&](int t) { return value(t, noise); }), 0.5, 60), std::nullopt)
          << name << ", seed " << seed << ": " << last_.reason;
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

// A gauge that is read twice a second and changes each second, in steps of four like a timer's. The level is a median;
// one value in thirty is a spike.
std::vector<double> Latencies(int seconds, uint64_t seed, const std::function<double(int)>& level) {
  Noise noise(seed);
  std::vector<double> values;
  for (int t = 0; t < seconds; ++t) {
    const double spike = noise.Uniform() < 1.0 / 30 ? 6 : 1;
    const double value = std::round(level(t) * spike * std::exp(0.5 * noise()) / 4) * 4;
    values.insert(values.end(), {value, value});
  }
  return values;
}

TEST_F(TrendTest, ALatencyCreepsBelowItsSpikes) {
  // 60 s well, then 196 more over 80 s.
  const auto creep = [](int t) { return 4 + std::max(0, t - 60) * 196 / 80.0; };
  int in_time = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Make(R"({"metrics":[{"metric":"m","capacity":200,"noise":"multiplicative"}]})");
    const double at_s = FirstAlarm(Latencies(140, seed, creep), 0.5, 60).value_or(140);
    EXPECT_GT(at_s, 60) << seed;
    in_time += at_s < 120;
  }
  EXPECT_GE(in_time, 19);
  // By its name.
  Make(R"({"limits":{"app.longest_stall_us":200}})");
  const std::vector<double> values = Latencies(120, 3, creep);
  for (size_t i = 0; i < values.size(); ++i) Observe(static_cast<double>(i) / 2, {{"app.longest_stall_us", values[i]}});
  EXPECT_GT(Predict().probability, 0.9);
  EXPECT_THAT(Predict().reason, StartsWith("the median of app.longest_stall_us grows"));
}

TEST_F(TrendTest, LatenciesThatDoNotCreep) {
  const struct {
    const char* name;
    std::function<double(int)> level;
  } calms[] = {
      {"level", [](int) { return 12.0; }},
      {"each minute a quarter of it slower", [](int t) { return t % 60 < 15 ? 20.0 : 4.0; }},
      {"more to do from now on", [](int t) { return t < 300 ? 6.0 : 24.0; }},
      {"by day", [](int t) { return 12 * std::exp(std::sin(t / 100.0)); }},
      {"grows and stays", [](int t) { return 4 + 26 * std::clamp((t - 300) / 60.0, 0.0, 1.0); }},
  };
  for (const auto& calm : calms) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      Make(R"({"metrics":[{"metric":"m","capacity":200,"noise":"multiplicative"}]})");
      EXPECT_EQ(FirstAlarm(Latencies(900, seed, calm.level), 0.5, 60), std::nullopt)
          << calm.name << ", seed " << seed << ": " << last_.reason;
    }
  }
}

TEST_F(TrendTest, ALatencyBeyondItsLimitHasNoTimeLeft) {
  Make(R"({"metrics":[{"metric":"m","capacity":200,"noise":"multiplicative"}]})");
  const std::vector<double> values = Latencies(110, 1, [](int t) { return 4 * std::exp(std::max(0, t - 50) * 0.08); });
  for (size_t i = 0; i < values.size(); ++i) Observe(static_cast<double>(i) / 2, values[i]);
  EXPECT_GT(Predict().probability, 0.9);
  EXPECT_FALSE(Predict().has_ttf);
  EXPECT_THAT(Predict().reason, HasSubstr("reaches 200 about now"));
}

TEST_F(TrendTest, AcceleratingGrowthAndOneThatLevelsOff) {
  for (const uint64_t seed : kSeeds) {
    Noise noise(seed);
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    const std::vector<double> values = UntilLimit([&](int t) { return 90 + 10 * std::exp(3.74 * t / 90) + noise(); });
    const std::optional<double> alarm_s = FirstAlarm(values, 1, 60);
    ASSERT_TRUE(alarm_s) << "seed " << seed;
    EXPECT_GE(static_cast<double>(values.size()) - *alarm_s, 14) << "seed " << seed;
    EXPECT_THAT(last_.reason, HasSubstr("grows ever faster, now "));
    for (const double tau : {5.0, 30.0, 300.0}) {
      Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
      EXPECT_EQ(FirstAlarm(Samples(2000, [&](int t) { return 20 + 380 * (1 - std::exp(-t / tau)) + noise(); }), 1, 60),
                std::nullopt)
          << tau << " s, seed " << seed << ": " << last_.reason;
    }
  }
}

TEST_F(TrendTest, TheTimeToFailureIsCalibrated) {
  // Leaks of random increments: what the 10, 50 and 90 % quantiles say is compared with what came.
  int forecasts = 0, below[3] = {};
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    Noise noise(seed);
    double level = 100;
    const std::vector<double> values = UntilLimit([&](int) { return level += std::max(0.0, 1 + 0.7 * noise()); });
    for (size_t i = 0; i < values.size(); ++i) {
      Observe(static_cast<double>(i), values[i]);
      const Forecast forecast = Predict();
      // Every so often: neighbours say the same.
      if (!answer_.ok() || !forecast.has_ttf || i % 40 != 0) continue;
      const auto left_s = static_cast<double>(values.size() - 1 - i);
      ++forecasts;
      below[0] += left_s <= forecast.ttf_p10_s;
      below[1] += left_s <= forecast.ttf_p50_s;
      below[2] += left_s <= forecast.ttf_p90_s;
    }
  }
  ASSERT_GT(forecasts, 100);
  EXPECT_LE(below[0], 0.25 * forecasts);
  EXPECT_GE(below[1], 0.25 * forecasts);
  EXPECT_LE(below[1], 0.75 * forecasts);
  EXPECT_GE(below[2], 0.75 * forecasts);
}

TEST_F(TrendTest, GrowthUnderADailyCycleIsSeenOverDays) {
  // 10 a day under a cycle of 200: only windows of days can tell. The peaks reach the limit on the 19th day.
  Noise noise(3);
  const std::vector<double> values =
      UntilLimit([&](int t) { return 220 + 100 * std::sin(6.283185307 * t / 288) + 10.0 * t / 288 + noise(); });
  const double end_s = 300.0 * static_cast<double>(values.size() - 1);
  const std::optional<double> alarm_s = FirstAlarm(values, 300, 4 * 86400);
  ASSERT_TRUE(alarm_s);
  EXPECT_LT(*alarm_s, end_s - 86400) << last_.reason;
  EXPECT_GT(*alarm_s, end_s - 8 * 86400) << last_.reason;
  EXPECT_NEAR(now_s_ + last_.ttf_p50_s, end_s, 1.5 * 86400) << last_.reason;
}

TEST_F(TrendTest, SavedStatesAndExtraQuestionsChangeNothing) {
  const auto run = [&](bool disturbed) {
    Make(R"({"metrics":[{"metric":"m","capacity":["l",512]},{"metric":"f","direction":"down","capacity":0},
             {"metric":"g"},{"metric":"n","capacity":900,"noise":"multiplicative"}]})");
    Noise noise(11);
    std::string all;
    for (int t = 0; t < 1500; ++t) {
      Observe(t, {{"m", 100 + 0.2 * t + (t % 25) * 3 + noise()},
                  {"l", 600.0},
                  {"f", 1000 - 0.9 * std::max(0, t - 400) + 2 * noise()},
                  {"g", 50 + noise()},
                  {"n", (10 + 6.0 * (t < 300 ? std::max(0, t - 150) : 0)) * std::exp(0.3 * noise())}});
      if (disturbed && t % 7 == 0) Predict(5, 100);
      if (disturbed && t % 211 == 0) {
        std::string state;
        EXPECT_TRUE(instance_->Save(&state).ok());
        Make(R"({"metrics":[{"metric":"m","capacity":["l",512]},{"metric":"f","direction":"down","capacity":0},
                 {"metric":"g"},{"metric":"n","capacity":900,"noise":"multiplicative"}]})");
        EXPECT_TRUE(instance_->Restore(state).ok());
        std::string again;
        EXPECT_TRUE(instance_->Save(&again).ok());
        EXPECT_EQ(state, again);
      }
      const Forecast forecast = Predict(300);
      char text[160];
      std::snprintf(text, sizeof text, "%a %a %a %a ", forecast.probability, forecast.ttf_p10_s, forecast.ttf_p50_s,
                    forecast.ttf_p90_s);
      all += text + forecast.reason + '\n';
    }
    return all;
  };
  const std::string once = run(false);
  EXPECT_THAT(once, HasSubstr("reaches 0 in"));
  EXPECT_THAT(once, HasSubstr("the median of n grows"));
  EXPECT_TRUE(once == run(true));
}

TEST_F(TrendTest, DamagedStatesAreRefusedAndForgotten) {
  for (int t = 0; t < 100; ++t) Observe(t, 100 + 3.0 * t);
  std::string state;
  ASSERT_TRUE(instance_->Save(&state).ok());
  Noise noise(5);
  for (size_t size = 0; size < state.size(); size += 13) {
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    EXPECT_EQ(instance_->Restore(state.substr(0, size)).code, UNDERSTUDY_BAD_STATE) << size;
  }
  for (int i = 0; i < 300; ++i) {  // whatever is accepted must be possible to work with
    std::string damaged = state;
    for (int flips = 0; flips < 3; ++flips) {
      damaged[static_cast<size_t>(noise.Uniform() * static_cast<double>(state.size()))] =
          static_cast<char>(noise.Uniform() * 256);
    }
    Make(R"({"metrics":[{"metric":"m","capacity":512}]})");
    (void)instance_->Restore(damaged);
    for (int t = 100; t < 130; ++t) {
      Observe(t, 100 + 3.0 * t);
      Predict();
    }
  }
}

TEST_F(TrendTest, MemoryStaysBounded) {
  Noise noise(2);
  std::string state;
  size_t sizes[3] = {};
  for (int t = 0, k = 0; k < 3; ++t) {
    Observe(t, 100 + noise());
    if (t == 5000 || t == 40000 || t == 80000) {
      ASSERT_TRUE(instance_->Save(&state).ok());
      sizes[k++] = state.size();
    }
  }
  EXPECT_LT(sizes[2], 8000u);  // a day
  EXPECT_LT(sizes[2], sizes[1] + 1000);
}

TEST_F(TrendTest, SaysWhyItIsSilent) {
  Predict();
  EXPECT_EQ(answer_.code, UNDERSTUDY_WARMING);
  EXPECT_EQ(answer_.text, "no recent value of m");
  Observe(0, 100.0);
  Predict();
  EXPECT_EQ(answer_.code, UNDERSTUDY_WARMING);
  EXPECT_EQ(answer_.text, "too few samples yet of m");
  for (int t = 1; t < 20; ++t) Observe(t, 100.0);
  Predict();
  EXPECT_TRUE(answer_.ok());
  EXPECT_EQ(Predict().reason, "nothing grows towards its limit");
  EXPECT_DOUBLE_EQ(Predict().probability, 0.01);
  Predict(60, 9);
  EXPECT_TRUE(answer_.ok());
  Predict(60, 12);  // ten sampling intervals
  EXPECT_EQ(answer_.code, UNDERSTUDY_ABSTAIN);
  EXPECT_EQ(answer_.text, "no recent value of m");
  Make(R"({"metrics":[{"metric":"m","capacity":"l"}]})");
  for (int t = 0; t < 40; ++t) Observe(t, 100 + 8.0 * t);
  Predict();
  EXPECT_EQ(answer_.code, UNDERSTUDY_ABSTAIN);
  EXPECT_EQ(answer_.text, "no limit is known for m");
}

TEST_F(TrendTest, GarbageIsNeverAFailure) {
  const auto never = [&](const char* what, const std::function<std::map<std::string, double>(int)>& sample) {
    Make(R"({"metrics":[{"metric":"m","capacity":"l"}]})");
    for (int t = 0; t < 1500; ++t) {
      Observe(t, sample(t));
      ASSERT_LT(Predict().probability, 0.5) << what << ", t " << t << ": " << Predict().reason;
    }
  };
  using Values = std::map<std::string, double>;
  Noise noise(9);
  never("limit vanishes and lies", [](int t) {
    return Values{{"m", 100.0}, {"l", t % 5 == 0 ? kMissing : t % 7 == 0 ? 0.0 : t % 11 == 0 ? 1.0 : 512.0}};
  });
  never("wild values", [&](int t) {
    return Values{{"m", t % 40 == 20 ? 1e300 : t % 40 == 10 ? -1e300 : 100 + noise()}, {"l", 512.0}};
  });
  never("values that grow wild", [](int t) { return Values{{"m", std::pow(10.0, t % 300)}, {"l", 1e17}}; });
  never("mostly missing", [&](int t) {
    return t % 97 == 0 ? Values{{"m", 400 * noise.Uniform()}, {"l", 512.0}} : Values{{"l", 512.0}};
  });
  never("two levels", [](int t) { return Values{{"m", t % 2 == 0 ? 10.0 : 500.0}, {"l", 512.0}}; });
  never("stuck at the limit", [](int) { return Values{{"m", 512.0}, {"l", 512.0}}; });
  never("beyond the limit", [&](int) { return Values{{"m", 700 + noise()}, {"l", 512.0}}; });
}

TEST_F(TrendTest, ARestartBeginsAnewAndAGapKeepsThePast) {
  const auto leak = [&](double from_s) {
    std::optional<double> alarm_s;
    for (int t = 0; t < 90 && !alarm_s; ++t) {
      Observe(from_s + t, 100 + 4.5 * t);
      if (Predict().probability >= 0.5) alarm_s = t;
    }
    return alarm_s;
  };
  const std::optional<double> first = leak(0);
  ASSERT_TRUE(first);
  EXPECT_TRUE(instance_->Reset(UNDERSTUDY_RESET_RESTARTED).ok());
  Predict();
  EXPECT_EQ(answer_.code, UNDERSTUDY_WARMING);
  EXPECT_EQ(leak(1000), first);  // as if it were the first time
  EXPECT_TRUE(instance_->Reset(UNDERSTUDY_RESET_MOVED).ok());
  EXPECT_EQ(leak(2000), first);
  EXPECT_TRUE(instance_->Reset(UNDERSTUDY_RESET_GAP).ok());
  Observe(2200, 120.0);
  EXPECT_LT(Predict().probability, 0.5);

  // Nobody tells of the restart, but the uptime goes back.
  Make(R"({"metrics":[{"metric":"m","capacity":512},{"metric":"node.x","capacity":512}]})");
  std::vector<double> alarms;
  for (int t = 0; t < 270; ++t) {
    Observe(t, {{"m", 100 + 4.5 * (t % 90)}, {"node.x", 3.0}, {"proc.uptime_s", t % 90 + 1.0}});
    if (Predict().probability >= 0.5 && (alarms.empty() || t - alarms.back() > 60)) alarms.push_back(t);
  }
  EXPECT_THAT(alarms, testing::ElementsAre(*first, *first + 90, *first + 180));
}

TEST_F(TrendTest, ALimitIsLearnedFromFailuresAndNotFromWhatWasSurvived) {
  Make(R"({"metrics":[{"metric":"app.q"}]})");
  const auto life = [&](double from_s, double to, bool fails) {
    double warned = -1;
    for (int t = 0; 100 + 5 * t <= to; ++t) {
      Observe(from_s + t, {{"app.q", 100 + 5.0 * t}});
      if (warned < 0 && Predict().probability >= 0.5) warned = 100 + 5 * t;
    }
    if (fails) {
      EXPECT_TRUE(instance_->Feedback(static_cast<int64_t>(now_s_ * 1e9), UNDERSTUDY_OUTCOME_FAILED, -1).ok());
    }
    EXPECT_TRUE(instance_->Reset(UNDERSTUDY_RESET_RESTARTED).ok());
    return warned;
  };
  EXPECT_EQ(life(0, 600, false), -1);
  EXPECT_EQ(answer_.code, UNDERSTUDY_ABSTAIN);
  EXPECT_EQ(answer_.text, "no limit is known for app.q");
  EXPECT_EQ(life(1000, 800, true), -1);
  const double warned = life(2000, 800, true);
  EXPECT_GT(warned, 150);
  EXPECT_LT(warned, 600);
  // A level far above that is held without harm: it was a coincidence.
  for (int t = 0; t < 300; ++t) Observe(3000 + t, {{"app.q", 2000.0}});
  for (int t = 0; t < 20; ++t) Observe(3300 + t, {{"app.q", 2000 + 5.0 * t}});
  Predict();
  EXPECT_EQ(answer_.code, UNDERSTUDY_ABSTAIN);
}

// One leak from beginning to end: what a person reads.
TEST_F(TrendTest, GoldenForecasts) {
  Make("{}");
  Noise noise(1);
  std::string story;
  for (int t = 0; t <= 100; ++t) {
    Observe(t, {{"proc.rss_bytes", (100 + 4.0 * t + noise()) * kMiB}, {"proc.memory_limit_bytes", 512 * kMiB}});
    const Forecast forecast = Predict();
    char text[400];
    std::snprintf(text, sizeof text, "%3d s: %.2f %s\n", t, forecast.probability,
                  (answer_.ok() ? forecast.reason : answer_.text).c_str());
    if (t % 20 == 5) story += text;
  }
  EXPECT_EQ(story,
            "  5 s: 0.00 too few samples yet of proc.rss_bytes\n"
            " 25 s: 0.01 nothing grows towards its limit\n"
            " 45 s: 0.96 proc.rss_bytes grows 4.0 MiB/s (Mann-Kendall z 6.7), reaches 512 MiB in 58 s (57 s to 60 s)\n"
            " 65 s: 1.00 proc.rss_bytes grows 4.0 MiB/s (Mann-Kendall z 8.0), reaches 512 MiB in 38 s (37 s to 39 s)\n"
            " 85 s: 1.00 proc.rss_bytes grows ever slower, now 3.9 MiB/s (Mann-Kendall z 8.0), reaches 512 MiB in 19 s "
            "(18 s to 21 s)\n");
}

}  // namespace
}  // namespace understudy

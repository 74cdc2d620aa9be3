// The threshold plugin, loaded as a shared object through the ABI like anybody's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "predictors/host/plugin_library.h"

namespace understudy {
namespace {

using testing::HasSubstr;

const double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr double kMiB = 1048576;

class ThresholdTest : public testing::Test {
 protected:
  ThresholdTest() : library_(PluginLibrary::Load(std::string(PLUGINS) + "/threshold.so").value()) {}

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
  void Observe(double time_s, std::vector<double> values) {
    now_s_ = time_s;
    ASSERT_TRUE(instance_->Observe({{static_cast<int64_t>(time_s * 1e9), std::move(values)}}).ok());
  }
  // The forecast for `horizon_s` at the time of the last sample, or `later_s` after it.
  Forecast Predict(double horizon_s = 60, double later_s = 0) {
    std::vector<Forecast> forecasts;
    const auto now_ns = static_cast<int64_t>((now_s_ + later_s) * 1e9);
    answer_ = instance_->Predict(now_ns, {static_cast<int64_t>(horizon_s * 1000)}, &forecasts);
    if (!answer_.ok()) return {};
    EXPECT_EQ(CheckForecast(forecasts[0]), "");
    return forecasts[0];
  }

  std::unique_ptr<PluginLibrary> library_;
  std::unique_ptr<PluginInstance> instance_;
  PluginAnswer answer_;
  double now_s_ = 0;
};

TEST_F(ThresholdTest, ConfigurationErrorsNameTheField) {
  EXPECT_EQ(ConfigError("{"), "config: not valid JSON");
  EXPECT_EQ(ConfigError("{}"), "bounds: bounds or rules are required");
  EXPECT_EQ(ConfigError(R"({"bouns":[]})"), "bouns: unknown field");
  EXPECT_EQ(ConfigError(R"({"bounds":[{"above":1}]})"), "bounds[0].metric: required");
  EXPECT_EQ(ConfigError(R"({"bounds":[{"metric":"a","above":1},{"metric":"b"}]})"),
            "bounds[1].above: either above or below is required");
  EXPECT_EQ(ConfigError(R"({"bounds":[{"metric":"a","above":"4 MB"}]})"),
            "bounds[0].above: unknown unit \"MB\"; known are KiB, MiB, GiB, TiB, k, M, G, %");
  EXPECT_THAT(ConfigError(R"({"bounds":[{"metric":"a","above":1,"probability":2}]})"),
              HasSubstr("bounds[0].probability: 2 is not between 0 and 1"));
  EXPECT_THAT(ConfigError(R"({"bounds":[{"metric":"a","above":1,"clear":2}]})"), HasSubstr("bounds[0].clear"));
  EXPECT_THAT(ConfigError(R"({"bounds":[{"metric":"a","below":1,"fails_at":2}]})"), HasSubstr("bounds[0].fails_at"));
  EXPECT_THAT(ConfigError(R"({"bounds":[{"metric":"proc.*","above":1}]})"), HasSubstr("bounds[0].metric"));
}

TEST_F(ThresholdTest, AlarmsAfterTheDurationAndClearsWithHysteresis) {
  Make(R"({"bounds":[{"metric":"proc.rss_bytes","above":"400 MiB","for_s":5,"clear":"380 MiB","clear_for_s":3}]})");
  Predict();
  EXPECT_EQ(answer_.code, UNDERSTUDY_WARMING);
  for (int t = 1; t <= 5; ++t) {
    Observe(t, {412 * kMiB});
    EXPECT_LT(Predict().probability, 0.1) << t;  // not yet for five seconds
  }
  Observe(6, {412 * kMiB});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
  EXPECT_DOUBLE_EQ(Predict().confidence, 1);
  EXPECT_EQ(Predict().reason, "proc.rss_bytes 412 MiB > 400 MiB for 5 s");
  EXPECT_FALSE(Predict().has_ttf);  // where it fails is not configured

  for (int t = 7; t <= 20; ++t) Observe(t, {390 * kMiB});  // between clear and the bound: the alarm stays
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
  EXPECT_EQ(Predict().reason, "proc.rss_bytes 390 MiB, not yet back beyond 380 MiB for 3 s");
  Observe(21, {370 * kMiB});
  Observe(22, {385 * kMiB});  // once above clear again: the duration starts over
  for (int t = 23; t <= 25; ++t) Observe(t, {370 * kMiB});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
  Observe(26, {370 * kMiB});
  EXPECT_LT(Predict().probability, 0.1);
  EXPECT_EQ(Predict().reason, "within bounds");
}

TEST_F(ThresholdTest, ASpikeShorterThanTheDurationIsNoAlarm) {
  Make(R"({"bounds":[{"metric":"x","above":10,"for_s":3}]})");
  for (int t = 0; t < 50; ++t) {
    Observe(t, {t % 3 == 2 ? 5.0 : 50.0});
    EXPECT_LT(Predict().probability, 0.1);
  }
}

TEST_F(ThresholdTest, MissingAndStaleValuesAreUnknownNotCalm) {
  Make(R"({"bounds":[{"metric":"a","below":10,"for_s":0},{"metric":"b","above":10,"for_s":0}],"stale_s":5})");
  Observe(1, {5, kMissing});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
  EXPECT_DOUBLE_EQ(Predict().confidence, 0.5);
  EXPECT_EQ(Predict().reason, "a 5 < 10 for 0 s");
  Observe(2, {50, kMissing});
  EXPECT_LT(Predict().probability, 0.1);
  EXPECT_EQ(Predict().reason, "within bounds; no recent value of b");
  Predict(60, 5.1);
  EXPECT_EQ(answer_.code, UNDERSTUDY_ABSTAIN);
  EXPECT_EQ(answer_.text, "no recent value of a, b");
  // After a gap durations begin anew.
  Make(R"({"bounds":[{"metric":"a","above":10,"for_s":3}],"stale_s":5})");
  Observe(10, {20});
  Observe(20, {20});
  EXPECT_LT(Predict().probability, 0.1);
}

TEST_F(ThresholdTest, TimeToFailureFollowsTheSlope) {
  Make(R"({"bounds":[{"metric":"m","above":100,"for_s":2,"fails_at":400,"probability":0.8}],"trend_s":20})");
  for (int t = 0; t <= 60; ++t) Observe(t, {3.0 * t});  // 180 now, 3 a second: 400 in 73.3 s
  const Forecast straight = Predict();
  EXPECT_DOUBLE_EQ(straight.probability, 0.8);
  ASSERT_TRUE(straight.has_ttf);
  EXPECT_NEAR(straight.ttf_p50_s, 220 / 3.0, 0.01);
  EXPECT_NEAR(Predict(60, 10).ttf_p50_s, 190 / 3.0, 0.01);  // counted from now, not from the last sample
  for (int t = 61; t <= 120; ++t) Observe(t, {3.0 * t + (t % 2 == 0 ? 6 : -6)});
  const Forecast noisy = Predict();
  ASSERT_TRUE(noisy.has_ttf);
  EXPECT_LT(noisy.ttf_p10_s, noisy.ttf_p50_s - 0.1);
  EXPECT_GT(noisy.ttf_p90_s, noisy.ttf_p50_s + 0.1);
  for (int t = 121; t <= 160; ++t) Observe(t, {366});  // it stands still: nobody knows
  EXPECT_FALSE(Predict().has_ttf);
  EXPECT_DOUBLE_EQ(Predict().probability, 0.8);
  for (int t = 161; t <= 170; ++t) Observe(t, {500});
  EXPECT_DOUBLE_EQ(Predict().ttf_p90_s, 0);
}

TEST_F(ThresholdTest, AnticipatesOnlyWhenAskedTo) {
  const std::string tail = R"("above":100,"for_s":2}],"trend_s":20})";
  Make(R"({"bounds":[{"metric":"m",)" + tail);
  for (int t = 0; t <= 30; ++t) Observe(t, {2.0 * t});
  EXPECT_LT(Predict(60).probability, 0.1);
  Make(R"({"bounds":[{"metric":"m","anticipate":true,)" + tail);
  for (int t = 0; t <= 30; ++t) Observe(t, {2.0 * t});  // 60 now: 100 in 20 s
  EXPECT_DOUBLE_EQ(Predict(60).probability, 0.9);
  EXPECT_LT(Predict(10).probability, 0.1);
  EXPECT_NEAR(Predict(60).ttf_p50_s, 20, 0.01);
  EXPECT_THAT(Predict(60).reason, HasSubstr("m 60, heading for 100, in about 20 s"));
}

struct Row {
  double time_s;
  double value;
};

std::vector<Row> ReadTrace() {
  std::ifstream in("tests/traces/ec2_request_latency_system_failure.csv");
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "time_s,value");
  std::vector<Row> rows;
  while (std::getline(in, line)) {
    const size_t comma = line.find(',');
    rows.push_back({std::stod(line.substr(0, comma)), std::stod(line.substr(comma + 1))});
  }
  return rows;
}

TEST_F(ThresholdTest, ARealTraceReplaysToTheSameForecastsAlsoThroughASavedState) {
  const std::vector<Row> rows = ReadTrace();
  ASSERT_EQ(rows.size(), 4032u);
  const std::string config = R"({"bounds":[
      {"metric":"value","above":62,"for_s":0,"clear":55,"clear_for_s":600,"fails_at":120,"anticipate":true},
      {"metric":"value","below":32,"for_s":0,"clear":35,"clear_for_s":600}],"stale_s":1200,"trend_s":7200})";
  const auto run = [&](bool with_restart) {
    Make(config);
    std::ostringstream out;
    out.precision(17);
    for (size_t i = 0; i < rows.size(); ++i) {
      Observe(rows[i].time_s, {rows[i].value, rows[i].value});
      const Forecast forecast = Predict(3600);
      out << rows[i].time_s << ' ' << forecast.probability << ' ' << forecast.ttf_p50_s << ' ' << forecast.reason
          << '\n';
      if (with_restart && i == 2500) {
        std::string state;
        EXPECT_TRUE(instance_->Save(&state).ok());
        Make(config);
        EXPECT_TRUE(instance_->Restore(state).ok());
      }
    }
    return out.str();
  };
  const std::string once = run(false);
  EXPECT_EQ(once, run(false));
  EXPECT_EQ(once, run(true));

  // Every labelled failure has an alarm in it, and most of the two weeks has none.
  std::ifstream in("tests/traces/ec2_request_latency_system_failure.events.json");
  const nlohmann::json events = nlohmann::json::parse(in);
  ASSERT_EQ(events.size(), 3u);
  std::vector<bool> found(events.size());
  size_t alarms = 0;
  Make(config);
  for (const Row& row : rows) {
    Observe(row.time_s, {row.value, row.value});
    if (Predict().probability < 0.5) continue;
    ++alarms;
    for (size_t i = 0; i < events.size(); ++i) {
      if (row.time_s >= events[i]["time_s"] && row.time_s <= events[i]["end_s"]) found[i] = true;
    }
  }
  EXPECT_THAT(found, testing::Each(true));
  EXPECT_LT(alarms, rows.size() / 20);
}

TEST_F(ThresholdTest, RulesPutBoundsTogether) {
  // Memory and its pressure at once for 5 s, or threads alone.
  Make(R"({"rules":[
    {"all":[{"metric":"mem","above":90,"for_s":0,"clear_for_s":0,"clear":90},
            {"metric":"psi","above":10,"for_s":0,"clear_for_s":0,"clear":10}], "for_s":5, "clear_for_s":2,
     "probability":0.8},
    {"metric":"threads","above":1000,"for_s":0}]})");
  const std::vector<std::string> wanted = {"mem", "psi", "threads"};
  EXPECT_EQ(instance_->metrics(), wanted);
  double t = 0;
  for (int i = 0; i < 20; ++i) Observe(++t, {95, 5, 10});  // one of them alone, for however long
  EXPECT_DOUBLE_EQ(Predict().probability, 0.01);
  for (int i = 0; i < 5; ++i) Observe(++t, {95, 20, 10});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.01);
  Observe(++t, {95, 20, 10});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.8);
  EXPECT_EQ(Predict().reason, "mem 95 > 90 for 25 s and psi 20 > 10 for 5 s");
  Observe(++t, {95, 20, 2000});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);  // the worst counts
  EXPECT_THAT(Predict().reason, HasSubstr("threads 2000 > 1000"));
  Make(R"({"rules":[{"all":[{"metric":"mem","above":90,"for_s":0,"clear_for_s":0,"clear":90},
            {"metric":"psi","above":10,"for_s":0,"clear_for_s":0,"clear":10}], "clear_for_s":2}]})");
  Observe(1, {95, 20});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
  Observe(2, {95, 5});
  Observe(3, {95, 5});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);  // not for two seconds yet
  Observe(4, {95, 5});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.01);
}

TEST_F(ThresholdTest, AnUnknownPartKeepsAllFromBeingTrueButNotAny) {
  const std::string parts = R"([{"metric":"a","above":1,"for_s":0},{"metric":"b","above":1,"for_s":0}])";
  Make(R"({"stale_s":10,"rules":[{"all":)" + parts + "}]}");
  for (int t = 1; t <= 5; ++t) Observe(t, {2, kMissing});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.01);
  EXPECT_DOUBLE_EQ(Predict().confidence, 0.5);
  Observe(6, {2, 2});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
  for (int t = 7; t <= 30; ++t) Observe(t, {2, kMissing});  // what b was is too long ago
  EXPECT_DOUBLE_EQ(Predict().probability, 0.01);
  Make(R"({"stale_s":10,"rules":[{"any":)" + parts + "}]}");
  for (int t = 1; t <= 5; ++t) Observe(t, {2, kMissing});
  EXPECT_DOUBLE_EQ(Predict().probability, 0.9);
}

TEST_F(ThresholdTest, RulesWithinRulesKnowWhenAndSurviveASave) {
  const std::string config = R"({"trend_s":20,"rules":[{"any":[
      {"all":[{"metric":"a","above":50,"for_s":0,"fails_at":100},{"metric":"b","above":50,"for_s":0,"fails_at":200}]},
      {"metric":"c","above":1,"for_s":0}], "for_s":3}]})";
  Make(config);
  for (int t = 0; t <= 60; ++t) Observe(t, {1.0 * t, 1.0 * t, 0});
  const Forecast before = Predict();
  EXPECT_DOUBLE_EQ(before.probability, 0.9);
  ASSERT_TRUE(before.has_ttf);
  EXPECT_NEAR(before.ttf_p50_s, 140, 1e-6);  // both must fail: b is the later
  std::string state;
  ASSERT_TRUE(instance_->Save(&state).ok());
  Make(config);
  ASSERT_TRUE(instance_->Restore(state).ok());
  const Forecast after = Predict();
  EXPECT_DOUBLE_EQ(after.probability, before.probability);
  EXPECT_EQ(after.reason, before.reason);
  Make(R"({"bounds":[{"metric":"a","above":50}]})");
  EXPECT_EQ(instance_->Restore(state).code, UNDERSTUDY_BAD_STATE);
}

TEST_F(ThresholdTest, WrongRulesAreNamed) {
  EXPECT_EQ(ConfigError(R"({"rules":[{"all":[]}]})"), "rules[0].all: an array of bounds and rules is needed");
  EXPECT_EQ(ConfigError(R"({"rules":[{}]})"), "rules[0]: either all, any or metric is needed");
  EXPECT_EQ(ConfigError(R"({"rules":[{"any":[{"metric":"a"}]}]})"),
            "rules[0].any[0].above: either above or below is required");
  EXPECT_EQ(ConfigError(R"({"rules":[{"all":[{"metric":"a","above":1}],"fro_s":1}]})"),
            "rules[0].fro_s: unknown field");
  EXPECT_EQ(ConfigError(R"({"rules":[{"all":[{"any":[{"metric":"a","above":1,"anticipate":true}]}]}]})"),
            "rules[0].all[0].any[0].anticipate: only for a bound that is not part of a rule");
  std::string deep = R"({"metric":"a","above":1})";
  for (int i = 0; i < 5; ++i) deep = R"({"all":[)" + deep + "]}";
  EXPECT_THAT(ConfigError(R"({"rules":[)" + deep + "]}"), HasSubstr("rules within rules at most 4 deep"));
  std::string many = R"({"metric":"a","above":1})";
  for (int i = 0; i < 64; ++i) many += R"(,{"metric":"a","above":1})";
  EXPECT_THAT(ConfigError(R"({"rules":[{"all":[)" + many + "]}]}"), HasSubstr("more than 64 bounds in all"));
}

}  // namespace
}  // namespace understudy

// Whole backtests with the real plugins.
#include "predictors/backtest/backtest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace understudy::backtest {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using trace::Event;

constexpr char kThreshold[] = R"(threshold:{"bounds": [{"metric": "mem", "above": 90, "for_s": 0, "fails_at": 100}]})";

class BacktestTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/backtest_test_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A leak that grows by `slope` a second from 0 and fails at 100, if it gets there within 1000 s.
  std::string Leak(const std::string& name, double slope, std::vector<Event> more = {}) {
    trace::Trace trace;
    trace.metrics = {"other", "mem"};
    trace.columns.resize(2);
    trace.events = std::move(more);
    for (int t = 0; t <= 1000; ++t) {
      const double value = slope * t;
      trace.time_s.push_back(t);
      trace.columns[0].push_back(std::sin(t));
      trace.columns[1].push_back(value);
      if (value < 100) continue;
      trace.events.push_back({static_cast<double>(t), static_cast<double>(t), Event::kFailure, "</script><b>full"});
      break;
    }
    const std::string path = folder_ + "/" + name + ".csv";
    EXPECT_EQ(trace::WriteTrace(trace, path), Status::Ok());
    return path;
  }

  static std::vector<Variant> Variants(const std::vector<std::string>& texts) {
    std::vector<Variant> all;
    for (size_t i = 0; i < texts.size(); ++i) {
      const Result<std::vector<Variant>> some = ParsePredictor(texts[i], i);
      EXPECT_TRUE(some.ok()) << some.status().ToString();
      if (some.ok()) all.insert(all.end(), some->begin(), some->end());
    }
    return all;
  }

  static Result<Report> Go(const std::vector<std::string>& paths, const std::vector<std::string>& predictors,
                           Settings settings = {}) {
    return backtest::Run(paths, Variants(predictors), settings, {UNDERSTUDY_PLUGIN_FOLDER}, SystemClock());
  }

  std::string folder_;
};

TEST_F(BacktestTest, ALeakIsForecastWithItsLeadAndItsTimeToFailure) {
  const Result<Report> report = Go({Leak("leak", 0.5)}, {kThreshold});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  const TraceScore& trace = report->variants[0].traces[0];
  // Above 90 from 181 s on; the alarm a second later; 100 is reached at 200 s.
  ASSERT_EQ(trace.alarms.size(), 1u);
  EXPECT_EQ(trace.alarms[0].opened_s, 182);
  EXPECT_EQ(trace.alarms[0].verdict, Verdict::kTrue);
  EXPECT_EQ(trace.alarms[0].lead_s, 18);
  EXPECT_THAT(trace.alarms[0].reason, HasSubstr("mem 90.5 > 90"));
  EXPECT_EQ(trace.score.events_forecast, 1);
  EXPECT_EQ(trace.score.ok, 201);
  EXPECT_GT(trace.score.ttf_errors_s.size(), 15u);
  EXPECT_LT(trace.score.TtfRelative(), 0.01);
  EXPECT_EQ(report->variants[0].summary.Recall(), 1);
  // Beyond 141 s every forecast is one of a failure within 60 s; those before the trace's end are all known.
  EXPECT_EQ(trace.score.scored(), 200);
}

TEST_F(BacktestTest, ARestartForgetsAndEndsTheAlarm) {
  // Above 90 from 226 s on; the failure at 250 s.
  const std::string with = Leak("with", 0.4, {{240.5, 240.5, Event::kRestart, ""}});
  const std::string without = Leak("without", 0.4);
  // 20 s beyond the bound are not reached when a restart comes in between.
  const Result<Report> report =
      Go({with, without}, {R"(threshold:{"bounds": [{"metric": "mem", "above": 90, "for_s": 20}]})"});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_TRUE(report->variants[0].traces[0].alarms.empty());
  EXPECT_EQ(report->variants[0].traces[1].alarms.size(), 1u);
  // An alarm before it is the old process's, and earns nothing for the failure of the new one.
  const Result<Report> reset = Go({with}, {R"(threshold:{"bounds": [{"metric": "mem", "above": 90, "for_s": 12}]})"});
  ASSERT_FALSE(reset->variants[0].traces[0].alarms.empty());
  EXPECT_EQ(reset->variants[0].traces[0].alarms[0].opened_s, 239);
  EXPECT_EQ(reset->variants[0].traces[0].alarms[0].closed_s, 240.5);
  EXPECT_EQ(reset->variants[0].traces[0].alarms[0].verdict, Verdict::kFalse);
}

TEST_F(BacktestTest, TheSameWhateverTheThreadsBitByBit) {
  std::vector<std::string> paths;
  for (int i = 1; i < 24; ++i) paths.push_back(Leak("leak" + std::to_string(i), 0.02 * i));
  const std::vector<std::string> predictors = {
      R"(threshold:{"bounds": [{"metric": "mem", "above": 80, "fails_at": 100, "anticipate": true}]})",
      R"(predict_linear:{"rules": [{"metric": "mem", "above": 100}], "window_s": {"sweep": [30, 300]}})"};
  std::vector<std::string> texts;
  for (const int threads : {1, 2, 4, 4}) {
    Settings settings;
    settings.threads = threads;
    const Result<Report> report = Go(paths, predictors, settings);
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    Json json = Json::parse(ToJson(*report));
    json.erase("performance");  // the only part that is measured
    for (Json& one : json["predictors"]) one.erase("performance");
    texts.push_back(json.dump());
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(texts[0], texts[2]);
  EXPECT_EQ(texts[2], texts[3]);
}

TEST_F(BacktestTest, PredictLinearIsARivalAtEqualRecall) {
  const std::vector<std::string> paths = {Leak("fast", 0.5), Leak("slow", 0.25), Leak("never", 0.01)};
  const Result<Report> report =
      Go(paths, {kThreshold,
                 R"(predict_linear:{"rules": [{"metric": "mem", "above": 100}], "horizon_s": {"sweep": [0, 20, 400000]},
                                    "window_s": 60})"});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  ASSERT_EQ(report->variants.size(), 4u);
  EXPECT_EQ(report->variants[2].variant.label, "predict_linear horizon_s=20");
  // The host's horizon: 60 s ahead the line is exact, so the alarms come 59 s ahead, and none is false.
  EXPECT_EQ(report->variants[1].summary.Recall(), 1);
  EXPECT_EQ(report->variants[1].summary.alarms_false, 0);
  EXPECT_NEAR(report->variants[1].summary.LeadS(0.5), 58, 1);
  EXPECT_NEAR(report->variants[2].summary.LeadS(0.5), 18, 1);
  // Days ahead, even what never fails seems to: false alarms, and too early for the window.
  EXPECT_EQ(report->variants[3].summary.alarms_false, 3);
  EXPECT_EQ(report->variants[3].summary.Recall(), 0);
  const std::vector<Rival> rivals = Compare(*report);
  ASSERT_EQ(rivals.size(), 1u);
  EXPECT_TRUE(rivals[0].reaches);
  EXPECT_EQ(rivals[0].at_recall, 1u);  // both reach it without a false alarm; this one is earlier
  EXPECT_EQ(BestOfGroup(*report, 1), 1u);
}

TEST_F(BacktestTest, MissingMetricsAreNamedAndNothingIsAlarmed) {
  const Result<Report> report =
      Go({Leak("leak", 0.5)}, {R"(threshold:{"bounds": [{"metric": "proc.fds", "above": 90}]})"});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  const TraceScore& trace = report->variants[0].traces[0];
  EXPECT_THAT(trace.metrics_missing, testing::ElementsAre("proc.fds"));
  EXPECT_TRUE(trace.alarms.empty());
  EXPECT_EQ(trace.score.ok, 0);
  EXPECT_EQ(trace.score.warming + trace.score.abstained, 201);
  EXPECT_THAT(trace.complaint, HasSubstr("no recent value of proc.fds"));
  EXPECT_EQ(trace.score.Recall(), 0);
}

TEST_F(BacktestTest, ErrorsNameWhatIsWrong) {
  const std::string good = Leak("good", 0.5);
  EXPECT_THAT(Go({good}, {"threshold"}).status().message(), HasSubstr("threshold: bounds: bounds or rules are required"));
  EXPECT_THAT(Go({good}, {"no_such"}).status().message(), HasSubstr("no_such: no such predictor in "));
  const std::string bad = folder_ + "/bad.csv";
  ASSERT_EQ(ReplaceFile(SystemFileSystem(), bad, "time_s,mem\n0,x\n"), Status::Ok());
  EXPECT_EQ(Go({good, bad}, {kThreshold}).status().message(), bad + ":2:2: mem: 'x' is not a finite number");
  EXPECT_THAT(ParsePredictor("threshold:{", 0).status().message(), HasSubstr("threshold: its configuration: "));
  EXPECT_THAT(ParsePredictor("threshold:@/no/such", 0).status().message(), HasSubstr("/no/such"));
  EXPECT_THAT(ParsePredictor(R"(x:{"a": {"sweep": []}})", 0).status().message(), HasSubstr("/a: sweep: a list"));
  EXPECT_THAT(ParsePredictor(":{}", 0).status().message(), HasSubstr("the name of a predictor is needed"));
  std::string list = "[0";
  for (int i = 1; i < 40; ++i) list += "," + std::to_string(i);
  const std::string sweep = "{\"sweep\": " + list + "]}";
  EXPECT_THAT(ParsePredictor("x:{\"a\": " + sweep + ", \"b\": " + sweep + "}", 0).status().message(),
              HasSubstr("more than 1000"));
}

TEST_F(BacktestTest, SweepsCombine) {
  const Result<std::vector<Variant>> variants =
      ParsePredictor(R"(./lib@2/mine.so:{"a": {"sweep": [1, 2]}, "b": [{"c": {"sweep": ["x", "y"]}}], "d": 5})", 7);
  ASSERT_TRUE(variants.ok()) << variants.status().ToString();
  ASSERT_EQ(variants->size(), 4u);
  EXPECT_EQ((*variants)[3].plugin, "./lib@2/mine.so");
  EXPECT_EQ((*variants)[3].group, 7u);
  EXPECT_EQ((*variants)[3].label, "mine a=2 c=\"y\"");
  EXPECT_EQ(Json::parse((*variants)[3].config), Json::parse(R"({"a": 2, "b": [{"c": "y"}], "d": 5})"));
}

TEST_F(BacktestTest, TheJsonHasWhatTheFormatSays) {
  const Result<Report> report = Go({Leak("leak", 0.5), Leak("calm", 0.01)}, {kThreshold});
  ASSERT_TRUE(report.ok());
  const Json json = Json::parse(ToJson(*report));
  EXPECT_EQ(json["version"], 1);
  for (const Json* score : {&json["summary"], &json["traces"][0], &json["predictors"][0]["traces"][1]}) {
    for (const char* field : {"precision", "recall", "false_alarms_per_node_day", "lead_time_s", "brier", "cost",
                              "expected_calibration_error", "reliability", "time_to_failure", "node_days"}) {
      EXPECT_TRUE(score->contains(field)) << field;
    }
  }
  EXPECT_EQ(json["summary"]["false_alarms_per_node_day"], 0);
  EXPECT_EQ(json["summary"]["lead_time_s"]["p50"], 18);
  EXPECT_TRUE(json["traces"][1]["recall"].is_null());  // no event, nothing to divide by
  EXPECT_EQ(json["summary"]["cost"]["saved_fraction"], 0.9);
  EXPECT_EQ(json["traces"][0]["alarms"][0]["verdict"], "true");
  EXPECT_GT(json["performance"]["samples_per_s"], 0);
}

TEST_F(BacktestTest, ThePageStandsAlone) {
  Settings settings;
  settings.plot_points = 100;
  const Result<Report> report = Go({Leak("leak", 0.5), Leak("calm", 0.01)}, {kThreshold}, settings);
  ASSERT_TRUE(report.ok());
  const std::string page = ToHtml(*report);
  // Nothing is fetched from anywhere.
  for (const char* outside : {"http:", "https:", "src=", "@import", "url(", "<link", "fetch(", "import("}) {
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  }
  const auto count = [&](const std::string& what) {
    size_t n = 0;
    for (size_t at = page.find(what); at != std::string::npos; at = page.find(what, at + 1)) ++n;
    return n;
  };
  // A note that looks like markup stays text: two scripts begin, two end.
  EXPECT_EQ(count("<script"), 2u);
  EXPECT_EQ(count("</script>"), 2u);
  EXPECT_EQ(count("</html>"), 1u);
  const std::string open = "id=\"data\">";
  const size_t from = page.find(open) + open.size();
  const Json data = Json::parse(page.substr(from, page.find("</script>", from) - from));
  EXPECT_EQ(data["traces"].size(), 2u);
  EXPECT_EQ(data["traces"][0]["metrics"][0]["high"].size(), 100u);
  EXPECT_EQ(data["traces"][0]["events"][0]["note"], "</script><b>full");
  EXPECT_EQ(data["traces"][0]["words"][0]["alarms"][0]["lead"], 18);
}

}  // namespace
}  // namespace understudy::backtest

// The conformance test of plugins: good ones pass, and each broken rule fails the check that is named after it.
#include "predictors/host/conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy {
namespace {

using testing::HasSubstr;

ConformanceReport CheckPlugin(const std::string& path, const std::string& config) {
  ConformanceOptions options;
  options.helper = HELPER;
  options.plugin = path;
  options.config = config;
  return CheckConformance(options);
}
ConformanceReport Break(const std::string& rule) {
  return CheckPlugin(std::string(TEST_PLUGINS) + "/rule_breaker.so", "{\"break\":\"" + rule + "\"}");
}
std::string Failures(const ConformanceReport& report) {
  std::string out;
  for (const ConformanceCheck& check : report.checks) {
    if (check.verdict == ConformanceCheck::kFail) out += check.name + ": " + check.text + "; ";
  }
  return out;
}

TEST(ConformanceTest, GoodPluginsPass) {
  const ConformanceReport threshold =
      CheckPlugin(std::string(PLUGINS) + "/threshold.so",
                  R"({"bounds":[{"metric":"m","above":1},{"metric":"n","below":0.2,"anticipate":true,"fails_at":0}]})");
  EXPECT_TRUE(threshold.passed()) << Failures(threshold);
  EXPECT_EQ(threshold.name, "threshold");
  EXPECT_GT(threshold.checks.size(), 25u);
  const ConformanceReport breaker = Break("nothing");
  EXPECT_TRUE(breaker.passed()) << Failures(breaker);
}

TEST(ConformanceTest, WhatIsNoPluginFailsToLoad) {
  const std::pair<const char*, const char*> cases[] = {{"nowhere", "no such plugin"},
                                                       {"plain_no_entry", "understudy_predictor_entry"},
                                                       {"plain_wrong_size", "struct_size 40"},
                                                       {"plain_wrong_abi", "version 7"}};
  for (const auto& [name, why] : cases) {
    const ConformanceReport report = CheckPlugin(std::string(TEST_PLUGINS) + "/" + name + ".so", "{}");
    EXPECT_FALSE(report.passed());
    ASSERT_EQ(report.checks.size(), 1u);
    EXPECT_THAT(report.checks[0].text, HasSubstr(why));
  }
}

TEST(ConformanceTest, ARefusedConfigurationIsSaid) {
  const ConformanceReport report = CheckPlugin(std::string(PLUGINS) + "/threshold.so", "{}");
  EXPECT_FALSE(report.passed());
  EXPECT_THAT(Failures(report), HasSubstr("config: bounds: "));
}

struct Case {
  const char* rule;
  const char* failure;  // check and a part of its text
};
class BrokenRuleTest : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Rules, BrokenRuleTest,
    testing::Values(Case{"no metric", "metrics: wants no metric"}, Case{"wildcard", "metrics: \"proc.*\""},
                    Case{"metric twice", "metrics: wants a twice"}, Case{"no samples", "no samples: forecasts though"},
                    Case{"crash on missing", "nothing but missing values: killed by signal 11"},
                    Case{"nan", "huge values that grow: probability is"}, Case{"horizons", "horizons: a failure within 1000 ms"},
                    Case{"predict twice", "predict twice: probabilities"}, Case{"replay", "replay: two processes"},
                    Case{"shared", "instances: beside another instance"},
                    Case{"save", "save and restore: the restored instance"},
                    Case{"garbage state", "garbage state: a broken state of 4096 bytes: killed"},
                    Case{"reset", "reset: after reset 1 it still forecasts"},
                    Case{"feedback", "feedback: feedback returned -1: what is 99?"},
                    Case{"leak", "leaks: 2000 instances made and destroyed"},
                    Case{"thread", "process: started threads"}, Case{"signal", "process: installed a signal handler"},
                    Case{"file", "process: keeps"}),
    [](const auto& info) {
      std::string name = info.param.rule;
      for (char& c : name) c = c == ' ' ? '_' : c;
      return name;
    });

TEST_P(BrokenRuleTest, FailsTheCheckOfItsName) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers have threads, handlers and memory of their own";
#endif
  const ConformanceReport report = Break(GetParam().rule);
  EXPECT_FALSE(report.passed());
  EXPECT_THAT(Failures(report), HasSubstr(GetParam().failure));
}

TEST(ConformanceTest, AHangEndsTheCheckAndTheNextOnesGoOn) {
  ConformanceOptions options;
  options.helper = HELPER;
  options.plugin = std::string(TEST_PLUGINS) + "/rule_breaker.so";
  options.config = R"({"break":"hang on huge"})";
  options.deadline_ms = 1000;
  const ConformanceReport report = CheckConformance(options);
  EXPECT_THAT(Failures(report), HasSubstr("huge values: no answer within 1000 ms"));
  EXPECT_EQ(report.checks.back().name, "process");
}

TEST(ConformanceTest, SamplesThatAreKeptAreAWarning) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers' memory is not the plugin's";
#endif
  for (const ConformanceCheck& check : Break("keeps samples").checks) {
    if (check.name != "memory") continue;
    EXPECT_EQ(check.verdict, ConformanceCheck::kWarning) << check.text;
  }
}

}  // namespace
}  // namespace understudy

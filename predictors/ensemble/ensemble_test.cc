#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "predictors/ensemble/calibration.h"
#include "predictors/ensemble/combine.h"
#include "predictors/ensemble/scorebook.h"

namespace understudy::ensemble {
namespace {

using testing::HasSubstr;

constexpr int64_t kMinute = 60'000;

Forecast Said(const std::string& predictor, double p, int64_t horizon_ms = kMinute) {
  Forecast forecast;
  forecast.predictor = predictor;
  forecast.status = ForecastStatus::kOk;
  forecast.horizon_ms = horizon_ms;
  forecast.probability = p;
  forecast.confidence = 1;
  forecast.reason = predictor + " says so";
  return forecast;
}

// ---------------------------------------------------------------- calibration

TEST(CalibrationTest, WithoutOutcomesWhatIsSaidIsMeant) {
  Calibration calibration;
  for (double p : {0.0, 0.001, 0.01, 0.3, 0.7, 0.99, 1.0}) EXPECT_DOUBLE_EQ(calibration.Apply(kMinute, p), p);
  calibration.RecordCensored(kMinute);  // teaches nothing
  for (double p : {0.0, 0.001, 0.01, 0.3, 0.7, 0.99, 1.0}) EXPECT_DOUBLE_EQ(calibration.Apply(kMinute, p), p);
  EXPECT_EQ(calibration.CountsOf(kMinute).censored, 1);
}

TEST(CalibrationTest, OneOutcomeMovesItALittleAndManyMakeIt) {
  Calibration calibration;
  calibration.Record(kMinute, 0.9, false);
  EXPECT_LT(calibration.Apply(kMinute, 0.9), 0.9);
  EXPECT_GT(calibration.Apply(kMinute, 0.9), 0.75);
  EXPECT_DOUBLE_EQ(calibration.Apply(1000, 0.9), 0.9);  // another horizon
  // It cries wolf: of ten warnings one is true.
  for (int i = 0; i < 1000; ++i) calibration.Record(kMinute, 0.9, i % 10 == 0);
  EXPECT_NEAR(calibration.Apply(kMinute, 0.9), 0.1, 0.03);
  EXPECT_DOUBLE_EQ(calibration.CountsOf(kMinute).outcomes, 1001);
  // One that says too little.
  Calibration shy;
  for (int i = 0; i < 1000; ++i) shy.Record(kMinute, 0.2, i % 2 == 0);
  EXPECT_NEAR(shy.Apply(kMinute, 0.2), 0.5, 0.06);
}

TEST(CalibrationTest, NeverFallsWithWhatIsSaidAndStaysAProbability) {
  Calibration calibration;
  for (int i = 0; i < 500; ++i) {
    calibration.Record(kMinute, 0.05, i % 2 == 0);  // low words come true, high ones do not
    calibration.Record(kMinute, 0.95, i % 20 == 0);
    calibration.Record(kMinute, 0.4, false);
  }
  double before = 0;
  for (int i = 0; i <= 1000; ++i) {
    const double p = calibration.Apply(kMinute, i / 1000.0);
    EXPECT_GE(p, before) << i;
    EXPECT_LE(p, 1);
    before = p;
  }
  EXPECT_LT(calibration.Apply(kMinute, 0.95), 0.5);
}

TEST(CalibrationTest, IsBoundedAndOldOutcomesFade) {
  Calibration calibration;
  for (int i = 0; i < 20'000; ++i) calibration.Record(kMinute, 0.9, false);
  EXPECT_LE(calibration.CountsOf(kMinute).outcomes, Calibration::kCountMax);
  for (int i = 0; i < 10'000; ++i) calibration.Record(kMinute, 0.9, true);
  EXPECT_GT(calibration.Apply(kMinute, 0.9), 0.9);
  for (int64_t h = 1; h < 100; ++h) calibration.Record(h * 1000, 0.5, true);
  calibration.Record(kMinute, NAN, true);
  calibration.Record(-5, 0.5, true);
  EXPECT_LT(calibration.Encode().size(), Calibration::kTextBytesMax);
  EXPECT_DOUBLE_EQ(calibration.Apply(99'000, 0.5), 0.5);  // the 16 first horizons are learnt
}

TEST(CalibrationTest, ComesBackFromItsText) {
  Calibration calibration;
  for (int i = 0; i < 100; ++i) calibration.Record(kMinute, i / 100.0, i % 3 == 0);
  calibration.RecordCensored(3'600'000);
  const Result<Calibration> back = Calibration::Decode(calibration.Encode());
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(*back, calibration);
  Calibration sum = calibration;
  sum.Add(*back);
  EXPECT_DOUBLE_EQ(sum.CountsOf(kMinute).outcomes, 200);

  const auto error = [](const std::string& text) { return Calibration::Decode(text).status().message(); };
  EXPECT_THAT(error(""), HasSubstr("'version'"));
  EXPECT_THAT(error("[]"), HasSubstr("'version'"));
  EXPECT_THAT(error(R"({"version":1})"), HasSubstr("'horizons'"));
  EXPECT_THAT(error(R"({"version":1,"horizons":[{"horizon_ms":-1}]})"), HasSubstr("'horizon_ms'"));
  EXPECT_THAT(error(R"({"version":1,"horizons":[{"horizon_ms":1,"outcomes":[1],"failures":[]}]})"), HasSubstr("12"));
  const std::string zeros = "[0,0,0,0,0,0,0,0,0,0,0,0]", one = "[1,0,0,0,0,0,0,0,0,0,0,0]";
  EXPECT_THAT(error(R"({"version":1,"horizons":[{"horizon_ms":1,"censored":0,"outcomes":)" + zeros + R"(,"said":)" +
                    zeros + R"(,"failures":)" + one + "}]}"),
              HasSubstr("impossible number in bin 0"));
  EXPECT_THAT(error(std::string(100'000, ' ')), HasSubstr("64 KiB"));
}

// ---------------------------------------------------------------- combination

TEST(CombineTest, OneIsItselfAndASilentOneDoesNotOutvoteAWarning) {
  EXPECT_TRUE(Combine({}, nullptr).empty());
  std::vector<Forecast> one = Combine({Said("trend", 0.8)}, nullptr);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].predictor, kEnsemble);
  EXPECT_DOUBLE_EQ(one[0].probability, 0.8);
  EXPECT_THAT(one[0].reason, HasSubstr("trend 0.8"));
  one = Combine({Said("trend", 0.8), Said("threshold", 0.01), Said("gbt", 0.001)}, nullptr);
  EXPECT_DOUBLE_EQ(one[0].probability, 0.8);
  EXPECT_DOUBLE_EQ(Combine({Said("a", 0.01), Said("b", 0.001)}, nullptr)[0].probability, 0.01);
}

TEST(CombineTest, AgreementNeverExceedsTheHighest) {
  for (double a : {0.03, 0.3, 0.6, 0.9, 0.999, 1.0}) {
    for (double b : {0.03, 0.3, 0.6, 0.9, 0.999, 1.0}) {
      const double p = Combine({Said("a", a), Said("b", b), Said("c", b)}, nullptr)[0].probability;
      EXPECT_LE(p, std::max(a, b));
      EXPECT_GE(p, std::min(a, b));
    }
  }
  // The one that knows more of what it wants to know counts more.
  Forecast unsure = Said("b", 0.3);
  unsure.confidence = 0.1;
  EXPECT_GT(Combine({Said("a", 0.9), unsure}, nullptr)[0].probability,
            Combine({Said("a", 0.9), Said("b", 0.3)}, nullptr)[0].probability);
}

TEST(CombineTest, ThoseWhoCannotSayAndThoseInTheShadowCountForNothing) {
  Forecast warming = Said("trend", 1), shadow = Said("gbt", 1), abstains = Said("threshold", 1);
  warming.status = ForecastStatus::kWarming;
  abstains.status = ForecastStatus::kAbstain;
  shadow.shadow = true;
  EXPECT_DOUBLE_EQ(Combine({warming, abstains, shadow, Said("x", 0.1)}, nullptr)[0].probability, 0.1);
  EXPECT_EQ(Combine({abstains, warming, shadow}, nullptr)[0].status, ForecastStatus::kWarming);
  EXPECT_EQ(Combine({abstains}, nullptr)[0].status, ForecastStatus::kAbstain);
  EXPECT_THAT(Combine({abstains}, nullptr)[0].reason, HasSubstr("threshold: "));
  EXPECT_TRUE(Combine({shadow}, nullptr).empty());
}

TEST(CombineTest, HorizonsAscendAndNeverFallAndCalibrationIsApplied) {
  const std::vector<Forecast> forecasts = {Said("a", 0.6, 1000), Said("a", 0.7, kMinute), Said("b", 0.5, 1000),
                                           Said("b", 0.1, kMinute)};
  // Calibration may turn the order of horizons round; what comes out does not.
  const Calibrate half = [](const Forecast& f) { return f.horizon_ms == kMinute ? f.probability / 2 : f.probability; };
  const std::vector<Forecast> both = Combine(forecasts, half);
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].horizon_ms, 1000);
  EXPECT_EQ(both[1].horizon_ms, kMinute);
  EXPECT_GE(both[1].probability, both[0].probability);
  const std::vector<Forecast> cried = Combine({Said("wolf", 0.9)}, [](const Forecast&) { return 0.05; });
  EXPECT_DOUBLE_EQ(cried[0].probability, 0.05);
  EXPECT_THAT(cried[0].reason, HasSubstr("so far worth 0.05"));
}

TEST(CombineTest, ARestartCuresWhatAllWhoWarnSayItCures) {
  Forecast a = Said("a", 0.9), b = Said("b", 0.8), silent = Said("silent", 0.001);
  a.restart_cures = b.restart_cures = true;
  EXPECT_TRUE(Combine({a, b, silent}, nullptr)[0].restart_cures);
  b.restart_cures = false;
  EXPECT_FALSE(Combine({a, b, silent}, nullptr)[0].restart_cures);
}

TEST(CombineTest, TimesToFailureAreOfThoseWhoWarn) {
  Forecast a = Said("a", 0.9), b = Said("b", 0.9), silent = Said("c", 0.001);
  a.has_ttf = b.has_ttf = silent.has_ttf = true;
  a.ttf_p10_s = 10, a.ttf_p50_s = 100, a.ttf_p90_s = 1000;
  b.ttf_p10_s = 40, b.ttf_p50_s = 400, b.ttf_p90_s = 4000;
  silent.ttf_p10_s = silent.ttf_p50_s = silent.ttf_p90_s = 1e6;
  const Forecast both = Combine({a, b, silent}, nullptr)[0];
  ASSERT_TRUE(both.has_ttf);
  EXPECT_NEAR(both.ttf_p10_s, 20, 1e-6);
  EXPECT_NEAR(both.ttf_p50_s, 200, 1e-6);
  EXPECT_NEAR(both.ttf_p90_s, 2000, 1e-6);
  EXPECT_FALSE(Combine({Said("a", 0.9)}, nullptr)[0].has_ttf);
}

// ---------------------------------------------------------------- scorebook

class ScorebookTest : public testing::Test {
 protected:
  std::vector<Scorebook::Answer> answers_;
  Scorebook book_{[this](const Scorebook::Answer& answer) { answers_.push_back(answer); }};
};

TEST_F(ScorebookTest, AHorizonThatPassedWasSurvivedAndAWarningCountsOnce) {
  for (int64_t ms = 0; ms < kMinute; ms += 1000) book_.Observe("kv", {Said("trend", 0.5)}, ms);
  EXPECT_EQ(book_.open("kv"), 1u);
  EXPECT_TRUE(answers_.empty());
  book_.Observe("kv", {}, kMinute);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].kind, Scorebook::Answer::kSurvived);
  EXPECT_EQ(answers_[0].said, 0.5);
  EXPECT_EQ(book_.open("kv"), 0u);
}

TEST_F(ScorebookTest, FailuresAnswerWhatIsOpenAndMovesLeaveItUnanswered) {
  book_.Observe("kv", {Said("trend", 0.01), Said("trend", 0.3, 1000)}, 0);
  book_.Observe("kv", {Said("trend", 0.8)}, 30'000);
  answers_.clear();
  book_.Outcome("kv", OutcomeKind::kQuiet, 40'000);
  EXPECT_TRUE(answers_.empty());
  book_.Outcome("kv", OutcomeKind::kFailed, 50'000);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].kind, Scorebook::Answer::kFailed);
  EXPECT_EQ(answers_[1].kind, Scorebook::Answer::kFailed);

  answers_.clear();
  book_.Observe("kv", {Said("trend", 0.8), Said("trend", 0.1, 1000)}, 100'000);
  book_.Outcome("kv", OutcomeKind::kMoved, 105'000);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].kind, Scorebook::Answer::kCensored);
  EXPECT_EQ(answers_[1].kind, Scorebook::Answer::kSurvived);  // its second had passed
  EXPECT_EQ(book_.open("kv"), 0u);
  book_.Outcome("unknown", OutcomeKind::kFailed, 0);
}

TEST_F(ScorebookTest, WhatCannotSayAsksNothingAndForgettingAnswersNothing) {
  Forecast abstains = Said("trend", 0.5);
  abstains.status = ForecastStatus::kAbstain;
  book_.Observe("kv", {abstains}, 0);
  EXPECT_EQ(book_.open("kv"), 0u);
  Forecast shadow = Said("gbt", 0.5);
  shadow.shadow = true;
  book_.Observe("kv", {shadow}, 0);  // recorded: that is what the shadow is for
  EXPECT_EQ(book_.open("kv"), 1u);
  book_.Forget("kv");
  book_.Observe("kv", {}, 10 * kMinute);
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace understudy::ensemble

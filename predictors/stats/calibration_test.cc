// Against examples worked out by hand or taken from the papers' reference implementations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "log/env/random.h"
#include "predictors/stats/calibration_error.h"
#include "predictors/stats/isotonic.h"
#include "predictors/stats/platt.h"
#include "predictors/stats/ranking.h"

namespace understudy::stats {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

using Bits = std::vector<uint8_t>;
using Numbers = std::vector<double>;

TEST(Isotonic, PoolsViolators) {
  // 0 1 0 1: the pair in the middle is out of order; the ends carry half a pseudo outcome each.
  const Isotonic fit = FitIsotonic(Numbers{1, 2, 3, 4}, Bits{0, 1, 0, 1});
  EXPECT_THAT(fit.score, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(fit.probability, ElementsAre(DoubleNear(0.5 / 1.5, 1e-12), 0.5, 0.5, DoubleNear(1 / 1.5, 1e-12)));
  EXPECT_NEAR(fit.Apply(1.5), (1.0 / 3 + 0.5) / 2, 1e-12);  // between two points
  EXPECT_EQ(fit.Apply(-100), fit.probability.front());
  EXPECT_EQ(fit.Apply(100), fit.probability.back());
  EXPECT_TRUE(std::isnan(fit.Apply(NAN)));
}

TEST(Isotonic, OrderOfTheInputDoesNotMatterAndEqualScoresArePooled) {
  const Isotonic a = FitIsotonic(Numbers{1, 1, 2, 2, 2, 3}, Bits{0, 1, 0, 1, 1, 1});
  const Isotonic b = FitIsotonic(Numbers{3, 2, 1, 2, 1, 2}, Bits{1, 1, 1, 0, 0, 1});
  EXPECT_EQ(a.score, b.score);
  EXPECT_EQ(a.probability, b.probability);
  EXPECT_NEAR(a.Apply(2), 2.0 / 3, 1e-12);
}

TEST(Isotonic, IsNeverCertain) {
  const Isotonic fit = FitIsotonic(Numbers{1, 2, 3, 4}, Bits{0, 0, 1, 1});
  EXPECT_NEAR(fit.Apply(0), 0.5 / 2.5, 1e-12);
  EXPECT_NEAR(fit.Apply(9), 2 / 2.5, 1e-12);
  const Isotonic alike = FitIsotonic(Numbers{1, 2, 3}, Bits{0, 0, 0});
  EXPECT_GT(alike.Apply(0), 0);
  EXPECT_LT(alike.Apply(9), 0.5);
}

TEST(Isotonic, WeightsCountAsCopies) {
  const Isotonic copies = FitIsotonic(Numbers{1, 1, 1, 2, 3}, Bits{1, 1, 1, 0, 1});
  const Isotonic weighed = FitIsotonic(Numbers{1, 2, 3}, Bits{1, 0, 1}, Numbers{3, 1, 1});
  EXPECT_EQ(copies.score, weighed.score);
  EXPECT_EQ(copies.probability, weighed.probability);
}

TEST(Isotonic, DoesNotFallWhateverTheInput) {
  SeededRandom random(7);
  for (int round = 0; round < 50; ++round) {
    Numbers scores;
    Bits outcomes;
    for (int i = 0; i < 200; ++i) {
      scores.push_back(static_cast<double>(random.Next64() % 60));
      outcomes.push_back(random.Next64() % 3 == 0);
    }
    const Isotonic fit = FitIsotonic(scores, outcomes);
    for (size_t i = 1; i < fit.score.size(); ++i) {
      EXPECT_LT(fit.score[i - 1], fit.score[i]);
      EXPECT_LE(fit.probability[i - 1], fit.probability[i]);
    }
    EXPECT_GT(fit.probability.front(), 0);
    EXPECT_LT(fit.probability.back(), 1);
  }
}

TEST(Platt, FindsTheCurveThatMadeTheOutcomes) {
  SeededRandom random(11);
  Numbers scores;
  Bits outcomes;
  for (int i = 0; i < 40000; ++i) {
    const double score = static_cast<double>(random.Next64() % 10000) / 1000 - 5;
    scores.push_back(score);
    outcomes.push_back(static_cast<double>(random.Next64() % 1000000) / 1e6 < Sigmoid(0.7 * score - 1));
  }
  const Platt fit = FitPlatt(scores, outcomes);
  EXPECT_NEAR(fit.slope, 0.7, 0.03);
  EXPECT_NEAR(fit.offset, -1, 0.05);
  EXPECT_NEAR(fit.Apply(2), Sigmoid(0.4), 0.02);
}

TEST(Platt, SeparableOutcomesGiveAFiniteCurveAtTheSmoothedTargets) {
  const Platt fit = FitPlatt(Numbers{-1, -1, -1, 1, 1, 1}, Bits{0, 0, 0, 1, 1, 1});
  EXPECT_NEAR(fit.Apply(1), 4.0 / 5, 1e-6);  // (3 + 1) / (3 + 2)
  EXPECT_NEAR(fit.Apply(-1), 1.0 / 5, 1e-6);
}

TEST(Platt, MisleadingOrConstantScoresGiveTheBaseRate) {
  const Platt wrong_way = FitPlatt(Numbers{1, 2, 3, 4}, Bits{1, 1, 0, 0});
  EXPECT_EQ(wrong_way.slope, 0);
  EXPECT_NEAR(wrong_way.Apply(100), 0.5, 1e-9);
  const Platt constant = FitPlatt(Numbers{5, 5, 5, 5}, Bits{1, 0, 0, 0});
  EXPECT_NEAR(constant.Apply(5), 2.0 / 6, 1e-9);
}

TEST(Platt, HugeScoresDoNotOverflow) {
  const Platt fit = FitPlatt(Numbers{-1e12, 1e12, -2e12, 2e12}, Bits{0, 1, 0, 1});
  EXPECT_GT(fit.Apply(2e12), 0.5);
  EXPECT_LT(fit.Apply(-2e12), 0.5);
  EXPECT_EQ(Sigmoid(1e6), 1);
  EXPECT_EQ(Sigmoid(-1e6), 0);
  EXPECT_NEAR(Logit(Sigmoid(3)), 3, 1e-9);
}

TEST(CalibrationError, OfForecastsThatKeepTheirWordIsZero) {
  Numbers p(10, 0.3);
  EXPECT_NEAR(ExpectedCalibrationError(p, Bits{1, 1, 1, 0, 0, 0, 0, 0, 0, 0}), 0, 1e-12);
}

TEST(CalibrationError, WorkedExample) {
  // Two bins: 0.1 0.2 0.3 (one of three happened) and 0.8 0.9 (one of two).
  const Numbers p = {0.1, 0.2, 0.3, 0.8, 0.9};
  const Bits y = {0, 0, 1, 1, 0};
  EXPECT_NEAR(ExpectedCalibrationError(p, y, 2), 0.6 * std::abs(0.2 - 1.0 / 3) + 0.4 * std::abs(0.85 - 0.5), 1e-12);
  EXPECT_NEAR(BrierScore(p, y), (0.01 + 0.04 + 0.49 + 0.04 + 0.81) / 5, 1e-12);
  EXPECT_NEAR(LogLoss(p, y), -(std::log(.9) + std::log(.8) + std::log(.3) + std::log(.8) + std::log(.1)) / 5, 1e-12);
  const std::vector<ReliabilityBin> bins = Reliability(p, y, 2);
  ASSERT_EQ(bins.size(), 2u);
  EXPECT_EQ(bins[0].weight, 3);
  EXPECT_NEAR(bins[1].mean_forecast, 0.85, 1e-12);
}

TEST(CalibrationError, CertaintiesFallIntoTheLastBinAndEmptyBinsCountNothing) {
  const std::vector<ReliabilityBin> bins = Reliability(Numbers{1, 1, 0}, Bits{1, 1, 0}, 10);
  EXPECT_EQ(bins[9].weight, 2);
  EXPECT_TRUE(std::isnan(bins[5].mean_forecast));
  EXPECT_EQ(ExpectedCalibrationError(bins), 0);
  EXPECT_TRUE(std::isfinite(LogLoss(Numbers{1}, Bits{0})));
}

TEST(Ranking, WorkedExample) {
  // scikit-learn's documentation: roc_auc_score and average_precision_score of these.
  const Numbers scores = {0.1, 0.4, 0.35, 0.8};
  const Bits y = {0, 0, 1, 1};
  EXPECT_NEAR(RocAuc(scores, y), 0.75, 1e-12);
  EXPECT_NEAR(AveragePrecision(scores, y), 0.5 * 1 + 0.5 * 2 / 3, 1e-12);
}

TEST(Ranking, TiesCountHalfAndOneClassHasNone) {
  EXPECT_NEAR(RocAuc(Numbers{1, 1, 1, 1}, Bits{0, 1, 0, 1}), 0.5, 1e-12);
  EXPECT_TRUE(std::isnan(RocAuc(Numbers{1, 2}, Bits{0, 0})));
  EXPECT_TRUE(std::isnan(AveragePrecision(Numbers{1, 2}, Bits{1, 1})));
  EXPECT_NEAR(RocAuc(Numbers{1, 2, 3}, Bits{0, 1, 1}, Numbers{5, 1, 9}), 1, 1e-12);
}

}  // namespace
}  // namespace understudy::stats

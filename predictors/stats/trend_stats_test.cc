// The rank statistics against examples worked in the literature.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "predictors/stats/mann_kendall.h"
#include "predictors/stats/quantiles.h"
#include "predictors/stats/theil_sen.h"

namespace understudy::stats {
namespace {

using Values = std::vector<double>;

TEST(QuantilesTest, HyndmanAndFanDefinitionSeven) {
  // R: quantile(c(1, 2, 4, 8, 16), c(.1, .25, .5, .9)) is 1.4, 2, 4, 12.8.
  const Values values = {16, 1, 8, 2, 4};
  const auto quantile = [&](double q) {
    Values copy = values;
    return Quantile(copy, q);
  };
  EXPECT_DOUBLE_EQ(quantile(0.1), 1.4);
  EXPECT_DOUBLE_EQ(quantile(0.25), 2);
  EXPECT_DOUBLE_EQ(quantile(0.5), 4);
  EXPECT_DOUBLE_EQ(quantile(0.9), 12.8);
  EXPECT_DOUBLE_EQ(quantile(0), 1);
  EXPECT_DOUBLE_EQ(quantile(1), 16);
  Values even = {4, 1, 3, 2}, one = {7};
  EXPECT_DOUBLE_EQ(Median(even), 2.5);
  EXPECT_DOUBLE_EQ(Median(one), 7);
}

TEST(QuantilesTest, MedianAbsoluteDeviation) {
  // The example of its usual definition: of 1, 1, 2, 2, 4, 6, 9 the median is 2 and the MAD 1.
  Values values = {1, 1, 2, 2, 4, 6, 9};
  EXPECT_DOUBLE_EQ(MedianAbsoluteDeviation(values, 2), 1);
}

TEST(QuantilesTest, NormalDistributionTables) {
  EXPECT_NEAR(NormalCdf(1.96), 0.9750021048517795, 1e-12);
  EXPECT_NEAR(NormalCdf(-3), 0.0013498980316301, 1e-12);
  EXPECT_NEAR(NormalQuantile(0.9), 1.2815515655446004, 2e-9);
  EXPECT_NEAR(NormalQuantile(0.001), -3.090232306167813, 4e-9);
  for (double p = 0.001; p < 1; p += 0.001) EXPECT_NEAR(NormalCdf(NormalQuantile(p)), p, 1e-8) << p;
}

TEST(TheilSenTest, ExampleOfSen1968) {
  // Section 6 of the paper (data of Graybill): slope 4, interval from 26/7 to 35/8 at 93 %.
  const Values x = {1, 2, 3, 4, 10, 12, 18}, y = {9, 15, 19, 20, 45, 55, 78};
  Values scratch;
  const KendallTest test = MannKendall(y, &scratch);
  const SenSlope sen = TheilSen(x, y, test.variance, NormalQuantile(1 - 0.07 / 2), &scratch);
  EXPECT_DOUBLE_EQ(sen.slope, 4);
  EXPECT_DOUBLE_EQ(sen.low, 26.0 / 7);
  EXPECT_DOUBLE_EQ(sen.high, 35.0 / 8);
  EXPECT_DOUBLE_EQ(MedianIntercept(x, y, sen.slope, &scratch), 6);
}

TEST(TheilSenTest, OneWildValueBendsLeastSquaresAndNotTheMedian) {
  // Helsel and others, "Statistical Methods in Water Resources", USGS 2020, section 10.1: least squares gives 1.71.
  const Values x = {1, 2, 3, 4, 5, 6, 7}, y = {1, 2, 3, 4, 5, 16, 7};
  Values scratch;
  EXPECT_DOUBLE_EQ(TheilSen(x, y, 0, 0, &scratch).slope, 1);
  EXPECT_DOUBLE_EQ(SiegelSlope(x, y, &scratch), 1);
  EXPECT_DOUBLE_EQ(MedianIntercept(x, y, 1, &scratch), 0);
}

TEST(TheilSenTest, SiegelStandsWhereTheilSenFalls) {
  // Four of ten are wild: beyond Theil-Sen's 29 %, within Siegel's 50 %.
  Values x, y, scratch;
  for (int i = 0; i < 10; ++i) {
    x.push_back(i);
    y.push_back(i < 6 ? 2.0 * i : 1000.0 - i);
  }
  EXPECT_DOUBLE_EQ(SiegelSlope(x, y, &scratch), 2);
  EXPECT_GT(TheilSen(x, y, 0, 0, &scratch).slope, 50);
}

TEST(TheilSenTest, EqualTimesGiveNoSlope) {
  Values scratch;
  const Values x = {5, 5, 5}, y = {1, 2, 3};
  EXPECT_EQ(TheilSen(x, y, 1, 1, &scratch).slope, 0);
  EXPECT_EQ(SiegelSlope(x, y, &scratch), 0);
}

TEST(MannKendallTest, WorkedByHand) {
  // J. Little, "A Mann-Kendall Example (By Hand)", College of the Holy Cross: S = 54, one tie, Z = 2.9058.
  const Values values = {12.9, 14.8, 13.2, 15.7, 13.8, 15.6, 12.9, 11.0, 17.3, 15.9, 19.0, 18.3, 20.1, 21.7};
  Values scratch;
  const KendallTest test = MannKendall(values, &scratch);
  EXPECT_DOUBLE_EQ(test.s, 54);
  EXPECT_DOUBLE_EQ(test.variance, 14.0 * 13 * 33 / 18 - 2.0 * 1 * 9 / 18);
  EXPECT_NEAR(test.z, 2.9058, 5e-5);
}

TEST(MannKendallTest, GilbertFigure161) {
  // Gilbert 1987, section 16.4.1: of 10, 15, 14, 20 five pairs rise and one falls.
  Values scratch;
  EXPECT_DOUBLE_EQ(MannKendall(Values{10, 15, 14, 20}, &scratch).s, 4);
  EXPECT_DOUBLE_EQ(MannKendall(Values{20, 14, 15, 10}, &scratch).s, -4);
}

TEST(MannKendallTest, NothingToSay) {
  Values scratch;
  EXPECT_EQ(MannKendall(Values{}, &scratch).z, 0);
  EXPECT_EQ(MannKendall(Values{1}, &scratch).z, 0);
  EXPECT_EQ(MannKendall(Values{3, 3, 3, 3, 3, 3}, &scratch).z, 0);
}

TEST(SeasonalKendallTest, ACycleHidesATrendFromThePlainTestOnly) {
  Values values, scratch;
  std::vector<uint32_t> season;
  for (int i = 0; i < 12; ++i) {
    values.push_back((i % 4) * 100.0 + i);
    season.push_back(static_cast<uint32_t>(i % 4));
  }
  // Four seasons of three rising values: S = 3 each, variance 3*2*11/18 each.
  const KendallTest test = SeasonalKendall(values, season, 4, &scratch);
  EXPECT_DOUBLE_EQ(test.s, 12);
  EXPECT_DOUBLE_EQ(test.variance, 4 * 66.0 / 18);
  EXPECT_NEAR(test.z, 11 / std::sqrt(44.0 / 3), 1e-12);
  EXPECT_LT(MannKendall(values, &scratch).z, 2);
}

}  // namespace
}  // namespace understudy::stats

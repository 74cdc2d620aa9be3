#include "client/writer/latency.h"

#include "gtest/gtest.h"

namespace understudy {
namespace {

TEST(LatencyHistogram, SaysWhenThereIsNothing) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.QuantileUs(0.5), -1);
  histogram.Add(5, 1);
  histogram.Clear();
  EXPECT_EQ(histogram.QuantileUs(0.99), -1);
}

TEST(LatencyHistogram, QuantilesAreWithinABucketOfTheTruth) {
  for (const int64_t us : {1, 7, 8, 15, 16, 17, 100, 999, 12'345, 5'000'000}) {
    LatencyHistogram histogram;
    histogram.Add(us, 10);
    EXPECT_GE(histogram.QuantileUs(0.5), us);
    EXPECT_LE(static_cast<double>(histogram.QuantileUs(0.5)), static_cast<double>(us) * 1.125) << us;
  }
}

TEST(LatencyHistogram, CountsWeigh) {
  LatencyHistogram histogram;
  histogram.Add(100, 990);
  histogram.Add(10'000, 10);
  EXPECT_LT(histogram.QuantileUs(0.5), 120);
  EXPECT_LT(histogram.QuantileUs(0.98), 120);
  EXPECT_GT(histogram.QuantileUs(0.995), 9000);
  EXPECT_EQ(histogram.total(), 1000u);
}

TEST(LatencyHistogram, ExtremesStayInside) {
  LatencyHistogram histogram;
  histogram.Add(-5, 1);
  histogram.Add(INT64_MAX, 1);
  EXPECT_GE(histogram.QuantileUs(0), 1);
  EXPECT_GT(histogram.QuantileUs(1), int64_t{1} << 38);
}

}  // namespace
}  // namespace understudy

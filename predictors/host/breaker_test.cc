#include "predictors/host/breaker.h"

#include <gtest/gtest.h>

namespace understudy {
namespace {

Instant At(int64_t ms) { return Instant(ms * kNsPerMs); }

TEST(BreakerTest, PausesGrowToTheirBoundAndStartOverAfterAHealthyWhile) {
  Breaker breaker(1000, 5000, 60'000);
  EXPECT_EQ(breaker.Fault(At(0)), 1000);
  EXPECT_EQ(breaker.Fault(At(1)), 2000);
  EXPECT_EQ(breaker.Fault(At(2)), 4000);
  EXPECT_EQ(breaker.Fault(At(3)), 5000);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(breaker.Fault(At(4)), 5000);
  breaker.Started(At(10'000));
  breaker.Started(At(69'000));  // goes on answering: counts from the first answer
  EXPECT_EQ(breaker.Fault(At(69'999)), 5000);
  breaker.Started(At(100'000));
  EXPECT_EQ(breaker.Fault(At(160'000)), 1000);
  EXPECT_EQ(breaker.Fault(At(160'001)), 2000);
}

}  // namespace
}  // namespace understudy

#include "server/lognode/io_budget.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace understudy {
namespace {

constexpr uint64_t kMiB = 1u << 20;

// Copies in pieces as fast as allowed while appends of `append_us` come, one a ms (0: none); bytes copied.
uint64_t Pass(IoBudget* budget, Instant* now, int64_t ms, int64_t append_us, bool copy = true) {
  uint64_t copied = 0;
  const Instant end = *now + ms * kNsPerMs;
  for (; *now < end; *now = *now + kNsPerMs) {
    if (append_us > 0) budget->NoteAppend(append_us * 1000, *now);
    while (copy && budget->ReadyAt(*now) <= *now) {
      budget->Spend(kMiB / 4, *now);
      copied += kMiB / 4;
    }
  }
  return copied;
}

TEST(IoBudgetTest, KeepsToItsRate) {
  IoBudget budget(64 * kMiB);
  Instant now(kNsPerSecond);
  const uint64_t copied = Pass(&budget, &now, 2000, 0);
  EXPECT_NEAR(static_cast<double>(copied), 128.0 * kMiB, 8.0 * kMiB);
}

TEST(IoBudgetTest, GivesWayToAppendsThatSufferAndComesBack) {
  IoBudget budget(64 * kMiB);
  Instant now(kNsPerSecond);
  Pass(&budget, &now, 1000, 500, false);  // what an append takes in peace
  const uint64_t unharmed = Pass(&budget, &now, 2000, 600);
  EXPECT_GT(unharmed, 100 * kMiB) << "a little more is no suffering";
  Pass(&budget, &now, 1500, 3000);
  EXPECT_LE(budget.bytes_per_s(), 2 * kMiB);
  EXPECT_GE(budget.bytes_per_s(), IoBudget::kBytesPerSecondMin) << "never quite stops";
  Pass(&budget, &now, 6000, 600);
  EXPECT_GT(budget.bytes_per_s(), 48 * kMiB);
}

TEST(IoBudgetTest, WithoutAppendsNothingHoldsItBack) {
  IoBudget budget(64 * kMiB);
  Instant now(kNsPerSecond);
  Pass(&budget, &now, 500, 500, false);
  Pass(&budget, &now, 2000, 5000);
  EXPECT_LT(budget.bytes_per_s(), 4 * kMiB);
  Pass(&budget, &now, 1500, 0);
  EXPECT_EQ(budget.bytes_per_s(), 64 * kMiB);
}

TEST(IoBudgetTest, PausesToLearnWhatAnAppendTakesWhenItHasNeverSeenOneInPeace) {
  IoBudget budget(64 * kMiB);
  Instant now(kNsPerSecond);
  // 4 ms while copies go on, 0.5 ms when none has for 100 ms.
  Instant copied_at = now;
  for (const Instant end = now + 5 * kNsPerSecond; now < end; now = now + kNsPerMs) {
    const bool quiet = now - copied_at > IoBudget::kWindowMs * kNsPerMs;
    budget.NoteAppend(quiet ? 500'000 : 4'000'000, now);
    while (budget.ReadyAt(now) <= now) {
      budget.Spend(kMiB / 4, now);
      copied_at = now;
    }
  }
  EXPECT_LT(budget.bytes_per_s(), 8 * kMiB);
}

}  // namespace
}  // namespace understudy

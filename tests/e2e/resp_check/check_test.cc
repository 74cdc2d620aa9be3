#include <gtest/gtest.h>

#include "tests/e2e/resp_check/gap_meter.h"
#include "tests/e2e/resp_check/key_book.h"

namespace understudy::resp_check {
namespace {

TEST(KeyBookTest, KeepsWhatWasAcknowledgedAndRetiresWhatIsUnknown) {
  KeyBook book("k", 2);
  EXPECT_EQ(book.Next().key, "k0");
  EXPECT_EQ(book.Next().value, 1u);
  book.Acknowledged();
  EXPECT_EQ(book.Next().key, "k1");
  book.Refused();
  EXPECT_EQ(book.Next().key, "k1");
  EXPECT_EQ(book.Next().value, 1u);
  book.Acknowledged();
  EXPECT_EQ(book.Next().value, 2u);
  book.Unknown();  // k0 = 2
  book.Acknowledged();
  EXPECT_EQ(book.Next().key, "k0.1");
  EXPECT_EQ(book.Next().value, 1u);
  EXPECT_EQ(book.acknowledged(), 3u);
  EXPECT_EQ(book.unknown(), 1u);
  const auto keys = book.AllKeys();
  ASSERT_EQ(keys.size(), 2u);  // k0.1 was never written
  EXPECT_EQ(keys[0].key, "k0");
  EXPECT_EQ(keys[0].acknowledged, 1u);
  EXPECT_EQ(keys[0].maybe, 2u);
  EXPECT_EQ(keys[1].acknowledged, 2u);
}

TEST(KeyBookTest, JudgesWhatIsReadBack) {
  const KeyState certain{"k", 5, 0};
  EXPECT_EQ(Judge(certain, 5), Verdict::kGood);
  EXPECT_EQ(Judge(certain, 4), Verdict::kLost);
  EXPECT_EQ(Judge(certain, std::nullopt), Verdict::kLost);
  EXPECT_EQ(Judge(certain, 6), Verdict::kWrong);
  const KeyState unsure{"k", 5, 6};
  EXPECT_EQ(Judge(unsure, 5), Verdict::kGood);
  EXPECT_EQ(Judge(unsure, 6), Verdict::kGood);
  EXPECT_EQ(Judge(unsure, 7), Verdict::kWrong);
  const KeyState never{"k", 0, 1};
  EXPECT_EQ(Judge(never, std::nullopt), Verdict::kGood);
  EXPECT_EQ(Judge(never, 1), Verdict::kGood);
}

Instant Ms(int64_t ms) { return Instant(ms * kNsPerMs); }

TEST(GapMeterTest, CountsFromTheLastSuccessToTheNext) {
  GapMeter meter;
  meter.Success(Ms(100));  // the time before the first success is no gap
  meter.Success(Ms(110));
  meter.Success(Ms(160));
  meter.Success(Ms(170));
  auto window = meter.NextWindow(Ms(180));
  EXPECT_EQ(window.longest_ns, 50 * kNsPerMs);
  EXPECT_EQ(window.longest_began, Ms(110));
  EXPECT_EQ(window.running_ns, 10 * kNsPerMs);
  EXPECT_EQ(window.successes, 4u);
  // A gap that began before the mark counts where it ends, in full.
  meter.Success(Ms(270));
  window = meter.NextWindow(Ms(270));
  EXPECT_EQ(window.longest_ns, 100 * kNsPerMs);
  EXPECT_EQ(window.longest_began, Ms(170));
  EXPECT_EQ(meter.Peek(Ms(280)).longest_ns, 0);
  EXPECT_EQ(meter.LongestEverNs(), 100 * kNsPerMs);
}

TEST(GapMeterTest, APauseIsNoGap) {
  GapMeter meter;
  meter.Success(Ms(0));
  meter.Pause();
  meter.Success(Ms(5000));
  meter.Success(Ms(5010));
  EXPECT_EQ(meter.Peek(Ms(5010)).longest_ns, 10 * kNsPerMs);
}

}  // namespace
}  // namespace understudy::resp_check

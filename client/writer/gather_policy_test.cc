#include "client/writer/gather_policy.h"

#include <deque>
#include <vector>

#include "gtest/gtest.h"

namespace understudy {
namespace {

using Verdict = GatherPolicy::Verdict;

constexpr size_t kRecord = 100;

// A writer reduced to what the policy sees, on a clock of its own: what is staged, in flight, and the timer.
class Bench {
 public:
  // Stages `count` records one after the other, as a thread does that finds the strand free each time.
  void Stage(int count) {
    for (int i = 0; i < count; ++i) {
      staged_ += kRecord;
      if (policy.WorthSending(staged_)) Pump();
    }
  }
  // The oldest batch is acknowledged, and the strand's holder looks for more to send.
  void Answer() {
    ASSERT_FALSE(in_flight_.empty());
    policy.Answered(in_flight_.front());
    in_flight_.pop_front();
    Pump();
  }
  void Advance(int64_t ns) {
    now_ns_ += ns;
    if (timer_ns_ < 0 || now_ns_ < timer_ns_) return;
    timer_ns_ = -1;
    policy.TimeUp();
    Pump();
    policy.TimeUsed();
  }

  GatherPolicy policy;
  std::vector<size_t> sent;  // records of each batch
  size_t staged() const { return staged_ / kRecord; }
  size_t in_flight() const { return in_flight_.size(); }
  bool timer() const { return timer_ns_ >= 0; }

 private:
  void Pump() {
    while (staged_ > 0 && !policy.Full()) {
      const Verdict verdict = policy.Judge(staged_);
      if (verdict == Verdict::kWaitFromNow) {
        EXPECT_LT(timer_ns_, 0) << "one timer at a time";
        timer_ns_ = now_ns_ + GatherPolicy::kWaitNs;
      }
      if (verdict != Verdict::kSend) return;
      if (policy.batches_in_flight() > 0 && staged_ < policy.BytesMin()) return;
      policy.Sent(staged_);
      in_flight_.push_back(staged_);
      sent.push_back(staged_ / kRecord);
      staged_ = 0;
    }
  }

  int64_t now_ns_ = 0, timer_ns_ = -1;
  size_t staged_ = 0;
  std::deque<size_t> in_flight_;
};

TEST(GatherPolicy, NothingStagedIsNeverWorthSending) {
  GatherPolicy policy;
  EXPECT_FALSE(policy.WorthSending(0));
  policy.TimeUp();
  EXPECT_FALSE(policy.WorthSending(0));
}

TEST(GatherPolicy, ALoneWritersRecordGoesAtOnce) {
  Bench bench;
  for (int i = 0; i < 10; ++i) {
    bench.Stage(1);
    EXPECT_EQ(bench.in_flight(), 1U) << "record " << i << " waits";
    EXPECT_FALSE(bench.timer());
    bench.Answer();
  }
  EXPECT_EQ(bench.sent, std::vector<size_t>(10, 1));
}

TEST(GatherPolicy, AWindowGoesOutInAHandfulOfBatches) {
  Bench bench;
  bench.Stage(512);
  EXPECT_EQ(bench.sent.front(), 1U) << "nothing was known of what would follow";
  // Each batch is a quarter of what is in flight before it, until they are large enough for the next to wait.
  EXPECT_LT(bench.sent.size(), 40U);
  for (size_t i = 5; i < bench.sent.size(); ++i) EXPECT_GE(bench.sent[i], bench.sent[i - 1]) << i;
}

TEST(GatherPolicy, OnceAWindowWasSeenTheNextOneIsWaitedFor) {
  Bench bench;
  bench.Stage(512);
  while (bench.in_flight() > 0) bench.Answer();
  bench.Stage(1);  // what was in flight at most is looked back at when something is sent again
  ASSERT_EQ(bench.in_flight(), 1U);
  bench.Answer();
  const size_t before = bench.sent.size();
  bench.Stage(1);
  ASSERT_TRUE(bench.timer());
  EXPECT_EQ(bench.staged(), 1U);
  bench.Advance(GatherPolicy::kWaitNs);
  EXPECT_EQ(bench.sent.size(), before + 1);
}

TEST(GatherPolicy, WaitsOnceAndNoLongerThanItsTime) {
  Bench bench;
  bench.policy.Sent(40'000);  // a window of 400 records was in flight
  bench.policy.Answered(40'000);
  bench.policy.Sent(kRecord);
  bench.policy.Answered(kRecord);
  ASSERT_EQ(bench.policy.BytesMin(), 10'000U);

  bench.Stage(1);
  EXPECT_TRUE(bench.timer());
  EXPECT_TRUE(bench.sent.empty());
  EXPECT_EQ(bench.policy.Judge(kRecord), Verdict::kWait) << "the timer runs already";
  bench.Advance(GatherPolicy::kWaitNs - 1);
  bench.Stage(3);
  EXPECT_TRUE(bench.sent.empty());
  bench.Advance(1);
  EXPECT_EQ(bench.sent, (std::vector<size_t>{4})) << "what there is by then";
  EXPECT_FALSE(bench.timer());
}

TEST(GatherPolicy, AQuarterOfTheWindowDoesNotWaitForTheTimer) {
  Bench bench;
  bench.policy.Sent(40'000);
  bench.policy.Answered(40'000);
  bench.policy.Sent(kRecord);
  bench.policy.Answered(kRecord);
  bench.Stage(99);
  EXPECT_TRUE(bench.sent.empty());
  bench.Stage(1);
  EXPECT_EQ(bench.sent, (std::vector<size_t>{100}));
  // The timer of before runs out with a batch in flight: nothing more is due than a quarter of that.
  bench.Advance(GatherPolicy::kWaitNs);
  EXPECT_FALSE(bench.timer());
  bench.Stage(24);
  EXPECT_EQ(bench.sent.size(), 1U);
  bench.Stage(1);
  EXPECT_EQ(bench.sent, (std::vector<size_t>{100, 25}));
}

TEST(GatherPolicy, AWriterThatBecomesLoneAgainWaitsForOneTimerAtMost) {
  Bench bench;
  bench.Stage(512);
  while (bench.in_flight() > 0) bench.Answer();
  int waited = 0;
  for (int i = 0; i < 5; ++i) {
    bench.Stage(1);
    if (bench.in_flight() == 0) {
      ++waited;
      bench.Advance(GatherPolicy::kWaitNs);
    }
    while (bench.in_flight() > 0) bench.Answer();
  }
  EXPECT_LE(waited, 2);
  bench.Stage(1);
  EXPECT_EQ(bench.in_flight(), 1U);
}

TEST(GatherPolicy, ALargeBatchGoesHoweverMuchIsInFlight) {
  GatherPolicy policy;
  policy.Sent(64u << 20);
  EXPECT_EQ(policy.BytesMin(), GatherPolicy::kBytesMax);
  EXPECT_FALSE(policy.WorthSending(GatherPolicy::kBytesMax - 1));
  EXPECT_TRUE(policy.WorthSending(GatherPolicy::kBytesMax));
}

TEST(GatherPolicy, BatchesInFlightAreBounded) {
  GatherPolicy policy;
  for (uint32_t i = 0; i < GatherPolicy::kBatchesInFlightMax; ++i) {
    ASSERT_FALSE(policy.Full());
    policy.Sent(kRecord);
  }
  EXPECT_TRUE(policy.Full());
  EXPECT_FALSE(policy.WorthSending(1u << 20));
  policy.Answered(kRecord);
  EXPECT_TRUE(policy.WorthSending(1u << 20));
}

TEST(GatherPolicy, WhatWasDroppedIsNotInFlight) {
  GatherPolicy policy;
  for (int i = 0; i < 3; ++i) policy.Sent(kRecord);
  policy.Dropped();
  EXPECT_EQ(policy.batches_in_flight(), 0U);
  EXPECT_TRUE(policy.WorthSending(kRecord));
}

}  // namespace
}  // namespace understudy

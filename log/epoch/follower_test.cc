#include "log/epoch/follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/epoch/testing/make.h"

namespace understudy::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FollowerTest : public ::testing::Test {
 protected:
  void Start(Chain chain, FollowerOptions options = {}) {
    chain_ = {5, std::move(chain)};
    options.log = kLog7;
    follower_ = std::make_unique<Follower>(options);
    Step(FollowerChain{chain_});
  }
  FollowerEffects& Step(const FollowerInput& input, Instant now = Ms(0)) {
    out_.Clear();
    follower_->Step(input, now, &out_);
    if (!out_.reads.empty()) read_ = out_.reads.back();
    return out_;
  }
  FollowerEffects& Answer(const std::string& batches, uint64_t commit, StatusCode code = StatusCode::kOk,
                          Instant now = Ms(0)) {
    ReadAnswered answered{read_.token, {code, "", "", Lsn(commit), {}}, std::make_shared<const std::string>(batches)};
    return Step(answered, now);
  }
  FollowerEffects& Push(BatchRef batch, uint64_t commit, uint64_t epoch = 1, AttemptId attempt = kA1,
                        Instant now = Ms(0)) {
    return Step(FollowerMirror{{kLog7, Epoch(epoch), attempt, Lsn(commit), std::move(batch), {}}}, now);
  }
  // "e1 1..3" for each release of the last step.
  std::vector<std::string> Releases() const {
    std::vector<std::string> texts;
    for (const Released& released : out_.released) {
      if (released.loss) {
        texts.push_back("loss " + std::to_string(released.loss->from.value()) + ".." +
                        std::to_string(released.loss->to.value()));
      } else {
        texts.push_back("e" + std::to_string(released.batch.epoch.value()) + " " +
                        std::to_string(released.batch.from.value()) + ".." + std::to_string(released.batch.to.value()));
      }
    }
    return texts;
  }
  void NextChain(Chain chain, Instant now = Ms(0)) {
    chain_ = {chain_.version + 1, std::move(chain)};
    Step(FollowerChain{chain_}, now);
  }
  static Chain OpenChain() { return ChainOf({Entry(1, kA1, 1, {kD1, kD2, kD3}, 2)}); }
  static Chain ClosedChain(uint64_t last, uint64_t next_first) {
    return ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2, kD3}, 2), last), Entry(2, kA2, next_first, {kD1, kD2, kD3}, 2)});
  }

  VersionedChain chain_;
  std::unique_ptr<Follower> follower_;
  FollowerEffects out_;
  FollowerRead read_;
};

TEST_F(FollowerTest, ReadsAndReleases) {
  Start(OpenChain());
  ASSERT_THAT(out_.reads, SizeIs(1));
  EXPECT_EQ(read_.request.from, Lsn(1));
  EXPECT_EQ(read_.request.to, Lsn(0));
  EXPECT_FALSE(follower_->caught_up());
  Answer(*Batch(1, 1, 3) + *Batch(1, 4, 4), 4);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..3", "e1 4..4"));
  EXPECT_EQ(out_.released[1].batch.bytes(), *Batch(1, 4, 4));
  EXPECT_TRUE(follower_->caught_up());
  ASSERT_THAT(out_.reads, SizeIs(1));  // goes on at once
  EXPECT_EQ(read_.request.from, Lsn(5));
}

TEST_F(FollowerTest, RuleNothingAboveTheCommitIsReleased) {
  Start(OpenChain());
  Answer(*Batch(1, 1, 3) + *Batch(1, 4, 6), 3);  // a replica that says too much
  EXPECT_THAT(Releases(), ElementsAre("e1 1..3"));
  Push(Batch(1, 7, 7), 3);
  EXPECT_THAT(Releases(), IsEmpty());
  Push(nullptr, 6);
  EXPECT_THAT(Releases(), ElementsAre("e1 4..6"));
}

TEST_F(FollowerTest, RuleClosedEpochEndsAtItsLastLsnAndTheRestIsGarbage) {
  Start(OpenChain());
  Push(Batch(1, 1, 2), 0);
  Push(Batch(1, 3, 4), 2);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..2"));
  Push(Batch(1, 5, 6), 2);
  NextChain(ClosedChain(4, 5));  // taken over: 5 and 6 of epoch 1 are not part of the log
  EXPECT_THAT(Releases(), ElementsAre("e1 3..4"));
  EXPECT_EQ(follower_->held_bytes(), 0u);
  EXPECT_EQ(read_.request.epoch, Epoch(2));
  EXPECT_EQ(read_.request.from, Lsn(5));
}

TEST_F(FollowerTest, RuleCommitOfAnEpochReleasesThatEpochOnly) {
  Start(OpenChain());
  Push(Batch(1, 1, 2), 0);
  Push(Batch(2, 2, 4), 4, 2, kA2);  // the chain that we know still has epoch 1 open
  EXPECT_THAT(Releases(), IsEmpty());
  EXPECT_THAT(out_.chain_ops, SizeIs(1));  // so it is read
  chain_ = {6, ChainOf({Closed(Entry(1, kA1, 1, {kD1}, 1), 1), Entry(2, kA2, 2, {kD1}, 1)}, 1, 1)};
  Step(ChainReadDone{out_.chain_ops[0].token, Status::Ok(), chain_});
  EXPECT_THAT(Releases(), ElementsAre("e1 1..1", "e2 2..4"));  // LSN 2 of epoch 1 never was part of the log
}

TEST_F(FollowerTest, PushesAheadOfTheChainCountOnlyWhenTheChainKnowsTheirWriter) {
  Start(OpenChain());
  Push(Batch(2, 1, 4), 4, 2, AttemptId{0xB, 1});
  chain_ = {6, ChainOf({Closed(Entry(1, kA1, 1, {kD1}, 1), 0), Entry(2, kA2, 1, {kD1}, 1)}, 1, 1)};
  Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), chain_});
  EXPECT_THAT(Releases(), IsEmpty());
  EXPECT_TRUE(out_.mirror_lost.has_value());
  EXPECT_EQ(read_.request.epoch, Epoch(2));
}

TEST_F(FollowerTest, MirrorAndReadsMerge) {
  Start(OpenChain());
  Push(Batch(1, 4, 5), 3);  // begins behind what was applied
  EXPECT_FALSE(follower_->mirror_live());
  Answer(*Batch(1, 1, 3), 3);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..3"));
  EXPECT_TRUE(follower_->mirror_live());
  EXPECT_THAT(out_.reads, IsEmpty());  // the stream brings the rest
  Push(Batch(1, 6, 6), 5);
  EXPECT_THAT(Releases(), ElementsAre("e1 4..5"));
  Push(nullptr, 6);
  EXPECT_THAT(Releases(), ElementsAre("e1 6..6"));
  EXPECT_THAT(out_.reads, IsEmpty());
}

TEST_F(FollowerTest, AnEmptyLogIsMirroredToo) {
  Start(OpenChain());
  EXPECT_FALSE(follower_->mirror_live());
  Push(nullptr, 0);
  EXPECT_TRUE(follower_->mirror_live());
  Push(Batch(1, 1, 2), 2);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..2"));
  EXPECT_TRUE(follower_->mirror_live());
}

TEST_F(FollowerTest, BrokenStreamFallsBackToReading) {
  Start(OpenChain());
  Push(Batch(1, 1, 2), 0);
  Answer("", 0);
  Push(nullptr, 2);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..2"));
  EXPECT_THAT(out_.reads, IsEmpty());
  Step(FollowerMirrorBroken{}, Ms(300));
  ASSERT_THAT(out_.reads, SizeIs(1));
  EXPECT_EQ(read_.request.from, Lsn(3));
}

TEST_F(FollowerTest, MissingBatchInTheStreamGivesItUp) {
  Start(OpenChain());
  Push(Batch(1, 1, 2), 0);
  Push(Batch(1, 4, 4), 0);
  ASSERT_TRUE(out_.mirror_lost.has_value());
  EXPECT_EQ(out_.mirror_lost->code(), StatusCode::kGap);
  EXPECT_EQ(follower_->held_bytes(), 0u);
  Push(Batch(1, 5, 5), 0);  // a new stream
  Push(nullptr, 7);         // 6 and 7 were never pushed
  EXPECT_EQ(out_.mirror_lost->code(), StatusCode::kGap);
}

TEST_F(FollowerTest, HoldsNoMoreThanItMay) {
  FollowerOptions options;
  options.hold_bytes_max = 150;
  Start(OpenChain(), options);
  Push(Batch(1, 1, 1), 0);
  Push(Batch(1, 2, 2), 0);
  EXPECT_FALSE(out_.mirror_lost.has_value());
  Push(Batch(1, 3, 3), 0);
  ASSERT_TRUE(out_.mirror_lost.has_value());
  EXPECT_EQ(out_.mirror_lost->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(follower_->held_bytes(), 0u);
}

TEST_F(FollowerTest, UnappliedRecordsAreBounded) {
  FollowerOptions options;
  options.unapplied_bytes_max = 100;
  Start(OpenChain(), options);
  Answer(*Batch(1, 1, 1) + *Batch(1, 2, 2) + *Batch(1, 3, 3), 3);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..1", "e1 2..2"));
  EXPECT_THAT(out_.reads, IsEmpty());
  Step(Applied{Lsn(1)});
  EXPECT_THAT(Releases(), ElementsAre("e1 3..3"));
  Step(Applied{Lsn(3)});
  EXPECT_THAT(out_.reads, SizeIs(1));
}

TEST_F(FollowerTest, SilentStreamIsGivenUpAndWhatItBroughtStaysGood) {
  Start(OpenChain());
  Push(Batch(1, 1, 2), 1);
  Step(Tick{}, Ms(999));
  EXPECT_FALSE(out_.mirror_lost.has_value());
  Step(Tick{}, Ms(1000));
  EXPECT_TRUE(out_.mirror_lost.has_value());
  NextChain(ClosedChain(2, 3), Ms(1000));
  EXPECT_EQ(follower_->next(), Lsn(3));
}

TEST_F(FollowerTest, StreamOfAWriterThatTheChainDoesNotKnowIsRefused) {
  Start(OpenChain());
  Push(Batch(1, 1, 2), 2, 1, kA2);
  EXPECT_TRUE(out_.mirror_lost.has_value());
  EXPECT_THAT(Releases(), IsEmpty());
}

TEST_F(FollowerTest, EmptyPollReadsTheChainAgain) {
  Start(OpenChain());
  Answer("", 0, StatusCode::kOk, Ms(500));
  EXPECT_THAT(out_.chain_ops, SizeIs(1));
  EXPECT_THAT(out_.reads, SizeIs(1));
  Answer("", 0, StatusCode::kOk, Ms(501));  // cut short: the disk was sealed. No busy loop
  EXPECT_THAT(out_.reads, IsEmpty());
  EXPECT_EQ(out_.wake_at, Ms(521));
}

TEST_F(FollowerTest, AfterASealedDiskAnotherIsAsked) {
  Start(OpenChain());
  const DiskId first = read_.request.disk;
  Answer("", 0, StatusCode::kOk, Ms(1));  // at once: nothing will come of this disk, whoever still writes to the others
  Step(Tick{}, Ms(21));
  ASSERT_THAT(out_.reads, SizeIs(1));
  EXPECT_NE(read_.request.disk, first);
}

TEST_F(FollowerTest, ShortAndUnknownMeanAnotherDiskNeverTheEnd) {
  Start(ClosedChain(4, 5));
  EXPECT_EQ(read_.request.to, Lsn(4));
  EXPECT_EQ(read_.request.disk, kD1);
  Answer("", 0, StatusCode::kShort);
  EXPECT_EQ(read_.request.disk, kD2);
  Answer("", 0, StatusCode::kDataUnknown);
  EXPECT_EQ(read_.request.disk, kD3);
  Answer("", 0, StatusCode::kUnavailable);
  EXPECT_THAT(out_.reads, IsEmpty());  // all of them: a pause, and a look at the chain
  EXPECT_THAT(out_.chain_ops, SizeIs(1));
  Step(Tick{}, Ms(20));
  ASSERT_THAT(out_.reads, SizeIs(1));
  std::string damaged = *Batch(1, 1, 4);
  damaged.back() ^= 1;
  Answer(damaged, 0, StatusCode::kOk, Ms(20));
  EXPECT_THAT(Releases(), IsEmpty());
  EXPECT_THAT(out_.reads, SizeIs(1));
  Answer(*Batch(1, 1, 4), 0, StatusCode::kOk, Ms(20));
  EXPECT_THAT(Releases(), ElementsAre("e1 1..4"));
}

TEST_F(FollowerTest, LossIsSaidNeverWaitedFor) {
  Start(ClosedChain(4, 105));
  Answer(*Batch(1, 1, 4), 0);
  EXPECT_THAT(Releases(), ElementsAre("e1 1..4", "loss 5..104"));
  EXPECT_EQ(read_.request.epoch, Epoch(2));
  EXPECT_EQ(read_.request.from, Lsn(105));
}

TEST_F(FollowerTest, TrimmedNeedsACheckpoint) {
  Chain chain = OpenChain();
  chain.checkpoints.push_back({1, Lsn(7), 1, {kD1}});
  chain.trim_lsn = Lsn(7);
  Start(chain);
  EXPECT_EQ(out_.trimmed, Lsn(7));
  EXPECT_THAT(out_.reads, IsEmpty());
}

TEST_F(FollowerTest, StartsBehindACheckpointInTheMiddleOfABatch) {
  FollowerOptions options;
  options.from = Lsn(3);
  Start(OpenChain(), options);
  EXPECT_EQ(read_.request.from, Lsn(3));
  Answer(*Batch(1, 1, 5), 5);
  EXPECT_THAT(Releases(), ElementsAre("e1 3..5"));
}

TEST_F(FollowerTest, HintOfTheNextOwnerIsPassedOnAndTheChainIsRead) {
  Start(OpenChain());
  MirrorPush push{kLog7, Epoch(1), kA1, Lsn(0), nullptr, kA2};
  Step(FollowerMirror{push});
  EXPECT_EQ(out_.next_owner_hint, kA2);
  EXPECT_THAT(out_.chain_ops, SizeIs(1));
}

}  // namespace
}  // namespace understudy::testing

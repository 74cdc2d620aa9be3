#include "log/epoch/takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "log/epoch/chain_client.h"
#include "log/epoch/testing/make.h"

namespace understudy::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr DiskId kD4{4, 1};

class TakeoverTest : public ::testing::Test {
 protected:
  void Start(Chain chain, uint64_t expected_epoch = 1, AttemptId attempt = kA2,
             std::vector<DiskId> candidates = {kD1, kD2, kD3, kD4}) {
    TakeoverStart start;
    for (const DiskId& disk : candidates) start.candidates.push_back({{disk, "n" + std::to_string(disk.hi)}, "a"});
    StartWith(std::move(start), std::move(chain), expected_epoch, attempt);
  }
  void StartWith(TakeoverStart start, Chain chain, uint64_t expected_epoch, AttemptId attempt = kA2) {
    chain_ = {5, std::move(chain)};
    TakeoverOptions options;
    options.log = kLog7;
    options.attempt = attempt;
    options.owner = {"me", ""};
    options.expected_epoch = Epoch(expected_epoch);
    takeover_ = std::make_unique<Takeover>(options);
    Step(start);
    ASSERT_THAT(out_.chain_ops, SizeIs(1));
    Step(ChainReadDone{out_.chain_ops[0].token, Status::Ok(), chain_});
  }
  TakeoverEffects& Step(const TakeoverInput& input, Instant now = Ms(0)) {
    out_.Clear();
    takeover_->Step(input, now, &out_);
    for (const SendSeal& seal : out_.seals) seals_[seal.disk.disk] = seal.token;
    for (const SendFetch& fetch : out_.fetches) fetches_[fetch.disk.disk] = fetch;
    return out_;
  }
  TakeoverEffects& Sealed(const DiskId& disk, uint64_t tail, uint64_t highest = 1, Instant now = Ms(0)) {
    return Step(SealAnswered{seals_.at(disk), {StatusCode::kOk, "", Lsn(tail), Epoch(highest)}}, now);
  }
  TakeoverEffects& Fails(const DiskId& disk, StatusCode code, Instant now = Ms(0)) {
    return Step(SealAnswered{seals_.at(disk), {code, "", {}, {}}}, now);
  }
  TakeoverEffects& Fetched(const DiskId& disk, uint64_t tail, StatusCode code = StatusCode::kOk, Instant now = Ms(0)) {
    return Step(FetchAnswered{fetches_.at(disk).token, {code, "", Lsn(tail)}}, now);
  }
  // The CAS that is out now; fails the test when none is.
  Chain Cas() {
    EXPECT_THAT(out_.chain_ops, SizeIs(1));
    if (out_.chain_ops.empty()) return ChainOf({OpenChain().epochs[0], OpenChain().epochs[0]});
    EXPECT_EQ(out_.chain_ops[0].kind, ChainOp::Kind::kCas);
    cas_ = out_.chain_ops[0].token;
    return out_.chain_ops[0].chain;
  }
  static Chain OpenChain(int ack_quorum = 2) { return ChainOf({Entry(1, kA1, 1, {kD1, kD2, kD3}, ack_quorum)}); }

  VersionedChain chain_;
  std::unique_ptr<Takeover> takeover_;
  TakeoverEffects out_;
  std::map<DiskId, Token> seals_;
  std::map<DiskId, SendFetch> fetches_;
  Token cas_ = 0;
};

TEST_F(TakeoverTest, SealsSettlesAndOpens) {
  Start(OpenChain());
  EXPECT_THAT(out_.seals, SizeIs(3));
  Sealed(kD1, 9);
  EXPECT_THAT(out_.chain_ops, IsEmpty());  // one of three is no coverage
  Sealed(kD2, 9);
  EXPECT_THAT(out_.chain_ops, IsEmpty());  // enough, but the third is on its way
  Sealed(kD3, 9);
  const Chain chain = Cas();
  EXPECT_EQ(chain.epochs[0].last_lsn, Lsn(9));
  EXPECT_EQ(chain.epochs[1].first_lsn, Lsn(10));
  EXPECT_EQ(chain.epochs[1].attempt, kA2);
  EXPECT_EQ(chain.epochs[1].owner.node, "me");
  EXPECT_THAT(chain.epochs[1].disks, SizeIs(3));
  EXPECT_FALSE(out_.result.has_value());
  Step(ChainCasDone{cas_, Status::Ok(), 6});
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_TRUE(out_.result->status.ok());
  EXPECT_EQ(out_.result->last_lsn, Lsn(9));
  EXPECT_FALSE(out_.result->adopted);
  EXPECT_TRUE(takeover_->done());
}

TEST_F(TakeoverTest, DoesNotWaitLongForMoreThanItNeeds) {
  Start(OpenChain());
  Sealed(kD1, 9);
  Sealed(kD2, 9);
  EXPECT_EQ(out_.wake_at, Ms(20));
  Step(Tick{}, Ms(20));
  EXPECT_THAT(Cas().epochs[1].disks, SizeIs(2));
}

TEST_F(TakeoverTest, CoverageMeetsEveryAckQuorum) {
  Start(OpenChain(1));  // acknowledged by one: all three must speak
  Sealed(kD1, 9);
  Sealed(kD2, 9);
  Step(Tick{}, Ms(900));
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  Sealed(kD3, 12, 1, Ms(900));
  EXPECT_EQ(Cas().epochs[0].last_lsn, Lsn(12));
}

// Its writer may have closed the epoch meanwhile, or another takeover: disks that it waits for matter no more.
TEST_F(TakeoverTest, WhileItWaitsItLooksAtTheChainAgain) {
  Start(OpenChain(1));
  Sealed(kD1, 9);
  Sealed(kD2, 9);
  Step(Tick{}, Ms(1000));
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  EXPECT_EQ(out_.chain_ops[0].kind, ChainOp::Kind::kRead);
  Step(ChainReadDone{out_.chain_ops[0].token, Status::Ok(), chain_}, Ms(1001));
  EXPECT_THAT(out_.chain_ops, IsEmpty());  // unchanged: goes on waiting
  Step(Tick{}, Ms(2001));
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  const Chain moved = ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2, kD3}, 1), 9), Entry(2, {9, 9}, 10, {kD1, kD2}, 1)});
  Step(ChainReadDone{out_.chain_ops[0].token, Status::Ok(), {6, moved}}, Ms(2002));
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_EQ(out_.result->status.code(), StatusCode::kFenced);
}

TEST_F(TakeoverTest, RuleUnknownIsNeverAbsent) {
  Start(OpenChain(), 1, kA2, {kD1, kD2, kD3});
  Fails(kD1, StatusCode::kDataUnknown);
  Fails(kD2, StatusCode::kUnavailable);
  Sealed(kD3, 9);
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  ASSERT_TRUE(out_.waiting.has_value());
  EXPECT_THAT(out_.waiting->text, HasSubstr("needs 1 more"));
  EXPECT_THAT(out_.waiting->text, HasSubstr("n1"));
  EXPECT_THAT(out_.waiting->text, HasSubstr("n2"));
  EXPECT_THAT(out_.waiting->disks, SizeIs(2));
  Step(Tick{}, Ms(50));  // asks again, and never gives up
  EXPECT_THAT(out_.seals, SizeIs(2));
  Sealed(kD2, 8, 1, Ms(60));
  ASSERT_THAT(out_.fetches, SizeIs(1));  // T is 9: d2 copies
}

TEST_F(TakeoverTest, AcceptedLossEndsTheEpochWithWhatIsThereAndLeavesAGap) {
  Chain chain = OpenChain();
  chain.checkpoints = {{1, Lsn(20), 10, {kD1}}};
  Start(chain);
  Fails(kD1, StatusCode::kUnavailable);
  Fails(kD2, StatusCode::kNotFound);
  Sealed(kD3, 9);
  Sealed(kD4, 0, 0);
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  Step(TakeoverAcceptLoss{Lsn(12)}, Ms(10));
  EXPECT_THAT(out_.seals, SizeIs(2)) << "who failed is asked once more";
  EXPECT_THAT(fetches_, IsEmpty());
  Fails(kD1, StatusCode::kUnavailable, Ms(11));
  EXPECT_THAT(fetches_, IsEmpty()) << "one has not answered yet";
  Fails(kD2, StatusCode::kNotFound, Ms(12));
  ASSERT_TRUE(fetches_.contains(kD4)) << "what is left goes to A disks, as ever";
  Fetched(kD4, 9, StatusCode::kOk, Ms(13));
  const Chain opened = Cas();
  EXPECT_EQ(opened.epochs[0].last_lsn, Lsn(9));
  EXPECT_EQ(opened.epochs[1].first_lsn, Lsn(20) + kLossGap) << "above the checkpoint, which is the highest known";
  Step(ChainCasDone{cas_, Status::Ok(), 6});
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_EQ(out_.result->loss, (std::pair{Lsn(10), Lsn(19) + kLossGap}));
  EXPECT_EQ(out_.result->last_lsn, Lsn(19) + kLossGap);
}

TEST_F(TakeoverTest, AcceptedLossIsNoneWhenTheDisksAnswerAfterAll) {
  Start(OpenChain());
  Fails(kD1, StatusCode::kUnavailable);
  Fails(kD2, StatusCode::kUnavailable);
  Sealed(kD3, 9);
  Step(TakeoverAcceptLoss{Lsn(30)}, Ms(10));
  Sealed(kD2, 12, 1, Ms(11));
  Step(FetchAnswered{fetches_.at(kD3).token, {StatusCode::kOk, "", Lsn(12)}}, Ms(12));
  Step(Tick{}, Ms(40));
  const Chain opened = Cas();
  EXPECT_EQ(opened.epochs[0].last_lsn, Lsn(12));
  EXPECT_EQ(opened.epochs[1].first_lsn, Lsn(13));
  Step(ChainCasDone{cas_, Status::Ok(), 6});
  EXPECT_FALSE(out_.result->loss.has_value());
}

TEST_F(TakeoverTest, AnEndWithoutCoverageRisesWithWhoAnswersLater) {
  Start(OpenChain());
  Fails(kD1, StatusCode::kUnavailable);
  Fails(kD2, StatusCode::kUnavailable);
  Sealed(kD3, 9);
  Sealed(kD4, 0, 0);
  Step(TakeoverAcceptLoss{}, Ms(10));
  Fails(kD1, StatusCode::kUnavailable, Ms(11));
  Fails(kD2, StatusCode::kUnavailable, Ms(11));
  ASSERT_TRUE(fetches_.contains(kD4)) << "nine records are left, and are copied";
  Step(Tick{}, Ms(500));
  Sealed(kD2, 12, 1, Ms(501));  // coverage: what it holds may have been acknowledged
  Fetched(kD4, 9, StatusCode::kOk, Ms(502));
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  ASSERT_TRUE(fetches_.contains(kD3));
  Fetched(kD3, 12, StatusCode::kOk, Ms(503));
  const Chain opened = Cas();
  EXPECT_EQ(opened.epochs[0].last_lsn, Lsn(12));
  EXPECT_EQ(opened.epochs[1].first_lsn, Lsn(13));
}

TEST_F(TakeoverTest, AcceptedLossStillNeedsLiveDisksForTheNextEpoch) {
  Start(OpenChain(), 1, kA2, {kD3});
  Fails(kD1, StatusCode::kUnavailable);
  Fails(kD2, StatusCode::kUnavailable);
  Sealed(kD3, 9);
  Step(TakeoverAcceptLoss{}, Ms(10));
  Fails(kD1, StatusCode::kUnavailable, Ms(11));
  Fails(kD2, StatusCode::kUnavailable, Ms(11));
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  ASSERT_TRUE(out_.waiting.has_value());
  EXPECT_THAT(out_.waiting->text, HasSubstr("must be on 2 disks"));
}

TEST_F(TakeoverTest, RuleWaitsUntilAQuorumOfDisksHoldsEverythingUpToT) {
  Start(OpenChain());
  Fails(kD3, StatusCode::kUnavailable);
  Sealed(kD1, 12);
  Sealed(kD2, 9);
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  ASSERT_TRUE(fetches_.contains(kD2));
  const FetchRequest& request = fetches_[kD2].request;
  EXPECT_EQ(request.from, Lsn(1));
  EXPECT_EQ(request.to, Lsn(12));
  ASSERT_THAT(request.sources, SizeIs(1));
  EXPECT_EQ(request.sources[0].disk, kD1);
  // E = 3: the fourth disk was asked whether it lives, for the next epoch.
  ASSERT_TRUE(seals_.contains(kD4));
  Sealed(kD4, 0);
  Fetched(kD2, 12);
  const Chain chain = Cas();
  EXPECT_EQ(chain.epochs[0].last_lsn, Lsn(12));
  EXPECT_THAT(chain.epochs[0].disks, SizeIs(3));
  EXPECT_THAT(chain.epochs[1].disks, SizeIs(3));
}

TEST_F(TakeoverTest, RuleDiskThatCopiesNowCountsAndIsListed) {
  Start(ChainOf({Entry(1, kA1, 1, {kD1, kD2}, 2)}, 2, 2));
  Fails(kD2, StatusCode::kUnavailable);
  ASSERT_TRUE(seals_.contains(kD3));
  Sealed(kD1, 9);
  Sealed(kD3, 0);
  ASSERT_TRUE(fetches_.contains(kD3));
  Fetched(kD3, 9);
  const Chain chain = Cas();
  EXPECT_THAT(chain.epochs[0].disks, SizeIs(3));
  EXPECT_EQ(chain.epochs[0].disks[2].disk, kD3);
  EXPECT_THAT(chain.epochs[1].disks, SizeIs(2));
}

TEST_F(TakeoverTest, RuleTIsComputedAgainWhenADiskLeavesCoverage) {
  Start(OpenChain());
  Sealed(kD1, 12);
  Sealed(kD2, 9);
  ASSERT_TRUE(fetches_.contains(kD2));
  Step(DiskUnknown{kD1});
  EXPECT_THAT(out_.chain_ops, IsEmpty());  // d2 alone is no coverage
  Fetched(kD2, 9, StatusCode::kUnavailable);
  Sealed(kD3, 9);
  Sealed(kD2, 9);
  if (out_.chain_ops.empty()) Step(Tick{}, Ms(100));
  const Chain chain = Cas();
  EXPECT_EQ(chain.epochs[0].last_lsn, Lsn(9));  // 10 to 12 were on d1 alone: never acknowledged
}

TEST_F(TakeoverTest, FailedCopyAsksTheSourcesWhetherTheyAreStillThere) {
  Start(OpenChain());
  Fails(kD3, StatusCode::kUnavailable);
  Fails(kD4, StatusCode::kUnavailable);
  Sealed(kD1, 12);
  Sealed(kD2, 9);
  Fetched(kD2, 9, StatusCode::kUnavailable);
  EXPECT_THAT(out_.seals, SizeIs(2));
  Fails(kD1, StatusCode::kUnavailable);  // it leaves
  Sealed(kD2, 9);
  Step(Tick{}, Ms(60));
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  Sealed(kD3, 9, 1, Ms(60));
  EXPECT_EQ(Cas().epochs[0].last_lsn, Lsn(9));
}

TEST_F(TakeoverTest, EmptyEpochNeedsNoCopy) {
  Start(ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2, kD3}, 2), 9), Entry(2, AttemptId{0xA, 9}, 10, {kD1, kD2, kD3}, 2)}),
        2);
  Fails(kD3, StatusCode::kUnavailable);
  Fails(kD4, StatusCode::kUnavailable);
  Sealed(kD1, 0, 1);  // has never heard of epoch 2
  Sealed(kD2, 0, 1);
  EXPECT_EQ(Cas().epochs[1].last_lsn, Lsn(9));
}

TEST_F(TakeoverTest, OpensTheFirstEpochOfALog) {
  Start(ChainOf({}), 0);
  EXPECT_THAT(out_.seals, SizeIs(3));
  EXPECT_EQ(out_.seals[0].request.epoch, Epoch(0));
  Sealed(kD1, 0, 0);
  Sealed(kD2, 0, 0);
  Sealed(kD3, 0, 0);
  const Chain chain = Cas();
  ASSERT_THAT(chain.epochs, SizeIs(1));
  EXPECT_EQ(chain.epochs[0].epoch, Epoch(1));
  EXPECT_EQ(chain.epochs[0].first_lsn, Lsn(1));
}

TEST_F(TakeoverTest, WaitsForDisksForTheNextEpoch) {
  Start(ChainOf({}), 0, kA2, {kD1});
  Sealed(kD1, 0, 0);
  ASSERT_TRUE(out_.waiting.has_value());
  EXPECT_THAT(out_.waiting->text, HasSubstr("needs 2 live disks"));
  Step(TakeoverCandidates{{{{kD1, "n1"}, "a"}, {{kD2, "n2"}, "a"}}});
  Sealed(kD2, 0, 0);
  EXPECT_THAT(Cas().epochs[0].disks, SizeIs(2));
}

TEST_F(TakeoverTest, TheNextEpochIsSpreadOverZonesAndLeavesDrainingDisks) {
  StartWith({{{{kD1, "n1"}, "a", "x"}, {{kD2, "n2"}, "a", "x"}, {{kD3, "n3"}, "a", "y"}, {{kD4, "n4"}, "a", "z"}}},
            ChainOf({}), 0);
  EXPECT_FALSE(seals_.contains(kD2)) << "it would not be chosen";
  for (const DiskId& disk : {kD1, kD3, kD4}) Sealed(disk, 0, 0);
  EXPECT_EQ(Cas().epochs[0].disks, (std::vector<ReplicaRef>{{kD1, "n1"}, {kD3, "n3"}, {kD4, "n4"}}));

  seals_.clear();
  StartWith({{{{kD1, "n1"}, "a", "", true}, {{kD2, "n2"}, "a"}, {{kD3, "n3"}, "a"}, {{kD4, "n4"}, "a"}}},
            ChainOf({Entry(1, kA1, 1, {kD1, kD2, kD3}, 2)}), 1);
  for (const DiskId& disk : {kD1, kD2, kD3, kD4}) Sealed(disk, 9);
  EXPECT_EQ(Cas().epochs[1].disks, (std::vector<ReplicaRef>{{kD2, "n2"}, {kD3, "n3"}, {kD4, "n4"}}));
}

// It answers the seal though it did not answer who asked whether it lives.
TEST_F(TakeoverTest, AMemberThatIsNoCandidateKeepsItsZone) {
  const CandidateDisk d1{{kD1, "n1"}, "a", "x"}, d2{{kD2, "n2"}, "a", "y"}, d3{{kD3, "n3"}, "a", "x"},
      d4{{kD4, "n4"}, "a", "z"};
  const Chain old = ChainOf({Entry(1, kA1, 1, {kD1, kD2}, 2)});
  StartWith({{d2, d3, d4}, {d1, d2, d3, d4}}, old, 1);
  EXPECT_FALSE(seals_.contains(kD3)) << "it shares a zone with the member that nobody has seen";
  for (const DiskId& disk : {kD1, kD2, kD4}) Sealed(disk, 9);
  EXPECT_EQ(Cas().epochs[1].disks, (std::vector<ReplicaRef>{{kD2, "n2"}, {kD1, "n1"}, {kD4, "n4"}}));

  // Its entry says more than what a candidate of an earlier list was: it drains now.
  seals_.clear();
  StartWith({{d1, d2, d3, d4}, {}}, old, 1);
  CandidateDisk draining = d1;
  draining.draining = true;
  Step(TakeoverCandidates{{d2, d3, d4}, {draining, d2, d3, d4}});
  for (const DiskId& disk : {kD1, kD2, kD3, kD4}) Sealed(disk, 9);
  EXPECT_EQ(Cas().epochs[1].disks, (std::vector<ReplicaRef>{{kD2, "n2"}, {kD3, "n3"}, {kD4, "n4"}}));
}

TEST_F(TakeoverTest, StopsWhenTheChainHasMovedOn) {
  Start(ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2}, 2), 9), Entry(2, AttemptId{0xA, 9}, 10, {kD1, kD2}, 2)}), 1);
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_EQ(out_.result->status.code(), StatusCode::kFenced);
  EXPECT_THAT(out_.result->status.message(), HasSubstr("node9"));
  EXPECT_THAT(out_.seals, IsEmpty());
}

TEST_F(TakeoverTest, AdoptsAnEpochThatIsOursAlready) {
  Start(ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2}, 2), 9), Entry(2, kA2, 10, {kD1, kD2}, 2)}), 1);
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_TRUE(out_.result->status.ok());
  EXPECT_TRUE(out_.result->adopted);
  EXPECT_EQ(out_.result->last_lsn, Lsn(9));
  EXPECT_EQ(out_.result->epoch.epoch, Epoch(2));
  ASSERT_THAT(out_.seals, SizeIs(2));  // tells e1's disks, waits for nobody
  EXPECT_EQ(out_.seals[0].request.epoch, Epoch(1));
  EXPECT_EQ(out_.seals[0].token, 0u);
}

TEST_F(TakeoverTest, LostCasIsRepeatedWithTheSameEndAndNoNewSeal) {
  Start(OpenChain());
  Sealed(kD1, 9);
  Sealed(kD2, 9);
  Sealed(kD3, 9);
  Cas();
  Step(ChainCasDone{cas_, Status(StatusCode::kConflict, ""), 0});
  chain_.version = 8;
  chain_.chain.next_checkpoint_id = 3;
  Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), chain_});
  EXPECT_THAT(out_.seals, IsEmpty());
  const Chain again = Cas();
  EXPECT_EQ(out_.chain_ops[0].expected_version, 8u);
  EXPECT_EQ(again.epochs[0].last_lsn, Lsn(9));
  EXPECT_EQ(again.next_checkpoint_id, 3u);
}

TEST_F(TakeoverTest, LostCasToAnotherOwnerStops) {
  Start(OpenChain());
  Sealed(kD1, 9);
  Sealed(kD2, 9);
  Sealed(kD3, 9);
  Cas();
  Step(ChainCasDone{cas_, Status(StatusCode::kConflict, ""), 0});
  const Chain other = CloseAndOpen(chain_.chain, Lsn(9), Entry(2, AttemptId{0xB, 1}, 10, {kD1, kD2}, 2));
  Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), {6, other}});
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_EQ(out_.result->status.code(), StatusCode::kFenced);
}

TEST_F(TakeoverTest, UnreachableMetadataIsTriedAgainAfterAPause) {
  Start(OpenChain());
  Sealed(kD1, 9);
  Sealed(kD2, 9);
  Sealed(kD3, 9);
  Cas();
  Step(ChainCasDone{cas_, Status(StatusCode::kUnavailable, ""), 0});
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  EXPECT_EQ(out_.wake_at, Ms(50));
  Step(Tick{}, Ms(50));
  EXPECT_EQ(Cas().epochs[0].last_lsn, Lsn(9));
}

TEST_F(TakeoverTest, HigherEpochOnADiskAfterAFreshReadMeansRolledBackMetadata) {
  Start(OpenChain());
  Sealed(kD1, 9, 4);
  ASSERT_THAT(out_.chain_ops, SizeIs(1));  // reads afresh
  Step(ChainReadDone{out_.chain_ops[0].token, Status::Ok(), chain_});
  ASSERT_TRUE(out_.result.has_value());
  EXPECT_EQ(out_.result->status.code(), StatusCode::kDataUnknown);
  EXPECT_THAT(out_.result->status.message(), HasSubstr("rolled back"));

  Start(OpenChain(), 3);  // below what the caller knows
  EXPECT_EQ(out_.result->status.code(), StatusCode::kDataUnknown);
}

TEST_F(TakeoverTest, NothingIsCopiedOfWhatIsTrimmed) {
  Chain chain = OpenChain();
  chain.trim_lsn = Lsn(12);
  chain.checkpoints.push_back({1, Lsn(12), 1, {kD1}});
  Start(chain);
  Fails(kD3, StatusCode::kUnavailable);
  Fails(kD4, StatusCode::kUnavailable);
  Sealed(kD1, 12);
  Sealed(kD2, 9);
  EXPECT_THAT(out_.fetches, IsEmpty());
  const Chain next = Cas();
  ASSERT_THAT(next.epochs, SizeIs(1));  // epoch 1 is trimmed away and leaves
  EXPECT_EQ(next.epochs[0].first_lsn, Lsn(13));
}

}  // namespace
}  // namespace understudy::testing

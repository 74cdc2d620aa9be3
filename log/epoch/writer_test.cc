#include "log/epoch/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/epoch/chain_client.h"
#include "log/epoch/testing/make.h"

namespace understudy::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() { Open({}); }
  void Open(WriterOptions options, int ack_quorum = 2, std::vector<DiskId> disks = {kD1, kD2, kD3}) {
    entry_ = Entry(1, kA1, 1, std::move(disks), ack_quorum);
    writer_ = std::make_unique<Writer>(options, kLog7, entry_, Ms(0));
    Step(Tick{});  // begins: announces the epoch, starts a round
    opening_ = out_.barrier_sends;
    for (const SendAppend& send : Sent()) Ok(send, 0);
  }
  std::vector<SendAppend> Sent() const { return out_.appends; }
  WriterEffects& Step(const WriterInput& input, Instant now = Ms(0)) {
    out_.Clear();
    writer_->Step(input, now, &out_);
    return out_;
  }
  // One batch of `count` records; what was sent for it, by replica.
  std::vector<SendAppend> Append(int count, Instant now = Ms(0)) {
    const uint64_t first = writer_->next_lsn().value();
    Step(WriterAppend{Batch(writer_->epoch().value(), first, first + count - 1)}, now);
    return out_.appends;
  }
  WriterEffects& Answer(const SendAppend& send, StatusCode code, uint64_t tail = 0, Instant now = Ms(0)) {
    return Step(AppendAnswered{send.tag, {code, "", Lsn(tail)}}, now);
  }
  WriterEffects& Ok(const SendAppend& send, uint64_t durable, Instant now = Ms(0)) {
    return Answer(send, StatusCode::kOk, durable, now);
  }
  WriterEffects& Say(const SendBarrier& send, StatusCode code, Instant now = Ms(0)) {
    return Step(BarrierAnswered{send.tag, {code, ""}}, now);
  }
  VersionedChain ChainNow(uint64_t version = 5) const { return {version, ChainOf({entry_})}; }
  // Begins a move and lets it read the chain; the CAS it sends then, if it does.
  std::optional<ChainOp> StartMove(bool handover, std::vector<DiskId> disks = {kD1, kD2, kD3}) {
    WriterMove move;
    move.handover = handover;
    move.owner = {"other", ""};
    move.attempt = kA2;
    move.disks = Entry(2, kA2, 1, std::move(disks), 2).disks;
    move.ack_quorum = 2;
    move.deadline = Ms(1000);
    Step(move);
    EXPECT_THAT(out_.chain_ops, SizeIs(1));
    Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), ChainNow()});
    if (out_.chain_ops.empty()) return std::nullopt;
    return out_.chain_ops.at(0);
  }

  EpochEntry entry_;
  std::unique_ptr<Writer> writer_;
  WriterEffects out_;
  std::vector<SendBarrier> opening_;
};

TEST_F(WriterTest, SendsToAllAndCommitsTheAthLargestTail) {
  const auto sent = Append(3);
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(sent[0].request.epoch_first_lsn, Lsn(1));
  EXPECT_FALSE(Ok(sent[0], 3).commit.has_value());
  EXPECT_EQ(Ok(sent[2], 3).commit, Lsn(3));
  EXPECT_EQ(writer_->commit(), Lsn(3));
  EXPECT_EQ(writer_->unacknowledged_bytes(), 0u);
  EXPECT_GT(writer_->buffered_bytes(), 0u);  // kept for the second replica
  EXPECT_FALSE(Ok(sent[1], 3).commit.has_value());
  EXPECT_EQ(writer_->buffered_bytes(), 0u);
}

TEST_F(WriterTest, CommitRidesOnTheNextAppendOrGoesAloneAfterQuiet) {
  auto sent = Append(1);
  Ok(sent[0], 1);
  Ok(sent[1], 1);
  EXPECT_EQ(out_.wake_at, Ms(1));
  sent = Append(1);
  EXPECT_EQ(sent[0].request.commit, Lsn(1));
  Step(Tick{}, Ms(1));
  EXPECT_THAT(out_.appends, IsEmpty());  // told already
  Ok(sent[0], 2, Ms(1));
  Ok(sent[1], 2, Ms(1));
  Step(Tick{}, Ms(2));
  ASSERT_THAT(out_.appends, SizeIs(3));
  EXPECT_EQ(out_.appends[0].request.batch, nullptr);
  EXPECT_EQ(out_.appends[0].request.commit, Lsn(2));
}

TEST_F(WriterTest, GapIsResentFromOnceHoweverManySaySo) {
  const auto first = Append(1);
  const auto second = Append(1);
  const auto third = Append(1);
  Answer(second[0], StatusCode::kGap, 0);
  ASSERT_THAT(out_.appends, SizeIs(3));  // all three again
  EXPECT_EQ(PeekBatch(*out_.appends[0].request.batch)->first_lsn, Lsn(1));
  const auto again = out_.appends;
  Answer(third[0], StatusCode::kGap, 0);  // of the old round
  EXPECT_THAT(out_.appends, IsEmpty());
  Ok(again[2], 3);
  EXPECT_EQ(writer_->Replicas()[0].durable, Lsn(3));
}

TEST_F(WriterTest, UnreachableReplicaIsAskedForItsTailAndGoesOnFromThere) {
  const auto first = Append(1);
  const auto second = Append(1);
  Ok(first[0], 1);
  Answer(second[0], StatusCode::kOutcomeUnknown);
  EXPECT_FALSE(writer_->Replicas()[0].reachable);
  EXPECT_THAT(Append(1), SizeIs(2));  // not to the one that is away
  Step(Tick{}, Ms(20));
  std::vector<SendAppend> probe;
  for (const SendAppend& send : out_.appends) {
    if (send.tag.replica == 0) probe.push_back(send);
  }
  ASSERT_THAT(probe, SizeIs(1));
  EXPECT_EQ(probe[0].request.batch, nullptr);
  Ok(probe[0], 2, Ms(20));  // it had taken the second after all
  ASSERT_THAT(out_.appends, SizeIs(1));
  EXPECT_EQ(PeekBatch(*out_.appends[0].request.batch)->first_lsn, Lsn(3));
}

TEST_F(WriterTest, SilentReplicaIsProbedAfterTheStallTime) {
  WriterOptions options;
  options.stall_ms = 100;
  options.heartbeat_ms = 10'000;
  Open(options, 1, {kD1});
  Append(1);
  Step(Tick{}, Ms(99));
  EXPECT_THAT(out_.appends, IsEmpty());
  Step(Tick{}, Ms(100));
  ASSERT_THAT(out_.appends, SizeIs(1));
  EXPECT_EQ(out_.appends[0].request.batch, nullptr);
}

TEST_F(WriterTest, DropsADiskWhoseTailGoesBack) {
  const auto first = Append(2);
  Ok(first[0], 2);
  const auto second = Append(1);
  Answer(second[0], StatusCode::kGap, 0);  // sent when it had acknowledged 2
  ASSERT_THAT(out_.dropped, SizeIs(1));
  EXPECT_EQ(out_.dropped[0].disk.disk, kD1);
  Ok(first[1], 2);
  EXPECT_FALSE(out_.commit.has_value());  // what it had said counts no more
  EXPECT_EQ(Ok(first[2], 2).commit, Lsn(2));
}

TEST_F(WriterTest, ReorderedAnswersAreNotTakenForLostData) {
  const auto first = Append(1);
  const auto second = Append(1);
  Ok(second[0], 2);
  Ok(first[0], 1);  // sent before 2 was known
  EXPECT_THAT(out_.dropped, IsEmpty());
  EXPECT_EQ(writer_->Replicas()[0].durable, Lsn(2));
}

TEST_F(WriterTest, DropsTheLaggardWhenTheBufferIsFullButNeverBelowA) {
  WriterOptions options;
  options.buffer_bytes_max = 400;
  Open(options);
  for (int i = 1; i <= 10; ++i) {
    const auto sent = Append(1);
    Ok(sent[0], i);
    Ok(sent[1], i);
  }
  EXPECT_TRUE(writer_->Replicas()[2].dropped);
  EXPECT_LE(writer_->buffered_bytes(), 400u);
  for (int i = 11; i <= 20; ++i) Ok(Append(1)[0], i);  // the second hangs too: its data is needed
  EXPECT_FALSE(writer_->Replicas()[1].dropped);
  EXPECT_EQ(writer_->commit(), Lsn(10));
}

TEST_F(WriterTest, InflightBoundHoldsSendsBack) {
  WriterOptions options;
  options.replica_inflight_bytes_max = 100;
  Open(options, 1, {kD1});
  const auto first = Append(1);
  EXPECT_THAT(first, SizeIs(1));
  EXPECT_THAT(Append(1), IsEmpty());
  Ok(first[0], 1);
  EXPECT_THAT(out_.appends, SizeIs(1));
}

TEST_F(WriterTest, AnswersOfAnotherEpochAreIgnored) {
  auto sent = Append(1);
  sent[0].tag.epoch = Epoch(9);
  Ok(sent[0], 1);
  EXPECT_EQ(writer_->Replicas()[0].durable, Lsn(0));
}

// ---- fencing ----

TEST_F(WriterTest, GoesOnWhileAQuorumIsLeftAndReportsASealWithoutOwner) {
  const auto sent = Append(1);
  Answer(sent[0], StatusCode::kFenced);
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  Step(ChainReadDone{out_.chain_ops[0].token, Status::Ok(), ChainNow()});
  EXPECT_TRUE(out_.seal_without_owner.has_value());
  EXPECT_FALSE(out_.fenced.has_value());
  Ok(sent[1], 1);
  EXPECT_EQ(Ok(sent[2], 1).commit, Lsn(1));
  EXPECT_THAT(Append(1), SizeIs(2));
}

TEST_F(WriterTest, IsOverWhenTheChainNamesAnother) {
  Step(WriterBarrier{77});
  const auto sent = Append(1);
  Answer(sent[0], StatusCode::kFenced);
  const VersionedChain chain{6, CloseAndOpen(ChainOf({entry_}), Lsn(0), Entry(2, kA2, 1, {kD1, kD2}, 2))};
  Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), chain});
  ASSERT_TRUE(out_.fenced.has_value());
  EXPECT_EQ(out_.fenced->owner->attempt, kA2);
  ASSERT_THAT(out_.barriers, SizeIs(1));
  EXPECT_EQ(out_.barriers[0].code, StatusCode::kFenced);
  EXPECT_TRUE(writer_->over());
  EXPECT_FALSE(writer_->MayServe(Ms(0)));
  Ok(sent[1], 1);
  Ok(sent[2], 1);
  EXPECT_EQ(writer_->commit(), Lsn(0));  // nothing is acknowledged any more
}

// ---- barriers ----

TEST_F(WriterTest, BarrierNeedsARoundThatBeganAfterTheCall) {
  Step(WriterBarrier{1});
  EXPECT_THAT(out_.barrier_sends, IsEmpty());  // the opening round is under way: too old
  Say(opening_[0], StatusCode::kOk);
  Say(opening_[1], StatusCode::kOk);
  EXPECT_THAT(out_.barriers, IsEmpty());
  ASSERT_THAT(out_.barrier_sends, SizeIs(3));  // the next one
  const auto round = out_.barrier_sends;
  Step(WriterBarrier{2});
  Step(WriterBarrier{3});
  EXPECT_THAT(out_.barrier_sends, IsEmpty());  // both share the one after
  Say(round[0], StatusCode::kOk);
  Say(opening_[2], StatusCode::kOk);  // of an old round: counts for nothing
  EXPECT_THAT(out_.barriers, IsEmpty());
  Say(round[2], StatusCode::kOk);
  ASSERT_THAT(out_.barriers, SizeIs(1));
  EXPECT_EQ(out_.barriers[0].token, 1u);
  EXPECT_THAT(out_.barrier_sends, SizeIs(3));
}

TEST_F(WriterTest, BarrierWaitsForWhatWasAppendedBefore) {
  Say(opening_[0], StatusCode::kOk);
  Say(opening_[1], StatusCode::kOk);
  const auto sent = Append(1);
  Step(WriterBarrier{1});
  const auto round = out_.barrier_sends;
  Say(round[0], StatusCode::kOk);
  Say(round[1], StatusCode::kOk);
  EXPECT_THAT(out_.barriers, IsEmpty());
  Ok(sent[0], 1);
  EXPECT_THAT(Ok(sent[1], 1).barriers, SizeIs(1));
}

TEST_F(WriterTest, FailedRoundIsRepeated) {
  Say(opening_[0], StatusCode::kOk);
  Say(opening_[1], StatusCode::kOk);
  Step(WriterBarrier{1});
  const auto round = out_.barrier_sends;
  Say(round[0], StatusCode::kUnavailable);
  Say(round[1], StatusCode::kDeadlineExceeded);
  EXPECT_THAT(out_.barriers, IsEmpty());
  Step(Tick{}, Ms(20));
  ASSERT_THAT(out_.barrier_sends, SizeIs(3));
  const auto again = out_.barrier_sends;
  Say(again[0], StatusCode::kOk, Ms(21));
  EXPECT_THAT(Say(again[1], StatusCode::kOk, Ms(21)).barriers, SizeIs(1));
}

TEST_F(WriterTest, IdleReplicaThatWasAwayIsToldTheCommitAgain) {
  const auto sent = Append(1);
  for (const SendAppend& send : sent) Ok(send, 1);
  Step(Tick{}, Ms(1));
  for (const SendAppend& send : Sent()) Ok(send, 1, Ms(1));
  Say(opening_[0], StatusCode::kOutcomeUnknown, Ms(2));
  Step(Tick{}, Ms(22));
  ASSERT_THAT(out_.appends, SizeIs(1));
  EXPECT_EQ(out_.appends[0].tag.replica, 0u);
  EXPECT_EQ(out_.appends[0].request.batch, nullptr);
  EXPECT_EQ(out_.appends[0].request.commit, Lsn(1));
}

TEST_F(WriterTest, SelfFenceCountsFromTheBeginningOfARound) {
  EXPECT_TRUE(writer_->MayServe(Ms(999)));
  EXPECT_FALSE(writer_->MayServe(Ms(1000)));
  Say(opening_[0], StatusCode::kOk, Ms(200));
  Say(opening_[1], StatusCode::kOk, Ms(200));
  EXPECT_FALSE(writer_->MayServe(Ms(1000)));  // that round began at 0
  Step(Tick{}, Ms(250));                      // heartbeat: a round of our own
  const auto round = out_.barrier_sends;
  ASSERT_THAT(round, SizeIs(3));
  Say(round[0], StatusCode::kOk, Ms(300));
  Say(round[1], StatusCode::kOk, Ms(300));
  EXPECT_TRUE(writer_->MayServe(Ms(1249)));
  EXPECT_FALSE(writer_->MayServe(Ms(1250)));
}

// ---- moves ----

TEST_F(WriterTest, RuleFrozenFromTheCasOnNothingIsAcknowledged) {
  Say(opening_[0], StatusCode::kOk);
  Say(opening_[1], StatusCode::kOk);
  auto sent = Append(1);
  Ok(sent[0], 1);
  Ok(sent[1], 1);
  Step(WriterBarrier{9});  // a round begins before the freeze
  const auto round = out_.barrier_sends;
  const auto cas = StartMove(false);
  ASSERT_TRUE(cas.has_value());
  EXPECT_EQ(cas->chain.epochs[0].last_lsn, Lsn(1));
  EXPECT_EQ(cas->chain.epochs[1].first_lsn, Lsn(2));
  EXPECT_TRUE(writer_->frozen());
  sent = Append(1);  // goes on, unacknowledged
  ASSERT_THAT(sent, SizeIs(3));
  for (const SendAppend& send : sent) EXPECT_FALSE(Ok(send, 2).commit.has_value());
  EXPECT_EQ(writer_->commit(), Lsn(1));
  for (const SendBarrier& send : round) EXPECT_THAT(Say(send, StatusCode::kOk).barriers, IsEmpty());
  Step(WriterBarrier{10});
  EXPECT_THAT(out_.barrier_sends, IsEmpty());

  // It landed: sent again in epoch 2, at the same LSN.
  Step(ChainCasDone{cas->token, Status::Ok(), 6});
  ASSERT_TRUE(out_.move.has_value());
  EXPECT_TRUE(out_.move->status.ok());
  EXPECT_EQ(writer_->epoch(), Epoch(2));
  EXPECT_EQ(writer_->next_lsn(), Lsn(3));
  EXPECT_THAT(out_.barriers, IsEmpty());  // what was said during the freeze proves nothing: a round of epoch 2 must
  const auto next_round = out_.barrier_sends;
  ASSERT_THAT(next_round, SizeIs(3));
  sent = out_.appends;
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(PeekBatch(*sent[0].request.batch)->epoch, Epoch(2));
  EXPECT_EQ(PeekBatch(*sent[0].request.batch)->first_lsn, Lsn(2));
  EXPECT_TRUE(VerifyBatch(*sent[0].request.batch).ok());
  Ok(sent[0], 2);
  EXPECT_EQ(Ok(sent[1], 2).commit, Lsn(2));
  Say(next_round[0], StatusCode::kOk);
  EXPECT_THAT(Say(next_round[1], StatusCode::kOk).barriers, SizeIs(2));
}

TEST_F(WriterTest, RuleThawsOnlyWhenTheCasCanNoLongerSucceed) {
  const auto sent = Append(1);
  const auto cas = StartMove(false);
  ASSERT_TRUE(cas.has_value());
  for (const SendAppend& send : sent) Ok(send, 1);
  EXPECT_EQ(writer_->commit(), Lsn(0));
  Step(ChainCasDone{cas->token, Status(StatusCode::kOutcomeUnknown, ""), 0});
  Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), ChainNow()});  // unchanged: settles nothing
  EXPECT_TRUE(writer_->frozen());
  EXPECT_FALSE(out_.commit.has_value());
  const ChainOp noop = out_.chain_ops.at(0);
  Step(ChainCasDone{noop.token, Status::Ok(), 6});  // now it cannot; the next try goes out at once, based on version 6
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  EXPECT_EQ(out_.chain_ops[0].expected_version, 6u);
  EXPECT_TRUE(writer_->frozen());
  Step(ChainCasDone{out_.chain_ops[0].token, Status(StatusCode::kUnavailable, "never sent"), 0});
  EXPECT_FALSE(writer_->frozen());
  EXPECT_EQ(out_.commit, Lsn(1));
  ASSERT_TRUE(out_.move.has_value());
  EXPECT_EQ(out_.move->status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(writer_->epoch(), Epoch(1));
}

TEST_F(WriterTest, HandoverDrainsFirst) {
  const auto sent = Append(1);
  EXPECT_FALSE(StartMove(true).has_value());
  EXPECT_FALSE(writer_->accepting());
  EXPECT_FALSE(writer_->frozen());
  Ok(sent[0], 1);
  Ok(sent[1], 1);  // drained
  EXPECT_EQ(out_.commit, Lsn(1));
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  EXPECT_TRUE(writer_->frozen());
  EXPECT_FALSE(writer_->MayServe(Ms(0)));
}

TEST_F(WriterTest, HandoverWithTheChainInHandReadsItNoMore) {
  WriterMove move;
  move.handover = true;
  move.owner = {"other", ""};
  move.attempt = kA2;
  move.disks = entry_.disks;
  move.base = ChainNow(9);
  const auto sent = Append(1);
  Step(move);
  EXPECT_THAT(out_.chain_ops, IsEmpty()) << "drains first";
  Ok(sent[0], 1);
  Ok(sent[1], 1);
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  EXPECT_EQ(out_.chain_ops[0].kind, ChainOp::Kind::kCas);
  EXPECT_EQ(out_.chain_ops[0].expected_version, 9u);
}

TEST_F(WriterTest, HandoverThatDrainsWhileASealIsLookedIntoWaitsForThatLook) {
  const auto sent = Append(1);
  EXPECT_FALSE(StartMove(true).has_value());
  Answer(sent[2], StatusCode::kFenced);
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  const Token look = out_.chain_ops[0].token;
  Ok(sent[0], 1);
  Ok(sent[1], 1);  // drained
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  EXPECT_FALSE(writer_->frozen());
  Step(ChainReadDone{look, Status::Ok(), ChainNow(6)});
  ASSERT_THAT(out_.chain_ops, SizeIs(1));
  EXPECT_EQ(out_.chain_ops[0].expected_version, 6u);
  EXPECT_TRUE(writer_->frozen());
}

TEST_F(WriterTest, ChainInHandThatNamesAnotherOwnerFences) {
  WriterMove move;
  move.handover = true;
  move.attempt = kA2;
  move.disks = entry_.disks;
  EpochEntry other = entry_;
  other.attempt = {3, 3};
  move.base = VersionedChain{9, ChainOf({other})};
  Step(move);
  EXPECT_TRUE(out_.fenced.has_value());
  EXPECT_FALSE(out_.move->status.ok());
  EXPECT_TRUE(writer_->over());
}

TEST_F(WriterTest, HandoverEndsTheWriterAndTellsTheSpare) {
  Step(WriterMirror{true});
  Step(WriterBarrier{5});
  const auto cas = StartMove(true);
  ASSERT_TRUE(cas.has_value());
  Step(ChainCasDone{cas->token, Status::Ok(), 6});
  EXPECT_TRUE(out_.move->status.ok());
  ASSERT_TRUE(out_.fenced.has_value());
  EXPECT_EQ(out_.fenced->owner->attempt, kA2);
  EXPECT_EQ(out_.barriers.at(0).code, StatusCode::kCancelled);
  ASSERT_THAT(out_.mirror, SizeIs(1));
  EXPECT_EQ(out_.mirror[0].next_owner, kA2);
  EXPECT_TRUE(writer_->over());
}

TEST_F(WriterTest, SaysSinceWhenAReplicaDoesNotKeepUp) {
  for (const SendBarrier& send : opening_) Say(send, StatusCode::kOk);
  EXPECT_EQ(writer_->Replicas()[0].well_at, Ms(0));
  const auto sent = Append(1, Ms(100));
  Ok(sent[0], 1, Ms(110));
  Ok(sent[1], 1, Ms(120));
  EXPECT_EQ(writer_->Replicas()[1].well_at, Ms(120));
  Step(Tick{}, Ms(300));
  const std::vector<SendBarrier> round = out_.barrier_sends;
  ASSERT_THAT(round, SizeIs(3));
  for (const SendBarrier& send : round) Say(send, StatusCode::kOk, Ms(310));
  EXPECT_EQ(writer_->Replicas()[0].well_at, Ms(310)) << "it lacks nothing and answers";
  EXPECT_EQ(writer_->Replicas()[2].well_at, Ms(0)) << "it answers, but lacks what is committed: its disk may hang";
  Ok(sent[2], 1, Ms(320));
  EXPECT_EQ(writer_->Replicas()[2].well_at, Ms(320));
}

TEST_F(WriterTest, HandoverThatDoesNotDrainInTimeIsGivenUp) {
  Append(1);
  EXPECT_FALSE(StartMove(true).has_value());
  Step(Tick{}, Ms(1000));
  ASSERT_TRUE(out_.move.has_value());
  EXPECT_EQ(out_.move->status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(writer_->accepting());
}

TEST_F(WriterTest, ChainThatComesAfterAGivenUpMoveChangesNothing) {
  Append(1);
  WriterMove move;
  move.handover = true;
  move.attempt = kA2;
  move.disks = entry_.disks;
  move.deadline = Ms(1000);
  Step(move);
  const Token read = out_.chain_ops.at(0).token;
  Step(Tick{}, Ms(1000));
  EXPECT_EQ(out_.move->status.code(), StatusCode::kDeadlineExceeded);
  Step(ChainReadDone{read, Status::Ok(), ChainNow()}, Ms(1001));
  EXPECT_FALSE(out_.seal_without_owner.has_value());
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  EXPECT_FALSE(writer_->frozen());
}

TEST_F(WriterTest, MoveThatLosesToATakeoverEndsTheWriter) {
  const auto cas = StartMove(false);
  ASSERT_TRUE(cas.has_value());
  Step(ChainCasDone{cas->token, Status(StatusCode::kConflict, ""), 0});
  const AttemptId other{0xB, 1};
  const VersionedChain chain{6, CloseAndOpen(ChainOf({entry_}), Lsn(0), Entry(2, other, 1, {kD1, kD2}, 2))};
  Step(ChainReadDone{out_.chain_ops.at(0).token, Status::Ok(), chain});
  EXPECT_EQ(out_.move->status.code(), StatusCode::kConflict);
  EXPECT_EQ(out_.fenced->owner->attempt, other);
}

TEST_F(WriterTest, MirrorGetsWhatIsUnacknowledgedFirstAndThenEverything) {
  const auto sent = Append(2);
  Step(WriterMirror{true});
  ASSERT_THAT(out_.mirror, SizeIs(1));
  EXPECT_EQ(PeekBatch(*out_.mirror[0].batch)->first_lsn, Lsn(1));
  Append(1);
  ASSERT_THAT(out_.mirror, SizeIs(1));
  EXPECT_EQ(PeekBatch(*out_.mirror[0].batch)->first_lsn, Lsn(3));
  Ok(sent[0], 2);
  Ok(sent[1], 2);
  Step(Tick{}, Ms(2));
  ASSERT_THAT(out_.mirror, SizeIs(1));
  EXPECT_EQ(out_.mirror[0].batch, nullptr);
  EXPECT_EQ(out_.mirror[0].commit, Lsn(2));
  Step(MirrorBroken{});
  Append(1);
  EXPECT_THAT(out_.mirror, IsEmpty());
}

}  // namespace
}  // namespace understudy::testing

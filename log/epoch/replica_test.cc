#include "log/epoch/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/epoch/testing/make.h"

namespace understudy::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class ReplicaTest : public ::testing::Test {
 protected:
  ReplicaTest() { Open({}); }
  void Open(ReplicaOptions options) {
    options.disk = kD1;
    replica_ = std::make_unique<Replica>(options);
  }
  ReplicaEffects& Step(const ReplicaInput& input, Instant now = Ms(0)) {
    out_.Clear();
    replica_->Step(input, now, &out_);
    return out_;
  }
  static AppendRequest Request(uint64_t epoch, BatchRef batch, uint64_t commit = 0, uint64_t epoch_first = 1,
                               AttemptId attempt = kA1) {
    return {kLog7, kD1, Epoch(epoch), attempt, Lsn(epoch_first), Lsn(commit), std::move(batch)};
  }
  ReplicaEffects& Append(Token token, uint64_t epoch, uint64_t first, uint64_t last, uint64_t commit = 0,
                         uint64_t epoch_first = 1, AttemptId attempt = kA1) {
    return Step(ReplicaAppend{token, Request(epoch, Batch(epoch, first, last), commit, epoch_first, attempt), {}});
  }
  ReplicaEffects& Seal(Token token, uint64_t epoch) { return Step(ReplicaSeal{token, {kLog7, kD1, Epoch(epoch)}}); }
  ReplicaEffects& Read(Token token, uint64_t epoch, uint64_t from, uint64_t to, uint32_t wait_ms, Instant now = Ms(0)) {
    return Step(ReplicaRead{token, {kLog7, kD1, Epoch(epoch), Lsn(from), Lsn(to), 1u << 20, wait_ms}}, now);
  }
  StatusCode OnlyAppendCode() {
    EXPECT_THAT(out_.appends, SizeIs(1));
    return out_.appends.empty() ? StatusCode::kInternal : out_.appends[0].response.code;
  }

  std::unique_ptr<Replica> replica_;
  ReplicaEffects out_;
};

TEST_F(ReplicaTest, RuleNeverAnswersAnAppendBeforeTheFsync) {
  Append(1, 1, 1, 3);
  EXPECT_THAT(out_.appends, IsEmpty());
  ASSERT_THAT(out_.persist, SizeIs(1));
  EXPECT_EQ(out_.persist[0].first_lsn, Lsn(1));
  EXPECT_EQ(out_.persist[0].last_lsn, Lsn(3));
  Append(2, 1, 4, 4);
  EXPECT_THAT(out_.appends, IsEmpty());
  Step(Persisted{1});
  ASSERT_THAT(out_.appends, SizeIs(1));
  EXPECT_EQ(out_.appends[0].token, 1u);
  EXPECT_EQ(out_.appends[0].response.durable_tail, Lsn(3));
  Step(Persisted{2});
  ASSERT_THAT(out_.appends, SizeIs(1));
  EXPECT_EQ(out_.appends[0].response.durable_tail, Lsn(4));
}

TEST_F(ReplicaTest, GapNamesTheTailAndHeartbeatsTheDurableOne) {
  Append(1, 1, 1, 3);
  Append(2, 1, 6, 6);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kGap);
  EXPECT_EQ(out_.appends[0].response.durable_tail, Lsn(3));  // taken, if not durable: resend from 4
  Step(ReplicaAppend{3, Request(1, nullptr), {}});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kOk);
  EXPECT_EQ(out_.appends[0].response.durable_tail, Lsn(0));
}

TEST_F(ReplicaTest, NewEpochStartsAtItsFirstLsn) {
  Append(1, 2, 12, 12, 0, 11);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kGap);
  EXPECT_EQ(out_.appends[0].response.durable_tail, Lsn(10));
  Append(2, 2, 11, 12, 0, 11);
  EXPECT_THAT(out_.persist, SizeIs(1));
}

TEST_F(ReplicaTest, DuplicateInFlightIsAnsweredWithTheOriginal) {
  Append(1, 1, 1, 3);
  Append(2, 1, 1, 3);
  EXPECT_THAT(out_.appends, IsEmpty());
  EXPECT_THAT(out_.persist, IsEmpty());
  Step(Persisted{1});
  EXPECT_THAT(out_.appends, SizeIs(2));
}

TEST_F(ReplicaTest, DuplicateOfTheStoredIsComparedFirst) {
  Append(1, 1, 1, 3);
  Step(Persisted{1});
  Append(2, 1, 1, 3);
  EXPECT_THAT(out_.appends, IsEmpty());
  ASSERT_THAT(out_.compare, SizeIs(1));
  EXPECT_EQ(out_.compare[0].crc, PeekBatch(*Batch(1, 1, 3))->crc);
  Step(Compared{2, Compared::Outcome::kSame});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kOk);
  Append(3, 1, 1, 3);
  Step(Compared{3, Compared::Outcome::kDifferent});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kConflict);
  Append(4, 1, 1, 3);
  Step(Compared{4, Compared::Outcome::kUnknown});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kDataUnknown);
}

TEST_F(ReplicaTest, OtherBytesAtTheSameLsnConflict) {
  Append(1, 1, 1, 3);
  Step(ReplicaAppend{2, Request(1, Batch(1, 1, 3, "other")), {}});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kConflict);
  Step(ReplicaAppend{3, Request(1, Batch(1, 2, 4)), {}});  // framing never changes either
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kConflict);
  Append(4, 1, 4, 4, 0, 1, kA2);  // an epoch has one writer
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kConflict);
}

TEST_F(ReplicaTest, DamagedBatchesAreRefused) {
  std::string bytes = *Batch(1, 1, 1);
  bytes.back() ^= 1;
  Step(ReplicaAppend{1, Request(1, std::make_shared<const std::string>(bytes)), {}});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kCorruption);
  Step(ReplicaAppend{2, Request(1, Batch(2, 1, 1)), {}});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kInvalidArgument);
}

TEST_F(ReplicaTest, RuleWipedServerNeverPassesForAnEmptyOne) {
  AppendRequest request = Request(1, Batch(1, 1, 1));
  request.disk = kD2;
  Step(ReplicaAppend{1, request, {}});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kWrongDisk);
  Step(ReplicaSeal{2, {kLog7, kD2, Epoch(1)}});
  EXPECT_EQ(out_.seals.at(0).response.code, StatusCode::kWrongDisk);
  Step(ReplicaBarrier{3, {kLog7, kD2, Epoch(1)}});
  EXPECT_EQ(out_.barriers.at(0).response.code, StatusCode::kWrongDisk);
  Step(ReplicaRead{4, {kLog7, kD2, Epoch(1), Lsn(1), Lsn(1), 1, 0}});
  EXPECT_EQ(out_.reads.at(0).response.code, StatusCode::kWrongDisk);
}

TEST_F(ReplicaTest, RuleSealIsAnsweredOnlyOnceDurableAndAfterWhatWasOnItsWay) {
  Append(1, 1, 1, 3);
  Seal(2, 1);
  EXPECT_THAT(out_.seals, IsEmpty());
  ASSERT_THAT(out_.persist, SizeIs(1));
  EXPECT_EQ(out_.persist[0].kind, PersistEntry::Kind::kSeal);
  EXPECT_EQ(out_.persist[0].sealed_epoch, Epoch(1));
  Append(3, 1, 4, 4);  // in force at once
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kFenced);
  Step(Persisted{1});
  EXPECT_THAT(out_.seals, IsEmpty());
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kOk);  // on its way before the seal: finished, and in the tail
  Step(Persisted{2});
  ASSERT_THAT(out_.seals, SizeIs(1));
  EXPECT_EQ(out_.seals[0].response.tail, Lsn(3));
  EXPECT_EQ(out_.seals[0].response.highest_epoch, Epoch(1));
  Seal(4, 1);  // durable already
  EXPECT_THAT(out_.seals, SizeIs(1));
  EXPECT_THAT(out_.persist, IsEmpty());
}

TEST_F(ReplicaTest, SealsALogItHasNeverHeardOf) {
  Seal(1, 4);
  Step(Persisted{1});
  EXPECT_EQ(out_.seals.at(0).response.tail, Lsn(0));
  Append(2, 4, 1, 1);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kFenced);
  Append(3, 5, 1, 1);
  EXPECT_THAT(out_.persist, SizeIs(1));
}

TEST_F(ReplicaTest, FirstAppendOfAnEpochSealsAllLowerOnesInTheSameEntry) {
  Append(1, 1, 1, 3);
  Append(2, 3, 4, 4, 0, 4, kA2);
  ASSERT_THAT(out_.persist, SizeIs(1));
  EXPECT_EQ(out_.persist[0].sealed_epoch, Epoch(2));
  Append(3, 1, 4, 4);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kFenced);
  Append(4, 2, 4, 4, 0, 4, kA1);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kFenced);
}

TEST_F(ReplicaTest, BarrierSaysWhetherTheEpochIsSealed) {
  Step(ReplicaBarrier{1, {kLog7, kD1, Epoch(1)}});
  EXPECT_EQ(out_.barriers.at(0).response.code, StatusCode::kOk);
  Seal(2, 1);  // not durable yet, refused already
  Step(ReplicaBarrier{3, {kLog7, kD1, Epoch(1)}});
  EXPECT_EQ(out_.barriers.at(0).response.code, StatusCode::kFenced);
  Step(ReplicaBarrier{4, {kLog7, kD1, Epoch(2)}});
  EXPECT_EQ(out_.barriers.at(0).response.code, StatusCode::kOk);
}

TEST_F(ReplicaTest, RuleRetiredDiskAnswersNoAppendSealOrBarrier) {
  Append(1, 1, 1, 3);
  Step(Persisted{1});
  Append(2, 1, 4, 4);
  Step(RetireDisk{});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kDataUnknown);  // what was on its way is answered too
  Append(3, 1, 4, 4);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kDataUnknown);
  Seal(4, 1);
  EXPECT_EQ(out_.seals.at(0).response.code, StatusCode::kDataUnknown);
  Step(ReplicaBarrier{5, {kLog7, kD1, Epoch(1)}});
  EXPECT_EQ(out_.barriers.at(0).response.code, StatusCode::kDataUnknown);
  Read(6, 1, 1, 0, 0);
  EXPECT_EQ(out_.reads.at(0).response.code, StatusCode::kDataUnknown);
  Read(7, 1, 1, 3, 0);  // what it holds, to who names the end
  EXPECT_THAT(out_.serve, SizeIs(1));
  Read(8, 1, 4, 4, 0);  // and it cannot say that it lacks something
  EXPECT_EQ(out_.reads.at(0).response.code, StatusCode::kDataUnknown);
}

TEST_F(ReplicaTest, RuleCommitOfAnEpochReleasesThatEpochOnly) {
  Append(1, 1, 1, 3);
  Append(2, 2, 3, 5, 4, 3, kA2);  // e1 was closed at 2: its LSN 3 is garbage, whatever the commit of e2
  Step(Persisted{2});
  Read(3, 1, 1, 0, 0);
  EXPECT_THAT(out_.serve, IsEmpty());
  Read(4, 2, 3, 0, 0);
  ASSERT_THAT(out_.serve, SizeIs(1));
  EXPECT_EQ(out_.serve[0].to, Lsn(4));
  Read(5, 1, 1, 2, 0);  // the reader knows the chain
  ASSERT_THAT(out_.serve, SizeIs(1));
  EXPECT_EQ(out_.serve[0].to, Lsn(2));
}

TEST_F(ReplicaTest, ReadsWaitAtTheTailForTheCommit) {
  Append(1, 1, 1, 3);
  Step(Persisted{1});
  Read(2, 1, 1, 0, 100);
  EXPECT_THAT(out_.serve, IsEmpty());
  EXPECT_THAT(out_.reads, IsEmpty());
  EXPECT_EQ(out_.wake_at, Ms(100));
  Append(3, 1, 4, 4, 3);  // carries the commit
  ASSERT_THAT(out_.serve, SizeIs(1));
  EXPECT_EQ(out_.serve[0].token, 2u);
  EXPECT_EQ(out_.serve[0].to, Lsn(3));
  EXPECT_EQ(out_.serve[0].commit, Lsn(3));

  Read(4, 1, 4, 0, 100, Ms(200));
  Step(Tick{}, Ms(299));
  EXPECT_THAT(out_.reads, IsEmpty());
  Step(Tick{}, Ms(300));
  ASSERT_THAT(out_.reads, SizeIs(1));
  EXPECT_EQ(out_.reads[0].response.code, StatusCode::kOk);  // empty: look at the chain

  Read(5, 1, 4, 0, 100, Ms(400));
  Seal(6, 1);
  EXPECT_THAT(out_.reads, SizeIs(1));  // nothing more comes: do not wait
}

TEST_F(ReplicaTest, WhatIsNotDurableIsNotServed) {
  Append(1, 1, 1, 3);
  Step(ReplicaAppend{2, Request(1, nullptr, 3), {}});
  Read(3, 1, 1, 0, 0);
  EXPECT_THAT(out_.serve, IsEmpty());
  Read(4, 1, 1, 3, 0);
  EXPECT_EQ(out_.reads.at(0).response.code, StatusCode::kShort);
}

TEST_F(ReplicaTest, TrimIsDurableBeforeItIsAnsweredAndKeepsTheTail) {
  Append(1, 1, 1, 3);
  Step(Persisted{1});
  Step(ReplicaTrim{2, {kLog7, kD1, Lsn(3)}});
  EXPECT_THAT(out_.trims, IsEmpty());
  Step(Persisted{2});
  EXPECT_THAT(out_.trims, SizeIs(1));
  Read(3, 1, 2, 0, 0);
  EXPECT_EQ(out_.reads.at(0).response.code, StatusCode::kTrimmed);
  EXPECT_EQ(out_.reads.at(0).response.trim, Lsn(3));
  Seal(4, 1);
  Step(Persisted{3});
  EXPECT_EQ(out_.seals.at(0).response.tail, Lsn(3));
}

TEST_F(ReplicaTest, FullDiskRefusesAppendsAndNothingElse) {
  Append(1, 1, 1, 3);
  Step(Persisted{1});
  const Status full(StatusCode::kResourceExhausted, "disk full");
  Step(ReplicaAppend{2, Request(1, Batch(1, 4, 4)), full});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kResourceExhausted);
  EXPECT_EQ(out_.appends[0].response.detail, "disk full");
  Step(ReplicaAppend{3, Request(1, Batch(1, 9, 9)), full});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kGap);
  Seal(4, 1);
  Step(Persisted{2});
  EXPECT_THAT(out_.seals, SizeIs(1));
}

TEST_F(ReplicaTest, RefusedJournalEntryTakesWhatFollowsWithIt) {
  Append(1, 1, 1, 1);
  Append(2, 1, 2, 2);
  Append(3, 1, 3, 3);
  Append(4, 1, 3, 3);  // a duplicate waits for it
  Seal(5, 1);
  Step(PersistFailed{2, {StatusCode::kResourceExhausted, "disk full"}});
  EXPECT_THAT(out_.appends, SizeIs(3));
  for (const auto& reply : out_.appends) EXPECT_EQ(reply.response.code, StatusCode::kResourceExhausted);
  Step(Persisted{4});
  ASSERT_THAT(out_.appends, SizeIs(1));
  EXPECT_EQ(out_.appends[0].token, 1u);
  EXPECT_EQ(out_.seals.at(0).response.tail, Lsn(1));
}

TEST_F(ReplicaTest, NothingIsAcknowledgedAfterAFailedSync) {
  Append(1, 1, 1, 1);
  Seal(2, 1);
  Step(DiskFailed{Status(StatusCode::kIoError, "fsync")});
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kIoError);
  EXPECT_EQ(out_.seals.at(0).response.code, StatusCode::kDataUnknown);
  Step(Persisted{2});
  EXPECT_THAT(out_.appends, IsEmpty());
  Append(3, 2, 2, 2);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kIoError);
}

TEST_F(ReplicaTest, RestoresSealsTailsAndTrims) {
  replica_->Restore({kLog7, Epoch(2), Lsn(4), {{Epoch(2), kA1, Lsn(1), Lsn(9)}, {Epoch(3), kA2, Lsn(10), Lsn(12)}}});
  EXPECT_EQ(replica_->StatusOf(kLog7, Ms(0)).writer_age_ms, -1);
  Append(1, 2, 10, 10);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kFenced);
  Append(2, 3, 14, 14, 0, 10, kA2);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kGap);
  EXPECT_EQ(out_.appends[0].response.durable_tail, Lsn(12));
  Append(3, 3, 13, 13, 0, 10, kA1);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kConflict);
  Read(4, 2, 4, 9, 0);
  EXPECT_EQ(out_.reads.at(0).response.code, StatusCode::kTrimmed);
  Read(5, 2, 5, 9, 0);
  EXPECT_THAT(out_.serve, SizeIs(1));
}

TEST_F(ReplicaTest, WriterAgeIsSinceItsLastWord) {
  Append(1, 1, 1, 1);
  EXPECT_EQ(replica_->StatusOf(kLog7, Ms(70)).writer_age_ms, 70);
  Step(ReplicaAppend{2, Request(1, nullptr), {}}, Ms(100));
  EXPECT_EQ(replica_->StatusOf(kLog7, Ms(110)).writer_age_ms, 10);
  Step(ReplicaBarrier{3, {kLog7, kD1, Epoch(1)}}, Ms(200));
  EXPECT_EQ(replica_->StatusOf(kLog7, Ms(205)).writer_age_ms, 5);
}

TEST_F(ReplicaTest, BoundsWhatComesFromOutside) {
  ReplicaOptions options;
  options.logs_max = 1;
  options.epochs_per_log_max = 1;
  options.parked_reads_max = 1;
  Open(options);
  Append(1, 1, 1, 1);
  Step(ReplicaSeal{2, {LogId(8), kD1, Epoch(1)}});
  EXPECT_EQ(out_.seals.at(0).response.code, StatusCode::kResourceExhausted);
  Append(3, 2, 2, 2, 0, 2, kA2);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kResourceExhausted);
  Read(4, 1, 1, 0, 1000);
  Read(5, 1, 1, 0, 1000);
  EXPECT_THAT(out_.reads, SizeIs(1));
}

// ---- fetch ----

class ReplicaFetchTest : public ReplicaTest {
 protected:
  ReplicaEffects& Fetch(uint64_t to, uint64_t trim = 0) {
    return Step(ReplicaFetch{50, {kLog7, kD1, Epoch(1), Lsn(1), Lsn(to), Lsn(trim), {{kD2, "a"}, {kD3, "b"}}}});
  }
  ReplicaEffects& Answer(const std::string& batches, StatusCode code = StatusCode::kOk) {
    FetchReadDone done{read_, {}};
    done.response.code = code;
    done.response.batches = batches;
    return Step(done);
  }
  void ExpectRead(const DiskId& source, uint64_t from) {
    ASSERT_THAT(out_.fetch_reads, SizeIs(1));
    EXPECT_EQ(out_.fetch_reads[0].source.disk, source);
    EXPECT_EQ(out_.fetch_reads[0].request.from, Lsn(from));
    read_ = out_.fetch_reads[0].token;
  }
  Token read_ = 0;
};

TEST_F(ReplicaFetchTest, SealsCopiesAndAnswersOnceDurable) {
  Append(1, 1, 1, 2);
  Step(Persisted{1});
  Fetch(5);
  ASSERT_THAT(out_.persist, SizeIs(1));
  EXPECT_EQ(out_.persist[0].kind, PersistEntry::Kind::kSeal);
  Append(2, 1, 3, 3);
  EXPECT_EQ(OnlyAppendCode(), StatusCode::kFenced);
  Step(Persisted{2});
  ExpectRead(kD2, 3);
  Answer(*Batch(1, 3, 3) + *Batch(1, 4, 5));
  ASSERT_THAT(out_.persist, SizeIs(2));
  EXPECT_EQ(out_.persist[1].kind, PersistEntry::Kind::kFetched);
  EXPECT_THAT(out_.fetches, IsEmpty());
  Step(Persisted{3});
  EXPECT_THAT(out_.fetches, IsEmpty());
  Step(Persisted{4});
  ASSERT_THAT(out_.fetches, SizeIs(1));
  EXPECT_EQ(out_.fetches[0].response.code, StatusCode::kOk);
  EXPECT_EQ(out_.fetches[0].response.tail, Lsn(5));
  Read(3, 1, 1, 0, 0);
  EXPECT_THAT(out_.serve, IsEmpty());  // a copy never raises a commit
}

TEST_F(ReplicaFetchTest, GoesToTheNextSourceAndGivesUpInTheEnd) {
  Fetch(2);
  Step(Persisted{1});
  ExpectRead(kD2, 1);
  std::string damaged = *Batch(1, 1, 2);
  damaged.back() ^= 1;
  Answer(damaged);
  EXPECT_THAT(out_.persist, IsEmpty());
  ExpectRead(kD3, 1);
  Answer(*Batch(2, 1, 2));  // of another epoch
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT(out_.fetch_reads, SizeIs(1)) << i;
    read_ = out_.fetch_reads[0].token;
    Answer("", StatusCode::kShort);
  }
  ASSERT_THAT(out_.fetches, SizeIs(1));
  EXPECT_EQ(out_.fetches[0].response.code, StatusCode::kNotFound) << "both said at last that they lack it";
}

TEST_F(ReplicaFetchTest, AReadThatFailedDeniesNothing) {
  Fetch(2);
  Step(Persisted{1});
  for (int i = 0; i < 6; ++i) {
    ASSERT_THAT(out_.fetch_reads, SizeIs(1)) << i;
    read_ = out_.fetch_reads[0].token;
    Answer("", i == 4 ? StatusCode::kUnavailable : i % 2 == 0 ? StatusCode::kShort : StatusCode::kDataUnknown);
  }
  ASSERT_THAT(out_.fetches, SizeIs(1));
  EXPECT_EQ(out_.fetches[0].response.code, StatusCode::kUnavailable);
}

TEST_F(ReplicaFetchTest, JumpsOverWhatIsTrimmed) {
  Fetch(8, 5);
  ASSERT_THAT(out_.persist, SizeIs(2));
  EXPECT_EQ(out_.persist[1].kind, PersistEntry::Kind::kTrim);
  Step(Persisted{2});
  ExpectRead(kD2, 6);
  Answer(*Batch(1, 4, 8));  // cut in the middle of a batch: it comes whole
  Step(Persisted{3});
  ASSERT_THAT(out_.fetches, SizeIs(1));
  EXPECT_EQ(out_.fetches[0].response.tail, Lsn(8));
}

TEST_F(ReplicaFetchTest, RefusesAHoleAndWhatIsTooMuch) {
  Fetch(3);
  Step(Persisted{1});
  ExpectRead(kD2, 1);
  Answer(*Batch(1, 2, 3));
  EXPECT_THAT(out_.persist, IsEmpty());
  ExpectRead(kD3, 1);
  Answer(*Batch(1, 1, 4));
  EXPECT_THAT(out_.persist, IsEmpty());
}

}  // namespace
}  // namespace understudy::testing

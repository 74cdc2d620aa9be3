// Each checker, seen at work: what it must let pass, and what it must call broken.
#include "tests/sim/oracle.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>

namespace understudy::sim {
namespace {

const LogId kLog = LogId(1);
constexpr AttemptId kA{0xA, 1};
constexpr AttemptId kB{0xB, 1};

DiskId D(uint64_t n) { return {n, 1}; }

class FakeHoldings : public Holdings {
 public:
  const std::vector<Stored>* Find(const DiskId& disk, LogId, Epoch epoch) const override {
    if (lost.contains(disk)) return nullptr;
    const auto found = held.find({disk, epoch});
    return found == held.end() ? &nothing : &found->second;
  }
  bool HoldsCheckpoint(const DiskId& disk, LogId, uint64_t id) const override {
    return !lost.contains(disk) && checkpoints.contains({disk, id});
  }
  // `disk` holds records [first, last] of `epoch`, with payload 100 + LSN + salt.
  void Put(uint64_t disk, uint64_t epoch, uint64_t first, uint64_t last, uint64_t salt = 0) {
    BatchBuilder batch;
    for (uint64_t lsn = first; lsn <= last; ++lsn) batch.Add(EncodePayload(100 + lsn + salt, 0), 0);
    held[{D(disk), Epoch(epoch)}].push_back(
        {Lsn(first), Lsn(last), std::make_shared<const std::string>(batch.Finish(kLog, Epoch(epoch), Lsn(first)))});
  }

  std::map<std::pair<DiskId, Epoch>, std::vector<Stored>> held;
  std::set<DiskId> lost;
  std::set<std::pair<DiskId, uint64_t>> checkpoints;
  std::vector<Stored> nothing;
};

class OracleTest : public ::testing::Test {
 protected:
  OracleTest() : oracle_(&disks_) {
    chain_.version = 1;
    chain_.chain.log = kLog;
    chain_.chain.name = "log";
    chain_.chain.replicas_target = 3;
    chain_.chain.ack_quorum = 2;
    oracle_.AddLog(chain_);
    Open(1, kA, 1);
  }
  void Open(uint64_t epoch, const AttemptId& attempt, uint64_t first) {
    EpochEntry entry;
    entry.epoch = Epoch(epoch);
    entry.attempt = attempt;
    entry.owner = {"w", ""};
    entry.first_lsn = Lsn(first);
    entry.disks = {{D(1), "n1"}, {D(2), "n2"}, {D(3), "n3"}};
    entry.ack_quorum = 2;
    chain_.chain.epochs.push_back(entry);
    Tell();
  }
  void CloseAt(uint64_t last, uint64_t epoch, const AttemptId& attempt) {
    chain_.chain.epochs.back().last_lsn = Lsn(last);
    Open(epoch, attempt, last + 1);
  }
  void Tell() {
    ++chain_.version;
    oracle_.OnChain(chain_);
  }
  // The writer of `epoch` acknowledges [first, last], which A disks hold.
  void Ack(uint64_t epoch, const AttemptId& attempt, uint64_t first, uint64_t last) {
    disks_.Put(1, epoch, first, last);
    disks_.Put(2, epoch, first, last);
    oracle_.OnCommit(kLog, Epoch(epoch), Lsn(first - 1), Lsn(last), "w");
    for (uint64_t lsn = first; lsn <= last; ++lsn) {
      oracle_.OnAcked(kLog, Epoch(epoch), attempt, Lsn(lsn), 100 + lsn, "w");
    }
  }
  void Expect(Rule rule) {
    ASSERT_TRUE(oracle_.finding().has_value());
    EXPECT_EQ(std::string(RuleName(oracle_.finding()->rule)), RuleName(rule)) << oracle_.finding()->text;
  }
  void ExpectFine() {
    EXPECT_FALSE(oracle_.finding().has_value()) << RuleName(oracle_.finding()->rule) << oracle_.finding()->text;
  }

  FakeHoldings disks_;
  Oracle oracle_;
  VersionedChain chain_;
};

TEST_F(OracleTest, AnOrdinaryLifeIsFine) {
  Ack(1, kA, 1, 5);
  disks_.Put(1, 1, 6, 6);
  CloseAt(6, 2, kB);
  Ack(2, kB, 7, 8);
  uint64_t state = 0;
  for (uint64_t lsn = 1; lsn <= 8; ++lsn) {
    state = NextState(state, Lsn(lsn), 100 + lsn);
    oracle_.OnApplied(kLog, Lsn(lsn), Lsn(lsn), 100 + lsn, state, "spare");
  }
  EXPECT_EQ(oracle_.state(kLog, Lsn(8)), state);
  oracle_.OnBarrier(kLog, false, Lsn(8), Lsn(8), "w");
  oracle_.Audit();
  EXPECT_EQ(oracle_.settled(kLog), Lsn(8));
  ExpectFine();
}

class LossTest : public OracleTest {
 protected:
  // Records 1 to 5 are acknowledged; then disks 1 and 2 are lost, and the third holds three of them.
  LossTest() {
    Ack(1, kA, 1, 5);
    disks_.Put(3, 1, 1, 3);
    disks_.lost.insert(D(1));
    disks_.lost.insert(D(2));
  }
  void CloseWithGap(uint64_t last, uint64_t first) {
    chain_.chain.epochs.back().last_lsn = Lsn(last);
    Open(2, kB, first);
  }
  // Of somebody who has applied everything up to there.
  static uint64_t State(uint64_t last) {
    uint64_t state = 0;
    for (uint64_t lsn = 1; lsn <= last; ++lsn) state = NextState(state, Lsn(lsn), 100 + lsn);
    return state;
  }
};

TEST_F(LossTest, AcceptedAndSaidIsFine) {
  oracle_.GiveUp(kLog, Epoch(1));
  oracle_.Audit();
  oracle_.OnLossProposed(kLog, Epoch(1), Lsn(3), {Lsn(3)}, "b");
  CloseWithGap(3, 1000);
  EXPECT_FALSE(oracle_.given_up(kLog).has_value());
  oracle_.OnLoss(kLog, Lsn(4), Lsn(4), Lsn(999), State(3), "fresh");
  oracle_.OnLoss(kLog, Lsn(6), Lsn(6), Lsn(999), State(5), "a spare that had come further");
  disks_.lost.clear();
  for (uint64_t lsn = 1000; lsn <= 1001; ++lsn) {
    disks_.Put(1, 2, lsn, lsn);
    disks_.Put(2, 2, lsn, lsn);
    oracle_.OnAcked(kLog, Epoch(2), kB, Lsn(lsn), 100 + lsn, "b");
  }
  EXPECT_EQ(oracle_.settled(kLog), Lsn(1001));
  const uint64_t state = NextState(StateAfterLoss(Lsn(999)), Lsn(1000), 1100);
  oracle_.OnApplied(kLog, Lsn(1000), Lsn(1000), 1100, state, "fresh");
  EXPECT_EQ(oracle_.state(kLog, Lsn(1000)), state);
  EXPECT_EQ(oracle_.state(kLog, Lsn(5)), State(5)) << "a checkpoint may cover what the log has lost";
  oracle_.Audit();
  ExpectFine();
}

TEST_F(LossTest, NobodyAcceptedIt) {
  CloseWithGap(3, 1000);
  Expect(Rule::kLoss);
}

TEST_F(LossTest, LsnsThatWereAcknowledgedComeAgain) {
  oracle_.GiveUp(kLog, Epoch(1));
  CloseWithGap(3, 5);
  Expect(Rule::kLoss);
}

TEST_F(LossTest, WithoutAGapItIsSilent) {
  oracle_.GiveUp(kLog, Epoch(1));
  CloseWithGap(3, 4);
  Expect(Rule::kAckedInEpoch);
}

TEST_F(LossTest, AcceptanceIsForOneEpoch) {
  oracle_.GiveUp(kLog, Epoch(1));
  CloseWithGap(3, 1000);
  chain_.chain.epochs.back().last_lsn = Lsn(999);
  Open(3, kA, 5000);
  Expect(Rule::kLoss);
}

TEST_F(LossTest, EnoughDisksAnswer) {
  oracle_.GiveUp(kLog, Epoch(1));
  oracle_.OnLossProposed(kLog, Epoch(1), Lsn(3), {Lsn(3), Lsn(2)}, "b");
  Expect(Rule::kLoss);
}

TEST_F(LossTest, WhoAnswersHoldsMore) {
  oracle_.GiveUp(kLog, Epoch(1));
  oracle_.OnLossProposed(kLog, Epoch(1), Lsn(2), {Lsn(3)}, "b");
  Expect(Rule::kLoss);
}

TEST_F(LossTest, AReaderIsToldOfOneThatWasNone) {
  oracle_.OnLoss(kLog, Lsn(4), Lsn(4), Lsn(999), State(3), "r");
  Expect(Rule::kLoss);
}

TEST_F(LossTest, AReaderIsToldOfMoreThanWasLost) {
  oracle_.GiveUp(kLog, Epoch(1));
  CloseWithGap(3, 1000);
  oracle_.OnLoss(kLog, Lsn(3), Lsn(3), Lsn(999), State(2), "r");
  Expect(Rule::kLoss);
}

TEST_F(LossTest, StateBeforeItIsWrong) {
  oracle_.GiveUp(kLog, Epoch(1));
  CloseWithGap(3, 1000);
  oracle_.OnLoss(kLog, Lsn(4), Lsn(4), Lsn(999), State(2), "r");
  Expect(Rule::kSpareState);
}

TEST_F(LossTest, AClosedEpochMustOutliveIt) {
  EXPECT_TRUE(oracle_.SettledOutlives({D(3)})) << "nothing is settled yet";
  oracle_.GiveUp(kLog, Epoch(1));
  CloseWithGap(3, 1000);
  EXPECT_FALSE(oracle_.SettledOutlives({D(3)}));
}

TEST_F(OracleTest, AckedOnQuorum) {
  disks_.Put(1, 1, 1, 1);
  oracle_.OnCommit(kLog, Epoch(1), Lsn(0), Lsn(1), "w");
  Expect(Rule::kAckedOnQuorum);
}

TEST_F(OracleTest, DiskLostAfterItAnsweredCountsForTheAcknowledgement) {
  disks_.Put(1, 1, 1, 1);
  disks_.lost.insert(D(2));
  oracle_.OnCommit(kLog, Epoch(1), Lsn(0), Lsn(1), "w");
  ExpectFine();
}

TEST_F(OracleTest, AckedOnce) {
  Ack(1, kA, 1, 1);
  oracle_.OnAcked(kLog, Epoch(1), kA, Lsn(1), 999, "w");
  Expect(Rule::kAckedOnce);
}

TEST_F(OracleTest, AckedAboveAHole) {
  oracle_.OnAcked(kLog, Epoch(1), kA, Lsn(2), 102, "w");
  Expect(Rule::kAckedOnce);
}

TEST_F(OracleTest, AckedAboveTheEndOfItsEpoch) {
  Ack(1, kA, 1, 2);
  CloseAt(2, 2, kB);
  oracle_.OnAcked(kLog, Epoch(1), kA, Lsn(3), 103, "w");
  Expect(Rule::kAckedInEpoch);
}

TEST_F(OracleTest, AckedInAnEpochThatIsNotInTheChain) {
  oracle_.OnAcked(kLog, Epoch(2), kB, Lsn(1), 101, "w");
  Expect(Rule::kAckedInEpoch);
}

TEST_F(OracleTest, ClosedBelowWhatItAcknowledged) {
  Ack(1, kA, 1, 3);
  CloseAt(2, 2, kB);
  Expect(Rule::kAckedInEpoch);
}

TEST_F(OracleTest, AckedAndLost) {
  Ack(1, kA, 1, 3);
  disks_.held.clear();
  oracle_.Audit();
  Expect(Rule::kAckedReadable);
}

TEST_F(OracleTest, AckedAndStoredOtherwise) {
  Ack(1, kA, 1, 1);
  disks_.held.clear();
  disks_.Put(1, 1, 1, 1, 7);
  oracle_.Audit();
  Expect(Rule::kAckedReadable);
}

TEST_F(OracleTest, ClosedEpochOnNoLiveDisk) {
  Ack(1, kA, 1, 3);
  CloseAt(4, 2, kB);
  Expect(Rule::kClosedComplete);
}

TEST_F(OracleTest, ClosedEpochInPiecesOnly) {
  Ack(1, kA, 1, 2);
  disks_.held.clear();
  disks_.Put(1, 1, 1, 1);
  disks_.Put(2, 1, 2, 2);
  CloseAt(2, 2, kB);
  Expect(Rule::kClosedComplete);
}

TEST_F(OracleTest, ClosedEpochThatLosesItsLastFullDisk) {
  Ack(1, kA, 1, 3);
  CloseAt(3, 2, kB);
  ExpectFine();
  disks_.lost = {D(1), D(2)};
  oracle_.Audit();
  Expect(Rule::kClosedComplete);
}

TEST_F(OracleTest, TwoContents) {
  Ack(1, kA, 1, 2);
  disks_.Put(3, 1, 2, 2, 5);
  CloseAt(2, 2, kB);
  oracle_.Audit();
  Expect(Rule::kOneContent);
}

TEST_F(OracleTest, ClosedEpochRewritten) {
  Ack(1, kA, 1, 3);
  CloseAt(3, 2, kB);
  chain_.chain.epochs[0].last_lsn = Lsn(2);
  chain_.chain.epochs[1].first_lsn = Lsn(3);
  Tell();
  Expect(Rule::kClosedImmutable);
}

TEST_F(OracleTest, EpochLeavesTheChainUntrimmed) {
  Ack(1, kA, 1, 3);
  CloseAt(3, 2, kB);
  chain_.chain.epochs.erase(chain_.chain.epochs.begin());
  Tell();
  Expect(Rule::kClosedImmutable);
}

TEST_F(OracleTest, GapBetweenEpochs) {
  Ack(1, kA, 1, 3);
  chain_.chain.epochs.back().last_lsn = Lsn(3);
  Open(2, kB, 5);
  Expect(Rule::kLoss);
}

TEST_F(OracleTest, CommitGoesBack) {
  Ack(1, kA, 1, 3);
  oracle_.OnCommit(kLog, Epoch(1), Lsn(3), Lsn(2), "w");
  Expect(Rule::kCommitForward);
}

TEST_F(OracleTest, BarrierOfADeposedPrimary) {
  oracle_.OnBarrier(kLog, true, Lsn(0), Lsn(0), "w");
  Expect(Rule::kBarrier);
}

TEST_F(OracleTest, BarrierBeforeWhatItCovers) {
  oracle_.OnBarrier(kLog, false, Lsn(5), Lsn(4), "w");
  Expect(Rule::kBarrier);
}

TEST_F(OracleTest, TrimmedPastTheOldestCheckpoint) {
  Ack(1, kA, 1, 5);
  disks_.checkpoints = {{D(1), 1}, {D(1), 2}};
  chain_.chain.checkpoints = {{1, Lsn(2), 8, {D(1)}}, {2, Lsn(4), 8, {D(1)}}};
  chain_.chain.trim_lsn = Lsn(2);
  Tell();
  ExpectFine();
  chain_.chain.trim_lsn = Lsn(3);
  Tell();
  Expect(Rule::kTrim);
}

TEST_F(OracleTest, TrimmedPastAPin) {
  Ack(1, kA, 1, 5);
  chain_.chain.checkpoints = {{1, Lsn(2), 8, {D(1)}}, {2, Lsn(4), 8, {D(1)}}};
  chain_.chain.pins = {{"spare", 0, Lsn(0), 1000}};
  chain_.chain.trim_lsn = Lsn(1);
  Tell();
  Expect(Rule::kTrim);
}

TEST_F(OracleTest, PinnedRecordsTrimmedAway) {
  oracle_.OnTrimmedAway(kLog, Lsn(3), "spare");
  Expect(Rule::kTrim);
}

TEST_F(OracleTest, CheckpointOfWhatIsNotCommitted) {
  Ack(1, kA, 1, 5);
  chain_.chain.checkpoints = {{1, Lsn(6), 8, {D(1)}}};
  Tell();
  Expect(Rule::kCheckpoint);
}

TEST_F(OracleTest, CheckpointOnNoLiveDisk) {
  Ack(1, kA, 1, 5);
  chain_.chain.checkpoints = {{1, Lsn(5), 8, {D(1)}}};
  Tell();
  oracle_.Audit();
  Expect(Rule::kCheckpoint);
}

TEST_F(OracleTest, ReaderSkips) {
  Ack(1, kA, 1, 3);
  oracle_.OnApplied(kLog, Lsn(1), Lsn(2), 102, 0, "spare");
  Expect(Rule::kReaderOrder);
}

TEST_F(OracleTest, ReaderSeesWhatIsNotCommitted) {
  Ack(1, kA, 1, 1);
  oracle_.OnApplied(kLog, Lsn(2), Lsn(2), 102, 0, "spare");
  Expect(Rule::kReaderContent);
}

TEST_F(OracleTest, ReaderSeesSomethingElse) {
  Ack(1, kA, 1, 1);
  oracle_.OnApplied(kLog, Lsn(1), Lsn(1), 999, 0, "spare");
  Expect(Rule::kReaderContent);
}

TEST_F(OracleTest, SpareWithAnotherState) {
  Ack(1, kA, 1, 1);
  oracle_.OnApplied(kLog, Lsn(1), Lsn(1), 101, 12345, "spare");
  Expect(Rule::kSpareState);
}

TEST_F(OracleTest, FalseAlarm) {
  oracle_.OnRollbackAlarm(kLog, "the metadata was rolled back");
  Expect(Rule::kAlarm);
}

TEST_F(OracleTest, LostThoughADiskHasIt) {
  Ack(1, kA, 1, 3);
  CloseAt(3, 2, kB);
  disks_.lost.insert(D(1));
  disks_.lost.insert(D(2));
  oracle_.OnLostAlarm(kLog, Epoch(1), 0, "on no disk");
  ExpectFine();
  disks_.lost.erase(D(2));
  oracle_.OnLostAlarm(kLog, Epoch(1), 0, "on no disk");
  Expect(Rule::kAlarm);
}

TEST_F(OracleTest, Conflict) {
  oracle_.OnConflict(kLog, "w drops d1");
  Expect(Rule::kOneContent);
}

// Zones x, x, y and a draining disk in z.
class PlacementTest : public OracleTest {
 protected:
  void Place(const std::vector<size_t>& chosen, size_t target = 2) {
    const std::vector<PlacedDisk> all = {
        {"n1", "x", false, true}, {"n2", "x", false, true}, {"n3", "y", false, true}, {"n4", "z", true, true}};
    std::vector<PlacedDisk> disks;
    for (const size_t i : chosen) disks.push_back(all[i]);
    oracle_.OnPlaced(kLog, disks, all, target, "w");
  }
};

TEST_F(PlacementTest, OverZonesIsFine) {
  Place({0, 2});
  Place({1, 2});
  Place({0, 1, 2}, 3);
  Place({0, 1, 2, 3}, 4);
  ExpectFine();
}

TEST_F(PlacementTest, TwoInOneZone) {
  Place({0, 1});
  Expect(Rule::kPlacement);
}

TEST_F(PlacementTest, OnADrainingDisk) {
  Place({0, 3});
  Expect(Rule::kPlacement);
}

TEST_F(PlacementTest, OnTooFew) {
  Place({0, 2}, 3);
  Expect(Rule::kPlacement);
}

TEST_F(OracleTest, ThinEpochsAreThoseWithoutTheirReplicas) {
  Ack(1, kA, 1, 3);
  CloseAt(3, 2, kB);
  ASSERT_NE(oracle_.Thin(kLog, 4), nullptr) << "the third disk holds nothing yet";
  EXPECT_EQ(oracle_.Thin(kLog, 2), nullptr) << "with two disks left two are enough";
  disks_.Put(3, 1, 1, 3);
  EXPECT_EQ(oracle_.Thin(kLog, 4), nullptr);
}

TEST_F(OracleTest, MayLoseUpToAMinusOneDisksAndNeverTheLastCopy) {
  Ack(1, kA, 1, 3);
  EXPECT_TRUE(oracle_.MayLose(D(1)));
  disks_.lost.insert(D(3));
  EXPECT_FALSE(oracle_.MayLose(D(1))) << "the open epoch has lost A - 1 disks already";
  EXPECT_TRUE(oracle_.MayLose(D(4))) << "not a member of anything";
  disks_.lost.clear();
  CloseAt(3, 2, kB);
  disks_.held.erase({D(2), Epoch(1)});
  EXPECT_FALSE(oracle_.MayLose(D(1))) << "the only full copy of a closed epoch";
}

}  // namespace
}  // namespace understudy::sim

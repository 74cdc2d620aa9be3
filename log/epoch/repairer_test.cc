#include "log/epoch/repairer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "log/epoch/testing/make.h"

namespace understudy::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr DiskId kD4{4, 1};
constexpr DiskId kD5{5, 1};

ReplicaRef Ref(const DiskId& disk) { return {disk, "n" + std::to_string(disk.hi)}; }
DiskEntry EntryOf(const DiskId& disk, const std::string& zone = "", DiskState state = DiskState::kActive) {
  return {disk, Ref(disk).node, "host" + std::to_string(disk.hi) + ":1", 1, zone, state};
}
std::vector<DiskId> Ids(const std::vector<ReplicaRef>& disks) {
  std::vector<DiskId> ids;
  for (const ReplicaRef& disk : disks) ids.push_back(disk.disk);
  return ids;
}
std::vector<DiskId> Ids(const std::vector<FetchSource>& sources) {
  std::vector<DiskId> ids;
  for (const FetchSource& source : sources) ids.push_back(source.disk);
  return ids;
}

// One Repairer, of disk `self`; the test plays everybody else.
class RepairerTest : public ::testing::Test {
 protected:
  void Make(const DiskId& self = kD4) {
    options_.disk = Ref(self);
    options_.repair_after_ms = 1000;
    options_.gone_after_ms = 100;
    options_.complete_after_ms = 50;
    options_.turn_ms = 300;
    options_.ask_ms = 20;
    options_.retry_ms = 10;
    options_.retry_ms_max = 1000;
    options_.own_tail = [this](LogId log, Epoch epoch) { return own_[{log, epoch}]; };
    repairer_ = std::make_unique<Repairer>(options_);
  }
  RepairerEffects& Step(const RepairerInput& input) {
    out_.Clear();
    repairer_->Step(input, now_, &out_);
    for (const AskDisk& ask : out_.asks) asks_[ask.disk] = ask.token;
    for (const AskHeld& ask : out_.held) held_[ask.request.disk] = ask;
    for (const RepairEvent& event : out_.events) events_.push_back((event.alarm ? "ALARM " : "") + event.text);
    return out_;
  }
  void Look() { Step(RepairLook{chains_, entries_}); }
  // Everyone but `silent` answers every question, for `ms` ms.
  void Pass(int64_t ms, const std::set<DiskId>& silent = {}) {
    const Instant end = now_ + ms * kNsPerMs;
    while (true) {
      AnswerAsks(silent);
      if (now_ >= end || !out_.fetches.empty() || !out_.chain_ops.empty() || !out_.held.empty() || !out_.copies.empty())
        return;
      now_ = std::min(end, now_ + 10 * kNsPerMs);
      Look();
    }
  }
  void AnswerAsks(const std::set<DiskId>& silent) {
    auto asks = std::move(asks_);
    asks_.clear();
    for (const auto& [disk, token] : asks) {
      StatusCode code = silent.contains(disk) ? StatusCode::kUnavailable : StatusCode::kOk;
      if (answers_.contains(disk)) code = answers_[disk];
      RepairerEffects kept = std::move(out_);
      Step(RepairDiskAnswered{token, code});
      // What was asked for before is still asked for.
      for (auto& each : kept.fetches) out_.fetches.push_back(each);
      for (auto& each : kept.chain_ops) out_.chain_ops.push_back(each);
      for (auto& each : kept.held) out_.held.push_back(each);
      for (auto& each : kept.copies) out_.copies.push_back(each);
    }
  }
  FetchRequest Fetch() {
    EXPECT_THAT(out_.fetches, SizeIs(1));
    if (out_.fetches.empty()) return {};
    fetch_ = out_.fetches[0].token;
    return out_.fetches[0].request;
  }
  void Fetched(StatusCode code, uint64_t tail, uint64_t epoch = 1) {
    own_[{kLog7, Epoch(epoch)}] = Lsn(tail);
    Step(RepairFetched{fetch_, {code, "", Lsn(tail)}});
  }
  void AnswerRead(const Chain& chain) {
    ASSERT_THAT(out_.chain_ops, SizeIs(1));
    ASSERT_EQ(out_.chain_ops[0].op.kind, ChainOp::Kind::kRead);
    Step(ChainReadDone{out_.chain_ops[0].op.token, Status::Ok(), {version_, chain}});
  }
  // The CAS that is out now.
  Chain Cas() {
    EXPECT_THAT(out_.chain_ops, SizeIs(1));
    if (out_.chain_ops.empty()) return ChainOf({Entry(1, kA1, 1, {kD1}, 1)});
    EXPECT_EQ(out_.chain_ops[0].op.kind, ChainOp::Kind::kCas);
    EXPECT_EQ(out_.chain_ops[0].op.expected_version, version_);
    return out_.chain_ops[0].op.chain;
  }
  void AnswerCas(StatusCode code) { Step(ChainCasDone{out_.chain_ops.at(0).op.token, {code, ""}, ++version_}); }

  static Chain Closed100(std::vector<DiskId> disks = {kD1, kD2, kD3}, int quorum = 2) {
    return ChainOf({Closed(Entry(1, kA1, 1, std::move(disks), quorum), 100), Entry(2, kA2, 101, {kD1, kD2}, 2)});
  }
  void World(const Chain& chain, std::vector<DiskEntry> entries) {
    chains_ = {{version_, chain}};
    entries_ = std::move(entries);
  }

  RepairerOptions options_;
  std::unique_ptr<Repairer> repairer_;
  Instant now_ = Ms(0);
  RepairerEffects out_;
  std::vector<VersionedChain> chains_;
  std::vector<DiskEntry> entries_;
  uint64_t version_ = 5;
  std::map<std::pair<LogId, Epoch>, Lsn> own_;
  std::map<DiskId, Token> asks_;
  std::map<DiskId, AskHeld> held_;
  std::map<DiskId, StatusCode> answers_;
  std::vector<std::string> events_;
  Token fetch_ = 0;
};

TEST_F(RepairerTest, NothingToDo) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4)});
  Look();
  Pass(5000);
  EXPECT_THAT(out_.fetches, IsEmpty());
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  EXPECT_EQ(repairer_->StatusNow(now_).needs, 0u);
  EXPECT_EQ(repairer_->References(kD1), 2u) << "open epochs refer to a disk as well";
  EXPECT_EQ(repairer_->References(kD4), 0u);
}

TEST_F(RepairerTest, ReplacesADiskThatStaysSilent) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4)});
  Look();
  Pass(900, {kD3});
  EXPECT_THAT(out_.fetches, IsEmpty()) << "not for long enough";
  Pass(300, {kD3});
  const FetchRequest fetch = Fetch();
  EXPECT_EQ(fetch.disk, kD4);
  EXPECT_EQ(fetch.epoch, Epoch(1));
  EXPECT_EQ(fetch.from, Lsn(1));
  EXPECT_EQ(fetch.to, Lsn(100));
  EXPECT_THAT(Ids(fetch.sources), ElementsAre(kD2, kD1, kD3)) << "who does not answer is asked last";
  EXPECT_EQ(fetch.sources[0].address, "host2:1");
  Fetched(StatusCode::kOk, 100);
  AnswerRead(Closed100());
  const Chain chain = Cas();
  EXPECT_THAT(Ids(chain.epochs[0].disks), ElementsAre(kD1, kD2, kD4));
  EXPECT_THAT(Ids(chain.epochs[1].disks), ElementsAre(kD1, kD2)) << "the open epoch is its writer's";
  EXPECT_EQ(chain.epochs[0].last_lsn, Lsn(100));
  AnswerCas(StatusCode::kOk);
  EXPECT_EQ(repairer_->StatusNow(now_).repaired_epochs, 1u);
  EXPECT_THAT(events_, ElementsAre(HasSubstr("repaired log 7 epoch 1")));
}

TEST_F(RepairerTest, ADiskThatComesBackInTimeIsKept) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4)});
  Look();
  Pass(900, {kD3});
  Pass(50);
  Pass(900, {kD3});
  EXPECT_THAT(out_.fetches, IsEmpty());
}

TEST_F(RepairerTest, RetiredWipedAndRemovedDisksAreReplacedAtOnceOrSoon) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3, "", DiskState::kRetired), EntryOf(kD4)});
  Look();
  EXPECT_THAT(Ids(Fetch().sources), ElementsAre(kD2, kD1, kD3)) << "a retired disk's checksums still hold";

  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4)});
  answers_[kD3] = StatusCode::kWrongDisk;
  Look();
  Pass(90);
  EXPECT_THAT(out_.fetches, IsEmpty());
  Pass(200);
  EXPECT_THAT(Ids(Fetch().sources), ElementsAre(kD2, kD1)) << "a wiped one has nothing";

  answers_.clear();
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4)});
  Look();
  EXPECT_THAT(out_.fetches, IsEmpty());
  Pass(200);
  EXPECT_THAT(Ids(Fetch().sources), ElementsAre(kD2, kD1));

  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4)});
  answers_[kD3] = StatusCode::kDataUnknown;
  Look();
  AnswerAsks({});
  Look();
  EXPECT_THAT(out_.fetches, SizeIs(1)) << "retired by its own word, whatever its entry says";
}

TEST_F(RepairerTest, RuleNothingIsListedFromAShortSource) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3, "", DiskState::kRetired), EntryOf(kD4)});
  Look();
  Fetch();
  own_[{kLog7, Epoch(1)}] = Lsn(99);
  Step(RepairFetched{fetch_, {StatusCode::kOk, "", Lsn(100)}});  // says so, and is wrong
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  now_ = now_ + 20 * kNsPerMs;
  Step(Tick{});
  Fetch();
  Fetched(StatusCode::kUnavailable, 99);
  EXPECT_THAT(out_.chain_ops, IsEmpty());
}

TEST_F(RepairerTest, RuleTheChainIsReadAfreshBeforeTheSwap) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3, "", DiskState::kRetired), EntryOf(kD4), EntryOf(kD5)});
  Look();
  Pass(2000);
  if (!out_.held.empty()) {  // the other one comes first, and has not begun
    Step(RepairHeldAnswered{out_.held[0].token, {StatusCode::kOk, "", Lsn(0), Epoch(1)}});
  }
  Fetch();
  Fetched(StatusCode::kOk, 100);
  version_ = 8;
  AnswerRead(Closed100({kD1, kD2, kD5}));
  EXPECT_THAT(out_.chain_ops, IsEmpty()) << "another was faster";
  EXPECT_EQ(repairer_->StatusNow(now_).repaired_epochs, 0u);
}

TEST_F(RepairerTest, ALostSwapIsReadAgain) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3, "", DiskState::kRetired), EntryOf(kD4)});
  Look();
  Fetch();
  Fetched(StatusCode::kOk, 100);
  AnswerRead(Closed100());
  Cas();
  AnswerCas(StatusCode::kConflict);
  Chain now = Closed100();
  now.trim_lsn = Lsn(0);
  now.next_checkpoint_id = 9;
  AnswerRead(now);
  EXPECT_EQ(Cas().next_checkpoint_id, 9u);
  AnswerCas(StatusCode::kOutcomeUnknown);
  AnswerRead(Closed100({kD1, kD2, kD4}));  // it had landed
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  EXPECT_EQ(repairer_->StatusNow(now_).lost, 0u);
}

TEST_F(RepairerTest, OneForOne) {
  Make();
  World(Closed100(),
        {EntryOf(kD1, "", DiskState::kDraining), EntryOf(kD2, "", DiskState::kRetired), EntryOf(kD3), EntryOf(kD4)});
  Look();
  EXPECT_THAT(Ids(Fetch().sources), ElementsAre(kD3, kD1, kD2));
  Fetched(StatusCode::kOk, 100);
  AnswerRead(Closed100());
  EXPECT_THAT(Ids(Cas().epochs[0].disks), ElementsAre(kD1, kD3, kD4)) << "who drains stays until there is another";
}

TEST_F(RepairerTest, EpochsThatWereClosedWithFewDisksGetMore) {
  Make();
  World(Closed100({kD1, kD2}), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4)});
  Look();
  Fetch();
  Fetched(StatusCode::kOk, 100);
  AnswerRead(Closed100({kD1, kD2}));
  EXPECT_THAT(Ids(Cas().epochs[0].disks), ElementsAre(kD1, kD2, kD4));
}

TEST_F(RepairerTest, CompletesItsOwnShortCopyOnceTheWriterHadTime) {
  Make(kD3);
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3)});
  own_[{kLog7, Epoch(1)}] = Lsn(40);
  Look();
  EXPECT_THAT(out_.fetches, IsEmpty());
  Pass(60);
  EXPECT_EQ(Fetch().to, Lsn(100));
  Fetched(StatusCode::kOk, 100);
  EXPECT_THAT(out_.chain_ops, IsEmpty()) << "it is listed";
  Look();
  Pass(1000);
  EXPECT_THAT(out_.fetches, IsEmpty());
}

TEST_F(RepairerTest, WhatIsTrimmedIsNotMissing) {
  Make(kD3);
  Chain chain = Closed100();
  chain.checkpoints = {{1, Lsn(100), 9, {kD1, kD2, kD3}}, {2, Lsn(100), 9, {kD1, kD2, kD3}}};
  chain.trim_lsn = Lsn(100);
  World(chain, {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3)});
  Look();
  Pass(1000);
  EXPECT_THAT(out_.fetches, IsEmpty());
}

TEST_F(RepairerTest, LostDisksAreDroppedOnceEnoughOthersSayTheyHoldItAll) {
  Make(kD1);
  own_[{kLog7, Epoch(1)}] = Lsn(100);
  World(Closed100({kD1, kD2, kD3, kD4}),
        {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4, "", DiskState::kDraining)});
  Look();
  Pass(2000);  // until it is our turn
  ASSERT_THAT(out_.held, SizeIs(2));
  EXPECT_EQ(held_.at(kD2).request.epoch, Epoch(1));
  Step(RepairHeldAnswered{held_.at(kD2).token, {StatusCode::kOk, "", Lsn(100), Epoch(2)}});
  Step(RepairHeldAnswered{held_.at(kD3).token, {StatusCode::kOk, "", Lsn(60), Epoch(2)}});
  EXPECT_THAT(out_.chain_ops, IsEmpty()) << "two are not three";
  out_.Clear();
  Pass(2000);
  ASSERT_THAT(out_.held, SizeIs(2));
  Step(RepairHeldAnswered{held_.at(kD2).token, {StatusCode::kOk, "", Lsn(100), Epoch(2)}});
  Step(RepairHeldAnswered{held_.at(kD3).token, {StatusCode::kOk, "", Lsn(100), Epoch(2)}});
  AnswerRead(chains_[0].chain);
  EXPECT_THAT(Ids(Cas().epochs[0].disks), ElementsAre(kD1, kD2, kD3));
}

TEST_F(RepairerTest, EmptyEpochsNeedNoCopy) {
  Make();
  World(ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2, kD3}, 2), 0), Entry(2, kA2, 1, {kD1, kD2}, 2)}),
        {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3, "", DiskState::kDraining), EntryOf(kD4)});
  Look();
  EXPECT_THAT(out_.fetches, IsEmpty());
  AnswerRead(chains_[0].chain);
  EXPECT_THAT(Ids(Cas().epochs[0].disks), ElementsAre(kD1, kD2, kD4));
}

TEST_F(RepairerTest, WhatNobodyHasIsAnAlarmOnceAndIsTriedEverMoreSeldom) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2, "", DiskState::kRetired), EntryOf(kD4)});
  answers_[kD2] = StatusCode::kDataUnknown;
  Look();
  AnswerAsks({});
  int tries = 0;
  const Instant end = now_ + 60 * kNsPerSecond;
  while (now_ < end) {
    Pass(20'000);
    if (out_.fetches.empty()) continue;
    Fetch();
    ++tries;
    Fetched(StatusCode::kNotFound, 49);
    if (!out_.chain_ops.empty()) {  // does the chain list nobody else by now?
      EXPECT_GE(tries, 3);
      EXPECT_THAT(events_, IsEmpty());
      AnswerRead(Closed100());
    }
    out_.Clear();
  }
  EXPECT_THAT(events_, ElementsAre("ALARM log 7 epoch 1: LSN 50 (of 1 to 100) is on no disk that is left: "
                                   "00000000 (n1) lacks it, fit, 00000000 (n2) lacks it, retired, 00000000 (n3) is "
                                   "removed"));
  EXPECT_LT(tries, 80) << "a second apart at last";
  EXPECT_GT(tries, 10);
  const RepairStatus status = repairer_->StatusNow(now_);
  EXPECT_EQ(status.lost, 1u);
  ASSERT_THAT(status.worst, SizeIs(1));
  EXPECT_TRUE(status.worst[0].lost);
  EXPECT_EQ(status.worst[0].held, Lsn(49));
  EXPECT_EQ(status.needs_below_quorum, 1u);
  // Somebody finds it.
  Pass(20'000);
  Fetch();
  Fetched(StatusCode::kOk, 100);
  AnswerRead(Closed100());
  AnswerCas(StatusCode::kOk);
  EXPECT_EQ(repairer_->StatusNow(now_).lost, 0u);
}

TEST_F(RepairerTest, ReadsThatFailAreNoLoss) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2, "", DiskState::kRetired), EntryOf(kD4)});
  answers_[kD2] = StatusCode::kDataUnknown;
  for (int i = 0; i < 10; ++i) {
    Pass(20'000);
    Fetch();
    Fetched(i % 3 == 2 ? StatusCode::kUnavailable : StatusCode::kNotFound, 49);
    EXPECT_THAT(out_.chain_ops, IsEmpty());
    out_.Clear();
  }
  EXPECT_THAT(events_, IsEmpty());
  EXPECT_EQ(repairer_->StatusNow(now_).lost, 0u);
}

// Another disk copied it from one that was wiped since, and is listed though our last look did not show it.
TEST_F(RepairerTest, WhatSomebodyElseHasListedMeanwhileIsNoLoss) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4), EntryOf(kD5)});
  answers_[kD2] = answers_[kD3] = StatusCode::kDataUnknown;
  for (int i = 0; i < 3; ++i) {
    Pass(20'000);
    Fetch();
    Fetched(StatusCode::kNotFound, 49);
    if (i < 2) out_.Clear();
  }
  AnswerRead(Closed100({kD1, kD2, kD5}));
  EXPECT_THAT(events_, IsEmpty());
  EXPECT_EQ(repairer_->StatusNow(now_).lost, 0u);
}

TEST_F(RepairerTest, ADiskThatMayComeBackIsWaitedForWithoutAnAlarm) {
  Make();
  World(Closed100(), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3), EntryOf(kD4)});
  Look();
  for (int i = 0; i < 10; ++i) {
    Pass(20'000, {kD1, kD2, kD3});
    Fetch();
    Fetched(StatusCode::kUnavailable, 0);
    out_.Clear();
  }
  EXPECT_THAT(events_, IsEmpty());
  EXPECT_EQ(repairer_->StatusNow(now_).lost, 0u);
}

TEST_F(RepairerTest, BelowTheAckQuorumGoesFirst) {
  options_.jobs_max = 1;
  Make();
  const auto entry = [](uint64_t epoch, uint64_t first, std::vector<DiskId> disks) {
    return Closed(Entry(epoch, {epoch, 1}, first, std::move(disks), 2), first + 9);
  };
  World(ChainOf({entry(1, 1, {kD1, kD2, kD3}), entry(2, 11, {kD2, kD3, kD5}), entry(3, 21, {kD1, kD2, kD3}),
                 Entry(4, kA2, 31, {kD1}, 1)}),
        {EntryOf(kD1), EntryOf(kD2, "", DiskState::kRetired), EntryOf(kD3), EntryOf(kD4),
         EntryOf(kD5, "", DiskState::kRetired)});
  Look();
  EXPECT_EQ(Fetch().epoch, Epoch(2));
  EXPECT_THAT(repairer_->StatusNow(now_).worst, SizeIs(3));
  EXPECT_EQ(repairer_->StatusNow(now_).needs_below_quorum, 1u);
  Pass(1000);
  EXPECT_THAT(out_.fetches, SizeIs(1)) << "one at a time";
}

TEST_F(RepairerTest, CheckpointsAreCopiedAndListed) {
  Make();
  Chain chain = ChainOf({Entry(2, kA2, 101, {kD1, kD2}, 2)});
  chain.checkpoints = {{3, Lsn(90), 1234, {kD1, kD3, kD2}}};
  World(chain, {EntryOf(kD1), EntryOf(kD2), EntryOf(kD3, "", DiskState::kRetired), EntryOf(kD4)});
  Look();
  ASSERT_THAT(out_.copies, SizeIs(1));
  EXPECT_EQ(out_.copies[0].id, 3u);
  EXPECT_EQ(out_.copies[0].bytes, 1234u);
  EXPECT_THAT(Ids(out_.copies[0].sources), UnorderedElementsAre(kD1, kD2, kD3));
  const Token copy = out_.copies[0].token;
  Step(RepairCheckpointCopied{copy, Status::Ok()});
  AnswerRead(chain);
  EXPECT_THAT(Cas().checkpoints[0].disks, ElementsAre(kD1, kD2, kD4));
  AnswerCas(StatusCode::kOk);
  EXPECT_EQ(repairer_->StatusNow(now_).repaired_checkpoints, 1u);
}

TEST_F(RepairerTest, ACheckpointThatCouldNotBeCopiedIsNotListed) {
  Make();
  Chain chain = ChainOf({Entry(2, kA2, 101, {kD1, kD2}, 2)});
  chain.checkpoints = {{3, Lsn(90), 1234, {kD1, kD2}}};
  World(chain, {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4)});
  Look();
  ASSERT_THAT(out_.copies, SizeIs(1));
  Step(RepairCheckpointCopied{out_.copies[0].token, {StatusCode::kResourceExhausted, "disk full"}});
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  EXPECT_THAT(repairer_->StatusNow(now_).worst[0].text, HasSubstr("disk full"));
}

TEST_F(RepairerTest, ADrainingRetiredOrStoppedDiskTakesNothing) {
  for (const DiskState state : {DiskState::kDraining, DiskState::kRetired}) {
    Make();
    World(Closed100({kD1, kD2}), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4, "", state)});
    Look();
    Pass(2000);
    EXPECT_THAT(out_.fetches, IsEmpty());
  }
  Make();
  World(Closed100({kD1, kD2}), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4)});
  Look();
  Fetch();
  Step(RepairStop{});
  Fetched(StatusCode::kOk, 100);
  EXPECT_THAT(out_.chain_ops, IsEmpty());
  Look();
  EXPECT_THAT(out_.fetches, IsEmpty());
  EXPECT_EQ(out_.wake_at, Instant::Never());
  EXPECT_EQ(repairer_->References(kD1), 2u) << "whether anything refers to a retired disk is still to be known";
}

TEST_F(RepairerTest, WhoComesLaterWaitsWhileTheOtherIsAtIt) {
  // With two candidates one comes first; look from the other's side.
  for (const DiskId self : {kD4, kD5}) {
    events_.clear();
    now_ = Ms(0);
    Make(self);
    World(Closed100({kD1, kD2}), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4), EntryOf(kD5)});
    own_.clear();
    out_.Clear();
    Look();
    if (!out_.fetches.empty()) continue;
    Pass(290);
    EXPECT_THAT(out_.held, IsEmpty());
    Pass(100);
    ASSERT_THAT(out_.held, SizeIs(1));
    const auto other = [&](uint64_t tail) {
      RepairHeldAnswered answer{out_.held.at(0).token, {StatusCode::kOk, "", Lsn(tail), Epoch(2)}};
      Step(answer);
    };
    other(30);
    EXPECT_THAT(out_.fetches, IsEmpty());
    Pass(400);
    other(60);
    EXPECT_THAT(out_.fetches, IsEmpty());
    Pass(400);
    other(60);  // it stands still
    EXPECT_THAT(out_.fetches, SizeIs(1));
    return;
  }
  FAIL() << "both began at once";
}

TEST_F(RepairerTest, BoundsOnChainsAndNeeds) {
  options_.chains_max = 2;
  options_.needs_max = 1;
  Make();
  World(Closed100({kD1, kD2}), {EntryOf(kD1), EntryOf(kD2), EntryOf(kD4)});
  for (uint64_t log = 8; log < 11; ++log) {
    Chain chain = Closed100({kD1, kD2});
    chain.log = LogId(log);
    chains_.push_back({version_, chain});
  }
  Look();
  const RepairStatus status = repairer_->StatusNow(now_);
  EXPECT_EQ(status.chains, 2u);
  EXPECT_EQ(status.chains_ignored, 2u);
  EXPECT_EQ(status.needs, 2u);
  EXPECT_THAT(status.worst, SizeIs(1));
}

// Several servers, one cluster: who is chosen is the same everywhere, respects zones, and is spread.
TEST(RepairerPlacementTest, ExactlyOneBeginsAndZonesAreKeptApart) {
  const std::vector<DiskEntry> entries = {EntryOf(kD1, "a"),    EntryOf(kD2, "b"),   EntryOf(kD3, "c"),
                                          EntryOf(kD4, "a"),    EntryOf(kD5, "c"),   EntryOf({6, 1}, "c"),
                                          EntryOf({7, 1}, "b"), EntryOf({8, 1}, "c")};
  std::map<DiskId, int> began;
  for (uint64_t log = 1; log <= 60; ++log) {
    Chain chain = ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2}, 2), 10), Entry(2, kA2, 11, {kD1}, 1)});
    chain.log = LogId(log);
    int beginners = 0;
    for (const DiskEntry& self : entries) {
      RepairerOptions options;
      options.disk = Ref(self.disk);
      options.own_tail = [](LogId, Epoch) { return Lsn(10); };
      if (self.disk != kD1 && self.disk != kD2) options.own_tail = [](LogId, Epoch) { return Lsn(); };
      Repairer repairer(options);
      RepairerEffects out;
      repairer.Step(RepairLook{{{1, chain}}, entries}, Ms(0), &out);
      if (out.fetches.empty()) continue;
      ++beginners;
      ++began[self.disk];
      EXPECT_EQ(self.zone, "c") << "the one zone without a copy";
    }
    EXPECT_EQ(beginners, 1) << "log " << log;
  }
  EXPECT_THAT(began, SizeIs(4)) << "all four disks of that zone take their share";
}

}  // namespace
}  // namespace understudy::testing

// A store whose disk rots, fills up or refuses.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>

#include "log/store/journal_format.h"
#include "log/store/store_testing.h"

namespace understudy {
namespace {

// Five groups of one batch of log 1 each, then one of log 2. Returns where the groups begin.
std::vector<uint64_t> WriteSixGroups(TestStore* t) {
  std::vector<uint64_t> begins = {kSegmentHeaderBytes};
  for (int i = 0; i < 6; ++i) {
    t->Append(i < 5 ? 1 : 2, 1, 1, 100);
    UNDERSTUDY_CHECK(t->Commit().fatal.ok());
    begins.push_back(begins.back() + kGroupHeaderBytes + kEntryHeaderBytes + kBatchHeaderBytes + kRecordHeaderBytes +
                     100);
  }
  return begins;
}

// Opens a store with those groups and one flipped bit.
void OpenFlipped(TestStore* t, uint64_t byte, int bit, std::vector<uint64_t>* begins, bool indexed = false) {
  ASSERT_TRUE(t->Open().ok());
  *begins = WriteSixGroups(t);
  if (indexed) {
    ASSERT_TRUE(t->store->FlushIndex().ok());
  }
  t->store.reset();
  t->files.Kill();
  t->files.FlipBit(t->SegmentPaths().at(0), byte, bit);
  ASSERT_TRUE(t->Open().ok());
}

TEST(LogStoreFaultTest, AFlippedBitAnywhereIsNeverSilent) {
  QuietLog quiet;
  std::vector<uint64_t> begins;
  TestStore measure(1);
  ASSERT_TRUE(measure.Open().ok());
  begins = WriteSixGroups(&measure);
  const uint64_t last = begins[5];
  for (uint64_t byte = kSegmentHeaderBytes; byte < begins[6]; byte += 3) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    TestStore t(1);
    OpenFlipped(&t, byte, static_cast<int>(byte % 8), &begins);
    if (byte >= last) {
      // The final group: not to be told from a torn write.
      EXPECT_FALSE(t.recovered.retired);
      EXPECT_EQ(t.Check(1, 1, 1, 5), "");
      EXPECT_EQ(t.Recovered(2, 1), nullptr);
      continue;
    }
    ASSERT_TRUE(t.recovered.retired);
    EXPECT_NE(t.recovered.retired_reason.find("offset"), std::string::npos);
    const uint64_t hit = (byte - kSegmentHeaderBytes) / (begins[1] - begins[0]) + 1;  // the LSN whose group it is
    for (uint64_t lsn = 1; lsn <= 5; ++lsn) {
      const Result<std::string> read = t.Read(1, 1, lsn, lsn);
      if (lsn == hit && !read.ok()) {
        EXPECT_EQ(read.status().code(), StatusCode::kDataUnknown);
      } else {
        EXPECT_EQ(t.Check(1, 1, lsn, lsn), "") << "LSN " << lsn << " is whole and must be served";
      }
    }
    EXPECT_EQ(t.Check(2, 1, 1, 1), "");
    JournalEntry entry;
    entry.kind = JournalKind::kSeal;
    entry.log = LogId(1);
    entry.epoch = Epoch(1);
    EXPECT_EQ(t.store->Admit(entry).code(), StatusCode::kFailedPrecondition) << "nothing is promised any more";
  }
}

TEST(LogStoreFaultTest, RotInTheIndexedJournalIsFoundWhenRead) {
  QuietLog quiet;
  TestStore t(1);
  std::vector<uint64_t> begins;
  ASSERT_NO_FATAL_FAILURE(OpenFlipped(&t, kSegmentHeaderBytes + 300 + 232, 2, &begins, true));
  ASSERT_GT(begins[2], kSegmentHeaderBytes + 532u);
  EXPECT_FALSE(t.recovered.retired) << "what is indexed is not read at start";
  const Result<std::string> before = t.Read(1, 1, 1);
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(SplitBatches(*before).size(), 1u);
  const Status hit = t.Read(1, 1, 2).status();
  EXPECT_EQ(hit.code(), StatusCode::kDataUnknown);
  EXPECT_NE(hit.message().find("segment"), std::string::npos);
  EXPECT_NE(hit.message().find("offset"), std::string::npos);
  EXPECT_EQ(t.Check(1, 1, 3, 5), "");
  EXPECT_NE(t.store->retired_reason(), "");
  ASSERT_TRUE(t.Open().ok());
  EXPECT_TRUE(t.recovered.retired) << "for good";
}

TEST(LogStoreFaultTest, OneDamagedCopyOfASegmentHeaderIsSurvivedTwoAreNot) {
  QuietLog quiet;
  TestStore t(1);
  std::vector<uint64_t> begins;
  ASSERT_NO_FATAL_FAILURE(OpenFlipped(&t, 20, 1, &begins));
  EXPECT_FALSE(t.recovered.retired);
  EXPECT_EQ(t.Check(1, 1, 1, 5), "");
  t.store.reset();
  t.files.FlipBit(t.SegmentPaths().at(0), 2048 + 20, 1);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_TRUE(t.recovered.retired);
  EXPECT_EQ(t.Read(1, 1, 1).status().code(), StatusCode::kDataUnknown);
}

TEST(LogStoreFaultTest, AMissingSegmentIsCorruption) {
  QuietLog quiet;
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  for (int i = 0; i < 40; ++i) t.Append(1, 1, 10, 500);
  ASSERT_TRUE(t.Commit().fatal.ok());
  t.store.reset();
  ASSERT_TRUE(t.files.Remove(t.SegmentPaths().at(1)).ok());
  ASSERT_TRUE(t.Open().ok());
  EXPECT_TRUE(t.recovered.retired);
}

TEST(LogStoreFaultTest, ATornFinalGroupIsDroppedAndWrittenOver) {
  QuietLog quiet;
  int torn = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TestStore t(seed);
    ASSERT_TRUE(t.Open().ok());
    t.Append(1, 1, 2, 50);
    ASSERT_TRUE(t.Commit().fatal.ok());
    for (int i = 0; i < 5; ++i) t.Append(1, 1, 1, 700);
    t.files.CrashAt(2);  // the write is whole, its sync is not
    EXPECT_FALSE(t.Commit().fatal.ok());
    t.store.reset();
    t.files.PowerLoss();
    ASSERT_TRUE(t.Open().ok());
    ASSERT_FALSE(t.recovered.retired);
    if (t.recovered.torn_bytes > 0) ++torn;
    const uint64_t tail = t.Recovered(1, 1)->tail.value();
    EXPECT_TRUE(tail == 2 || tail == 7) << "a group counts as a whole";
    t.tails[{1, 1}] = Lsn(tail);
    t.Append(1, 1, 1, 30);
    ASSERT_TRUE(t.Commit().fatal.ok());
    ASSERT_TRUE(t.Open().ok());
    ASSERT_FALSE(t.recovered.retired) << t.recovered.retired_reason;
    EXPECT_EQ(t.Check(1, 1, 1, tail + 1), "");
  }
  EXPECT_GT(torn, 0);
}

TEST(LogStoreFaultTest, TwoTriesAtOneGroupNeverMix) {
  QuietLog quiet;
  int second_kept = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TestStore t(seed);
    ASSERT_TRUE(t.Open().ok());
    // The next group's header ends with a sector, and each of its entries fills one: power losses mix them at will.
    t.Append(1, 1, 1,
             5120 - kGroupHeaderBytes - kSegmentHeaderBytes - kGroupHeaderBytes - kEntryHeaderBytes -
                 kBatchHeaderBytes - kRecordHeaderBytes);
    ASSERT_TRUE(t.Commit().fatal.ok());
    const auto lose = [&](char mark) {
      for (uint64_t lsn = 2; lsn <= 5; ++lsn) {
        BatchBuilder builder;
        builder.Add(std::string(512 - kEntryHeaderBytes - kBatchHeaderBytes - kRecordHeaderBytes, mark), 0);
        JournalEntry entry;
        entry.log = LogId(1);
        entry.epoch = Epoch(1);
        entry.batch = std::make_shared<const std::string>(builder.Finish(entry.log, entry.epoch, Lsn(lsn)));
        t.store->Enqueue(std::move(entry));
      }
      t.files.CrashAt(2);
      EXPECT_FALSE(t.Commit().fatal.ok());
      t.store.reset();
      t.files.PowerLoss();
      ASSERT_TRUE(t.Open().ok());
      ASSERT_FALSE(t.recovered.retired);
    };
    ASSERT_NO_FATAL_FAILURE(lose('1'));
    if (t.Recovered(1, 1)->tail != Lsn(1)) continue;  // whole by luck
    ASSERT_NO_FATAL_FAILURE(lose('2'));
    if (t.Recovered(1, 1)->tail == Lsn(1)) continue;
    ++second_kept;
    for (const std::string& batch : SplitBatches(*t.Read(1, 1, 2))) {
      ASSERT_EQ(batch.back(), '2') << "the first try was dropped at a start: it must not come back";
    }
  }
  EXPECT_GT(second_kept, 0);
}

TEST(LogStoreFaultTest, AFailedSyncIsFinal) {
  QuietLog quiet;
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  t.Append(1, 1);
  const uint64_t durable = t.Commit().durable_through;
  t.Append(1, 1);
  t.files.FailSyncs(true);
  GroupOutcome outcome = t.CommitOne();
  EXPECT_EQ(outcome.fatal.code(), StatusCode::kIoError);
  EXPECT_EQ(outcome.durable_through, durable);
  t.files.FailSyncs(false);  // the disk says it is well again; it must not be believed
  EXPECT_FALSE(t.store->HasPending());
  EXPECT_EQ(t.store->TakeGroup(), nullptr);
  JournalEntry entry;
  entry.log = LogId(1);
  entry.epoch = Epoch(1);
  entry.batch = MakeBatch(LogId(1), Epoch(1), Lsn(3), 1, 10);
  EXPECT_EQ(t.store->Admit(entry).code(), StatusCode::kIoError);
  EXPECT_EQ(t.Check(1, 1, 1, 1), "") << "what was durable before can still be read";
  t.store->Maintain();
  t.store.reset();
  t.files.PowerLoss();
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.Recovered(1, 1)->tail, Lsn(1));
}

// What must hold of a store on a disk that is full, whatever the file system. `until_full` appends, asking first.
void LiveThroughAFullDisk(LogStore* store, const std::function<void()>& give_space) {
  const auto admit = [&](uint64_t lsn) {
    JournalEntry entry;
    entry.log = LogId(1);
    entry.epoch = Epoch(1);
    entry.attempt = kAttempt;
    entry.epoch_first_lsn = Lsn(1);
    entry.batch = MakeBatch(LogId(1), Epoch(1), Lsn(lsn), 1, 4000);
    const Status admitted = store->Admit(entry);
    if (admitted.ok()) store->Enqueue(std::move(entry));
    return admitted;
  };
  const auto commit = [&](std::vector<GroupOutcome::Failed>* failed) {
    while (auto group = store->TakeGroup()) {
      store->WriteAndSync(group.get());
      GroupOutcome outcome = store->FinishGroup(std::move(group));
      ASSERT_TRUE(outcome.fatal.ok()) << outcome.fatal.ToString();
      for (auto& one : outcome.failed) failed->push_back(one);
    }
  };
  const auto control = [&](JournalKind kind, uint64_t log, uint64_t value) {
    JournalEntry entry;
    entry.kind = kind;
    entry.log = LogId(log);
    entry.epoch = Epoch(value);
    entry.lsn = Lsn(value);
    const Status admitted = store->Admit(entry);
    ASSERT_TRUE(admitted.ok()) << "seals and trims are admitted on a full disk: " << admitted.ToString();
    store->Enqueue(std::move(entry));
  };
  std::vector<GroupOutcome::Failed> failed;
  uint64_t tail = 0;
  Status refused;
  while (tail < 100'000) {
    refused = admit(tail + 1);
    if (!refused.ok()) break;
    ASSERT_NO_FATAL_FAILURE(commit(&failed));
    if (!failed.empty()) {
      EXPECT_EQ(failed[0].status.code(), StatusCode::kResourceExhausted);
      refused = failed[0].status;
      break;
    }
    ++tail;
    if (tail % 8 == 0) store->Maintain();
  }
  ASSERT_GT(tail, 10u);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("disk full"), std::string::npos) << refused.message();
  EXPECT_TRUE(store->Stats().disk_full);
  EXPECT_EQ(admit(tail + 1).code(), StatusCode::kResourceExhausted) << "and stays refused: " << refused.ToString();
  store->Maintain();

  // Reads and seals work; so does a copy for a takeover.
  failed.clear();
  for (uint64_t log = 1; log <= 30; ++log) {
    ASSERT_NO_FATAL_FAILURE(control(JournalKind::kSeal, log + 100, 7));
    ASSERT_NO_FATAL_FAILURE(commit(&failed));
  }
  JournalEntry fetched;
  fetched.kind = JournalKind::kFetched;
  fetched.log = LogId(50);
  fetched.epoch = Epoch(1);
  fetched.batch = MakeBatch(LogId(50), Epoch(1), Lsn(1), 1, 2000);
  ASSERT_TRUE(store->Admit(fetched).ok());
  store->Enqueue(fetched);
  ASSERT_NO_FATAL_FAILURE(commit(&failed));
  EXPECT_TRUE(failed.empty());
  EXPECT_TRUE(store->Read(LogId(50), Epoch(1), Lsn(1), Lsn(1), 1).ok());
  for (uint64_t lsn = 1; lsn <= tail; lsn += 7) {
    ASSERT_TRUE(store->Read(LogId(1), Epoch(1), Lsn(lsn), Lsn(lsn), 1).ok()) << lsn;
  }

  give_space();
  ASSERT_NO_FATAL_FAILURE(commit(&failed));
  for (int i = 0; i < 4; ++i) store->Maintain();
  const uint64_t before = tail;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(admit(tail + 1).ok()) << "appends are taken again";
    ASSERT_NO_FATAL_FAILURE(commit(&failed));
    ++tail;
  }
  EXPECT_TRUE(failed.empty());
  EXPECT_FALSE(store->Stats().disk_full);
  for (uint64_t lsn = before; lsn <= tail; ++lsn) {
    ASSERT_TRUE(store->Read(LogId(1), Epoch(1), Lsn(lsn), Lsn(lsn), 1).ok());
  }
}

// By its parameter the free space can be asked for, or is found out by a write that fails, as with a quota.
class FullDiskTest : public ::testing::TestWithParam<bool> {
 protected:
  void Open(TestStore* t, uint64_t capacity) {
    ASSERT_TRUE(t->Open().ok());
    t->store->Maintain();
    t->files.HideCapacity(GetParam());
    t->files.SetCapacity(capacity);
  }
  QuietLog quiet_;
};

TEST_P(FullDiskTest, RefusesAppendsAndGoesOnWhenItGrows) {
  TestStore t(1);
  ASSERT_NO_FATAL_FAILURE(Open(&t, 1u << 20));
  LiveThroughAFullDisk(t.store.get(), [&] { t.files.SetCapacity(UINT64_MAX); });
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.recovered.retired);
  EXPECT_EQ(t.RecoveredOf(120)->sealed, Epoch(7));
}

TEST_P(FullDiskTest, GoesOnWhenItsLogIsTrimmed) {
  for (const uint64_t capacity : {700u << 10, 1000u << 10, 1003u << 10, 1100u << 10}) {
    SCOPED_TRACE("capacity " + std::to_string(capacity));
    TestStore t(1);
    ASSERT_NO_FATAL_FAILURE(Open(&t, capacity));
    LiveThroughAFullDisk(t.store.get(), [&] {
      JournalEntry trim;
      trim.kind = JournalKind::kTrim;
      trim.log = LogId(1);
      trim.lsn = Lsn(100);
      ASSERT_TRUE(t.store->Admit(trim).ok());
      t.store->Enqueue(trim);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Room, FullDiskTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "IsNotKnown" : "IsKnown"; });

// Appends to log 1 for as long as they are admitted; why they are not any more. What fails on its way counts, too.
Status AppendUntilRefused(TestStore* t) {
  for (int i = 0; i < 1000; ++i) {
    JournalEntry probe;
    probe.log = LogId(1);
    probe.epoch = Epoch(1);
    probe.batch = MakeBatch(probe.log, probe.epoch, Lsn(1), 1, 1000);
    if (const Status admitted = t->store->Admit(probe); !admitted.ok()) return admitted;
    t->Append(1, 1, 1, 1000);
    const GroupOutcome outcome = t->Commit();
    UNDERSTUDY_CHECK(outcome.fatal.ok());
    if (outcome.failed.empty()) continue;
    Lsn& tail = t->tails[{1, 1}];
    tail = Lsn(tail.value() - outcome.failed.size());
    return outcome.failed[0].status;
  }
  return Status::Ok();
}

// Filled to the last byte by somebody else, who takes whatever is given up, too.
TEST(LogStoreFaultTest, StartsOnAFullDiskAgainAndAgain) {
  QuietLog quiet;
  for (const bool indexed : {false, true}) {
    SCOPED_TRACE(indexed ? "the journal is indexed" : "the journal is not indexed");
    TestStore t(1);
    ASSERT_TRUE(t.Open().ok());
    for (int i = 0; i < 40; ++i) t.Append(1, 1, 5, 500);
    ASSERT_TRUE(t.Commit().fatal.ok());
    t.store->Maintain();
    t.Append(2, 1, 3);
    ASSERT_TRUE(t.Commit().fatal.ok());
    if (indexed) {
      ASSERT_TRUE(t.store->FlushIndex().ok());
    }
    const auto full = [&] { t.files.SetCapacity(t.files.BytesUsed()); };
    full();
    uint64_t log = 100;
    for (uint64_t boot = 2; boot <= 16; boot += 2) {
      SCOPED_TRACE("boot " + std::to_string(boot));
      t.store.reset();
      t.files.Kill();
      const Status opened = t.Open();
      ASSERT_TRUE(opened.ok()) << opened.ToString();
      EXPECT_EQ(t.recovered.boot_count, boot);
      EXPECT_FALSE(t.recovered.retired);
      EXPECT_TRUE(t.store->Stats().disk_full);
      EXPECT_EQ(t.Recovered(1, 1)->tail, (t.tails[{1, 1}]));
      EXPECT_EQ(t.Check(1, 1, 1, t.tails[{1, 1}].value()), "");
      EXPECT_EQ(t.Check(2, 1, 1, 3), "");
      for (uint64_t sealed = 100; sealed < log; ++sealed) {
        ASSERT_NE(t.RecoveredOf(sealed), nullptr) << "the seal of log " << sealed << " is lost";
      }
      const Status refused = AppendUntilRefused(&t);
      EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
      EXPECT_NE(refused.message().find("disk full"), std::string::npos) << refused.message();
      for (const uint64_t end = log + 40; log < end; ++log) t.Seal(log, 7);
      EXPECT_TRUE(t.Commit().failed.empty()) << "seals are for what is kept in reserve";
      EXPECT_EQ(*t.store->RaiseBootCount(), boot + 1);
      if (boot % 4 == 0) t.store->Maintain();
      full();
    }
    t.files.SetCapacity(UINT64_MAX);
    for (int i = 0; i < 4; ++i) t.store->Maintain();
    EXPECT_FALSE(t.store->Stats().disk_full);
    t.Append(1, 1, 5, 500);
    EXPECT_TRUE(t.Commit().failed.empty()) << "appends are taken again";
    ASSERT_TRUE(t.store->FlushIndex().ok());
    ASSERT_TRUE(t.Open().ok());
    EXPECT_EQ(t.recovered.scanned_bytes, 0u) << "the index is written again";
    EXPECT_EQ(t.Check(1, 1, 1, t.tails[{1, 1}].value()), "");
    EXPECT_EQ(t.RecoveredOf(log - 1)->sealed, Epoch(7));
  }
}

TEST(LogStoreFaultTest, AnIdentityOfTheFirstVersionGetsItsRoomOnAFullDisk) {
  QuietLog quiet;
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  for (int i = 0; i < 40; ++i) t.Append(1, 1, 5, 500);
  ASSERT_TRUE(t.Commit().fatal.ok());
  t.store->Maintain();
  t.store.reset();
  const std::string path = std::string(kDir) + "/IDENTITY";
  std::string text = t.files.Content(path);
  text.resize(text.find('\0'));
  ASSERT_TRUE(ReplaceFile(&t.files, path, text).ok());
  t.files.SetCapacity(t.files.BytesUsed());
  const Status opened = t.Open();
  ASSERT_TRUE(opened.ok()) << opened.ToString();
  EXPECT_EQ(t.recovered.boot_count, 2u);
}

TEST(LogStoreFaultTest, AFullTmpfs) {
  const std::string dir = testing::TempDir() + "full_" + std::to_string(SystemRandom()->Next64());
  std::filesystem::create_directory(dir);
  if (mount("understudy-test", dir.c_str(), "tmpfs", 0, "size=4m") != 0) {
    std::filesystem::remove(dir);
    GTEST_SKIP() << "mounting a small tmpfs needs root; the same runs in memory above";
  }
  QuietLog quiet;
  {
    ManualClock clock;
    LogStoreOptions options;
    options.segment_bytes = 256u << 10;
    options.background = false;
    options.cache_bytes_max = 0;
    RecoveredState recovered;
    auto opened = LogStore::Open(dir + "/data", options, SystemFileSystem(), SystemRandom(), &clock, &recovered);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    if (opened.ok()) {
      (*opened)->Maintain();
      LiveThroughAFullDisk(opened->get(),
                           [&] { EXPECT_EQ(mount(nullptr, dir.c_str(), nullptr, MS_REMOUNT, "size=16m"), 0); });
    }
  }
  EXPECT_EQ(umount(dir.c_str()), 0);
  std::filesystem::remove(dir);
}

}  // namespace
}  // namespace understudy

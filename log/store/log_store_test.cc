// What a store does while nothing goes wrong.
#include "log/store/log_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "log/store/store_testing.h"

namespace understudy {
namespace {

TEST(LogStoreTest, KeepsWhatItSaysIsDurable) {
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_TRUE(t.recovered.fresh);
  EXPECT_EQ(t.recovered.boot_count, 1u);
  const DiskId disk = t.store->disk_id();
  t.Append(1, 1, 3);
  t.Append(2, 5, 1);
  const uint64_t last = t.Append(1, 1, 2);
  EXPECT_EQ(t.Read(1, 1, 1).status().code(), StatusCode::kShort) << "queued is not durable";
  const GroupOutcome out = t.Commit();
  EXPECT_TRUE(out.fatal.ok());
  EXPECT_EQ(out.durable_through, last);
  EXPECT_EQ(t.Check(1, 1, 1, 5), "");
  EXPECT_EQ(t.Check(2, 5, 1, 1), "");

  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.recovered.fresh);
  EXPECT_FALSE(t.recovered.retired);
  EXPECT_EQ(t.recovered.boot_count, 2u);
  EXPECT_EQ(t.recovered.disk, disk);
  ASSERT_NE(t.Recovered(1, 1), nullptr);
  const RecoveredEpoch& epoch = *t.Recovered(1, 1);
  EXPECT_EQ(epoch.tail, Lsn(5));
  EXPECT_EQ(epoch.attempt, kAttempt);
  EXPECT_EQ(epoch.epoch_first_lsn, Lsn(1));
  EXPECT_EQ(epoch.last.first_lsn, Lsn(4));
  EXPECT_EQ(t.RecoveredOf(2)->sealed, Epoch(4)) << "the first append of an epoch seals all lower ones";
  EXPECT_EQ(t.Check(1, 1, 1, 5), "");
  EXPECT_EQ(t.Check(2, 5, 1, 1), "");
}

TEST(LogStoreTest, SealsTrimsAndCopiesAreRemembered) {
  for (const bool indexed : {false, true}) {
    SCOPED_TRACE(indexed ? "from the index" : "from the journal");
    TestStore t(1);
    ASSERT_TRUE(t.Open().ok());
    t.Append(1, 1, 10);
    t.Seal(1, 3);
    t.Seal(9, 2);  // a log never heard of
    t.Trim(1, 4);
    JournalEntry fetched;
    fetched.kind = JournalKind::kFetched;
    fetched.log = LogId(3);
    fetched.epoch = Epoch(7);
    fetched.epoch_first_lsn = Lsn(100);
    fetched.batch = MakeBatch(LogId(3), Epoch(7), Lsn(150), 5, 20);
    t.store->Enqueue(fetched);
    ASSERT_TRUE(t.Commit().fatal.ok());
    if (indexed) {
      ASSERT_TRUE(t.store->FlushIndex().ok());
    }
    ASSERT_TRUE(t.Open().ok());
    EXPECT_EQ(t.recovered.scanned_bytes == 0, indexed);
    EXPECT_EQ(t.RecoveredOf(1)->sealed, Epoch(3));
    EXPECT_EQ(t.RecoveredOf(1)->trim, Lsn(4));
    EXPECT_EQ(t.RecoveredOf(9)->sealed, Epoch(2));
    EXPECT_EQ(t.RecoveredOf(3)->sealed, Epoch(7)) << "a copy seals its own epoch here";
    EXPECT_EQ(t.Recovered(3, 7)->tail, Lsn(154));
    EXPECT_EQ(t.Recovered(3, 7)->epoch_first_lsn, Lsn(100));
    EXPECT_EQ(t.Read(1, 1, 4).status().code(), StatusCode::kTrimmed);
    EXPECT_EQ(t.Check(1, 1, 5, 10), "");
    EXPECT_EQ(t.Check(3, 7, 150, 154), "");
    EXPECT_EQ(t.Read(3, 7, 149).status().code(), StatusCode::kShort) << "never fetched";
    EXPECT_EQ(t.Read(1, 1, 11).status().code(), StatusCode::kShort);
    EXPECT_EQ(t.Read(1, 2, 5).status().code(), StatusCode::kShort);
    EXPECT_EQ(t.Read(77, 1, 1).status().code(), StatusCode::kShort);
  }
}

TEST(LogStoreTest, ReadsWholeBatchesWithinTheBounds) {
  for (const uint64_t cache : {uint64_t{0}, uint64_t{1} << 20}) {
    SCOPED_TRACE("cache of " + std::to_string(cache));
    TestStore t(1);
    t.options.cache_bytes_max = cache;
    ASSERT_TRUE(t.Open().ok());
    for (int i = 0; i < 10; ++i) t.Append(1, 1, 10, 50);
    ASSERT_TRUE(t.Commit().fatal.ok());
    const size_t batch = MakeBatch(LogId(1), Epoch(1), Lsn(1), 10, 50)->size();
    EXPECT_EQ(t.store->TryReadCached(LogId(1), Epoch(1), Lsn(1), Lsn(100), 1u << 20).has_value(), cache != 0);
    EXPECT_EQ(SplitBatches(*t.Read(1, 1, 1)).size(), 10u);
    EXPECT_EQ(SplitBatches(*t.Read(1, 1, 1, 100, 1)).size(), 1u) << "at least one batch comes";
    EXPECT_EQ(SplitBatches(*t.Read(1, 1, 1, 100, 3 * batch + 1)).size(), 3u);
    EXPECT_EQ(SplitBatches(*t.Read(1, 1, 1, 20)).size(), 2u);
    EXPECT_EQ(SplitBatches(*t.Read(1, 1, 1, 21)).size(), 3u);
    const auto from_middle = SplitBatches(*t.Read(1, 1, 15, 15));
    ASSERT_EQ(from_middle.size(), 1u);
    EXPECT_EQ(PeekBatch(from_middle[0])->first_lsn, Lsn(11)) << "the first one may begin below";
  }
}

TEST(LogStoreTest, TellsADuplicateByItsChecksum) {
  for (const uint64_t cache : {uint64_t{0}, uint64_t{1} << 20}) {
    TestStore t(1);
    t.options.cache_bytes_max = cache;
    ASSERT_TRUE(t.Open().ok());
    t.Append(1, 1, 3);
    t.Append(1, 1, 4);
    const uint32_t crc = PeekBatch(*MakeBatch(LogId(1), Epoch(1), Lsn(4), 4, 20))->crc;
    const auto queued = t.store->FindBatch(LogId(1), Epoch(1), Lsn(5));
    ASSERT_TRUE(queued.ok()) << "queued ones are found too: " << queued.status().ToString();
    EXPECT_EQ(*queued, (BatchIdentity{Lsn(4), Lsn(7), crc}));
    ASSERT_TRUE(t.Commit().fatal.ok());
    t.Append(1, 1, 1);
    ASSERT_TRUE(t.Commit().fatal.ok());
    EXPECT_EQ(*t.store->FindBatch(LogId(1), Epoch(1), Lsn(4)), (BatchIdentity{Lsn(4), Lsn(7), crc}));
    EXPECT_EQ(t.store->FindBatch(LogId(1), Epoch(1), Lsn(9)).status().code(), StatusCode::kShort);
    ASSERT_TRUE(t.Open().ok());
    EXPECT_EQ(*t.store->FindBatch(LogId(1), Epoch(1), Lsn(4)), (BatchIdentity{Lsn(4), Lsn(7), crc}));
    EXPECT_EQ(t.store->TryFindBatch(LogId(1), Epoch(1), Lsn(8))->first_lsn, Lsn(8)) << "the last one is known";
  }
}

TEST(LogStoreTest, FillsManySegmentsAndRecyclesTrimmedOnes) {
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  uint64_t kept = 0;
  size_t most = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 10; ++i) t.Append(1, 1, 10, 200);
    t.Append(2, 1, 1, 10);  // a quiet log that is never trimmed
    ASSERT_TRUE(t.Commit().fatal.ok());
    kept = t.tails[{1, 1}].value() - 50;
    t.Trim(1, kept);
    ASSERT_TRUE(t.Commit().fatal.ok());
    t.store->Maintain();
    t.clock.now = t.clock.now + kNsPerSecond;
    ASSERT_EQ(t.Check(1, 1, kept + 1, t.tails[{1, 1}].value()), "") << "round " << round;
    most = std::max(most, t.SegmentPaths().size());
  }
  EXPECT_EQ(t.Check(2, 1, 1, 60), "");
  EXPECT_GT(t.store->Stats().groups, 60u);
  EXPECT_LT(most, 14u) << "1.3 MiB were written to segments of 64 KiB";
  EXPECT_GT(t.store->Stats().relocated_bytes, 0u) << "the quiet log's batches must not hold every segment";
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.recovered.retired) << t.recovered.retired_reason;
  EXPECT_EQ(t.Check(1, 1, kept + 1, t.tails[{1, 1}].value()), "");
  EXPECT_EQ(t.Check(2, 1, 1, 60), "");
  EXPECT_LE(t.store->LogBytes(LogId(2)), 60u * 80);
}

TEST(LogStoreTest, TinyBatchesLeaveFewIndexEntries) {
  TestStore t(1);
  t.options.segment_bytes = 1u << 20;
  ASSERT_TRUE(t.Open().ok());
  for (int i = 0; i < 2000; ++i) {
    t.Append(1, 1, 1, 100);
    t.Append(2, 1, 1, 100);
    ASSERT_TRUE(t.Commit().fatal.ok());  // a group each: as two synchronous writers leave them
  }
  EXPECT_LT(t.store->Stats().index_entries_memory, 40u);
  t.store->Maintain();
  EXPECT_LE(t.store->Stats().index_entries_memory, 2u);
  EXPECT_EQ(t.Check(1, 1, 1, 2000), "");
  EXPECT_EQ(t.Check(2, 1, 1, 2000), "");
  EXPECT_EQ(SplitBatches(*t.Read(2, 1, 1000, 2000, 1u << 20)).size(), 1001u);
}

// A writer that works for hours must not make the store grow: cache, index and files follow what is live.
TEST(LogStoreTest, MemoryAndFilesAreBounded) {
  TestStore t(1);
  t.options.cache_bytes_max = 32u << 10;
  ASSERT_TRUE(t.Open().ok());
  uint64_t index_most = 0;
  for (int i = 0; i < 6000; ++i) {
    t.Append(1 + static_cast<uint64_t>(i % 5), 1, 1, 100);
    ASSERT_TRUE(t.Commit().fatal.ok());
    if (i % 50 != 49) continue;
    for (uint64_t log = 1; log <= 5; ++log) t.Trim(log, t.tails[{log, 1}].value() - 5);
    ASSERT_TRUE(t.Commit().fatal.ok());
    t.store->Maintain();
    t.clock.now = t.clock.now + kNsPerSecond;
    const StoreStats stats = t.store->Stats();
    ASSERT_LE(stats.cache_bytes, t.options.cache_bytes_max);
    ASSERT_LE(stats.journal_bytes, 12 * t.options.segment_bytes);
    ASSERT_EQ(stats.queue_bytes, 0u);
    index_most = std::max(index_most, stats.index_entries_memory);
  }
  EXPECT_LE(index_most, 10u);
  for (uint64_t log = 1; log <= 5; ++log) {
    const uint64_t tail = t.tails[{log, 1}].value();
    EXPECT_EQ(t.Check(log, 1, tail - 4, tail), "");
  }
}

TEST(LogStoreTest, RefusesWhatItCannotHold) {
  QuietLog quiet;
  TestStore t(1);
  t.options.logs_max = 2;
  t.options.queue_bytes_max = 4000;
  ASSERT_TRUE(t.Open().ok());
  JournalEntry entry;
  entry.log = LogId(1);
  entry.epoch = Epoch(1);
  entry.batch = MakeBatch(entry.log, entry.epoch, Lsn(1), 1, 60'000);
  EXPECT_EQ(t.store->Admit(entry).code(), StatusCode::kInvalidArgument);
  entry.batch = MakeBatch(entry.log, entry.epoch, Lsn(1), 1, 3000);
  EXPECT_TRUE(t.store->Admit(entry).ok());
  t.Append(1, 1, 1, 3000);
  EXPECT_EQ(t.store->Admit(entry).code(), StatusCode::kResourceExhausted) << "the queue is full";
  t.Seal(2, 1);
  ASSERT_TRUE(t.Commit().fatal.ok());
  EXPECT_TRUE(t.store->Admit(entry).ok());
  entry.kind = JournalKind::kSeal;
  entry.batch = nullptr;
  entry.log = LogId(3);
  EXPECT_EQ(t.store->Admit(entry).code(), StatusCode::kResourceExhausted) << "a third log";
  ASSERT_TRUE(t.store->Retire("test").ok());
  entry.log = LogId(1);
  EXPECT_EQ(t.store->Admit(entry).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(t.Check(1, 1, 1, 1), "") << "a retired disk serves what it holds";
  EXPECT_EQ(t.Read(1, 1, 2).status().code(), StatusCode::kDataUnknown) << "and says nothing of what it does not";
  ASSERT_TRUE(t.Open().ok());
  EXPECT_TRUE(t.recovered.retired);
  EXPECT_EQ(t.recovered.retired_reason, "test");
}

TEST(LogStoreTest, OneGroupAtATime) {
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  t.Append(1, 1);
  auto group = t.store->TakeGroup();
  ASSERT_NE(group, nullptr);
  const uint64_t later = t.Append(1, 1);
  EXPECT_FALSE(t.store->HasPending());
  EXPECT_EQ(t.store->TakeGroup(), nullptr) << "group n+1 waits for group n's sync";
  t.store->WriteAndSync(group.get());
  EXPECT_EQ(t.store->FinishGroup(std::move(group)).durable_through, later - 1);
  EXPECT_TRUE(t.store->HasPending());
  EXPECT_EQ(t.Commit().durable_through, later);
  EXPECT_EQ(t.Check(1, 1, 1, 2), "");
}

TEST(LogStoreTest, IsOpenedOnceAndCountsItsStarts) {
  TestStore t(1);
  ASSERT_TRUE(t.Open().ok());
  RecoveredState other;
  SeededRandom random(2);
  EXPECT_EQ(LogStore::Open(kDir, t.options, &t.files, &random, &t.clock, &other).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(*t.store->RaiseBootCount(), 2u);
  ASSERT_TRUE(t.Open().ok());
  EXPECT_EQ(t.recovered.boot_count, 3u);
}

// On the real file system, with the background thread, as a server runs it.
TEST(LogStoreTest, WorksOnARealDiskWithReadersBesideTheWriter) {
  const std::string dir = testing::TempDir() + "store_" + std::to_string(SystemRandom()->Next64());
  LogStoreOptions options;
  options.segment_bytes = 1u << 20;
  options.index_flush_bytes = 1u << 20;
  options.cache_bytes_max = 64u << 10;
  constexpr uint64_t kBatches = 400;
  {
    RecoveredState recovered;
    auto opened = LogStore::Open(dir, options, SystemFileSystem(), SystemRandom(), SystemClock(), &recovered);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    LogStore* store = opened->get();
    std::atomic<uint64_t> durable{0};
    std::thread reader([&] {
      uint64_t next = 1;
      while (next <= kBatches * 100) {
        const uint64_t promised = durable.load();
        const auto read = store->Read(LogId(1), Epoch(1), Lsn(next), Lsn(UINT64_MAX), 256u << 10);
        if (!read.ok()) {
          ASSERT_EQ(read.status().code(), StatusCode::kShort);
          ASSERT_GT(next, promised) << "durable must be readable";
          std::this_thread::yield();
          continue;
        }
        for (const std::string& batch : SplitBatches(*read)) {
          const auto header = VerifyBatch(batch);
          ASSERT_TRUE(header.ok());
          ASSERT_EQ(header->first_lsn, Lsn(next));
          next = header->last_lsn().value() + 1;
        }
      }
    });
    for (uint64_t i = 0; i < kBatches; ++i) {
      JournalEntry entry;
      entry.log = LogId(1);
      entry.epoch = Epoch(1);
      entry.attempt = kAttempt;
      entry.epoch_first_lsn = Lsn(1);
      entry.batch = MakeBatch(LogId(1), Epoch(1), Lsn(i * 100 + 1), 100, 100);
      ASSERT_TRUE(store->Admit(entry).ok());
      store->Enqueue(std::move(entry));
      if (i % 4 != 3) continue;
      while (auto group = store->TakeGroup()) {
        store->WriteAndSync(group.get());
        ASSERT_TRUE(store->FinishGroup(std::move(group)).fatal.ok());
      }
      durable = (i + 1) * 100;
    }
    reader.join();
  }
  RecoveredState recovered;
  auto opened = LogStore::Open(dir, options, SystemFileSystem(), SystemRandom(), SystemClock(), &recovered);
  ASSERT_TRUE(opened.ok());
  ASSERT_EQ(recovered.logs.size(), 1u);
  EXPECT_EQ(recovered.logs[0].epochs[0].tail, Lsn(kBatches * 100));
  opened.value().reset();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace understudy

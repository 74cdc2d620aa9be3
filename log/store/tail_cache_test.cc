#include "log/store/tail_cache.h"

#include <gtest/gtest.h>

#include "log/store/store_testing.h"

namespace understudy {
namespace {

constexpr LogEpoch kA{LogId(1), Epoch(1)};
constexpr LogEpoch kB{LogId(2), Epoch(1)};

void Add(TailCache* cache, const LogEpoch& of, uint64_t first, uint32_t count, size_t payload_bytes = 10) {
  const BatchRef batch = MakeBatch(of.log, of.epoch, Lsn(first), count, payload_bytes);
  cache->Add(of, *PeekBatch(*batch), batch);
}

TEST(TailCacheTest, ServesDurableOnesAndKnowsQueuedOnes) {
  TailCache cache(1u << 20);
  Add(&cache, kA, 1, 5);
  Add(&cache, kA, 6, 5);
  EXPECT_TRUE(cache.Find(kA, Lsn(1), Lsn(10), 1000).empty());
  EXPECT_EQ(cache.Identity(kA, Lsn(8))->first_lsn, Lsn(6));
  cache.Durable(kA, Lsn(5));
  EXPECT_EQ(cache.Find(kA, Lsn(1), Lsn(10), 1000).size(), 1u);
  EXPECT_EQ(cache.Find(kA, Lsn(3), Lsn(3), 1000).size(), 1u);
  EXPECT_TRUE(cache.Find(kA, Lsn(6), Lsn(10), 1000).empty());
  EXPECT_TRUE(cache.Find(kB, Lsn(1), Lsn(10), 1000).empty());
  EXPECT_FALSE(cache.Identity(kA, Lsn(11)).has_value());
  cache.Drop(kA);
  EXPECT_FALSE(cache.Identity(kA, Lsn(8)).has_value()) << "it failed";
  EXPECT_TRUE(cache.Identity(kA, Lsn(5)).has_value());
}

TEST(TailCacheTest, StaysWithinItsBoundOverAllLogsOldestFirst) {
  constexpr uint64_t kBound = 20'000;
  TailCache cache(kBound);
  for (uint64_t lsn = 1; lsn <= 500; ++lsn) {
    for (const LogEpoch& of : {kA, kB}) {
      Add(&cache, of, lsn, 1, 100);
      cache.Durable(of, Lsn(lsn));
      ASSERT_LE(cache.bytes(), kBound);
    }
  }
  EXPECT_FALSE(cache.Identity(kA, Lsn(400)).has_value());
  EXPECT_TRUE(cache.Identity(kA, Lsn(490)).has_value());
  EXPECT_TRUE(cache.Identity(kB, Lsn(490)).has_value());
  EXPECT_GT(cache.bytes(), kBound / 2);
}

TEST(TailCacheTest, QueuedBatchesAreNeverEvicted) {
  TailCache cache(100);
  for (uint64_t lsn = 1; lsn <= 10; ++lsn) Add(&cache, kA, lsn, 1, 100);
  for (uint64_t lsn = 1; lsn <= 10; ++lsn) EXPECT_TRUE(cache.Identity(kA, Lsn(lsn)).has_value());
  cache.Durable(kA, Lsn(10));
  EXPECT_LE(cache.bytes(), 100u);
}

TEST(TailCacheTest, ForgetsWhatIsTrimmedAndLeavesNoHole) {
  TailCache cache(1u << 20);
  for (uint64_t lsn = 1; lsn <= 10; ++lsn) Add(&cache, kA, lsn, 1);
  cache.Durable(kA, Lsn(10));
  cache.Trim(LogId(1), Lsn(4));
  EXPECT_TRUE(cache.Find(kA, Lsn(4), Lsn(10), 1000).empty());
  EXPECT_EQ(cache.Find(kA, Lsn(5), Lsn(10), 1u << 20).size(), 6u);
  Add(&cache, kA, 50, 1);  // a copy that jumped over a trim
  cache.Durable(kA, Lsn(50));
  EXPECT_TRUE(cache.Find(kA, Lsn(5), Lsn(60), 1u << 20).empty());
  EXPECT_EQ(cache.Find(kA, Lsn(50), Lsn(60), 1u << 20).size(), 1u);
  cache.Trim(LogId(1), Lsn(1000));
  EXPECT_EQ(cache.bytes(), 0u);
}

}  // namespace
}  // namespace understudy

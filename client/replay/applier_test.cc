// Parallel replay equals serial replay: for random mixes of keys, sizes and barriers, with any number of lanes.
#include "client/replay/applier.h"

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "log/env/random.h"
#include "log/format/batch.h"

namespace understudy {
namespace {

// Remembers, for each key, the LSNs and a running hash of the payloads; checks that key 0 is alone.
class Journal : public StateMachine {
 public:
  void Apply(const Record& record) override {
    const int others = running_.fetch_add(1);
    if (record.key == 0) {
      EXPECT_EQ(others, 0) << "a record ran beside the barrier at " << record.lsn.value();
      EXPECT_EQ(count_.load(), record.lsn.value() - 1 - base_) << "the barrier overtook or was overtaken";
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      auto& [lsns, hash] = state_[record.key];
      lsns.push_back(record.lsn.value());
      hash = hash * 31 + std::hash<std::string_view>{}(record.payload);
    }
    count_.fetch_add(1);
    running_.fetch_sub(1);
  }
  std::unique_ptr<Snapshot> TakeSnapshot() override { return nullptr; }
  Status Load(CheckpointReader&) override { return Status::Ok(); }
  void Reset() override {}

  void StartAbove(uint64_t lsn) { base_ = lsn; }
  std::map<uint64_t, std::pair<std::vector<uint64_t>, size_t>> state() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }

 private:
  std::mutex mutex_;
  std::map<uint64_t, std::pair<std::vector<uint64_t>, size_t>> state_;
  std::atomic<int> running_{0};
  std::atomic<uint64_t> count_{0};
  uint64_t base_ = 0;
};

std::vector<std::string> RandomBatches(SeededRandom* random, uint64_t first_lsn, uint64_t records) {
  std::vector<std::string> batches;
  BatchBuilder builder;
  uint64_t next = first_lsn;
  const uint64_t keys = 1 + random->Below(200);
  const uint64_t barrier_every = 2 + random->Below(2000);
  while (records > 0) {
    const uint64_t count = std::min<uint64_t>(records, 1 + random->Below(3000));
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t key = random->Below(barrier_every) == 0 ? 0 : 1 + random->Below(keys);
      builder.Add(std::string(random->Below(40), static_cast<char>('a' + random->Below(26))), key);
    }
    batches.push_back(builder.Finish(LogId(1), Epoch(1), Lsn(next)));
    next += count;
    records -= count;
  }
  return batches;
}

std::vector<ApplyRange> Ranges(const std::vector<std::string>& batches, uint64_t from, uint64_t to) {
  std::vector<ApplyRange> ranges;
  for (const std::string& batch : batches) ranges.push_back({batch, Lsn(from), Lsn(to)});
  return ranges;
}

TEST(Applier, ParallelReplayEqualsSerialReplay) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const std::vector<std::string> batches = RandomBatches(&random, 1, 20'000);
    Journal serial;
    EXPECT_EQ(Applier(&serial, 1).Apply(Ranges(batches, 1, 20'000)), 20'000u);
    for (const int lanes : {2, 3, 8}) {
      Journal parallel;
      Applier applier(&parallel, lanes);
      // In several calls with arbitrary borders, as replay does.
      uint64_t done = 0;
      while (done < 20'000) {
        const uint64_t upto = std::min<uint64_t>(20'000, done + 1 + random.Below(9000));
        EXPECT_EQ(applier.Apply(Ranges(batches, done + 1, upto)), upto - done);
        done = upto;
      }
      EXPECT_EQ(parallel.state(), serial.state()) << lanes << " lanes";
    }
  }
}

TEST(Applier, AppliesOnlyTheRangeAskedFor) {
  SeededRandom random(7);
  const std::vector<std::string> batches = RandomBatches(&random, 101, 1000);
  Journal journal;
  journal.StartAbove(149);
  Applier applier(&journal, 2);
  EXPECT_EQ(applier.Apply(Ranges(batches, 150, 600)), 451u);
  EXPECT_EQ(applier.Apply(Ranges(batches, 601, 600)), 0u);
  uint64_t lowest = UINT64_MAX;
  uint64_t highest = 0;
  for (const auto& [key, value] : journal.state()) {
    lowest = std::min(lowest, value.first.front());
    highest = std::max(highest, value.first.back());
  }
  EXPECT_EQ(lowest, 150u);
  EXPECT_EQ(highest, 600u);
}

TEST(ReplayLane, NestsAndCoversAllLanes) {
  SeededRandom random(3);
  std::vector<int> hits(64);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t key = random.Next64() % 5000 + 1;
    const uint32_t shard = ReplayLane(key, 64);
    ASSERT_LT(shard, 64u);
    ++hits[shard];
    for (const uint32_t lanes : {1u, 2u, 4u, 8u, 16u, 32u}) EXPECT_EQ(ReplayLane(key, lanes), shard / (64 / lanes));
  }
  for (const int hit : hits) EXPECT_GT(hit, 0);
}

}  // namespace
}  // namespace understudy

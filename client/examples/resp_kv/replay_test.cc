// A spare's state equals its primary's: by replay alone, and from a checkpoint taken at any moment.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "client/examples/resp_kv/command_harness.h"
#include "client/examples/resp_kv/snapshot.h"

namespace understudy::resp_kv {
namespace {

// Random commands over few keys, so that they meet; types are mixed up often enough for errors too.
class RandomCommands {
 public:
  explicit RandomCommands(uint64_t seed) : state_(seed) {}

  uint64_t Below(uint64_t bound) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state_ >> 33) % bound;
  }
  std::vector<std::string> Next() {
    static const std::vector<std::vector<std::string>> kForms = {
        {"SET", "K", "V"},
        {"SET", "K", "V", "PX", "N"},
        {"SET", "K", "V", "KEEPTTL"},
        {"SETNX", "K", "V"},
        {"APPEND", "K", "V"},
        {"INCRBY", "K", "N"},
        {"INCRBYFLOAT", "K", "0.25"},
        {"GETDEL", "K"},
        {"GET", "K"},
        {"MSET", "K", "V", "K", "V"},
        {"DEL", "K", "K"},
        {"PEXPIRE", "K", "N"},
        {"PERSIST", "K"},
        {"EXPIRE", "K", "-1"},
        {"HSET", "hK", "F", "V", "F", "V"},
        {"HDEL", "hK", "F", "F"},
        {"HINCRBY", "hK", "F", "N"},
        {"LPUSH", "lK", "V", "V"},
        {"RPUSH", "lK", "V", "V", "V"},
        {"LPOP", "lK"},
        {"RPOP", "lK", "2"},
        {"LREM", "lK", "0", "V"},
        {"LREM", "lK", "-1", "V"},
        {"LTRIM", "lK", "1", "-2"},
        {"SADD", "sK", "V", "V"},
        {"SREM", "sK", "V"},
        {"SPOP", "sK"},
        {"SPOP", "sK", "2"},
        {"ZADD", "zK", "N", "F", "N", "F"},
        {"ZPOPMIN", "zK"},
        {"ZREM", "zK", "F"},
        {"RPUSH", "K", "V"},
        {"PEXPIRE", "lK", "N"},
        {"PEXPIRE", "hK", "N"},
    };
    if (Below(2000) == 0) {
      return {"FLUSHALL"};
    }
    std::vector<std::string> words = kForms[Below(kForms.size())];
    for (std::string& word : words) {
      if (word == "V") {
        word = std::to_string(Below(12));
      } else if (word == "F") {
        word = "f" + std::to_string(Below(6));
      } else if (word == "N") {
        word = std::to_string(1 + Below(200));
      } else if (word.size() <= 2 && word.back() == 'K') {
        word.back() = static_cast<char>('a' + Below(20));
      }
    }
    return words;
  }

 private:
  uint64_t state_;
};

class Sink : public CheckpointWriter {
 public:
  Status Write(std::string_view part) override {
    bytes.append(part);
    return Status::Ok();
  }
  std::string bytes;
};

class Source : public CheckpointReader {
 public:
  Source(std::string bytes, size_t step) : bytes_(std::move(bytes)), step_(step) {}
  Result<size_t> Read(char* buffer, size_t size) override {
    const size_t part = bytes_.copy(buffer, std::min(size, step_), at_);
    at_ += part;
    return part;
  }

 private:
  std::string bytes_;
  size_t step_;
  size_t at_ = 0;
};

std::string Saved(Store* store) {
  Sink sink;
  EXPECT_TRUE(MakeSnapshot(store)->Write(sink).ok());
  return sink.bytes;
}

TEST(ReplayTest, RandomCommandsLeaveTheSameStateOnASpare) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CommandHarness primary;
    RandomCommands commands(seed);
    std::unique_ptr<Snapshot> snapshot;
    std::string dump_at_snapshot;
    size_t records_at_snapshot = 0;
    for (int i = 0; i < 8000; ++i) {
      primary.now_ms += static_cast<int64_t>(commands.Below(5));
      primary.RunWords(commands.Next());
      if (i == 4000) {
        snapshot = MakeSnapshot(&primary.store);  // written only at the end: what follows must not reach it
        dump_at_snapshot = CanonicalDump(primary.store);
        records_at_snapshot = primary.records.size();
      }
    }
    const std::string expected = CanonicalDump(primary.store);
    ASSERT_GT(primary.store.keys(), 20u);

    Store serial;
    for (const auto& [key, payload] : primary.records) {
      ASSERT_TRUE(ApplyRecord(payload, &serial).ok());
    }
    EXPECT_EQ(CanonicalDump(serial), expected);
    EXPECT_EQ(serial.bytes(), primary.store.bytes());
    EXPECT_EQ(serial.keys_with_expiry(), primary.store.keys_with_expiry());

    Sink checkpoint;
    ASSERT_TRUE(snapshot->Write(checkpoint).ok());
    Source source(checkpoint.bytes, 7);
    Store loaded;
    ASSERT_TRUE(LoadSnapshot(source, &loaded).ok());
    EXPECT_EQ(CanonicalDump(loaded), dump_at_snapshot);
    for (size_t i = records_at_snapshot; i < primary.records.size(); ++i) {
      ASSERT_TRUE(ApplyRecord(primary.records[i].second, &loaded).ok());
    }
    EXPECT_EQ(CanonicalDump(loaded), expected);
    EXPECT_EQ(loaded.bytes(), primary.store.bytes());
  }
}

TEST(ReplayTest, DifferentKeysMayBeAppliedFromSeveralThreads) {
  CommandHarness primary;
  RandomCommands commands(99);
  for (int i = 0; i < 5000; ++i) {
    primary.RunWords(commands.Next());
  }
  Store spare;
  // As the library does: between two records of key 0, each key's records go to one of two lanes, in order.
  std::vector<std::unique_ptr<StoreSnapshot>> snapshots;
  for (size_t from = 0; from < primary.records.size();) {
    size_t to = from;
    while (to < primary.records.size() && primary.records[to].first != 0) {
      ++to;
    }
    const auto lane = [&](uint64_t parity) {
      for (size_t i = from; i < to; ++i) {
        if (primary.records[i].first % 2 == parity) {
          ASSERT_TRUE(ApplyRecord(primary.records[i].second, &spare).ok());
        }
      }
    };
    if (snapshots.size() < 20) {
      snapshots.push_back(spare.Snapshot());
    }
    std::thread even(lane, 0);
    std::thread odd(lane, 1);
    even.join();
    odd.join();
    if (to < primary.records.size()) {
      ASSERT_TRUE(ApplyRecord(primary.records[to].second, &spare).ok());
    }
    from = to + 1;
  }
  EXPECT_EQ(CanonicalDump(spare), CanonicalDump(primary.store));
  EXPECT_EQ(spare.bytes(), primary.store.bytes());
}

TEST(SnapshotTest, HoldsStillWhileTheStoreGoesOn) {
  CommandHarness primary;
  primary.Line("RPUSH l a b c");
  primary.Line("SET k v");
  const auto snapshot = MakeSnapshot(&primary.store);
  primary.Line("RPUSH l d");
  primary.Line("SET k w");
  primary.Line("SET new x");
  primary.Line("FLUSHALL");
  Sink sink;
  ASSERT_TRUE(snapshot->Write(sink).ok());
  Source source(sink.bytes, 1 << 20);
  CommandHarness spare;
  ASSERT_TRUE(LoadSnapshot(source, &spare.store).ok());
  EXPECT_EQ(spare.Line("LRANGE l 0 -1"), "*3 $1 a $1 b $1 c ");
  EXPECT_EQ(spare.Line("GET k"), "$1 v ");
  EXPECT_EQ(spare.Line("DBSIZE"), ":2 ");
}

TEST(SnapshotTest, EveryTruncationAndEveryFlippedByteIsRefusedOrHarmless) {
  CommandHarness primary;
  for (const char* line : {"SET k v PX 70", "RPUSH l a b", "HSET h f v", "SADD s m", "ZADD z 1.5 m"}) {
    primary.Line(line);
  }
  const std::string good = Saved(&primary.store);
  for (size_t size = 0; size < good.size(); ++size) {
    Source source(good.substr(0, size), 64);
    Store store;
    EXPECT_EQ(LoadSnapshot(source, &store).code(), StatusCode::kCorruption) << size;
  }
  Source longer(good + "x", 64);
  Store store;
  EXPECT_EQ(LoadSnapshot(longer, &store).code(), StatusCode::kCorruption);
  // The library's checksums keep flipped bytes away; if one came through, it must not crash or hang.
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x80);
    Source flipped(bad, 64);
    Store other;
    const Status status = LoadSnapshot(flipped, &other);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kCorruption) << at;
  }
}

TEST(RecordTest, RefusesWhatIsNoRecord) {
  Store store;
  EXPECT_EQ(ApplyRecord("", &store).code(), StatusCode::kCorruption);
  EXPECT_EQ(ApplyRecord("hello", &store).code(), StatusCode::kCorruption);
  EXPECT_EQ(ApplyRecord(std::string("\x01\x63\x01k", 4), &store).code(), StatusCode::kCorruption);  // unknown effect
  EffectWriter effects;
  effects.HashSet("h", std::vector<std::string_view>{"field", "value"});
  effects.SortedAdd("z", std::vector<std::pair<double, std::string_view>>{{1.0, "m"}});
  for (size_t size = 2; size < effects.payload().size(); ++size) {
    Store other;
    const Status status = ApplyRecord(std::string_view(effects.payload()).substr(0, size), &other);
    EXPECT_TRUE(!status.ok() || size == 17u) << size;  // 17: exactly the first effect
  }
}

}  // namespace
}  // namespace understudy::resp_kv

// The store over three real members that are killed, frozen and cut off.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "log/env/logging.h"
#include "log/metadata/etcd/etcd_cluster_testing.h"
#include "log/metadata/etcd/etcd_metadata_store.h"
#include "log/metadata/metadata_calls_testing.h"

namespace understudy::etcd {
namespace {

class EtcdFaultTest : public testing::Test {
 protected:
  static EtcdMetadataOptions Impatient() {
    EtcdMetadataOptions options;
    options.call_timeout_ms = 1000;
    options.attempt_timeout_ms = 300;
    options.connect_timeout_ms = 300;
    options.watch_idle_ms = 1000;
    return options;
  }
  std::unique_ptr<MetadataStore> Open(std::vector<std::string> endpoints, EtcdMetadataOptions options = Impatient()) {
    options.endpoints = std::move(endpoints);
    auto opened = OpenEtcdMetadataStore(SystemClock(), options);
    UNDERSTUDY_CHECK(opened.ok());
    return std::move(opened).value();
  }
  // Until the store answers a read.
  static void WaitUntilAnswered(MetadataStore* store) {
    const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
    while (!GetNow(store, "/any").ok()) ASSERT_LT(SystemClock()->Now(), deadline) << "etcd does not come back";
  }
  static int64_t MsSince(Instant begin) { return (SystemClock()->Now() - begin) / kNsPerMs; }
  // A swap that is tried again until it is made. `value` must be new.
  static uint64_t Put(MetadataStore* store, const std::string& key, uint64_t expected, const std::string& value) {
    const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
    while (true) {
      const Result<uint64_t> version = SwapNow(store, key, expected, value);
      if (version.ok()) return *version;
      const auto now = GetNow(store, key);
      if (now.ok() && now->has_value() && (*now)->value == value) return (*now)->version;  // one in doubt had been made
      UNDERSTUDY_CHECK(version.status().code() != StatusCode::kConflict && SystemClock()->Now() < deadline);
    }
  }
};

// Counters that threads raise by CAS, and what a watch was told of them.
struct Hammer {
  explicit Hammer(MetadataStore* store) : store(store) {
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { Run("t" + std::to_string(i) + "."); });
  }
  void Run(const std::string& name) {
    for (int n = 0; !stop; ++n) {
      const auto now = GetNow(store, "/hammer/key");
      if (!now.ok()) continue;
      const std::string value = name + std::to_string(n);
      const Result<uint64_t> swapped = SwapNow(store, "/hammer/key", now->has_value() ? (*now)->version : 0, value);
      const std::lock_guard lock(mutex);
      if (swapped.ok()) {
        won[value] = *swapped;
        last_won = std::max(last_won, *swapped);
      } else if (swapped.status().code() == StatusCode::kOutcomeUnknown) {
        unknown.insert(value);
      } else {
        failed.insert(value);
      }
    }
  }
  void WaitForWins(size_t more) {
    const size_t begin = Wins();
    const Instant deadline = SystemClock()->Now() + 60 * kNsPerSecond;
    while (Wins() < begin + more) {
      ASSERT_LT(SystemClock()->Now(), deadline) << "no swap succeeds";
      std::this_thread::yield();
    }
  }
  size_t Wins() {
    const std::lock_guard lock(mutex);
    return won.size();
  }
  void End() {
    stop = true;
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  static constexpr int kThreads = 6;
  MetadataStore* const store;
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::map<std::string, uint64_t> won;  // value -> version
  std::set<std::string> unknown;
  std::set<std::string> failed;
  uint64_t last_won = 0;
  std::vector<std::thread> threads;
};

TEST_F(EtcdFaultTest, EveryAnswerIsTrueAndEveryChangeWatchedWhileMembersDie) {
  EtcdCluster cluster({.members = 3});
  const auto store = Open(cluster.endpoints());
  ASSERT_TRUE(SwapNow(store.get(), "/hammer/begin", 0, "").ok());
  WatchedChanges changes;
  store->Watch("/hammer/", changes.callback());
  Hammer hammer(store.get());
  hammer.WaitForWins(100);
  const size_t leader = cluster.Leader();
  cluster.Kill(leader);  // in the middle of its work
  hammer.WaitForWins(100);
  cluster.Start(leader);
  ASSERT_TRUE(cluster.WaitUntilServing(leader));
  const size_t frozen = cluster.Leader();
  cluster.Freeze(frozen);
  hammer.WaitForWins(100);
  cluster.Thaw(frozen);
  hammer.WaitForWins(100);
  cluster.Kill((cluster.Leader() + 1) % 3);
  hammer.WaitForWins(100);
  hammer.End();
  const uint64_t end = Put(store.get(), "/hammer/end", 0, "");
  ASSERT_TRUE(changes.WaitUntil([&](const auto& seen) { return !seen.empty() && seen.back().version == end; }));

  uint64_t last = 0;
  std::map<std::string, uint64_t> made;
  for (const MetadataEntry& entry : changes.seen()) {
    EXPECT_GT(entry.version, last) << "out of order, or twice";
    last = entry.version;
    if (entry.key == "/hammer/key") made[entry.value] = entry.version;
  }
  for (const auto& [value, version] : hammer.won) {
    ASSERT_EQ(made.count(value), 1u) << value << " was answered with success; no watch saw it";
    EXPECT_EQ(made[value], version);
  }
  size_t landed = 0;
  for (const auto& [value, version] : made) {
    EXPECT_EQ(hammer.failed.count(value), 0u) << value << " was answered with certain failure, and is there";
    landed += hammer.unknown.count(value);
    EXPECT_TRUE(hammer.won.count(value) == 1 || hammer.unknown.count(value) == 1) << value;
  }
  std::printf("%zu won, %zu unknown (%zu of them landed), %zu failed\n", hammer.won.size(), hammer.unknown.size(),
              landed, hammer.failed.size());
}

TEST_F(EtcdFaultTest, FrozenForAWhileItAnswersInTimeAndGoesOn) {
  EtcdCluster cluster({.members = 3});
  const auto store = Open(cluster.endpoints());
  const uint64_t version = Put(store.get(), "/a", 0, "1");
  WatchedChanges changes;
  store->Watch("/a", changes.callback());
  cluster.FreezeAll();
  const Instant begin = SystemClock()->Now();
  MetadataAnswer<std::optional<MetadataEntry>> read;
  MetadataAnswer<uint64_t> swap;
  MetadataAnswer<std::vector<MetadataEntry>> list;
  store->Get("/b", read.callback());
  store->CompareAndSwap("/a", version, "2", swap.callback());
  store->List("/c", 10, list.callback());
  EXPECT_LT(MsSince(begin), 500) << "nothing of the caller waits";
  EXPECT_EQ(read.Wait().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(list.Wait().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(swap.Wait().status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_LT(MsSince(begin), 5000);
  cluster.ThawAll();
  WaitUntilAnswered(store.get());
  const auto now = GetNow(store.get(), "/a");
  ASSERT_TRUE(now.ok());
  const uint64_t last = Put(store.get(), "/a", (*now)->version, "3");
  ASSERT_TRUE(changes.WaitUntil([&](const auto& seen) { return !seen.empty() && seen.back().version == last; }));
}

TEST_F(EtcdFaultTest, MemberWithoutQuorumIsNotWaitedForAndMakesNothing) {
  EtcdCluster cluster({.members = 3});
  const auto store = Open({cluster.endpoint(0)});
  const uint64_t version = Put(store.get(), "/a", 0, "1");
  cluster.Kill(1);
  cluster.Kill(2);
  // A change that was proposed before the leader was missed is in doubt; later ones are certainly not made.
  StatusCode code = StatusCode::kOutcomeUnknown;
  for (int tries = 0; tries < 30 && code == StatusCode::kOutcomeUnknown; ++tries) {
    const Result<uint64_t> swapped = SwapNow(store.get(), "/other" + std::to_string(tries), 0, "x");
    ASSERT_FALSE(swapped.ok());
    code = swapped.status().code();
  }
  EXPECT_EQ(code, StatusCode::kUnavailable);
  EXPECT_EQ(GetNow(store.get(), "/a").status().code(), StatusCode::kUnavailable) << "a stale read";
  cluster.Start(1);
  cluster.Start(2);
  WaitUntilAnswered(store.get());
  EXPECT_EQ((*GetNow(store.get(), "/a"))->version, version);
  Put(store.get(), "/a", version, "2");
}

TEST_F(EtcdFaultTest, FrozenMemberIsPassedOver) {
  EtcdCluster cluster({.members = 3});
  const size_t frozen = (cluster.Leader() + 1) % 3;
  const auto store = Open({cluster.endpoint(frozen), cluster.endpoint((frozen + 1) % 3)});
  Put(store.get(), "/a", 0, "1");
  cluster.Freeze(frozen);
  const auto read = GetNow(store.get(), "/a");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  Put(store.get(), "/a", (*read)->version, "2");
}

TEST_F(EtcdFaultTest, NobodyThereIsUnavailableAndSaysWhere) {
  const auto store = Open({"http://127.0.0.1:1", "http://127.0.0.1:2"});
  const Instant begin = SystemClock()->Now();
  EXPECT_EQ(SwapNow(store.get(), "/a", 0, "x").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(DeleteNow(store.get(), "/a", 1).status().code(), StatusCode::kUnavailable);
  const Status read = GetNow(store.get(), "/a").status();
  EXPECT_EQ(read.code(), StatusCode::kUnavailable);
  EXPECT_THAT(read.message(), testing::HasSubstr("http://127.0.0.1:"));
  EXPECT_LT(MsSince(begin), 3000);
  store->Watch("/", [](const MetadataEntry&) {});  // and the end is not waited for either
}

TEST_F(EtcdFaultTest, QueueIsBoundedAndTheEndAnswersAll) {
  EtcdCluster cluster;
  EtcdMetadataOptions options = Impatient();
  options.queue_max = 50;
  options.workers = 2;
  options.call_timeout_ms = 20'000;
  auto store = Open(cluster.endpoints(), options);
  ASSERT_TRUE(GetNow(store.get(), "/a").ok());
  cluster.FreezeAll();
  std::mutex mutex;
  std::map<StatusCode, int> answers;
  for (int i = 0; i < 60; ++i) {
    store->CompareAndSwap("/" + std::to_string(i), 0, "v", [&](Result<uint64_t> result) {
      const std::lock_guard lock(mutex);
      ++answers[result.status().code()];
    });
  }
  const Instant begin = SystemClock()->Now();
  store.reset();
  EXPECT_LT(MsSince(begin), 3000) << "twenty seconds were allowed to the calls";
  cluster.ThawAll();
  EXPECT_GE(answers[StatusCode::kResourceExhausted], 8);
  EXPECT_GE(answers[StatusCode::kCancelled], 48);
  EXPECT_LE(answers[StatusCode::kOutcomeUnknown], 2) << "those that had been sent";
  EXPECT_EQ(
      answers[StatusCode::kResourceExhausted] + answers[StatusCode::kCancelled] + answers[StatusCode::kOutcomeUnknown],
      60);
}

// Follows one member while the others go on without it.
class EtcdWatchFaultTest : public EtcdFaultTest {
 protected:
  // Key -> value, as told.
  static std::map<std::string, std::string> State(const std::vector<MetadataEntry>& seen) {
    std::map<std::string, std::string> state;
    for (const MetadataEntry& entry : seen) {
      state[entry.key] = entry.value;
      if (entry.value.empty()) state.erase(entry.key);
    }
    return state;
  }
};

TEST_F(EtcdWatchFaultTest, WatchGoesOnWhereItBroke) {
  EtcdCluster cluster({.members = 3});
  const auto watching = Open({cluster.endpoint(0)});
  const auto writing = Open({cluster.endpoint(1)});
  uint64_t version = Put(watching.get(), "/w", 0, "0");
  WatchedChanges changes;
  watching->Watch("/w", changes.callback());
  version = Put(writing.get(), "/w", version, "1");
  ASSERT_TRUE(changes.WaitFor(1));
  cluster.Kill(0);
  for (int i = 2; i <= 6; ++i) version = Put(writing.get(), "/w", version, std::to_string(i));
  cluster.Start(0);
  ASSERT_TRUE(changes.WaitFor(6));
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(changes.seen()[i].value, std::to_string(i + 1));
}

TEST_F(EtcdWatchFaultTest, CompactedMeanwhileItTellsWhatDiffers) {
  EtcdCluster cluster({.members = 3});
  const auto watching = Open({cluster.endpoint(0)});
  const auto writing = Open({cluster.endpoint(1)});
  const uint64_t kept = Put(writing.get(), "/w/kept", 0, "k");
  const uint64_t gone = Put(writing.get(), "/w/gone", 0, "g");
  const uint64_t changed = Put(writing.get(), "/w/changed", 0, "old");
  ASSERT_TRUE(GetNow(watching.get(), "/w/kept").ok());
  WatchedChanges changes;
  watching->Watch("/w/", changes.callback());
  const uint64_t seen_version = Put(writing.get(), "/w/seen", 0, "s");
  ASSERT_TRUE(changes.WaitFor(1));
  cluster.Kill(0);
  Put(writing.get(), "/w/changed", Put(writing.get(), "/w/changed", changed, "between"), "new");
  ASSERT_TRUE(DeleteNow(writing.get(), "/w/gone", gone).ok());
  ASSERT_TRUE(DeleteNow(writing.get(), "/w/seen", seen_version).ok());
  const uint64_t made = Put(writing.get(), "/w/made", 0, "m");
  ASSERT_TRUE(
      cluster.Post(1, "/v3/kv/compaction", R"({"revision":")" + std::to_string(made) + R"(","physical":true})"));
  cluster.Start(0);
  ASSERT_TRUE(cluster.WaitUntilServing(0));
  const uint64_t last = Put(writing.get(), "/w/last", 0, "l");
  const std::map<std::string, std::string> now = {{"/w/changed", "new"}, {"/w/last", "l"}, {"/w/made", "m"}};
  ASSERT_TRUE(changes.WaitUntil([&](const auto& seen) { return seen.back().version >= last && State(seen) == now; }));
  const std::vector<MetadataEntry> seen = changes.seen();
  EXPECT_EQ(std::count_if(seen.begin(), seen.end(), [](const auto& entry) { return entry.key == "/w/gone"; }), 1);
  EXPECT_EQ(std::count_if(seen.begin(), seen.end(), [&](const auto& entry) { return entry.version == kept; }), 0);
  EXPECT_TRUE(
      std::is_sorted(seen.begin(), seen.end(), [](const auto& a, const auto& b) { return a.version < b.version; }));
}

TEST_F(EtcdWatchFaultTest, ManyLargeChangesAtOnceArrive) {
  EtcdCluster cluster({.members = 3});
  const auto watching = Open({cluster.endpoint(0)});
  const auto writing = Open({cluster.endpoint(1)});
  ASSERT_TRUE(SwapNow(watching.get(), "/w/0", 0, "x").ok());
  WatchedChanges changes;
  watching->Watch("/w/", changes.callback());
  ASSERT_TRUE(SwapNow(writing.get(), "/w/1", 0, "x").ok());
  ASSERT_TRUE(changes.WaitFor(1));
  cluster.Kill(0);
  const std::string large(900'000, 'l');  // together more than the gateway carries in one message
  for (int i = 2; i < 10; ++i) Put(writing.get(), "/w/" + std::to_string(i), 0, large);
  cluster.Start(0);
  ASSERT_TRUE(changes.WaitFor(9));
  EXPECT_EQ(changes.seen().back().value, large);
}

TEST_F(EtcdWatchFaultTest, RolledBackMetadataAreTold) {
  std::atomic<int> errors{0};
  SetLogSink([&](LogLevel level, std::string_view, std::string_view) { errors += level == LogLevel::kError; });
  EtcdCluster cluster;
  const auto store = Open(cluster.endpoints());
  const uint64_t old = Put(store.get(), "/w/a", 0, "old");
  cluster.Etcdctl("snapshot save " + cluster.folder() + "/snapshot");
  WatchedChanges changes;
  store->Watch("/w/", changes.callback());
  ASSERT_TRUE(SwapNow(store.get(), "/w/a", old, "new").ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(SwapNow(store.get(), "/w/b" + std::to_string(i), 0, "b").ok());
  ASSERT_TRUE(changes.WaitFor(6));
  cluster.Kill(0);
  cluster.Restore(0, cluster.folder() + "/snapshot");
  cluster.Start(0);
  ASSERT_TRUE(changes.WaitUntil([](const auto& seen) {
    return State(seen) == std::map<std::string, std::string>{{"/w/a", "old"}};
  }));
  EXPECT_GE(errors, 1) << "an operator must hear of it";
  SetLogSink(nullptr);
}

TEST_F(EtcdFaultTest, OutOfSpaceIsSaidAndWhatWasRefusedIsNotThere) {
  EtcdCluster cluster({.more_flags = {"--quota-backend-bytes", "8000000"}});
  EtcdMetadataOptions options;
  options.call_timeout_ms = 10'000;
  options.attempt_timeout_ms = 10'000;
  const auto store = Open(cluster.endpoints(), options);
  const std::string large(1'000'000, 'l');
  std::map<std::string, StatusCode> answers;
  StatusCode code = StatusCode::kOk;
  for (int i = 0; i < 40 && code != StatusCode::kResourceExhausted; ++i) {
    const std::string key = "/" + std::to_string(100 + i);
    code = SwapNow(store.get(), key, 0, large).status().code();
    answers[key] = code;
  }
  EXPECT_EQ(code, StatusCode::kResourceExhausted);
  for (const auto& [key, answered] : answers) {
    const auto entry = GetNow(store.get(), key);
    ASSERT_TRUE(entry.ok()) << "reads go on";
    if (answered == StatusCode::kOutcomeUnknown) continue;
    EXPECT_EQ(entry->has_value(), answered == StatusCode::kOk) << key;
  }
  const auto first = GetNow(store.get(), "/100");
  EXPECT_TRUE(DeleteNow(store.get(), "/100", (*first)->version).ok()) << "deletions are how space comes back";
}

}  // namespace
}  // namespace understudy::etcd

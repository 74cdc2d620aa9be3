#include "log/metadata/metadata_store_contract.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

namespace understudy {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MetadataStoreContract);

TEST_P(MetadataStoreContract, SwapsOnlyWhatItExpects) {
  EXPECT_FALSE(Get("/a")->has_value());
  EXPECT_EQ(Swap("/a", 7, "x").status().code(), StatusCode::kConflict);
  const Result<uint64_t> first = Swap("/a", 0, "one");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Swap("/a", 0, "again").status().code(), StatusCode::kConflict);
  const Result<uint64_t> second = Swap("/a", *first, "two");
  ASSERT_TRUE(second.ok());
  EXPECT_GT(*second, *first);
  EXPECT_EQ(Swap("/a", *first, "late").status().code(), StatusCode::kConflict);
  const auto entry = Get("/a");
  ASSERT_TRUE(entry.ok() && entry->has_value());
  EXPECT_EQ((*entry)->value, "two");
  EXPECT_EQ((*entry)->version, *second);
  EXPECT_EQ((*entry)->key, "/a");
}

TEST_P(MetadataStoreContract, DeletesOnlyWhatItExpectsAndVersionsNeverReturn) {
  EXPECT_FALSE(Delete("/a", 0).ok());
  const uint64_t made = *Swap("/a", 0, "x");
  EXPECT_EQ(Delete("/a", made + 1).status().code(), StatusCode::kConflict);
  const Result<uint64_t> gone = Delete("/a", made);
  ASSERT_TRUE(gone.ok());
  EXPECT_FALSE(Get("/a")->has_value());
  const Result<uint64_t> anew = Swap("/a", 0, "y");
  ASSERT_TRUE(anew.ok());
  EXPECT_GT(*anew, *gone);
  EXPECT_EQ(Swap("/a", made, "z").status().code(), StatusCode::kConflict) << "the old version must not match again";
}

TEST_P(MetadataStoreContract, VersionsGrowOverAllKeys) {
  uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const Result<uint64_t> version = Swap("/k" + std::to_string(i), 0, "v");
    ASSERT_TRUE(version.ok());
    EXPECT_GT(*version, last);
    last = *version;
  }
}

TEST_P(MetadataStoreContract, ListsAPrefixInOrderUpToTheLimit) {
  for (const char* key : {"/b/2", "/a/9", "/b/1", "/b", "/b/3", "/c"}) ASSERT_TRUE(Swap(key, 0, key).ok());
  const auto all = List("/b/");
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ((*all)[0].key, "/b/1");
  EXPECT_EQ((*all)[2].value, "/b/3");
  EXPECT_GT((*all)[2].version, (*all)[1].version) << "/b/3 was written after /b/2";
  EXPECT_EQ(List("/b/", 2)->size(), 2u);
  EXPECT_EQ(List("/")->size(), 6u);
  EXPECT_TRUE(List("/zzz")->empty());
}

TEST_P(MetadataStoreContract, ValuesAreBytesWithinTheBounds) {
  const std::string bytes("\0\xff\n\0", 4);
  ASSERT_TRUE(Swap("/bytes", 0, bytes).ok());
  EXPECT_EQ((*Get("/bytes"))->value, bytes);
  const std::string longest(kMetadataValueBytesMax, 'x');
  ASSERT_TRUE(Swap("/long", 0, longest).ok());
  EXPECT_EQ((*Get("/long"))->value, longest);
  EXPECT_EQ(Swap("/longer", 0, longest + "x").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Swap("", 0, "x").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Swap(std::string(kMetadataKeyBytesMax + 1, 'k'), 0, "x").status().code(), StatusCode::kInvalidArgument);
}

TEST_P(MetadataStoreContract, EverythingAnsweredSurvivesARestart) {
  const uint64_t kept = *Swap("/kept", 0, "v");
  const uint64_t made = *Swap("/gone", 0, "v");
  const uint64_t gone = *Delete("/gone", made);
  harness_->Restart();
  EXPECT_EQ((*Get("/kept"))->version, kept);
  EXPECT_FALSE(Get("/gone")->has_value());
  EXPECT_GT(*Swap("/gone", 0, "w"), gone) << "versions go on where they were";
}

TEST_P(MetadataStoreContract, OneOfManyRacersWins) {
  constexpr int kThreads = 8;
  std::atomic<int> won{0};
  std::atomic<int> lost{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const Result<uint64_t> result = Swap("/raced", 0, "thread " + std::to_string(i));
      if (result.ok()) ++won;
      if (result.status().code() == StatusCode::kConflict) ++lost;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, kThreads - 1);
}

TEST_P(MetadataStoreContract, CallsQueuedTogetherSeeEachOther) {
  MetadataAnswer<uint64_t> a;
  MetadataAnswer<uint64_t> b;
  MetadataAnswer<std::optional<MetadataEntry>> read;
  MetadataAnswer<std::vector<MetadataEntry>> listed;
  MetadataAnswer<uint64_t> c;
  store()->CompareAndSwap("/q", 0, "1", a.callback());
  store()->CompareAndSwap("/q", 0, "2", b.callback());
  store()->Get("/q", read.callback());
  store()->List("/q", 10, listed.callback());
  store()->CompareAndSwap("/r", 0, "3", c.callback());
  EXPECT_TRUE(a.Wait().ok());
  EXPECT_EQ(b.Wait().status().code(), StatusCode::kConflict);
  EXPECT_EQ((*read.Wait())->value, "1");
  EXPECT_EQ(listed.Wait()->size(), 1u);
  EXPECT_TRUE(c.Wait().ok());
}

TEST_P(MetadataStoreContract, EveryVersionOfAKeyHasOneWinner) {
  constexpr int kThreads = 8;
  constexpr int kWinsEach = 15;
  std::mutex mutex;
  std::map<uint64_t, std::string> winners;  // by the version they replaced
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, name = "thread " + std::to_string(i)] {
      for (int wins = 0; wins < kWinsEach;) {
        const auto now = Get("/contended");
        ASSERT_TRUE(now.ok());
        const uint64_t version = now->has_value() ? (*now)->version : 0;
        const Result<uint64_t> swapped = Swap("/contended", version, name);
        if (!swapped.ok()) {
          ASSERT_EQ(swapped.status().code(), StatusCode::kConflict);
          continue;
        }
        ++wins;
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(winners.emplace(version, name).second) << "version " << version << " was replaced twice";
        EXPECT_GT(*swapped, version);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(winners.size(), size_t{kThreads * kWinsEach});
  EXPECT_EQ((*Get("/contended"))->value, winners.rbegin()->second);
}

TEST_P(MetadataStoreContract, ReadsAreNeverOlderThanWhatWasAnsweredOrReadBefore) {
  constexpr int kChanges = 60;
  std::atomic<int> answered{0};
  std::atomic<int> newest_read{0};
  ASSERT_TRUE(Swap("/other", 0, "0").ok());
  uint64_t version = *Swap("/read", 0, "0");
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (answered < kChanges) {
        const int at_least = std::max(answered.load(), newest_read.load());
        const auto read = Get("/read");
        ASSERT_TRUE(read.ok() && read->has_value());
        const int value = std::stoi((*read)->value);
        EXPECT_GE(value, at_least);
        int newest = newest_read;
        while (newest < value && !newest_read.compare_exchange_weak(newest, value)) {
        }
      }
    });
  }
  for (int i = 1; i <= kChanges; ++i) {
    const Result<uint64_t> swapped = Swap("/read", version, std::to_string(i));
    ASSERT_TRUE(swapped.ok());
    version = *swapped;
    answered = i;
    EXPECT_EQ((*Get("/read"))->value, std::to_string(i));
  }
  for (std::thread& reader : readers) reader.join();
}

TEST_P(MetadataStoreContract, PrefixesAreBytesNotFolders) {
  for (const std::string key : {"/p", "/p/", "/p/1", "/p0", "/p/\xff", "/p/\xff\xff", "/q"}) {
    ASSERT_TRUE(Swap(key, 0, "v").ok());
  }
  EXPECT_EQ(List("/p")->size(), 6u);
  EXPECT_EQ(List("/p/")->size(), 4u);
  EXPECT_EQ(List("/p/\xff")->size(), 2u);
  EXPECT_EQ(List("")->size(), 7u);
  EXPECT_TRUE(List("/", 0)->empty());
  EXPECT_FALSE(Get("/p/\xff\xff\xff")->has_value());
}

TEST_P(MetadataStoreContract, ListsMoreThanOneMessageHolds) {
  constexpr int kKeys = 700;
  std::vector<MetadataAnswer<uint64_t>> answers(kKeys);
  for (int i = 0; i < kKeys; ++i) {
    store()->CompareAndSwap("/many/" + std::to_string(10'000 + i), 0, std::to_string(i), answers[i].callback());
  }
  for (auto& answer : answers) ASSERT_TRUE(answer.Wait().ok());
  const auto all = List("/many/", 5000);
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), size_t{kKeys});
  for (int i = 0; i < kKeys; ++i) ASSERT_EQ((*all)[i].value, std::to_string(i));
  EXPECT_EQ(List("/many/", 600)->back().value, "599");
  const std::string megabyte(kMetadataValueBytesMax, 'm');
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(Swap("/big/" + std::to_string(i), 0, megabyte).ok());
  const auto big = List("/big/");
  ASSERT_TRUE(big.ok()) << big.status().ToString();
  ASSERT_EQ(big->size(), 6u);
  EXPECT_EQ(big->back().value, megabyte);
}

TEST_P(MetadataStoreContract, CallbacksMayCall) {
  MetadataAnswer<std::optional<MetadataEntry>> answer;
  MetadataStore* const store = this->store();
  store->CompareAndSwap("/chain", 0, "a", [store, done = answer.callback()](Result<uint64_t> version) {
    store->CompareAndSwap("/chain", *version, "b", [store, done](Result<uint64_t>) { store->Get("/chain", done); });
  });
  EXPECT_EQ((*answer.Wait())->value, "b");
}

TEST_P(MetadataStoreContract, ClosingAnswersEverything) {
  constexpr int kCalls = 400;
  std::atomic<int> answered{0};
  std::atomic<int> wrong{0};
  for (int i = 0; i < kCalls; ++i) {
    store()->CompareAndSwap("/closing/" + std::to_string(i), 0, "v", [&](Result<uint64_t> result) {
      ++answered;
      const StatusCode code = result.status().code();
      wrong += code != StatusCode::kOk && code != StatusCode::kCancelled && code != StatusCode::kOutcomeUnknown;
    });
  }
  harness_->Restart();
  EXPECT_EQ(answered, kCalls);
  EXPECT_EQ(wrong, 0);
}

TEST_P(MetadataStoreContract, WatchersSeeEveryLaterChangeInOrder) {
  WatchedChanges changes;
  ASSERT_TRUE(Swap("/w/early", 0, "not seen").ok());
  const uint64_t watch = store()->Watch("/w/", changes.callback());
  const uint64_t one = *Swap("/w/a", 0, "1");
  ASSERT_TRUE(Swap("/other", 0, "not seen").ok());
  const uint64_t two = *Swap("/w/a", one, "2");
  ASSERT_FALSE(Swap("/w/a", one, "refused: not seen").ok());
  const uint64_t gone = *Delete("/w/a", two);
  ASSERT_TRUE(changes.WaitFor(3));  // soon, not necessarily before the answer
  store()->Unwatch(watch);
  ASSERT_TRUE(Swap("/w/late", 0, "not seen").ok());
  const std::vector<MetadataEntry> seen = changes.seen();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].version, one);
  EXPECT_EQ(seen[1].version, two);
  EXPECT_EQ(seen[1].value, "2");
  EXPECT_EQ(seen[2].version, gone);
  EXPECT_EQ(seen[2].value, "");
}

TEST_P(MetadataStoreContract, WatchersSeeWhatManyChangeAtOnceEachOnceAndInOrder) {
  constexpr int kThreads = 6;
  constexpr int kChangesEach = 25;
  WatchedChanges all;
  WatchedChanges some;
  ASSERT_TRUE(Swap("/w/before", 0, "").ok());
  const uint64_t watch_all = store()->Watch("/w/", all.callback());
  const uint64_t watch_some = store()->Watch("/w/1", some.callback());
  std::mutex mutex;
  std::vector<uint64_t> versions;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, key = "/w/" + std::to_string(i)] {
      uint64_t version = 0;
      for (int change = 0; change < kChangesEach; ++change) {
        const bool remove = change % 5 == 4;
        const Result<uint64_t> changed = remove ? Delete(key, version) : Swap(key, version, "v");
        ASSERT_TRUE(changed.ok()) << changed.status().ToString();
        version = remove ? 0 : *changed;
        const std::lock_guard lock(mutex);
        versions.push_back(*changed);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(all.WaitFor(kThreads * kChangesEach));
  ASSERT_TRUE(some.WaitFor(kChangesEach));
  store()->Unwatch(watch_all);
  store()->Unwatch(watch_some);
  std::sort(versions.begin(), versions.end());
  std::vector<uint64_t> seen;
  for (const MetadataEntry& entry : all.seen()) seen.push_back(entry.version);
  EXPECT_EQ(seen, versions);
  EXPECT_EQ(some.seen().size(), size_t{kChangesEach});
}

}  // namespace understudy

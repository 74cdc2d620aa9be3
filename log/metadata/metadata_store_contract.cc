#include "log/metadata/metadata_store_contract.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

namespace understudy {
namespace {

// A callback of a metadata call, and its answer with a deadline.
template <class T>
class Answer {
 public:
  std::function<void(Result<T>)> callback() {
    return [promise = promise_](Result<T> result) { promise->set_value(std::move(result)); };
  }
  Result<T> Wait() {
    std::future<Result<T>> future = promise_->get_future();
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return Status(StatusCode::kDeadlineExceeded, "the store did not answer");
    }
    return future.get();
  }

 private:
  std::shared_ptr<std::promise<Result<T>>> promise_ = std::make_shared<std::promise<Result<T>>>();
};

}  // namespace

Result<std::optional<MetadataEntry>> MetadataStoreContract::Get(const std::string& key) {
  Answer<std::optional<MetadataEntry>> answer;
  store()->Get(key, answer.callback());
  return answer.Wait();
}
Result<std::vector<MetadataEntry>> MetadataStoreContract::List(const std::string& prefix, size_t limit) {
  Answer<std::vector<MetadataEntry>> answer;
  store()->List(prefix, limit, answer.callback());
  return answer.Wait();
}
Result<uint64_t> MetadataStoreContract::Swap(const std::string& key, uint64_t expected, const std::string& value) {
  Answer<uint64_t> answer;
  store()->CompareAndSwap(key, expected, value, answer.callback());
  return answer.Wait();
}
Result<uint64_t> MetadataStoreContract::Delete(const std::string& key, uint64_t expected) {
  Answer<uint64_t> answer;
  store()->CompareAndDelete(key, expected, answer.callback());
  return answer.Wait();
}

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
  Answer<uint64_t> a;
  Answer<uint64_t> b;
  Answer<std::optional<MetadataEntry>> read;
  Answer<std::vector<MetadataEntry>> listed;
  Answer<uint64_t> c;
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

TEST_P(MetadataStoreContract, WatchersSeeEveryLaterChangeInOrder) {
  std::mutex mutex;
  std::condition_variable told;
  std::vector<MetadataEntry> seen;
  ASSERT_TRUE(Swap("/w/early", 0, "not seen").ok());
  const uint64_t watch = store()->Watch("/w/", [&](const MetadataEntry& entry) {
    const std::lock_guard lock(mutex);
    seen.push_back(entry);
    told.notify_all();
  });
  const uint64_t one = *Swap("/w/a", 0, "1");
  ASSERT_TRUE(Swap("/other", 0, "not seen").ok());
  const uint64_t two = *Swap("/w/a", one, "2");
  ASSERT_FALSE(Swap("/w/a", one, "refused: not seen").ok());
  const uint64_t gone = *Delete("/w/a", two);
  {
    // A watcher is told soon, not necessarily before the answer.
    std::unique_lock lock(mutex);
    ASSERT_TRUE(told.wait_for(lock, std::chrono::seconds(20), [&] { return seen.size() >= 3; }));
  }
  store()->Unwatch(watch);
  ASSERT_TRUE(Swap("/w/late", 0, "not seen").ok());
  const std::lock_guard lock(mutex);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].version, one);
  EXPECT_EQ(seen[1].version, two);
  EXPECT_EQ(seen[1].value, "2");
  EXPECT_EQ(seen[2].version, gone);
  EXPECT_EQ(seen[2].value, "");
}

}  // namespace understudy

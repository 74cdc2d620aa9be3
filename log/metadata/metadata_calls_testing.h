// The calls of a MetadataStore, waited for with a deadline. For tests.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"

namespace understudy {

// A callback of a metadata call, and its answer.
template <class T>
class MetadataAnswer {
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

inline Result<std::optional<MetadataEntry>> GetNow(MetadataStore* store, const std::string& key) {
  MetadataAnswer<std::optional<MetadataEntry>> answer;
  store->Get(key, answer.callback());
  return answer.Wait();
}
inline Result<std::vector<MetadataEntry>> ListNow(MetadataStore* store, const std::string& prefix,
                                                  size_t limit = 1000) {
  MetadataAnswer<std::vector<MetadataEntry>> answer;
  store->List(prefix, limit, answer.callback());
  return answer.Wait();
}
inline Result<uint64_t> SwapNow(MetadataStore* store, const std::string& key, uint64_t expected,
                                const std::string& value) {
  MetadataAnswer<uint64_t> answer;
  store->CompareAndSwap(key, expected, value, answer.callback());
  return answer.Wait();
}
inline Result<uint64_t> DeleteNow(MetadataStore* store, const std::string& key, uint64_t expected) {
  MetadataAnswer<uint64_t> answer;
  store->CompareAndDelete(key, expected, answer.callback());
  return answer.Wait();
}

// What a watch is told. Outlives the store that tells it.
class WatchedChanges {
 public:
  MetadataStore::WatchCallback callback() {
    return [this](const MetadataEntry& entry) {
      const std::lock_guard lock(mutex_);
      seen_.push_back(entry);
      told_.notify_all();
    };
  }
  // Until `enough` of all that was told; false after 30 s.
  bool WaitUntil(const std::function<bool(const std::vector<MetadataEntry>&)>& enough) {
    std::unique_lock lock(mutex_);
    return told_.wait_for(lock, std::chrono::seconds(30), [&] { return enough(seen_); });
  }
  bool WaitFor(size_t count) {
    return WaitUntil([&](const auto& seen) { return seen.size() >= count; });
  }
  std::vector<MetadataEntry> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  std::vector<MetadataEntry> seen_;
};

}  // namespace understudy

// The state: keys in shards. A snapshot copies the pointers to the shards and is done; the first write to a shard after
// that clones it, and clones a collection only when that very collection is written.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "client/examples/resp_kv/value.h"

namespace understudy::resp_kv {

inline constexpr size_t kShards = 1024;

struct Shard {
  TextMap<Entry> entries;
};

// A frozen copy of all shards. Any thread may read and destroy it.
class StoreSnapshot {
 public:
  StoreSnapshot(std::vector<std::shared_ptr<const Shard>> shards, std::shared_ptr<std::atomic<int>> alive);
  ~StoreSnapshot();
  StoreSnapshot(const StoreSnapshot&) = delete;
  StoreSnapshot& operator=(const StoreSnapshot&) = delete;
  const std::vector<std::shared_ptr<const Shard>>& shards() const { return shards_; }

 private:
  std::vector<std::shared_ptr<const Shard>> shards_;
  std::shared_ptr<std::atomic<int>> alive_;  // snapshots that still share shards with the store
};

// Writes go through Editor: one key, under the lock of its shard, so that different keys may be written from different
// threads. Find, ShardEntries, Clear and Snapshot want no writer at the same time. Counters: any thread.
class Store {
 public:
  Store();

  static size_t ShardOf(std::string_view key);

  // Null when there is none; does not look at expiry. Valid until the key's shard is written.
  const Entry* Find(std::string_view key) const;
  const TextMap<Entry>& ShardEntries(size_t shard) const { return slots_[shard].shard->entries; }

  std::unique_ptr<StoreSnapshot> Snapshot();
  void Clear();

  size_t keys() const { return Count(keys_); }
  size_t keys_with_expiry() const { return Count(keys_with_expiry_); }
  size_t bytes() const { return Count(bytes_); }  // approximate, see kElementOverheadBytes

  class Editor;

 private:
  struct Slot {
    std::mutex mutex;
    std::shared_ptr<Shard> shard;
    uint64_t generation = 0;
  };

  static size_t Count(const std::atomic<int64_t>& counter) {
    return static_cast<size_t>(counter.load(std::memory_order_relaxed));
  }
  // What was made before `generation` is shared with a snapshot, unless all of those are gone.
  bool SharedWithSnapshot(uint64_t generation) const {
    return generation != generation_ && alive_snapshots_->load(std::memory_order_acquire) != 0;
  }

  std::array<Slot, kShards> slots_;
  uint64_t generation_ = 0;  // grows with each snapshot
  std::shared_ptr<std::atomic<int>> alive_snapshots_;
  std::atomic<int64_t> keys_{0};
  std::atomic<int64_t> keys_with_expiry_{0};
  std::atomic<int64_t> bytes_{0};
};

// Access for writing to one key; holds the lock of its shard while it lives, so: at most one a thread. The counters of
// the store follow when it is destroyed.
class Store::Editor {
 public:
  Editor(Store* store, std::string_view key);
  ~Editor();
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  Entry* entry() { return entry_; }  // null when the key does not exist
  // Makes the key exist with `value`, never expiring, whatever it was before.
  Entry* Replace(Value value);
  void Erase();

  // The collection of type T, made when the key does not exist, cloned when a snapshot shares it. Null: another type.
  template <class T>
  T* Collection() {
    if (entry_ == nullptr) {
      Replace(Cow<T>{std::make_shared<T>(), store_->generation_});
    }
    auto* cow = std::get_if<Cow<T>>(&entry_->value);
    if (cow == nullptr) {
      return nullptr;
    }
    if (store_->SharedWithSnapshot(cow->generation)) {
      cow->shared = std::make_shared<T>(*cow->shared);
    }
    cow->generation = store_->generation_;
    return cow->shared.get();
  }

 private:
  struct Footprint {
    int64_t keys = 0;
    int64_t keys_with_expiry = 0;
    int64_t bytes = 0;
  };
  Footprint Measure() const;

  Store* store_;
  std::string_view key_;
  std::unique_lock<std::mutex> lock_;
  Shard* shard_;
  Entry* entry_;
  Footprint before_;
};

// One text for equal states, whatever order the maps have: keys sorted, with type, expiry and content. For tests and
// for comparing a spare with its primary; costs a sort of everything.
std::string CanonicalDump(const Store& store);

}  // namespace understudy::resp_kv

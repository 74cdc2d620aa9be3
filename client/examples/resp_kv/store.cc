#include "client/examples/resp_kv/store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "client/examples/resp_kv/key_hash.h"
#include "client/examples/resp_kv/reply.h"

namespace understudy::resp_kv {

std::string_view TypeName(const Value& value) {
  static constexpr std::string_view kNames[] = {"string", "list", "hash", "set", "zset"};
  return kNames[value.index()];
}

size_t ValueBytes(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return text->size();
  }
  if (const auto* list = ValueAs<ListValue>(value)) {
    return list->bytes;
  }
  if (const auto* hash = ValueAs<HashValue>(value)) {
    return hash->bytes;
  }
  if (const auto* set = ValueAs<SetValue>(value)) {
    return set->bytes;
  }
  return ValueAs<SortedSetValue>(value)->bytes;
}

StoreSnapshot::StoreSnapshot(std::vector<std::shared_ptr<const Shard>> shards, std::shared_ptr<std::atomic<int>> alive)
    : shards_(std::move(shards)), alive_(std::move(alive)) {
  alive_->fetch_add(1, std::memory_order_relaxed);
}

StoreSnapshot::~StoreSnapshot() {
  shards_.clear();
  alive_->fetch_sub(1, std::memory_order_release);  // pairs with the acquire in SharedWithSnapshot
}

Store::Store() : alive_snapshots_(std::make_shared<std::atomic<int>>(0)) {
  for (Slot& slot : slots_) {
    slot.shard = std::make_shared<Shard>();
  }
}

size_t Store::ShardOf(std::string_view key) { return KeyHash(key) % kShards; }

const Entry* Store::Find(std::string_view key) const {
  const auto& entries = slots_[ShardOf(key)].shard->entries;
  const auto found = entries.find(key);
  return found == entries.end() ? nullptr : &found->second;
}

std::unique_ptr<StoreSnapshot> Store::Snapshot() {
  ++generation_;
  std::vector<std::shared_ptr<const Shard>> shards;
  shards.reserve(kShards);
  for (const Slot& slot : slots_) {
    shards.push_back(slot.shard);
  }
  return std::make_unique<StoreSnapshot>(std::move(shards), alive_snapshots_);
}

void Store::Clear() {
  for (Slot& slot : slots_) {
    if (!slot.shard->entries.empty()) {
      slot.shard = std::make_shared<Shard>();  // not cleared in place: a snapshot may share it
      slot.generation = generation_;
    }
  }
  keys_ = 0;
  keys_with_expiry_ = 0;
  bytes_ = 0;
}

Store::Editor::Editor(Store* store, std::string_view key) : store_(store), key_(key) {
  Slot& slot = store->slots_[ShardOf(key)];
  lock_ = std::unique_lock(slot.mutex);
  if (store->SharedWithSnapshot(slot.generation)) {
    slot.shard = std::make_shared<Shard>(*slot.shard);
  }
  slot.generation = store->generation_;
  shard_ = slot.shard.get();
  const auto found = shard_->entries.find(key);
  entry_ = found == shard_->entries.end() ? nullptr : &found->second;
  before_ = Measure();
}

Store::Editor::~Editor() {
  const Footprint after = Measure();
  const auto add = [](std::atomic<int64_t>* counter, int64_t difference) {
    if (difference != 0) {
      counter->fetch_add(difference, std::memory_order_relaxed);
    }
  };
  add(&store_->keys_, after.keys - before_.keys);
  add(&store_->keys_with_expiry_, after.keys_with_expiry - before_.keys_with_expiry);
  add(&store_->bytes_, after.bytes - before_.bytes);
}

Store::Editor::Footprint Store::Editor::Measure() const {
  if (entry_ == nullptr) {
    return {};
  }
  return {1, entry_->expire_at_ms != kNeverExpires ? 1 : 0,
          static_cast<int64_t>(key_.size() + ValueBytes(entry_->value) + kElementOverheadBytes)};
}

Entry* Store::Editor::Replace(Value value) {
  if (entry_ == nullptr) {
    entry_ = &shard_->entries.try_emplace(std::string(key_)).first->second;
  }
  entry_->value = std::move(value);
  entry_->expire_at_ms = kNeverExpires;
  return entry_;
}

void Store::Editor::Erase() {
  const auto found = shard_->entries.find(key_);
  if (found != shard_->entries.end()) {
    shard_->entries.erase(found);
  }
  entry_ = nullptr;
}

namespace {

std::string ContentText(const Value& value) {
  std::string text;
  const auto add = [&text](std::string_view part) {
    AppendBulk(part, &text);  // length first: no two contents have the same text
  };
  if (const auto* string = ValueAs<std::string>(value)) {
    add(*string);
  } else if (const auto* list = ValueAs<ListValue>(value)) {
    std::for_each(list->items.begin(), list->items.end(), add);
  } else if (const auto* hash = ValueAs<HashValue>(value)) {
    for (const auto& [field, content] : std::map<std::string, std::string>(hash->fields.begin(), hash->fields.end())) {
      add(field);
      add(content);
    }
  } else if (const auto* set = ValueAs<SetValue>(value)) {
    for (const std::string& member : std::set<std::string>(set->members.begin(), set->members.end())) {
      add(member);
    }
  } else {
    for (const auto& [score, member] : ValueAs<SortedSetValue>(value)->order) {
      add(FormatDouble(score));
      add(member);
    }
  }
  return text;
}

}  // namespace

std::string CanonicalDump(const Store& store) {
  std::map<std::string, std::string> lines;
  for (size_t shard = 0; shard < kShards; ++shard) {
    for (const auto& [key, entry] : store.ShardEntries(shard)) {
      std::string& line = lines[key];
      AppendBulk(key, &line);
      AppendSimple(TypeName(entry.value), &line);
      AppendInteger(entry.expire_at_ms, &line);
      line += ContentText(entry.value);
    }
  }
  std::string dump;
  for (const auto& [key, line] : lines) {
    dump += line;
  }
  return dump;
}

}  // namespace understudy::resp_kv

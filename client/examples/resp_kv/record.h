// What a record of the log says: effects, in the order they happened. A record is the version byte 1 and then effects;
// docs/examples.md has the grammar. The primary changes its own state with the same code that replays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/examples/resp_kv/store.h"
#include "understudy/status.h"

namespace understudy::resp_kv {

inline constexpr int64_t kKeepExpiry = -1;

// Gathers the effects of one command into one record. Reusable after Clear. One thread.
class EffectWriter {
 public:
  EffectWriter() { Clear(); }
  void Clear();
  bool empty() const { return payload_.size() == 1; }

  void Set(std::string_view key, std::string_view value, int64_t expire_at_ms);  // or kKeepExpiry, kNeverExpires
  void Delete(std::string_view key);
  void ExpireAt(std::string_view key, int64_t unix_ms);  // kNeverExpires: persist
  void AppendText(std::string_view key, std::string_view tail);
  void HashSet(std::string_view key, std::span<const std::string_view> fields_and_values);
  void HashDelete(std::string_view key, std::span<const std::string_view> fields);
  void ListPush(std::string_view key, bool left, std::span<const std::string_view> items);
  void ListPop(std::string_view key, bool left, uint64_t count);
  void ListTrim(std::string_view key, uint64_t first, uint64_t count);  // keeps `count` items from index `first` on
  void ListErase(std::string_view key, const std::vector<uint64_t>& indexes);  // ascending, distinct
  void SetAdd(std::string_view key, std::span<const std::string_view> members);
  void SetRemove(std::string_view key, std::span<const std::string_view> members);
  void SortedAdd(std::string_view key, std::span<const std::pair<double, std::string_view>> members);
  void SortedRemove(std::string_view key, std::span<const std::string_view> members);
  void FlushAll();

  const std::string& payload() const { return payload_; }
  // The record's key for the log: the one key's hash, or 0 when it touches several or all.
  uint64_t conflict_key() const { return touches_all_ || hashes_.empty() || several_ ? 0 : hashes_[0]; }
  bool touches_all() const { return touches_all_; }
  const std::vector<uint64_t>& key_hashes() const { return hashes_; }  // one an effect; repetitions possible

 private:
  void Begin(char op, std::string_view key);
  void AddTexts(char op, std::string_view key, std::span<const std::string_view> texts);

  std::string payload_;
  std::vector<uint64_t> hashes_;
  bool several_ = false;  // different keys
  bool touches_all_ = false;
};

// Applies one record. Thread-safe for records of different keys, as StateMachine::Apply demands. kCorruption: the
// payload is no record of this program; effects before the flaw are applied.
Status ApplyRecord(std::string_view payload, Store* store);

}  // namespace understudy::resp_kv

// The values of keys. Collections are shared with snapshots and cloned by the first write after one (store.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>

namespace understudy::resp_kv {

// Lets maps of strings be searched with a string_view.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;
using TextSet = std::unordered_set<std::string, TextHash, std::equal_to<>>;

// `bytes` counts the text in a collection and a constant for each element: a measure of memory, not exact.
inline constexpr size_t kElementOverheadBytes = 64;

struct ListValue {
  std::deque<std::string> items;
  size_t bytes = 0;
};
struct HashValue {
  TextMap<std::string> fields;
  size_t bytes = 0;
};
struct SetValue {
  TextSet members;
  size_t bytes = 0;
};
struct SortedSetValue {
  TextMap<double> scores;
  std::set<std::pair<double, std::string>> order;
  size_t bytes = 0;
};

// A collection that snapshots may share. `generation` is the store's when the collection was made or cloned.
template <class T>
struct Cow {
  std::shared_ptr<T> shared;
  uint64_t generation = 0;
};

using Value = std::variant<std::string, Cow<ListValue>, Cow<HashValue>, Cow<SetValue>, Cow<SortedSetValue>>;

inline constexpr int64_t kNeverExpires = 0;

struct Entry {
  Value value;
  int64_t expire_at_ms = kNeverExpires;  // Unix time
};

// As the TYPE command names it: "string", "list", "hash", "set", "zset".
std::string_view TypeName(const Value& value);
// Of the value alone, without its key.
size_t ValueBytes(const Value& value);

// The collection of type T (or std::string) in `value`; null when it is of another type.
template <class T>
const T* ValueAs(const Value& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return std::get_if<std::string>(&value);
  } else {
    const auto* cow = std::get_if<Cow<T>>(&value);
    return cow == nullptr ? nullptr : cow->shared.get();
  }
}

}  // namespace understudy::resp_kv

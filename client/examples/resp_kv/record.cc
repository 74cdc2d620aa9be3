#include "client/examples/resp_kv/record.h"

#include <algorithm>

#include "client/examples/resp_kv/bytes.h"
#include "client/examples/resp_kv/key_hash.h"

namespace understudy::resp_kv {

namespace {

constexpr char kRecordVersion = 1;

// Part of the record format: never renumber.
enum Op : char {
  kSet = 1,
  kSetKeepingExpiry = 2,
  kDelete = 3,
  kExpireAt = 4,
  kAppendText = 5,
  kHashSet = 6,
  kHashDelete = 7,
  kPushLeft = 8,
  kPushRight = 9,
  kPopLeft = 10,
  kPopRight = 11,
  kListTrim = 12,
  kListErase = 13,
  kSetAdd = 14,
  kSetRemove = 15,
  kSortedAdd = 16,
  kSortedRemove = 17,
  kFlushAll = 18,
};

}  // namespace

void EffectWriter::Clear() {
  payload_.assign(1, kRecordVersion);
  hashes_.clear();
  several_ = false;
  touches_all_ = false;
}

void EffectWriter::Begin(char op, std::string_view key) {
  payload_.push_back(op);
  PutText(key, &payload_);
  hashes_.push_back(KeyHash(key));
  several_ = several_ || hashes_.back() != hashes_.front();
}

void EffectWriter::AddTexts(char op, std::string_view key, std::span<const std::string_view> texts) {
  Begin(op, key);
  PutNumber(texts.size(), &payload_);
  for (const std::string_view text : texts) {
    PutText(text, &payload_);
  }
}

void EffectWriter::Set(std::string_view key, std::string_view value, int64_t expire_at_ms) {
  if (expire_at_ms == kKeepExpiry) {
    Begin(kSetKeepingExpiry, key);
  } else {
    Begin(kSet, key);
    PutNumber(static_cast<uint64_t>(expire_at_ms), &payload_);
  }
  PutText(value, &payload_);
}

void EffectWriter::Delete(std::string_view key) { Begin(kDelete, key); }

void EffectWriter::ExpireAt(std::string_view key, int64_t unix_ms) {
  Begin(kExpireAt, key);
  PutNumber(static_cast<uint64_t>(unix_ms), &payload_);
}

void EffectWriter::AppendText(std::string_view key, std::string_view tail) {
  Begin(kAppendText, key);
  PutText(tail, &payload_);
}

void EffectWriter::HashSet(std::string_view key, std::span<const std::string_view> fields_and_values) {
  AddTexts(kHashSet, key, fields_and_values);
}

void EffectWriter::HashDelete(std::string_view key, std::span<const std::string_view> fields) {
  AddTexts(kHashDelete, key, fields);
}

void EffectWriter::ListPush(std::string_view key, bool left, std::span<const std::string_view> items) {
  AddTexts(left ? kPushLeft : kPushRight, key, items);
}

void EffectWriter::ListPop(std::string_view key, bool left, uint64_t count) {
  Begin(left ? kPopLeft : kPopRight, key);
  PutNumber(count, &payload_);
}

void EffectWriter::ListTrim(std::string_view key, uint64_t first, uint64_t count) {
  Begin(kListTrim, key);
  PutNumber(first, &payload_);
  PutNumber(count, &payload_);
}

void EffectWriter::ListErase(std::string_view key, const std::vector<uint64_t>& indexes) {
  Begin(kListErase, key);
  PutNumber(indexes.size(), &payload_);
  for (const uint64_t index : indexes) {
    PutNumber(index, &payload_);
  }
}

void EffectWriter::SetAdd(std::string_view key, std::span<const std::string_view> members) {
  AddTexts(kSetAdd, key, members);
}

void EffectWriter::SetRemove(std::string_view key, std::span<const std::string_view> members) {
  AddTexts(kSetRemove, key, members);
}

void EffectWriter::SortedAdd(std::string_view key, std::span<const std::pair<double, std::string_view>> members) {
  Begin(kSortedAdd, key);
  PutNumber(members.size(), &payload_);
  for (const auto& [score, member] : members) {
    PutDouble(score, &payload_);
    PutText(member, &payload_);
  }
}

void EffectWriter::SortedRemove(std::string_view key, std::span<const std::string_view> members) {
  AddTexts(kSortedRemove, key, members);
}

void EffectWriter::FlushAll() {
  payload_.push_back(kFlushAll);
  touches_all_ = true;
}

namespace {

// One effect's arguments on their way from the bytes into a key. `ok` turns false, and stays so, at the first flaw:
// bytes that do not parse, or an effect that does not fit the value it finds.
class Effect {
 public:
  Effect(char op, std::string_view* in, Store::Editor* editor) : op_(op), in_(in), editor_(editor) {}
  bool Apply();

 private:
  uint64_t Number() {
    uint64_t value = 0;
    ok_ = ok_ && TakeNumber(in_, &value);
    return ok_ ? value : 0;
  }
  std::string_view Text() {
    std::string_view text;
    ok_ = ok_ && TakeText(in_, &text);
    return ok_ ? text : std::string_view();
  }
  double Score() {
    double score = 0;
    ok_ = ok_ && TakeDouble(in_, &score);
    return score;
  }
  template <class T>
  T* Collection() {
    T* collection = editor_->Collection<T>();
    ok_ = ok_ && collection != nullptr;
    return ok_ ? collection : nullptr;
  }

  void ApplyString();
  void ApplyHash();
  void ApplyPush();
  void ApplyPop();
  void ApplyListTrim();
  void ApplyListErase();
  void ApplySet();
  void ApplySorted();

  char op_;
  std::string_view* in_;
  Store::Editor* editor_;
  bool ok_ = true;
};

bool Effect::Apply() {
  switch (op_) {
    case kSet:
    case kSetKeepingExpiry:
    case kAppendText:
      ApplyString();
      break;
    case kDelete:
      editor_->Erase();
      break;
    case kExpireAt: {
      const auto at_ms = static_cast<int64_t>(Number());
      ok_ = ok_ && editor_->entry() != nullptr;
      if (ok_) {
        editor_->entry()->expire_at_ms = at_ms;
      }
      break;
    }
    case kHashSet:
    case kHashDelete:
      ApplyHash();
      break;
    case kPushLeft:
    case kPushRight:
      ApplyPush();
      break;
    case kPopLeft:
    case kPopRight:
      ApplyPop();
      break;
    case kListTrim:
      ApplyListTrim();
      break;
    case kListErase:
      ApplyListErase();
      break;
    case kSetAdd:
    case kSetRemove:
      ApplySet();
      break;
    case kSortedAdd:
    case kSortedRemove:
      ApplySorted();
      break;
    default:
      ok_ = false;
  }
  return ok_;
}

void Effect::ApplyString() {
  const auto expire_at_ms = op_ == kSet ? static_cast<int64_t>(Number()) : kKeepExpiry;
  const std::string_view text = Text();
  Entry* entry = editor_->entry();
  if (!ok_) {
    return;
  }
  if (op_ == kSet || entry == nullptr) {
    editor_->Replace(std::string(text))->expire_at_ms = std::max(expire_at_ms, kNeverExpires);
    return;
  }
  auto* value = std::get_if<std::string>(&entry->value);
  ok_ = value != nullptr;
  if (ok_ && op_ == kAppendText) {
    value->append(text);
  } else if (ok_) {
    value->assign(text);
  }
}

void Effect::ApplyHash() {
  auto* hash = Collection<HashValue>();
  const uint64_t texts = Number();
  for (uint64_t i = 0; ok_ && i < texts; i += op_ == kHashSet ? 2 : 1) {
    const std::string_view field = Text();
    const std::string_view value = op_ == kHashSet ? Text() : std::string_view();
    if (!ok_) {
      return;
    }
    auto found = hash->fields.find(field);
    if (found != hash->fields.end()) {
      hash->bytes -= found->second.size();
      if (op_ == kHashSet) {
        found->second.assign(value);
        hash->bytes += value.size();
      } else {
        hash->bytes -= field.size() + kElementOverheadBytes;
        hash->fields.erase(found);
      }
    } else if (op_ == kHashSet) {
      hash->fields.emplace(field, value);
      hash->bytes += field.size() + value.size() + kElementOverheadBytes;
    }
  }
  if (ok_ && hash->fields.empty()) {
    editor_->Erase();
  }
}

void Effect::ApplyPush() {
  auto* list = Collection<ListValue>();
  const uint64_t items = Number();
  for (uint64_t i = 0; ok_ && i < items; ++i) {
    const std::string_view item = Text();
    if (!ok_) {
      return;
    }
    if (op_ == kPushLeft) {
      list->items.emplace_front(item);
    } else {
      list->items.emplace_back(item);
    }
    list->bytes += item.size() + kElementOverheadBytes;
  }
}

void Effect::ApplyPop() {
  auto* list = Collection<ListValue>();
  const uint64_t count = Number();
  ok_ = ok_ && count <= list->items.size();
  for (uint64_t i = 0; ok_ && i < count; ++i) {
    auto& item = op_ == kPopLeft ? list->items.front() : list->items.back();
    list->bytes -= item.size() + kElementOverheadBytes;
    if (op_ == kPopLeft) {
      list->items.pop_front();
    } else {
      list->items.pop_back();
    }
  }
  if (ok_ && list->items.empty()) {
    editor_->Erase();
  }
}

void Effect::ApplyListTrim() {
  auto* list = Collection<ListValue>();
  const uint64_t first = Number();
  const uint64_t count = Number();
  ok_ = ok_ && first <= list->items.size() && count <= list->items.size() - first;
  if (!ok_) {
    return;
  }
  auto& items = list->items;
  const auto at = [&items](uint64_t index) { return items.begin() + static_cast<std::ptrdiff_t>(index); };
  items.erase(at(first + count), items.end());
  items.erase(items.begin(), at(first));
  list->bytes = 0;
  for (const std::string& item : items) {
    list->bytes += item.size() + kElementOverheadBytes;
  }
  if (items.empty()) {
    editor_->Erase();
  }
}

void Effect::ApplyListErase() {
  auto* list = Collection<ListValue>();
  const uint64_t count = Number();
  size_t kept = 0;
  size_t next = 0;  // to look at
  const auto keep_until = [&](size_t end) {
    for (; next < end; ++next, ++kept) {
      if (kept != next) {
        list->items[kept] = std::move(list->items[next]);
      }
    }
  };
  for (uint64_t i = 0; ok_ && i < count; ++i) {
    const uint64_t index = Number();
    ok_ = ok_ && index >= next && index < list->items.size();
    if (ok_) {
      keep_until(index);
      list->bytes -= list->items[index].size() + kElementOverheadBytes;
      ++next;
    }
  }
  if (!ok_) {
    return;
  }
  keep_until(list->items.size());
  list->items.resize(kept);
  if (list->items.empty()) {
    editor_->Erase();
  }
}

void Effect::ApplySet() {
  auto* set = Collection<SetValue>();
  const uint64_t members = Number();
  for (uint64_t i = 0; ok_ && i < members; ++i) {
    const std::string_view member = Text();
    if (!ok_) {
      return;
    }
    if (op_ == kSetAdd) {
      set->bytes += set->members.emplace(member).second ? member.size() + kElementOverheadBytes : 0;
    } else if (const auto found = set->members.find(member); found != set->members.end()) {
      set->bytes -= member.size() + kElementOverheadBytes;
      set->members.erase(found);
    }
  }
  if (ok_ && set->members.empty()) {
    editor_->Erase();
  }
}

void Effect::ApplySorted() {
  auto* set = Collection<SortedSetValue>();
  const uint64_t members = Number();
  for (uint64_t i = 0; ok_ && i < members; ++i) {
    const double score = op_ == kSortedAdd ? Score() : 0;
    const std::string_view member = Text();
    if (!ok_) {
      return;
    }
    auto found = set->scores.find(member);
    if (found != set->scores.end()) {
      set->order.erase({found->second, found->first});
      if (op_ == kSortedAdd) {
        found->second = score;
      } else {
        set->bytes -= 2 * (member.size() + kElementOverheadBytes);
        set->scores.erase(found);
      }
    } else if (op_ == kSortedAdd) {
      set->scores.emplace(member, score);
      set->bytes += 2 * (member.size() + kElementOverheadBytes);
    }
    if (op_ == kSortedAdd) {
      set->order.emplace(score, member);
    }
  }
  if (ok_ && set->scores.empty()) {
    editor_->Erase();
  }
}

}  // namespace

Status ApplyRecord(std::string_view payload, Store* store) {
  std::string_view in = payload;
  if (in.empty() || in.front() != kRecordVersion) {
    return {StatusCode::kCorruption, "not a resp_kv record: it does not begin with the version byte 1"};
  }
  in.remove_prefix(1);
  while (!in.empty()) {
    const size_t offset = payload.size() - in.size();
    const char op = in.front();
    in.remove_prefix(1);
    if (op == kFlushAll) {
      store->Clear();
      continue;
    }
    std::string_view key;
    bool ok = TakeText(&in, &key);
    if (ok) {
      Store::Editor editor(store, key);
      ok = Effect(op, &in, &editor).Apply();
    }
    if (!ok) {
      return {StatusCode::kCorruption, "resp_kv record: effect " + std::to_string(static_cast<int>(op)) + " at byte " +
                                           std::to_string(offset) + " is malformed or does not fit the state"};
    }
  }
  return Status::Ok();
}

}  // namespace understudy::resp_kv

#include <algorithm>

#include "client/examples/resp_kv/command.h"

namespace understudy::resp_kv::handlers {

namespace {

constexpr std::string_view kNotPositive = "ERR value is out of range, must be positive";

int64_t Length(const ListValue* list) { return list == nullptr ? 0 : static_cast<int64_t>(list->items.size()); }

void Push(CommandContext& c, bool left) {
  const ListValue* list = nullptr;
  if (!c.Get(c.args[1], &list)) {
    return;
  }
  const auto items = c.args.subspan(2);
  c.effects.ListPush(c.args[1], left, items);
  AppendInteger(Length(list) + static_cast<int64_t>(items.size()), &c.reply);
}

void Pop(CommandContext& c, bool left) {
  if (c.args.size() > 3) {
    c.Error("ERR wrong number of arguments for '" + ToLower(c.args[0]) + "' command");
    return;
  }
  const bool counted = c.args.size() == 3;
  int64_t count = 1;
  const ListValue* list = nullptr;
  if ((counted && !c.Integer(2, 0, INT64_MAX, kNotPositive, &count)) || !c.Get(c.args[1], &list)) {
    return;
  }
  if (list == nullptr) {
    counted ? AppendNullArray(&c.reply) : AppendNull(&c.reply);
    return;
  }
  const auto taken = static_cast<size_t>(std::min(count, Length(list)));
  if (counted) {
    AppendArray(taken, &c.reply);
  }
  for (size_t i = 0; i < taken; ++i) {
    AppendBulk(left ? list->items[i] : list->items[list->items.size() - 1 - i], &c.reply);
  }
  if (taken > 0) {
    c.effects.ListPop(c.args[1], left, taken);
  }
}

// The range [first, first + count) that a client's `start` and `stop` (negative: from the end, inclusive) mean.
struct Range {
  size_t first = 0;
  size_t count = 0;
};
Range Clip(int64_t start, int64_t stop, int64_t length) {
  const auto from_front = [length](int64_t index) { return index < 0 ? std::max(index + length, int64_t{-1}) : index; };
  const int64_t first = std::max(from_front(start), int64_t{0});
  const int64_t last = std::min(from_front(stop), length - 1);
  if (first > last) {
    return {};
  }
  return {static_cast<size_t>(first), static_cast<size_t>(last - first + 1)};
}

}  // namespace

void LPush(CommandContext& c) { Push(c, true); }
void RPush(CommandContext& c) { Push(c, false); }
void LPop(CommandContext& c) { Pop(c, true); }
void RPop(CommandContext& c) { Pop(c, false); }

void LLen(CommandContext& c) {
  const ListValue* list = nullptr;
  if (c.Get(c.args[1], &list)) {
    AppendInteger(Length(list), &c.reply);
  }
}

void LIndex(CommandContext& c) {
  int64_t index = 0;
  const ListValue* list = nullptr;
  if (!c.Integer(2, &index) || !c.Get(c.args[1], &list)) {
    return;
  }
  index += index < 0 ? Length(list) : 0;
  if (index < 0 || index >= Length(list)) {
    AppendNull(&c.reply);
  } else {
    AppendBulk(list->items[static_cast<size_t>(index)], &c.reply);
  }
}

void LRange(CommandContext& c) {
  int64_t start = 0;
  int64_t stop = 0;
  const ListValue* list = nullptr;
  if (!c.Integer(2, &start) || !c.Integer(3, &stop) || !c.Get(c.args[1], &list)) {
    return;
  }
  const Range range = Clip(start, stop, Length(list));
  AppendArray(range.count, &c.reply);
  for (size_t i = 0; i < range.count; ++i) {
    AppendBulk(list->items[range.first + i], &c.reply);
  }
}

void LTrim(CommandContext& c) {
  int64_t start = 0;
  int64_t stop = 0;
  const ListValue* list = nullptr;
  if (!c.Integer(2, &start) || !c.Integer(3, &stop) || !c.Get(c.args[1], &list)) {
    return;
  }
  const Range range = Clip(start, stop, Length(list));
  if (list != nullptr && range.count < list->items.size()) {
    c.effects.ListTrim(c.args[1], range.first, range.count);
  }
  c.Ok();
}

void LRem(CommandContext& c) {
  int64_t count = 0;
  const ListValue* list = nullptr;
  if (!c.Integer(2, &count) || !c.Get(c.args[1], &list)) {
    return;
  }
  std::vector<uint64_t> indexes;
  const bool backwards = count < 0;
  const uint64_t wanted = count == 0  ? UINT64_MAX
                          : backwards ? uint64_t{0} - static_cast<uint64_t>(count)
                                      : static_cast<uint64_t>(count);
  const size_t length = static_cast<size_t>(Length(list));
  for (size_t i = 0; i < length && indexes.size() < wanted; ++i) {
    const size_t index = backwards ? length - 1 - i : i;
    if (list->items[index] == c.args[3]) {
      indexes.push_back(index);
    }
  }
  if (!indexes.empty()) {
    std::sort(indexes.begin(), indexes.end());
    c.effects.ListErase(c.args[1], indexes);
  }
  AppendInteger(static_cast<int64_t>(indexes.size()), &c.reply);
}

}  // namespace understudy::resp_kv::handlers

// Sets and sorted sets.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "client/examples/resp_kv/command.h"

namespace understudy::resp_kv::handlers {

namespace {

constexpr std::string_view kNotPositive = "ERR value is out of range, must be positive";

// The distinct texts of `texts` that `take` accepts, in their order.
template <class Take>
std::vector<std::string_view> Distinct(std::span<const std::string_view> texts, Take take) {
  std::unordered_set<std::string_view> seen;
  std::vector<std::string_view> taken;
  for (const std::string_view text : texts) {
    if (take(text) && seen.insert(text).second) {
      taken.push_back(text);
    }
  }
  return taken;
}

int64_t Length(const SortedSetValue* set) { return set == nullptr ? 0 : static_cast<int64_t>(set->scores.size()); }

// Some member, by a walk from a random bucket; a nearly empty table is searched from its first member instead.
std::string_view RandomMember(CommandContext& c, const SetValue& set) {
  const size_t buckets = set.members.bucket_count();
  if (set.members.size() * 16 < buckets) {
    return *set.members.begin();
  }
  size_t bucket = c.Random() % buckets;
  while (set.members.bucket_size(bucket) == 0) {
    bucket = (bucket + 1) % buckets;
  }
  return *set.members.begin(bucket);
}

}  // namespace

void SAdd(CommandContext& c) {
  const SetValue* set = nullptr;
  if (!c.Get(c.args[1], &set)) {
    return;
  }
  const auto added = Distinct(
      c.args.subspan(2), [set](std::string_view member) { return set == nullptr || !set->members.contains(member); });
  if (!added.empty()) {
    c.effects.SetAdd(c.args[1], added);
  }
  AppendInteger(static_cast<int64_t>(added.size()), &c.reply);
}

void SRem(CommandContext& c) {
  const SetValue* set = nullptr;
  if (!c.Get(c.args[1], &set)) {
    return;
  }
  const auto removed = Distinct(
      c.args.subspan(2), [set](std::string_view member) { return set != nullptr && set->members.contains(member); });
  if (!removed.empty()) {
    c.effects.SetRemove(c.args[1], removed);
  }
  AppendInteger(static_cast<int64_t>(removed.size()), &c.reply);
}

void SCard(CommandContext& c) {
  const SetValue* set = nullptr;
  if (c.Get(c.args[1], &set)) {
    AppendInteger(set == nullptr ? 0 : static_cast<int64_t>(set->members.size()), &c.reply);
  }
}

void SIsMember(CommandContext& c) {
  const SetValue* set = nullptr;
  if (c.Get(c.args[1], &set)) {
    AppendInteger(set != nullptr && set->members.contains(c.args[2]) ? 1 : 0, &c.reply);
  }
}

void SMembers(CommandContext& c) {
  const SetValue* set = nullptr;
  if (!c.Get(c.args[1], &set)) {
    return;
  }
  AppendArray(set == nullptr ? 0 : set->members.size(), &c.reply);
  if (set != nullptr) {
    for (const std::string& member : set->members) {
      AppendBulk(member, &c.reply);
    }
  }
}

// Random, so what is logged is the removal of the members drawn.
void SPop(CommandContext& c) {
  const bool counted = c.args.size() == 3;
  int64_t count = 1;
  if (c.args.size() > 3) {
    c.Error(kSyntaxError);
    return;
  }
  const SetValue* set = nullptr;
  if ((counted && !c.Integer(2, 0, INT64_MAX, kNotPositive, &count)) || !c.Get(c.args[1], &set)) {
    return;
  }
  if (set == nullptr && !counted) {
    AppendNull(&c.reply);
    return;
  }
  std::vector<std::string_view> drawn;
  if (set != nullptr && !counted) {
    drawn.push_back(RandomMember(c, *set));
  } else if (set != nullptr) {
    drawn.assign(set->members.begin(), set->members.end());
    const size_t taken = std::min(drawn.size(), static_cast<size_t>(count));
    for (size_t i = 0; i < taken; ++i) {
      std::swap(drawn[i], drawn[i + c.Random() % (drawn.size() - i)]);
    }
    drawn.resize(taken);
  }
  if (counted) {
    AppendArray(drawn.size(), &c.reply);
  }
  for (const std::string_view member : drawn) {
    AppendBulk(member, &c.reply);
  }
  if (!drawn.empty()) {
    c.effects.SetRemove(c.args[1], drawn);
  }
}

void ZAdd(CommandContext& c) {
  size_t at = 2;
  bool nx = false;
  bool xx = false;
  bool changed_count = false;
  for (; at < c.args.size(); ++at) {
    bool* flag = EqualsIgnoringCase(c.args[at], "nx")   ? &nx
                 : EqualsIgnoringCase(c.args[at], "xx") ? &xx
                 : EqualsIgnoringCase(c.args[at], "ch") ? &changed_count
                                                        : nullptr;
    if (flag == nullptr) {
      break;
    }
    *flag = true;
  }
  if (at == c.args.size() || (c.args.size() - at) % 2 != 0 || (nx && xx)) {
    c.Error(nx && xx ? "ERR XX and NX options at the same time are not compatible" : kSyntaxError);
    return;
  }
  const SortedSetValue* set = nullptr;
  if (!c.Get(c.args[1], &set)) {
    return;
  }
  std::unordered_map<std::string_view, double> now;  // of the members named so far
  std::vector<std::pair<double, std::string_view>> written;
  int64_t added = 0;
  int64_t changed = 0;
  for (; at < c.args.size(); at += 2) {
    const std::string_view member = c.args[at + 1];
    double score = 0;
    if (!ParseDouble(c.args[at], &score)) {
      c.Error("ERR value is not a valid float");
      return;
    }
    auto known = now.find(member);
    if (known == now.end() && set != nullptr) {
      if (const auto found = set->scores.find(member); found != set->scores.end()) {
        known = now.emplace(member, found->second).first;
      }
    }
    const bool exists = known != now.end();
    if ((nx && exists) || (xx && !exists) || (exists && known->second == score)) {
      continue;
    }
    ++(exists ? changed : added);
    now[member] = score;
    written.emplace_back(score, member);
  }
  if (!written.empty()) {
    c.effects.SortedAdd(c.args[1], written);
  }
  AppendInteger(changed_count ? added + changed : added, &c.reply);
}

void ZRem(CommandContext& c) {
  const SortedSetValue* set = nullptr;
  if (!c.Get(c.args[1], &set)) {
    return;
  }
  const auto removed = Distinct(
      c.args.subspan(2), [set](std::string_view member) { return set != nullptr && set->scores.contains(member); });
  if (!removed.empty()) {
    c.effects.SortedRemove(c.args[1], removed);
  }
  AppendInteger(static_cast<int64_t>(removed.size()), &c.reply);
}

void ZCard(CommandContext& c) {
  const SortedSetValue* set = nullptr;
  if (c.Get(c.args[1], &set)) {
    AppendInteger(Length(set), &c.reply);
  }
}

void ZScore(CommandContext& c) {
  const SortedSetValue* set = nullptr;
  if (!c.Get(c.args[1], &set)) {
    return;
  }
  if (set == nullptr || !set->scores.contains(c.args[2])) {
    AppendNull(&c.reply);
  } else {
    AppendBulk(FormatDouble(set->scores.find(c.args[2])->second), &c.reply);
  }
}

void ZPopMin(CommandContext& c) {
  int64_t count = 1;
  const SortedSetValue* set = nullptr;
  if (c.args.size() > 3) {
    c.Error(kSyntaxError);
    return;
  }
  if ((c.args.size() == 3 && !c.Integer(2, 0, INT64_MAX, kNotPositive, &count)) || !c.Get(c.args[1], &set)) {
    return;
  }
  const auto taken = static_cast<size_t>(std::min(count, Length(set)));
  AppendArray(2 * taken, &c.reply);
  if (taken == 0) {
    return;
  }
  std::vector<std::string_view> removed;
  for (auto it = set->order.begin(); removed.size() < taken; ++it) {
    AppendBulk(it->second, &c.reply);
    AppendBulk(FormatDouble(it->first), &c.reply);
    removed.push_back(it->second);
  }
  c.effects.SortedRemove(c.args[1], removed);
}

void ZRange(CommandContext& c) {
  int64_t start = 0;
  int64_t stop = 0;
  const bool with_scores = c.args.size() == 5 && EqualsIgnoringCase(c.args[4], "withscores");
  if (c.args.size() > 4 && !with_scores) {
    c.Error(kSyntaxError);
    return;
  }
  const SortedSetValue* set = nullptr;
  if (!c.Integer(2, &start) || !c.Integer(3, &stop) || !c.Get(c.args[1], &set)) {
    return;
  }
  const int64_t length = Length(set);
  start = start < 0 ? std::max(start + length, int64_t{0}) : start;
  stop = stop < 0 ? std::max(stop + length, int64_t{-1}) : std::min(stop, length - 1);
  const size_t count = start > stop ? 0 : static_cast<size_t>(stop - start + 1);
  AppendArray(count * (with_scores ? 2 : 1), &c.reply);
  if (count == 0) {
    return;
  }
  auto it = std::next(set->order.begin(), start);
  for (size_t i = 0; i < count; ++i, ++it) {
    AppendBulk(it->second, &c.reply);
    if (with_scores) {
      AppendBulk(FormatDouble(it->first), &c.reply);
    }
  }
}

}  // namespace understudy::resp_kv::handlers

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "client/examples/resp_kv/command.h"

namespace understudy::resp_kv::handlers {

namespace {

// EXPIRE and its relatives. `unit_ms` of args[2]; `absolute`: since 1970, else from now.
void SetExpiry(CommandContext& c, int64_t unit_ms, bool absolute) {
  int64_t at_ms = 0;
  if (!c.Integer(2, &at_ms)) {
    return;
  }
  if (__builtin_mul_overflow(at_ms, unit_ms, &at_ms) ||
      (!absolute && __builtin_add_overflow(at_ms, c.now_ms, &at_ms))) {
    c.Error("ERR invalid expire time in '" + ToLower(c.args[0]) + "' command");
    return;
  }
  bool nx = false;
  bool xx = false;
  bool gt = false;
  bool lt = false;
  for (size_t i = 3; i < c.args.size(); ++i) {
    const std::string word = ToLower(c.args[i]);
    bool* flag = word == "nx" ? &nx : word == "xx" ? &xx : word == "gt" ? &gt : word == "lt" ? &lt : nullptr;
    if (flag == nullptr) {
      c.Error("ERR Unsupported option " + std::string(c.args[i]));
      return;
    }
    *flag = true;
  }
  if ((nx && (xx || gt || lt)) || (gt && lt)) {
    c.Error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return;
  }
  const Entry* entry = c.Find(c.args[1]);
  const bool expires = entry != nullptr && entry->expire_at_ms != kNeverExpires;
  const int64_t current = expires ? entry->expire_at_ms : std::numeric_limits<int64_t>::max();
  const bool refused =
      entry == nullptr || (nx && expires) || (xx && !expires) || (gt && at_ms <= current) || (lt && at_ms >= current);
  if (!refused && at_ms <= c.now_ms) {
    c.effects.Delete(c.args[1]);
  } else if (!refused) {
    c.effects.ExpireAt(c.args[1], at_ms);
  }
  AppendInteger(refused ? 0 : 1, &c.reply);
}

void TimeToLive(CommandContext& c, int64_t unit_ms) {
  const Entry* entry = c.Find(c.args[1]);
  if (entry == nullptr) {
    AppendInteger(-2, &c.reply);
  } else if (entry->expire_at_ms == kNeverExpires) {
    AppendInteger(-1, &c.reply);
  } else {
    AppendInteger((entry->expire_at_ms - c.now_ms + unit_ms / 2) / unit_ms, &c.reply);
  }
}

bool Alive(const CommandContext& c, const Entry& entry) {
  return entry.expire_at_ms == kNeverExpires || entry.expire_at_ms > c.now_ms;
}

}  // namespace

void Expire(CommandContext& c) { SetExpiry(c, 1000, false); }
void PExpire(CommandContext& c) { SetExpiry(c, 1, false); }
void ExpireAt(CommandContext& c) { SetExpiry(c, 1000, true); }
void PExpireAt(CommandContext& c) { SetExpiry(c, 1, true); }
void Ttl(CommandContext& c) { TimeToLive(c, 1000); }
void PTtl(CommandContext& c) { TimeToLive(c, 1); }

void Persist(CommandContext& c) {
  const Entry* entry = c.Find(c.args[1]);
  const bool expires = entry != nullptr && entry->expire_at_ms != kNeverExpires;
  if (expires) {
    c.effects.ExpireAt(c.args[1], kNeverExpires);
  }
  AppendInteger(expires ? 1 : 0, &c.reply);
}

void Del(CommandContext& c) {
  std::unordered_set<std::string_view> deleted;
  for (const std::string_view key : c.args.subspan(1)) {
    if (c.Find(key) != nullptr && deleted.insert(key).second) {
      c.effects.Delete(key);
    }
  }
  AppendInteger(static_cast<int64_t>(deleted.size()), &c.reply);
}

void Exists(CommandContext& c) {
  int64_t count = 0;
  for (const std::string_view key : c.args.subspan(1)) {
    count += c.Find(key) != nullptr ? 1 : 0;
  }
  AppendInteger(count, &c.reply);
}

void Type(CommandContext& c) {
  const Entry* entry = c.Find(c.args[1]);
  AppendSimple(entry == nullptr ? "none" : TypeName(entry->value), &c.reply);
}

void DbSize(CommandContext& c) {
  c.SeeAllShards();
  AppendInteger(static_cast<int64_t>(c.store.keys()), &c.reply);
}

void FlushAll(CommandContext& c) {
  if (c.args.size() > 2 ||
      (c.args.size() == 2 && !EqualsIgnoringCase(c.args[1], "sync") && !EqualsIgnoringCase(c.args[1], "async"))) {
    c.Error(kSyntaxError);
    return;
  }
  c.effects.FlushAll();
  c.Ok();
}

void Keys(CommandContext& c) {
  c.SeeAllShards();
  std::string keys;
  size_t count = 0;
  for (size_t shard = 0; shard < kShards; ++shard) {
    for (const auto& [key, entry] : c.store.ShardEntries(shard)) {
      if (Alive(c, entry) && GlobMatches(c.args[1], key)) {
        AppendBulk(key, &keys);
        ++count;
      }
    }
  }
  AppendArray(count, &c.reply);
  c.reply += keys;
}

// The cursor is the next shard; a shard is answered whole. So every key that is there from the first call to the last
// is answered, whatever is written in between, and no state is kept.
void Scan(CommandContext& c) {
  int64_t shard = 0;
  if (!c.Integer(1, 0, kShards - 1, "ERR invalid cursor", &shard)) {
    return;
  }
  std::string_view pattern = "*";
  std::string type;
  int64_t wanted = 10;
  for (size_t i = 2; i < c.args.size(); i += 2) {
    const std::string word = ToLower(c.args[i]);
    if (i + 1 == c.args.size() || (word != "match" && word != "count" && word != "type")) {
      c.Error(kSyntaxError);
      return;
    }
    if (word == "match") {
      pattern = c.args[i + 1];
    } else if (word == "type") {
      type = ToLower(c.args[i + 1]);
    } else if (!c.Integer(i + 1, 1, INT64_MAX, kSyntaxError, &wanted)) {
      return;
    }
  }
  c.SeeAllShards();
  std::string keys;
  size_t count = 0;
  for (int64_t seen = 0; shard < static_cast<int64_t>(kShards) && seen < wanted; ++shard) {
    for (const auto& [key, entry] : c.store.ShardEntries(static_cast<size_t>(shard))) {
      ++seen;
      if (Alive(c, entry) && (type.empty() || type == TypeName(entry.value)) && GlobMatches(pattern, key)) {
        AppendBulk(key, &keys);
        ++count;
      }
    }
  }
  AppendArray(2, &c.reply);
  AppendBulk(std::to_string(shard == static_cast<int64_t>(kShards) ? 0 : shard), &c.reply);
  AppendArray(count, &c.reply);
  c.reply += keys;
}

void RandomKey(CommandContext& c) {
  c.SeeAllShards();
  const size_t start = c.Random() % kShards;
  for (size_t i = 0; i < kShards; ++i) {
    for (const auto& [key, entry] : c.store.ShardEntries((start + i) % kShards)) {
      if (Alive(c, entry)) {
        AppendBulk(key, &c.reply);
        return;
      }
    }
  }
  AppendNull(&c.reply);
}

}  // namespace understudy::resp_kv::handlers

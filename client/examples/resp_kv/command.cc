#include "client/examples/resp_kv/command.h"

#include <algorithm>

#include "client/examples/resp_kv/key_hash.h"

namespace understudy::resp_kv {

const Entry* CommandContext::Find(std::string_view key) {
  shards_seen_.push_back(static_cast<uint16_t>(Store::ShardOf(key)));
  const Entry* entry = store.Find(key);
  if (entry == nullptr || entry->expire_at_ms == kNeverExpires || entry->expire_at_ms > now_ms) {
    return entry;
  }
  if (std::find(expired_.begin(), expired_.end(), key) == expired_.end()) {
    expired_.push_back(key);
    effects.Delete(key);
  }
  return nullptr;
}

bool CommandContext::Integer(size_t index, int64_t* value) {
  return Integer(index, INT64_MIN, INT64_MAX, kNotAnInteger, value);
}

bool CommandContext::Integer(size_t index, int64_t min, int64_t max, std::string_view error, int64_t* value) {
  if (ParseInteger(args[index], value) && *value >= min && *value <= max) {
    return true;
  }
  Error(error);
  return false;
}

uint64_t CommandContext::Random() {  // splitmix64
  uint64_t z = (*random_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

namespace {

constexpr int kGrows = kWrite | kDenyOom;
constexpr int kShrinks = kWrite;
constexpr CommandSpec kCommands[] = {
    {"append", 3, kGrows | kFast, 1, 1, 1, handlers::Append},
    {"asking", 1, kFast, 0, 0, 0, nullptr},
    {"auth", -2, kFast, 0, 0, 0, nullptr},
    {"client", -2, kAdmin, 0, 0, 0, nullptr},
    {"cluster", -2, kAdmin, 0, 0, 0, nullptr},
    {"command", -1, kFast, 0, 0, 0, nullptr},
    {"config", -2, kAdmin, 0, 0, 0, nullptr},
    {"dbsize", 1, kReadOnly | kFast, 0, 0, 0, handlers::DbSize},
    {"debug", -2, kAdmin, 0, 0, 0, nullptr},
    {"decr", 2, kGrows | kFast, 1, 1, 1, handlers::Decr},
    {"decrby", 3, kGrows | kFast, 1, 1, 1, handlers::DecrBy},
    {"del", -2, kShrinks, 1, -1, 1, handlers::Del},
    {"echo", 2, kFast, 0, 0, 0, nullptr},
    {"exists", -2, kReadOnly | kFast, 1, -1, 1, handlers::Exists},
    {"expire", -3, kShrinks | kFast, 1, 1, 1, handlers::Expire},
    {"expireat", -3, kShrinks | kFast, 1, 1, 1, handlers::ExpireAt},
    {"flushall", -1, kShrinks, 0, 0, 0, handlers::FlushAll},
    {"flushdb", -1, kShrinks, 0, 0, 0, handlers::FlushAll},
    {"get", 2, kReadOnly | kFast, 1, 1, 1, handlers::Get},
    {"getdel", 2, kShrinks | kFast, 1, 1, 1, handlers::GetDel},
    {"getset", 3, kGrows | kFast, 1, 1, 1, handlers::GetSet},
    {"hdel", -3, kShrinks | kFast, 1, 1, 1, handlers::HDel},
    {"hello", -1, kFast, 0, 0, 0, nullptr},
    {"hexists", 3, kReadOnly | kFast, 1, 1, 1, handlers::HExists},
    {"hget", 3, kReadOnly | kFast, 1, 1, 1, handlers::HGet},
    {"hgetall", 2, kReadOnly, 1, 1, 1, handlers::HGetAll},
    {"hincrby", 4, kGrows | kFast, 1, 1, 1, handlers::HIncrBy},
    {"hkeys", 2, kReadOnly, 1, 1, 1, handlers::HKeys},
    {"hlen", 2, kReadOnly | kFast, 1, 1, 1, handlers::HLen},
    {"hmget", -3, kReadOnly | kFast, 1, 1, 1, handlers::HMGet},
    {"hmset", -4, kGrows | kFast, 1, 1, 1, handlers::HSet},
    {"hset", -4, kGrows | kFast, 1, 1, 1, handlers::HSet},
    {"hvals", 2, kReadOnly, 1, 1, 1, handlers::HVals},
    {"incr", 2, kGrows | kFast, 1, 1, 1, handlers::Incr},
    {"incrby", 3, kGrows | kFast, 1, 1, 1, handlers::IncrBy},
    {"incrbyfloat", 3, kGrows | kFast, 1, 1, 1, handlers::IncrByFloat},
    {"info", -1, kFast, 0, 0, 0, nullptr},
    {"keys", 2, kReadOnly, 0, 0, 0, handlers::Keys},
    {"lindex", 3, kReadOnly, 1, 1, 1, handlers::LIndex},
    {"llen", 2, kReadOnly | kFast, 1, 1, 1, handlers::LLen},
    {"lpop", -2, kShrinks | kFast, 1, 1, 1, handlers::LPop},
    {"lpush", -3, kGrows | kFast, 1, 1, 1, handlers::LPush},
    {"lrange", 4, kReadOnly, 1, 1, 1, handlers::LRange},
    {"lrem", 4, kShrinks, 1, 1, 1, handlers::LRem},
    {"ltrim", 4, kShrinks, 1, 1, 1, handlers::LTrim},
    {"mget", -2, kReadOnly | kFast, 1, -1, 1, handlers::MGet},
    {"mset", -3, kGrows, 1, -1, 2, handlers::MSet},
    {"persist", 2, kShrinks | kFast, 1, 1, 1, handlers::Persist},
    {"pexpire", -3, kShrinks | kFast, 1, 1, 1, handlers::PExpire},
    {"pexpireat", -3, kShrinks | kFast, 1, 1, 1, handlers::PExpireAt},
    {"ping", -1, kFast, 0, 0, 0, nullptr},
    {"psetex", 4, kGrows, 1, 1, 1, handlers::PSetEx},
    {"pttl", 2, kReadOnly | kFast, 1, 1, 1, handlers::PTtl},
    {"quit", -1, kFast, 0, 0, 0, nullptr},
    {"randomkey", 1, kReadOnly, 0, 0, 0, handlers::RandomKey},
    {"readonly", 1, kFast, 0, 0, 0, nullptr},
    {"readwrite", 1, kFast, 0, 0, 0, nullptr},
    {"reset", 1, kFast, 0, 0, 0, nullptr},
    {"rpop", -2, kShrinks | kFast, 1, 1, 1, handlers::RPop},
    {"rpush", -3, kGrows | kFast, 1, 1, 1, handlers::RPush},
    {"sadd", -3, kGrows | kFast, 1, 1, 1, handlers::SAdd},
    {"scan", -2, kReadOnly, 0, 0, 0, handlers::Scan},
    {"scard", 2, kReadOnly | kFast, 1, 1, 1, handlers::SCard},
    {"select", 2, kFast, 0, 0, 0, nullptr},
    {"set", -3, kGrows, 1, 1, 1, handlers::Set},
    {"setex", 4, kGrows, 1, 1, 1, handlers::SetEx},
    {"setnx", 3, kGrows | kFast, 1, 1, 1, handlers::SetNx},
    {"sismember", 3, kReadOnly | kFast, 1, 1, 1, handlers::SIsMember},
    {"smembers", 2, kReadOnly, 1, 1, 1, handlers::SMembers},
    {"spop", -2, kShrinks | kFast, 1, 1, 1, handlers::SPop},
    {"srem", -3, kShrinks | kFast, 1, 1, 1, handlers::SRem},
    {"strlen", 2, kReadOnly | kFast, 1, 1, 1, handlers::StrLen},
    {"time", 1, kFast, 0, 0, 0, nullptr},
    {"ttl", 2, kReadOnly | kFast, 1, 1, 1, handlers::Ttl},
    {"type", 2, kReadOnly | kFast, 1, 1, 1, handlers::Type},
    {"zadd", -4, kGrows | kFast, 1, 1, 1, handlers::ZAdd},
    {"zcard", 2, kReadOnly | kFast, 1, 1, 1, handlers::ZCard},
    {"zpopmin", -2, kShrinks | kFast, 1, 1, 1, handlers::ZPopMin},
    {"zrange", -4, kReadOnly, 1, 1, 1, handlers::ZRange},
    {"zrem", -3, kShrinks | kFast, 1, 1, 1, handlers::ZRem},
    {"zscore", 3, kReadOnly | kFast, 1, 1, 1, handlers::ZScore},
};
constexpr bool ByName(const CommandSpec& a, const CommandSpec& b) { return a.name < b.name; }
static_assert(std::is_sorted(std::begin(kCommands), std::end(kCommands), ByName));

}  // namespace

std::span<const CommandSpec> Commands() { return kCommands; }

const CommandSpec* FindCommand(std::string_view name) {
  char lower[16];
  if (name.size() > sizeof(lower)) {
    return nullptr;
  }
  std::transform(name.begin(), name.end(), lower,
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  const std::string_view wanted(lower, name.size());
  const auto* found = std::lower_bound(std::begin(kCommands), std::end(kCommands), wanted,
                                       [](const CommandSpec& spec, std::string_view text) { return spec.name < text; });
  return found != std::end(kCommands) && found->name == wanted ? found : nullptr;
}

bool ArityFits(const CommandSpec& spec, size_t count) {
  const auto given = static_cast<int64_t>(count);
  return spec.arity >= 0 ? given == spec.arity : given >= -spec.arity;
}

std::string_view FirstKey(const CommandSpec& spec, std::span<const std::string_view> args) {
  const auto index = static_cast<size_t>(spec.first_key);
  return index == 0 || index >= args.size() ? std::string_view() : args[index];
}

}  // namespace understudy::resp_kv

// Commands on the data. A handler looks at the store and answers; what it changes it only says, as effects, which the
// server appends to the log and then applies. So a handler runs the same whether its record can be appended or not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/examples/resp_kv/record.h"
#include "client/examples/resp_kv/reply.h"
#include "client/examples/resp_kv/store.h"

namespace understudy::resp_kv {

inline constexpr size_t kStringBytesMax = 7u << 20;  // of one string value: it travels in one record

// One command in flight. Used on the executing thread only.
class CommandContext {
 public:
  CommandContext(std::span<const std::string_view> arguments, const Store& state, int64_t unix_ms, EffectWriter* writer,
                 std::string* out, uint64_t* random_state)
      : args(arguments), store(state), now_ms(unix_ms), effects(*writer), reply(*out), random_(random_state) {}

  const std::span<const std::string_view> args;  // args[0] is the command's name as the client wrote it
  const Store& store;
  const int64_t now_ms;
  EffectWriter& effects;
  std::string& reply;

  // The key's entry; null when it does not exist. An expired key does not exist: its deletion becomes an effect, once.
  const Entry* Find(std::string_view key);

  // `*value` is the key's value of type T, null when the key does not exist. False, with the error as the reply, when
  // it holds another type.
  template <class T>
  bool Get(std::string_view key, const T** value) {
    const Entry* entry = Find(key);
    *value = entry == nullptr ? nullptr : ValueAs<T>(entry->value);
    if (entry != nullptr && *value == nullptr) {
      AppendError(kWrongType, &reply);
      return false;
    }
    return true;
  }

  // args[index] as a number. False, with the error as the reply, when it is none.
  bool Integer(size_t index, int64_t* value);
  bool Integer(size_t index, int64_t min, int64_t max, std::string_view error, int64_t* value);

  void Error(std::string_view text) { AppendError(text, &reply); }
  void Ok() { AppendSimple("OK", &reply); }

  uint64_t Random();  // its results reach the log as effects only

  // The shards that this command looked at; all_shards: every one.
  const std::vector<uint16_t>& shards_seen() const { return shards_seen_; }
  bool all_shards_seen() const { return all_shards_seen_; }
  void SeeAllShards() { all_shards_seen_ = true; }

 private:
  uint64_t* random_;
  std::vector<uint16_t> shards_seen_;
  std::vector<std::string_view> expired_;
  bool all_shards_seen_ = false;
};

struct CommandSpec {
  std::string_view name;  // lower case
  int arity;              // arguments with the name; negative: at least so many
  int flags;
  int first_key, last_key, key_step;  // as COMMAND says; 0: no keys
  void (*handler)(CommandContext&);   // null: the server's own (it needs no primary)
};
enum CommandFlags {
  kWrite = 1,
  kReadOnly = 2,
  kDenyOom = 4,  // may make the state grow
  kFast = 8,
  kAdmin = 16,
};

// All commands, sorted by name.
std::span<const CommandSpec> Commands();
// Any case. Null when there is no such command.
const CommandSpec* FindCommand(std::string_view name);
// True when `count` arguments, the name included, suit the command.
bool ArityFits(const CommandSpec& spec, size_t count);
// The first key of a request, empty when the command has none.
std::string_view FirstKey(const CommandSpec& spec, std::span<const std::string_view> args);

// ASCII, any case.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);
std::string ToLower(std::string_view text);
// The whole text is a signed 64-bit number in decimal, nothing around it.
bool ParseInteger(std::string_view text, int64_t* value);
bool ParseDouble(std::string_view text, double* value);  // refuses NaN
// Redis patterns: * ? [a-z] [^a] and \ to quote.
bool GlobMatches(std::string_view pattern, std::string_view text);

// The handlers, by the file that holds them.
namespace handlers {
// string_commands.cc
void Append(CommandContext&);
void Decr(CommandContext&);
void DecrBy(CommandContext&);
void Get(CommandContext&);
void GetDel(CommandContext&);
void GetSet(CommandContext&);
void Incr(CommandContext&);
void IncrBy(CommandContext&);
void IncrByFloat(CommandContext&);
void MGet(CommandContext&);
void MSet(CommandContext&);
void PSetEx(CommandContext&);
void Set(CommandContext&);
void SetEx(CommandContext&);
void SetNx(CommandContext&);
void StrLen(CommandContext&);
// key_commands.cc
void DbSize(CommandContext&);
void Del(CommandContext&);
void Exists(CommandContext&);
void Expire(CommandContext&);
void ExpireAt(CommandContext&);
void FlushAll(CommandContext&);
void Keys(CommandContext&);
void PExpire(CommandContext&);
void PExpireAt(CommandContext&);
void PTtl(CommandContext&);
void Persist(CommandContext&);
void RandomKey(CommandContext&);
void Scan(CommandContext&);
void Ttl(CommandContext&);
void Type(CommandContext&);
// hash_commands.cc
void HDel(CommandContext&);
void HExists(CommandContext&);
void HGet(CommandContext&);
void HGetAll(CommandContext&);
void HIncrBy(CommandContext&);
void HKeys(CommandContext&);
void HLen(CommandContext&);
void HMGet(CommandContext&);
void HSet(CommandContext&);
void HVals(CommandContext&);
// list_commands.cc
void LIndex(CommandContext&);
void LLen(CommandContext&);
void LPop(CommandContext&);
void LPush(CommandContext&);
void LRange(CommandContext&);
void LRem(CommandContext&);
void LTrim(CommandContext&);
void RPop(CommandContext&);
void RPush(CommandContext&);
// set_commands.cc
void SAdd(CommandContext&);
void SCard(CommandContext&);
void SIsMember(CommandContext&);
void SMembers(CommandContext&);
void SPop(CommandContext&);
void SRem(CommandContext&);
void ZAdd(CommandContext&);
void ZCard(CommandContext&);
void ZPopMin(CommandContext&);
void ZRange(CommandContext&);
void ZRem(CommandContext&);
void ZScore(CommandContext&);
}  // namespace handlers

}  // namespace understudy::resp_kv

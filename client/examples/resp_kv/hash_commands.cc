#include <unordered_set>

#include "client/examples/resp_kv/command.h"

namespace understudy::resp_kv::handlers {

namespace {

const std::string* Field(const HashValue* hash, std::string_view field) {
  if (hash == nullptr) {
    return nullptr;
  }
  const auto found = hash->fields.find(field);
  return found == hash->fields.end() ? nullptr : &found->second;
}

void AppendField(CommandContext& c, const HashValue* hash, std::string_view field) {
  const std::string* value = Field(hash, field);
  if (value == nullptr) {
    AppendNull(&c.reply);
  } else {
    AppendBulk(*value, &c.reply);
  }
}

void AnswerAll(CommandContext& c, bool fields, bool values) {
  const HashValue* hash = nullptr;
  if (!c.Get(c.args[1], &hash)) {
    return;
  }
  AppendArray((hash == nullptr ? 0 : hash->fields.size()) * (fields && values ? 2 : 1), &c.reply);
  if (hash == nullptr) {
    return;
  }
  for (const auto& [field, value] : hash->fields) {
    if (fields) {
      AppendBulk(field, &c.reply);
    }
    if (values) {
      AppendBulk(value, &c.reply);
    }
  }
}

}  // namespace

// HMSET is the same but for its answer.
void HSet(CommandContext& c) {
  const bool old_form = EqualsIgnoringCase(c.args[0], "hmset");
  if (c.args.size() % 2 != 0) {
    c.Error("ERR wrong number of arguments for '" + ToLower(c.args[0]) + "' command");
    return;
  }
  const HashValue* hash = nullptr;
  if (!c.Get(c.args[1], &hash)) {
    return;
  }
  std::unordered_set<std::string_view> added;
  for (size_t i = 2; i < c.args.size(); i += 2) {
    if (Field(hash, c.args[i]) == nullptr) {
      added.insert(c.args[i]);
    }
  }
  c.effects.HashSet(c.args[1], c.args.subspan(2));
  if (old_form) {
    c.Ok();
  } else {
    AppendInteger(static_cast<int64_t>(added.size()), &c.reply);
  }
}

void HGet(CommandContext& c) {
  const HashValue* hash = nullptr;
  if (c.Get(c.args[1], &hash)) {
    AppendField(c, hash, c.args[2]);
  }
}

void HMGet(CommandContext& c) {
  const HashValue* hash = nullptr;
  if (!c.Get(c.args[1], &hash)) {
    return;
  }
  AppendArray(c.args.size() - 2, &c.reply);
  for (const std::string_view field : c.args.subspan(2)) {
    AppendField(c, hash, field);
  }
}

void HGetAll(CommandContext& c) { AnswerAll(c, true, true); }
void HKeys(CommandContext& c) { AnswerAll(c, true, false); }
void HVals(CommandContext& c) { AnswerAll(c, false, true); }

void HDel(CommandContext& c) {
  const HashValue* hash = nullptr;
  if (!c.Get(c.args[1], &hash)) {
    return;
  }
  std::unordered_set<std::string_view> seen;
  std::vector<std::string_view> removed;
  for (const std::string_view field : c.args.subspan(2)) {
    if (Field(hash, field) != nullptr && seen.insert(field).second) {
      removed.push_back(field);
    }
  }
  if (!removed.empty()) {
    c.effects.HashDelete(c.args[1], removed);
  }
  AppendInteger(static_cast<int64_t>(removed.size()), &c.reply);
}

void HExists(CommandContext& c) {
  const HashValue* hash = nullptr;
  if (c.Get(c.args[1], &hash)) {
    AppendInteger(Field(hash, c.args[2]) == nullptr ? 0 : 1, &c.reply);
  }
}

void HLen(CommandContext& c) {
  const HashValue* hash = nullptr;
  if (c.Get(c.args[1], &hash)) {
    AppendInteger(hash == nullptr ? 0 : static_cast<int64_t>(hash->fields.size()), &c.reply);
  }
}

void HIncrBy(CommandContext& c) {
  int64_t amount = 0;
  const HashValue* hash = nullptr;
  if (!c.Integer(3, &amount) || !c.Get(c.args[1], &hash)) {
    return;
  }
  const std::string* text = Field(hash, c.args[2]);
  int64_t value = 0;
  if (text != nullptr && !ParseInteger(*text, &value)) {
    c.Error("ERR hash value is not an integer");
  } else if (__builtin_add_overflow(value, amount, &value)) {
    c.Error("ERR increment or decrement would overflow");
  } else {
    const std::string sum = std::to_string(value);
    const std::string_view field_and_value[] = {c.args[2], sum};
    c.effects.HashSet(c.args[1], field_and_value);
    AppendInteger(value, &c.reply);
  }
}

}  // namespace understudy::resp_kv::handlers

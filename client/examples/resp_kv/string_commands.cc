#include <cmath>
#include <cstdio>
#include <optional>

#include "client/examples/resp_kv/command.h"

namespace understudy::resp_kv::handlers {

namespace {

constexpr std::string_view kStringTooLong = "ERR string exceeds maximum allowed size (7340032 bytes)";

// `amount` of seconds or milliseconds, from now or since 1970, as Unix milliseconds. Nothing: not representable.
std::optional<int64_t> ExpiryMs(int64_t amount, bool seconds, bool absolute, int64_t now_ms) {
  if (seconds && __builtin_mul_overflow(amount, int64_t{1000}, &amount)) {
    return std::nullopt;
  }
  if (!absolute && __builtin_add_overflow(amount, now_ms, &amount)) {
    return std::nullopt;
  }
  return amount;
}

void InvalidExpiry(CommandContext& c) { c.Error("ERR invalid expire time in '" + ToLower(c.args[0]) + "' command"); }

struct SetOptions {
  bool if_absent = false;
  bool if_present = false;
  bool keep_expiry = false;
  bool get = false;
  std::optional<std::string_view> if_equal;
  int64_t expire_at_ms = kNeverExpires;
};

// Reads what follows SET key value. False, with the error as the reply, when it makes no sense.
bool ReadSetOptions(CommandContext& c, SetOptions* options) {
  bool timed = false;
  for (size_t i = 3; i < c.args.size(); ++i) {
    const std::string word = ToLower(c.args[i]);
    const bool conditional = options->if_equal.has_value();
    if (word == "nx" && !options->if_present && !conditional) {
      options->if_absent = true;
    } else if (word == "xx" && !options->if_absent && !conditional) {
      options->if_present = true;
    } else if (word == "ifeq" && !options->if_absent && !options->if_present && !conditional && i + 1 < c.args.size()) {
      options->if_equal = c.args[++i];
    } else if (word == "keepttl" && !timed) {
      options->keep_expiry = true;
    } else if (word == "get") {
      options->get = true;
    } else if ((word == "ex" || word == "px" || word == "exat" || word == "pxat") && !timed && !options->keep_expiry &&
               i + 1 < c.args.size()) {
      timed = true;
      int64_t amount = 0;
      if (!c.Integer(++i, &amount)) {
        return false;
      }
      const auto at = amount <= 0 ? std::nullopt : ExpiryMs(amount, word[0] == 'e', word.size() == 4, c.now_ms);
      if (!at.has_value()) {
        InvalidExpiry(c);
        return false;
      }
      options->expire_at_ms = *at;
    } else {
      c.Error(kSyntaxError);
      return false;
    }
  }
  return true;
}

void SetWithExpiry(CommandContext& c, bool seconds) {
  int64_t amount = 0;
  if (!c.Integer(2, &amount)) {
    return;
  }
  const auto at = amount <= 0 ? std::nullopt : ExpiryMs(amount, seconds, false, c.now_ms);
  if (!at.has_value()) {
    InvalidExpiry(c);
    return;
  }
  c.effects.Set(c.args[1], c.args[3], *at);
  c.Ok();
}

void Add(CommandContext& c, int64_t amount) {
  const std::string* text = nullptr;
  if (!c.Get(c.args[1], &text)) {
    return;
  }
  int64_t value = 0;
  if (text != nullptr && !ParseInteger(*text, &value)) {
    c.Error(kNotAnInteger);
  } else if (__builtin_add_overflow(value, amount, &value)) {
    c.Error("ERR increment or decrement would overflow");
  } else {
    c.effects.Set(c.args[1], std::to_string(value), text == nullptr ? kNeverExpires : kKeepExpiry);
    AppendInteger(value, &c.reply);
  }
}

void AppendValue(CommandContext& c, const std::string* value) {
  if (value == nullptr) {
    AppendNull(&c.reply);
  } else {
    AppendBulk(*value, &c.reply);
  }
}

}  // namespace

void Get(CommandContext& c) {
  const std::string* value = nullptr;
  if (c.Get(c.args[1], &value)) {
    AppendValue(c, value);
  }
}

void Set(CommandContext& c) {
  SetOptions options;
  if (!ReadSetOptions(c, &options)) {
    return;
  }
  const Entry* before = c.Find(c.args[1]);
  const std::string* value = nullptr;
  if ((options.get || options.if_equal.has_value()) && !c.Get(c.args[1], &value)) {
    return;
  }
  if (options.get) {
    AppendValue(c, value);
  }
  const bool differs = options.if_equal.has_value() && (value == nullptr || *value != *options.if_equal);
  if ((options.if_absent && before != nullptr) || (options.if_present && before == nullptr) || differs) {
    if (!options.get) {
      AppendNull(&c.reply);
    }
    return;
  }
  // A value of another type is replaced whole, so its expiry has to be named.
  const int64_t kept = before == nullptr ? kNeverExpires : before->expire_at_ms;
  c.effects.Set(c.args[1], c.args[2], options.keep_expiry ? kept : options.expire_at_ms);
  if (!options.get) {
    c.Ok();
  }
}

void SetNx(CommandContext& c) {
  const bool absent = c.Find(c.args[1]) == nullptr;
  if (absent) {
    c.effects.Set(c.args[1], c.args[2], kNeverExpires);
  }
  AppendInteger(absent ? 1 : 0, &c.reply);
}

void SetEx(CommandContext& c) { SetWithExpiry(c, true); }
void PSetEx(CommandContext& c) { SetWithExpiry(c, false); }

void GetSet(CommandContext& c) {
  const std::string* value = nullptr;
  if (c.Get(c.args[1], &value)) {
    AppendValue(c, value);
    c.effects.Set(c.args[1], c.args[2], kNeverExpires);
  }
}

void GetDel(CommandContext& c) {
  const std::string* value = nullptr;
  if (c.Get(c.args[1], &value)) {
    AppendValue(c, value);
    if (value != nullptr) {
      c.effects.Delete(c.args[1]);
    }
  }
}

void Append(CommandContext& c) {
  const std::string* value = nullptr;
  if (!c.Get(c.args[1], &value)) {
    return;
  }
  const size_t length = (value == nullptr ? 0 : value->size()) + c.args[2].size();
  if (length > kStringBytesMax) {
    c.Error(kStringTooLong);
    return;
  }
  c.effects.AppendText(c.args[1], c.args[2]);
  AppendInteger(static_cast<int64_t>(length), &c.reply);
}

void StrLen(CommandContext& c) {
  const std::string* value = nullptr;
  if (c.Get(c.args[1], &value)) {
    AppendInteger(value == nullptr ? 0 : static_cast<int64_t>(value->size()), &c.reply);
  }
}

void Incr(CommandContext& c) { Add(c, 1); }
void Decr(CommandContext& c) { Add(c, -1); }

void IncrBy(CommandContext& c) {
  int64_t amount = 0;
  if (c.Integer(2, &amount)) {
    Add(c, amount);
  }
}

void DecrBy(CommandContext& c) {
  int64_t amount = 0;
  if (!c.Integer(2, &amount)) {
    return;
  }
  if (amount == INT64_MIN) {
    c.Error("ERR decrement would overflow");
    return;
  }
  Add(c, -amount);
}

void IncrByFloat(CommandContext& c) {
  const std::string* text = nullptr;
  if (!c.Get(c.args[1], &text)) {
    return;
  }
  double value = 0;
  double amount = 0;
  if ((text != nullptr && !ParseDouble(*text, &value)) || !ParseDouble(c.args[2], &amount)) {
    c.Error("ERR value is not a valid float");
    return;
  }
  value += amount;
  if (!std::isfinite(value)) {
    c.Error("ERR increment would produce NaN or Infinity");
    return;
  }
  // The result is logged, not the sum, so that a replica never computes with floating point.
  const std::string sum = FormatDouble(value);
  c.effects.Set(c.args[1], sum, text == nullptr ? kNeverExpires : kKeepExpiry);
  AppendBulk(sum, &c.reply);
}

void MGet(CommandContext& c) {
  AppendArray(c.args.size() - 1, &c.reply);
  for (const std::string_view key : c.args.subspan(1)) {
    const Entry* entry = c.Find(key);
    AppendValue(c, entry == nullptr ? nullptr : ValueAs<std::string>(entry->value));
  }
}

void MSet(CommandContext& c) {
  if (c.args.size() % 2 == 0) {
    c.Error("ERR wrong number of arguments for 'mset' command");
    return;
  }
  for (size_t i = 1; i < c.args.size(); i += 2) {
    c.effects.Set(c.args[i], c.args[i + 1], kNeverExpires);
  }
  c.Ok();
}

}  // namespace understudy::resp_kv::handlers

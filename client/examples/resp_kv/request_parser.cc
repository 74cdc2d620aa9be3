#include "client/examples/resp_kv/request_parser.h"

#include <charconv>
#include <utility>

namespace understudy::resp_kv {

RequestParser::Outcome RequestParser::Next(std::string_view input, size_t* consumed) {
  *consumed = 0;
  if (input.empty()) {
    return Outcome::kNeedMore;
  }
  const Outcome outcome = input[0] == '*' ? NextArray(input, consumed) : NextInline(input, consumed);
  if (outcome == Outcome::kNeedMore && input.size() >= kRequestBytesMax) {
    return Fail("Protocol error: too big request");
  }
  return outcome;
}

RequestParser::Outcome RequestParser::NextArray(std::string_view input, size_t* consumed) {
  if (arguments_left_ < 0) {
    Restart();
    int64_t count = 0;
    const Outcome outcome =
        Number(input, "too big mbulk count string", "invalid multibulk length", INT64_MIN, kArgumentsMax, &count);
    if (outcome != Outcome::kRequest) {
      return outcome;
    }
    if (count <= 0) {
      *consumed = std::exchange(position_, 0);
      return Outcome::kEmpty;
    }
    arguments_left_ = count;
  }
  while (arguments_left_ > 0) {
    if (bulk_bytes_ < 0) {
      if (position_ == input.size()) {
        return Outcome::kNeedMore;
      }
      if (input[position_] != '$') {
        return Fail(std::string("Protocol error: expected '$', got '") + input[position_] + "'");
      }
      const Outcome outcome =
          Number(input, "too big bulk count string", "invalid bulk length", 0, kBulkBytesMax, &bulk_bytes_);
      if (outcome != Outcome::kRequest) {
        return outcome;
      }
    }
    const size_t bytes = static_cast<size_t>(bulk_bytes_);
    if (input.size() - position_ < bytes + 2) {
      return Outcome::kNeedMore;
    }
    spans_.emplace_back(position_, bytes);
    position_ += bytes + 2;  // Redis does not look at the two bytes behind the argument either
    bulk_bytes_ = -1;
    --arguments_left_;
  }
  args_.clear();
  for (const auto& [offset, bytes] : spans_) {
    args_.push_back(input.substr(offset, bytes));
  }
  *consumed = std::exchange(position_, 0);
  arguments_left_ = -1;
  return Outcome::kRequest;
}

RequestParser::Outcome RequestParser::NextInline(std::string_view input, size_t* consumed) {
  const size_t newline = input.find('\n', position_);
  if (newline == std::string_view::npos) {
    position_ = input.size();
    return input.size() > kLineBytesMax ? Fail("Protocol error: too big inline request") : Outcome::kNeedMore;
  }
  if (newline > kLineBytesMax) {
    return Fail("Protocol error: too big inline request");
  }
  std::string_view line = input.substr(0, newline);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  Restart();
  if (!SplitInline(line, &unquoted_)) {
    return Fail("Protocol error: unbalanced quotes in request");
  }
  *consumed = newline + 1;
  position_ = 0;
  args_.assign(unquoted_.begin(), unquoted_.end());
  return args_.empty() ? Outcome::kEmpty : Outcome::kRequest;
}

RequestParser::Outcome RequestParser::Number(std::string_view input, const char* too_big, const char* invalid,
                                             int64_t min, int64_t max, int64_t* number) {
  const size_t end = input.substr(0, position_ + kLineBytesMax).find('\r', position_);
  if (end == std::string_view::npos) {
    return input.size() - position_ >= kLineBytesMax ? Fail(std::string("Protocol error: ") + too_big)
                                                     : Outcome::kNeedMore;
  }
  if (input.size() < end + 2) {
    return Outcome::kNeedMore;
  }
  int64_t value = 0;
  const char* first = input.data() + position_ + 1;
  const char* last = input.data() + end;
  const auto [stopped, problem] = std::from_chars(first, last, value);
  if (problem != std::errc() || stopped != last || value < min || value > max) {
    return Fail(std::string("Protocol error: ") + invalid);
  }
  *number = value;
  position_ = end + 2;
  return Outcome::kRequest;
}

RequestParser::Outcome RequestParser::Fail(std::string message) {
  error_ = std::move(message);
  return Outcome::kError;
}

void RequestParser::Restart() {
  position_ = 0;
  bulk_bytes_ = -1;
  spans_.clear();
  unquoted_.clear();
  args_.clear();
}

namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }

char Unescape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

// The rest of a quoted stretch, from behind its opening quote to behind its closing one. False: no such end.
bool TakeQuoted(std::string_view line, char quote, size_t* at, std::string* word) {
  size_t i = *at;
  while (i < line.size() && line[i] != quote) {
    if (line[i] == '\\' && quote == '"' && i + 3 < line.size() && line[i + 1] == 'x' && HexDigit(line[i + 2]) >= 0 &&
        HexDigit(line[i + 3]) >= 0) {
      word->push_back(static_cast<char>(HexDigit(line[i + 2]) * 16 + HexDigit(line[i + 3])));
      i += 4;
    } else if (line[i] == '\\' && i + 1 < line.size() && (quote == '"' || line[i + 1] == '\'')) {
      word->push_back(quote == '"' ? Unescape(line[i + 1]) : '\'');
      i += 2;
    } else {
      word->push_back(line[i++]);
    }
  }
  *at = i + 1;
  // A closing quote ends the word: nothing but a blank may follow.
  return i < line.size() && (i + 1 == line.size() || IsBlank(line[i + 1]));
}

}  // namespace

bool SplitInline(std::string_view line, std::vector<std::string>* words) {
  size_t i = 0;
  while (true) {
    while (i < line.size() && IsBlank(line[i])) {
      ++i;
    }
    if (i == line.size()) {
      return true;
    }
    std::string word;
    while (i < line.size() && !IsBlank(line[i])) {
      if (line[i] == '"' || line[i] == '\'') {
        const char quote = line[i++];
        if (!TakeQuoted(line, quote, &i, &word)) {
          return false;
        }
      } else {
        word.push_back(line[i++]);
      }
    }
    words->push_back(std::move(word));
  }
}

}  // namespace understudy::resp_kv

// Requests of the Redis protocol, version 2: arrays of bulk strings, and inline commands typed by hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace understudy::resp_kv {

inline constexpr size_t kLineBytesMax = 64u << 10;     // an inline command, or the line that counts something
inline constexpr size_t kBulkBytesMax = 7u << 20;      // one argument; a log record is at most 8 MiB
inline constexpr size_t kRequestBytesMax = 16u << 20;  // all of one request, as it stands in the input buffer
inline constexpr int64_t kArgumentsMax = 1 << 16;      // of one request

// Incremental: what was looked at once is not looked at again when more bytes arrive. One a connection, one thread.
class RequestParser {
 public:
  enum class Outcome {
    kNeedMore,  // nothing consumed; call again with more bytes behind the same ones
    kRequest,   // args() is one request
    kEmpty,     // consumed bytes that ask for nothing: an empty line, an empty array
    kError,     // error() is what to tell the client before closing; the parser is of no further use
  };

  // `input` begins with the first byte not consumed so far. On kRequest and kEmpty, `*consumed` bytes of it are done
  // with; args() borrows from `input` until then.
  Outcome Next(std::string_view input, size_t* consumed);

  const std::vector<std::string_view>& args() const { return args_; }
  const std::string& error() const { return error_; }

 private:
  Outcome NextArray(std::string_view input, size_t* consumed);
  Outcome NextInline(std::string_view input, size_t* consumed);
  // A line of a number at `position_`, behind its one-byte type. kRequest: `*number` is set and position_ is behind it.
  Outcome Number(std::string_view input, const char* too_big, const char* invalid, int64_t min, int64_t max,
                 int64_t* number);
  Outcome Fail(std::string message);
  void Restart();

  size_t position_ = 0;          // in `input`, of the request being parsed: everything before it is understood
  int64_t arguments_left_ = -1;  // -1: the count is not known yet
  int64_t bulk_bytes_ = -1;      // -1: the length of the next argument is not known yet
  std::vector<std::pair<size_t, size_t>> spans_;  // offset and length of each argument in `input`
  std::vector<std::string> unquoted_;             // arguments of an inline command, which may be quoted
  std::vector<std::string_view> args_;
  std::string error_;
};

// Splits a line as redis-cli does: blanks separate, "..." knows \n \r \t \b \a \xHH, '...' knows \'. False: unbalanced.
bool SplitInline(std::string_view line, std::vector<std::string>* words);

}  // namespace understudy::resp_kv

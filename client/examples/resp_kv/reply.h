// Replies of the Redis protocol, version 2, appended to a buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace understudy::resp_kv {

void AppendSimple(std::string_view text, std::string* out);  // +OK
// `text` begins with its kind ("ERR syntax error"); line breaks in it become blanks.
void AppendError(std::string_view text, std::string* out);
void AppendInteger(int64_t value, std::string* out);
void AppendBulk(std::string_view bytes, std::string* out);
void AppendNull(std::string* out);                    // $-1: no such value
void AppendNullArray(std::string* out);               // *-1
void AppendArray(size_t elements, std::string* out);  // `elements` replies follow

// As Redis prints scores: the shortest text that reads back as the same number.
std::string FormatDouble(double value);

inline constexpr std::string_view kWrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
inline constexpr std::string_view kNotAnInteger = "ERR value is not an integer or out of range";
inline constexpr std::string_view kSyntaxError = "ERR syntax error";

}  // namespace understudy::resp_kv

#include "client/examples/resp_kv/reply.h"

#include <charconv>
#include <cmath>

namespace understudy::resp_kv {

namespace {

void AppendNumberLine(char type, int64_t value, std::string* out) {
  char digits[24];
  const char* end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  out->push_back(type);
  out->append(digits, static_cast<size_t>(end - digits));
  out->append("\r\n");
}

}  // namespace

void AppendSimple(std::string_view text, std::string* out) {
  out->push_back('+');
  out->append(text);
  out->append("\r\n");
}

void AppendError(std::string_view text, std::string* out) {
  out->push_back('-');
  for (const char c : text) {
    out->push_back(c == '\r' || c == '\n' ? ' ' : c);
  }
  out->append("\r\n");
}

void AppendInteger(int64_t value, std::string* out) { AppendNumberLine(':', value, out); }

void AppendBulk(std::string_view bytes, std::string* out) {
  AppendNumberLine('$', static_cast<int64_t>(bytes.size()), out);
  out->append(bytes);
  out->append("\r\n");
}

void AppendNull(std::string* out) { out->append("$-1\r\n"); }

void AppendNullArray(std::string* out) { out->append("*-1\r\n"); }

void AppendArray(size_t elements, std::string* out) { AppendNumberLine('*', static_cast<int64_t>(elements), out); }

std::string FormatDouble(double value) {
  if (std::isinf(value)) {
    return value > 0 ? "inf" : "-inf";
  }
  char digits[64];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

}  // namespace understudy::resp_kv

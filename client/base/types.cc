#include "understudy/types.h"

namespace understudy {
namespace {

char HexDigit(uint64_t nibble) { return "0123456789abcdef"[nibble & 15]; }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

template <class Tag>
std::string ToHex(const internal::Id128<Tag>& id) {
  std::string text(32, '0');
  for (int i = 0; i < 16; ++i) {
    text[static_cast<size_t>(i)] = HexDigit(id.hi >> (60 - 4 * i));
    text[static_cast<size_t>(16 + i)] = HexDigit(id.lo >> (60 - 4 * i));
  }
  return text;
}

template <class Tag>
bool FromHex(const std::string& text, internal::Id128<Tag>* id) {
  if (text.size() != 32) return false;
  internal::Id128<Tag> parsed;
  for (size_t i = 0; i < 32; ++i) {
    const int value = HexValue(text[i]);
    if (value < 0) return false;
    uint64_t& half = i < 16 ? parsed.hi : parsed.lo;
    half = (half << 4) | static_cast<uint64_t>(value);
  }
  *id = parsed;
  return true;
}

template std::string ToHex(const AttemptId&);
template std::string ToHex(const DiskId&);
template bool FromHex(const std::string&, AttemptId*);
template bool FromHex(const std::string&, DiskId*);

}  // namespace understudy

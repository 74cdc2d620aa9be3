// Encoding of records and snapshots: LEB128 integers, texts with their length in front, IEEE doubles little-endian.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace understudy::resp_kv {

inline void PutNumber(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline void PutText(std::string_view text, std::string* out) {
  PutNumber(text.size(), out);
  out->append(text);
}

inline void PutDouble(double value, std::string* out) {
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int shift = 0; shift < 64; shift += 8) {
    out->push_back(static_cast<char>(bits >> shift));
  }
}

// The Take functions move `in` forward; false, with nothing taken that counts, when the bytes do not hold such a thing.
inline bool TakeNumber(std::string_view* in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !in->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in->front());
    in->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      return true;
    }
  }
  return false;
}

inline bool TakeText(std::string_view* in, std::string_view* text) {
  uint64_t size = 0;
  if (!TakeNumber(in, &size) || size > in->size()) {
    return false;
  }
  *text = in->substr(0, size);
  in->remove_prefix(size);
  return true;
}

inline bool TakeDouble(std::string_view* in, double* value) {
  if (in->size() < 8) {
    return false;
  }
  uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) {
    bits |= static_cast<uint64_t>(static_cast<unsigned char>((*in)[static_cast<size_t>(i)])) << (8 * i);
  }
  *value = std::bit_cast<double>(bits);
  in->remove_prefix(8);
  return true;
}

}  // namespace understudy::resp_kv

// Little-endian fixed-width integers, the only number encoding our formats use.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

namespace understudy {

static_assert(std::endian::native == std::endian::little, "formats are little-endian; byte swaps are not written");

inline void Store32(char* at, uint32_t value) { std::memcpy(at, &value, sizeof value); }
inline void Store64(char* at, uint64_t value) { std::memcpy(at, &value, sizeof value); }
inline uint32_t Load32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint64_t Load64(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline void Append32(std::string* out, uint32_t value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
inline void Append64(std::string* out, uint64_t value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace understudy

// The small value types every other header speaks in.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace understudy {

namespace internal {

// A 64-bit number that does not mix with others. Order and distance are all the arithmetic there is.
template <class Tag>
class StrongU64 {
 public:
  constexpr StrongU64() = default;
  constexpr explicit StrongU64(uint64_t value) : value_(value) {}
  constexpr uint64_t value() const { return value_; }
  constexpr StrongU64 operator+(uint64_t n) const { return StrongU64(value_ + n); }
  constexpr StrongU64 operator-(uint64_t n) const { return StrongU64(value_ - n); }
  constexpr uint64_t operator-(StrongU64 other) const { return value_ - other.value_; }
  constexpr auto operator<=>(const StrongU64&) const = default;

 private:
  uint64_t value_ = 0;
};

// 128 random bits. All zero means "none".
template <class Tag>
struct Id128 {
  uint64_t hi = 0;
  uint64_t lo = 0;
  constexpr bool none() const { return hi == 0 && lo == 0; }
  constexpr auto operator<=>(const Id128&) const = default;
};

}  // namespace internal

using Lsn = internal::StrongU64<struct LsnTag>;      // 1, 2, 3, ... of a log; 0 is "before the first"
using Epoch = internal::StrongU64<struct EpochTag>;  // 1, 2, 3, ... of a log; 0 is "none"
using LogId = internal::StrongU64<struct LogTag>;
using AttemptId = internal::Id128<struct AttemptTag>;  // one try at being the writer; never reused
using DiskId = internal::Id128<struct DiskTag>;        // one data directory of a log server

// 32 lower-case hexadecimal digits.
template <class Tag>
std::string ToHex(const internal::Id128<Tag>& id);
extern template std::string ToHex(const AttemptId&);
extern template std::string ToHex(const DiskId&);
// The reverse; false, and `id` untouched, when `text` is not exactly 32 hexadecimal digits.
template <class Tag>
bool FromHex(const std::string& text, internal::Id128<Tag>* id);
extern template bool FromHex(const std::string&, AttemptId*);
extern template bool FromHex(const std::string&, DiskId*);

// Nanoseconds of an injected monotonic clock. Comparable only with instants of the same clock.
class Instant {
 public:
  constexpr Instant() = default;
  constexpr explicit Instant(int64_t ns) : ns_(ns) {}
  constexpr int64_t ns() const { return ns_; }
  constexpr Instant operator+(int64_t ns) const { return Instant(ns_ + ns); }
  constexpr int64_t operator-(Instant other) const { return ns_ - other.ns_; }
  constexpr auto operator<=>(const Instant&) const = default;
  static constexpr Instant Never() { return Instant(INT64_MAX); }

 private:
  int64_t ns_ = 0;
};

inline constexpr int64_t kNsPerMs = 1'000'000;
inline constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace understudy

template <class Tag>
struct std::hash<understudy::internal::StrongU64<Tag>> {
  size_t operator()(understudy::internal::StrongU64<Tag> v) const noexcept {
    return std::hash<uint64_t>{}(v.value());
  }
};
template <class Tag>
struct std::hash<understudy::internal::Id128<Tag>> {
  size_t operator()(const understudy::internal::Id128<Tag>& v) const noexcept {
    return std::hash<uint64_t>{}(v.hi ^ (v.lo * 0x9E3779B97F4A7C15ULL));
  }
};

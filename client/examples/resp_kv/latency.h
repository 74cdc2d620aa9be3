// Latencies of a second, in buckets of 12 % width: enough for a percentile, and a few hundred additions to read.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace understudy::resp_kv {

class LatencyHistogram {
 public:
  void Add(int64_t us) {
    ++counts_[Bucket(us < 0 ? 0 : static_cast<uint64_t>(us))];
    ++total_;
  }
  void Clear() { *this = LatencyHistogram(); }
  uint64_t total() const { return total_; }
  // The upper end, in us, of the bucket that holds the given share (0 to 1) of all; 0 when nothing was added.
  int64_t Percentile(double share) const {
    const double wanted = share * static_cast<double>(total_);
    double seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += static_cast<double>(counts_[bucket]);
      if (counts_[bucket] != 0 && seen >= wanted) {
        return static_cast<int64_t>(UpperEnd(bucket));
      }
    }
    return 0;
  }

 private:
  // Eight buckets for each power of two; values below 8 have their own.
  static size_t Bucket(uint64_t us) {
    if (us < 8) {
      return static_cast<size_t>(us);
    }
    const int top = std::bit_width(us) - 1;
    return static_cast<size_t>((top - 2) * 8) + static_cast<size_t>((us >> (top - 3)) & 7);
  }
  static uint64_t UpperEnd(size_t bucket) {
    if (bucket < 8) {
      return bucket;
    }
    const size_t shift = bucket / 8 - 1;
    return ((8 + bucket % 8 + 1) << shift) - 1;
  }

  std::array<uint64_t, 62 * 8> counts_{};
  uint64_t total_ = 0;
};

}  // namespace understudy::resp_kv

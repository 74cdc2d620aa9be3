// Append latency since the last look: counts in logarithmic buckets (eight a doubling, so within 9 %).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace understudy {

// One thread at a time.
class LatencyHistogram {
 public:
  void Add(int64_t us, uint64_t count) {
    buckets_[BucketOf(us < 1 ? 1 : static_cast<uint64_t>(us))] += count;
    total_ += count;
  }
  uint64_t total() const { return total_; }
  // The value that a share `q` (0 to 1) of what was added does not exceed; -1 when nothing was added.
  int64_t QuantileUs(double q) const {
    if (total_ == 0) return -1;
    const auto rank = static_cast<uint64_t>(q * static_cast<double>(total_ - 1));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > rank) return static_cast<int64_t>(UpperEdge(i));
    }
    return static_cast<int64_t>(UpperEdge(buckets_.size() - 1));
  }
  void Clear() {
    buckets_.fill(0);
    total_ = 0;
  }

 private:
  static constexpr size_t kBuckets = 40 * 8;  // up to 2^40 us
  static size_t BucketOf(uint64_t us) {
    if (us < 8) return us;
    const auto log = static_cast<size_t>(std::bit_width(us)) - 1;
    const size_t bucket = (log - 2) * 8 + ((us >> (log - 3)) & 7);
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  static uint64_t UpperEdge(size_t bucket) {
    if (bucket < 16) return bucket;
    const size_t log = bucket / 8 + 2;
    return ((8 + (bucket & 7) + 1) << (log - 3)) - 1;
  }
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t total_ = 0;
};

}  // namespace understudy

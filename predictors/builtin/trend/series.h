// One metric's past at several time scales at once, in bounded memory. Pure.
//
// Scale 0 holds the last 64 samples; each further scale holds buckets of eight of the scale below: 64 of them, or 128
// from ten minutes a bucket on, so that days are resolved into hours. At one sample a second the windows are 64 s, 8.5
// min, 68 min, 18 h, 6 days and 48 days long, and every window costs a forecast the same. A bucket keeps its lowest and
// highest value: the lowest is the lower envelope on which growth is judged (what a garbage collector or a log rotation
// gives back is no growth), the highest says how far above it the peaks reach.
//
// A series that scatters, such as a latency, has no envelope that tells anything. It keeps medians instead: a bucket's
// low is the median of the eight lows below it, its high the second highest of eight samples and from then on the
// median of highs. That is the remedian of Rousseeuw and Bassett, "The remedian: a robust averaging method for large
// data sets", J. Am. Stat. Assoc. 85, 1990, with base 8.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "predictors/builtin/trend/state_bytes.h"

namespace understudy::trend {

inline constexpr size_t kWindowMax = 128;  // buckets of a window
inline constexpr size_t kTeethMax = 32;

// A stretch of a series, oldest first, as plain arrays for fitting.
struct Window {
  size_t n = 0;
  std::array<double, kWindowMax> time_s;  // of a bucket's first sample, since the series began
  std::array<double, kWindowMax> low, high;
  double bucket_s = 0;  // time a bucket takes
  bool medians = false;
};

class Scale {
 public:
  explicit Scale(uint32_t size_max) : size_max_(size_max) {}

  // Times ascend. O(1) amortised.
  void Push(int64_t start_ticks, float low, float high);
  void Extract(Window* window) const;

  size_t size() const { return ring_.size(); }
  float lowest() const { return lowest_; }  // of the window
  float last_low() const { return last_; }
  // Fills `lows` with those of the newest buckets and returns how many there are.
  size_t Newest(std::span<double> lows) const;
  // The highest level held for three buckets, as far back as is known, the `newest` buckets left out; -FLT_MAX: none.
  float Held(size_t newest) const;
  float last_high() const { return ring_[newest_].high; }
  // The highest level held for three buckets before the window, over at least the last 1,024 buckets; -FLT_MAX: none.
  float peak_before() const { return std::max(peaks_[0], peaks_[1]); }
  // Mean size of the second differences of the lower envelope, which a steady growth does not raise; 0 while `known` is
  // false.
  double roughness() const { return roughness_; }
  bool roughness_known(uint32_t enough) const { return differences_ >= enough; }
  // Drops the window, keeps what was learnt of noise and peaks.
  void Clear();

  void Save(StateWriter* out) const;
  bool Restore(StateReader* in);

 private:
  struct Bucket {
    float low, high;
    uint32_t gap;  // ticks since the start of the bucket before
  };
  const Bucket& At(size_t age_rank) const;  // 0: the oldest
  void Learn(float low);
  void Leave();

  uint32_t size_max_;
  std::vector<Bucket> ring_;
  uint32_t newest_ = 0;
  int64_t newest_ticks_ = 0;
  float lowest_ = 0, last_ = 0, last_step_ = 0;
  uint32_t steps_ = 0;  // differences known since Clear, at most 2
  uint32_t differences_ = 0;
  double roughness_ = 0;
  std::array<float, 2> peaks_{kNoPeak, kNoPeak};
  uint32_t left_ = 0;  // buckets that left the window since the peaks were turned over

  static constexpr float kNoPeak = -3.4e38f;
  static constexpr uint32_t kPeakBuckets = 1024;
};

// What a series did between two drops: a tooth of a saw.
struct Tooth {
  double time_s = 0;  // of its lowest point
  double floor = 0;
  double peak = 0;    // before that
  double fall_s = 0;  // from peak to floor
};

class Series {
 public:
  static constexpr size_t kScalesMax = 7;
  static constexpr uint32_t kMerge = 8;
  static constexpr uint32_t kSizeMin = 64;

  // `medians`: of what scatters; there are no teeth then.
  explicit Series(bool medians = false) : medians_(medians) {}

  // Times ascend; values are finite, below 1e18 in size, and have grown dangerous when high. Returns how many scales
  // got a new bucket: scales 0 to result - 1. O(1) amortised.
  size_t Observe(int64_t time_ns, double value);
  // Forgets everything.
  void Clear();

  bool empty() const { return samples_ == 0; }
  uint64_t samples() const { return samples_; }
  int64_t last_ns() const { return last_ns_; }
  double last() const { return last_; }
  double cadence_s() const { return cadence_s_; }  // 0: not known yet
  // Seconds since the series began.
  double Since(int64_t time_ns) const { return static_cast<double>(time_ns - first_ns_) * 1e-9; }
  double base() const { return base_; }  // scales hold value - base
  size_t scales() const { return scales_.size(); }
  const Scale& scale(size_t k) const { return scales_[k].scale; }
  double bucket_s(size_t k) const;

  // Teeth seen, oldest first; their floors and peaks are less base as well.
  const std::vector<Tooth>& teeth() const { return teeth_; }
  uint64_t teeth_seen() const { return teeth_seen_; }

  void Save(StateWriter* out) const;
  bool Restore(StateReader* in);

 private:
  struct Step {
    Scale scale;
    float low = 0, high = 0;  // of the bucket that gathers for the next scale
    int64_t start_ticks = 0;
    uint32_t gathered = 0;
  };
  void FollowTeeth(double time_s, float value);
  void Gather(size_t k, float low, float high);

  static constexpr size_t kGathered = 2 * kScalesMax * kMerge;

  bool medians_;
  std::vector<float> gathered_;  // where medians are kept: eight lows and eight highs of each scale
  uint64_t samples_ = 0;
  int64_t first_ns_ = 0, last_ns_ = 0;
  double base_ = 0, last_ = 0, cadence_s_ = 0;
  std::vector<Step> scales_;
  std::vector<Tooth> teeth_;
  uint64_t teeth_seen_ = 0;
  // The zigzag that finds teeth: the extreme of the leg under way.
  bool falling_ = false;
  float peak_ = 0, trough_ = 0, span_low_ = 0, span_high_ = 0;
  double peak_s_ = 0, trough_s_ = 0;
  uint32_t span_samples_ = 0;
  float old_low_ = 0, old_high_ = 0;
};

}  // namespace understudy::trend

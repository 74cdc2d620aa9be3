#include "predictors/builtin/trend/series.h"

#include <cmath>

namespace understudy::trend {
namespace {

constexpr double kTicksPerSecond = 1e4;
constexpr double kRoughnessMemory = 1.0 / 64;
constexpr double kLongestBucketS = 43200;  // half a day: the longest window is some weeks
constexpr double kFineBucketS = 600;       // from here on windows have 128 buckets
constexpr float kTurn = 0.35f;             // of the recent range: a turn that makes a tooth

}  // namespace

const Scale::Bucket& Scale::At(size_t age_rank) const {
  const size_t oldest = ring_.size() < size_max_ ? 0 : (newest_ + 1) % size_max_;
  size_t at = oldest + age_rank;
  if (at >= size_max_) at -= size_max_;
  return ring_[at];
}

// A new value of the lower envelope is taken into the noise estimate; one wild value counts as eight usual ones.
void Scale::Learn(float low) {
  const float step = low - last_;
  if (steps_ >= 2) {
    double size = std::abs(static_cast<double>(step) - last_step_);
    const double weight = std::max(kRoughnessMemory, 1.0 / (differences_ + 1));
    if (roughness_ > 0 && differences_ >= 8) size = std::min(size, 8 * roughness_);
    roughness_ += weight * (size - roughness_);
    if (differences_ < UINT32_MAX) ++differences_;
  }
  last_step_ = step;
  if (steps_ < 2) ++steps_;
}

// The oldest bucket is about to leave: what it, and the two after it, held is a level the series has survived.
void Scale::Leave() {
  const float held = std::min({At(0).low, At(1).low, At(2).low});
  peaks_[0] = std::max(peaks_[0], held);
  if (++left_ >= kPeakBuckets) {
    peaks_[1] = peaks_[0];
    peaks_[0] = kNoPeak;
    left_ = 0;
  }
}

void Scale::Push(int64_t start_ticks, float low, float high) {
  const int64_t gap = ring_.empty() ? 0 : start_ticks - newest_ticks_;
  const Bucket bucket{low, high, static_cast<uint32_t>(std::min<int64_t>(gap, UINT32_MAX))};
  if (ring_.empty()) {
    lowest_ = low;
    last_step_ = 0;
    steps_ = 1;
  } else {
    Learn(low);
  }
  if (ring_.size() < size_max_) {
    ring_.push_back(bucket);
    newest_ = static_cast<uint32_t>(ring_.size() - 1);
    lowest_ = std::min(lowest_, low);
  } else {
    const float leaving = At(0).low;
    Leave();
    newest_ = (newest_ + 1) % size_max_;
    ring_[newest_] = bucket;
    if (low <= lowest_) {
      lowest_ = low;
    } else if (leaving <= lowest_) {
      lowest_ = low;
      for (const Bucket& each : ring_) lowest_ = std::min(lowest_, each.low);
    }
  }
  newest_ticks_ = start_ticks;
  last_ = low;
}

void Scale::Extract(Window* window) const {
  window->n = ring_.size();
  int64_t ticks = newest_ticks_;
  for (size_t i = ring_.size(); i-- > 0;) {
    const Bucket& bucket = At(i);
    window->time_s[i] = static_cast<double>(ticks) / kTicksPerSecond;
    window->low[i] = bucket.low;
    window->high[i] = bucket.high;
    ticks -= bucket.gap;
  }
}

size_t Scale::Newest(std::span<double> lows) const {
  const size_t n = std::min(lows.size(), ring_.size());
  for (size_t i = 0; i < n; ++i) lows[i] = At(ring_.size() - n + i).low;
  return n;
}

float Scale::Held(size_t newest) const {
  float held = peak_before();
  for (size_t i = 2; i + newest < ring_.size(); ++i) {
    held = std::max(held, std::min({At(i - 2).low, At(i - 1).low, At(i).low}));
  }
  return held;
}

void Scale::Clear() {
  while (ring_.size() >= 3) {
    Leave();
    if (ring_.size() == size_max_) {  // straighten the ring once
      std::vector<Bucket> straight;
      for (size_t i = 0; i < ring_.size(); ++i) straight.push_back(At(i));
      ring_ = std::move(straight);
      newest_ = size_max_ - 1;
    }
    ring_.erase(ring_.begin());
  }
  ring_.clear();
  newest_ = 0;
  steps_ = 0;
}

void Scale::Save(StateWriter* out) const {
  out->Put(size_max_);
  out->Put(static_cast<uint32_t>(ring_.size()));
  for (const Bucket& bucket : ring_) out->Put(bucket);
  out->Put(newest_);
  out->Put(newest_ticks_);
  out->Put(lowest_);
  out->Put(last_);
  out->Put(last_step_);
  out->Put(steps_);
  out->Put(differences_);
  out->Put(roughness_);
  out->Put(peaks_);
  out->Put(left_);
}

bool Scale::Restore(StateReader* in) {
  uint32_t size = 0;
  if (!in->Get(&size_max_) || (size_max_ != Series::kSizeMin && size_max_ != kWindowMax)) return false;
  if (!in->Get(&size) || size > size_max_) return false;
  ring_.resize(size);
  bool sound = true;
  for (Bucket& bucket : ring_) {
    sound &= in->Get(&bucket) && std::isfinite(bucket.low) && std::isfinite(bucket.high);
  }
  sound &= in->Get(&newest_) && in->Get(&newest_ticks_) && in->Get(&lowest_) && in->Get(&last_);
  sound &= in->Get(&last_step_) && in->Get(&steps_) && in->Get(&differences_) && in->Get(&roughness_);
  sound &= in->Get(&peaks_) && in->Get(&left_);
  return sound && newest_ < std::max<uint32_t>(size, 1) && (size == 0 || size == size_max_ || newest_ == size - 1) &&
         std::isfinite(lowest_) && std::isfinite(last_) && std::isfinite(last_step_) && steps_ <= 2 &&
         std::isfinite(roughness_) && roughness_ >= 0 && std::isfinite(peaks_[0]) && std::isfinite(peaks_[1]);
}

double Series::bucket_s(size_t k) const { return cadence_s_ * static_cast<double>(uint64_t{1} << (3 * k)); }

// A leg that turns by more than a third of the recent range (of 64 to 128 samples) ends.
void Series::FollowTeeth(double time_s, float value) {
  if (samples_ == 1) {
    peak_ = trough_ = span_low_ = span_high_ = old_low_ = old_high_ = value;
    peak_s_ = trough_s_ = time_s;
  }
  span_low_ = std::min(span_low_, value);
  span_high_ = std::max(span_high_, value);
  if (++span_samples_ == kSizeMin) {
    old_low_ = span_low_;
    old_high_ = span_high_;
    span_low_ = span_high_ = value;
    span_samples_ = 0;
  }
  const float turn = kTurn * (std::max(span_high_, old_high_) - std::min(span_low_, old_low_));
  if (!falling_) {
    if (value >= peak_) {
      peak_ = value;
      peak_s_ = time_s;
    } else if (value < peak_ - turn) {
      falling_ = true;
      trough_ = value;
      trough_s_ = time_s;
    }
  } else if (value < trough_) {
    trough_ = value;
    trough_s_ = time_s;
  } else if (value > trough_ + turn) {
    if (teeth_.size() == kTeethMax) teeth_.erase(teeth_.begin());
    teeth_.push_back({trough_s_, trough_, peak_, trough_s_ - peak_s_});
    ++teeth_seen_;
    falling_ = false;
    peak_ = value;
    peak_s_ = time_s;
  }
}

// Takes one more bucket of scale `k` into the one that gathers for the next.
void Series::Gather(size_t k, float low, float high) {
  Step& step = scales_[k];
  if (!medians_) {
    step.low = step.gathered == 0 ? low : std::min(step.low, low);
    step.high = step.gathered == 0 ? high : std::max(step.high, high);
    return;
  }
  gathered_.resize(kGathered);
  float* lows = &gathered_[2 * k * kMerge];
  float* highs = lows + kMerge;
  lows[step.gathered] = low;
  highs[step.gathered] = high;
  if (step.gathered + 1 < kMerge) return;
  std::sort(lows, lows + kMerge);
  std::sort(highs, highs + kMerge);
  step.low = (lows[kMerge / 2 - 1] + lows[kMerge / 2]) / 2;
  step.high = k == 0 ? highs[kMerge - 2] : (highs[kMerge / 2 - 1] + highs[kMerge / 2]) / 2;
}

size_t Series::Observe(int64_t time_ns, double value) {
  double gap_s = 0;
  if (samples_ == 0) {
    first_ns_ = time_ns;
    base_ = value;
    scales_.push_back({.scale = Scale(medians_ ? kWindowMax : kSizeMin)});
  } else {
    gap_s = static_cast<double>(time_ns - last_ns_) * 1e-9;
    // The first few gaps count most; one long silence does not change the cadence much.
    const double weight = std::max(1.0 / 16, 1.0 / static_cast<double>(samples_));
    if (cadence_s_ > 0) gap_s = std::max(gap_s, 0.0);
    cadence_s_ += weight * (std::min(gap_s, cadence_s_ > 0 ? 4 * cadence_s_ : gap_s) - cadence_s_);
    // Windows with a hole of a quarter of their length begin anew.
    for (size_t k = 0; k < scales_.size() && gap_s > 4 * cadence_s_; ++k) {
      if (gap_s > bucket_s(k) * static_cast<double>(kSizeMin) / 4) {
        scales_[k].scale.Clear();
        scales_[k].gathered = 0;
      }
    }
  }
  ++samples_;
  last_ns_ = time_ns;
  last_ = value;
  const auto ticks = static_cast<int64_t>(std::llround(Since(time_ns) * kTicksPerSecond));
  const auto offset = static_cast<float>(value - base_);
  if (!medians_) FollowTeeth(Since(time_ns), offset);

  float low = offset, high = offset;
  int64_t start_ticks = ticks;
  for (size_t k = 0;; ++k) {
    scales_[k].scale.Push(start_ticks, low, high);
    Gather(k, low, high);
    Step& step = scales_[k];
    if (step.gathered == 0) step.start_ticks = start_ticks;
    if (++step.gathered < kMerge) return k + 1;
    step.gathered = 0;
    low = step.low;
    high = step.high;
    start_ticks = step.start_ticks;
    if (k + 1 == scales_.size()) {
      if (k + 1 == kScalesMax || bucket_s(k + 1) > kLongestBucketS) return k + 1;
      scales_.push_back({.scale = Scale(bucket_s(k + 1) >= kFineBucketS ? kWindowMax : kSizeMin)});
    }
  }
}

void Series::Clear() { *this = Series(medians_); }

void Series::Save(StateWriter* out) const {
  out->Put(samples_);
  out->Put(first_ns_);
  out->Put(last_ns_);
  out->Put(base_);
  out->Put(last_);
  out->Put(cadence_s_);
  out->Put(static_cast<uint32_t>(scales_.size()));
  for (const Step& step : scales_) {
    step.scale.Save(out);
    out->Put(step.low);
    out->Put(step.high);
    out->Put(step.start_ticks);
    out->Put(step.gathered);
  }
  out->Put(static_cast<uint32_t>(teeth_.size()));
  for (const Tooth& tooth : teeth_) out->Put(tooth);
  out->Put(teeth_seen_);
  out->Put(static_cast<uint8_t>(falling_));
  for (const float value : {peak_, trough_, span_low_, span_high_, old_low_, old_high_}) out->Put(value);
  out->Put(peak_s_);
  out->Put(trough_s_);
  out->Put(span_samples_);
  out->Put(static_cast<uint32_t>(gathered_.size()));
  for (const float value : gathered_) out->Put(value);
}

bool Series::Restore(StateReader* in) {
  Clear();
  uint32_t count = 0;
  bool sound = in->Get(&samples_) && in->Get(&first_ns_) && in->Get(&last_ns_) && in->Get(&base_) && in->Get(&last_);
  sound &= in->Get(&cadence_s_) && in->Get(&count);
  if (!sound || count > kScalesMax || (count == 0) != (samples_ == 0)) return false;
  if (!std::isfinite(base_) || !std::isfinite(last_) || !(cadence_s_ >= 0) || !std::isfinite(cadence_s_)) return false;
  for (uint32_t k = 0; k < count; ++k) {
    Step step{.scale = Scale(kSizeMin)};
    sound &= step.scale.Restore(in) && in->Get(&step.low) && in->Get(&step.high) && in->Get(&step.start_ticks);
    sound &= in->Get(&step.gathered) && step.gathered < kMerge && std::isfinite(step.low) && std::isfinite(step.high);
    if (!sound) return false;
    scales_.push_back(std::move(step));
  }
  if (!in->Get(&count) || count > kTeethMax) return false;
  for (uint32_t i = 0; i < count; ++i) {
    Tooth tooth;
    sound &= in->Get(&tooth) && std::isfinite(tooth.time_s) && std::isfinite(tooth.floor) &&
             std::isfinite(tooth.peak) && std::isfinite(tooth.fall_s);
    teeth_.push_back(tooth);
  }
  sound &= in->Get(&teeth_seen_) && in->GetBool(&falling_);
  for (float* value : {&peak_, &trough_, &span_low_, &span_high_, &old_low_, &old_high_}) {
    sound &= in->Get(value) && std::isfinite(*value);
  }
  sound &= in->Get(&peak_s_) && std::isfinite(peak_s_) && in->Get(&trough_s_) && std::isfinite(trough_s_) &&
           in->Get(&span_samples_) && span_samples_ < kSizeMin && in->Get(&count);
  if (!sound || count != (medians_ && samples_ > 0 ? kGathered : 0)) return false;
  gathered_.resize(count);
  for (float& value : gathered_) sound &= in->Get(&value) && std::isfinite(value);
  return sound;
}

}  // namespace understudy::trend

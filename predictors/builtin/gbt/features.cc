#include "predictors/builtin/gbt/features.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <set>

#include "understudy/check.h"

namespace understudy::gbt {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kHuge = 1e30;  // beyond it a value is garbage, and its square would overflow a float's sums
constexpr size_t kAlways = 3;   // features of a metric besides those of its windows
constexpr std::array<const char*, 8> kOfWindow = {"mean", "shift", "slope", "spread", "accel", "p10", "p50", "p90"};
constexpr size_t kReadySamplesMin = 3;

std::string Shown(double length, WindowUnit unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.10g%s", length, unit == WindowUnit::kSeconds ? "s" : "");
  return text;
}

// Sums for a least-squares line through values against positions.
struct Line {
  double n = 0, t = 0, tt = 0, v = 0, vv = 0, tv = 0;
  void Add(double position, double value) {
    n += 1;
    t += position;
    tt += position * position;
    v += value;
    vv += value * value;
    tv += position * value;
  }
  Line Without(const Line& part) const {
    return {n - part.n, t - part.t, tt - part.tt, v - part.v, vv - part.vv, tv - part.tv};
  }
  double Mean() const { return n >= 1 ? v / n : kNan; }
  double Spread() const { return n >= 2 ? std::sqrt(std::max(0.0, (vv - v * v / n) / n)) : kNan; }
  double Slope() const {
    const double width = n * tt - t * t;
    return n >= 3 && width > 1e-9 * n * tt ? (n * tv - t * v) / width : kNan;
  }
};

// The usual interpolated quantile of ascending values.
double Quantile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return kNan;
  const double at = share * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at);
  if (low + 1 >= sorted.size()) return sorted.back();
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[low + 1] - sorted[low]);
}

float Feature(double value) { return static_cast<float>(std::isnan(value) ? value : std::clamp(value, -kHuge, kHuge)); }

template <class T>
void Put(std::string* out, const T& value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
bool Take(std::string_view* in, T* value) {
  if (in->size() < sizeof *value) return false;
  std::memcpy(value, in->data(), sizeof *value);
  in->remove_prefix(sizeof *value);
  return true;
}

constexpr uint32_t kStateMagic = 0x31534647;  // "GFS1"

}  // namespace

std::string FeatureSpec::Problem() const {
  if (metrics.empty() || metrics.size() > kMetricsMax) return "metrics: 1 to 256 are needed";
  if (std::set<std::string>(metrics.begin(), metrics.end()).size() != metrics.size())
    return "metrics: one is named twice";
  for (const std::string& metric : metrics) {
    if (metric.empty() || metric.size() > 128) return "metrics: a name has 1 to 128 bytes";
  }
  if (!(interval_s > 0) || !(interval_s <= 1e9)) return "interval_s: must be above 0";
  if (windows.empty() || windows.size() > kWindowsMax) return "windows: 1 to 4 are needed";
  for (size_t i = 0; i < windows.size(); ++i) {
    const std::string field = "windows[" + std::to_string(i) + "]: ";
    if (!(windows[i] > 0) || (i > 0 && windows[i] <= windows[i - 1])) return field + "must ascend from above 0";
    const double samples = unit == WindowUnit::kSamples ? windows[i] : windows[i] / interval_s;
    if (!(samples <= static_cast<double>(kWindowSamplesMax))) {
      return field + Shown(samples, WindowUnit::kSamples) + " samples are more than 512";
    }
    if (samples < 3) return field + "a window needs at least 3 samples";
    if (unit == WindowUnit::kSamples && windows[i] != std::floor(windows[i])) return field + "must be a whole number";
  }
  if (metrics.size() * (WindowSamples(windows.size() - 1) + 1) > kHeldValuesMax) {
    return "windows: metrics times samples of the longest window must not exceed 100000";
  }
  if (Count() > kFeaturesMax) return "metrics and windows give more than 4096 features";
  return "";
}

size_t FeatureSpec::WindowSamples(size_t i) const {
  const double samples = unit == WindowUnit::kSamples ? windows[i] : windows[i] / interval_s;
  return std::max<size_t>(1, static_cast<size_t>(std::llround(samples)));
}

size_t FeatureSpec::Count() const {
  return (age ? 1 : 0) + metrics.size() * (kAlways + windows.size() * kOfWindow.size());
}

std::vector<std::string> FeatureSpec::Names() const {
  std::vector<std::string> names;
  if (age) names.push_back("age");
  for (const std::string& metric : metrics) {
    for (const char* kind : {"last", "change", "slope"}) names.push_back(metric + "/" + kind);
    for (const double window : windows) {
      for (const char* kind : kOfWindow) names.push_back(metric + "/" + kind + "/" + Shown(window, unit));
    }
  }
  return names;
}

FeatureState::FeatureState(const FeatureSpec* spec) : spec_(spec) {
  UNDERSTUDY_CHECK(spec->Problem().empty());
  for (size_t w = 0; w < spec->windows.size(); ++w) window_samples_.push_back(spec->WindowSamples(w));
  // Windows in seconds may hold up to twice as many: samples closer than half the interval are not taken.
  capacity_ = window_samples_.back() * (spec->unit == WindowUnit::kSeconds ? 2 : 1) + 1;
  baseline_samples_ = window_samples_.front();
  times_.resize(capacity_);
  values_.resize(capacity_ * spec->metrics.size());
  sorted_.resize(spec->metrics.size() * spec->windows.size());
  Reset();
}

void FeatureState::Reset() {
  ForgetWindows();
  life_samples_ = 0;
  start_ns_ = 0;
  lives_.assign(spec_->metrics.size(), Life());
}

void FeatureState::ForgetWindows() {
  count_ = 0;
  last_ns_ = std::numeric_limits<int64_t>::min();
  oldest_.assign(spec_->windows.size(), 0);
  for (std::vector<double>& sorted : sorted_) sorted.clear();
}

bool FeatureState::Outside(size_t window, uint64_t sample, int64_t now_ns, uint64_t next) const {
  if (next - sample >= capacity_) return true;  // its slot is needed
  if (spec_->unit == WindowUnit::kSamples) return next - sample >= window_samples_[window];
  return static_cast<double>(now_ns - times_[Slot(sample)]) * 1e-9 >= spec_->windows[window];
}

void FeatureState::Observe(int64_t time_ns, std::span<const double> values) {
  UNDERSTUDY_CHECK(values.size() == spec_->metrics.size());
  if (count_ > 0) {
    if (time_ns <= last_ns_) return;
    const double distance_s = static_cast<double>(time_ns - last_ns_) * 1e-9;
    if (spec_->unit == WindowUnit::kSeconds && distance_s < 0.5 * spec_->interval_s) return;
  }
  if (life_samples_ == 0) start_ns_ = time_ns;
  for (size_t w = 0; w < oldest_.size(); ++w) {
    while (oldest_[w] < count_ && Outside(w, oldest_[w], time_ns, count_)) Evict(w);
  }
  times_[Slot(count_)] = time_ns;
  const double age = spec_->unit == WindowUnit::kSamples ? static_cast<double>(life_samples_)
                                                         : static_cast<double>(time_ns - start_ns_) * 1e-9;
  for (size_t m = 0; m < values.size(); ++m) {
    const double value = std::abs(values[m]) <= kHuge ? values[m] : kNan;  // NaN compares as false
    Value(m, count_) = value;
    if (std::isnan(value)) continue;
    for (size_t w = 0; w < oldest_.size(); ++w) InsertSorted(m, w, value);
    Life& life = lives_[m];
    if (life.n == 0) life.first = value;
    const double change = value - life.first;
    life.n += 1;
    life.t += age;
    life.tt += age * age;
    life.v += change;
    life.tv += age * change;
    if (life.baseline_n < static_cast<double>(baseline_samples_)) {
      life.baseline_sum += value;
      life.baseline_n += 1;
    }
  }
  last_ns_ = time_ns;
  ++count_;
  ++life_samples_;
}

void FeatureState::Evict(size_t window) {
  const uint64_t sample = oldest_[window]++;
  for (size_t m = 0; m < spec_->metrics.size(); ++m) {
    const double value = Value(m, sample);
    if (!std::isnan(value)) EraseSorted(m, window, value);
  }
}

void FeatureState::InsertSorted(size_t metric, size_t window, double value) {
  std::vector<double>& sorted = sorted_[metric * oldest_.size() + window];
  sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), value), value);
}

void FeatureState::EraseSorted(size_t metric, size_t window, double value) {
  std::vector<double>& sorted = sorted_[metric * oldest_.size() + window];
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), value);
  UNDERSTUDY_CHECK(found != sorted.end() && *found == value);
  sorted.erase(found);
}

bool FeatureState::Ready() const { return count_ >= std::max(kReadySamplesMin, window_samples_.front() / 2); }

double FeatureState::last(size_t metric) const { return count_ > 0 ? Value(metric, count_ - 1) : kNan; }

bool FeatureState::SeenInWindow(size_t metric, size_t window) const {
  return !sorted_[metric * oldest_.size() + window].empty();
}

std::optional<double> FeatureState::IntervalSeconds() const {
  std::vector<int64_t> distances;
  const uint64_t held = std::min<uint64_t>(count_, std::min<uint64_t>(capacity_, 17));
  for (uint64_t i = 1; i < held; ++i) {
    distances.push_back(times_[Slot(count_ - i)] - times_[Slot(count_ - i - 1)]);
  }
  if (distances.size() < 2) return std::nullopt;
  std::nth_element(distances.begin(), distances.begin() + static_cast<int64_t>(distances.size() / 2), distances.end());
  return static_cast<double>(distances[distances.size() / 2]) * 1e-9;
}

double FeatureState::Position(uint64_t sample, size_t slot) const {
  if (spec_->unit == WindowUnit::kSamples) return -static_cast<double>(count_ - 1 - sample);
  return static_cast<double>(times_[slot] - last_ns_) * 1e-9;
}

void FeatureState::Fill(std::span<float> out) const {
  UNDERSTUDY_CHECK(out.size() == spec_->Count());
  float* at = out.data();
  if (spec_->age) {
    *at++ = Feature(spec_->unit == WindowUnit::kSamples ? static_cast<double>(life_samples_)
                                                        : static_cast<double>(last_ns_ - start_ns_) * 1e-9);
  }
  const size_t of_metric = kAlways + spec_->windows.size() * kOfWindow.size();
  for (size_t m = 0; m < spec_->metrics.size(); ++m, at += of_metric) FillMetric(m, at);
}

void FeatureState::FillMetric(size_t metric, float* out) const {
  const Life& life = lives_[metric];
  const double baseline = life.baseline_n > 0 ? life.baseline_sum / life.baseline_n : kNan;
  const double last_value = last(metric);
  *out++ = Feature(last_value);
  *out++ = Feature(last_value - baseline);
  *out++ = Feature(Line{life.n, life.t, life.tt, life.v, 0, life.tv}.Slope());

  // One walk from the newest sample back through the longest window; sums are noted where a window, or its newer half,
  // ends. Values are taken relative to the newest known one, so that large levels do not swallow small changes.
  struct Mark {
    uint64_t until;  // samples from this one on
    Line line;
  };
  std::array<Mark, 2 * kWindowsMax> marks;
  const size_t windows = oldest_.size();
  for (size_t w = 0; w < windows; ++w) {
    marks[2 * w].until = oldest_[w];
    marks[2 * w + 1].until = count_ - (count_ - oldest_[w] + 1) / 2;
  }
  std::array<size_t, 2 * kWindowsMax> order;
  for (size_t i = 0; i < 2 * windows; ++i) order[i] = i;
  std::sort(order.begin(), order.begin() + static_cast<int64_t>(2 * windows),
            [&](size_t a, size_t b) { return marks[a].until > marks[b].until; });
  double reference = kNan;
  Line line;
  uint64_t sample = count_;
  const double* values = values_.data() + metric * capacity_;
  size_t slot = count_ > 0 ? Slot(count_ - 1) : 0;  // of sample - 1; no division in the loop
  for (size_t i = 0; i < 2 * windows; ++i) {
    Mark& mark = marks[order[i]];
    for (; sample > mark.until; --sample, slot = slot == 0 ? capacity_ - 1 : slot - 1) {
      const double value = values[slot];
      if (std::isnan(value)) continue;
      if (std::isnan(reference)) reference = value;
      line.Add(Position(sample - 1, slot), value - reference);
    }
    mark.line = line;
  }
  for (size_t w = 0; w < windows; ++w) {
    const Line& whole = marks[2 * w].line;
    const Line& newer = marks[2 * w + 1].line;
    const std::vector<double>& sorted = sorted_[metric * windows + w];
    const double mean = whole.Mean() + reference;
    *out++ = Feature(mean);
    *out++ = Feature(mean - baseline);
    *out++ = Feature(whole.Slope());
    *out++ = Feature(whole.Spread());
    *out++ = Feature(newer.Slope() - whole.Without(newer).Slope());
    *out++ = Feature(Quantile(sorted, 0.1));
    *out++ = Feature(Quantile(sorted, 0.5));
    *out++ = Feature(Quantile(sorted, 0.9));
  }
}

std::string FeatureState::Save() const {
  std::string out;
  const uint64_t held = std::min<uint64_t>(count_, capacity_);
  Put(&out, kStateMagic);
  Put(&out, static_cast<uint32_t>(spec_->metrics.size()));
  Put(&out, static_cast<uint32_t>(spec_->windows.size()));
  Put(&out, static_cast<uint32_t>(held));
  Put(&out, count_);
  Put(&out, life_samples_);
  Put(&out, start_ns_);
  Put(&out, last_ns_);
  for (const uint64_t oldest : oldest_) Put(&out, oldest);
  for (const Life& life : lives_) Put(&out, life);
  for (uint64_t sample = count_ - held; sample < count_; ++sample) {
    Put(&out, times_[Slot(sample)]);
    for (size_t m = 0; m < spec_->metrics.size(); ++m) Put(&out, Value(m, sample));
  }
  return out;
}

bool FeatureState::Restore(std::string_view in) {
  Reset();
  const auto read = [&] {
    uint32_t magic = 0, metrics = 0, windows = 0, held = 0;
    if (!Take(&in, &magic) || !Take(&in, &metrics) || !Take(&in, &windows) || !Take(&in, &held)) return false;
    if (magic != kStateMagic || metrics != spec_->metrics.size() || windows != spec_->windows.size()) return false;
    if (!Take(&in, &count_) || !Take(&in, &life_samples_) || !Take(&in, &start_ns_) || !Take(&in, &last_ns_))
      return false;
    if (held != std::min<uint64_t>(count_, capacity_) || life_samples_ < count_) return false;
    for (uint64_t& oldest : oldest_) {
      if (!Take(&in, &oldest) || oldest > count_ || count_ - oldest > held) return false;
    }
    for (Life& life : lives_) {
      if (!Take(&in, &life)) return false;
    }
    int64_t before = std::numeric_limits<int64_t>::min();
    for (uint64_t sample = count_ - held; sample < count_; ++sample) {
      int64_t& time = times_[Slot(sample)];
      if (!Take(&in, &time) || time <= before) return false;
      before = time;
      for (size_t m = 0; m < metrics; ++m) {
        double& value = Value(m, sample);
        if (!Take(&in, &value) || std::abs(value) > kHuge) return false;
      }
    }
    return in.empty() && (count_ == 0 || before == last_ns_);
  };
  if (!read()) {
    Reset();
    return false;
  }
  for (size_t w = 0; w < oldest_.size(); ++w) {
    for (uint64_t sample = oldest_[w]; sample < count_; ++sample) {
      for (size_t m = 0; m < spec_->metrics.size(); ++m) {
        if (!std::isnan(Value(m, sample))) InsertSorted(m, w, Value(m, sample));
      }
    }
  }
  return true;
}

}  // namespace understudy::gbt

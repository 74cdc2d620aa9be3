// What the trees see of a primary: the same code in the plugin and in the training, so that a model is never shown
// something else than what it was trained on. docs/predictors.md lists the features.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::gbt {

inline constexpr size_t kMetricsMax = 256;
inline constexpr size_t kWindowsMax = 4;
inline constexpr size_t kWindowSamplesMax = 512;
inline constexpr size_t kFeaturesMax = 4096;
inline constexpr size_t kHeldValuesMax = 100'000;  // metrics * samples of the longest window: keeps a state below 1 MiB

// How lengths of windows, ages and slopes are counted.
enum class WindowUnit {
  kSamples,  // the last n samples, however far apart: "10"
  kSeconds,  // the last so many seconds: "30s"
};

struct FeatureSpec {
  std::vector<std::string> metrics;  // distinct, not empty
  WindowUnit unit = WindowUnit::kSamples;
  std::vector<double> windows;  // lengths in `unit`, ascending strictly
  double interval_s = 1;        // between the samples of the training
  bool age = true;              // whether the time since the start is a feature

  // Empty, or what is wrong: "windows[1]: 900 samples are more than 512".
  std::string Problem() const;
  // Samples of windows[i] at the training's interval; at least 1.
  size_t WindowSamples(size_t i) const;
  // Of each feature, in order: "age", "proc.rss_bytes/last", "proc.rss_bytes/slope/30s".
  std::vector<std::string> Names() const;
  size_t Count() const;
};

// One primary's recent samples. Work and memory are bounded by the longest window, whatever the age. One thread at a
// time; copyable.
class FeatureState {
 public:
  // `spec` must be without problem and outlive the object.
  explicit FeatureState(const FeatureSpec* spec);

  // The primary starts anew: all is forgotten.
  void Reset();
  // Samples were lost for long: the windows start anew, the age and the baseline stay.
  void ForgetWindows();

  // The metrics of one moment, in the spec's order; NaN (or infinite, or beyond 1e30): missing. Samples that are not
  // later than the last one are ignored, as are, with windows in seconds, those that come more than twice as often as
  // in the training.
  void Observe(int64_t time_ns, std::span<const double> values);

  // Enough samples for a forecast: half of the shortest window, at least 3.
  bool Ready() const;
  uint64_t samples() const { return count_; }             // kept in the windows, since the last forgetting
  int64_t last_ns() const { return last_ns_; }            // of the last sample
  double last(size_t metric) const;                       // NaN: missing
  bool SeenInWindow(size_t metric, size_t window) const;  // at least one value of the metric is in it
  // Median distance of the samples kept, empty with fewer than 3.
  std::optional<double> IntervalSeconds() const;

  // Writes spec.Count() features; missing ones are NaN. Pure: asking twice gives the same.
  void Fill(std::span<float> out) const;

  // All that the above depends on, for an object of the same spec; what is restored answers bit by bit the same.
  std::string Save() const;
  bool Restore(std::string_view bytes);  // false: not such a state; the object is as new

 private:
  // Sums over a metric's values since the start, for the slope of all of its life.
  struct Life {
    double first = 0;  // its first value: the sums are of what it has changed since
    double n = 0, t = 0, tt = 0, v = 0, tv = 0;
    double baseline_sum = 0, baseline_n = 0;
  };

  size_t Slot(uint64_t sample) const { return static_cast<size_t>(sample % capacity_); }
  double& Value(size_t metric, uint64_t sample) { return values_[metric * capacity_ + Slot(sample)]; }
  double Value(size_t metric, uint64_t sample) const { return values_[metric * capacity_ + Slot(sample)]; }
  bool Outside(size_t window, uint64_t sample, int64_t now_ns, uint64_t next) const;
  void Evict(size_t window);
  void InsertSorted(size_t metric, size_t window, double value);
  void EraseSorted(size_t metric, size_t window, double value);
  double Position(uint64_t sample, size_t slot) const;  // of a sample in `unit`, relative to the newest: 0 or less
  void FillMetric(size_t metric, float* out) const;

  const FeatureSpec* spec_;
  size_t capacity_;  // of the ring
  size_t baseline_samples_;
  std::vector<size_t> window_samples_;
  uint64_t count_ = 0;         // samples since the windows were empty; the newest is count_ - 1
  uint64_t life_samples_ = 0;  // since the start
  int64_t start_ns_ = 0, last_ns_ = 0;
  std::vector<int64_t> times_;               // ring
  std::vector<double> values_;               // ring a metric
  std::vector<uint64_t> oldest_;             // sample a window
  std::vector<std::vector<double>> sorted_;  // values in a window, ascending: [metric * windows + window]
  std::vector<Life> lives_;                  // a metric
};

}  // namespace understudy::gbt

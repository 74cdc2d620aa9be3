// One metric on its way to its limit: fits at every scale, and what holds over several fits in a row. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "predictors/builtin/trend/growth.h"
#include "predictors/builtin/trend/regime.h"
#include "predictors/builtin/trend/series.h"

namespace understudy::trend {

// Memory for fitting, shared by all watches of an instance.
struct FitMemory {
  Window window;
  Regime regime;
  FitScratch fit;
};

// A trend that has held for long enough to be spoken of.
struct Trend {
  Growth growth = {};
  double at_s = 0;                         // of the fit's last bucket, since the series began
  bool teeth = false;                      // of the floors of a saw-tooth
  bool stairs = false;                     // of bursts
  double cycle = 0;                        // of the day, to either side, where it was taken out
  bool scatters = false;                   // in logarithms
  double p10_s = 0, p50_s = 0, p90_s = 0;  // from at_s
};

class Watch {
 public:
  // `down`: the metric is dangerous when low, like free space. `scatters`: by a factor, like a latency, whose median
  // then is what grows, in logarithms; it is dangerous when high.
  Watch(bool down, bool scatters) : down_(down && !scatters), scatters_(scatters), series_(scatters) {}

  // Times ascend. `limit` is what is known at this time; nothing: none. At most one fit for each bucket of each scale.
  void Observe(int64_t time_ns, double value, std::optional<double> limit, FitMemory* memory);

  // A value young enough to speak of: not older than `stale_s`, or ten sampling intervals where that is 0.
  bool Known(int64_t now_ns, double stale_s) const;
  bool down() const { return down_; }
  bool seen() const { return !series_.empty(); }
  bool warm() const { return !series_.empty() && series_.scale(0).size() >= kPointsMin; }
  double value() const { return value_; }
  std::optional<double> limit() const { return limit_; }
  const Series& series() const { return series_; }

  // Of the trends that hold at their scales and agree with the last value, the one that knows its end best; null when
  // there is none.
  const Trend* Best() const;
  // The last fit that may become a trend and has not proven itself yet; null when there is none that agrees with the
  // last value. Of its times only at_s is set.
  const Trend* Suspected() const;
  double Since(int64_t now_ns) const { return series_.Since(now_ns); }

  void Clear();      // the series is another one from now on
  void ClearRuns();  // the series goes on, but what held so far must prove itself again

  void Save(StateWriter* out) const;
  bool Restore(StateReader* in);

 private:
  // Fits of one scale over time.
  struct Run {
    uint32_t since_fit = 0;  // buckets
    uint32_t wait = 1;       // buckets between fits
    uint32_t held = 0, missed = 0;
    double first_s = 0, first_end_s = 0;  // of the run's first fit: when it was made and when it saw the end
    std::optional<Trend> trend;           // the last that held
  };

  size_t BucketsMin(size_t k) const;
  PastNoise Past(size_t k) const;
  void Step(size_t k, FitMemory* memory);
  void StepScatter(size_t k, FitMemory* memory);
  static bool StillRises(const Window& window, const Regime& regime, const Growth& growth, double before,
                         FitMemory* memory);
  void StepTeeth(FitMemory* memory);
  void StepStairs(size_t k, FitMemory* memory);
  bool Sawing(double bucket_s, double last) const;
  bool Agrees(const Trend& trend) const;
  // In the units of the series: mirrored or logarithmic, less its base.
  double InSeries(double value) const;
  void TakeLimit(std::optional<double> limit);
  // `shape`: what a trend of it is; its growth and times are filled in.
  void Judge(Run* run, std::optional<Growth> growth, const Trend& shape);
  bool Believable(double value);

  bool down_;  // mirrored, so that danger is always high
  bool scatters_;
  double start_ = 0;  // of logarithms; 0: no value yet
  Series series_;
  std::optional<double> limit_;
  double value_ = 0;
  double largest_ = 0;       // in size, of what was believed
  uint32_t doubted_ = 0;     // values in a row that were not
  std::vector<Run> runs_;    // by scale
  std::vector<Run> stairs_;  // by scale
  Run teeth_run_;
  std::optional<Trend> suspected_;
  uint64_t teeth_fitted_ = 0;
};

}  // namespace understudy::trend

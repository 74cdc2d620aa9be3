// The trend predictor: each metric's growth against its limit; the one that gets there first is the forecast.
// docs/predictors.md.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "predictors/builtin/config_values.h"
#include "predictors/builtin/trend/config.h"
#include "predictors/builtin/trend/learned.h"
#include "predictors/builtin/trend/watch.h"
#include "predictors/stats/quantiles.h"
#include "understudy/predictor.hpp"

namespace understudy::trend {
namespace {

using predictor_config::Show;

constexpr uint32_t kStateVersion = 4;
// What growth is worth that has not proven itself: below every threshold a service is moved for.
constexpr double kSuspicion = 0.45;
constexpr double kNow = 1.0 / 8;  // of the time a fit has seen
constexpr const char* kUptime = "proc.uptime_s";

// A metric of the node goes on when the process is started anew.
bool OfNode(const std::string& metric) { return metric.starts_with("node."); }

// One for all instances of a thread: nothing in it outlives a call. (A backtest replays traces on several threads.)
FitMemory& SharedMemory() {
  static thread_local FitMemory memory;
  return memory;
}

class TrendPredictor {
 public:
  TrendPredictor(sdk::Host host, std::string_view config) : host_(host), config_(ParseConfig(config)) {
    for (const Watched& watched : config_.metrics) {
      Source& source = sources_.emplace_back(watched.down, watched.scatters);
      source.index = Want(watched.metric);
      for (const std::string& name : watched.capacity_metrics) source.capacities.push_back(Want(name));
    }
    uptime_ = Want(kUptime);
    last_.assign(names_.size(), std::numeric_limits<double>::quiet_NaN());
  }

  std::vector<std::string> Metrics() const { return names_; }

  void Observe(const sdk::SampleView& sample) {
    const double uptime_before = last_[uptime_];
    for (size_t i = 0; i < names_.size(); ++i) {
      if (const std::optional<double> value = sample[i]) last_[i] = *value;
    }
    // A restart nobody has told of: an uptime that went back.
    if (sample[uptime_] && *sample[uptime_] < uptime_before) Restarted();
    for (size_t i = 0; i < sources_.size(); ++i) {
      Source& source = sources_[i];
      const std::optional<double> value = sample[source.index];
      if (!value) continue;
      source.watch.Observe(sample.time_ns(), *value, Limit(i), &SharedMemory());
      if (config_.metrics[i].learned) source.learned.Observe(source.watch.down() ? -*value : *value);
    }
  }

  int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const {
    size_t wanted = 0, known = 0, warming = 0;
    const Trend* soonest = nullptr;
    size_t worst = 0;
    double soonest_s = 0;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Watch& watch = sources_[i].watch;
      if (config_.metrics[i].optional && (!watch.seen() || !watch.limit())) continue;
      ++wanted;
      if (!watch.limit() || !watch.Known(now_ns, config_.stale_s)) {
        if (!watch.seen()) ++warming;
        continue;
      }
      if (!watch.warm()) {
        ++warming;
        continue;
      }
      ++known;
      const Trend* trend = watch.Best();
      if (!trend) continue;
      const double end_s = trend->p50_s - (watch.Since(now_ns) - trend->at_s);
      if (soonest && end_s >= soonest_s) continue;
      soonest = trend;
      soonest_s = end_s;
      worst = i;
    }
    if (known == 0) return Silent(now_ns, warming > 0 || wanted == 0);
    const double confidence = static_cast<double>(known) / static_cast<double>(wanted);
    std::string reason;
    if (soonest) reason = Reason(worst, *soonest, now_ns);
    for (understudy_forecast& forecast : forecasts) {
      forecast.confidence = confidence;
      forecast.probability = config_.base_probability;
      if (!soonest) {
        const auto [suspicion, suspect] = Suspicion(now_ns, forecast.horizon_ns);
        forecast.probability = std::max(suspicion, config_.base_probability);
        if (suspicion > config_.base_probability) {
          sdk::SetReason(&forecast, config_.metrics[suspect].metric + " may have begun to grow towards its limit");
          continue;
        }
        sdk::SetReason(&forecast, known == wanted ? "nothing grows towards its limit"
                                                  : "nothing grows towards its limit, as far as is known");
        continue;
      }
      const double elapsed_s = sources_[worst].watch.Since(now_ns) - soonest->at_s;
      const double horizon_s = static_cast<double>(forecast.horizon_ns) * 1e-9;
      const double probability = stats::NormalCdf(soonest->growth.z) * soonest->growth.Reached(elapsed_s + horizon_s);
      forecast.probability = std::clamp(probability, config_.base_probability, 1.0);
      // A latency beyond its limit may stay there for long, and what is nearer than a fraction of the fit is not told
      // from that: no moment is likelier than another.
      if (soonest->scatters && soonest->p50_s - elapsed_s <= kNow * soonest->growth.span_s) {
        sdk::SetReason(&forecast, reason);
        continue;
      }
      forecast.has_ttf = 1;
      forecast.ttf_p10_s = std::max(0.0, soonest->p10_s - elapsed_s);
      forecast.ttf_p50_s = std::max(0.0, soonest->p50_s - elapsed_s);
      forecast.ttf_p90_s = std::max(0.0, soonest->p90_s - elapsed_s);
      sdk::SetReason(&forecast, reason);
    }
    return UNDERSTUDY_OK;
  }

  void Reset(int32_t why) {
    if (why == UNDERSTUDY_RESET_GAP) {
      for (Source& source : sources_) source.watch.ClearRuns();
      return;
    }
    if (why != UNDERSTUDY_RESET_MOVED) {
      Restarted();
      return;
    }
    for (size_t i = 0; i < sources_.size(); ++i) {
      sources_[i].watch.Clear();
      sources_[i].learned.Ended();
      if (OfNode(config_.metrics[i].metric)) sources_[i].learned = {};
    }
    std::fill(last_.begin(), last_.end(), std::numeric_limits<double>::quiet_NaN());
  }

  void Feedback(const understudy_outcome& outcome) {
    if (outcome.kind != UNDERSTUDY_OUTCOME_FAILED && outcome.kind != UNDERSTUDY_OUTCOME_DEGRADED) return;
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (config_.metrics[i].learned) sources_[i].learned.Failed();
    }
  }

  std::string Save() const {
    StateWriter out;
    out.Put(kStateVersion);
    out.Put(static_cast<uint32_t>(sources_.size()));
    out.Put(static_cast<uint32_t>(last_.size()));
    for (const double value : last_) out.Put(value);
    for (const Source& source : sources_) {
      source.watch.Save(&out);
      source.learned.Save(&out);
    }
    return out.Take();
  }

  bool Restore(std::string_view state) {
    StateReader in(state);
    uint32_t version = 0, sources = 0, values = 0;
    if (!in.Get(&version) || version != kStateVersion || !in.Get(&sources) || sources != sources_.size()) return false;
    if (!in.Get(&values) || values != last_.size()) return false;
    bool sound = true;
    for (double& value : last_) sound = sound && in.Get(&value);
    for (Source& source : sources_) {
      sound = sound && source.watch.Restore(&in) && source.learned.Restore(&in);
    }
    if (sound && in.at_end()) return true;
    Reset(UNDERSTUDY_RESET_MOVED);
    for (Source& source : sources_) source.learned = {};
    return false;
  }

 private:
  struct Source {
    Source(bool down, bool scatters) : watch(down, scatters) {}
    size_t index = 0;
    std::vector<size_t> capacities;
    Watch watch;
    LearnedLimit learned;
  };

  size_t Want(const std::string& name) {
    const auto at = std::find(names_.begin(), names_.end(), name);
    if (at != names_.end()) return static_cast<size_t>(at - names_.begin());
    names_.push_back(name);
    return names_.size() - 1;
  }

  // The tightest of what is configured, measured and, where there is neither, learned.
  std::optional<double> Limit(size_t i) const {
    const Watched& watched = config_.metrics[i];
    std::optional<double> limit = watched.capacity;
    const auto take = [&](double value) {
      limit = !limit ? value : watched.down ? std::max(*limit, value) : std::min(*limit, value);
    };
    for (const size_t capacity : sources_[i].capacities) {
      const double value = last_[capacity];
      if (std::isfinite(value) && (watched.down || value > 0)) take(value);  // a limit of 0 is no measurement
    }
    if (!limit && watched.learned) {
      if (const std::optional<double> value = sources_[i].learned.limit()) take(watched.down ? -*value : *value);
    }
    return limit;
  }

  void Restarted() {
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (OfNode(config_.metrics[i].metric)) continue;
      sources_[i].watch.Clear();
      sources_[i].learned.Ended();
    }
  }

  // The highest probability by growth that is only suspected, and the metric.
  std::pair<double, size_t> Suspicion(int64_t now_ns, int64_t horizon_ns) const {
    std::pair<double, size_t> worst;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const Watch& watch = sources_[i].watch;
      if (!watch.limit() || !watch.Known(now_ns, config_.stale_s) || !watch.warm()) continue;
      const Trend* trend = watch.Suspected();
      if (!trend) continue;
      const double ahead_s = watch.Since(now_ns) - trend->at_s + static_cast<double>(horizon_ns) * 1e-9;
      const double probability = kSuspicion * trend->growth.Reached(ahead_s);
      if (probability > worst.first) worst = {probability, i};
    }
    return worst;
  }

  // Nothing can be said; why.
  int32_t Silent(int64_t now_ns, bool warming) const {
    std::string missing, unlimited, fresh;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const std::string& name = config_.metrics[i].metric;
      const Watch& watch = sources_[i].watch;
      std::string* list = !watch.Known(now_ns, config_.stale_s) ? &missing : !watch.limit() ? &unlimited : &fresh;
      if (list->size() < 120) *list += (list->empty() ? "" : ", ") + name;
    }
    if (!fresh.empty()) {
      host_.Explain("too few samples yet of " + fresh);
    } else if (!unlimited.empty()) {
      host_.Explain("no limit is known for " + unlimited);
    } else {
      host_.Explain("no recent value of " + missing);
    }
    return warming || !fresh.empty() ? UNDERSTUDY_WARMING : UNDERSTUDY_ABSTAIN;
  }

  std::string Reason(size_t i, const Trend& trend, int64_t now_ns) const {
    const Watched& watched = config_.metrics[i];
    const Watch& watch = sources_[i].watch;
    const double elapsed_s = watch.Since(now_ns) - trend.at_s;
    const bool bent = trend.growth.curved.weight > 0.5;
    // Per second, or per hour or day where a second shows nothing.
    double speed = trend.growth.speed();
    const char* per = "s";
    if (std::abs(trend.growth.span_s) > 4 * 86400) {
      speed *= 86400;
      per = "d";
    } else if (trend.growth.span_s > 7200) {
      speed *= 3600;
      per = "h";
    }
    char z[64];
    std::string how_fast = Show(watched.metric, speed);
    if (trend.scatters) {
      char percent[32];
      std::snprintf(percent, sizeof percent, "by %.2g %%", 100 * std::expm1(speed));
      how_fast = percent;
    }
    if (trend.stairs) {
      std::snprintf(z, sizeof z, "/%s and never back", per);
    } else {
      std::snprintf(z, sizeof z, "/%s (Mann-Kendall z %.1f)", per, trend.growth.z);
    }
    std::string text = trend.teeth      ? "the floor of " + watched.metric + "'s saw-tooth"
                       : trend.scatters ? "the median of " + watched.metric
                                        : watched.metric;
    text += watched.down ? " falls " : " grows ";
    if (trend.stairs) text += "by bursts, ";
    if (bent) text += trend.growth.curved.bend > 0 ? "ever faster, now " : "ever slower, now ";
    text += how_fast + z + ", reaches " + Show(watched.metric, *watch.limit());
    const double left_s = trend.p50_s - elapsed_s;
    if (!(left_s > (trend.scatters ? kNow * trend.growth.span_s : 0))) return text + " about now";
    text += " in " + ShowTime(left_s) + " (" + ShowTime(std::max(0.0, trend.p10_s - elapsed_s)) + " to " +
            ShowTime(trend.p90_s - elapsed_s) + ")";
    return text;
  }

  sdk::Host host_;
  Config config_;
  std::vector<std::string> names_;
  std::vector<Source> sources_;
  size_t uptime_ = 0;
  std::vector<double> last_;  // by name; NaN: never seen
};

}  // namespace
}  // namespace understudy::trend

UNDERSTUDY_PREDICTOR(understudy::trend::TrendPredictor, "trend", "1.0.0")

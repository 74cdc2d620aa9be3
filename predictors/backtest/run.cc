#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "predictors/backtest/backtest.h"
#include "predictors/host/model_file.h"
#include "predictors/host/plugin_library.h"
#include "predictors/trace/trace.h"

namespace understudy::backtest {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kObserveRowsMax = 256;  // of one call
constexpr size_t kPlottedMetricsMax = 4;

// Instances of these share no state, so that traces may be replayed at once; other plugins take turns, as the
// interface promises them one call at a time in a process.
constexpr const char* kReentrant[] = {"threshold", "trend", "predict_linear", "gbt"};

struct Plugin {
  std::unique_ptr<PluginLibrary> library;
  bool reentrant = false;
  std::mutex turn;
};

// As CheckForecast of the host: written so that NaN fails every comparison.
bool Possible(const understudy_forecast& forecast) {
  if (!(forecast.probability >= 0 && forecast.probability <= 1)) return false;
  if (!(forecast.confidence >= 0 && forecast.confidence <= 1)) return false;
  return forecast.has_ttf == 0 || (forecast.ttf_p10_s >= 0 && forecast.ttf_p10_s <= forecast.ttf_p50_s &&
                                   forecast.ttf_p50_s <= forecast.ttf_p90_s && std::isfinite(forecast.ttf_p90_s));
}

int64_t ToNs(double seconds) { return std::llround(seconds * 1e9); }

// Lowest and highest value of each stretch of a trace.
class Thinner {
 public:
  Thinner(const trace::Trace& trace, size_t points)
      : first_(trace.time_s.front()), span_(trace.time_s.back() - trace.time_s.front()), points_(points) {
    curve.low.assign(points, kMissing);
    curve.high.assign(points, kMissing);
  }
  void Add(double time_s, double value) {
    if (points_ == 0 || !std::isfinite(value)) return;
    const double share = span_ > 0 ? (time_s - first_) / span_ : 0;
    const size_t at = std::min(points_ - 1, static_cast<size_t>(std::max(0.0, share) * static_cast<double>(points_)));
    if (!(curve.low[at] <= value)) curve.low[at] = value;
    if (!(curve.high[at] >= value)) curve.high[at] = value;
  }
  Curve curve;

 private:
  double first_, span_;
  size_t points_;
};

// One predictor's way through one trace.
class Replay {
 public:
  Replay(const trace::Trace& trace, const Settings& settings, PluginInstance* instance)
      : trace_(trace),
        settings_(settings),
        instance_(instance),
        truth_(trace, settings.window(), settings.failures_only),
        watch_(settings.rule),
        thinner_(trace, settings.plot_points),
        wanted_(instance->metrics().size()),
        values_(kObserveRowsMax * wanted_),
        present_(kObserveRowsMax * wanted_),
        samples_(kObserveRowsMax) {
    for (const std::string& metric : instance->metrics()) {
      const auto found = std::find(trace.metrics.begin(), trace.metrics.end(), metric);
      if (found == trace.metrics.end()) out_.metrics_missing.push_back(metric);
      columns_.push_back(found == trace.metrics.end() ? nullptr
                                                      : trace.columns[size_t(found - trace.metrics.begin())].data());
    }
  }

  Result<TraceScore> Go() {
    const std::vector<double>& restarts = truth_.restarts();
    size_t restart = 0;
    double due = -std::numeric_limits<double>::infinity();
    for (size_t row = 0; row < trace_.rows(); ++row) {
      const double time = trace_.time_s[row];
      for (; restart < restarts.size() && restarts[restart] <= time; ++restart) {
        Observe();
        const PluginAnswer answer = instance_->Reset(UNDERSTUDY_RESET_RESTARTED);
        if (!answer.ok()) return Status(StatusCode::kInternal, "its reset failed: " + answer.text);
        watch_.Restart(restarts[restart]);
      }
      Gather(row);
      if (time < due) continue;
      due = time + settings_.every_s;
      Observe();
      Predict(time);
    }
    Observe();
    watch_.Finish(trace_.time_s.back());
    out_.score.rows = static_cast<int64_t>(trace_.rows());
    out_.alarms = watch_.alarms();
    truth_.JudgeAlarms(&out_.alarms, settings_.costs.ready_s, &out_.score);
    out_.probability = std::move(thinner_.curve);
    return std::move(out_);
  }

 private:
  void Gather(size_t row) {
    if (gathered_ == kObserveRowsMax) Observe();
    double* values = values_.data() + gathered_ * wanted_;
    uint8_t* present = present_.data() + gathered_ * wanted_;
    for (size_t i = 0; i < wanted_; ++i) {
      const double value = columns_[i] == nullptr ? kMissing : columns_[i][row];
      values[i] = value;
      present[i] = std::isfinite(value) ? 1 : 0;
    }
    samples_[gathered_++] = {ToNs(trace_.time_s[row]), values, present, 0};
  }

  void Observe() {
    if (gathered_ == 0) return;
    const int32_t code = instance_->ObserveInPlace(samples_.data(), gathered_);
    gathered_ = 0;
    if (code != UNDERSTUDY_OK) Complain("observe");
  }

  void Complain(const char* call) {
    if (!out_.complaint.empty()) return;
    const std::string& why = instance_->explanation();
    out_.complaint = std::string(call) + ": " + (why.empty() ? "it gave no reason" : why);
  }

  void Predict(double time) {
    std::memset(&forecast_, 0, sizeof forecast_);
    forecast_.horizon_ns = ToNs(settings_.horizon_s);
    const int32_t code = instance_->PredictInPlace(ToNs(time), &forecast_, 1);
    forecast_.reason[UNDERSTUDY_REASON_MAX - 1] = '\0';
    Score& score = out_.score;
    const bool possible = code == UNDERSTUDY_OK && Possible(forecast_);
    if (!possible) {
      ++(code == UNDERSTUDY_WARMING ? score.warming : code == UNDERSTUDY_ABSTAIN ? score.abstained : score.impossible);
      if (code != UNDERSTUDY_WARMING) Complain("predict");
      watch_.Forecast(time, std::nullopt, "");
      return;
    }
    ++score.ok;
    const double probability = forecast_.probability;
    const Truth::Outcome outcome = truth_.Judge(time, settings_.horizon_s);
    if (outcome != Truth::Outcome::kUnknown) score.AddOutcome(probability, outcome == Truth::Outcome::kHappened);
    if (forecast_.has_ttf != 0) JudgeTimeToFailure(time);
    watch_.Forecast(time, probability, forecast_.reason);
    thinner_.Add(time, probability);
  }

  // Known only where an event follows that is this process's own; not within an event.
  void JudgeTimeToFailure(double time) {
    const double actual = truth_.NextEventIn(time);
    if (!(actual > 0) || truth_.InEvent(time)) return;
    const double error = std::abs(forecast_.ttf_p50_s - actual);
    out_.score.ttf_errors_s.push_back(static_cast<float>(error));
    out_.score.ttf_relative.push_back(static_cast<float>(error / actual));
    out_.score.ttf_covered += forecast_.ttf_p10_s <= actual && actual <= forecast_.ttf_p90_s ? 1 : 0;
  }

  const trace::Trace& trace_;
  const Settings& settings_;
  PluginInstance* instance_;
  Truth truth_;
  AlarmWatch watch_;
  Thinner thinner_;
  size_t wanted_, gathered_ = 0;
  std::vector<const double*> columns_;  // null: not in the trace
  std::vector<double> values_;
  std::vector<uint8_t> present_;
  std::vector<understudy_sample> samples_;
  understudy_forecast forecast_;
  TraceScore out_;
};

Result<std::string> FindPlugin(const std::string& plugin, const std::vector<std::string>& folders) {
  if (plugin.find('/') != std::string::npos) return plugin;
  std::string looked;
  for (const std::string& folder : folders) {
    std::string path = folder + "/" + plugin + ".so";
    std::error_code error;
    if (std::filesystem::exists(path, error)) return path;
    looked += (looked.empty() ? "" : ", ") + folder;
  }
  return Status(StatusCode::kNotFound, plugin + ": no such predictor in " + looked);
}

class Backtest {
 public:
  Backtest(const std::vector<Variant>& variants, const Settings& settings, Clock* clock)
      : settings_(settings), clock_(clock) {
    report_.settings = settings;
    for (const Variant& variant : variants) {
      VariantReport one;
      one.variant = variant;
      report_.variants.push_back(std::move(one));
    }
  }

  // Loads all plugins and makes one instance each, so that a bad configuration is found before anything is replayed.
  Status Load(const std::vector<std::string>& folders) {
    for (VariantReport& one : report_.variants) {
      std::unique_ptr<Plugin>& plugin = plugins_[one.variant.plugin];
      if (!plugin) {
        const Result<std::string> path = FindPlugin(one.variant.plugin, folders);
        if (!path.ok()) return path.status();
        Result<std::unique_ptr<PluginLibrary>> library = PluginLibrary::Load(*path);
        if (!library.ok()) return library.status();
        plugin = std::make_unique<Plugin>();
        plugin->library = std::move(library).value();
        plugin->reentrant = std::any_of(std::begin(kReentrant), std::end(kReentrant),
                                        [&](const char* name) { return one.variant.plugin == name; });
      }
      one.name = plugin->library->name();
      one.version = plugin->library->version();
      const Result<std::unique_ptr<PluginInstance>> instance = Make(one.variant, *plugin);
      if (!instance.ok()) return instance.status();
      const bool new_group = &one == &report_.variants.front() || (&one)[-1].variant.group != one.variant.group;
      if (!new_group) continue;
      for (const std::string& metric : (*instance)->metrics()) {
        if (std::find(wanted_.begin(), wanted_.end(), metric) == wanted_.end()) wanted_.push_back(metric);
      }
    }
    return {};
  }

  Result<Report> Go(const std::vector<std::string>& paths) {
    const Instant begin = clock_->Now();
    report_.traces.resize(paths.size());
    for (VariantReport& one : report_.variants) one.traces.resize(paths.size());
    std::vector<Status> statuses(paths.size());
    std::optional<tbb::global_control> more_than_cores;
    if (settings_.threads > 0) {
      more_than_cores.emplace(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(settings_.threads));
    }
    tbb::task_arena arena(settings_.threads > 0 ? settings_.threads : tbb::task_arena::automatic);
    arena.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<size_t>(0, paths.size(), 1),
          [&](const tbb::blocked_range<size_t>& range) {
            for (size_t i = range.begin(); i < range.end(); ++i) statuses[i] = OneTrace(paths[i], i);
          },
          tbb::simple_partitioner());
    });
    for (const Status& status : statuses) UNDERSTUDY_RETURN_IF_ERROR(status);
    for (VariantReport& one : report_.variants) {
      for (const TraceScore& trace : one.traces) one.summary.Add(trace.score);
    }
    report_.elapsed_s = static_cast<double>(clock_->Now() - begin) * 1e-9;
    return std::move(report_);
  }

 private:
  Result<std::unique_ptr<PluginInstance>> Make(const Variant& variant, const Plugin& plugin) const {
    PluginAnswer why;
    Result<std::string> config = ResolveModelFile(variant.config);
    if (!config.ok()) return config.status().WithContext(variant.label);
    auto instance = PluginInstance::Create(plugin.library.get(), std::move(config).value(), settings_.seed, &why);
    if (instance) return instance;
    return Status(StatusCode::kInvalidArgument, variant.label + ": " + why.text);
  }

  Status OneTrace(const std::string& path, size_t index) {
    const Result<trace::Trace> trace = trace::ReadTrace(path);
    if (!trace.ok()) return trace.status();
    TraceInfo& info = report_.traces[index];
    info.name = trace->name;
    info.path = path;
    info.rows = trace->rows();
    info.time_faults = trace->time_faults;
    info.first_s = trace->time_s.front();
    info.last_s = trace->time_s.back();
    info.events = trace->events;
    for (const std::string& metric : wanted_) {
      const auto found = std::find(trace->metrics.begin(), trace->metrics.end(), metric);
      if (settings_.plot_points == 0 || found == trace->metrics.end()) continue;
      if (info.metrics.size() == kPlottedMetricsMax) break;
      Thinner thinner(*trace, settings_.plot_points);
      const std::vector<double>& column = trace->columns[static_cast<size_t>(found - trace->metrics.begin())];
      for (size_t row = 0; row < trace->rows(); ++row) thinner.Add(trace->time_s[row], column[row]);
      thinner.curve.name = metric;
      info.metrics.push_back(std::move(thinner.curve));
    }
    for (VariantReport& one : report_.variants) {
      Plugin& plugin = *plugins_.at(one.variant.plugin);
      std::unique_lock turn(plugin.turn, std::defer_lock);
      if (!plugin.reentrant) turn.lock();
      const Instant begin = clock_->Now();
      const Result<std::unique_ptr<PluginInstance>> instance = Make(one.variant, plugin);
      if (!instance.ok()) return instance.status();
      Result<TraceScore> score = Replay(*trace, settings_, instance->get()).Go();
      if (!score.ok()) return score.status().WithContext(path + ": " + one.variant.label);
      one.traces[index] = std::move(score).value();
      one.traces[index].busy_s = static_cast<double>(clock_->Now() - begin) * 1e-9;
    }
    return {};
  }

  Settings settings_;
  Clock* clock_;
  std::map<std::string, std::unique_ptr<Plugin>> plugins_;  // by the variant's name for it
  std::vector<std::string> wanted_;                         // metrics to plot
  Report report_;
};

}  // namespace

Result<Report> Run(const std::vector<std::string>& paths, const std::vector<Variant>& variants,
                   const Settings& settings, const std::vector<std::string>& plugin_folders, Clock* clock) {
  if (paths.empty() || variants.empty()) return Status(StatusCode::kInvalidArgument, "no trace or no predictor");
  if (variants.size() > kVariantsMax) {
    return Status(StatusCode::kInvalidArgument, "more than 1000 predictors and combinations");
  }
  Backtest backtest(variants, settings, clock);
  UNDERSTUDY_RETURN_IF_ERROR(backtest.Load(plugin_folders));
  return backtest.Go(paths);
}

}  // namespace understudy::backtest

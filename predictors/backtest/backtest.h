// Replays traces to predictors as a coordinator would have fed them live, and scores what they said. Deterministic: the
// same traces, plugins and settings give the same report bit by bit, whatever the number of threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "predictors/backtest/alarms.h"
#include "predictors/backtest/score.h"
#include "understudy/status.h"

namespace understudy::backtest {

inline constexpr size_t kVariantsMax = 1000;

// One predictor with one configuration.
struct Variant {
  size_t group = 0;    // which predictor of the command line; the variants of a sweep share it
  std::string label;   // "predict_linear window_s=300"
  std::string plugin;  // name or path
  std::string config = "{}";
};

struct Settings {
  double horizon_s = 60;  // the forecasts are asked for
  double window_s = 0;    // an alarm is true when an event begins so soon after it; 0: twice the horizon
  double every_s = 0;     // at least so long between two forecasts; 0: one after each row
  AlarmRule rule;
  Costs costs;
  bool failures_only = false;  // only failures are to be forecast, not degradations
  uint64_t seed = 1;           // handed to the plugins
  int threads = 0;             // 0: as many as the machine has
  size_t plot_points = 0;      // of each curve kept for plots; 0: none
  double window() const { return window_s > 0 ? window_s : 2 * horizon_s; }
};

// A curve, thinned: of each stretch of time the lowest and the highest value. NaN: nothing was measured.
struct Curve {
  std::string name;
  std::vector<double> low, high;
};

// One trace under one variant.
struct TraceScore {
  Score score;
  std::vector<Alarm> alarms;
  std::vector<std::string> metrics_missing;  // wanted by the predictor, not in the trace
  std::string complaint;                     // of the predictor, the first of this trace: why it abstained or failed
  Curve probability;
  double busy_s = 0;  // the replay took so long on one thread; not part of what is deterministic
};

struct TraceInfo {
  std::string name, path;
  size_t rows = 0, time_faults = 0;
  double first_s = 0, last_s = 0;
  std::vector<trace::Event> events;
  std::vector<Curve> metrics;  // of those that predictors wanted
};

struct VariantReport {
  Variant variant;
  std::string name, version;       // the plugin's
  std::vector<TraceScore> traces;  // in the order of Report::traces
  Score summary;
};

struct Report {
  Settings settings;
  std::vector<TraceInfo> traces;
  std::vector<VariantReport> variants;
  double elapsed_s = 0;  // the whole backtest, reading included
};

// "threshold", "threshold:{...}", "threshold:@file.json", "./mine.so:{...}" -> variants. A value {"sweep": [a, b]} in
// the configuration stands for each of a, b: all combinations become variants of one group. kInvalidArgument.
Result<std::vector<Variant>> ParsePredictor(const std::string& text, size_t group);

// `paths`: files, as FindTraces gives them. `plugin_folders`: searched for NAME.so. Errors name the trace or the
// plugin. Plugins run in this process: load only what you would run.
Result<Report> Run(const std::vector<std::string>& paths, const std::vector<Variant>& variants,
                   const Settings& settings, const std::vector<std::string>& plugin_folders, Clock* clock);

// The best variant of a group: least cost, then fewest false alarms, then the longest median lead, then the first.
size_t BestOfGroup(const Report& report, size_t group);
size_t GroupCount(const Report& report);

// How other predictors do at the recall of the first: for each further group the variant of the highest precision among
// those whose recall is at least that of the first group's best (ties: the longer median lead).
struct Rival {
  size_t group = 0;
  size_t best = 0;       // BestOfGroup
  bool reaches = false;  // whether some variant reaches that recall
  size_t at_recall = 0;  // the variant; when none reaches it, the one of the highest recall
};
std::vector<Rival> Compare(const Report& report);

// docs/formats.md, "Backtest report".
std::string ToJson(const Report& report);
// One self-contained page. Needs Settings::plot_points.
std::string ToHtml(const Report& report);

}  // namespace understudy::backtest

// Runs predictor plugins for the coordinator, away from its threads: the plugins of docs/predictors.md, one worker a
// plugin (a child process, or a thread for trusted ones), one instance a primary in it, calls batched. Whatever a
// plugin in a child does, the answer comes within the deadline and the worst it can say is kAbstain.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "log/protocol/control_messages.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

enum class ForecastStatus : int {
  kOk = 0,
  kWarming = 1,  // too few samples yet
  kAbstain = 2,  // cannot say, or the plugin is broken; never to be taken for "no risk"
};
const char* ForecastStatusName(ForecastStatus status);

struct Forecast {
  std::string predictor;  // "threshold"
  std::string version;    // of the plugin; empty until it has been loaded
  ForecastStatus status = ForecastStatus::kAbstain;
  int64_t horizon_ms = 0;
  double probability = 0;  // of failure within the horizon, 0 to 1; means something only with kOk
  double confidence = 0;   // 0 to 1
  bool has_ttf = false;    // whether the time to failure is known
  double ttf_p10_s = 0;
  double ttf_p50_s = 0;
  double ttf_p90_s = 0;
  std::string reason;   // for people, also with kWarming and kAbstain
  bool shadow = false;  // of a predictor that is recorded, never obeyed
  bool restart_cures = false;  // what it warns of is used up by the process, and free again when that ends
};

// Where a plugin runs.
enum class Isolation : int {
  kProcess = 0,  // a child process, with limits
  kThread = 1,   // a thread of the coordinator's process, which a crash ends; only where allow_in_process says so
};
inline const char* IsolationName(Isolation isolation) { return isolation == Isolation::kThread ? "thread" : "process"; }

// One predictor of one primary, as the service's spec names it.
struct PredictorSpec {
  std::string plugin;         // "threshold", looked up in PredictorHostOptions::plugin_folders; or a path with a '/'
  std::string config = "{}";  // JSON, for the plugin
  bool shadow = false;        // its forecasts are recorded, never obeyed
  Isolation isolation = Isolation::kProcess;
  bool restart_cures = false;  // as in Forecast; the operator's word of it
  bool operator==(const PredictorSpec&) const = default;
};

struct PredictorAlert {
  std::string plugin;     // "samples": not a plugin, but what an agent sent of `primary`
  std::string primary;    // empty: all primaries that use the plugin
  std::string text;       // "killed by signal 11; its forecasts are ABSTAIN, trying again in 2 s"
  bool resolved = false;  // the trouble named before is over
};

enum class ResetReason : int { kRestarted = 1, kMoved = 2, kGap = 3 };
enum class OutcomeKind : int { kFailed = 1, kDegraded = 2, kMoved = 3, kQuiet = 4 };

struct PredictorHostOptions {
  Clock* clock = nullptr;                   // required
  std::vector<std::string> plugin_folders;  // searched in order for NAME.so
  std::string helper;                       // path of understudy-predictor-host; child-process host only
  bool allow_in_process = false;            // whether specs may ask for Isolation::kThread; else they abstain
  uint64_t seed = 1;                        // handed to the plugins
  int64_t call_deadline_ms = 250;           // of a round of calls to one plugin, for each 1000 primaries it has
  int64_t start_deadline_ms = 5000;         // to load a plugin and make its instances
  int missed_deadlines_max = 3;             // in a row; then its worker is killed
  int64_t memory_bytes_max = 512ll << 20;   // address space of a child; 0: no limit
  int64_t restart_pause_ms = 1000;          // after the first fault; doubles with each further one
  int64_t restart_pause_ms_max = 300'000;
  int64_t healthy_after_ms = 60'000;  // so long without a fault: the pause starts over
  size_t samples_buffered_max = 600;  // a primary, between two Predict calls; the oldest are dropped beyond
};

// Paths of an installed or built tree, from the running program's folder: BIN/understudy-predictor-host and
// BIN/../lib/understudy/predictors beside it.
PredictorHostOptions DefaultPredictorHostOptions(Clock* clock, const std::string& program_folder);

// Thread-safe. No call blocks on a plugin. Callbacks come on the host's own thread, each exactly once, and must not
// block; nothing is called back after the destructor has returned (what is outstanding is answered before: ABSTAIN,
// kCancelled).
class PredictorHost {
 public:
  using Forecasts =
      std::map<std::string, std::vector<Forecast>>;  // by primary; predictors in the spec's order, horizons ascending
  virtual ~PredictorHost() = default;

  // Sets the predictors of a primary (a service), replacing those it had; an unchanged spec keeps its instance and
  // what it has learnt. An empty list removes it. Plugins that fail to load or refuse their configuration abstain
  // and raise an alert; the others go on.
  virtual void Configure(const std::string& primary, std::vector<PredictorSpec> specs) = 0;

  // Loads the plugin in a worker of its own and makes an instance: is this spec good? kNotFound (no such file),
  // kInvalidArgument (the message names the field), kUnsupported (ABI), kDeadlineExceeded, kInternal (it crashed),
  // kFailedPrecondition (an isolation that is not allowed here).
  virtual void Check(const PredictorSpec& spec, std::function<void(Status)> done) = 0;

  // Takes samples of the node that runs the primary, in the agent's time; unknown primaries are ignored. `now`: of
  // options.clock. Buffered until the next Predict. Samples whose times repeat, go back or are far off are dropped,
  // with one alert a primary.
  virtual void Observe(const std::string& primary, const std::vector<NodeSample>& samples, Instant now) = 0;

  // Asks all predictors of all primaries. Answers within call_deadline_ms and a little; plugins that are late, broken
  // or still loading have kAbstain or kWarming with the reason. `horizons_ms` ascending, 1 to 16 of them.
  virtual void Predict(Instant now, std::vector<int64_t> horizons_ms, std::function<void(Forecasts)> done) = 0;

  // The primary was restarted or moved: what was observed no longer counts.
  virtual void Reset(const std::string& primary, ResetReason why) = 0;

  // What came of a primary, for plugins that learn. `lead_s` negative: no forecast had warned.
  virtual void Feedback(const std::string& primary, OutcomeKind kind, double lead_s, Instant when) = 0;

  // Set before the first Configure.
  virtual void SetOnAlert(std::function<void(PredictorAlert)> fn) = 0;
};

// The default: a child process a plugin. A crash, a hang or an allocation without end stays in there. Specs that ask
// for a thread get one as below, if options.allow_in_process.
std::unique_ptr<PredictorHost> NewChildProcessPredictorHost(PredictorHostOptions options);

// All plugins in threads of this process, whatever their specs say: for tests and replays. Deadlines and pauses hold as
// above, but a plugin that crashes takes the process with it, its memory is not limited, and one that hangs keeps its
// thread and is not called again until that call returns.
std::unique_ptr<PredictorHost> NewInProcessPredictorHost(PredictorHostOptions options);

}  // namespace understudy

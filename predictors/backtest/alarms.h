// When the coordinator's policy would move a service for what its predictor says: a probability at or above `switch_at`
// that holds for `persist_s` opens an alarm; one that stays below `release_at`, or unknown, for `dwell_s` closes it.
// A forecast holds until the next one. Pure; one thread.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace understudy::backtest {

struct AlarmRule {
  double switch_at = 0.7;
  double release_at = 0.2;
  double persist_s = 1;
  double dwell_s = 10;
};

enum class Verdict {
  kFalse,    // nothing happened within the window after it
  kTrue,     // an event began within the window
  kInEvent,  // opened while an event went on: too late to be a forecast, but not false either
};
const char* VerdictName(Verdict verdict);  // "true"

struct Alarm {
  double opened_s = 0;
  double closed_s = std::numeric_limits<double>::infinity();  // infinity: open when the trace ended
  double probability = 0;                                     // of the forecast that began it
  std::string reason;                                         // likewise
  Verdict verdict = Verdict::kFalse;
  double lead_s = 0;  // kTrue: from its opening to the beginning of the event
};

class AlarmWatch {
 public:
  explicit AlarmWatch(AlarmRule rule) : rule_(rule) {}

  // A forecast at `time_s`, not before the last one; empty: no signal. `reason` is copied only when it matters.
  void Forecast(double time_s, std::optional<double> probability, const char* reason);
  // The process was started anew: an open alarm ends, nothing persists.
  void Restart(double time_s);
  // The trace ends.
  void Finish(double time_s) { Advance(time_s, true); }

  const std::vector<Alarm>& alarms() const { return alarms_; }
  bool open() const { return open_; }

 private:
  // Lets the time up to `time_s` pass under the forecast that holds; `inclusive`: that moment too.
  void Advance(double time_s, bool inclusive);

  AlarmRule rule_;
  std::vector<Alarm> alarms_;
  bool open_ = false;
  std::optional<double> high_since_s_, low_since_s_;
  double high_probability_ = 0;
  std::string high_reason_;
};

}  // namespace understudy::backtest

// What a predictor's words were worth, now that the trace says what happened. docs/prediction.md defines every figure.
// Pure; one thread an object.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "predictors/backtest/alarms.h"
#include "predictors/trace/trace.h"

namespace understudy::backtest {

inline constexpr size_t kBins = 10;  // of the reliability diagram

struct Costs {
  double unplanned = 10;  // of a failure nobody was ready for; any unit
  double planned = 1;     // of a move, needed or not
  double ready_s = 1;     // a spare needs so long: a shorter lead comes too late
};

// Sums over one trace or many.
struct Score {
  int64_t rows = 0;
  double days = 0;        // from the first row to the last
  double quiet_days = 0;  // of them outside labelled events
  int64_t events = 0;     // that were to be forecast
  int64_t events_forecast = 0;
  int64_t events_in_time = 0;  // with a lead of at least Costs::ready_s
  int64_t alarms_true = 0, alarms_false = 0, alarms_in_event = 0;
  std::vector<double> leads_s;                                 // of the events forecast
  int64_t ok = 0, warming = 0, abstained = 0, impossible = 0;  // forecasts; impossible: refused by the host's checks
  struct Bin {
    int64_t count = 0, happened = 0;
    double probability_sum = 0;
  };
  std::array<Bin, kBins> bins;  // forecasts whose outcome is known
  double brier_sum = 0;
  std::vector<float> ttf_errors_s;  // |median - actual|
  std::vector<float> ttf_relative;  // the same over the actual
  int64_t ttf_covered = 0;          // actual within p10 to p90

  void Add(const Score& other);
  // Counts a forecast whose outcome is known.
  void AddOutcome(double probability, bool happened);

  int64_t alarms() const { return alarms_true + alarms_false + alarms_in_event; }
  int64_t scored() const;
  // NaN where there is nothing to divide by.
  double Precision() const;  // true alarms of true and false ones
  double Recall() const;     // events forecast, of all
  double FalseAlarmsPerNodeDay() const;
  double LeadS(double quantile) const;
  double Brier() const;
  double Ece() const;
  double TtfErrorS() const;    // median
  double TtfRelative() const;  // median
  double TtfCoverage() const;  // should be 0.8
  double Cost(const Costs& costs) const;
  double CostOfNeverPredicting(const Costs& costs) const;
};

// The events of a trace as they are judged by.
class Truth {
 public:
  // `window_s`: an alarm is true when an event begins so soon after it; an event without an end lasts so long.
  // `failures_only`: degradations need not be forecast (alarms in them are still not false).
  Truth(const trace::Trace& trace, double window_s, bool failures_only);

  enum class Outcome { kHappened, kDidNot, kUnknown };
  // Of the forecast made at `time_s` for `horizon_s`. Unknown: within an event, cut off by the end of the trace or by
  // a restart. Calls ascend in time.
  Outcome Judge(double time_s, double horizon_s);
  // Seconds from `time_s` of the last Judge to the next event; negative: none that is this process's own.
  double NextEventIn(double time_s) const;
  bool InEvent(double time_s) const;

  // Sets verdicts and leads; adds them and the events to the score.
  void JudgeAlarms(std::vector<Alarm>* alarms, double ready_s, Score* score) const;

  const std::vector<double>& restarts() const { return restarts_; }

 private:
  struct Span {
    double from, to;
  };
  bool RestartBetween(double from_s, double to_s) const;

  double window_s_, end_s_;
  std::vector<double> targets_;   // beginnings, ascending
  std::vector<double> restarts_;  // ascending
  std::vector<Span> spans_;       // of all events but restarts, merged, ascending
  double first_s_;
  size_t next_target_ = 0, next_restart_ = 0, next_span_ = 0;  // of Judge: the first after its time
};

}  // namespace understudy::backtest

#include "predictors/backtest/score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "predictors/stats/calibration_error.h"
#include "predictors/stats/quantiles.h"

namespace understudy::backtest {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kSecondsPerDay = 86400;

double Ratio(double part, double whole) { return whole > 0 ? part / whole : kNone; }

double MedianOf(const std::vector<float>& values) {
  if (values.empty()) return kNone;
  std::vector<double> copy(values.begin(), values.end());
  return stats::Median(copy);
}

}  // namespace

void Score::Add(const Score& other) {
  rows += other.rows;
  days += other.days;
  quiet_days += other.quiet_days;
  events += other.events;
  events_forecast += other.events_forecast;
  events_in_time += other.events_in_time;
  alarms_true += other.alarms_true;
  alarms_false += other.alarms_false;
  alarms_in_event += other.alarms_in_event;
  leads_s.insert(leads_s.end(), other.leads_s.begin(), other.leads_s.end());
  ok += other.ok;
  warming += other.warming;
  abstained += other.abstained;
  impossible += other.impossible;
  for (size_t i = 0; i < kBins; ++i) {
    bins[i].count += other.bins[i].count;
    bins[i].happened += other.bins[i].happened;
    bins[i].probability_sum += other.bins[i].probability_sum;
  }
  brier_sum += other.brier_sum;
  ttf_errors_s.insert(ttf_errors_s.end(), other.ttf_errors_s.begin(), other.ttf_errors_s.end());
  ttf_relative.insert(ttf_relative.end(), other.ttf_relative.begin(), other.ttf_relative.end());
  ttf_covered += other.ttf_covered;
}

void Score::AddOutcome(double probability, bool happened) {
  Bin& bin = bins[std::min(kBins - 1, static_cast<size_t>(probability * kBins))];
  ++bin.count;
  bin.happened += happened ? 1 : 0;
  bin.probability_sum += probability;
  const double error = probability - (happened ? 1 : 0);
  brier_sum += error * error;
}

int64_t Score::scored() const {
  int64_t count = 0;
  for (const Bin& bin : bins) count += bin.count;
  return count;
}

double Score::Precision() const {
  return Ratio(static_cast<double>(alarms_true), static_cast<double>(alarms_true + alarms_false));
}
double Score::Recall() const { return Ratio(static_cast<double>(events_forecast), static_cast<double>(events)); }
double Score::FalseAlarmsPerNodeDay() const { return Ratio(static_cast<double>(alarms_false), quiet_days); }
double Score::LeadS(double quantile) const {
  if (leads_s.empty()) return kNone;
  std::vector<double> copy = leads_s;
  return stats::Quantile(copy, quantile);
}
double Score::Brier() const { return Ratio(brier_sum, static_cast<double>(scored())); }
double Score::Ece() const {
  if (scored() == 0) return kNone;
  std::vector<stats::ReliabilityBin> all(kBins);
  for (size_t i = 0; i < kBins; ++i) {
    all[i].weight = static_cast<double>(bins[i].count);
    all[i].mean_forecast = Ratio(bins[i].probability_sum, all[i].weight);
    all[i].outcome_rate = Ratio(static_cast<double>(bins[i].happened), all[i].weight);
  }
  return stats::ExpectedCalibrationError(all);
}
double Score::TtfErrorS() const { return MedianOf(ttf_errors_s); }
double Score::TtfRelative() const { return MedianOf(ttf_relative); }
double Score::TtfCoverage() const {
  return Ratio(static_cast<double>(ttf_covered), static_cast<double>(ttf_errors_s.size()));
}
double Score::Cost(const Costs& costs) const {
  return costs.unplanned * static_cast<double>(events - events_in_time) + costs.planned * static_cast<double>(alarms());
}
double Score::CostOfNeverPredicting(const Costs& costs) const { return costs.unplanned * static_cast<double>(events); }

Truth::Truth(const trace::Trace& trace, double window_s, bool failures_only)
    : window_s_(window_s), end_s_(trace.time_s.back()), first_s_(trace.time_s.front()) {
  for (const trace::Event& event : trace.events) {
    if (event.kind == trace::Event::kRestart) {
      restarts_.push_back(event.time_s);
      continue;
    }
    const double to = event.end_s > event.time_s ? event.end_s : event.time_s + window_s;
    if (!spans_.empty() && event.time_s <= spans_.back().to) {
      spans_.back().to = std::max(spans_.back().to, to);
    } else {
      spans_.push_back({event.time_s, to});
    }
    // What happened before the trace began could not be forecast from it.
    if (event.time_s < first_s_ || (failures_only && event.kind != trace::Event::kFailure)) continue;
    targets_.push_back(event.time_s);
  }
}

Truth::Outcome Truth::Judge(double time_s, double horizon_s) {
  while (next_target_ < targets_.size() && targets_[next_target_] <= time_s) ++next_target_;
  while (next_restart_ < restarts_.size() && restarts_[next_restart_] <= time_s) ++next_restart_;
  while (next_span_ < spans_.size() && spans_[next_span_].to < time_s) ++next_span_;
  if (next_span_ < spans_.size() && spans_[next_span_].from <= time_s) return Outcome::kUnknown;
  const double until = time_s + horizon_s;
  const double restart = next_restart_ < restarts_.size() ? restarts_[next_restart_] : kNone;
  if (next_target_ < targets_.size() && targets_[next_target_] <= until) {
    return restart < targets_[next_target_] ? Outcome::kUnknown : Outcome::kHappened;
  }
  // Something else went wrong in the horizon, or nobody knows what would have happened.
  if (next_span_ < spans_.size() && spans_[next_span_].from <= until) return Outcome::kUnknown;
  return restart <= until || until > end_s_ ? Outcome::kUnknown : Outcome::kDidNot;
}

double Truth::NextEventIn(double time_s) const {
  if (next_target_ == targets_.size()) return -1;
  if (next_restart_ < restarts_.size() && restarts_[next_restart_] < targets_[next_target_]) return -1;
  return targets_[next_target_] - time_s;
}

bool Truth::InEvent(double time_s) const {
  return std::any_of(spans_.begin(), spans_.end(),
                     [&](const Span& span) { return span.from <= time_s && time_s <= span.to; });
}

bool Truth::RestartBetween(double from_s, double to_s) const {
  return std::any_of(restarts_.begin(), restarts_.end(), [&](double at) { return from_s < at && at < to_s; });
}

void Truth::JudgeAlarms(std::vector<Alarm>* alarms, double ready_s, Score* score) const {
  std::vector<double> leads(targets_.size(), -1);
  for (Alarm& alarm : *alarms) {
    const auto event = std::lower_bound(targets_.begin(), targets_.end(), alarm.opened_s);
    if (event != targets_.end() && *event <= alarm.opened_s + window_s_ && !RestartBetween(alarm.opened_s, *event)) {
      alarm.verdict = Verdict::kTrue;
      alarm.lead_s = *event - alarm.opened_s;
      double& lead = leads[static_cast<size_t>(event - targets_.begin())];
      lead = std::max(lead, alarm.lead_s);
      ++score->alarms_true;
    } else if (InEvent(alarm.opened_s)) {
      alarm.verdict = Verdict::kInEvent;
      ++score->alarms_in_event;
    } else {
      alarm.verdict = Verdict::kFalse;
      ++score->alarms_false;
    }
  }
  score->events += static_cast<int64_t>(targets_.size());
  for (const double lead : leads) {
    if (lead < 0) continue;
    ++score->events_forecast;
    score->events_in_time += lead >= ready_s ? 1 : 0;
    score->leads_s.push_back(lead);
  }
  double quiet_s = end_s_ - first_s_;
  for (const Span& span : spans_) {
    quiet_s -= std::max(0.0, std::min(span.to, end_s_) - std::max(span.from, first_s_));
  }
  score->days += (end_s_ - first_s_) / kSecondsPerDay;
  score->quiet_days += std::max(0.0, quiet_s) / kSecondsPerDay;
}

}  // namespace understudy::backtest

#include "predictors/backtest/alarms.h"

namespace understudy::backtest {

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kFalse:
      return "false";
    case Verdict::kTrue:
      return "true";
    case Verdict::kInEvent:
      return "in_event";
  }
  return "false";
}

void AlarmWatch::Advance(double time_s, bool inclusive) {
  const auto reached = [&](double at) { return inclusive ? at <= time_s : at < time_s; };
  if (!open_ && high_since_s_ && reached(*high_since_s_ + rule_.persist_s)) {
    Alarm alarm;
    alarm.opened_s = *high_since_s_ + rule_.persist_s;
    alarm.probability = high_probability_;
    alarm.reason = high_reason_;
    alarms_.push_back(std::move(alarm));
    open_ = true;
  }
  if (open_ && low_since_s_ && reached(*low_since_s_ + rule_.dwell_s)) {
    alarms_.back().closed_s = *low_since_s_ + rule_.dwell_s;
    open_ = false;
  }
}

void AlarmWatch::Forecast(double time_s, std::optional<double> probability, const char* reason) {
  Advance(time_s, false);  // at this very moment the new word counts
  if (probability && *probability >= rule_.switch_at) {
    if (!high_since_s_) {
      high_since_s_ = time_s;
      high_probability_ = *probability;
      if (!open_) high_reason_ = reason;
    }
  } else {
    high_since_s_.reset();
  }
  if (!probability || *probability < rule_.release_at) {
    if (!low_since_s_) low_since_s_ = time_s;
  } else {
    low_since_s_.reset();
  }
  Advance(time_s, true);
}

void AlarmWatch::Restart(double time_s) {
  Advance(time_s, false);
  if (open_) alarms_.back().closed_s = time_s;
  open_ = false;
  high_since_s_.reset();
  low_since_s_.reset();
}

}  // namespace understudy::backtest

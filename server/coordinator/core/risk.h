// From forecasts to what is wanted: what predictors last said of a service, and the policy's memory of it. No forecast
// is never a reason to act. predictors/policy decides; this keeps.
#pragma once

#include <string>
#include <vector>

#include "predictors/host/predictor_host.h"
#include "predictors/policy/policy.h"
#include "understudy/types.h"

namespace understudy::coordinator {

enum class RiskLevel : int { kNone = 0, kAssign, kSwitch };

class Risk {
 public:
  static constexpr int64_t kFreshMs = policy::kFreshMs;  // an older forecast says nothing any more
  // Speaks for the predictors it was made from: theirs are shown then, not obeyed.
  static constexpr char kEnsemble[] = "ensemble";

  // What the predictors said at `now`.
  void Observe(const std::vector<Forecast>& forecasts, Instant now);
  // Time passes: forecasts grow stale, dwell times end. Everything of input() but forecasts and memory is the caller's.
  void Advance(const policy::FleetView& fleet, const policy::FleetSettings& settings, Instant now);
  // A move ended, or another process is the primary: what was forecast was not about this one.
  void Reset();

  policy::ServiceInput& input() { return input_; }
  const policy::ServiceInput& input() const { return input_; }
  const policy::Assessment& assessment() const { return assessment_; }
  policy::Rung rung() const { return input_.memory.rung; }
  RiskLevel level() const;
  // The forecast that decided last; status kAbstain before the first, and when it is stale.
  const Forecast& forecast() const { return forecast_; }
  const std::vector<Forecast>& forecasts() const { return forecasts_; }
  // When the level was last raised from kNone; meaningful unless kNone.
  Instant since() const { return Instant(input_.memory.at_risk_since_ms * kNsPerMs); }
  // When Advance has something to do; Never() if only a new forecast can change anything.
  Instant next() const { return assessment_.next_ms < 0 ? Instant::Never() : Instant(assessment_.next_ms * kNsPerMs); }

 private:
  policy::ServiceInput input_;
  policy::Assessment assessment_;
  std::vector<Forecast> forecasts_;
  Forecast forecast_;
  Instant observed_;
};

}  // namespace understudy::coordinator

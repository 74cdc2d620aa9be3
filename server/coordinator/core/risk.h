// From forecasts to a level of risk, with hysteresis: entered when a threshold is reached, left only when the
// probability stayed below a lower one for the dwell time. No forecast is never a reason to act.
#pragma once

#include <string>
#include <vector>

#include "predictors/host/predictor_host.h"
#include "server/coordinator/core/service_spec.h"
#include "understudy/types.h"

namespace understudy::coordinator {

enum class RiskLevel : int { kNone = 0, kAssign, kSwitch };

class Risk {
 public:
  static constexpr int64_t kFreshMs = 10'000;  // an older forecast says nothing any more

  // Takes what the predictors said at `now`: the highest probability of those that could say decides.
  void Observe(const std::vector<Forecast>& forecasts, const PolicySpec& policy, Instant now);
  // Time passes: forecasts grow stale, dwell times end.
  void Advance(const PolicySpec& policy, Instant now);
  // A move ended, or another process is the primary: what was forecast was not about this one.
  void Reset();

  RiskLevel level() const { return level_; }
  // The forecast that decided last; status kAbstain before the first, and when it is stale.
  const Forecast& forecast() const { return forecast_; }
  // When the level was last raised from kNone; meaningful unless kNone.
  Instant since() const { return since_; }
  // When Advance has something to do; Never() if only a new forecast can change anything.
  Instant next() const { return next_; }

 private:
  RiskLevel level_ = RiskLevel::kNone;
  Forecast forecast_;
  Instant observed_;
  Instant since_;
  Instant high_since_ = Instant::Never();  // at or above switch_at without interruption
  Instant low_since_ = Instant::Never();   // below release_at, or unknown, without interruption
  Instant next_ = Instant::Never();
};

}  // namespace understudy::coordinator

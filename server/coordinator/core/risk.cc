#include "server/coordinator/core/risk.h"

#include <algorithm>

namespace understudy::coordinator {

void Risk::Observe(const std::vector<Forecast>& forecasts, const PolicySpec& policy, Instant now) {
  Forecast best;
  if (!forecasts.empty()) best = forecasts.front();
  for (const Forecast& forecast : forecasts) {
    if (forecast.status != ForecastStatus::kOk) continue;
    if (best.status != ForecastStatus::kOk || forecast.probability > best.probability) best = forecast;
  }
  forecast_ = best;
  observed_ = now;
  Advance(policy, now);
}

void Risk::Advance(const PolicySpec& policy, Instant now) {
  next_ = Instant::Never();
  if (forecast_.status == ForecastStatus::kOk) {
    const Instant stale = observed_ + kFreshMs * kNsPerMs;
    if (now >= stale) {
      forecast_.status = ForecastStatus::kAbstain;
    } else {
      next_ = stale;
    }
  }
  const bool known = forecast_.status == ForecastStatus::kOk;
  const double p = known ? forecast_.probability : 0;

  if (known && p >= policy.switch_at) {
    if (high_since_ == Instant::Never()) high_since_ = now;
  } else {
    high_since_ = Instant::Never();
  }
  if (p < policy.release_at) {
    if (low_since_ == Instant::Never()) low_since_ = now;
  } else {
    low_since_ = Instant::Never();
  }

  if (level_ == RiskLevel::kNone && known && p >= policy.assign_at) {
    level_ = RiskLevel::kAssign;
    since_ = now;
  }
  if (high_since_ != Instant::Never()) {
    const Instant due = high_since_ + policy.persist_ms * kNsPerMs;
    if (now >= due) {
      level_ = RiskLevel::kSwitch;
    } else {
      next_ = std::min(next_, due);
    }
  } else if (level_ == RiskLevel::kSwitch && p < policy.assign_at) {
    level_ = RiskLevel::kAssign;  // keep the spare, but do not jump on a word that was taken back
  }
  if (level_ != RiskLevel::kNone && low_since_ != Instant::Never()) {
    const Instant due = low_since_ + policy.dwell_ms * kNsPerMs;
    if (now >= due) {
      level_ = RiskLevel::kNone;
    } else {
      next_ = std::min(next_, due);
    }
  }
}

void Risk::Reset() { *this = Risk(); }

}  // namespace understudy::coordinator

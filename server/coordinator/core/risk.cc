#include "server/coordinator/core/risk.h"

#include <algorithm>

namespace understudy::coordinator {

void Risk::Observe(const std::vector<Forecast>& forecasts, Instant now) {
  forecasts_ = forecasts;
  observed_ = now;
  const bool ensemble = std::any_of(forecasts.begin(), forecasts.end(), [](const Forecast& forecast) {
    return forecast.predictor == kEnsemble && !forecast.shadow;
  });
  input_.forecasts.clear();
  for (const Forecast& forecast : forecasts) {
    policy::ForecastView view;
    view.predictor = forecast.predictor;
    view.version = forecast.version;
    view.known = forecast.status == ForecastStatus::kOk;
    view.shadow = forecast.shadow;
    view.obeyed = !forecast.shadow && (!ensemble || forecast.predictor == kEnsemble);
    view.horizon_ms = forecast.horizon_ms;
    view.probability = forecast.probability;
    view.confidence = forecast.confidence;
    view.has_ttf = forecast.has_ttf;
    view.ttf_p10_s = forecast.ttf_p10_s;
    view.ttf_p50_s = forecast.ttf_p50_s;
    view.ttf_p90_s = forecast.ttf_p90_s;
    view.reason = forecast.reason;
    view.restart_cures = forecast.restart_cures;
    input_.forecasts.push_back(std::move(view));
  }
}

void Risk::Advance(const policy::FleetView& fleet, const policy::FleetSettings& settings, Instant now) {
  if (forecasts_.empty() && rung() == policy::Rung::kNormal) {
    assessment_ = policy::Assessment();
    return;
  }
  const int64_t now_ms = now.ns() / kNsPerMs;
  input_.age_ms = now_ms - observed_.ns() / kNsPerMs;
  assessment_ = policy::Assess(input_, fleet, settings, now_ms);
  input_.memory = assessment_.memory;
  if (assessment_.deciding >= 0) {
    forecast_ = forecasts_[static_cast<size_t>(assessment_.deciding)];
  } else if (!assessment_.stale && !forecasts_.empty()) {
    forecast_ = forecasts_.front();
    for (const Forecast& forecast : forecasts_) {
      if (!forecast.shadow && forecast_.shadow) forecast_ = forecast;
    }
    if (forecast_.shadow) {
      forecast_.status = ForecastStatus::kAbstain;
      forecast_.reason = "in shadow: " + forecast_.reason;
    }
  } else {
    forecast_.status = ForecastStatus::kAbstain;
  }
}

RiskLevel Risk::level() const {
  if (rung() == policy::Rung::kSwitch) return RiskLevel::kSwitch;
  return rung() >= policy::Rung::kReserve ? RiskLevel::kAssign : RiskLevel::kNone;
}

void Risk::Reset() {
  const policy::ServicePolicy policy = input_.policy;
  const std::string name = input_.name;
  *this = Risk();
  input_.policy = policy;
  input_.name = name;
}

}  // namespace understudy::coordinator

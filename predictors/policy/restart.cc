// A deliberate restart from a fresh checkpoint: what is left when a process uses something up, and no spare is to be had.
#include <algorithm>

#include "predictors/policy/assess.h"
#include "predictors/policy/policy.h"

namespace understudy::policy {

// Beside the ladder, since a spare is no part of it. The forecasts that count are those that say that a restart cures.
void AssessRestart(const ServiceInput& in, int64_t now_ms, Assessment* out) {
  const ServicePolicy& policy = in.policy;
  RestartView& restart = out->restart;
  restart.gain.floor = policy.switch_at;
  restart.gain.benefit = policy.unplanned_cost;
  restart.gain.cost = policy.restart_cost;
  restart.gain.gain = -restart.gain.cost;
  Memory& memory = out->memory;
  const int64_t limit_ms = out->known ? HorizonLimit(in.forecasts, policy.horizon_ms) : -1;
  double best = -1;
  for (const ForecastView& forecast : in.forecasts) {
    if (!Speaks(forecast) || forecast.horizon_ms > limit_ms) continue;
    const double p = Probability(forecast);
    best = std::max(best, p);
    if (p >= policy.switch_at) restart.cured = best > p ? restart.cured : forecast.restart_cures;
    if (!forecast.restart_cures) continue;
    // The checkpoint is what must come before the failure. The restart itself may take as long as it takes.
    const double ready = ChanceLater(forecast, static_cast<double>(std::max<int64_t>(in.checkpoint_ms, 0)) / 1000);
    const double net = p * ready * restart.gain.benefit - restart.gain.cost;
    restart.gain.probability = std::max(restart.gain.probability, p);
    if (net <= restart.gain.gain) continue;
    restart.gain.gain = net;
    restart.gain.ready = ready;
  }
  const bool enters = restart.cured && restart.gain.probability >= policy.switch_at && restart.gain.gain > 0;
  if (!enters) {
    memory.restart_since_ms = -1;
    return;
  }
  if (memory.restart_since_ms < 0) memory.restart_since_ms = now_ms;
  const int64_t due_ms = memory.restart_since_ms + policy.persist_ms;
  restart.wanted = now_ms >= due_ms;
  if (!restart.wanted && (out->next_ms < 0 || due_ms < out->next_ms)) out->next_ms = due_ms;
}

RestartPermit AllowRestart(const ServiceInput& in, const Assessment& assessed, const FleetView& fleet,
                           const FleetSettings& settings, int64_t now_ms, int64_t unix_ms) {
  RestartPermit out;
  const bool likely = assessed.probability >= in.policy.switch_at || assessed.memory.rung == Rung::kSwitch;
  if (!likely && assessed.memory.restart_since_ms < 0) return out;  // nobody would ask for one
  if (!in.policy.restart) {
    out.holds.push_back(Hold::kRestartOff);
  } else if (!assessed.restart.cured) {
    out.holds.push_back(Hold::kNotCured);
  } else if (assessed.memory.restart_since_ms < 0) {
    out.holds.push_back(Hold::kNoGain);
  } else {
    if (in.move_under_way) out.holds.push_back(Hold::kMoving);
    if (settings.dry_run || in.policy.dry_run) out.holds.push_back(Hold::kDryRun);
    if (settings.paused) out.holds.push_back(Hold::kPaused);
    if (Braked(fleet, settings)) out.holds.push_back(Hold::kBrake);
    if (now_ms < std::max(in.cooldown_until_ms, in.restart_cooldown_until_ms)) out.holds.push_back(Hold::kCooldown);
    if (!InsideWindows(in.policy.windows, unix_ms) || !InsideWindows(settings.windows, unix_ms)) {
      out.holds.push_back(Hold::kWindow);
    }
    if (!assessed.restart.wanted) out.holds.push_back(Hold::kPersist);
    if (in.spare_to_be_had) out.holds.push_back(Hold::kSpare);
    out.restart = out.holds.empty();
  }
  return out;
}

}  // namespace understudy::policy

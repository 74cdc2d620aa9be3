// What a service wants: gains, floors, hysteresis.
#include <algorithm>
#include <cmath>

#include "predictors/policy/assess.h"
#include "predictors/policy/policy.h"

namespace understudy::policy {
namespace {

// What a rung saves of Cu when the failure comes and it has been reached, and what it costs of Cp while it is held.
// CHECKPOINT: replay is a fraction of the recovery. RESERVE: the recovery does not wait for a node. FOLLOW and MIRROR:
// what is left is to notice the failure and to settle the log's end. SWITCH: there is no failure to recover from.
struct Share {
  double benefit;
  double cost;
};
constexpr std::array<Share, kRungs> kShares = {{{0, 0}, {0.25, 0.02}, {0.4, 0.02}, {0.9, 0.1}, {0.95, 0.15}, {1, 1}}};
constexpr double kKeepShare = 0.4;  // of the cost that must still be expected back for a rung to be kept
constexpr double kFeasibleChance = 0.05;
constexpr double kRejuvenation_s = 30;  // a switch gives the spare's place back after the old primary's restart
constexpr double kReadyMin = 0.2;
constexpr int kSteps = 8;

bool HasTtf(const ForecastView& forecast) {
  return forecast.has_ttf && std::isfinite(forecast.ttf_p10_s) && std::isfinite(forecast.ttf_p50_s) &&
         std::isfinite(forecast.ttf_p90_s);
}

// Given that it fails within the horizon. Without quantiles any moment of it is as likely as another.
double FailedBy(const ForecastView& forecast, double t_s) {
  if (t_s <= 0) return 0;
  if (!HasTtf(forecast)) {
    const double horizon_s = static_cast<double>(forecast.horizon_ms) / 1000;
    return horizon_s <= 0 ? 1 : std::min(1.0, t_s / horizon_s);
  }
  const double p10 = std::max(forecast.ttf_p10_s, 1e-3);
  const double p50 = std::max(forecast.ttf_p50_s, p10);
  const double p90 = std::max(forecast.ttf_p90_s, p50);
  if (t_s >= p90) return 1 - 0.1 * p90 / t_s;
  if (t_s <= p10) return 0.1 * t_s / p10;
  const auto between = [t_s](double from, double to, double low) {
    return to <= from ? low + 0.4 : low + 0.4 * (t_s - from) / (to - from);
  };
  return t_s < p50 ? between(p10, p50, 0.1) : between(p50, p90, 0.5);
}

double Seconds(int64_t ms) { return static_cast<double>(std::max<int64_t>(ms, 0)) / 1000; }

std::array<double, kRungs> FloorsOf(const ServicePolicy& policy) {
  return {0,
          std::min(policy.checkpoint_at, policy.assign_at),
          policy.reserve_at,
          policy.assign_at,
          policy.mirror_at,
          policy.switch_at};
}

}  // namespace

bool Speaks(const ForecastView& forecast) { return forecast.known && forecast.obeyed; }

double Probability(const ForecastView& forecast) {
  return std::isfinite(forecast.probability) ? std::clamp(forecast.probability, 0.0, 1.0) : 0;
}

int64_t HorizonLimit(const std::vector<ForecastView>& forecasts, int64_t lead_ms) {
  int64_t longest_ms = -1;
  int64_t enough_ms = INT64_MAX;
  for (const ForecastView& forecast : forecasts) {
    if (!Speaks(forecast)) continue;
    longest_ms = std::max(longest_ms, forecast.horizon_ms);
    if (forecast.horizon_ms >= lead_ms) enough_ms = std::min(enough_ms, forecast.horizon_ms);
  }
  return std::min(longest_ms, enough_ms);
}

double ChanceLater(const ForecastView& forecast, double after_s) { return 1 - FailedBy(forecast, after_s); }

double ShareDone(const ForecastView& forecast, double work_s) {
  if (work_s <= 0) return 1;
  double sum = 0;  // the mean of min(1, T / work): the integral of P(T > u * work) over u from 0 to 1
  for (int i = 0; i < kSteps; ++i) sum += ChanceLater(forecast, work_s * (i + 0.5) / kSteps);
  return sum / kSteps;
}

Assessment Assess(const ServiceInput& in, const FleetView& fleet, const FleetSettings& settings, int64_t now_ms) {
  Assessment out;
  out.memory = in.memory;
  Memory& memory = out.memory;
  const ServicePolicy& policy = in.policy;
  const auto wake = [&](int64_t at_ms) {
    if (out.next_ms < 0 || at_ms < out.next_ms) out.next_ms = at_ms;
  };
  for (const ForecastView& forecast : in.forecasts) out.known |= forecast.known && forecast.obeyed;
  if (out.known && in.age_ms >= kFreshMs) {
    out.stale = true;
    out.known = false;
  } else if (out.known) {
    wake(now_ms + kFreshMs - in.age_ms);
  }

  // Gains. Of several forecasts the one that promises most counts, so that a higher probability never wants less.
  const auto floors = FloorsOf(policy);
  const int others = std::max(0, fleet.spares - fleet.spares_free - (in.has_spare ? 1 : 0));
  const double scarcity = fleet.spares > 0 ? std::min(1.0, static_cast<double>(others) / fleet.spares) : 0;
  const int64_t lead_ms =
      std::max(policy.horizon_ms, static_cast<int64_t>(policy.lead_factor * static_cast<double>(in.ready.switch_ms)));
  const int64_t limit_ms = out.known ? HorizonLimit(in.forecasts, lead_ms) : -1;
  bool enters[kRungs] = {};
  bool keeps[kRungs] = {};
  for (int r = 1; r < kRungs; ++r) {
    RungGain& gain = out.rungs[r];
    const bool switches = r == static_cast<int>(Rung::kSwitch);
    gain.floor = floors[r];
    gain.benefit = kShares[r].benefit * policy.unplanned_cost;
    gain.cost = kShares[r].cost * policy.planned_cost;
    gain.gain = -gain.cost;
    const double work_s = r <= 2 ? 0 : Seconds(r == 3 ? in.ready.follow_ms : in.ready.mirror_ms);
    int best = -1;
    for (size_t i = 0; i < in.forecasts.size() && out.known; ++i) {
      const ForecastView& forecast = in.forecasts[i];
      if (!Speaks(forecast) || forecast.horizon_ms > limit_ms) continue;
      const double p = Probability(forecast);
      // Below SWITCH what is half done is worth half; a move that comes too late is worth nothing, but a forecast of
      // the last moment is not exact, and a switch that the failure overtakes becomes the takeover it would have been.
      double ready = switches ? ChanceLater(forecast, Seconds(in.ready.switch_ms)) : ShareDone(forecast, work_s);
      if (switches && in.spare_mirrors) ready = std::max(ready, kReadyMin);
      double hold_s = kRejuvenation_s;
      if (!switches) {
        hold_s =
            HasTtf(forecast) ? std::max(forecast.ttf_p50_s, Seconds(in.ready.mirror_ms)) : Seconds(forecast.horizon_ms);
      }
      const double lambda = r < static_cast<int>(Rung::kReserve) ? 0 : settings.spare_cost_per_s * scarcity * hold_s;
      const double net = p * ready * gain.benefit - gain.cost - lambda;
      gain.probability = std::max(gain.probability, p);
      // What was spent on getting ready is spent, so a failure that comes nearer is no reason to let go.
      const double release = gain.floor > 0 ? policy.release_at * std::min(1.0, gain.floor / policy.assign_at) : 0;
      keeps[r] |= p >= release && p * gain.benefit >= kKeepShare * (gain.cost + lambda);
      if (best >= 0 && net < gain.gain) continue;
      best = static_cast<int>(i);
      gain.gain = net;
      gain.ready = ready;
      gain.lambda = lambda;
      if (r != static_cast<int>(Rung::kMirror)) continue;
      out.deciding = best;
      out.feasible = in.spare_mirrors || ChanceLater(forecast, work_s) >= kFeasibleChance;
      out.gain_per_spare_s = (p * ready * gain.benefit - gain.cost) / std::max(1.0, hold_s);
    }
    if (r == static_cast<int>(Rung::kMirror)) out.probability = gain.probability;
    enters[r] = best >= 0 && gain.probability >= gain.floor && gain.gain > 0;
  }

  // The rung, with hysteresis.
  const int before = static_cast<int>(memory.rung);
  int rung = before;
  for (int r = 1; r < static_cast<int>(Rung::kSwitch); ++r) {
    if (enters[r]) rung = std::max(rung, r);
  }
  if (enters[static_cast<int>(Rung::kSwitch)]) {
    if (memory.high_since_ms < 0) memory.high_since_ms = now_ms;
    const int64_t due_ms = memory.high_since_ms + policy.persist_ms;
    if (now_ms >= due_ms) {
      rung = static_cast<int>(Rung::kSwitch);
    } else {
      wake(due_ms);
      rung = std::max(rung, static_cast<int>(Rung::kMirror));
    }
  } else {
    memory.high_since_ms = -1;
    if (rung == static_cast<int>(Rung::kSwitch) && (out.rungs[rung].probability < policy.assign_at || !keeps[rung])) {
      rung = static_cast<int>(Rung::kMirror);  // keep the spare, but do not jump on a word that was taken back
    }
  }
  if (rung > 0 && !keeps[rung]) {
    if (memory.low_since_ms < 0) memory.low_since_ms = now_ms;
    const int64_t due_ms = memory.low_since_ms + policy.dwell_ms;
    if (now_ms >= due_ms) {
      do {
        --rung;
      } while (rung > 0 && !keeps[rung]);
      memory.low_since_ms = -1;
    } else {
      wake(due_ms);
    }
  } else {
    memory.low_since_ms = -1;
  }
  if (rung != before) memory.rung_since_ms = now_ms;
  if (rung >= static_cast<int>(Rung::kReserve) && before < static_cast<int>(Rung::kReserve)) {
    memory.at_risk_since_ms = now_ms;
  }
  memory.rung = static_cast<Rung>(rung);
  AssessRestart(in, now_ms, &out);
  return out;
}

}  // namespace understudy::policy

// What may be done: brakes, windows, cooldown, the reserve, who comes first when spares are short.
#include <algorithm>

#include "predictors/policy/policy.h"

namespace understudy::policy {
namespace {

constexpr int64_t kDayMinutes = 24 * 60;
constexpr double kPreemptFactor = 2;  // a spare changes hands only for twice the gain: its work so far is lost

bool Inside(const Window& window, int64_t unix_ms) {
  if (window.days == 0) return unix_ms >= window.from_unix_ms && unix_ms < window.to_unix_ms;
  const int64_t minutes = unix_ms / 60'000;
  const int64_t day = minutes / kDayMinutes;
  const auto minute = static_cast<int>(minutes % kDayMinutes);
  const auto on = [&](int64_t which) { return (window.days >> ((which + 3) % 7) & 1) != 0; };  // 1970-01-01: a Thursday
  if (window.from_minute < window.to_minute) {
    return on(day) && minute >= window.from_minute && minute < window.to_minute;
  }
  return (on(day) && minute >= window.from_minute) || (day > 0 && on(day - 1) && minute < window.to_minute);
}

}  // namespace

const char* RungName(Rung rung) {
  constexpr const char* kNames[kRungs] = {"NORMAL", "CHECKPOINT", "RESERVE", "FOLLOW", "MIRROR", "SWITCH"};
  return kNames[static_cast<int>(rung)];
}

const char* HoldName(Hold hold) {
  constexpr const char* kNames[] = {"no_forecast", "stale",    "below",   "no_gain",  "persist",
                                    "not_ready",   "no_spare", "reserve", "rank",     "paused",
                                    "brake",       "dry_run",  "window",  "cooldown", "moving",
                                    "restart_off", "not_cured", "at_risk", "load",     "turn",   "spare"};
  return kNames[static_cast<int>(hold)];
}

bool InsideWindows(const std::vector<Window>& windows, int64_t unix_ms) {
  bool any_allow = false;
  bool allowed = false;
  for (const Window& window : windows) {
    const bool inside = Inside(window, unix_ms);
    if (!window.allow && inside) return false;
    any_allow |= window.allow;
    allowed |= window.allow && inside;
  }
  return allowed || !any_allow;
}

bool Braked(const FleetView& fleet, const FleetSettings& settings) {
  return fleet.services >= settings.brake_services_min && fleet.at_risk >= 2 &&
         static_cast<int64_t>(fleet.at_risk) * 100 > static_cast<int64_t>(settings.brake_percent) * fleet.services;
}

int SparesReserved(const FleetView& fleet, const FleetSettings& settings) {
  return std::max(settings.reserve_spares,
                  static_cast<int>(static_cast<int64_t>(fleet.spares) * settings.reserve_percent / 100));
}

Permit Allow(const ServiceInput& in, const Assessment& assessed, const FleetView& fleet, const FleetSettings& settings,
             int64_t now_ms, int64_t unix_ms) {
  Permit out;
  const Rung wanted = assessed.memory.rung;
  if (in.move_under_way) {
    out.holds.push_back(Hold::kMoving);
    return out;
  }
  const bool dry_run = settings.dry_run || in.policy.dry_run;
  const bool braked = Braked(fleet, settings);
  const bool held = settings.paused || braked;
  if (wanted >= Rung::kReserve) {
    if (dry_run) out.holds.push_back(Hold::kDryRun);
    if (settings.paused) out.holds.push_back(Hold::kPaused);
    if (braked) out.holds.push_back(Hold::kBrake);
  }
  if (wanted == Rung::kSwitch) {
    const bool inside = InsideWindows(in.policy.windows, unix_ms) && InsideWindows(settings.windows, unix_ms);
    const bool cooling = now_ms < in.cooldown_until_ms;
    if (cooling) out.holds.push_back(Hold::kCooldown);
    if (!inside) out.holds.push_back(Hold::kWindow);
    if (in.has_spare && !in.spare_mirrors) out.holds.push_back(Hold::kNotReady);
    out.switch_over = in.spare_mirrors && !held && !cooling && inside && !dry_run;
  }
  if (wanted >= Rung::kReserve && !in.has_spare && fleet.spares_free == 0) out.holds.push_back(Hold::kNoSpare);
  if (dry_run && wanted == Rung::kCheckpoint) out.holds.push_back(Hold::kDryRun);
  if (!dry_run) {
    out.checkpoint = wanted >= Rung::kCheckpoint;
    out.assign = wanted >= Rung::kReserve && !held && !in.has_spare;
    out.drive = wanted >= Rung::kReserve;
    out.rung = wanted;
  }
  if (wanted == Rung::kSwitch) return out;
  // Why not more?
  const RungGain& next = assessed.rungs[static_cast<size_t>(wanted) + 1];
  if (assessed.stale) {
    out.holds.push_back(Hold::kStale);
  } else if (!assessed.known) {
    out.holds.push_back(Hold::kNoForecast);
  } else if (assessed.memory.high_since_ms >= 0) {
    out.holds.push_back(Hold::kPersist);
  } else if (next.probability < next.floor) {
    out.holds.push_back(Hold::kBelow);
  } else {
    out.holds.push_back(Hold::kNoGain);
  }
  return out;
}

bool RanksBefore(const Assessment& a, const std::string& a_name, const Assessment& b, const std::string& b_name) {
  if (a.feasible != b.feasible) return a.feasible;
  if (a.gain_per_spare_s != b.gain_per_spare_s) return a.gain_per_spare_s > b.gain_per_spare_s;
  return a_name < b_name;
}

bool MayPreempt(const Assessment& taker, const Assessment& victim, bool victim_mirrors) {
  if (victim_mirrors || !taker.feasible) return false;
  if (victim.memory.rung < Rung::kReserve) return true;
  return taker.gain_per_spare_s > kPreemptFactor * std::max(0.0, victim.gain_per_spare_s);
}

FleetDecision Decide(const FleetInput& in) {
  FleetDecision out;
  const auto count = in.services.size();
  out.services.resize(count);
  FleetView fleet{static_cast<int>(count) + in.calm_services, 0, in.spares, in.spares_free};
  for (size_t i = 0; i < count; ++i) {
    out.services[i].assessment = Assess(in.services[i], fleet, in.settings, in.now_ms);
    if (out.services[i].assessment.memory.rung >= Rung::kReserve) ++fleet.at_risk;
  }
  out.braked = Braked(fleet, in.settings);
  out.reserved = SparesReserved(fleet, in.settings);
  std::vector<int> holders;
  for (size_t i = 0; i < count; ++i) {
    ServiceDecision& one = out.services[i];
    one.permit = Allow(in.services[i], one.assessment, fleet, in.settings, in.now_ms, in.unix_ms);
    if (one.permit.assign) out.ranking.push_back(static_cast<int>(i));
    if (in.services[i].has_spare && !in.services[i].spare_fixed) holders.push_back(static_cast<int>(i));
  }
  const auto before = [&](int a, int b) {
    return RanksBefore(out.services[a].assessment, in.services[a].name, out.services[b].assessment,
                       in.services[b].name);
  };
  std::sort(out.ranking.begin(), out.ranking.end(), before);
  std::sort(holders.begin(), holders.end(), before);
  int left = std::max(0, in.spares_free - out.reserved);
  for (const int i : out.ranking) {
    ServiceDecision& one = out.services[i];
    if (left > 0) {
      --left;
      one.take_spare = true;
      continue;
    }
    if (!holders.empty() && MayPreempt(one.assessment, out.services[holders.back()].assessment, false)) {
      one.preempts = holders.back();
      holders.pop_back();
      continue;
    }
    if (in.spares_free > 0) {
      const bool enough = in.spares_free > out.reserved;
      one.permit.holds.insert(one.permit.holds.begin(), enough ? Hold::kRank : Hold::kReserve);
    }
  }
  return out;
}

}  // namespace understudy::policy

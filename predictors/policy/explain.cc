#include <algorithm>
#include <cstdio>

#include "predictors/policy/policy.h"

namespace understudy::policy {
namespace {

std::string Number(double value, int digits = 2) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string Duration(int64_t ms) {
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 120'000) return Number(static_cast<double>(ms) / 1000, ms % 1000 == 0 ? 0 : 1) + " s";
  return Number(static_cast<double>(ms) / 60'000, ms % 60'000 == 0 ? 0 : 1) + " min";
}

std::string Does(Rung rung) {
  switch (rung) {
    case Rung::kNormal:
      return "nothing";
    case Rung::kCheckpoint:
      return "more frequent checkpoints";
    case Rung::kReserve:
      return "a reserved spare";
    case Rung::kFollow:
      return "a spare that loads and replays";
    case Rung::kMirror:
      return "a spare that mirrors";
    case Rung::kSwitch:
      return "a switch to the spare";
  }
  return "";
}

std::string Sum(const RungGain& gain) {
  return Number(gain.probability) + " x " + Number(gain.ready) + " x " + Number(gain.benefit, 1) + " - " +
         Number(gain.cost, 2) + " - " + Number(gain.lambda, 3) + " = " + Number(gain.gain, 2);
}

std::string Because(Hold hold, const ServiceInput& in, const Assessment& assessed, const FleetView& fleet,
                    const FleetSettings& settings, int64_t now_ms) {
  const Memory& memory = assessed.memory;
  const auto next_index = std::min<size_t>(static_cast<size_t>(memory.rung) + 1, kRungs - 1);
  const RungGain& next = assessed.rungs[next_index];
  const std::string wish = Does(static_cast<Rung>(next_index));
  switch (hold) {
    case Hold::kNoForecast:
      if (std::any_of(in.forecasts.begin(), in.forecasts.end(),
                      [](const ForecastView& one) { return one.known && one.shadow; })) {
        return "Only predictors in shadow say something of it: that is recorded, not obeyed.";
      }
      return in.forecasts.empty() ? "No predictor has said anything of it: no forecast is no reason to act."
                                  : "No predictor can say (warming up or abstaining): that is no reason to act.";
    case Hold::kStale:
      return "The last forecast is " + Duration(in.age_ms) + " old, and after " + Duration(kFreshMs) +
             " it says nothing any more.";
    case Hold::kBelow:
      return "The probability of failure, " + Number(next.probability) + ", is below " + Number(next.floor) +
             ", from which on " + wish + " is wanted.";
    case Hold::kNoGain:
      return "Not " + wish + ": it would cost more than it can bring (p x s x benefit - cost - lambda: " + Sum(next) +
             ").";
    case Hold::kPersist:
      return "A switch is wanted when this has held for " + Duration(in.policy.persist_ms) + "; so far " +
             Duration(now_ms - memory.high_since_ms) + ".";
    case Hold::kNotReady:
      return "The switch waits for the spare, which does not mirror yet: about " + Duration(in.ready.mirror_ms) +
             (in.ready.measured ? " by its last loads and replays." : " (assumed; nothing was measured yet).");
    case Hold::kNoSpare:
      return "No spare is free; it is checkpointed more often meanwhile.";
    case Hold::kReserve:
      return "Spares that are free (" + std::to_string(fleet.spares_free) + " of " + std::to_string(fleet.spares) +
             ") are kept for unplanned failures: the reserve is " + std::to_string(SparesReserved(fleet, settings)) +
             ".";
    case Hold::kRank:
      return "The spares have gone to services that gain more by them (this one: " +
             Number(assessed.gain_per_spare_s, 3) + " per spare-second).";
    case Hold::kPaused:
      return "Predicted actions are paused by an operator.";
    case Hold::kBrake:
      return "The brake is on: " + std::to_string(fleet.at_risk) + " of " + std::to_string(fleet.services) +
             " services look at risk at once, more than " + std::to_string(settings.brake_percent) +
             " %, which is more likely a bad predictor or a common cause.";
    case Hold::kDryRun:
      return "Dry run: decisions are recorded, nothing is done.";
    case Hold::kWindow:
      return "Predicted moves may not begin now: a maintenance window forbids it, or none that allows it is open.";
    case Hold::kCooldown:
      return "It was moved a moment ago: the next predicted move may begin in " +
             Duration(in.cooldown_until_ms - now_ms) + ". A real failure is taken over at once.";
    case Hold::kMoving:
      return "A move is under way.";
    case Hold::kRestartOff:
      return "Nor is it restarted from a fresh checkpoint: \"restart\" is not set in its policy.";
    case Hold::kNotCured:
      return "Nor is it restarted from a fresh checkpoint: nobody says that a restart cures what is forecast.";
    case Hold::kAtRisk:  // of a rejuvenation: ExplainRejuvenation
    case Hold::kLoad:
    case Hold::kTurn:
      break;
    case Hold::kSpare:
      return "It is not restarted: a spare is free, or will be in a moment.";
  }
  return "";
}

}  // namespace

std::vector<std::string> Explain(const ServiceInput& in, const Assessment& assessed, const Permit& permit,
                                 const FleetView& fleet, const FleetSettings& settings, int64_t now_ms) {
  std::vector<std::string> out;
  const Memory& memory = assessed.memory;
  if (memory.rung == Rung::kNormal) {
    out.push_back("It is not at risk: nothing is prepared for a forecast.");
  } else {
    const RungGain& gain = assessed.rungs[static_cast<size_t>(memory.rung)];
    out.push_back("Wanted for " + Duration(now_ms - memory.rung_since_ms) + ": " + Does(memory.rung) +
                  " (p x s x benefit - cost - lambda: " + Sum(gain) + ").");
  }
  if (assessed.deciding >= 0) {
    const ForecastView& forecast = in.forecasts[static_cast<size_t>(assessed.deciding)];
    out.push_back(forecast.predictor + " decides: failure within " + Duration(forecast.horizon_ms) +
                  " with probability " + Number(forecast.probability) +
                  (forecast.reason.empty() ? "." : ": " + forecast.reason + "."));
  }
  for (const Hold hold : permit.holds) out.push_back(Because(hold, in, assessed, fleet, settings, now_ms));
  if (permit.switch_over) out.push_back("Nothing holds the switch: it begins.");
  if (memory.low_since_ms >= 0) {
    out.push_back("The risk recedes: what is prepared is let go in " +
                  Duration(std::max<int64_t>(0, memory.low_since_ms + in.policy.dwell_ms - now_ms)) +
                  " if it stays so.");
  }
  return out;
}

std::vector<std::string> ExplainRestart(const ServiceInput& in, const Assessment& assessed, const RestartPermit& permit,
                                        const FleetView& fleet, const FleetSettings& settings, int64_t now_ms) {
  std::vector<std::string> out;
  if (in.has_spare) return out;
  if (permit.restart) {
    out.push_back("No spare is to be had: a checkpoint, then a restart from it (p x s x benefit - cost - lambda: " +
                  Sum(assessed.restart.gain) + ").");
  }
  for (const Hold hold : permit.holds) {
    const int64_t cooldown_ms = std::max(in.cooldown_until_ms, in.restart_cooldown_until_ms) - now_ms;
    switch (hold) {
      case Hold::kNoGain:
        out.push_back("Nor is it restarted from a fresh checkpoint: that would cost more than it can bring (" +
                      Sum(assessed.restart.gain) + ").");
        break;
      case Hold::kCooldown:
        out.push_back("It was moved or restarted lately: the next restart may begin in " + Duration(cooldown_ms) + ".");
        break;
      case Hold::kPersist:
        out.push_back("A restart from a fresh checkpoint is wanted when this has held for " +
                      Duration(in.policy.persist_ms) + ".");
        break;
      case Hold::kRestartOff:
      case Hold::kNotCured:
      case Hold::kSpare:
        out.push_back(Because(hold, in, assessed, fleet, settings, now_ms));
        break;
      default:
        out.push_back(std::string("A restart is held as well (") + HoldName(hold) + ").");
    }
  }
  return out;
}

}  // namespace understudy::policy

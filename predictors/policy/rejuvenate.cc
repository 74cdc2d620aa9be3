// Scheduled rejuvenation: when a process has served long enough, and whether it may be exchanged now.
#include <algorithm>
#include <cstdio>

#include "predictors/policy/policy.h"
#include "predictors/policy/policy_json.h"

namespace understudy::policy {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int kMinutesMax = 366 * 24 * 60;  // a window that does not open within a year is not looked for

bool Open(const RejuvenationInput& in, const FleetSettings& settings, int64_t unix_ms) {
  return InsideWindows(in.rejuvenation.windows, unix_ms) && InsideWindows(in.windows, unix_ms) &&
         InsideWindows(settings.windows, unix_ms);
}

std::string Span(int64_t ms) {
  const double hours = static_cast<double>(std::max<int64_t>(0, ms)) / 3'600'000;
  char text[40];
  if (hours < 0.1) {
    std::snprintf(text, sizeof text, "%lld s", static_cast<long long>(std::max<int64_t>(0, ms) / 1000));
  } else if (hours < 48) {
    std::snprintf(text, sizeof text, "%.1f h", hours);
  } else {
    std::snprintf(text, sizeof text, "%.1f days", hours / 24);
  }
  return text;
}

std::string Because(Hold hold, const RejuvenationInput& in) {
  switch (hold) {
    case Hold::kMoving:
      return "a move is under way";
    case Hold::kAtRisk:
      return "a failure is likely, and forecasts decide then";
    case Hold::kDryRun:
      return "dry run";
    case Hold::kPaused:
      return "predicted actions are paused by an operator";
    case Hold::kBrake:
      return "the brake is on";
    case Hold::kWindow:
      return "no window is open";
    case Hold::kLoad: {
      char text[120];
      std::snprintf(text, sizeof text, "it appends %.1f records a second, and may append %.1f", in.append_per_s,
                    in.rejuvenation.appends_per_s_max);
      return in.append_known ? text : "its load is not known yet";
    }
    case Hold::kCooldown:
      return "the last attempt was given up a moment ago";
    case Hold::kTurn:
      return "it is another service's turn";
    case Hold::kNoSpare:
      return "no spare is free";
    case Hold::kReserve:
      return "the free spares are kept for unplanned failures";
    default:
      return HoldName(hold);
  }
}

}  // namespace

RejuvenationPermit AllowRejuvenation(const RejuvenationInput& in, const FleetView& fleet, const FleetSettings& settings,
                                     int64_t unix_ms) {
  RejuvenationPermit out;
  if (in.rejuvenation.every_s <= 0 || in.fresh_unix_ms <= 0) return out;
  out.due_unix_ms = std::min(in.fresh_unix_ms, unix_ms) + in.rejuvenation.every_s * 1000;
  out.due = unix_ms >= out.due_unix_ms;
  if (!out.due) return out;
  if (in.move_under_way) out.holds.push_back(Hold::kMoving);
  if (settings.dry_run || in.dry_run) out.holds.push_back(Hold::kDryRun);
  if (settings.paused) out.holds.push_back(Hold::kPaused);
  if (Braked(fleet, settings)) out.holds.push_back(Hold::kBrake);
  if (in.at_risk) out.holds.push_back(Hold::kAtRisk);
  if (!Open(in, settings, unix_ms)) out.holds.push_back(Hold::kWindow);
  const double most = in.rejuvenation.appends_per_s_max;
  if (most > 0 && (!in.append_known || in.append_per_s > most)) out.holds.push_back(Hold::kLoad);
  if (in.cooling) out.holds.push_back(Hold::kCooldown);
  if (!in.prepares && in.others >= std::max(1, fleet.services / 100)) out.holds.push_back(Hold::kTurn);
  out.prepare = out.holds.empty();
  if (out.prepare && !in.has_spare) {
    if (fleet.spares_free == 0 || !in.spare_fits) {
      out.holds.push_back(Hold::kNoSpare);
    } else if (fleet.spares_free <= SparesReserved(fleet, settings)) {
      out.holds.push_back(Hold::kReserve);
    }
    out.prepare = out.holds.empty();
  }
  out.switch_over = out.prepare && in.spare_mirrors;
  return out;
}

int64_t NextRejuvenation(const RejuvenationInput& in, const RejuvenationPermit& permit, const FleetSettings& settings,
                         int64_t unix_ms) {
  if (permit.due_unix_ms <= 0) return -1;
  int64_t at = std::max(permit.due_unix_ms, unix_ms);
  if (Open(in, settings, at)) return at;
  at -= at % kMinuteMs;
  for (int i = 1; i <= kMinutesMax; ++i) {
    if (Open(in, settings, at + i * kMinuteMs)) return at + i * kMinuteMs;
  }
  return -1;
}

std::vector<std::string> ExplainRejuvenation(const RejuvenationInput& in, const RejuvenationPermit& permit,
                                             const FleetSettings& settings, int64_t unix_ms) {
  if (in.rejuvenation.every_s <= 0 || permit.due_unix_ms <= 0) return {};
  std::string text = "Rejuvenation, every " + Span(in.rejuvenation.every_s * 1000) + ": its process has served for " +
                     Span(unix_ms - in.fresh_unix_ms) + "; ";
  if (!permit.due || (permit.holds.size() == 1 && permit.holds[0] == Hold::kWindow)) {
    const int64_t next = NextRejuvenation(in, permit, settings, unix_ms);
    text += next < 0 ? "no window will be open within a year."
                     : "the next is due in " + Span(next - unix_ms) + ", at " + UtcText(next) + ".";
    return {text};
  }
  text += "due since " + UtcText(permit.due_unix_ms) + ", ";
  if (permit.switch_over) return {text + "and begins."};
  if (permit.prepare) return {text + "its spare is being prepared."};
  for (size_t i = 0; i < permit.holds.size(); ++i) {
    text += (i == 0 ? "held: " : ", and ") + Because(permit.holds[i], in);
  }
  return {text + "."};
}

}  // namespace understudy::policy

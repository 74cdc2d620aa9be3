#include <algorithm>

#include "predictors/policy/policy.h"

namespace understudy::policy {
namespace {

// Until a service has shown its own: a process starts, loads and prepares within seconds.
constexpr double kStartMs = 2000;
constexpr double kLoadMs = 1000;
constexpr double kReplayPerS = 100'000;
constexpr double kSwitchMs = 200;
constexpr double kMirrorMs = 50;  // a report up, a command down, the stream opened
constexpr double kMax = 1e12;

}  // namespace

Readiness EstimateReadiness(const SpareWork& work) {
  const auto or_else = [](double value, double otherwise) { return value >= 0 ? value : otherwise; };
  const double start_ms = or_else(work.start_ms, kStartMs);
  const double load_ms = or_else(work.load_ms, kLoadMs);
  const double replay = work.replay_per_s > 0 ? work.replay_per_s : kReplayPerS;
  // While it replays the primary writes on. A replay that is hardly faster hardly ever catches up.
  const double gains = std::max(replay - std::max(0.0, work.append_per_s), replay / 10);
  double ms = 0;
  Readiness out;
  if (work.state <= SpareState::kCold) ms += start_ms;
  if (work.state <= SpareState::kLoading) ms += load_ms;
  out.follow_ms = static_cast<int64_t>(std::min(ms, kMax));
  if (work.state <= SpareState::kReplaying) {
    const double behind = work.behind + (work.state <= SpareState::kLoading ? ms * work.append_per_s / 1000 : 0);
    ms += std::max(0.0, behind) / gains * 1000 + kMirrorMs;
  }
  out.mirror_ms = static_cast<int64_t>(std::min(ms, kMax));
  out.switch_ms = static_cast<int64_t>(std::min(ms + or_else(work.switch_ms, kSwitchMs), kMax));
  out.measured = work.load_ms >= 0 || work.replay_per_s > 0;
  return out;
}

}  // namespace understudy::policy

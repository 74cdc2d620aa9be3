#include "tests/sim/fleet_coverage.h"

#include <iterator>

namespace understudy::sim {
namespace {

// What must be reached for a hunt to mean anything. Not among it: what only damaged metadata bring about (plan_corrupt
// and its like), what the options of the simulated coordinators rule out (service_failed, app_start_given_up).
constexpr const char* kWanted[] = {
    "event app_exited",
    "event app_start_failed",
    "event app_stopped",
    "event brake_off",
    "event brake_on",
    "event checkpoint_rate",
    "event disk_active",
    "event disk_draining",
    "event held",
    "event move_done",
    "event no_spare",
    "event node_missing",
    "event node_returned",
    "event paused",
    "event primary_changed",
    "event primary_suspect",
    "event restart_aborted",
    "event restart_checkpointed",
    "event restart_started",
    "event resumed",
    "event risk_raised",
    "event risk_receded",
    "event service_applied",
    "event service_placed",
    "event service_removed",
    "event settings_changed",
    "event spare_assigned",
    "event spare_lost",
    "event spare_preempted",
    "event spare_released",
    "event switch_aborted",
    "event switch_started",
    "event takeover_started",
    "event target_chosen",
    "event target_failed",
    "command START_APP",
    "command STOP_APP",
    "command FOLLOW",
    "command MIRROR_TO",
    "command PREPARE",
    "command HANDOVER",
    "command TAKE_OVER",
    "command RELEASE",
    "command CHECKPOINT",
    "command CHECKPOINT_EVERY",
    "command MOVE_DISKS",
    "answer apply OK",
    "answer remove OK",
    "answer switchover OK",
    "answer pause OK",
    "answer logs OK",
    "answer policy OK",
    "switch begun by a forecast",
    "switch begun by an operator",
    "switch given up in prepare",
    "switch given up in handover",
    "switch becomes a takeover in prepare",
    "switch becomes a takeover in handover",
    "switch becomes a takeover in adopt",
    "leader lost in first/start",
    "leader lost in first/take_over",
    "leader lost in planned/prepare",
    "leader lost in planned/handover",
    "leader lost in planned/adopt",
    "leader lost in unplanned/start",
    "leader lost in unplanned/take_over",
    "leader lost with a spare assigned",
    "leader lost with a restart to do",
    "leader lost in an apply",
    "leader lost in a removal",
    "leader finds first/start",
    "leader finds first/take_over",
    "leader finds planned/prepare",
    "leader finds unplanned/start",
    "leader finds unplanned/take_over",
    "fault common-cause",
    "fault settings",
    "fault wipe",
    "fault drain",
    "fault disk-crash",
    "fault power-off",
    "fault isolate",
    "fault outage",
};

}  // namespace

void FleetCoverage::Add(const FleetCoverage& other) {
  for (const auto& [what, times] : other.counts_) counts_[what] += times;
}

uint64_t FleetCoverage::count(const std::string& what) const {
  const auto found = counts_.find(what);
  return found == counts_.end() ? 0 : found->second;
}

std::vector<std::string> FleetCoverage::missing() const {
  std::vector<std::string> names;
  for (const char* name : kWanted) {
    if (count(name) == 0) names.emplace_back(name);
  }
  return names;
}

size_t FleetCoverage::wanted() { return std::size(kWanted); }

}  // namespace understudy::sim

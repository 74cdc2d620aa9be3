// Days of a fleet's life in seconds, to compare policies by what they cost and spare. The policy of understudy is the
// code that the coordinator runs. Deterministic by seed. docs/coordinator.md, "Simulating a fleet".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "predictors/policy/fleet_faults.h"
#include "predictors/policy/types.h"
#include "understudy/status.h"

namespace understudy::policy {

struct FleetOptions {
  int primaries = 10'000;
  int spares = 200;
  double days = 7;
  uint64_t seed = 1;
  FaultModel faults;
  ServicePolicy policy;
  FleetSettings settings;
  int64_t step_ms = 5000;  // between two looks at the forecasts
};

enum class FleetPolicy : int { kNone = 0, kThreshold90, kUnderstudy };
const char* FleetPolicyName(FleetPolicy policy);  // "no prediction", "threshold at 90 %", "understudy"

struct FleetOutcome {
  FleetPolicy policy = FleetPolicy::kNone;
  int64_t faults = 0;          // that would have failed: gradual and sudden
  int64_t failures = 0;        // that did
  int64_t failures_ready = 0;  // of these, with a spare that mirrored already
  int64_t missed = 0;          // gradual ones that failed though they could be seen in time
  int64_t moves = 0;           // planned
  int64_t false_moves = 0;     // of these, from a primary that would not have failed
  int64_t without_spare = 0;   // failures that found no free spare
  int64_t braked_s = 0;
  double downtime_s = 0;      // summed over primaries
  double downtime_max_s = 0;  // the longest single one
  double spare_hours = 0;     // spares assigned by forecasts
  double cost = 0;            // unplanned_cost a failure that was not ready, planned_cost a move, and the downtime
};

// `progress`, if given, is called now and then with 0 to 1.
FleetOutcome SimulateFleet(const FleetOptions& options, FleetPolicy policy,
                           const std::function<void(double)>& progress = nullptr);

// {"policy": {as in a service file}, "settings": {as of the cluster}, "faults": {fields of FaultModel}}, all optional.
// kInvalidArgument names the field.
Status ReadFleetFile(const std::string& json, FleetOptions* options);

}  // namespace understudy::policy

// The whole fleet under one seed: disks, nodes with agents and processes, two coordinators, the metadata. The real
// cores of the coordinators (election, decisions) and of the log run; faults come by a plan that is made from the seed.
// In the end the faults stop, and every service must be served again.
//
// A third of the plans are *quiet*: nothing fails but the metadata, the coordinators and their network. Then no service
// may change its owner. In half of the others operators apply, change and remove services and drain disks, and disks
// are lost for good.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/sim/coverage.h"
#include "tests/sim/fleet_coverage.h"
#include "tests/sim/run.h"
#include "understudy/status.h"

namespace understudy::coordinator {
class Core;
struct Effects;
struct Input;
}  // namespace understudy::coordinator

namespace understudy::sim {

enum class FleetAction : uint8_t {
  // of the metadata, the coordinators, and the way to them
  kOutage,
  kCoordinatorCrash,
  kCoordinatorFreeze,
  kCoordinatorJump,
  kCoordinatorCut,  // from a node, or from the metadata
  // of nodes
  kKillProcess,
  kFreezeProcess,
  kKillAgent,
  kFreezeAgent,
  kPowerOff,
  kIsolate,
  kJump,
  // of disks, and of compare-and-swaps on chains
  kDiskCrash,
  kDiskHang,
  kDiskSlow,
  kCasReplyLost,
  kCasLate,
  // what people and predictors do
  kForecast,
  kCommonCause,  // a forecast of every service at once
  kSwitchover,
  kPause,
  // the rest of what operators do, and losses of disks: plans with `operators` only
  kApply,  // a service, new or known, with other settings
  kRemove,
  kDrain,
  kUndrain,
  kRebalance,
  kSettings,  // of the cluster: brake, reserve, dry run, windows
  kWipe,
  kCount,
};
inline constexpr FleetAction kFirstOfOperators = FleetAction::kApply;

struct FleetEvent {
  int64_t at_us = 0;
  FleetAction action = FleetAction::kOutage;
  int64_t which = 0;  // node, coordinator, disk, service: modulo how many there are
  int64_t for_us = 0;
  int64_t value = 0;
};

struct FleetPlan {
  uint64_t seed = 0;
  bool quiet = false;
  int services = 2;
  int nodes = 4;
  int disks = 3;
  int coordinators = 2;
  int64_t run_us = 3'000'000;
  bool standby = false;    // a spare mirrors every service
  bool operators = false;  // services come, change and go, disks are drained and lost
  bool labels = false;     // nodes stand in two racks, and some services want one of them
  bool restarts = false;   // forecasts say that a restart cures, and services allow one
  NetworkRates network;
  std::vector<FleetEvent> events;  // by time
};

FleetPlan MakeFleetPlan(uint64_t seed);
std::string ToText(const FleetPlan& plan);
// kInvalidArgument, naming the line.
Result<FleetPlan> FleetPlanFromText(const std::string& text);

struct FleetResult {
  RunResult run;
  FleetCoverage reached;
  uint64_t barriers = 0;
};
// Coordinators with a bug, which a rule must catch: what their cores hear is changed, or what they decide.
struct FleetMutant {
  std::function<void(coordinator::Input*)> hears;
  std::function<void(const coordinator::Core&, coordinator::Effects*)> decides;
};
FleetResult RunFleet(const FleetPlan& plan, Coverage* coverage, std::function<void(const std::string&)> trace = nullptr,
                     const FleetMutant& mutant = {});

// The same plan with as few events as still break the same rule.
FleetPlan ShrinkFleet(const FleetPlan& plan, Rule rule);

}  // namespace understudy::sim

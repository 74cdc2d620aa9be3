// The fleet of one run, and what the events of a plan do to it.
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/fleet.h"
#include "tests/sim/fleet_coordinator.h"
#include "tests/sim/fleet_metadata.h"
#include "tests/sim/fleet_node.h"
#include "tests/sim/fleet_watch.h"

namespace understudy::sim {

const char* Name(FleetAction action);
std::vector<FleetNode::Service> ServicesOf(const FleetPlan& plan);  // those that are there from the beginning
coordinator::ServiceSpec SpecOf(const FleetNode::Service& service, bool standby, bool restart);

class FleetStage : public Holdings {
 public:
  FleetStage(const FleetPlan& plan, Coverage* coverage, const FleetMutant& mutant);

  World& world() { return world_; }
  Oracle& oracle() { return oracle_; }
  const FleetCoverage& reached() const { return reached_; }
  uint64_t barriers() const { return barriers_; }
  void Play();

  const std::vector<Stored>* Find(const DiskId& id, LogId log, Epoch epoch) const override {
    const Disk& disk = *disks_[static_cast<size_t>(Disk::NumberOf(id)) - 1];
    return disk.trusted(id) ? disk.Find(log, epoch) : nullptr;
  }
  bool HoldsCheckpoint(const DiskId& id, LogId log, uint64_t checkpoint) const override {
    const Disk& disk = *disks_[static_cast<size_t>(Disk::NumberOf(id)) - 1];
    return disk.trusted(id) && disk.HoldsCheckpoint(log, checkpoint);
  }

 private:
  // fleet_faults.cc
  void Do(const FleetEvent& event);
  void DoToCoordinator(const FleetEvent& event);
  void DoToNode(const FleetEvent& event);
  void DoToDisk(const FleetEvent& event);
  void DoAsOperator(const FleetEvent& event);
  void Ask(coordinator::OperatorRequest request);
  bool MayLose(const Disk& disk) const;
  void AtEndOf(int64_t for_us, Task task) { world_.At(std::min(world_.now() + for_us * 1000, end_), std::move(task)); }
  void CutBoth(const std::vector<NodeId>& some, const std::vector<NodeId>& others, int64_t for_us);
  FleetNode& node(int64_t which) { return *nodes_[static_cast<size_t>(which) % nodes_.size()]; }
  FleetCoordinator& coordinator(int64_t which) {
    return *coordinators_[static_cast<size_t>(which) % coordinators_.size()];
  }
  LogId log(int64_t which) const { return services_[static_cast<size_t>(which) % services_.size()].log; }
  // fleet.cc
  std::string Unserved();  // which service and why; empty: all are served
  std::string UnservedService(const FleetNode::Service& service, const FleetCoordinator& leader);
  bool HasRoom(const coordinator::ServiceSpec& spec) const;
  std::string StillRuns();  // a service that was removed
  bool RunUntilServed(int64_t limit_ms, std::string* why);
  std::vector<Owner> Owners() const;

  const FleetPlan& plan_;
  Coverage* coverage_;
  World world_;
  Oracle oracle_;
  Metadata chains_;
  std::vector<FleetNode::Service> services_;
  FleetMetadata metadata_;
  std::vector<std::unique_ptr<Disk>> disks_;
  std::vector<std::unique_ptr<FleetNode>> nodes_;
  std::vector<std::unique_ptr<FleetCoordinator>> coordinators_;
  Instant end_;
  FleetCoverage reached_;
  FleetWatch watch_;
  uint64_t barriers_ = 0;
  uint64_t tokens_ = 0;
  std::vector<Instant> losses_;  // of disks
  std::set<std::string> asked_;  // services that operators ever asked for
};

}  // namespace understudy::sim

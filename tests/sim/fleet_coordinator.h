// One coordinator of the fleet: the real Election and, while it leads, the real Core, with what server/coordinator does
// around them: loading and watching the metadata, carrying commands, asking replicas for the age of a writer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/coordinator/core/core.h"
#include "server/coordinator/core/election.h"
#include "tests/sim/disk.h"
#include "tests/sim/fleet.h"
#include "tests/sim/fleet_metadata.h"
#include "tests/sim/fleet_watch.h"
#include "tests/sim/world.h"

namespace understudy::sim {

class FleetCoordinator {
 public:
  struct Fleet {
    World* world = nullptr;
    FleetMetadata* metadata = nullptr;
    coordinator::CoreOptions options;
    int64_t lease_ms = 300;
    FleetWatch* watch = nullptr;
    FleetMutant mutant;
    std::function<Disk*(const DiskId&)> disk;
    std::function<void(NodeId from, const coordinator::SendCommand&)> command;  // over the network
  };

  FleetCoordinator(const Fleet& fleet, std::string name);

  NodeId node() const { return node_; }
  bool up() const { return up_; }
  bool leads() const { return core_ != nullptr && election_->Leads(Now()); }
  const coordinator::Core* core() const { return core_.get(); }

  void Reported(const AgentReport& report);
  void Forecast(const std::string& service, std::vector<understudy::Forecast> forecasts);
  void Request(coordinator::OperatorRequest request);

  // ---- faults ----
  void Crash();
  void Start();

 private:
  using Kind = coordinator::MetadataKind;
  Instant Now() const { return fleet_.world->Local(node_); }
  void Step(decltype(coordinator::Input::what) what);
  void Perform(coordinator::Effects& effects);
  using ElectionCall = std::function<void(coordinator::Election*, coordinator::ElectionEffects*)>;
  void Elect(const ElectionCall& call);
  void BeginToLead();
  void EndToLead();
  void Load();
  void Watch();
  void AskAge(const std::string& service);
  template <class F>
  void Later(int64_t ns, F f) {
    fleet_.world->AfterOn(node_, ns, [this, life = life_, f = std::move(f)]() mutable {
      if (up_ && life == life_) f();
    });
  }

  const Fleet fleet_;
  const std::string name_;
  NodeId node_;
  bool up_ = false;
  uint64_t life_ = 0;
  uint64_t incarnation_ = 0;
  std::unique_ptr<coordinator::Election> election_;
  Timer election_timer_;
  std::unique_ptr<coordinator::Core> core_;
  uint64_t reign_ = 0;  // tells what was asked by an earlier core
  bool loaded_ = false;
  size_t watched_ = 0;
  Timer core_timer_;
};

}  // namespace understudy::sim

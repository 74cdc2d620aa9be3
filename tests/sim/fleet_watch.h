// Looks over the coordinators' shoulders: what a leader decides must fit the one move that it has under way for a
// service, must not end a primary that it knows to be well, and must keep to what operators were promised. Counts it
// all as well.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "predictors/policy/types.h"
#include "server/coordinator/core/core.h"
#include "tests/sim/fleet_coverage.h"
#include "tests/sim/metadata.h"
#include "tests/sim/oracle.h"

namespace understudy::sim {

class FleetWatch {
 public:
  using Reign = std::pair<std::string, uint64_t>;  // a coordinator, and which time it leads

  FleetWatch(Oracle* oracle, const Metadata* chains, FleetCoverage* reached)
      : oracle_(oracle), chains_(chains), reached_(reached) {}

  void Found(const coordinator::Core& core);  // it has read the metadata
  void Asked(const Reign& reign, const coordinator::OperatorRequest& request);
  void Decided(const Reign& reign, const coordinator::Core& core, const coordinator::Effects& effects);
  void Lost(const Reign& reign, const coordinator::Core& core);  // it leads no more
  // A request that a leader took and has not answered; empty: none.
  std::string Unanswered() const;

 private:
  struct Request {
    Reign reign;
    coordinator::RequestKind kind = coordinator::RequestKind::kApply;
    std::string service;
    bool pauses = false;
    uint64_t resumes_before = 0;
    std::optional<policy::FleetSettings> settings;
    uint64_t settings_before = 0;
  };
  void OnEvent(const Reign& reign, const coordinator::Core& core, const coordinator::Event& event);
  void OnPredictedSwitch(const Reign& reign, const coordinator::Core& core, const std::string& service);
  void OnCommand(const Reign& reign, const coordinator::Core& core, const coordinator::SendCommand& send);
  void OnAnswer(const coordinator::Answer& answer);
  uint64_t NewestCheckpoint(const coordinator::Core& core, const std::string& service) const;  // its id; 0: none

  Oracle* oracle_;
  const Metadata* chains_;
  FleetCoverage* reached_;
  std::map<uint64_t, Request> requests_;  // by token
  uint64_t resumes_ = 0;                  // asked for
  bool paused_ = false;                   // and operators were told so
  uint64_t settings_asked_ = 0;
  std::optional<policy::FleetSettings> settings_;  // as operators were told; none: nobody can know
  std::map<std::string, uint64_t> saved_;          // the newest checkpoint of a service when its restart began
  // Who was told to take over, in a reign and a service, since the last event that chose another target.
  std::map<std::pair<Reign, std::string>, std::string> target_;
  std::map<std::pair<Reign, std::string>, coordinator::Move> moves_;  // as of the last decision
};

}  // namespace understudy::sim

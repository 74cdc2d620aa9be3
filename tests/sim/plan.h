// A run, before it is run: what the cluster looks like, how the network behaves, and which faults and actions come
// when. Made from a seed, written as text, cut down by the shrinker; with the seed it says everything about a run.
//
//   seed 42
//   set replicas=3 quorum=2 disks=4 ...
//   at 12.345ms crash disk=2 point=3 power=1 kept=2 down_us=20000
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/application.h"
#include "tests/sim/disk.h"
#include "tests/sim/world.h"
#include "understudy/status.h"

namespace understudy::sim {

enum class Action : uint8_t {
  // faults of the network and of machines
  kCut,      // node -> other, for a while
  kIsolate,  // node from everybody
  kFreeze,   // the process on node stops, and wakes up
  kJump,     // the clock of node leaps ahead
  // faults of disks
  kCrash,
  kFsyncError,
  kFull,
  kSlow,
  kHang,
  kFlip,
  kWipe,
  kCopy,  // what a later roll-back brings back
  kRollBack,
  kDrain,  // is to be emptied, for a while
  // faults of the metadata
  kCasReplyLost,
  kCasLate,
  kOutage,
  // what programs and coordinators do
  kKill,
  kTakeOver,  // whoever writes
  kRecover,   // a takeover when nobody writes
  kHandOver,
  kChangeReplicas,
  kFollow,
  kMirror,
  kCheckpoint,
  kBurst,
  kQuiet,
  kGiveUp,      // so many disks of the open epoch are lost, with its writer, that only an accepted loss helps
  kLoseSource,  // the disk that the next takeover copies from is lost
  kCount,
};

struct Event {
  int64_t at_us = 0;
  Action action = Action::kCut;
  std::array<int64_t, 5> args{};  // by the names of the action
  bool operator==(const Event&) const = default;
};

struct Plan {
  uint64_t seed = 0;
  // The cluster.
  int replicas = 3;
  int quorum = 2;
  int disks = 4;
  int logs = 1;
  int programs = 3;  // a log
  int64_t run_us = 500'000;
  int zones = 0;      // that disks are spread over, some without one; 0: none has one
  int drift_ppm = 0;  // clocks differ by up to this
  NetworkRates network;
  DiskSpeed speed;
  Workload workload;
  std::vector<Event> events;  // by time
};

Plan MakePlan(uint64_t seed);

std::string ToText(const Event& event);
std::string ToText(const Plan& plan);
Result<Plan> PlanFromText(const std::string& text);

// Everything that is a number of a plan and not an event, by name: for the text, and for the shrinker.
struct PlanKnob {
  const char* name;
  int64_t (*get)(const Plan&);
  void (*set)(Plan*, int64_t);
  int64_t harmless;  // what the shrinker tries
};
const std::vector<PlanKnob>& PlanKnobs();
const char* ActionName(Action action);
const std::vector<const char*>& ArgNames(Action action);

}  // namespace understudy::sim

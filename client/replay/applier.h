// Hands records to a state machine, in parallel lanes when it allows that: equal keys share a lane and keep their
// order, key 0 runs alone after everything below it and before everything above it, so the resulting state is the one
// that serial replay gives.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "understudy/record.h"
#include "understudy/state_machine.h"
#include "understudy/types.h"

namespace understudy {

// Records [from, to] of a verified batch; records of it outside that range are skipped.
struct ApplyRange {
  std::string_view batch;
  Lsn from;
  Lsn to;
};

// One thread at a time; during a call the lanes run on threads of oneTBB, and all of them are idle when it returns.
class Applier {
 public:
  // `state_machine` outlives the applier. `lanes` is 1 (everything on the calling thread) to 64.
  Applier(StateMachine* state_machine, int lanes);
  ~Applier();
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // Applies ascending ranges. Returns the number of records applied.
  uint64_t Apply(std::span<const ApplyRange> ranges);

 private:
  struct Lanes;
  void Flush();

  StateMachine* state_machine_;
  std::unique_ptr<Lanes> lanes_;  // null: serial
};

}  // namespace understudy

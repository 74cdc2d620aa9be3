// One run: a plan carried out in a simulated cluster, then the faults stop and everything must come back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/sim/coverage.h"
#include "tests/sim/oracle.h"
#include "tests/sim/plan.h"

namespace understudy::sim {

struct RunResult {
  std::optional<Finding> finding;
  uint64_t acked = 0;
  uint64_t steps = 0;
  int64_t simulated_ns = 0;
};

// The same plan gives the same result. `coverage` is added to; `trace` hears every message and note, or is null. A
// core's own UNDERSTUDY_CHECK that fails is a finding as well (it aborts; the abort is caught, and what the run had
// allocated is leaked).
RunResult Run(const Plan& plan, Coverage* coverage, std::function<void(const std::string&)> trace = nullptr);

// False: `body(what)` aborted; nothing of what it worked on may be touched any more.
bool Survives(void (*body)(void*), void* what);

}  // namespace understudy::sim

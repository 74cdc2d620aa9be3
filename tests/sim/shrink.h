// Delta debugging (Zeller and Hildebrandt 2002) over the events of a failing plan, then over its numbers: the shortest
// plan found that still breaks the same rule.
#pragma once

#include <cstdint>
#include <functional>

#include "tests/sim/oracle.h"
#include "tests/sim/plan.h"

namespace understudy::sim {

struct Shrunk {
  Plan plan;
  int runs = 0;  // that it took
};

// `fails` says whether a plan still breaks the rule. At most `runs_max` runs.
Shrunk Shrink(const Plan& plan, const std::function<bool(const Plan&)>& fails, int runs_max = 2000);
// The same, by running the plans.
Shrunk Shrink(const Plan& plan, Rule rule, int runs_max = 2000);

}  // namespace understudy::sim

// Many seeds, on several threads, until the time is over.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tests/sim/coverage.h"
#include "tests/sim/oracle.h"

namespace understudy::sim {

struct HuntOptions {
  uint64_t first_seed = 1;
  double seconds = 60;     // 0: no bound
  uint64_t seeds_max = 0;  // 0: no bound
  int jobs = 1;
  size_t findings_max = 20;
};

struct HuntFinding {
  uint64_t seed = 0;
  Finding finding;
};

struct HuntResult {
  uint64_t seeds = 0;
  uint64_t steps = 0;
  uint64_t acked = 0;
  double simulated_seconds = 0;
  double seconds = 0;
  Coverage coverage;
  std::vector<HuntFinding> findings;  // by seed
};

// `found` hears of each finding at once, one at a time.
HuntResult Hunt(const HuntOptions& options, const std::function<void(const HuntFinding&)>& found);

// How many seeds from `first` on it takes until one has a finding; nullopt: none of `seeds_max` has.
std::optional<uint64_t> SeedsUntilFinding(uint64_t first, uint64_t seeds_max, Finding* finding);

}  // namespace understudy::sim

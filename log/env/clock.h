// Time is injected. Only log/env reads the machine's clocks.
#pragma once

#include <cstdint>

#include "understudy/types.h"

namespace understudy {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() = 0;         // monotonic; for every decision
  virtual int64_t WallUnixMs() = 0;  // for people and event records only, never for a decision
};

// The machine's own clocks. A single instance, never destroyed.
Clock* SystemClock();

}  // namespace understudy

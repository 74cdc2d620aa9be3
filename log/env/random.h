// Randomness is injected. Only log/env asks the machine for it.
#pragma once

#include <cstdint>

#include "understudy/types.h"

namespace understudy {

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next64() = 0;
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next64() % bound; }
  AttemptId NewAttemptId() { return {Next64(), Next64() | 1}; }  // never "none"
  DiskId NewDiskId() { return {Next64(), Next64() | 1}; }
};

// The kernel's entropy (getrandom). Thread-safe; a single instance, never destroyed.
Random* SystemRandom();

// xoshiro256**, D. Blackman and S. Vigna 2018: the same numbers for the same seed everywhere. One thread at a time.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed);
  uint64_t Next64() override;

 private:
  uint64_t state_[4];
};

}  // namespace understudy

// Streams of numbers drawn from one seed. Every node, link and plan has a stream of its own, so that leaving one event
// out of a plan disturbs the others as little as possible.
#pragma once

#include <cstdint>

namespace understudy::sim {

// splitmix64, S. Vigna 2015. Small enough for one a link.
class Stream {
 public:
  explicit Stream(uint64_t seed = 0) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low + 1)));
  }
  bool Chance(int permille) { return permille > 0 && static_cast<int>(Below(1000)) < permille; }

 private:
  uint64_t state_;
};

inline uint64_t Mix(uint64_t a, uint64_t b) {
  return Stream(a ^ (b * 0xD6E8FEB86659FD93ULL + 0x2545F4914F6CDD1DULL)).Next();
}

}  // namespace understudy::sim

#include "log/env/clock.h"

#include <chrono>

namespace understudy {
namespace {

class RealClock : public Clock {
 public:
  Instant Now() override {
    return Instant(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
  }
  int64_t WallUnixMs() override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace

Clock* SystemClock() {
  static auto* clock = new RealClock;
  return clock;
}

}  // namespace understudy

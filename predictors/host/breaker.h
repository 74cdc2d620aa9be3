// The circuit breaker of a plugin: pauses between restarts grow with each fault and start over after a healthy while.
#pragma once

#include <algorithm>
#include <cstdint>

#include "understudy/types.h"

namespace understudy {

class Breaker {
 public:
  Breaker(int64_t pause_ms, int64_t pause_ms_max, int64_t healthy_after_ms)
      : pause_ms_(pause_ms), pause_ms_max_(pause_ms_max), healthy_after_ms_(healthy_after_ms) {}

  // Returns the pause until the next try, ms.
  int64_t Fault(Instant now) {
    if (started_ && now - last_start_ >= healthy_after_ms_ * kNsPerMs) faults_ = 0;
    started_ = false;
    ++faults_;
    int64_t pause = pause_ms_;
    for (int i = 1; i < faults_ && pause < pause_ms_max_; ++i) pause *= 2;
    return std::min(pause, pause_ms_max_);
  }

  // The plugin answers again.
  void Started(Instant now) {
    if (started_) return;
    started_ = true;
    last_start_ = now;
  }

  int faults() const { return faults_; }  // since it last was healthy

 private:
  int64_t pause_ms_, pause_ms_max_, healthy_after_ms_;
  int faults_ = 0;
  bool started_ = false;
  Instant last_start_;
};

}  // namespace understudy

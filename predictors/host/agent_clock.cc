#include "predictors/host/agent_clock.h"

#include <algorithm>

namespace understudy {

const char* AgentClock::Take(int64_t theirs_ms, int64_t newest_ms, Instant now, int64_t* ours_ns) {
  constexpr int64_t kMsMax = INT64_MAX / kNsPerMs / 2;
  if (theirs_ms < 0 || theirs_ms > kMsMax) return "a time that is impossible";
  const int64_t theirs = theirs_ms * kNsPerMs;
  if (offset_ns_) {
    const int64_t age = now.ns() - (theirs + *offset_ns_);
    if (age < -kAheadMaxNs || age > kRebaseNs) {
      if (rebased_ && now - *rebased_ < kRebaseNs) return age < 0 ? "a time far ahead" : "a time long past";
      rebased_ = now;
      offset_ns_.reset();
    } else if (theirs <= last_ns_) {
      return "a time not after that of the sample before";
    } else if (age < 0) {
      offset_ns_.reset();
    }
  }
  if (!offset_ns_) {
    const bool together = newest_ms >= theirs_ms && newest_ms < kMsMax && newest_ms - theirs_ms < kRebaseNs / kNsPerMs;
    offset_ns_ = now.ns() - (together ? newest_ms * kNsPerMs : theirs);
  }
  last_ns_ = theirs;
  *ours_ns = theirs + *offset_ns_;
  return nullptr;
}

}  // namespace understudy

// What an agent says of time is not believed further than it can be true: an agent that lies shall look like one that
// says little.
#pragma once

#include <cstdint>
#include <optional>

#include "understudy/types.h"

namespace understudy {

// Puts the samples of one primary into our time. One offset for the life of the primary on its node, so that spacing is
// the agent's. It is set anew when the agent is ahead of it by a little (its word came faster than the first), and,
// once a minute at most, when the clocks have plainly come apart (the agent's machine was restarted).
class AgentClock {
 public:
  static constexpr int64_t kRebaseNs = 60 * kNsPerSecond;
  static constexpr int64_t kAheadMaxNs = 5 * kNsPerSecond;

  // A sample of `theirs_ms` that arrived at `now`; `newest_ms`: of the last sample that arrived with it, taken just
  // now. Null, or what is wrong with its time, and it is to be dropped: "a time far ahead".
  const char* Take(int64_t theirs_ms, int64_t newest_ms, Instant now, int64_t* ours_ns);

  // Perhaps another agent's time from now on.
  void Forget() { *this = AgentClock(); }

 private:
  std::optional<int64_t> offset_ns_;  // from the agent's clock to ours
  std::optional<Instant> rebased_;    // because the clocks had come apart
  int64_t last_ns_ = INT64_MIN;       // of the last sample that was taken, in the agent's time
};

}  // namespace understudy

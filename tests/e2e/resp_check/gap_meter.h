// The longest time without a success, per window: from the last success before to the first one after. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "understudy/types.h"

namespace understudy::resp_check {

class GapMeter {
 public:
  struct Window {
    int64_t longest_ns = 0;  // a gap counts in the window in which it ends
    Instant longest_began;   // the success before it
    int64_t running_ns = 0;  // since the last success; it may become a gap
    uint64_t successes = 0;
  };

  void Success(Instant now);
  // What happened since the last call, and begins a new window.
  Window NextWindow(Instant now);
  // Looks without beginning a new window.
  Window Peek(Instant now) const;
  int64_t LongestEverNs() const;
  // No load is offered from here to the next success: that is no gap.
  void Pause();

 private:
  mutable std::mutex mutex_;
  std::optional<Instant> last_;
  Window window_;
  int64_t longest_ever_ns_ = 0;
};

}  // namespace understudy::resp_check

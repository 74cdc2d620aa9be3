// Simulated time and a simulated network for the cores of log/epoch: one queue of events, ordered by time. Everything
// that happens, happens in Step(); the same inputs give the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "understudy/types.h"

namespace understudy::testing {

// What becomes of one message.
struct Fate {
  std::vector<int64_t> deliver_after_ns = {kNsPerMs};  // one entry a delivery: several duplicate it, none loses it
};

class SimNetwork {
 public:
  Instant now() const { return now_; }

  // Calls `fn` at `at`; with `quiet` it does not count as something that is under way (Idle()).
  void At(Instant at, std::function<void()> fn, bool quiet = false);
  // Carries a message. `deliver` runs once a delivery. A message that is lost calls `lost` after lost_after_ns.
  void Send(const std::string& from, const std::string& to, const std::string& text, std::function<void()> deliver,
            std::function<void()> lost);

  // Asked for the time at which a participant wants its tick, and given it.
  void AddTimer(std::function<Instant()> wake_at, std::function<void()> tick);

  // Runs the next event or tick if it is not later than `limit`. False: nothing until then (the clock is at `limit`).
  bool Step(Instant limit);
  void RunUntil(Instant limit);
  // Runs until no message and no disk write is under way, timers included that fall due meanwhile.
  void RunUntilIdle(int64_t limit_ns = 10 * kNsPerSecond);
  bool Idle() const { return busy_ == 0; }

  // Decides the fate of messages; the default delivers after 1 ms. Held and cut links come first.
  std::function<Fate(const std::string& from, const std::string& to)> fate;
  int64_t lost_after_ns = 50 * kNsPerMs;
  // Messages on a held link wait until Release; on a cut link they are lost. Names, or "*".
  void Hold(const std::string& from, const std::string& to) { held_links_.insert({from, to}); }
  void Release(const std::string& from, const std::string& to);
  // What is sent from now on overtakes what is held.
  void Overtake(const std::string& from, const std::string& to) { held_links_.erase({from, to}); }
  void Cut(const std::string& from, const std::string& to) { cut_links_.insert({from, to}); }
  void Heal() { cut_links_.clear(); }

  // Every message and note in the order in which they happen; null: not wanted.
  std::function<void(const std::string& line)> trace;
  void Note(const std::string& who, const std::string& text);

 private:
  struct Event {
    std::function<void()> fn;
    bool quiet = false;
  };
  struct Held {
    std::pair<std::string, std::string> link;
    std::string text;
    std::function<void()> deliver;
  };
  struct Timer {
    std::function<Instant()> wake_at;
    std::function<void()> tick;
  };
  using Links = std::set<std::pair<std::string, std::string>>;
  static bool Matches(const Links& links, const std::string& from, const std::string& to);
  void Arrive(const std::string& from, const std::string& to, const std::string& text, int64_t after_ns,
              const std::function<void()>& deliver);

  Instant now_ = Instant(kNsPerSecond);
  Instant last_now_;
  int steps_at_once_ = 0;
  uint64_t next_seq_ = 0;
  size_t busy_ = 0;
  std::map<std::pair<Instant, uint64_t>, Event> events_;
  std::vector<Timer> timers_;
  Links held_links_;
  Links cut_links_;
  std::vector<Held> held_;
};

}  // namespace understudy::testing

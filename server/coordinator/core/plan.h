// What a coordinator intends for one service, kept under plans/<service> so that another can go on with it. The rest of
// what it knows comes from the nodes' reports and from the log's chain, so every step may be run again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy::coordinator {

enum class MoveKind : int { kNone = 0, kFirst, kPlanned, kUnplanned, kRestart };
enum class MoveStep : int {
  kStart = 0,  // the target's process is being started
  kTakeOver,   // TAKE_OVER was sent to the target
  kPrepare,    // PREPARE was sent to the target
  kHandover,   // HANDOVER was sent to the primary
  kAdopt,      // the primary handed over; the target is to find itself the owner
  kCheckpoint,  // kRestart: CHECKPOINT was sent to the primary
  kStop,        // its process is being ended; kStart follows
};
std::string_view MoveKindName(MoveKind kind);  // "none", "first", "planned", "unplanned", "restart"
std::string_view MoveStepName(MoveStep step);  // "start", "take_over", "prepare", "handover", "adopt", "checkpoint", "stop"

// At most one a service at any time.
struct Move {
  MoveKind kind = MoveKind::kNone;
  MoveStep step = MoveStep::kStart;
  std::string from;   // node; empty for kFirst
  std::string to;     // node; empty while none can take it
  Epoch epoch;        // the last epoch when it began
  AttemptId attempt;  // drawn by the target, from kHandover on
  std::string reason;
  bool predicted = false;  // asked for by a forecast: cooldown follows
  int64_t started_unix_ms = 0;
  int64_t lead_ms = -1;  // first forecast to begin; -1: none warned
  bool operator==(const Move&) const = default;
};

// A process to be ended and replaced: an old primary. It is done when the node runs another one, or none.
struct Restart {
  std::string node;
  int64_t pid = 0;
  int64_t start_ticks = 0;
  bool operator==(const Restart&) const = default;
};

// What starts, loads, replays, moves and checkpoints of a service took; -1: not yet seen. Smoothed.
struct Timings {
  double start_ms = -1;
  double load_ms = -1;
  double replay_per_s = -1;  // records
  double switch_ms = -1;
  double checkpoint_ms = -1;
  bool operator==(const Timings&) const = default;
};

struct Plan {
  std::string service;
  std::string coordinator;  // whose it is
  uint64_t term = 0;        // of that coordinator's start
  std::string spare;        // node assigned; empty: none
  std::string spare_reason;
  Move move;
  std::vector<Restart> restarts;
  uint64_t predicted_moves = 0;
  uint64_t moves = 0;
  int64_t restarted_unix_ms = 0;  // on purpose, the last time; 0: never
  int64_t fresh_unix_ms = 0;      // the primary's process began to serve, for its rejuvenation; 0: not known
  Timings timings;                // as of the last write
  bool operator==(const Plan&) const = default;
};

struct MoveRecord {
  MoveKind kind = MoveKind::kPlanned;
  std::string service;
  std::string from;
  std::string to;
  std::string reason;
  Epoch epoch;
  int64_t started_unix_ms = 0;
  int64_t ended_unix_ms = 0;
  double lead_s = -1;  // first forecast to serving on the new node; -1: none warned
  int64_t replayed = 0;
  double gap_ms = 0;  // last known to serve to known to serve again, as heard here
};

std::string EncodePlan(const Plan& plan);
// kCorruption with the reason.
Result<Plan> DecodePlan(std::string_view json);

}  // namespace understudy::coordinator

// What the policy decides from, and what it decides: plain values. Times are milliseconds of one monotonic clock of the
// caller's; costs are in seconds of outage (any other unit does, if it is the same everywhere).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace understudy::policy {

// How far a service is prepared for its primary's failure. Each rung contains the ones below it.
enum class Rung : int { kNormal = 0, kCheckpoint, kReserve, kFollow, kMirror, kSwitch };
inline constexpr int kRungs = 6;
const char* RungName(Rung rung);  // "NORMAL", "CHECKPOINT", "RESERVE", "FOLLOW", "MIRROR", "SWITCH"

// One word of one predictor (or of the ensemble of several) for one horizon.
struct ForecastView {
  std::string predictor;
  std::string version;
  bool known = false;   // false: it warms up or abstains, which is no reason for anything
  bool obeyed = true;   // false: it runs in shadow, or is part of an ensemble that speaks for it
  bool shadow = false;  // recorded, not obeyed
  int64_t horizon_ms = 60'000;
  double probability = 0;  // of failure within the horizon, calibrated
  double confidence = 0;
  bool has_ttf = false;  // time to failure, if it fails at all
  double ttf_p10_s = 0;
  double ttf_p50_s = 0;
  double ttf_p90_s = 0;
  bool restart_cures = false;  // what is used up is free again when the process ends
  std::string reason;
};

// A time in which predicted moves may, or may not, begin. Weekly or once, in UTC.
struct Window {
  bool allow = false;        // else: forbid
  int days = 0;              // weekly: bit 0 is Monday; 0: once
  int from_minute = 0;       // weekly: of the day
  int to_minute = 0;         // at or before from_minute: on the next day
  int64_t from_unix_ms = 0;  // once
  int64_t to_unix_ms = 0;
  bool operator==(const Window&) const = default;
};

// A process is exchanged after it has served for so long, always by a handover to a spare.
struct Rejuvenation {
  int64_t every_s = 0;           // 0: never
  double appends_per_s_max = 0;  // only while it appends no more; 0: at any load
  std::vector<Window> windows;   // besides those of its policy and of the cluster
  bool operator==(const Rejuvenation&) const = default;
};

// Of one service. A rung is entered when its floor is reached and its expected gain is positive (docs/coordinator.md).
struct ServicePolicy {
  double assign_at = 0.5;      // floor of FOLLOW
  double switch_at = 0.7;      // floor of SWITCH, to be held for persist_ms
  double release_at = 0.2;     // below it for dwell_ms: the spare is let go
  double checkpoint_at = 0.3;  // floor of CHECKPOINT; never above assign_at
  double reserve_at = 0.5;     // floor of RESERVE; follows assign_at unless given
  double mirror_at = 0.5;      // floor of MIRROR; follows assign_at unless given
  int64_t persist_ms = 1000;
  int64_t dwell_ms = 10'000;
  int64_t cooldown_ms = 60'000;  // between two predicted moves of the service; never delays a real failure's takeover
  double unplanned_cost = 60;    // Cu: of a failure that nothing was prepared for
  double planned_cost = 6;       // Cp: of a planned move
  int64_t horizon_ms = 60'000;   // failures expected later than this, and than lead_factor times what a spare needs to
  double lead_factor = 3;        // be ready, can wait: the next forecast will know better
  bool dry_run = false;          // decide and record, do nothing
  // A checkpoint, then a restart on purpose, when a process uses something up and no spare is to be had. Off unless the
  // operator says so: it is the only thing the policy does that ends a process with nobody to take its place.
  bool restart = false;
  double restart_cost = 20;  // between Cp and Cu: an outage, but short and at a chosen moment
  int64_t restart_cooldown_ms = 600'000;
  std::vector<Window> windows;
  bool operator==(const ServicePolicy&) const = default;
};

// Of the whole cluster.
struct FleetSettings {
  bool paused = false;
  bool dry_run = false;
  int brake_percent = 50;           // more of all services at risk at once: hold and alert
  int brake_services_min = 3;       // with fewer there is no brake
  int reserve_spares = 0;           // R: kept for unplanned failures; the larger of this ...
  int reserve_percent = 10;         // ... and this share of all spares, rounded down
  double spare_cost_per_s = 0.001;  // what another service loses while a spare is away, when all are in use
  std::vector<Window> windows;      // besides each service's own
  bool operator==(const FleetSettings&) const = default;
};

// From now until the service could be ..., were work to begin or go on now. Ascending.
struct Readiness {
  int64_t follow_ms = 0;  // replaying, its stale state loaded
  int64_t mirror_ms = 0;  // mirroring, caught up
  int64_t switch_ms = 0;  // served by the spare
  bool measured = false;  // by this service's own loads and replays; else assumed
};

// What there is to do until a spare is ready, with what was measured of the service's last ones; -1: nothing was.
enum class SpareState : int { kNone = 0, kCold, kWarm, kLoading, kReplaying, kMirroring };  // kNone, kCold: no process
struct SpareWork {
  SpareState state = SpareState::kNone;
  double start_ms = -1;
  double load_ms = -1;       // of a checkpoint of the present size
  double replay_per_s = -1;  // records
  double append_per_s = 0;   // that the primary writes meanwhile
  double behind = 0;         // records between what it holds (at first: the last checkpoint) and the primary's
  double switch_ms = -1;
};

// What is remembered of a service between two decisions. Starts as it is made.
struct Memory {
  Rung rung = Rung::kNormal;     // wanted
  int64_t rung_since_ms = 0;     // of that
  int64_t at_risk_since_ms = 0;  // RESERVE or higher without interruption; means something only then
  int64_t high_since_ms = -1;    // SWITCH's conditions hold without interruption; -1: they do not
  int64_t low_since_ms = -1;     // what keeps the rung fails without interruption; -1: it does not
  int64_t restart_since_ms = -1;  // a restart's conditions hold without interruption; -1: they do not
  bool operator==(const Memory&) const = default;
};

struct FleetView {
  int services = 0;
  int at_risk = 0;  // that want RESERVE or more
  int spares = 0;   // nodes that are nobody's primary, alive
  int spares_free = 0;
};

struct ServiceInput {
  std::string name;
  std::vector<ForecastView> forecasts;
  int64_t age_ms = 0;  // of the forecasts
  Memory memory;
  ServicePolicy policy;
  Readiness ready;
  bool has_spare = false;
  bool spare_mirrors = false;  // it mirrors and has caught up
  bool spare_fixed = false;    // it has begun to mirror: nobody takes it for a forecast
  bool spare_to_be_had = false;  // it has one, one is free for it, or comes free in a moment
  bool move_under_way = false;
  int64_t cooldown_until_ms = 0;
  int64_t restart_cooldown_until_ms = 0;
  int64_t checkpoint_ms = 1000;  // that one takes
};

// Of one rung: gain = probability * ready * benefit - cost - lambda.
struct RungGain {
  double floor = 0;        // of the probability
  double probability = 0;  // the highest within the horizon that counts
  double ready = 0;        // s: the chance to be ready in time; below SWITCH the share of the work expected to be done
  double benefit = 0;      // of Cu
  double cost = 0;         // of Cp
  double lambda = 0;       // price of the spare's absence for others
  double gain = 0;
};

struct RestartView {
  RungGain gain;
  bool cured = false;   // the forecast that warns loudest says that a restart cures
  bool wanted = false;  // it pays, and has for persist_ms; whether a spare is to be had is not looked at
};

struct Assessment {
  Memory memory;  // for the next time; memory.rung is what is wanted
  bool known = false;
  bool stale = false;
  int deciding = -1;  // index of the forecast that decided; -1: none said anything
  double probability = 0;
  std::array<RungGain, kRungs> rungs;  // [kNormal] is unused
  RestartView restart;
  double gain_per_spare_s = 0;         // for the ranking; of MIRROR
  bool feasible = true;                // a spare that begins now can be ready before the failure, with some luck
  int64_t next_ms = -1;                // when time alone changes something; -1: never
};

// Why something is not done that is wanted, or is not wanted.
enum class Hold : int {
  kNoForecast = 0,  // nobody says anything (warming up, abstaining)
  kStale,           // the last word is too old
  kBelow,           // the probability is below the floor of the next rung
  kNoGain,          // the next rung costs more than it can bring
  kPersist,         // the switch's conditions have not held for persist_ms
  kNotReady,        // the spare does not mirror yet
  kNoSpare,         // none is free
  kReserve,         // the free ones are kept for unplanned failures
  kRank,            // the free ones go to services that gain more
  kPaused,
  kBrake,
  kDryRun,
  kWindow,
  kCooldown,
  kMoving,      // a move is under way already
  kRestartOff,  // the operator has not allowed restarts
  kNotCured,    // what is forecast would be there after a restart as well, or nobody knows
  kAtRisk,      // of a rejuvenation: forecasts decide while a failure is likely
  kLoad,        // it writes more than a rejuvenation may disturb, or that is not known yet
  kTurn,        // as many others rejuvenate as may at once
  kSpare,       // a spare is to be had, for a move now or for the takeover later: no restart
};
const char* HoldName(Hold hold);  // "no_forecast", ...

// What may be done now towards the rung that is wanted.
struct Permit {
  bool checkpoint = false;  // save more often
  bool assign = false;      // take a free spare, if rank and reserve leave one
  bool drive = false;       // let the spare it has climb to `rung`
  bool switch_over = false;
  Rung rung = Rung::kNormal;  // the highest that may be worked towards
  std::vector<Hold> holds;    // the first is what matters most
};

struct RejuvenationInput {
  Rejuvenation rejuvenation;
  std::vector<Window> windows;  // of its policy
  bool dry_run = false;
  int64_t fresh_unix_ms = 0;  // its process began to serve; 0: not known
  bool spare_fits = false;  // one that is free can run it
  bool has_spare = false;
  bool spare_mirrors = false;  // and has caught up
  bool prepares = false;       // its spare is there for this
  int others = 0;              // services that rejuvenate
  bool at_risk = false;
  bool move_under_way = false;
  bool cooling = false;  // an attempt was given up a moment ago
  bool append_known = false;
  double append_per_s = 0;
};

struct RejuvenationPermit {
  int64_t due_unix_ms = 0;  // 0: never
  bool due = false;
  bool prepare = false;  // take a spare, or keep it, and have it mirror
  bool switch_over = false;
  std::vector<Hold> holds;  // why not, when it is due
};

struct RestartPermit {
  bool restart = false;
  std::vector<Hold> holds;  // empty also when there is no reason for a restart
};

}  // namespace understudy::policy

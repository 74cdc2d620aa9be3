// What the core knows of nodes and services. Read by the status document; changed by Core only.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log/format/chain.h"
#include "log/protocol/control_messages.h"
#include "server/coordinator/core/plan.h"
#include "server/coordinator/core/risk.h"
#include "server/coordinator/core/service_spec.h"
#include "understudy/types.h"

namespace understudy::coordinator {

// A command on its way: sent again until its result comes, and when the result came but not what it was to bring about.
// Every command may be carried out twice: what is under way or done already is refused or confirmed by the application.
struct SentCommand {
  Command command;
  Instant at;
  int tries = 1;
  bool done = false;
  StatusCode code = StatusCode::kOk;
  std::string detail;
};

// Starts of one program on one node that came to nothing.
struct StartTries {
  int failures = 0;
  Instant not_before;
  bool gave_up = false;  // too many of them; the next service apply forgets it
  std::string why;
};

// What is measured of a service; the timings are kept in its plan.
struct Measured : Timings {
  double append_per_s = 0;
  int append_looks = 0;
  Instant append_from = Instant::Never();  // the last look at what the primary wrote
  Lsn append_lsn;
};

struct ServiceState;
// A use of a node by a service.
struct Claim {
  const ServiceState* service = nullptr;
  bool owns = false;      // as the last epoch's owner
  bool restarts = false;  // its process there is to be replaced
  bool operator==(const Claim&) const = default;
};

struct NodeState {
  std::string name;
  bool heard = false;  // since this coordinator's start
  bool alive = false;
  Instant last_heard;
  Instant app_lost_at = Instant::Never();  // its process runs, but the application has not been heard through the agent
  AgentReport report;                      // the last, without samples
  std::map<std::pair<std::string, CommandKind>, SentCommand> sent;

  Instant started_at;  // of the process it runs or ran last
  int64_t pid = 0;     // of its application, as last heard
  int64_t start_ticks = 0;
  bool app_seen = false;                    // since then
  bool useful = false;                      // since then it mirrored or was primary
  bool start_timed_out = false;             // it is being stopped because it never became an application
  std::string started_program;              // of the last START_APP
  std::map<std::string, StartTries> tries;  // by program

  Instant role_since =
      Instant::Never();  // of its application's present role in its service; Never(): not seen to begin
  Lsn role_applied;      // as of then

  uint64_t version = 0;  // of nodes/<name>
  std::string recorded;  // its value
  bool writing = false;

  bool HasProcess() const {
    return report.process == ProcessState::kStarting || report.process == ProcessState::kRunning;
  }
  // An application that can be commanded.
  bool AppUp() const { return alive && report.has_app && report.process == ProcessState::kRunning; }
  bool AppIs(AppRole role, const std::string& service) const {
    return AppUp() && report.app.role == role && report.app.service == service;
  }
};

struct ServiceState {
  ServiceSpec spec;
  uint64_t spec_version = 0;
  std::vector<uint64_t> removers;  // operators waiting for the removal
  bool deleting = false;           // its metadata is being deleted

  // From the log's chain, or from the primary itself when its word comes first.
  bool chain_known = false;
  uint64_t chain_version = 0;
  Epoch epoch;
  std::string owner;  // node
  std::string owner_endpoint;
  AttemptId owner_attempt;
  Lsn checkpoint_lsn;
  size_t checkpoints = 0;
  int disks = 0;
  int ack_quorum = 1;

  Plan plan;
  uint64_t plan_version = 0;
  bool plan_dirty = false;
  bool plan_writing = false;
  bool plan_reading = false;
  bool plan_foreign = false;  // another coordinator's
  Instant plan_foreign_since;

  Risk risk;
  RiskLevel risk_recorded = RiskLevel::kNone;
  Instant cooldown_until;
  Instant restart_cooldown_until;

  // Failure detection.
  Instant suspect_since = Instant::Never();
  std::string suspicion;
  Instant age_asked_at = Instant::Never();
  Instant age_heard_at = Instant::Never();  // when enough replicas could say
  int64_t writer_age_ms = 0;                // as of then
  Instant silent_from = Instant::Never();   // its writer was heard last, once that is settled
  Instant silent_since = Instant::Never();  // replicas answer, but have not heard from it since their own start

  // The move under way, or the last one.
  Instant step_began;
  Instant move_began;
  Instant gap_began;          // last known moment of service
  Instant last_serving;       // the primary last said so
  bool served = false;        // since this coordinator's start
  bool primary_seen = false;  // in this epoch
  std::string last_primary;   // node
  Lsn primary_first;          // committed when it was first heard as primary, and now
  Lsn primary_last;
  AttemptId stale_attempt;     // drawn by the target before this move
  uint64_t switch_token = 0;   // operator waiting for the move
  uint64_t switch_wanted = 0;  // operator waiting for the spare to catch up; then the switch begins
  std::string switch_to;       // the node that operator named; empty: any
  Instant switch_wanted_until;
  Epoch loss_epoch;         // an operator accepts the loss of what this epoch's lost disks held; 0: nobody does
  uint64_t loss_token = 0;  // who waits for that
  int recoveries_failed = 0;
  Instant recover_not_before;
  bool failed = false;  // too many recoveries failed; only a new service apply goes on
  std::string trouble;  // why it is not served, for people

  // The checkpoint interval the primary was last told, and in which epoch.
  int64_t interval_ms = 0;
  Epoch interval_epoch;
  bool no_spare_recorded = false;

  Measured measured;
  int program_id = 0;                                 // the same for the same program, arguments and environment
  std::vector<std::pair<std::string, Claim>> claims;  // by node, as the core's index has them
  std::string held_recorded;                          // why a move that is wanted is held, as last recorded
  policy::RejuvenationPermit rejuvenation;            // as of the last look
  std::string rejuvenation_held_recorded;
  Instant rejuvenation_began = Instant::Never();  // its spare was assigned for it
  Instant rejuvenate_not_before;
  std::string restart_held_recorded;  // the same of a restart
  bool shadow_warned = false;
  std::deque<Decision> decisions;  // the last ones, for `understudy explain`
};

struct DiskState {
  std::string value;  // JSON as the log server wrote it
  uint64_t version = 0;
};

struct LogState {
  Chain chain;
  uint64_t version = 0;
  uint64_t told_at = 0;  // version upon which the service's replicas and ack_quorum were written last
  // What an operator gives up of a closed epoch. Whether that was written, the chain tells.
  struct ClosedLoss {
    uint64_t token = 0;  // who waits; 0: nothing is under way
    Epoch epoch;
    Lsn from, to;
    bool answered = false;  // the write was, one way or another
  };
  ClosedLoss closed_loss;
};

}  // namespace understudy::coordinator

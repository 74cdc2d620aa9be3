// What coordinators, agents and applications say to each other (docs/protocol.md). The lower side asks: it carries a
// report up and waits for the next command. log/rpc carries these over Thrift; fields are explained in
// understudy.thrift, of which this is the plain form.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

enum class CommandKind : int {
  kNone = 0,
  kStartApp = 1,
  kStopApp = 2,
  kFollow = 10,
  kMirrorTo = 11,
  kPrepare = 12,
  kHandover = 13,
  kTakeOver = 14,
  kCheckpoint = 15,
  kRelease = 16,
  kCheckpointEvery = 17,
  kMoveDisks = 18,
};
// As in understudy.thrift.
constexpr std::string_view CommandKindName(CommandKind kind) {
  switch (kind) {
    case CommandKind::kNone:
      return "NONE";
    case CommandKind::kStartApp:
      return "START_APP";
    case CommandKind::kStopApp:
      return "STOP_APP";
    case CommandKind::kFollow:
      return "FOLLOW";
    case CommandKind::kMirrorTo:
      return "MIRROR_TO";
    case CommandKind::kPrepare:
      return "PREPARE";
    case CommandKind::kHandover:
      return "HANDOVER";
    case CommandKind::kTakeOver:
      return "TAKE_OVER";
    case CommandKind::kCheckpoint:
      return "CHECKPOINT";
    case CommandKind::kRelease:
      return "RELEASE";
    case CommandKind::kCheckpointEvery:
      return "CHECKPOINT_EVERY";
    case CommandKind::kMoveDisks:
      return "MOVE_DISKS";
  }
  return "?";
}
// Whether the agent carries it out itself, rather than hand it on to the application.
inline bool IsForAgent(CommandKind kind) { return kind == CommandKind::kStartApp || kind == CommandKind::kStopApp; }

struct Command {
  int64_t id = 0;
  CommandKind kind = CommandKind::kNone;
  std::string service;
  LogId log;
  Epoch epoch;
  AttemptId attempt;
  std::string node;
  std::string endpoint;
  std::string address;
  int64_t interval_ms = 0;
  std::string program;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  int64_t grace_ms = 5000;
  std::string cluster;
  std::vector<std::string> coordinators;
  int64_t memory_limit_bytes = 0;
  bool accept_data_loss = false;
  std::vector<DiskId> disks;
  bool operator==(const Command&) const = default;
};

struct CommandResult {
  int64_t id = 0;
  StatusCode code = StatusCode::kOk;
  std::string detail;
  bool operator==(const CommandResult&) const = default;
};

enum class AppRole : int { kWarm = 0, kLoading, kReplaying, kMirroring, kPromoting, kPrimary };

struct AppReport {
  int64_t pid = 0;
  AppRole role = AppRole::kWarm;
  std::string service;
  LogId log;
  Epoch epoch;
  Lsn applied;
  Lsn commit;
  bool caught_up = false;
  std::string endpoint;
  std::string mirror_address;
  AttemptId attempt;
  std::vector<CommandResult> done;
  std::map<std::string, double> gauges;
  Lsn last_appended;
  Lsn checkpoint_lsn;
  int64_t append_p50_us = -1;  // -1: nothing appended lately
  int64_t append_p99_us = -1;
  bool may_serve = false;
  int64_t start_ticks = 0;
  int64_t replayed = 0;
  int64_t serving_since_unix_ms = 0;
  std::string waiting;
  Lsn lost_from;
  Lsn lost_to;
};

struct Metric {
  std::string name;
  double value = 0;
};
struct NodeSample {
  int64_t unix_ms = 0;
  int64_t monotonic_ms = 0;
  std::vector<Metric> metrics;  // a missing metric is not listed; never zero for missing, never NaN
};

enum class ProcessState : int { kNone = 0, kStarting, kRunning, kExited, kFailed };

struct AgentReport {
  std::string node;
  std::string address;
  int64_t incarnation = 0;
  ProcessState process = ProcessState::kNone;
  std::string exit_reason;
  bool has_app = false;
  AppReport app;
  std::vector<CommandResult> done;
  std::vector<NodeSample> samples;
  std::vector<std::string> labels;
  int64_t starts = 0;
  std::string process_service;
};

struct NextCommandResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
  Command command;
  std::string leader = {};  // address of the coordinator that leads, when this one does not and knows
};

struct DocumentResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
  std::string document;     // JSON
  std::string leader = {};  // as in NextCommandResponse
};

}  // namespace understudy

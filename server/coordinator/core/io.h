// What goes into the coordinator's core and what comes out of it. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "log/protocol/control_messages.h"
#include "predictors/host/predictor_host.h"
#include "server/coordinator/core/plan.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy::coordinator {

// Folders of the metadata below /understudy/<cluster>/. A name is the rest of the key (a log's: its id in decimal).
enum class MetadataKind : int { kLog = 0, kService, kNode, kDisk, kPlan, kSettings };

// ------------------------------------------------------------------ inputs

struct NodeReported {
  AgentReport report;  // samples are not looked at
};
struct ForecastsArrived {
  std::string service;
  std::vector<Forecast> forecasts;
};
// A value read at the start, read again when asked for, or changed (watch). Deleted or absent: an empty value.
struct MetadataChanged {
  MetadataKind kind = MetadataKind::kLog;
  std::string name;
  std::string value;
  uint64_t version = 0;
};
// The answer to a WriteMetadata.
struct MetadataWritten {
  MetadataKind kind = MetadataKind::kLog;
  std::string name;
  StatusCode code = StatusCode::kOk;
  std::string detail;
  uint64_t version = 0;
};
// All that was there has been handed in, and this coordinator leads with `term`, higher than any before it. Nothing is
// decided earlier.
struct MetadataLoaded {
  uint64_t term = 0;
};
enum class RequestKind : int { kApply = 0, kRemove, kSwitchover, kPause, kLogs, kPolicy };
struct OperatorRequest {
  uint64_t token = 0;  // of the Answer
  RequestKind kind = RequestKind::kApply;
  std::string document;  // kApply, kLogs, kPolicy
  std::string service;   // kRemove, kSwitchover
  std::string node;      // kSwitchover; empty: any
  bool paused = false;   // kPause
};
// How long ago the disks of the service's last epoch heard from its writer.
struct WriterAge {
  std::string service;
  Epoch epoch;          // that was asked about
  int answered = 0;     // disks that could say
  int needed = 1;       // E - A + 1
  int64_t age_ms = -1;  // the smallest; -1: none of them has heard from it since its start
};
// One thing that was decided about a service, for `understudy explain`.
struct Decision {
  int64_t unix_ms = 0;
  std::string kind;
  std::string node;
  std::string text;
};
// What earlier coordinators recorded, oldest first; for the documents that people read. After what was in the metadata,
// before MetadataLoaded.
struct HistoryRestored {
  std::vector<MoveRecord> moves;
  std::vector<std::pair<std::string, Decision>> decisions;  // by service
};
struct Tick {};

struct Input {
  std::variant<Tick, NodeReported, ForecastsArrived, MetadataChanged, MetadataWritten, MetadataLoaded, OperatorRequest,
               WriterAge, HistoryRestored>
      what;
  int64_t unix_ms = 0;  // for records that people read; never for a decision
};

// ------------------------------------------------------------------ effects

struct SendCommand {
  std::string node;
  Command command;
};
struct WriteMetadata {
  MetadataKind kind = MetadataKind::kLog;
  std::string name;
  uint64_t expected = 0;
  std::string value;  // empty: delete
};
struct ReadMetadata {
  MetadataKind kind = MetadataKind::kLog;
  std::string name;
};
using EventValue = std::variant<int64_t, double, bool, std::string>;
struct Event {
  std::string kind;
  std::string service;
  std::string node;
  std::string text;
  std::vector<std::pair<std::string, EventValue>> details;
};
struct Answer {
  uint64_t token = 0;
  StatusCode code = StatusCode::kOk;
  std::string detail;
  std::string document;
};
struct PredictorReset {
  std::string service;
  ResetReason why = ResetReason::kMoved;
};
struct PredictorFeedback {
  std::string service;
  OutcomeKind outcome = OutcomeKind::kMoved;
  double lead_s = -1;
};

struct Effects {
  std::vector<SendCommand> commands;  // first: they are what a move waits for
  std::vector<WriteMetadata> writes;
  std::vector<ReadMetadata> reads;
  std::vector<Event> events;
  std::vector<Answer> answers;
  std::vector<std::string> ask_writer_age;  // services
  std::vector<PredictorReset> resets;
  std::vector<PredictorFeedback> feedback;
  Instant wake_at = Instant::Never();  // a Tick is wanted then
};

}  // namespace understudy::coordinator

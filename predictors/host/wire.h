// What a predictor host and its workers say to each other over a socket pair: a batch of operations down, their
// results up, one batch at a time. Little-endian frames, `u32 length, body`, bounded by kWorkerFrameBytesMax. Both
// sides are of one build, so there is no version in it; but a worker may run broken code, so everything that comes
// from it is checked. docs/predictors.md, "The host".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "predictors/host/plugin_library.h"
#include "predictors/host/predictor_host.h"

namespace understudy {

inline constexpr size_t kWorkerFrameBytesMax = 16u << 20;

enum class OpKind : uint8_t { kCreate = 1, kDestroy, kReset, kFeedback, kObserve, kPredict, kSave };

struct WorkerOp {
  OpKind kind = OpKind::kPredict;
  uint64_t instance = 0;
  std::string config;                 // kCreate
  std::string state;                  // kCreate: restored when not empty
  uint64_t seed = 0;                  // kCreate
  int32_t code = 0;                   // kReset: why; kFeedback: what came of it
  int64_t time_ns = 0;                // kPredict: now; kFeedback: when
  double lead_s = -1;                 // kFeedback
  std::vector<PluginSample> samples;  // kObserve
  std::vector<int64_t> horizons_ms;   // kPredict
};

struct WorkerResult {
  int32_t code = UNDERSTUDY_OK;
  std::string text;
  std::vector<std::string> metrics;  // of kCreate
  std::vector<Forecast> forecasts;   // of kPredict
  std::string state;                 // of kSave
};

struct WorkerBatch {
  uint64_t id = 0;
  std::vector<WorkerOp> ops;
};

// Optional slots of a plugin's table.
enum PluginSlot : uint32_t { kSlotReset = 1, kSlotFeedback = 2, kSlotSave = 4, kSlotRestore = 8 };

struct WorkerReply {
  uint64_t id = 0;                    // of the batch; 0: the greeting, with one result for the loading of the plugin
  std::string name, version;          // of the plugin; in the greeting
  uint32_t abi = 0;                   // it was compiled for; in the greeting
  uint32_t slots = 0;                 // PluginSlot bits: the optional ones it offers; in the greeting
  std::vector<WorkerResult> results;  // one an operation
  std::vector<std::string> log;       // what the plugin logged meanwhile
};

// Bodies, without the length. Decode: false when malformed.
std::string EncodeBatch(const WorkerBatch& batch);
bool DecodeBatch(std::string_view body, WorkerBatch* batch);
std::string EncodeReply(const WorkerReply& reply);
bool DecodeReply(std::string_view body, WorkerReply* reply);

}  // namespace understudy

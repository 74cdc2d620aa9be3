// What writers, takeovers, readers and replicas say to each other. Plain values; log/rpc carries them over Thrift,
// the simulator and the tests hand them over directly. Every message names the disk it means; a server that holds
// another answers kWrongDisk. `code` is kOk or says why not; `detail` is for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "log/format/batch.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

struct AppendRequest {
  LogId log;
  DiskId disk;
  Epoch epoch;
  AttemptId attempt;
  Lsn epoch_first_lsn;
  Lsn commit;      // the writer's, in this epoch
  BatchRef batch;  // null: carries the commit or a heartbeat only; answered with the durable tail, no fsync
};

struct AppendResponse {
  StatusCode code =
      StatusCode::kOk;  // kFenced, kGap, kConflict, kWrongDisk, kDataUnknown, kResourceExhausted, kCorruption
  std::string detail;
  Lsn durable_tail;  // kOk: everything of the epoch up to here is on the disk; kGap: resend from here + 1
};

struct SealRequest {
  LogId log;
  DiskId disk;
  Epoch epoch;  // appends of epochs <= this end
};

struct SealResponse {
  StatusCode code = StatusCode::kOk;  // kDataUnknown: this disk cannot say
  std::string detail;
  Lsn tail;             // of `epoch`: the last LSN held durably; epoch_first_lsn - 1, or 0 when never heard of
  Epoch highest_epoch;  // the highest epoch of the log ever seen here
};

struct BarrierRequest {
  LogId log;
  DiskId disk;
  Epoch epoch;
};

struct BarrierResponse {
  StatusCode code = StatusCode::kOk;  // kFenced: sealed
  std::string detail;
};

struct ReadRequest {
  LogId log;
  DiskId disk;
  Epoch epoch;
  Lsn from;
  Lsn to;                  // last_lsn of a closed epoch; 0: open epoch, up to the commit
  uint32_t bytes_max = 0;  // of batches in one answer; at least one batch comes. Bounded by kReadBytesMax
  uint32_t wait_ms = 0;    // how long to wait at the tail; bounded by kReadWaitMsMax
};

inline constexpr uint32_t kReadBytesMax = 12u << 20;
inline constexpr uint32_t kReadWaitMsMax = 30'000;

struct ReadResponse {
  // kOk with empty batches: nothing new; read the chain again. kShort, kTrimmed, kDataUnknown never mean "end".
  StatusCode code = StatusCode::kOk;
  std::string detail;
  std::string batches;  // stored batches, one after the other, byte for byte. The first may begin below `from`
  Lsn commit;           // of this epoch as this replica knows it
  Lsn trim;             // kTrimmed: records up to here are gone
};

// Receiver-driven copy: the receiving replica seals the epoch, reads what it lacks from `sources` (by Reads up to `to`)
// and answers once everything up to `to` is durable here. `from` is the epoch's first LSN, whatever the receiver holds
// of it.
struct FetchSource {
  DiskId disk;
  std::string address;
};
struct FetchRequest {
  LogId log;
  DiskId disk;  // the receiver
  Epoch epoch;
  Lsn from;
  Lsn to;
  Lsn trim;                          // of the chain: nothing up to here needs to be copied
  std::vector<FetchSource> sources;  // 1 to 16
};
struct FetchResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
  Lsn tail;
};

struct TrimRequest {
  LogId log;
  DiskId disk;
  Lsn lsn;
};
struct TrimResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
};

// What a replica knows of a log, for status and failure detection. Looks only.
struct ReplicaStatusRequest {
  LogId log;
  DiskId disk;
};
struct ReplicaStatusResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
  Epoch sealed;  // appends of epochs <= this are refused
  Epoch highest_epoch;
  Lsn tail;                    // durable, of highest_epoch
  Lsn commit;                  // of highest_epoch, as last heard
  int64_t writer_age_ms = -1;  // since the last word of highest_epoch's writer; -1: none since the start
  uint64_t bytes = 0;          // stored for this log
  int64_t open_epochs = 0;     // logs of this disk whose writer was heard lately
};

// Checkpoints: Begin, chunks in order, Finish (durable when answered); Read; Delete.
struct CheckpointChunk {
  LogId log;
  DiskId disk;
  uint64_t id = 0;
  uint64_t offset = 0;
  std::string bytes;    // at most kCheckpointChunkBytesMax
  uint32_t crc32c = 0;  // of bytes
  bool last = false;    // with the last chunk the file is synced and sealed under its name
};
inline constexpr uint32_t kCheckpointChunkBytesMax = 4u << 20;
struct CheckpointWriteResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
};
struct CheckpointReadRequest {
  LogId log;
  DiskId disk;
  uint64_t id = 0;
  uint64_t offset = 0;
  uint32_t bytes_max = 0;
};
struct CheckpointReadResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
  std::string bytes;
  uint32_t crc32c = 0;
  uint64_t total_bytes = 0;
};
struct CheckpointDeleteRequest {
  LogId log;
  DiskId disk;
  uint64_t id = 0;
};

// What a log server knows of its disk and of repair, as JSON (docs/rpc.md). Looks only.
struct LogServerStatusRequest {
  uint32_t needs_max = 64;  // of what needs repair, most urgent first
};
inline constexpr uint32_t kStatusNeedsMax = 1024;
struct LogServerStatusResponse {
  StatusCode code = StatusCode::kOk;
  std::string detail;
  std::string document;
};

// Mirroring: the primary pushes the batches it appends to the spare's library as well. Not acknowledged.
struct MirrorPush {
  LogId log;
  Epoch epoch;
  AttemptId attempt;  // the writer's
  Lsn commit;
  BatchRef batch;  // null: commit only
  // Set once, last: this epoch is closed in the chain and `next_owner` owns the one after it. A hint: read the chain.
  AttemptId next_owner;
};

}  // namespace understudy

// Checkpoints on their way to and from the log servers' disks: streamed in checksummed chunks, never whole in memory.
// The calls block; they belong on a thread of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "log/format/chain.h"
#include "understudy/log.h"
#include "understudy/state_machine.h"

namespace understudy {

struct CheckpointTarget {
  Runtime* runtime = nullptr;
  Cluster* cluster = nullptr;
  ChainStore* chains = nullptr;  // of the log
  EpochEntry epoch;              // ours: its disks get copies, at least its ack_quorum must have them
  // Calls back (strand held) when the commit of this epoch has reached `lsn`, or with what keeps it from that.
  std::function<void(Lsn lsn, std::function<void(Status)>)> when_committed;
  // For disks slower than a quorum of them, beyond as much time as the quorum needs: then they are left behind.
  int64_t patience_ms = 5'000;
};

// Writes `snapshot`, the state at `lsn`, to the epoch's disks; lists it in the chain once enough copies are durable and
// its LSN is committed in our epoch; then trims the log and deletes what is no longer retained. kFenced: the epoch is
// no longer ours, nothing was listed.
Result<CheckpointInfo> SaveCheckpoint(const CheckpointTarget& target, Snapshot* snapshot, Lsn lsn);

// Reads a checkpoint from whichever of its disks serves it, the next chunks in flight while one is consumed.
std::unique_ptr<CheckpointReader> OpenCheckpoint(Runtime* runtime, Cluster* cluster, LogId log,
                                                 const CheckpointEntry& checkpoint);

}  // namespace understudy

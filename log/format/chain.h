// A log's metadata: the chain of epochs, what is trimmed, which checkpoints and pins exist. One versioned key a
// log in the metadata store ("/understudy/<cluster>/logs/<id>"), changed only by compare-and-swap, stored as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

struct Owner {
  std::string node;
  std::string endpoint;  // where the application's clients reach it; may be empty
  bool operator==(const Owner&) const = default;
};

struct ReplicaRef {
  DiskId disk;
  std::string node;  // of the log server, for people and placement; the disk is the identity
  bool operator==(const ReplicaRef&) const = default;
};

struct EpochEntry {
  Epoch epoch;
  AttemptId attempt;
  Owner owner;
  Lsn first_lsn;
  std::optional<Lsn> last_lsn;  // set when closed; first_lsn - 1 for an epoch that holds nothing
  std::vector<ReplicaRef> disks;
  int ack_quorum = 1;  // A: 1 <= A <= disks.size()
  bool closed() const { return last_lsn.has_value(); }
  bool operator==(const EpochEntry&) const = default;
};

struct CheckpointEntry {
  uint64_t id = 0;
  Lsn lsn;               // covers the log up to here
  uint64_t bytes = 0;
  std::vector<DiskId> disks;  // that hold it in full
  bool operator==(const CheckpointEntry&) const = default;
};

// Keeps a checkpoint and the records above it while a spare loads.
struct Pin {
  std::string holder;         // node
  uint64_t checkpoint_id = 0; // 0: the empty state
  Lsn lsn;                    // nothing above it may be trimmed
  int64_t expires_unix_ms = 0;
  bool operator==(const Pin&) const = default;
};

struct Chain {
  LogId log;
  std::string name;
  int replicas_target = 1;  // E
  int ack_quorum = 1;       // A of the epochs to come
  std::vector<EpochEntry> epochs;  // ascending; all but the last are closed
  Lsn trim_lsn;
  std::vector<CheckpointEntry> checkpoints;  // ascending by LSN, two at most
  std::vector<Pin> pins;
  uint64_t next_checkpoint_id = 1;
  uint64_t quota_bytes = 0;  // batches above the trim LSN that it may keep on a disk; 0: no bound of its own

  const EpochEntry* last() const { return epochs.empty() ? nullptr : &epochs.back(); }
  const EpochEntry* Find(Epoch epoch) const;
  const EpochEntry* FindAttempt(const AttemptId& attempt) const;
  // The epoch whose [first_lsn, last_lsn] holds `lsn`; an open epoch holds everything from its first_lsn on.
  const EpochEntry* Covering(Lsn lsn) const;
  // The oldest LSN that must stay readable above: min of retained checkpoints and pins (0 without a checkpoint).
  Lsn TrimBound() const;
  bool operator==(const Chain&) const = default;
};

// What must hold of every chain ever stored; names the first rule broken.
Status ValidateChain(const Chain& chain);

std::string EncodeChain(const Chain& chain);
// kCorruption with the reason for what is no chain or breaks ValidateChain.
Result<Chain> DecodeChain(std::string_view json);

}  // namespace understudy

// One data directory of a log server: one disk_id, one journal for all its logs, the index that finds batches in it,
// a cache of the tails, and checkpoint files. docs/formats.md describes the bytes.
//
// Thread-safe throughout (a mutex inside, never held over a disk wait on the append path). What is acknowledged is
// only ever what FinishGroup reported durable. The store keeps what it is told; epochs, gaps, duplicates and fencing
// are decided by the Replica core above it.
//
// The append path has no thread of its own. Whoever finds HasPending() takes the committer role:
//
//     while (auto group = store->TakeGroup()) {        // with the owner's lock
//       store->WriteAndSync(group.get());              // without it: waits for the disk
//       GroupOutcome out = store->FinishGroup(std::move(group));  // with it again
//       ... answer everything up to out.durable_through, fail out.failed; stop the server when !out.fatal.ok()
//     }
//
// TakeGroup returns null while another group is under way, so that group n+1 is written only after group n's sync.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "log/env/random.h"
#include "log/format/batch.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

class CheckpointFiles;

struct LogStoreOptions {
  uint64_t segment_bytes = 64u << 20;      // of one journal file; 64 KiB to 1 GiB. A batch must fit in one
  uint64_t group_bytes_max = 8u << 20;     // of one commit group (one larger entry goes alone): bounds a sync's length
  uint64_t queue_bytes_max = 256u << 20;   // enqueued, not yet durable; Admit refuses beyond it
  uint64_t cache_bytes_max = 64u << 20;    // of newest batches kept in memory for readers at the tail
  uint64_t extent_bytes_max = 256u << 10;  // of journal one index entry covers: the unit of coalesced reads
  uint64_t index_flush_bytes = 64u << 20;  // of journal not yet in the index on disk: bounds the scan at Open
  int64_t index_flush_ms = 5'000;          // the index on disk lags at most about this long
  uint64_t relocate_bytes_per_s = 8u << 20;     // budget for copying live batches out of mostly dead segments
  size_t logs_max = 16'384;                     // logs this disk may know of, sealed ones included
  uint64_t checkpoint_bytes_max = 64ull << 30;  // of one checkpoint
  bool unsafe_no_fsync = false;                 // benchmarks only: nothing is synced, everything counts as durable
  bool background = true;                       // false: no thread is started; the owner calls Maintain() (tests)
};

enum class JournalKind : uint32_t {
  kBatch = 1,      // an append; also seals every lower epoch of the log, in the same entry
  kSeal = 2,       // appends of epochs <= `epoch` end
  kTrim = 3,       // records up to `lsn` may be deleted, in all epochs
  kFetched = 4,    // a batch copied from another replica; also seals `epoch` itself. May begin above tail + 1 (trimmed)
  kRelocated = 5,  // the store's own: a batch copied forward out of a mostly dead segment
};

struct JournalEntry {
  JournalKind kind = JournalKind::kBatch;
  LogId log;
  Epoch epoch;          // not for kTrim
  AttemptId attempt;    // batches: the epoch's writer, as far as known
  Lsn epoch_first_lsn;  // batches
  Lsn lsn;              // kTrim
  BatchRef batch;       // batches: verified by the caller; written as it is, never copied
};

// What identifies a stored batch, to tell a duplicate from a conflict.
struct BatchIdentity {
  Lsn first_lsn;
  Lsn last_lsn;
  uint32_t crc = 0;
  bool operator==(const BatchIdentity&) const = default;
};

struct RecoveredEpoch {
  Epoch epoch;
  AttemptId attempt;
  Lsn epoch_first_lsn;
  Lsn tail;            // last LSN held durably
  BatchIdentity last;  // the batch that ends at `tail`
};
struct RecoveredLog {
  LogId log;
  Epoch sealed;  // 0: nothing
  Lsn trim;
  std::vector<RecoveredEpoch> epochs;  // ascending
};
struct RecoveredState {
  DiskId disk;
  uint64_t boot_count = 0;  // already raised by this Open, durably
  bool fresh = false;       // this Open created the directory's disk_id
  // Corruption before the torn tail, or Retire(): only Read (for Fetch) may be served under this disk id.
  bool retired = false;
  std::string retired_reason;
  std::vector<RecoveredLog> logs;  // ascending by id
  uint64_t torn_bytes = 0;         // of the final group, dropped: never acknowledged
  uint64_t scanned_bytes = 0;      // of journal read because the index lagged
};

// Entries on their way to the disk; opaque: the store has the only kind there is.
class CommitGroup {
 public:
  virtual ~CommitGroup() = default;
};

struct GroupOutcome {
  // Every entry with a sequence number up to here is durable, but for those that were reported in `failed`.
  uint64_t durable_through = 0;
  struct Failed {
    uint64_t seq;
    Status status;  // kResourceExhausted: no space; the entry was not kept
  };
  // Reported once. When a batch fails, every later batch enqueued so far fails with it; seals and trims stay queued
  // and go through on reserved space.
  std::vector<Failed> failed;
  // A failed write or sync. Sticky: nothing becomes durable any more; the server must stop and say so.
  Status fatal;
};

struct StoreStats {
  uint64_t journal_bytes = 0;  // files of the journal, spare segments included
  uint64_t live_bytes = 0;     // batches above their trim LSN
  uint32_t segments_live = 0;
  uint32_t segments_ready = 0;  // prepared for the writer
  uint64_t cache_bytes = 0;
  uint64_t queue_bytes = 0;
  uint64_t index_entries_memory = 0;  // the rest of the index is on disk only
  uint64_t groups = 0;                // written since Open
  uint64_t entries = 0;               // written since Open
  uint64_t relocated_bytes = 0;       // copied forward since Open
  bool disk_full = false;
  bool unsafe_no_fsync = false;
};

class LogStore {
 public:
  // Opens or creates the data directory `dir` and recovers it. Errors: kFailedPrecondition (another process has it
  // open), kUnsupported (a later format), kResourceExhausted (no space for the first segments), kIoError, kCorruption
  // (identity file or index unreadable: it cannot be told which disk this is). Corruption in the journal is no error
  // here: see RecoveredState::retired. `files`, `random` and `clock` must outlive the store.
  static Result<std::unique_ptr<LogStore>> Open(const std::string& dir, const LogStoreOptions& options,
                                                FileSystem* files, Random* random, Clock* clock,
                                                RecoveredState* recovered);
  // No group may be under way. Entries still queued are dropped, unacknowledged. Nothing is written.
  virtual ~LogStore() = default;

  virtual DiskId disk_id() const = 0;
  // Raises the boot count by one, durably, and returns it. Touches the disk.
  virtual Result<uint64_t> RaiseBootCount() = 0;
  // Durably ends this disk_id's service; idempotent. Touches the disk.
  virtual Status Retire(const std::string& reason) = 0;
  // Why the disk is retired; empty: it is not. Changes by itself when a read meets corruption: look after reads.
  virtual std::string retired_reason() const = 0;

  // Whether an entry would be accepted now: kResourceExhausted (disk full, queue bound, logs_max), kInvalidArgument
  // (larger than a segment), kFailedPrecondition (retired), kIoError (a write or sync failed: the store is dead).
  // Seals and trims are admitted on a full disk. Ask before changing any state for an append.
  virtual Status Admit(const JournalEntry& entry) const = 0;
  // Queues an admitted entry; sequence numbers grow by one. Order of calls is order in the journal, except when a full
  // disk fails batches. Batches of one epoch come in LSN order.
  virtual uint64_t Enqueue(JournalEntry entry) = 0;

  virtual bool HasPending() const = 0;                   // TakeGroup would return a group
  virtual std::unique_ptr<CommitGroup> TakeGroup() = 0;  // null: nothing queued, or a group is under way
  virtual void WriteAndSync(CommitGroup* group) = 0;     // waits for the disk; its outcome travels in the group
  virtual GroupOutcome FinishGroup(std::unique_ptr<CommitGroup> group) = 0;

  // Durable batches of (log, epoch), whole and in order, the first one holding `from`, none beginning above `to`, about
  // `bytes_max` at most, at least one. May touch the disk; checksums verified. Errors: kShort (not held here: beyond
  // the durable tail, or an epoch never heard of), kTrimmed, kDataUnknown (corrupt; names segment and offset, and
  // retires the disk; also anything not held by a retired disk). Never touches anything outside of the range.
  virtual Result<std::string> Read(LogId log, Epoch epoch, Lsn from, Lsn to, size_t bytes_max) = 0;
  // The same from memory only; nothing when the cache cannot answer.
  virtual std::optional<Result<std::string>> TryReadCached(LogId log, Epoch epoch, Lsn from, Lsn to,
                                                           size_t bytes_max) = 0;

  // The batch that holds `lsn`, queued ones included. From memory when it is new enough, else from disk, as Read.
  virtual Result<BatchIdentity> FindBatch(LogId log, Epoch epoch, Lsn lsn) = 0;
  virtual std::optional<BatchIdentity> TryFindBatch(LogId log, Epoch epoch, Lsn lsn) const = 0;  // memory only

  virtual uint64_t LogBytes(LogId log) const = 0;  // of batches stored for a log above its trim LSN
  virtual StoreStats Stats() const = 0;

  // Brings the index on disk up to the journal, so that the next Open need not read it: for an orderly end. Touches the
  // disk.
  virtual Status FlushIndex() = 0;

  // One round of background work: segments made ahead, index flushed, dead segments recycled, live batches of mostly
  // dead ones queued for copying. The store's own thread calls it when options.background. Touches the disk.
  virtual void Maintain() = 0;

  virtual CheckpointFiles& checkpoints() = 0;
};

}  // namespace understudy

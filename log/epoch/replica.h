// One log server's disk: the rules by which it takes, refuses, seals, serves and copies batches (docs/protocol.md).
// Sans-IO, see core.h. The shell owns the journal (log/store), the disk reads and the connections.
//
// Everything is keyed (log, epoch). Nothing is answered before it is durable: replies to appends, seals, trims and
// fetches appear only in the effects of the Persisted that covers them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "log/epoch/core.h"
#include "log/epoch/messages.h"
#include "log/format/batch.h"

namespace understudy {

struct ReplicaOptions {
  DiskId disk;           // messages for another are answered kWrongDisk
  bool retired = false;  // damaged or rolled back: serves Reads with an explicit `to`, answers nothing else
  // Bounds on what comes from outside; beyond them kResourceExhausted.
  size_t logs_max = 1u << 16;
  size_t epochs_per_log_max = 1u << 12;  // not yet trimmed away
  size_t parked_reads_max = 1u << 13;    // beyond: answered at once as an empty poll
  size_t fetches_max = 64;               // copies onto this disk at one time
  size_t comparisons_max = 1u << 14;     // duplicates whose stored checksum is being looked up
  uint32_t fetch_read_bytes = 4u << 20;  // asked of a source at a time; the next read follows once it is durable
  uint32_t background_read_bytes =
      256u << 10;        // the same for background fetches: an append may have to wait behind one
  int fetch_rounds = 3;  // times all sources are tried without progress before a fetch gives up
};

// ---- inputs ----

struct ReplicaAppend {
  Token token = 0;
  AppendRequest request;
  Status admission;  // see Replica::Append
};
struct ReplicaSeal {
  Token token = 0;
  SealRequest request;
};
struct ReplicaBarrier {
  Token token = 0;
  BarrierRequest request;
};
struct ReplicaRead {
  Token token = 0;
  ReadRequest request;
};
struct ReplicaFetch {
  Token token = 0;
  FetchRequest request;
  bool background = false;  // repair, which nobody waits for: smaller pieces, and FetchReads that say so
};
struct ReplicaTrim {
  Token token = 0;
  TrimRequest request;
};
struct ReplicaStatusAsk {
  Token token = 0;
  ReplicaStatusRequest request;
};
// All journal entries with seq <= this are durable.
struct Persisted {
  uint64_t seq = 0;
};
// The journal refused or dropped the entry `seq` (no space): it was not written and never will be. When an entry with a
// batch fails, all later batches of the same log that were given out so far fail too (each may be reported, or not).
// To be told before the Persisted that passes it and before any further append. NOT for a failed write or fsync, after
// which nobody knows: that is DiskFailed.
struct PersistFailed {
  uint64_t seq = 0;
  Status status;
};
// The disk refused a write or a sync. Everything outstanding and everything to come is answered with `status` (seals
// and barriers with kDataUnknown); nothing is acknowledged ever again.
struct DiskFailed {
  Status status;
};
// The disk has become unfit at run time (a read met corruption): as ReplicaOptions::retired from now on. Everything
// outstanding is answered kDataUnknown.
struct RetireDisk {
  Status why;
};
// Answers a CompareStored.
struct Compared {
  enum class Outcome : uint8_t { kSame, kDifferent, kUnknown };
  Token token = 0;
  Outcome outcome = Outcome::kUnknown;  // kUnknown: unreadable
};
// Answers a FetchRead. Errors of transport are put into response.code (kUnavailable).
struct FetchReadDone {
  Token token = 0;
  ReadResponse response;
};

using ReplicaInput =
    std::variant<ReplicaAppend, ReplicaSeal, ReplicaBarrier, ReplicaRead, ReplicaFetch, ReplicaTrim, ReplicaStatusAsk,
                 Persisted, PersistFailed, DiskFailed, RetireDisk, Compared, FetchReadDone, Tick>;

// ---- effects ----

// To be written to the journal, in the order given. Confirmed by Persisted once it and all before it are durable.
struct PersistEntry {
  enum class Kind : uint8_t {
    kBatch,    // `batch` of (log, epoch)
    kFetched,  // the same, copied from another disk into an epoch sealed here; may begin above the tail (after a trim)
    kSeal,     // appends of epochs <= sealed_epoch end
    kTrim,     // records up to trim_lsn may be deleted
  };
  uint64_t seq = 0;  // 1, 2, 3, ... over the life of the Replica object
  Kind kind = Kind::kBatch;
  LogId log;
  Epoch epoch;          // kBatch, kFetched
  AttemptId attempt;    // kBatch; kFetched: none
  Lsn epoch_first_lsn;  // kBatch, kFetched: as far as known
  Lsn first_lsn;        // kBatch, kFetched
  Lsn last_lsn;         // kBatch, kFetched
  BatchRef batch;       // kBatch, kFetched: checksum verified
  Epoch sealed_epoch;   // kSeal; kBatch: not 0 when this entry also seals epochs <= it (the first append of an epoch)
  Lsn trim_lsn;         // kTrim
};

template <class Response>
struct TokenReply {
  Token token = 0;
  Response response;
};

// Read stored batches of (log, epoch) that end above `from - 1` and at or below `to`, in order, at least one and about
// bytes_max of them, and answer the Read `token` with them (kOk, commit). They are on the disk; when the checksum of
// one fails or it is gone, answer kDataUnknown (nothing to do but to tell: the reader goes to another disk).
struct ServeRead {
  Token token = 0;
  LogId log;
  Epoch epoch;
  Lsn from;
  Lsn to;
  uint32_t bytes_max = 0;
  Lsn commit;  // for the answer
};

// Compare the checksum (u32 at offset 4 of the stored batch) of (log, epoch, first_lsn) with `crc`; answer with
// Compared.
struct CompareStored {
  Token token = 0;  // of the append that waits for it
  LogId log;
  Epoch epoch;
  Lsn first_lsn;
  Lsn last_lsn;
  uint32_t crc = 0;
};

// Send `request` to the log server at `source`; answer with FetchReadDone. Under the I/O budget of copies.
struct FetchRead {
  Token token = 0;  // the replica's own
  FetchSource source;
  ReadRequest request;
  bool background = false;  // of a ReplicaFetch that was: all others first
};

struct ReplicaEffects {
  std::vector<PersistEntry> persist;
  std::vector<TokenReply<AppendResponse>> appends;
  std::vector<TokenReply<SealResponse>> seals;
  std::vector<TokenReply<BarrierResponse>> barriers;
  std::vector<TokenReply<ReadResponse>> reads;  // answers without data: empty polls and errors
  std::vector<ServeRead> serve;
  std::vector<TokenReply<FetchResponse>> fetches;
  std::vector<TokenReply<TrimResponse>> trims;
  std::vector<TokenReply<ReplicaStatusResponse>> statuses;  // `bytes` is the shell's to fill in
  std::vector<CompareStored> compare;
  std::vector<FetchRead> fetch_reads;
  Instant wake_at = Instant::Never();

  void Clear();  // empties, keeps the memory
};

// ---- what was found on the disk ----

struct ReplicaEpochState {
  Epoch epoch;
  AttemptId attempt;    // none: not known
  Lsn epoch_first_lsn;  // or any lower bound of it
  Lsn tail;             // last LSN of the last batch; kept by the store also when all batches are trimmed away
};
struct ReplicaLogState {
  LogId log;
  Epoch sealed;  // appends of epochs <= this are refused; 0: none
  Lsn trim;
  std::vector<ReplicaEpochState> epochs;  // ascending
};

class Replica {
 public:
  explicit Replica(ReplicaOptions options);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Before the first Step, once a log.
  void Restore(const ReplicaLogState& log);

  void Step(const ReplicaInput& input, Instant now, ReplicaEffects* out);

  // The same without wrapping the request into the variant: the hot path. `admission` is whether the journal would take
  // another batch of this log now (disk full, quota, queue bound): an append that would reach the journal is answered
  // kResourceExhausted with its message otherwise; duplicates, gaps, fences and heartbeats are answered as ever.
  void Append(Token token, const AppendRequest& request, const Status& admission, Instant now, ReplicaEffects* out);

  // What a log looks like now; kNotFound in `code` for one never heard of. `bytes` is not filled in.
  ReplicaStatusResponse StatusOf(LogId log, Instant now) const;
  // The last LSN of (log, epoch) that is durable here; 0 for an epoch never heard of. All below it is, too, but for
  // what was trimmed.
  Lsn DurableTail(LogId log, Epoch epoch) const;
  std::vector<LogId> Logs() const;
  bool retired() const;
  size_t parked_reads() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

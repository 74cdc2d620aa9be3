// The inside of Replica, shared by the files that implement it, one a verb: replica.cc (append, persistence),
// replica_seal.cc (seal, barrier, trim, status), replica_read.cc, replica_fetch.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "log/epoch/replica.h"
#include "log/epoch/ring.h"

namespace understudy {

struct Replica::Impl {
  struct InFlight {  // a batch between Step and Persisted
    Lsn first;
    Lsn last;
    uint32_t crc = 0;
    Token token = 0;  // 0: fetched, nobody waits
  };
  struct DuplicateWaiter {
    Lsn last;
    Token token = 0;
  };
  struct ParkedRead {
    Token token = 0;
    Lsn from;
    uint32_t bytes_max = 0;
    Instant deadline;
  };
  struct LogState;
  struct EpochState {
    LogState* log = nullptr;
    Epoch epoch;
    AttemptId attempt;
    Lsn epoch_first;
    bool restored = false;  // epoch_first may be a lower bound only
    Lsn tail;               // taken, perhaps not yet durable
    Lsn durable;
    Lsn commit;
    Instant heard;
    bool heard_any = false;
    bool touched = false;  // on touched_
    Ring<InFlight> in_flight;
    std::vector<DuplicateWaiter> duplicates;
    std::vector<ParkedRead> parked;
    int fetches = 0;  // running onto this epoch
    Lsn ReadLimit() const { return std::min(commit, durable); }
  };
  struct LogState {
    LogId log;
    Epoch sealed;                                     // in force
    Epoch durable_sealed;                             // on the disk
    Lsn trim;                                         // on the disk
    std::vector<std::unique_ptr<EpochState>> epochs;  // ascending
    Epoch HighestEpoch() const;
  };
  struct Pending {  // a journal entry given out; sequence numbers are first_pending_ + index
    PersistEntry::Kind kind = PersistEntry::Kind::kBatch;
    bool failed = false;
    LogState* log = nullptr;
    EpochState* epoch = nullptr;  // batches
    Epoch sealed_epoch;
    Lsn trim;
    Epoch asked_epoch;  // seals: the epoch whose tail is answered
    Token token = 0;    // seals and trims
  };
  struct Comparison {
    LogId log;
    Epoch epoch;
    Lsn last;
  };
  struct FetchState {
    Token token = 0;
    FetchRequest request;
    bool background = false;
    LogState* log = nullptr;
    EpochState* epoch = nullptr;
    uint64_t begin_seq = 0;  // the seal (and trim) that must be durable first
    Token read_token = 0;    // outstanding read; 0: none
    size_t source = 0;
    int failures = 0;    // reads without progress in a row
    size_t denials = 0;  // of them in a row, the last ones: the source itself said that it has not got it
    Lsn Held() const { return std::max(epoch->durable, request.trim); }
  };

  explicit Impl(ReplicaOptions o) : options(std::move(o)) {}

  // replica.cc
  void Append(Token token, const AppendRequest& request, const Status& admission, Instant now, ReplicaEffects* out);
  void AppendBatch(Token token, const AppendRequest& request, const Status& admission, EpochState* epoch,
                   ReplicaEffects* out);
  void Duplicate(Token token, const BatchHeader& header, EpochState* epoch, ReplicaEffects* out);
  void OnCompared(const Compared& input, ReplicaEffects* out);
  void OnPersisted(uint64_t seq, ReplicaEffects* out);
  void OnPersistFailed(const PersistFailed& input, ReplicaEffects* out);
  void AbandonAll(const Status& status, ReplicaEffects* out);  // answers everything outstanding
  void SettleTouched(ReplicaEffects* out);
  void Touch(EpochState* epoch);
  uint64_t Emit(PersistEntry entry, Pending pending, ReplicaEffects* out);
  void EmitBatch(PersistEntry::Kind kind, const BatchHeader& header, BatchRef batch, Token token, EpochState* epoch,
                 ReplicaEffects* out);
  LogState* Find(LogId log) const;
  LogState* FindOrCreate(LogId log, std::string* why_not);
  static EpochState* FindEpoch(const LogState* log, Epoch epoch);
  EpochState* FindOrCreateEpoch(LogState* log, Epoch epoch, Lsn epoch_first, std::string* why_not);
  // kOk: this disk may answer. Else the code and reason of every answer.
  Status Refusal(const DiskId& disk) const;

  // replica_seal.cc
  void Seal(Token token, const SealRequest& request, ReplicaEffects* out);
  void PutSealInForce(LogState* log, Epoch epoch, ReplicaEffects* out);
  void AnswerSeal(Token token, LogState* log, Epoch asked, ReplicaEffects* out);
  void Barrier(Token token, const BarrierRequest& request, Instant now, ReplicaEffects* out);
  void Trim(Token token, const TrimRequest& request, ReplicaEffects* out);
  void Trimmed(LogState* log, Lsn lsn, ReplicaEffects* out);
  ReplicaStatusResponse StatusOf(LogId log, Instant now) const;

  // replica_read.cc
  void Read(Token token, const ReadRequest& request, Instant now, ReplicaEffects* out);
  void WakeReaders(EpochState* epoch, ReplicaEffects* out);  // serves, or ends the wait when sealed
  void ExpireReaders(Instant now, ReplicaEffects* out);
  void AnswerRead(Token token, StatusCode code, std::string detail, Lsn commit, Lsn trim, ReplicaEffects* out);

  // replica_fetch.cc
  void Fetch(const ReplicaFetch& input, ReplicaEffects* out);
  void ContinueFetch(FetchState* fetch, ReplicaEffects* out);
  void OnFetchRead(const FetchReadDone& input, ReplicaEffects* out);
  Status TakeFetched(FetchState* fetch, std::string_view bytes, bool* progress, ReplicaEffects* out);
  void EndFetch(FetchState* fetch, StatusCode code, std::string detail, ReplicaEffects* out);
  void ContinueFetches(ReplicaEffects* out);

  ReplicaOptions options;
  Status failed;  // not ok: the disk failed
  std::unordered_map<LogId, std::unique_ptr<LogState>> logs;
  Ring<Pending> pending;
  uint64_t first_pending = 1;  // seq of pending.front()
  uint64_t next_seq = 1;
  uint64_t durable_seq = 0;  // highest that was confirmed
  std::vector<EpochState*> touched;
  std::unordered_map<Token, Comparison> comparisons;
  std::vector<std::unique_ptr<FetchState>> fetches;
  Token next_fetch_read = 1;
  size_t parked_count = 0;
  size_t duplicate_count = 0;
  Instant next_deadline = Instant::Never();  // of parked reads; may be earlier than needed, never later
};

}  // namespace understudy

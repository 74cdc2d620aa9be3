// Becoming the writer of a log by force: seal, settle where the epoch ends, copy, compare-and-swap (docs/protocol.md).
// Sans-IO, see core.h. Runs in the program that is to become the writer. One object is one try with one attempt id.
//
// It also opens epoch 1 of a new log, opens an epoch above a closed one, and adopts an epoch that is already ours
// (after a handover, or when the answer to our own CAS was lost with the previous call).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "log/epoch/core.h"
#include "log/epoch/messages.h"

namespace understudy {

struct TakeoverOptions {
  LogId log;
  AttemptId attempt;     // fresh; or the one that PREPARE drew, to adopt
  Owner owner;           // us
  Epoch expected_epoch;  // the last epoch the caller knows of; 0: none
  // Once coverage and A disks are there, so long are disks waited for that have not answered yet, so that the next
  // epoch opens with E of them rather than A. Disks that failed are not waited for.
  int64_t gather_ms = 20;
  int64_t retry_ms = 50;  // between tries of a disk that did not answer; doubles up to retry_ms_max
  int64_t retry_ms_max = 1000;
};

// ---- inputs ----

// Begins. `candidates`: every disk known to be alive, best first, with the address of its server (for Fetch sources
// too).
struct CandidateDisk {
  ReplicaRef disk;
  std::string address;
  std::string zone = {};  // see PlacementDisk
  bool draining = false;
};
struct TakeoverStart {
  std::vector<CandidateDisk> candidates;
  // Every disk that has an entry, those that did not answer included: a disk of the old epoch that answers us though it
  // is no candidate is placed by what stands here.
  std::vector<CandidateDisk> listed = {};
};
// Newer lists, at any time.
struct TakeoverCandidates {
  std::vector<CandidateDisk> candidates;
  std::vector<CandidateDisk> listed = {};
};
// Answers a SendSeal or SendFetch. Errors of transport are put into response.code.
struct SealAnswered {
  Token token = 0;
  SealResponse response;
};
struct FetchAnswered {
  Token token = 0;
  FetchResponse response;
};
// An operator accepts the loss of what only silent disks hold, and has confirmed that the old writer's node is off.
// Disks that failed are asked once more; when all have answered or failed, the epoch ends with what the others hold,
// and the next one begins kLossGap above all that is known to have existed.
struct TakeoverAcceptLoss {
  Lsn known_commit;  // the highest LSN that anybody is known to have called committed
};
inline constexpr uint64_t kLossGap = uint64_t{1} << 32;
// Nothing that this disk said counts any more: retired, wiped, gone for good.
struct DiskUnknown {
  DiskId disk;
};

using TakeoverInput = std::variant<TakeoverStart, TakeoverCandidates, TakeoverAcceptLoss, SealAnswered, FetchAnswered,
                                   DiskUnknown, ChainReadDone, ChainCasDone, Tick>;

// ---- effects ----

struct SendSeal {
  Token token = 0;  // 0: answer not wanted
  ReplicaRef disk;
  SealRequest request;
};
struct SendFetch {
  Token token = 0;
  ReplicaRef disk;  // the receiver
  FetchRequest request;
};

struct TakeoverResult {
  // kOk: ours. kFenced: the chain has moved past expected_epoch; `chain` says who owns it. kDataUnknown: the metadata
  // was rolled back (a disk has seen a higher epoch, or the chain is below expected_epoch): alarm, a person is needed.
  // kNotFound: no such log. kInvalidArgument: the chain cannot be extended so.
  Status status;
  VersionedChain chain;  // as last read
  // kOk: everything up to here is in the log: our epoch's first_lsn - 1. Apply up to it, then serve.
  Lsn last_lsn;
  bool adopted = false;  // the epoch was ours before
  EpochEntry epoch;      // kOk: the open epoch, for Writer
  // kOk: records [from, to] were given up (TakeoverAcceptLoss); readers get them as a LossGap.
  std::optional<std::pair<Lsn, Lsn>> loss;
};

// What it waits for, for people and for the operator's `status`.
struct TakeoverWait {
  std::string text;               // "epoch 3 needs 1 more of disks 12ab.. (n2), 34cd.. (n3)"
  std::vector<ReplicaRef> disks;  // any of these would help
};

struct TakeoverEffects {
  std::vector<SendSeal> seals;
  std::vector<SendFetch> fetches;
  std::vector<ChainOp> chain_ops;
  std::optional<TakeoverResult> result;  // once, last
  std::optional<TakeoverWait> waiting;   // said when it changes, after a disk failed to answer
  Instant wake_at = Instant::Never();

  void Clear();
};

class Takeover {
 public:
  explicit Takeover(TakeoverOptions options);
  ~Takeover();
  Takeover(const Takeover&) = delete;
  Takeover& operator=(const Takeover&) = delete;

  void Step(const TakeoverInput& input, Instant now, TakeoverEffects* out);

  bool done() const;
  // A CAS of ours is out and not settled: giving up now leaves it open whether the epoch is ours. Try again with the
  // same attempt id to learn it.
  bool in_doubt() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

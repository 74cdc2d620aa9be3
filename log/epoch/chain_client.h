// Settles one compare-and-swap on a log's chain that puts a new epoch (with its fresh attempt id) into it.
//
// A lost reply is an unknown outcome. It is settled only by finding the attempt id in the chain, by a newer version
// without it, or by winning a no-op CAS on the version the first one named. Reading an unchanged chain settles nothing:
// the CAS may still land. Sans-IO, see core.h. Embedded by Writer and Takeover; their shells see only the ChainOps.
//
// Edits of the chain that can be repeated without harm (a checkpoint listed, a pin set, the trim LSN raised) need none
// of this: read, edit, CAS, and after any doubt read and look again.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "log/epoch/core.h"

namespace understudy {

class ChainClient {
 public:
  enum class Verdict : uint8_t {
    kWon,   // the epoch of `attempt` is in the chain
    kLost,  // this CAS did not land and never will
  };
  struct Outcome {
    Verdict verdict = Verdict::kLost;
    // kWon: a chain that holds the epoch. kLost: the newest chain read; of the version the CAS was based on when it was
    // never sent.
    VersionedChain current;
  };

  // Tokens handed out are first_token, first_token + 1, ...
  explicit ChainClient(Token first_token, int64_t retry_ms = 20);

  // Begins a CAS of `base` to `desired`, in which `attempt` appears for the first time. One at a time.
  void Propose(const VersionedChain& base, Chain desired, const AttemptId& attempt, Instant now,
               std::vector<ChainOp>* ops);
  // Begins a plain read, repeated until it succeeds; the outcome arrives through Step as kLost with the chain.
  void Read(Instant now, std::vector<ChainOp>* ops);

  // Feed every completion and Tick here; those of other tokens are ignored. An outcome ends the proposal.
  std::optional<Outcome> Step(const ChainReadDone& input, Instant now, std::vector<ChainOp>* ops);
  std::optional<Outcome> Step(const ChainCasDone& input, Instant now, std::vector<ChainOp>* ops);
  void Step(const Tick& input, Instant now, std::vector<ChainOp>* ops);

  bool busy() const { return phase_ != Phase::kIdle; }
  // True from the moment a CAS was sent until it is certain that it has not landed and cannot: what a freeze waits for.
  bool in_doubt() const { return phase_ == Phase::kCas || phase_ == Phase::kSettleRead || phase_ == Phase::kNoopCas; }
  Instant wake_at() const { return wake_at_; }

 private:
  enum class Phase : uint8_t { kIdle, kRead, kCas, kSettleRead, kNoopCas, kLostRead };
  void SendRead(std::vector<ChainOp>* ops);
  void RetryReadLater(Instant now);
  std::optional<Outcome> Finish(Verdict verdict, VersionedChain current);

  Phase phase_ = Phase::kIdle;
  Token next_token_;
  int64_t retry_ms_;
  Token waiting_for_ = 0;  // the only op outstanding; 0 while a retry is due
  Instant wake_at_ = Instant::Never();
  VersionedChain base_;
  Chain desired_;
  AttemptId attempt_;
};

// `chain` with its last epoch closed at `last_lsn` (when it is open) and `next` behind it. Closed epochs wholly at or
// below the trim LSN leave.
Chain CloseAndOpen(const Chain& chain, Lsn last_lsn, EpochEntry next);

}  // namespace understudy

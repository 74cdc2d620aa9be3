// The inside of Takeover, shared by takeover.cc (chain, seals, answers) and takeover_settle.cc (coverage, T, copies,
// CAS).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "log/epoch/chain_client.h"
#include "log/epoch/takeover.h"

namespace understudy {

struct Takeover::Impl {
  enum class Phase : uint8_t { kIdle, kReading, kSettling, kCas, kDone };
  enum class Word : uint8_t { kNone, kGiven, kFailed };  // what is known of a disk
  struct Disk {
    ReplicaRef ref;
    std::string address;
    std::string zone;
    bool draining = false;
    bool member = false;     // of the epoch to be sealed
    bool candidate = false;  // for the next one
    bool gone = false;       // DiskUnknown: counts for nothing, is asked nothing
    Word word = Word::kNone;
    Lsn held;              // kGiven: everything of the epoch up to here is on it, as far as it has ever said
    Token seal_token = 0;  // asked, not answered
    Token fetch_token = 0;
    Instant retry_at;  // kFailed: when to ask again
    Instant fetch_retry_at;
    int64_t backoff_ms = 0;
    std::string error;
    bool trusted() const { return word == Word::kGiven && !gone; }
  };

  explicit Impl(TakeoverOptions o) : options(std::move(o)), chain(1, options.retry_ms) {}

  // takeover.cc
  void SetCandidates(const std::vector<CandidateDisk>& candidates, const std::vector<CandidateDisk>& listed);
  void PlaceMembers();  // those that are no candidates
  void OnChain(VersionedChain current, TakeoverEffects* out);
  void OnOutcome(ChainClient::Outcome outcome, Instant now, TakeoverEffects* out);
  void OnSeal(const SealAnswered& input, Instant now, TakeoverEffects* out);
  void OnFetch(const FetchAnswered& input, Instant now, TakeoverEffects* out);
  void AskSeal(Disk& disk, TakeoverEffects* out);
  void AskSeals(Instant now, TakeoverEffects* out);
  void DiskFailed(Disk& disk, StatusCode code, const std::string& detail, Instant now);
  void AcceptLoss(const TakeoverAcceptLoss& input);
  void Finish(StatusCode code, std::string message, TakeoverEffects* out);
  void FinishOk(const VersionedChain& current, const EpochEntry& entry, bool adopted, TakeoverEffects* out);
  Disk* Find(const DiskId& disk);
  Disk& FindOrAdd(const ReplicaRef& ref);

  // takeover_settle.cc
  void Settle(Instant now, TakeoverEffects* out);  // goes as far as what is known allows
  bool Covered(TakeoverEffects* out);
  bool CopiedToQuorum(Instant now, TakeoverEffects* out);
  // Of the next epoch: the best of the disks that `counts` holds for.
  std::vector<ReplicaRef> NextDisks(const std::function<bool(const Disk&)>& counts) const;
  std::vector<ReplicaRef> HopedFor() const;
  void Propose(std::vector<ReplicaRef> disks, Instant now, TakeoverEffects* out);
  void Wait(std::string text, std::vector<ReplicaRef> disks, TakeoverEffects* out);
  bool Holds(const Disk& disk) const;

  void LookAgain(Instant now, TakeoverEffects* out);
  Instant WakeAt(Instant now) const;

  TakeoverOptions options;
  Phase phase = Phase::kIdle;
  ChainClient chain;
  VersionedChain current;
  EpochEntry old;  // the epoch to close; epoch 0 when the log has none
  bool old_open = false;
  std::vector<Disk> disks;                  // members first, then candidates as they were given
  std::map<DiskId, CandidateDisk> entries;  // every disk that has one, as last listed
  std::optional<Lsn> end;                   // T
  bool accept_loss = false;
  bool lossy = false;  // `end` stands without coverage
  Lsn known_commit;
  Epoch highest_seen;  // by any disk
  bool rollback_check = false;
  Token next_token = 1;
  Instant gather_until = Instant::Never();
  Instant look_again_at = Instant::Never();  // at the chain, while settling
  Instant cas_retry_at;
  std::string last_wait;
};

}  // namespace understudy

// The inside of Repairer, shared by repairer.cc (inputs, disks, status), repairer_needs.cc (what needs repair, whose
// turn it is) and repairer_jobs.cc (doing it).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "log/epoch/repairer.h"

namespace understudy {

struct Repairer::Impl {
  using Word = RepairDiskWord;
  using Kind = RepairKind;

  struct Disk {
    DiskEntry entry;      // node and address stay when the entry is gone
    bool listed = false;  // has an entry
    Token ask_token = 0;  // asked, not answered
    bool answers = false;
    StatusCode last_code = StatusCode::kOk;  // of the last answer
    std::optional<Instant> silent_since;     // not reached since
    std::optional<Instant> wrong_since;      // another disk answers in its place
    std::optional<Instant> unlisted_since;   // a chain names it, the metadata do not
    uint64_t epochs = 0;
    uint64_t checkpoints = 0;
  };

  struct Key {
    LogId log;
    Epoch epoch;              // 0: a checkpoint
    uint64_t checkpoint = 0;  // 0: an epoch
    auto operator<=>(const Key&) const = default;
  };
  enum class Phase : uint8_t { kWaiting, kWatching, kAsking, kFetching, kCopying, kReading, kSwapping };
  struct Need {
    Key key;
    Kind kind = Kind::kReplace;
    // As of the last look.
    EpochEntry entry;       // an epoch
    CheckpointEntry saved;  // a checkpoint
    std::vector<ReplicaRef> members;
    Lsn trim;
    int wanted = 0;
    int quorum = 1;
    int fit = 0;
    size_t turn = 0;                 // how many come before us
    std::vector<ReplicaRef> before;  // those just before us
    bool ours = false;               // we may act at all
    uint64_t looked = 0;             // number of the look that found it last
    // Over looks.
    Instant since;
    Instant retry_at;
    int64_t backoff_ms = 0;
    int failures = 0;  // of copies in a row, with every source answering
    bool lost = false;
    std::string alarm;  // to be said if the chain still lists the same disks
    std::string text;
    Lsn progress;  // seen of those before us
    // Of the try under way.
    Phase phase = Phase::kWaiting;
    Token token = 0;
    int swaps = 0;  // compare-and-swaps lost in a row
    std::map<Token, DiskId> questions;
    std::vector<DiskId> complete;  // kDrop: members that hold it in full, by their own word
    Lsn furthest;                  // kWatching: of those before us
    bool below_quorum() const { return fit < quorum; }
    bool running() const { return phase != Phase::kWaiting; }
    // Nothing of it needs to be on a disk.
    bool empty(Lsn trim_lsn) const { return *entry.last_lsn < entry.first_lsn || *entry.last_lsn <= trim_lsn; }
  };

  explicit Impl(RepairerOptions o);

  // repairer.cc
  void OnDiskAnswered(const RepairDiskAnswered& input, Instant now);
  void AskDisks(Instant now, RepairerEffects* out);
  Word WordOf(const DiskId& id, Instant now) const;
  bool Lost(const DiskId& id, Instant now) const { return WordOf(id, now) >= Word::kDraining; }
  const std::string& AddressOf(const DiskId& id) const;
  std::string Name(const DiskId& id) const;    // "12ab34cd (node)"
  static std::string Title(const Need& need);  // "log 7 epoch 3"
  Instant WakeAt(Instant now) const;

  // repairer_needs.cc
  void OnLook(const RepairLook& look, Instant now, RepairerEffects* out);
  void TakeEntries(const RepairLook& look, Instant now);
  void CountReferences(const RepairLook& look, Instant now);
  void Judge(const VersionedChain& chain, const EpochEntry& entry, Instant now, std::vector<Need>* found);
  void JudgeCheckpoint(const VersionedChain& chain, const CheckpointEntry& saved, Instant now,
                       std::vector<Need>* found);
  void Rank(Need* need, Instant now) const;
  void Keep(std::vector<Need> found, Instant now, RepairerEffects* out);
  bool Held(const Need& need, Lsn trim) const;  // by us, in full
  int FitOf(const std::vector<ReplicaRef>& members, Instant now) const;
  static bool MoreUrgent(const Need& a, const Need& b);
  Instant ReadyAt(const Need& need) const;

  // repairer_jobs.cc
  void StartJobs(Instant now, RepairerEffects* out);
  void Start(Need* need, Instant now, RepairerEffects* out);
  void Copy(Need* need, Instant now, RepairerEffects* out);
  std::vector<FetchSource> Sources(const Need& need, Instant now) const;
  void OnHeld(const RepairHeldAnswered& input, Instant now, RepairerEffects* out);
  void Ask(Need* need, const ReplicaRef& disk, RepairerEffects* out);
  void AllAnswered(Need* need, Instant now, RepairerEffects* out);
  // Why nobody could give us what is missing: nothing when a disk may still come back.
  std::optional<std::string> NobodyHasIt(const Need& need, Instant now) const;
  std::optional<ReplicaRef> Worst(const std::vector<ReplicaRef>& members, Instant now) const;
  void OnFetched(const RepairFetched& input, Instant now, RepairerEffects* out);
  void OnCopied(const RepairCheckpointCopied& input, Instant now, RepairerEffects* out);
  void OnRead(const ChainReadDone& input, Instant now, RepairerEffects* out);
  void OnSwapped(const ChainCasDone& input, Instant now, RepairerEffects* out);
  void ReadChain(Need* need, RepairerEffects* out);
  // What the chain should become; nothing when there is nothing left to do, with the reason in `why`.
  std::optional<Chain> Edit(const Need& need, const Chain& chain, Instant now, std::string* why) const;
  std::optional<Chain> EditCheckpoint(const Need& need, const Chain& chain, Instant now, std::string* why) const;
  void SayLost(Need* need, const Chain& chain, Instant now, RepairerEffects* out);
  void CopyFailed(Need* need, const Status& why, Instant now, RepairerEffects* out);
  void Postpone(Need* need, std::string why, Instant now);
  void Done(Need* need, std::string what, bool changed, RepairerEffects* out);
  Need* FindRunning(Token token);

  RepairerOptions options;
  bool stopped = false;
  uint64_t looks = 0;
  uint64_t chains_seen = 0;
  uint64_t chains_ignored = 0;
  uint64_t needs_seen = 0;
  uint64_t needs_below_quorum = 0;
  uint64_t repaired_epochs = 0;
  uint64_t repaired_checkpoints = 0;
  Token next_token = 1;
  Instant next_ask;
  size_t running = 0;
  std::map<DiskId, Disk> disks;
  std::map<Key, Need> needs;
};

}  // namespace understudy

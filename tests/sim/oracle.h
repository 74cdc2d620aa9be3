// What must hold, whatever happens: the checkers. They are told what the programs saw and did, and look at what the
// disks hold; they know nothing of how it came to be. The first broken rule stops the run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "log/epoch/core.h"
#include "log/format/batch.h"
#include "log/format/chain.h"

namespace understudy::sim {

// One entry a checker; docs/testing.md has the list.
enum class Rule : uint8_t {
  kAckedOnQuorum,    // a record is acknowledged only when A disks of its epoch hold it
  kAckedOnce,        // one record, and no other, is acknowledged at an LSN
  kAckedInEpoch,     // nothing is acknowledged above its epoch's last_lsn, or in an epoch that is not in the chain
  kAckedReadable,    // every acknowledged record stays in the log, at its LSN, on some live disk
  kClosedImmutable,  // what the chain says of an epoch that ended never changes
  kClosedComplete,   // a closed epoch is complete up to its last_lsn on some live disk
  kOneContent,       // no two disks differ at one (epoch, LSN)
  kChainValid,       // only valid chains are written; LSNs go on without a gap
  kCommitForward,    // a writer's commit never goes back
  kBarrier,          // no read barrier of a deposed primary completes, none before what it covers is acknowledged
  kTrim,             // trim <= the oldest retained checkpoint, and pins
  kCheckpoint,       // a listed checkpoint is on a live disk, and covers only what is committed
  kReaderOrder,      // readers see every record once, in order
  kReaderContent,    // ... and only what is in the log
  kSpareState,       // a spare's state equals the primary's at the same LSN
  kLiveTakeover,     // when faults stop, takeovers end
  kLiveWrites,       // ... and writes resume
  kLiveReaders,      // ... and readers reach the commit
  kHealthyKept,      // no healthy primary is replaced because coordinators or the metadata were away
  kLiveServed,       // when faults stop, every service is served again, and plans end
  kOneMove,          // a coordinator commands what its one plan for a service says, and one recovery at a time
  kPausedKept,       // no forecast begins a switch after an operator was told that those are paused
  kSettingsKept,     // ... nor under the brake, in a dry run, outside of the windows that an operator was told of
  kLabelsKept,       // nodes that are chosen for a service carry its labels
  kRestartSaved,     // a process is restarted on purpose only after a checkpoint of it was listed
  kRemovedStopped,   // when faults stop, removed services have been stopped
  kRetiredSilent,    // a retired disk vouches for nothing: no append, seal or barrier succeeds on it
  kLiveRepair,       // when faults stop, closed epochs get back as many full replicas as they should have
  kAlarm,            // nobody cries that the metadata was rolled back, or something lost, when it was not
  kLoss,       // records are given up only as the operator accepted, when too few disks answer, and readers hear it
  kPlacement,  // an epoch opens on as many disks as there are, spared of draining ones, over as many zones as there are
  kCheckFailed,  // a core's own UNDERSTUDY_CHECK
  kLivelock,     // somebody asks for its tick for ever
};
inline constexpr int kRules = static_cast<int>(Rule::kLivelock) + 1;
const char* RuleName(Rule rule);  // "acked-on-quorum"

struct Finding {
  Rule rule = Rule::kCheckFailed;
  std::string text;
  Instant at;
};

struct Stored {
  Lsn first;
  Lsn last;
  BatchRef batch;
};

// A disk as whoever opens an epoch knows it.
struct PlacedDisk {
  std::string node;
  std::string zone;
  bool draining = false;
  bool seen = false;  // alive
};

// What the disks of the cluster hold, for the checkers alone.
class Holdings {
 public:
  virtual ~Holdings() = default;
  // Everything durable of (log, epoch) on `disk`, ascending; null when the disk is not trusted (gone, retired,
  // damaged).
  virtual const std::vector<Stored>* Find(const DiskId& disk, LogId log, Epoch epoch) const = 0;
  virtual bool HoldsCheckpoint(const DiskId& disk, LogId log, uint64_t id) const = 0;
};

class Oracle {
 public:
  explicit Oracle(const Holdings* holdings) : holdings_(holdings) {}

  std::function<Instant()> now = [] { return Instant(); };
  std::function<void(const Finding&)> on_finding;  // once
  const std::optional<Finding>& finding() const { return finding_; }
  void Broken(Rule rule, std::string text);

  void AddLog(const VersionedChain& chain);
  // ---- what happens ----
  // The metadata took a new value.
  void OnChain(const VersionedChain& chain);
  // The writer of `epoch` reports its commit at `lsn`; records between the last report and this one are acknowledged.
  void OnAcked(LogId log, Epoch epoch, const AttemptId& attempt, Lsn lsn, uint64_t payload, const std::string& who);
  void OnCommit(LogId log, Epoch epoch, Lsn before, Lsn commit, const std::string& who);
  // A read barrier completed: `deposed` when the chain had passed its writer before the call, `need` the last LSN
  // appended before it.
  void OnBarrier(LogId log, bool deposed, Lsn need, Lsn commit, const std::string& who);
  // A reader applied a record; `state` is what its state machine's state became.
  void OnApplied(LogId log, Lsn expected, Lsn lsn, uint64_t payload, uint64_t state, const std::string& who);
  // A reader's records from `next` on were trimmed away although `held` (a pin that has not expired, or none) kept
  // them.
  void OnTrimmedAway(LogId log, Lsn next, const std::string& who);
  // The operator gives up what only the lost disks of `epoch` hold; before, its records may be on no live disk.
  void GiveUp(LogId log, Epoch epoch);
  // A takeover proposes to end `epoch` at `end` and to give up what lies above; the disks that answer it and have not
  // failed since say that they hold the epoch up to `tails`.
  void OnLossProposed(LogId log, Epoch epoch, Lsn end, const std::vector<Lsn>& tails, const std::string& who);
  // A reader at `expected` with `state` is told that [from, to] never come.
  void OnLoss(LogId log, Lsn expected, Lsn from, Lsn to, uint64_t state, const std::string& who);
  // An epoch is about to be opened on `chosen`; `fit` could have been taken, up to `target` of them.
  void OnPlaced(LogId log, const std::vector<PlacedDisk>& chosen, const std::vector<PlacedDisk>& fit, size_t target,
                const std::string& who);
  // Repair says that a closed epoch, or a checkpoint (not 0), is on none of its disks any more.
  void OnLostAlarm(LogId log, Epoch epoch, uint64_t checkpoint, const std::string& text);
  // A disk has something else than its writer sent.
  void OnConflict(LogId log, const std::string& text);
  void OnRollbackAlarm(LogId log, const std::string& text);
  // Disks were lost, or a run ends: everything settled must still be there.
  void Audit();

  // ---- what is known ----
  const VersionedChain& chain(LogId log) const { return logs_.at(log).chain; }
  Lsn settled(LogId log) const { return logs_.at(log).Last(); }                      // contents up to here are decided
  std::optional<Epoch> given_up(LogId log) const { return logs_.at(log).given_up; }  // and still open
  uint64_t state(LogId log, Lsn lsn) const;  // of a state machine that has applied everything up to there
  uint64_t acked() const { return acked_; }
  // Closed epochs of `log` that fewer than min(E, `disks_left`) of their disks hold in full; the first of them.
  const EpochEntry* Thin(LogId log, int disks_left) const;
  // Whether the cluster may lose `disk` for good without losing anything acknowledged: the table of survivable faults.
  bool MayLose(const DiskId& disk) const;
  // Whether every closed epoch and checkpoint outlives the loss of all of `disks` at once.
  bool SettledOutlives(const std::vector<DiskId>& disks) const;

 private:
  struct Truth {
    uint64_t payload = 0;
    uint64_t state = 0;
    Epoch epoch;
    bool acked = false;
  };
  struct Log {
    VersionedChain chain;
    std::vector<Truth> truth;  // in order, without what was given up
    // LSNs that an accepted loss skipped: (after, to]. The first of them may have been acknowledged once.
    struct Gap {
      Lsn after;
      Lsn to;
      size_t position = 0;  // in truth, of to + 1
      std::vector<Truth> lost;
    };
    std::vector<Gap> gaps;
    std::optional<Epoch> given_up;

    Lsn Last() const;
    Truth* At(Lsn lsn);  // null: never known, or skipped
    const Truth* At(Lsn lsn) const { return const_cast<Log*>(this)->At(lsn); }
    std::optional<uint64_t> StateAt(Lsn lsn) const;
  };
  void CheckEpochs(const Log& before, const VersionedChain& now);
  void Settle(Log* log, const EpochEntry& closed);
  void OpenGap(Log* log, const Chain& before, const EpochEntry& opened);
  void CheckCheckpoints(const Log& log, const Chain& before);
  bool Append(Log* log, Lsn lsn, uint64_t payload, Epoch epoch, bool acked);
  // The payload at `lsn` of `entry` on a live disk; nullopt: on none.
  std::optional<uint64_t> ContentAt(const EpochEntry& entry, LogId log, Lsn lsn) const;
  // Holds all of `entry` from `from` to `to` and is trusted.
  bool HoldsAll(const DiskId& disk, LogId log, Epoch epoch, Lsn from, Lsn to) const;
  int FullHolders(LogId log, const EpochEntry& entry, Lsn from, Lsn to, const std::vector<DiskId>& without = {}) const;
  void CheckOneContent(LogId id, const EpochEntry& entry, Lsn from, Lsn to);

  const Holdings* holdings_;
  std::map<LogId, Log> logs_;
  std::optional<Finding> finding_;
  uint64_t acked_ = 0;
};

// The simulated application's records are one 64-bit number each (and padding), its state a hash over them.
uint64_t NextState(uint64_t state, Lsn lsn, uint64_t payload);
// After a loss it begins afresh, so that all agree again, however far each of them had come before.
uint64_t StateAfterLoss(Lsn to);
std::string EncodePayload(uint64_t payload, size_t padding);
uint64_t DecodePayload(std::string_view bytes);

}  // namespace understudy::sim

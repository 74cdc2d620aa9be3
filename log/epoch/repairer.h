// Background repair: brings closed epochs and checkpoints that lost a disk back onto as many disks as the log wants
// (docs/protocol.md, "Repair"). Sans-IO, see core.h. Runs on every log server, for the server's own disk: it is the one
// that copies and then lists itself. Open epochs are none of its business: their writer changes disks by a Move.
//
// What it does with a closed epoch, whose members are those disks that the chain lists, and of which those are lost
// that are retired, draining, wiped, removed from the metadata or not reached for `repair_after_ms`:
//   complete  we are a member and hold less than the epoch has (our copy was cut short): fetch the rest.
//   replace   fewer members than E are fit: whoever comes first by placement, and by a hash of (log, epoch, disk) among
//             equals, fetches it in full, and only then swaps itself for one lost member by compare-and-swap. All
//             servers come to the same order; who comes later acts only when those before it have not come forward in
//             time.
//   drop      E fit members hold it in full, by their own word: the lost ones leave the list.
// A checkpoint that lost a disk is copied and listed alike, up to A of them.
// The number of disks that hold an epoch in full never falls: nobody leaves a list but for one whose copy was verified.
// Two that act on the same epoch by mistake waste a copy, nothing else.
//
// Memory: what needs repair, bounded by `needs_max`; the chains themselves are not kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "log/epoch/core.h"
#include "log/epoch/messages.h"
#include "log/format/chain.h"
#include "log/format/disk_entry.h"

namespace understudy {

struct RepairerOptions {
  ReplicaRef disk;  // ours
  // A disk that does not answer for so long is replaced. Counted from the first question it did not answer.
  int64_t repair_after_ms = 300'000;
  // A disk that is gone for good, by what can be seen (its server answers for another disk; it has no entry in the
  // metadata), is replaced after so long, or repair_after_ms when that is less.
  int64_t gone_after_ms = 10'000;
  int64_t complete_after_ms = 10'000;  // what the writer may still be sending is not fetched; bound as gone_after_ms
  int64_t turn_ms = 30'000;            // without progress by those who come before us, until we act
  int64_t ask_ms = 2'000;              // between two questions whether a disk answers
  int64_t retry_ms = 1'000;            // after a failed try; doubles up to retry_ms_max
  int64_t retry_ms_max = 60'000;
  int loss_tries = 3;         // tries at which every source denies it, until what is missing is called lost
  size_t jobs_max = 2;        // repairs under way at once
  size_t chains_max = 16384;  // looked at; the rest of a look is ignored, and the status says so
  size_t disks_max = 1024;    // known at once
  size_t needs_max = 4096;    // the most urgent are kept; the others are found again by a later look
  // What our own Replica holds durably of (log, epoch) without a gap: Replica::DurableTail.
  std::function<Lsn(LogId, Epoch)> own_tail;
};

// ---- inputs ----

// What the metadata say now: every log's chain and every disk's entry, the chains read before the entries. Given every
// few seconds; the core asks for none itself. Not given when the metadata cannot be reached.
struct RepairLook {
  std::vector<VersionedChain> chains;
  std::vector<DiskEntry> disks;
};
// Answers an AskDisk. kOk: it answers; kWrongDisk; kDataUnknown: it is retired; anything else: it was not reached.
struct RepairDiskAnswered {
  Token token = 0;
  StatusCode code = StatusCode::kOk;
};
// Answers an AskHeld. Errors of transport are put into response.code.
struct RepairHeldAnswered {
  Token token = 0;
  SealResponse response;
};
// Answers a RepairFetch. kNotFound: every source said itself that it has not got what is missing.
struct RepairFetched {
  Token token = 0;
  FetchResponse response;
};
// Answers a CopyCheckpoint. ok: the whole file is durable here. kNotFound: every source said itself that it has none.
struct RepairCheckpointCopied {
  Token token = 0;
  Status status;
};
// Our own disk is retired or has failed: nothing is begun or listed any more; looks still count who refers to whom. It
// cannot be undone.
struct RepairStop {};

using RepairerInput = std::variant<RepairLook, RepairDiskAnswered, RepairHeldAnswered, RepairFetched,
                                   RepairCheckpointCopied, ChainReadDone, ChainCasDone, RepairStop, Tick>;

// ---- effects ----

// Does `disk` answer at `address`? A ReplicaStatus of any log will do. Give up on it within a few seconds.
struct AskDisk {
  Token token = 0;
  DiskId disk;
  std::string address;
};
// How much of a closed epoch `disk` holds: a Seal of it, which changes nothing any more.
struct AskHeld {
  Token token = 0;
  std::string address;
  SealRequest request;
};
// A Fetch for our own Replica, in the background (ReplicaFetch::background).
struct RepairFetch {
  Token token = 0;
  FetchRequest request;
};
// Copy a checkpoint of `bytes` bytes from one of `sources`, tried in this order, to our own disk. A complete file of
// that id and size is that copy already (ids are drawn once); what an earlier try left unfinished is begun again.
struct CopyCheckpoint {
  Token token = 0;
  LogId log;
  uint64_t id = 0;
  uint64_t bytes = 0;
  std::vector<FetchSource> sources;
};
struct RepairChainOp {
  LogId log;
  ChainOp op;
};
// Something that people should know. Alarms are said once, until they are over.
struct RepairEvent {
  bool alarm = false;
  LogId log;
  Epoch epoch;              // 0: a checkpoint
  uint64_t checkpoint = 0;  // 0: an epoch
  std::string text;
};

struct RepairerEffects {
  std::vector<AskDisk> asks;
  std::vector<AskHeld> held;
  std::vector<RepairFetch> fetches;
  std::vector<CopyCheckpoint> copies;
  std::vector<RepairChainOp> chain_ops;
  std::vector<RepairEvent> events;
  Instant wake_at = Instant::Never();

  void Clear();
};

// ---- what it knows, for people ----

// What a disk is to repair. All from kDraining on count as lost, the better ones first.
enum class RepairDiskWord : uint8_t {
  kFit,
  kSilent,  // does not answer; not yet for long enough
  kDraining,
  kUnreachable,
  kRetired,
  kWiped,
  kRemoved,
};
const char* RepairDiskWordName(RepairDiskWord word);  // "fit", "silent", ...

struct RepairDiskStatus {
  DiskId disk;
  std::string node;
  RepairDiskWord word = RepairDiskWord::kFit;
  uint64_t epochs = 0;  // open ones included, that list it
  uint64_t checkpoints = 0;
};
enum class RepairKind : uint8_t { kComplete, kReplace, kDrop, kCheckpoint };
const char* RepairKindName(RepairKind kind);  // "complete", ...

struct RepairNeedStatus {
  RepairKind kind = RepairKind::kReplace;
  LogId log;
  Epoch epoch;
  uint64_t checkpoint = 0;
  Lsn held;  // by us
  Lsn to;
  int fit = 0;     // members that are
  int wanted = 0;  // E, for a checkpoint A
  bool below_quorum = false;
  bool running = false;
  bool lost = false;  // nobody that is left has what is missing
  std::string text;   // why it does not go on; empty: nothing stands in its way
};
struct RepairStatus {
  bool looked = false;  // at least once since the start
  bool stopped = false;
  uint64_t chains = 0;
  uint64_t chains_ignored = 0;  // beyond chains_max
  uint64_t needs = 0;           // all of them
  uint64_t needs_below_quorum = 0;
  uint64_t lost = 0;
  uint64_t repaired_epochs = 0;  // since the start, by us
  uint64_t repaired_checkpoints = 0;
  std::vector<RepairNeedStatus> worst;  // of the needs, most urgent first, those that are lost or running before all
  std::vector<RepairDiskStatus> disks;  // that have an entry or that a chain names
};

class Repairer {
 public:
  explicit Repairer(RepairerOptions options);
  ~Repairer();
  Repairer(const Repairer&) = delete;
  Repairer& operator=(const Repairer&) = delete;

  void Step(const RepairerInput& input, Instant now, RepairerEffects* out);

  RepairStatus StatusNow(Instant now, size_t worst_max = 64) const;
  // Epochs and checkpoints that list `disk`, as of the last look; nothing before the first.
  std::optional<uint64_t> References(const DiskId& disk) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

// What the store knows in memory of its logs: tails, seals, trims, the extents that are not in the index yet, and what
// every segment holds. Fed with durable journal entries only, in journal order, live and during recovery alike.
// Not thread-safe: the store's mutex guards it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "log/format/batch.h"
#include "log/store/index.h"
#include "log/store/journal_format.h"

namespace understudy {

// A durable entry and where it lies.
struct PlacedEntry {
  EntryHeader header;
  BatchHeader batch;  // when header.has_batch()
  uint64_t segment = 0;
  uint64_t offset = 0;  // of the entry header
  uint64_t end = 0;     // behind the payload
};

struct EpochState {
  EpochRecord record;
  std::map<Lsn, Extent> extents;  // by first LSN: those not in the index yet, and the newest
  std::set<Lsn> dirty_extents;
  bool dirty = false;
};

struct LogState {
  LogRecord record;
  std::map<Epoch, EpochState> epochs;
  bool dirty = false;    // the record, or something below
  bool trimmed = false;  // since the last flush: index entries may go
};

// One step of the index, gathered under the mutex, written without it.
struct IndexStep {
  IndexBatch batch;
  JournalPosition position;
  struct Trimmed {
    LogEpoch of;
    Lsn through;  // extents that end at or below it go
  };
  std::vector<Trimmed> trims;
  std::vector<std::pair<LogEpoch, Extent>> extents;  // what `batch` puts
};

class Catalog {
 public:
  explicit Catalog(uint64_t extent_bytes_max) : extent_bytes_max_(extent_bytes_max) {}

  void Restore(const IndexContent& content);
  void Apply(const PlacedEntry& entry);

  const LogState* FindLog(LogId log) const;
  const EpochState* FindEpoch(const LogEpoch& of) const;
  const std::unordered_map<LogId, LogState>& logs() const { return logs_; }
  // Extents in memory that overlap [from, to], ascending.
  std::vector<Extent> Overlapping(const LogEpoch& of, Lsn from, Lsn to) const;

  // Bytes of batches above their trim LSN, estimated where an extent is trimmed in part.
  uint64_t LiveBytes(uint64_t segment) const;
  uint64_t LogBytes(LogId log) const;
  uint64_t TotalLiveBytes() const;
  std::vector<uint64_t> SegmentsInUse() const;
  // What is live in a segment: (log, epoch) and the LSNs above trim.
  std::vector<std::pair<LogEpoch, SegmentUse>> LiveUses(uint64_t segment) const;
  // Its live batches have been copied elsewhere. `old_extents`: those that the index still has in it.
  void Relocated(uint64_t segment, const std::vector<std::pair<LogEpoch, Lsn>>& old_extents);

  bool dirty() const { return dirty_; }
  uint64_t extents_in_memory() const { return extents_in_memory_; }
  // Everything that changed since the last step, which must have been written. The index entries in `trims` are the
  // caller's to erase, before `batch` is applied. Segments at or above `position.segment` stay in use.
  IndexStep Collect(const JournalPosition& position);
  void Written(const IndexStep& step);
  // Whether anything of a segment is needed, as of the last Collect. What is not, may be recycled once that is written.
  bool InUse(uint64_t segment) const { return segments_.contains(segment); }

 private:
  void ApplyBatch(const PlacedEntry& entry);
  void ApplyTrim(LogId id, Lsn trim);
  void AddExtent(EpochState* epoch, const PlacedEntry& entry);
  void EraseExtent(EpochState* epoch, std::map<Lsn, Extent>::iterator at);
  bool Dead(const LogEpoch& of, const SegmentUse& use) const;
  uint64_t Live(const LogEpoch& of, const SegmentUse& use) const;

  const uint64_t extent_bytes_max_;
  std::unordered_map<LogId, LogState> logs_;
  std::set<LogId> dirty_logs_;
  std::map<uint64_t, std::map<LogEpoch, SegmentUse>> segments_;
  std::set<std::pair<uint64_t, LogEpoch>> dirty_uses_;
  std::vector<LogEpoch> dropped_epochs_;                     // wholly trimmed: to be erased from the index
  std::vector<std::pair<LogEpoch, Lsn>> relocated_extents_;  // likewise
  std::vector<std::pair<uint64_t, LogEpoch>> relocated_uses_;
  uint64_t extents_in_memory_ = 0;
  bool dirty_ = false;
};

}  // namespace understudy

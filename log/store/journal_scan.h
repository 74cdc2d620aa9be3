// Reads the journal back: all of it behind the index at Open, single extents for readers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "log/store/catalog.h"
#include "log/store/segment_files.h"
#include "understudy/status.h"

namespace understudy {

struct ScanResult {
  JournalPosition end;                  // where the next group goes
  uint64_t scanned_bytes = 0;           // of whole groups
  uint64_t torn_bytes = 0;              // of the final group, when it is incomplete: dropped
  std::vector<std::string> corruption;  // damage before the torn tail; segment and offset in each
};

// Hands every entry behind `from` to `apply`, in order. `segments` ascend by id.
//
// Group n+1 is written only after group n is durable, so only the final group can be torn. A bad frame with a valid
// frame of a later group behind it is therefore corruption: it is reported, what can be read of it and behind it is
// handed over all the same (its batches carry their own checksums), and the caller retires the disk. A flipped bit in
// the final group cannot be told from a torn write. kIoError: a file could not be read.
Result<ScanResult> ScanJournal(const std::vector<SegmentRef>& segments, const JournalPosition& from,
                               const std::function<void(const PlacedEntry&)>& apply);

// Appends to `out` the batches of `of` in `extent` that end at or above `*next` and begin at or below `to`, until `out`
// has `bytes_max` bytes (at least one batch comes when `out` is empty), and moves `*next` behind them. kDataUnknown
// names segment and offset; batches before the damage have been appended. `reader` is one of `segment`.
Status ReadExtent(const Segment& segment, const RandomAccessFile& reader, const Extent& extent, const LogEpoch& of,
                  Lsn to, size_t bytes_max, Lsn* next, std::string* out);

}  // namespace understudy

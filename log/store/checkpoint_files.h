// Checkpoints of a disk: one file each, written in order in checksummed chunks, durable under its name only when
// complete. Block checksums in the file find rot when it is read. docs/formats.md has the layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "log/env/file.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

inline constexpr size_t kCheckpointBytesPerCall = 4u << 20;  // in one chunk, and in one answer to a read
inline constexpr size_t kCheckpointWritersMax = 64;  // unfinished checkpoints at once on one disk: bounds open files

struct CheckpointName {
  LogId log;
  uint64_t id = 0;
};

struct StoredCheckpoint {
  LogId log;
  uint64_t id = 0;
  uint64_t bytes = 0;
};

struct CheckpointBytes {
  std::string bytes;
  uint32_t crc32c = 0;  // of bytes
  uint64_t total_bytes = 0;
};

// Thread-safe; calls wait for the disk. Calls for one (log, id) come one at a time.
class CheckpointFiles {
 public:
  virtual ~CheckpointFiles() = default;

  // The next chunk. Offset 0 begins (again: what an earlier try left is dropped); any other must be the number of bytes
  // written so far. With `last` the file is synced and gets its name: durable when this returns kOk. Errors:
  // kFailedPrecondition (another offset is expected; named), kCorruption (the chunk's checksum), kAlreadyExists (this
  // id is complete), kResourceExhausted (no space, too long, too many unfinished), kInvalidArgument, kIoError.
  virtual Status WriteChunk(LogId log, uint64_t id, uint64_t offset, std::string_view bytes, uint32_t crc32c,
                            bool last) = 0;

  // Up to `bytes_max` bytes from `offset`, none at the end. kNotFound, kInvalidArgument (beyond the end),
  // kDataUnknown (the file is damaged there).
  virtual Result<CheckpointBytes> Read(LogId log, uint64_t id, uint64_t offset, size_t bytes_max) = 0;

  // Complete or not; kOk when there is none.
  virtual Status Delete(LogId log, uint64_t id) = 0;

  virtual std::vector<StoredCheckpoint> List() const = 0;  // complete ones, by log and id
  virtual std::vector<CheckpointName> ListUnfinished() const = 0;
};

// Opens `dir` (created when missing) and removes unfinished files. `files` must outlive it.
Result<std::unique_ptr<CheckpointFiles>> OpenCheckpointFiles(const std::string& dir, uint64_t bytes_max,
                                                             FileSystem* files);

}  // namespace understudy

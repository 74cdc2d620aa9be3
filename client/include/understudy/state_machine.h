// What an application gives the library: how to replay a record, how to save its state, how to load it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "understudy/record.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// The lane that applies records of `key` (not 0) when `lanes` threads replay: equal keys share a lane. Lanes of n and
// of a multiple of n nest, so a state sharded by ReplayLane(key, 64) needs no locks for 1, 2, 4, ... 64 replay lanes.
constexpr uint32_t ReplayLane(uint64_t key, uint32_t lanes) {
  return static_cast<uint32_t>((((key * 0x9E3779B97F4A7C15ULL) >> 32) * lanes) >> 32);
}

// Where a snapshot writes itself. Bytes arrive at the reader as they were written, chunk borders aside.
class CheckpointWriter {
 public:
  virtual ~CheckpointWriter() = default;
  // Borrowed for the call. An error means the checkpoint is given up; return it.
  virtual Status Write(std::string_view bytes) = 0;
};

class CheckpointReader {
 public:
  virtual ~CheckpointReader() = default;
  // Fills `buffer` with up to `size` bytes; 0 means the end, which is reached only when all checksums held.
  virtual Result<size_t> Read(char* buffer, size_t size) = 0;
};

// A state frozen at one LSN.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  // Runs once, on a thread of the library's, while the state machine goes on.
  virtual Status Write(CheckpointWriter& out) = 0;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Applies one committed record. Spare: called in LSN order on the replay thread; with
  // NodeOptions::parallel_apply, records of different keys come from several threads at once, those of
  // one key in order, key 0 alone. Primary: called only with NodeOptions::apply_on_primary, after commit.
  virtual void Apply(const Record& record) = 0;

  // Cheap (it holds up the records behind it), called between two records: on the replay thread of a
  // spare, or through NodeOptions::run_between_records on a primary.
  virtual std::unique_ptr<Snapshot> TakeSnapshot() = 0;

  // Replaces the whole state with the checkpoint's. Never concurrent with Apply.
  virtual Status Load(CheckpointReader& in) = 0;

  // Back to the empty state, the one that LSN 0 stands for. Never concurrent with Apply.
  virtual void Reset() = 0;

  // Records [from, to] will never come: an operator gave them up when too many disks were lost
  // (`understudy logs accept-data-loss`). Called in LSN order between two records, never concurrent with Apply. What
  // was applied stays applied; an application that cannot go on without them says so here.
  virtual void OnLoss(Lsn from, Lsn to) {
    (void)from;
    (void)to;
  }
};

}  // namespace understudy

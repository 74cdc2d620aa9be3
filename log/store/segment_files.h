// The journal's files: made ahead with zeros, given an id and a salt, recycled when dead, opened again after a restart.
//
// A file gets its name "<id>.seg" only after its header is synced, so an unreadable header under that name is
// corruption, never an interrupted preparation. "reserve.spare" is the reserve; files with other names are leftovers
// and are removed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "log/env/file.h"
#include "log/env/random.h"
#include "log/store/journal_format.h"
#include "understudy/status.h"

namespace understudy {

// A journal file. Readers hold a reference, which keeps it from being recycled under them. A large journal has more
// files than a process may have descriptors, so only the active and the ready ones stay open, for writing.
struct Segment {
  SegmentHeader header;
  std::string path;
  FileSystem* files = nullptr;
  std::unique_ptr<WritableFile> writer;  // null: OpenWriter first
  uint64_t id() const { return header.id; }
  Status OpenWriter();
  Result<std::unique_ptr<RandomAccessFile>> OpenReader() const { return files->OpenForRead(path); }
  Result<uint64_t> FileBytes() const { return files->FileSize(path); }
};
using SegmentRef = std::shared_ptr<Segment>;

struct FoundSegments {
  std::vector<SegmentRef> segments;  // ascending by id
  std::vector<std::string> damaged;  // why a file could not be taken for a segment of this disk
};

// Thread-safe.
class SegmentFiles {
 public:
  SegmentFiles(std::string dir, DiskId disk, uint64_t segment_bytes, FileSystem* files, Random* random);

  // Opens what is there. To be called first, once.
  Result<FoundSegments> OpenAll();

  // A new segment, with zeros written and synced first, or (quick) with its header only. Its id is higher than that of
  // every segment handed out before; `hand_out` is called with it before any later one can be.
  // kResourceExhausted: no space, and none of it is kept.
  template <class HandOut>
  Status Create(bool zeroed, HandOut hand_out) {
    Result<std::string> prepared = Prepare(zeroed);
    if (!prepared.ok()) return prepared.status();
    return Adopt(*prepared, hand_out);
  }
  // Turns a dead segment, of which the caller holds the only reference, into a new one.
  template <class HandOut>
  Status Recycle(SegmentRef dead, HandOut hand_out) {
    Result<std::string> prepared = TakeBack(std::move(dead));
    if (!prepared.ok()) return prepared.status();
    return Adopt(*prepared, hand_out);
  }
  Status Remove(SegmentRef dead);

  // The reserve: one file full of zeros, without id, that is kept for seals and copies on a full disk. It outlives
  // restarts.
  bool has_reserve() const { return has_reserve_; }
  Status MakeReserve();
  Status MakeReserve(SegmentRef dead);  // of a dead segment, of which the caller holds the only reference
  template <class HandOut>
  Status AdoptReserve(HandOut hand_out) {
    has_reserve_ = false;
    return Adopt(ReservePath(), hand_out);
  }

 private:
  Result<std::string> Prepare(bool zeroed);
  Result<std::string> TakeBack(SegmentRef dead);
  Result<SegmentRef> Stamp(const std::string& prepared);  // with mutex_ held
  template <class HandOut>
  Status Adopt(const std::string& prepared, HandOut hand_out) {
    const std::lock_guard lock(mutex_);
    Result<SegmentRef> made = Stamp(prepared);
    if (!made.ok()) return made.status();
    hand_out(std::move(made).value());
    return Status::Ok();
  }
  Result<SegmentRef> OpenOne(const std::string& name);
  std::string PathOf(uint64_t id) const;
  std::string ReservePath() const { return dir_ + "/reserve.spare"; }
  std::string TemporaryPath();
  Status KeepAsReserve(const std::string& prepared);

  const std::string dir_;
  const DiskId disk_;
  const uint64_t segment_bytes_;
  FileSystem* const files_;
  Random* const random_;
  std::atomic<bool> has_reserve_{false};  // read with the store's mutex held, so not under this one
  std::mutex mutex_;                      // held while `hand_out` takes the store's
  uint64_t next_id_ = 1;
  uint64_t next_temporary_ = 1;
};

}  // namespace understudy

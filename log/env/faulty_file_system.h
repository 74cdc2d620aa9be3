// A file system in memory that loses power, runs full and fails, from a seed. For tests and the simulator.
//
// What is survivable, and so what is modelled:
//   power loss     every 512-byte sector written since its file's last Sync is there or not, each by itself; a file
//   that
//                  grew has its old size, its new one, or one between (zeros where sectors are missing)
//   names          creates, renames and removes of a directory persist in order; SyncDir makes all of them durable, a
//                  file's Sync those up to its own name (as ext4, xfs and btrfs do)
//   kill -9        everything written stays (the page cache outlives the process)
//   fsync error    what was written since the last Sync is visible, and never reaches the disk: the pages were marked
//                  clean, and a later Sync succeeds for nothing
//   ENOSPC         writes fit in part, then fail; overwriting never fails
//   bit flips      wherever the test wants them
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "log/env/file.h"
#include "log/env/random.h"

namespace understudy {

// Thread-safe. Files and locks handed out belong to the process that a crash kills: afterwards they only give errors.
// They must not be used after the file system is gone.
class FaultyFileSystem : public FileSystem {
 public:
  explicit FaultyFileSystem(uint64_t seed);

  // Operations that change anything, counted since the construction (writes, syncs, creates, renames, removes).
  uint64_t operations() const;
  // The `n`-th operation from now (1: the next) happens in part or not at all, and fails, as does every later one,
  // until PowerLoss or Kill. 0: none.
  void CrashAt(uint64_t n);
  bool crashed() const;

  void PowerLoss();  // what was not synced is lost or torn; then a new process may begin
  void Kill();       // kill -9: nothing is lost; then a new process may begin

  void FailSyncs(bool fail);                                      // from now on every Sync fails
  void SetCapacity(uint64_t bytes);                               // of all files together; UINT64_MAX at the start
  void HideCapacity(bool hidden);                                 // as a quota does: FreeBytes knows nothing of it
  void FlipBit(const std::string& path, uint64_t byte, int bit);  // on the disk and in the cache; both must exist
  std::string Content(const std::string& path) const;             // empty when there is none
  uint64_t BytesUsed() const;

  Result<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path, OpenMode mode) override;
  Status CreateDir(const std::string& path) override;
  Result<std::vector<std::string>> ListDir(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;  // within one directory
  Status Remove(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;
  Status SyncDir(const std::string& path) override;
  Result<bool> Exists(const std::string& path) override;
  Result<uint64_t> FileSize(const std::string& path) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  static constexpr uint64_t kSectorBytes = 512;

  struct Node {  // a file's bytes, under whatever name
    std::string now;
    std::string durable;
    std::set<uint64_t> dirty;  // sectors in which they may differ
  };
  using NodeRef = std::shared_ptr<Node>;
  struct NameChange {  // `path` is now `node`, or nothing
    std::string path;
    NodeRef node;
    bool with_next = false;  // half of a rename: persists with the change that follows
  };
  class Reader;
  class Writer;
  class HeldLock;

  // All below: with mutex_ held.
  Status CheckAlive(uint64_t process, const std::string& path) const;
  // Counts an operation. kOk; or the crash has come: *partial says that this operation may still happen in part.
  Status Begin(uint64_t process, const std::string& path, bool* partial);
  void ChangeName(const std::string& path, NodeRef node, bool with_next = false);
  void PersistNames(const std::string& dir, size_t count);
  void PersistFile(Node* node);
  Status Write(Node* node, uint64_t offset, std::string_view bytes, const std::string& path);
  uint64_t Used() const;
  void NewProcess();

  mutable std::mutex mutex_;
  SeededRandom random_;
  std::map<std::string, NodeRef> names_;
  std::map<std::string, NodeRef> durable_names_;
  std::map<std::string, std::vector<NameChange>> pending_names_;  // by directory
  std::set<std::string> dirs_;
  std::set<std::string> locked_;
  uint64_t process_ = 1;  // raised by every restart: handles of earlier ones are dead
  uint64_t operations_ = 0;
  uint64_t crash_at_ = 0;  // value of operations_; 0: never
  bool crashed_ = false;
  bool fail_syncs_ = false;
  uint64_t capacity_ = UINT64_MAX;
  bool capacity_hidden_ = false;
};

}  // namespace understudy

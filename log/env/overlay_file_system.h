// Another file system with changes on top of it that stay in memory: for what cannot be opened without writing to it,
// on a disk that has no room left. Gone with the object; nothing of it ever reaches the file system below.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "log/env/file.h"

namespace understudy {

// Thread-safe. Must outlive the files and locks it hands out.
class OverlayFileSystem : public FileSystem {
 public:
  // `below` must outlive it. New content has at most `bytes_max` together; beyond that writes fail as on a full disk.
  OverlayFileSystem(FileSystem* below, uint64_t bytes_max) : below_(below), bytes_max_(bytes_max) {}

  Result<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path, OpenMode mode) override;
  Status CreateDir(const std::string& path) override;  // directories are those below: kUnsupported for others
  Result<std::vector<std::string>> ListDir(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status RemoveDir(const std::string& path) override;  // kUnsupported
  Status SyncDir(const std::string& path) override;
  Result<bool> Exists(const std::string& path) override;
  Result<uint64_t> FileSize(const std::string& path) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;  // the one below

 private:
  using Content = std::shared_ptr<std::string>;  // guarded by mutex_
  class Reader;
  class Writer;

  // All with mutex_ held.
  Result<Content> Take(const std::string& path);  // to be changed: copied from below unless it is here
  uint64_t Used() const;

  FileSystem* const below_;
  const uint64_t bytes_max_;
  std::mutex mutex_;
  std::map<std::string, Content> changed_;  // by path; null: removed
};

}  // namespace understudy

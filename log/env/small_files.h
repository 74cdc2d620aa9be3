// Small files read and written whole: what the kernel says under /proc and /sys, lock and record files. Bulk data goes
// through files of its own (log/store).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "understudy/status.h"

namespace understudy {

// kNotFound when it does not exist; kResourceExhausted when it is longer than `bytes_max`.
Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max = 1u << 20);

// Old or new content after a crash, never a mixture: written beside it, synced, renamed over it.
Status ReplaceSmallFile(const std::string& path, const std::string& content);

// kOk also when it was not there.
Status RemoveFile(const std::string& path);

// Names in a directory, without "." and "..", unsorted; at most `names_max`.
Result<std::vector<std::string>> ListDirectory(const std::string& path, size_t names_max = 1u << 20);

// With all of its parents; kOk when it exists.
Status MakeDirectories(const std::string& path);

// When the file is longer than `bytes_max`: its content moves to PATH.1 (replacing that), and it goes on empty. Writers
// that opened it for appending just go on; what they write between the copy and the cut is lost.
Status RotateByCopy(const std::string& path, uint64_t bytes_max);

struct FileSystemSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // to an ordinary user
  uint64_t total_inodes = 0;
  uint64_t free_inodes = 0;
};
Result<FileSystemSpace> SpaceOf(const std::string& path);

// Holds an exclusive lock on a file, which dies with the process.
class LockFile {
 public:
  // kFailedPrecondition, naming the holder's pid, when another process has it. Holds this process's pid as text.
  static Result<std::unique_ptr<LockFile>> Take(const std::string& path);
  ~LockFile();
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;

 private:
  explicit LockFile(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace understudy

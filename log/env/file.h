// Files and directories as the log needs them. The real ones and the fault-injecting ones in memory
// (faulty_file_system.h) are interchangeable; nothing else of ours makes raw file calls.
//
// Every error names the path and the errno. Codes: kNotFound (ENOENT), kAlreadyExists (EEXIST), kResourceExhausted
// (ENOSPC, EDQUOT), kFailedPrecondition (the lock is held), kIoError for the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/status.h"

namespace understudy {

// Reads at given places. Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Up to `size` bytes at `offset` into `out`; fewer only at the end of the file. Returns how many.
  virtual Result<size_t> ReadAt(uint64_t offset, size_t size, char* out) const = 0;
  virtual Result<uint64_t> Size() const = 0;
};

// Writes at given places; grows when written past its end. One writer at a time; Sync may run beside writes, and then
// covers those that returned before it began.
class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes; what was not synced may be lost by a power failure
  // All of `pieces`, one after the other, from `offset` on, in as few system calls as possible. After an error any
  // part of them may have been written.
  virtual Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) = 0;
  Status WriteAt(uint64_t offset, std::string_view bytes) { return WriteAt(offset, std::span(&bytes, 1)); }
  // fdatasync: the bytes, and the size if it changed. After an error what was written may be gone, and a second call
  // that succeeds proves nothing: do not go on with this file.
  virtual Status Sync() = 0;
  // Real zeros, never fallocate: blocks that were written once sync twice as fast when overwritten.
  Status WriteZeros(uint64_t offset, uint64_t bytes);
  virtual Status Truncate(uint64_t bytes) = 0;
};

// Held until destroyed; the operating system lets go of it when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Thread-safe. Paths are taken as they are.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) = 0;
  enum class OpenMode {
    kCreate,    // must not exist
    kExisting,  // must exist
    kTruncate,  // created, or emptied
  };
  virtual Result<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path, OpenMode mode) = 0;

  virtual Status CreateDir(const std::string& path) = 0;  // kOk when it is there already; parents must exist
  virtual Result<std::vector<std::string>> ListDir(const std::string& path) = 0;  // names, sorted, without . and ..
  virtual Status Rename(const std::string& from, const std::string& to) = 0;      // atomic; replaces `to`
  virtual Status Remove(const std::string& path) = 0;                             // a file
  virtual Status RemoveDir(const std::string& path) = 0;                          // an empty directory
  // fsync of a directory: names created, renamed and removed in it are durable afterwards.
  virtual Status SyncDir(const std::string& path) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  virtual Result<uint64_t> FileSize(const std::string& path) = 0;
  // What may still be written where `path` is, which must exist. A hint: others write there, too, and a quota does not
  // show in it.
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// The operating system's. A single instance, never destroyed.
FileSystem* SystemFileSystem();

// CreateDir for every missing part of `path`, durably.
Status CreateDirs(FileSystem* files, const std::string& path);

// The whole of a file of at most `bytes_max` bytes; kResourceExhausted when it is longer.
Result<std::string> ReadWholeFile(FileSystem* files, const std::string& path, size_t bytes_max);

// Replaces `path` so that a crash leaves the old or the new content, and durably so: temporary file, sync, rename, sync
// of the directory.
Status ReplaceFile(FileSystem* files, const std::string& path, std::string_view content);

// kResourceExhausted when less than `bytes` are free where `path` is. To be asked before much is written for later use:
// what is found out by writing takes everybody's last room meanwhile.
Status CheckRoom(FileSystem* files, const std::string& path, uint64_t bytes);

// "a/b" -> "a"; a name without a slash -> ".".
std::string DirName(const std::string& path);

}  // namespace understudy

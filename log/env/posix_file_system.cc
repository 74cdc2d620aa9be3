#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "log/env/file.h"
#include "log/env/small_files.h"

namespace understudy {
namespace {

Status ErrnoStatus(const char* call, const std::string& path, int error) {
  StatusCode code = StatusCode::kIoError;
  if (error == ENOENT) code = StatusCode::kNotFound;
  if (error == EEXIST) code = StatusCode::kAlreadyExists;
  if (error == ENOSPC || error == EDQUOT) code = StatusCode::kResourceExhausted;
  return {code, std::string(call) + " " + path + ": " + std::system_category().message(error) + " (errno " +
                    std::to_string(error) + ")"};
}

// An open descriptor; -1 after an error of open, with errno set.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) {
    do {
      fd_ = open(path.c_str(), flags | O_CLOEXEC, 0644);
    } while (fd_ < 0 && errno == EINTR);
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

Result<uint64_t> SizeOf(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return ErrnoStatus("fstat", path, errno);
  return static_cast<uint64_t>(info.st_size);
}

class PosixRandomAccessFile : public RandomAccessFile {
 public:
  PosixRandomAccessFile(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  Result<size_t> ReadAt(uint64_t offset, size_t size, char* out) const override {
    size_t done = 0;
    while (done < size) {
      const ssize_t got = pread(fd_.get(), out + done, size - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus("pread", path_, errno);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }
  Result<uint64_t> Size() const override { return SizeOf(fd_.get(), path_); }

 private:
  const std::string path_;
  const Descriptor fd_;
};

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) override {
    std::array<iovec, 256> vectors;
    size_t skip = 0;  // bytes of pieces.front() that are written already
    while (!pieces.empty()) {
      size_t count = 0;
      for (const std::string_view piece : pieces.first(std::min(pieces.size(), vectors.size()))) {
        vectors[count++] = {const_cast<char*>(piece.data()), piece.size()};
      }
      vectors[0].iov_base = static_cast<char*>(vectors[0].iov_base) + skip;
      vectors[0].iov_len -= skip;
      const ssize_t wrote = pwritev(fd_.get(), vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return ErrnoStatus("pwritev", path_, errno);
      offset += static_cast<uint64_t>(wrote);
      size_t left = static_cast<size_t>(wrote) + skip;
      while (!pieces.empty() && left >= pieces.front().size()) {
        left -= pieces.front().size();
        pieces = pieces.subspan(1);
      }
      skip = left;
    }
    return Status::Ok();
  }
  Status Sync() override {
    // Not repeated on EINTR either: after any error the state of the pages is unknown.
    if (fdatasync(fd_.get()) != 0) return ErrnoStatus("fdatasync", path_, errno);
    return Status::Ok();
  }
  Status Truncate(uint64_t bytes) override {
    if (ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) return ErrnoStatus("ftruncate", path_, errno);
    return Status::Ok();
  }

 private:
  const std::string path_;
  const Descriptor fd_;
};

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;  // closing it unlocks
};

class PosixFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<RandomAccessFile>> OpenForRead(const std::string& path) override {
    Descriptor fd(path, O_RDONLY);
    if (!fd.ok()) return ErrnoStatus("open", path, errno);
    return std::unique_ptr<RandomAccessFile>(std::make_unique<PosixRandomAccessFile>(path, std::move(fd)));
  }

  Result<std::unique_ptr<WritableFile>> OpenForWrite(const std::string& path, OpenMode mode) override {
    int flags = O_WRONLY;
    if (mode == OpenMode::kCreate) flags |= O_CREAT | O_EXCL;
    if (mode == OpenMode::kTruncate) flags |= O_CREAT | O_TRUNC;
    Descriptor fd(path, flags);
    if (!fd.ok()) return ErrnoStatus("open", path, errno);
    return std::unique_ptr<WritableFile>(std::make_unique<PosixWritableFile>(path, std::move(fd)));
  }

  Status CreateDir(const std::string& path) override {
    if (mkdir(path.c_str(), 0755) == 0) return Status::Ok();
    const int error = errno;
    struct stat info {};
    if (error == EEXIST && stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return Status::Ok();
    return ErrnoStatus("mkdir", path, error);
  }

  Result<std::vector<std::string>> ListDir(const std::string& path) override {
    DIR* dir = opendir(path.c_str());
    if (dir == nullptr) return ErrnoStatus("opendir", path, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(dir)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    const int error = errno;
    closedir(dir);
    if (error != 0) return ErrnoStatus("readdir", path, error);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus("rename", from, errno);
    return Status::Ok();
  }
  Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return ErrnoStatus("unlink", path, errno);
    return Status::Ok();
  }
  Status RemoveDir(const std::string& path) override {
    if (rmdir(path.c_str()) != 0) return ErrnoStatus("rmdir", path, errno);
    return Status::Ok();
  }
  Status SyncDir(const std::string& path) override {
    const Descriptor fd(path, O_RDONLY | O_DIRECTORY);
    if (!fd.ok()) return ErrnoStatus("open", path, errno);
    if (fsync(fd.get()) != 0) return ErrnoStatus("fsync", path, errno);
    return Status::Ok();
  }
  Result<bool> Exists(const std::string& path) override {
    struct stat info {};
    if (stat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus("stat", path, errno);
  }
  Result<uint64_t> FileSize(const std::string& path) override {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return ErrnoStatus("stat", path, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  Result<uint64_t> FreeBytes(const std::string& path) override {
    const Result<FileSystemSpace> space = SpaceOf(path);
    if (!space.ok()) return space.status();
    return space->free_bytes;
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Descriptor fd(path, O_RDWR | O_CREAT);
    if (!fd.ok()) return ErrnoStatus("open", path, errno);
    // Of the open file, not of the process: a second store in this process is refused too.
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK)
        return Status(StatusCode::kFailedPrecondition, path + " is locked: already open elsewhere");
      return ErrnoStatus("flock", path, errno);
    }
    return std::unique_ptr<FileLock>(std::make_unique<PosixFileLock>(std::move(fd)));
  }
};

}  // namespace

FileSystem* SystemFileSystem() {
  static auto* files = new PosixFileSystem;
  return files;
}

}  // namespace understudy

#include "log/env/small_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace understudy {
namespace {

Status ErrnoStatus(int error, const std::string& what) {
  char buffer[128];
  const StatusCode code = error == ENOENT || error == ESRCH    ? StatusCode::kNotFound
                          : error == ENOSPC || error == EDQUOT ? StatusCode::kResourceExhausted
                                                               : StatusCode::kIoError;
  return {code, what + ": " + strerror_r(error, buffer, sizeof buffer)};
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

Status WriteAll(int fd, const char* bytes, size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t written = write(fd, bytes, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "writing " + path);
    }
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return Status::Ok();
}

}  // namespace

Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return ErrnoStatus(errno, path);
  std::string content;
  char buffer[8192];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, path);
    if (got == 0) return content;
    if (content.size() + static_cast<size_t>(got) > bytes_max) {
      return Status(StatusCode::kResourceExhausted, path + ": longer than " + std::to_string(bytes_max) + " bytes");
    }
    content.append(buffer, static_cast<size_t>(got));
  }
}

Status RotateByCopy(const std::string& path, uint64_t bytes_max) {
  Descriptor from(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!from.ok()) return errno == ENOENT ? Status::Ok() : ErrnoStatus(errno, path);
  struct stat info {};
  if (fstat(from.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (static_cast<uint64_t>(info.st_size) <= bytes_max) return Status::Ok();
  const std::string older = path + ".1";
  Descriptor to(open(older.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!to.ok()) return ErrnoStatus(errno, older);
  // Only the end is kept when a burst made it much longer than the bound.
  off_t at = info.st_size - static_cast<off_t>(bytes_max);
  char buffer[65536];
  while (true) {
    const ssize_t got = pread(from.get(), buffer, sizeof buffer, at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    UNDERSTUDY_RETURN_IF_ERROR(WriteAll(to.get(), buffer, static_cast<size_t>(got), older));
    at += got;
    if (at > info.st_size) break;
  }
  if (ftruncate(from.get(), 0) != 0) return ErrnoStatus(errno, path);
  return Status::Ok();
}

Result<FileSystemSpace> SpaceOf(const std::string& path) {
  struct statvfs info {};
  if (statvfs(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  return FileSystemSpace{.total_bytes = uint64_t{info.f_blocks} * info.f_frsize,
                         .free_bytes = uint64_t{info.f_bavail} * info.f_frsize,
                         .total_inodes = info.f_files,
                         .free_inodes = info.f_favail};
}

Result<std::string> DeviceOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  return std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
}

}  // namespace understudy

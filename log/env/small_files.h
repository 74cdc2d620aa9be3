// Small reads of the machine's own files, those under /proc and /sys among them, whose size is not known before they
// are read. Data files go through file.h.
#pragma once

#include <cstdint>
#include <string>

#include "understudy/status.h"

namespace understudy {

// kNotFound when it does not exist; kResourceExhausted when it is longer than `bytes_max`.
Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max = 1u << 20);

// When the file is longer than `bytes_max`: its last bytes_max bytes go to PATH.1 (replacing that), and it goes on
// empty. Programs that write to its end go on; what they write between the copy and the cut is lost.
Status RotateByCopy(const std::string& path, uint64_t bytes_max);

struct FileSystemSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // to an ordinary user
  uint64_t total_inodes = 0;
  uint64_t free_inodes = 0;
};
Result<FileSystemSpace> SpaceOf(const std::string& path);

// "MAJOR:MINOR" of the device that holds the file, as in /sys/dev/block.
Result<std::string> DeviceOf(const std::string& path);

}  // namespace understudy

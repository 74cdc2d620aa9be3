// doctor: this machine.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "client/cli/check.h"
#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/env/small_files.h"

namespace understudy::cli {
namespace {

constexpr int kSyncs = 200;
constexpr double kSpaceMinFraction = 0.05;
constexpr double kSyncP99WarnUs = 20'000;
constexpr uint64_t kDescriptorsMin = 4096;

Verdict WarnUnless(bool good) { return good ? Verdict::kOk : Verdict::kWarning; }

// Overwrites and syncs one block of a file written before, as the journal does; microseconds of each sync.
Result<std::vector<double>> SyncTimes(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return Status(StatusCode::kIoError, path + ": " + std::strerror(errno));
  std::vector<double> times;
  std::vector<char> block(4096, 1);
  Status failed;
  for (int i = 0; i < 64 && failed.ok(); ++i) {  // the file first, so that its size does not change any more
    if (pwrite(fd, block.data(), block.size(), i * 4096) != static_cast<ssize_t>(block.size())) {
      failed = Status(StatusCode::kIoError, path + ": " + std::strerror(errno));
    }
  }
  if (failed.ok() && fsync(fd) != 0) failed = Status(StatusCode::kIoError, path + ": " + std::strerror(errno));
  for (int i = 0; i < kSyncs && failed.ok(); ++i) {
    block[0] = static_cast<char>(i);
    const Instant began = SystemClock()->Now();
    if (pwrite(fd, block.data(), block.size(), (i % 64) * 4096) != static_cast<ssize_t>(block.size()) ||
        fdatasync(fd) != 0) {
      failed = Status(StatusCode::kIoError, path + ": " + std::strerror(errno));
    }
    times.push_back(static_cast<double>(SystemClock()->Now() - began) / 1000.0);
  }
  close(fd);
  unlink(path.c_str());
  if (!failed.ok()) return failed;
  std::sort(times.begin(), times.end());
  return times;
}

std::string FirstLine(const std::string& path) {
  Result<std::string> text = ReadSmallFile(path, 65536);
  if (!text.ok()) return "";
  return text->substr(0, text->find('\n'));
}

}  // namespace

void CheckDisk(const std::string& data_dir, Findings* out) {
  std::error_code error;
  const bool there = std::filesystem::is_directory(data_dir, error);
  const std::string folder = there ? data_dir : ".";
  const std::string name = there ? data_dir : "the working folder (there is no " + data_dir + ")";
  const Result<std::vector<double>> times = SyncTimes(folder + "/.understudy-doctor-" + std::to_string(getpid()));
  if (!times.ok()) {
    out->push_back({"disk", Verdict::kFailed, times.status().message(),
                    "The log server must be able to write there: check owner, mount options and space, or name another "
                    "folder with --data-dir."});
    return;
  }
  const double p50 = (*times)[times->size() / 2], p99 = (*times)[times->size() * 99 / 100];
  char text[160];
  std::snprintf(text, sizeof text, ": a synced 4 KiB write takes %.0f us (p50), %.0f us (p99)", p50, p99);
  const bool quick = p99 <= kSyncP99WarnUs;
  out->push_back({"disk", WarnUnless(quick), name + text,
                  quick ? "" : "Every acknowledged write waits for this. A disk of its own for the log helps most."});
  const Result<FileSystemSpace> space = SpaceOf(folder);
  if (!space.ok()) return;
  const auto free = static_cast<double>(space->free_bytes), total = static_cast<double>(space->total_bytes);
  const bool room = total <= 0 || free / total >= kSpaceMinFraction;
  out->push_back(
      {"space", WarnUnless(room), HumanBytes(free) + " of " + HumanBytes(total) + " free in " + name,
       room
           ? ""
           : "A full disk refuses appends. Add space, or let applications take checkpoints so that logs are trimmed."});
}

void CheckLimits(Findings* out) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const bool enough = limit.rlim_cur >= kDescriptorsMin;
  out->push_back(
      {"descriptors", WarnUnless(enough), "at most " + WithCommas(limit.rlim_cur) + " open files a process",
       enough ? "" : "Each connection and segment takes one: ulimit -n 65536, or LimitNOFILE= in the unit."});
  timex state = {};
  const int clock = adjtimex(&state);
  const bool synced = clock >= 0 && clock != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  out->push_back({"clock", WarnUnless(synced),
                  synced ? "the wall clock is synchronised" : "the wall clock is not synchronised",
                  synced ? ""
                         : "Nothing is decided by it, but the times in events will not fit together: run chrony or "
                           "systemd-timesyncd."});
}

void CheckKernel(Findings* out) {
  const std::string thp = FirstLine("/sys/kernel/mm/transparent_hugepage/enabled");
  if (!thp.empty()) {
    const bool good = thp.find("[always]") == std::string::npos;
    out->push_back({"huge pages", WarnUnless(good), "transparent huge pages: " + thp,
                    good ? ""
                         : "Copying them in a forked snapshot stalls writes: echo madvise > "
                           "/sys/kernel/mm/transparent_hugepage/enabled"});
  }
  const std::string overcommit = FirstLine("/proc/sys/vm/overcommit_memory");
  if (!overcommit.empty()) {
    const bool good = overcommit != "2";
    out->push_back({"overcommit", WarnUnless(good), "vm.overcommit_memory is " + overcommit,
                    good ? "" : "Snapshots that fork need as much free memory again: sysctl vm.overcommit_memory=1"});
  }
}

}  // namespace understudy::cli

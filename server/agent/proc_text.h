// Readers of the kernel's text files. Pure: text in, numbers out; what is not there is nullopt, never zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace understudy {

struct ProcStat {  // of /proc/PID/stat
  uint64_t minor_faults = 0;
  uint64_t major_faults = 0;
  uint64_t cpu_ticks = 0;  // user and system
  uint64_t threads = 0;
  uint64_t start_ticks = 0;
};
std::optional<ProcStat> ParseProcStat(std::string_view text);

// The number behind a line's `name` ("VmRSS:", "read_bytes:", "nr_periods"); with "kB" behind it, in bytes.
std::optional<uint64_t> FindAmount(std::string_view text, std::string_view name);

// The whole text as one number; nullopt for "max" and for anything else that is none.
std::optional<uint64_t> ParseAmount(std::string_view text);

// The soft limit in the line of /proc/PID/limits that begins with `name`; nullopt when "unlimited".
std::optional<uint64_t> FindSoftLimit(std::string_view text, std::string_view name);

// avg10 of a PSI file's line `kind` ("some" or "full"), in percent.
std::optional<double> FindPressure(std::string_view text, std::string_view kind);

std::optional<double> ParseLoad1(std::string_view text);

struct NetworkErrors {
  uint64_t errors = 0;
  uint64_t drops = 0;
};
// Sums all interfaces of /proc/net/dev but "lo"; nullopt when there is none.
std::optional<NetworkErrors> ParseNetDev(std::string_view text);

struct BlockCounters {    // of /sys/dev/block/MAJOR:MINOR/stat, since boot
  uint64_t requests = 0;  // reads and writes that are done
  uint64_t busy_ms = 0;   // the time they took, each counted from its queueing
};
std::optional<BlockCounters> ParseBlockStat(std::string_view text);

// The group's path in /proc/PID/cgroup: of `controller` (v1), or of the unified tree when `controller` is empty.
std::optional<std::string> FindCgroup(std::string_view text, std::string_view controller);

}  // namespace understudy

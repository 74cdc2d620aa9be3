// The parts of a sample that come from /sys: control groups, block devices, memory controllers, thermal zones.
#include <algorithm>

#include "log/env/file.h"
#include "log/env/small_files.h"
#include "server/agent/proc_text.h"
#include "server/agent/sampler.h"

namespace understudy {
namespace {

constexpr size_t kGroupDepthMax = 32;  // deeper than any tree seen; bounds the walk to the root

// v1 says "no limit" with a number near the address space's size.
constexpr uint64_t kNoLimitV1 = uint64_t{1} << 60;

struct GroupFiles {
  std::string root;  // below /sys
  std::string path;  // "/a/b", or "/"
  const char* use;
  const char* limit;
};

std::string ParentGroup(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

template <class ReadAmount>
std::optional<uint64_t> TightestLimit(const GroupFiles& group, const ReadAmount& read) {
  std::optional<uint64_t> tightest;
  std::string path = group.path;
  for (size_t depth = 0; depth < kGroupDepthMax; ++depth) {
    const std::optional<uint64_t> limit = read(group.root + path + "/" + group.limit);
    if (limit && *limit < kNoLimitV1 && (!tightest || *limit < *tightest)) tightest = limit;
    if (path == "/") break;
    path = ParentGroup(path);
  }
  return tightest;
}

}  // namespace

void Sampler::SampleCgroup(int64_t pid, Instant now, Metrics* out) {
  const std::optional<std::string> groups = ReadProc(std::to_string(pid) + "/cgroup");
  if (!groups) return;
  const std::optional<std::string> unified = FindCgroup(*groups, "");
  const auto find = [&](const std::string& controller, const char* use_v2, const char* limit_v2, const char* use_v1,
                        const char* limit_v1) -> std::optional<GroupFiles> {
    if (const auto v1 = FindCgroup(*groups, controller)) {
      return GroupFiles{"fs/cgroup/" + controller, *v1, use_v1, limit_v1};
    }
    if (unified) return GroupFiles{"fs/cgroup", *unified, use_v2, limit_v2};
    return std::nullopt;
  };
  const auto read = [&](const std::string& path) { return ReadSysAmount(path); };
  const auto put = [&](const char* name, std::optional<uint64_t> value) {
    if (value) out->push_back({name, static_cast<double>(*value)});
  };

  if (const auto memory =
          find("memory", "memory.current", "memory.max", "memory.usage_in_bytes", "memory.limit_in_bytes")) {
    const std::optional<uint64_t> use = read(memory->root + memory->path + "/" + memory->use);
    const std::optional<uint64_t> limit = TightestLimit(*memory, read);
    put("cgroup.memory_bytes", use);
    put("cgroup.memory_limit_bytes", limit);
    if (use && limit && *limit > 0) {
      out->push_back({"cgroup.memory_fraction", static_cast<double>(*use) / static_cast<double>(*limit)});
    }
  }
  if (const auto pids = find("pids", "pids.current", "pids.max", "pids.current", "pids.max")) {
    put("cgroup.pids", read(pids->root + pids->path + "/" + pids->use));
    put("cgroup.pids_limit", TightestLimit(*pids, read));
  }
  if (const auto cpu = find("cpu", "cpu.stat", "cpu.max", "cpu.stat", "cpu.cfs_quota_us")) {
    const Result<std::string> stat = ReadSmallFile(options_.sys + "/" + cpu->root + cpu->path + "/cpu.stat");
    if (!stat.ok()) return;
    const auto periods = FindAmount(*stat, "nr_periods"), throttled = FindAmount(*stat, "nr_throttled");
    if (!periods || !throttled) return;
    const auto periods_rate = Rate("cgroup.periods", *periods, now);
    const auto throttled_rate = Rate("cgroup.throttled", *throttled, now);
    if (periods_rate && throttled_rate && *periods_rate > 0) {
      out->push_back({"cgroup.cpu_throttled_fraction", std::min(1.0, *throttled_rate / *periods_rate)});
    }
  }
}

void Sampler::SampleDiskLatency(Instant now, Metrics* out) {
  const Result<std::string> device = DeviceOf(options_.data_dir);
  if (!device.ok()) return;
  const Result<std::string> stat = ReadSmallFile(options_.sys + "/dev/block/" + *device + "/stat");
  const std::optional<BlockCounters> counters = stat.ok() ? ParseBlockStat(*stat) : std::nullopt;
  if (!counters) return;
  const auto requests = Rate("node.disk_requests", counters->requests, now);
  const auto busy_ms = Rate("node.disk_busy", counters->busy_ms, now);
  if (requests && busy_ms && *requests > 0) out->push_back({"node.disk_latency_ms", *busy_ms / *requests});
}

void Sampler::SampleMachineErrors(Metrics* out) {
  const std::string controllers = "devices/system/edac/mc";
  if (const Result<std::vector<std::string>> names = SystemFileSystem()->ListDir(options_.sys + "/" + controllers);
      names.ok()) {
    std::optional<uint64_t> corrected, uncorrected;
    for (const std::string& name : *names) {
      if (!name.starts_with("mc")) continue;
      if (const auto count = ReadSysAmount(controllers + "/" + name + "/ce_count")) {
        corrected = corrected.value_or(0) + *count;
      }
      if (const auto count = ReadSysAmount(controllers + "/" + name + "/ue_count")) {
        uncorrected = uncorrected.value_or(0) + *count;
      }
    }
    if (corrected) out->push_back({"node.edac_corrected_errors", static_cast<double>(*corrected)});
    if (uncorrected) out->push_back({"node.edac_uncorrected_errors", static_cast<double>(*uncorrected)});
  }
  const std::string zones = "class/thermal";
  if (const Result<std::vector<std::string>> names = SystemFileSystem()->ListDir(options_.sys + "/" + zones);
      names.ok()) {
    std::optional<uint64_t> hottest;  // in thousandths of a degree; zones below zero say nothing of a server's health
    for (const std::string& name : *names) {
      if (!name.starts_with("thermal_zone")) continue;
      const auto heat = ReadSysAmount(zones + "/" + name + "/temp");
      if (heat && (!hottest || *heat > *hottest)) hottest = heat;
    }
    if (hottest) out->push_back({"node.temperature_max_celsius", static_cast<double>(*hottest) / 1000});
  }
}

}  // namespace understudy

#include "server/agent/sampler.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "log/env/process.h"
#include "log/env/small_files.h"
#include "server/agent/proc_text.h"

namespace understudy {
namespace {

template <class Number>
void Put(std::vector<Metric>* out, std::string name, std::optional<Number> value) {
  if (value && std::isfinite(static_cast<double>(*value)))
    out->push_back({std::move(name), static_cast<double>(*value)});
}
void Put(std::vector<Metric>* out, std::string name, double value) {
  Put(out, std::move(name), std::optional<double>(value));
}

void PutFraction(std::vector<Metric>* out, std::string name, std::optional<uint64_t> part,
                 std::optional<uint64_t> whole) {
  if (part && whole && *whole > 0) Put(out, std::move(name), static_cast<double>(*part) / static_cast<double>(*whole));
}

std::optional<std::string> Read(const std::string& path) {
  Result<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return std::nullopt;
  return std::move(text).value();
}

}  // namespace

NodeSample Sampler::Sample(const SampledApp& app, Instant now, int64_t unix_ms) {
  if (app.pid != rates_of_pid_ || app.start_ticks != rates_of_start_) {
    std::erase_if(counters_, [](const auto& entry) { return !entry.first.starts_with("node."); });
    rates_of_pid_ = app.pid;
    rates_of_start_ = app.start_ticks;
  }
  NodeSample sample;
  sample.unix_ms = unix_ms;
  sample.monotonic_ms = now.ns() / kNsPerMs;
  if (app.pid != 0) {
    SampleProcess(app, now, &sample.metrics);
    SampleCgroup(app.pid, now, &sample.metrics);
  }
  SampleNode(now, &sample.metrics);
  SampleDiskLatency(now, &sample.metrics);
  SampleMachineErrors(&sample.metrics);
  if (app.report != nullptr) SampleReport(*app.report, &sample.metrics);
  return sample;
}

void Sampler::SampleProcess(const SampledApp& app, Instant now, Metrics* out) {
  const std::string folder = std::to_string(app.pid);
  const std::optional<std::string> stat_text = ReadProc(folder + "/stat");
  const std::optional<ProcStat> stat = stat_text ? ParseProcStat(*stat_text) : std::nullopt;
  // The number may have passed on to another process since; its figures are not the application's.
  if (!stat || stat->start_ticks != static_cast<uint64_t>(app.start_ticks)) return;
  const double ticks_per_s = static_cast<double>(sysconf(_SC_CLK_TCK));
  Put(out, "proc.threads", std::optional<uint64_t>(stat->threads));
  if (const auto rate = Rate("proc.cpu", stat->cpu_ticks, now)) Put(out, "proc.cpu_cores", *rate / ticks_per_s);
  Put(out, "proc.minor_faults_per_s", Rate("proc.minor", stat->minor_faults, now));
  Put(out, "proc.major_faults_per_s", Rate("proc.major", stat->major_faults, now));
  if (const auto uptime = ReadProc("uptime")) {
    if (const auto seconds = ParseLoad1(*uptime)) {  // the same form: a number first
      Put(out, "proc.uptime_s", *seconds - static_cast<double>(stat->start_ticks) / ticks_per_s);
    }
  }
  if (const auto status = ReadProc(folder + "/status")) {
    const auto rss = FindAmount(*status, "VmRSS:"), swap = FindAmount(*status, "VmSwap:");
    Put(out, "proc.rss_bytes", rss);
    Put(out, "proc.swap_bytes", swap);
    if (app.memory_limit_bytes > 0) {
      const std::optional<uint64_t> limit = static_cast<uint64_t>(app.memory_limit_bytes);
      Put(out, "proc.memory_limit_bytes", limit);
      if (rss) PutFraction(out, "proc.memory_fraction", *rss + swap.value_or(0), limit);
    }
  }
  if (const auto io = ReadProc(folder + "/io")) {
    if (const auto read = FindAmount(*io, "read_bytes:"))
      Put(out, "proc.read_bytes_per_s", Rate("proc.read", *read, now));
    if (const auto wrote = FindAmount(*io, "write_bytes:")) {
      Put(out, "proc.write_bytes_per_s", Rate("proc.write", *wrote, now));
    }
  }
  std::optional<uint64_t> fds;
  if (const Result<uint64_t> count = CountDescriptors(options_.proc + "/" + folder + "/fd"); count.ok()) fds = *count;
  std::optional<uint64_t> fds_limit;
  if (const auto limits = ReadProc(folder + "/limits")) fds_limit = FindSoftLimit(*limits, "Max open files");
  Put(out, "proc.fds", fds);
  Put(out, "proc.fds_limit", fds_limit);
  PutFraction(out, "proc.fds_fraction", fds, fds_limit);
}

void Sampler::SampleNode(Instant now, Metrics* out) {
  if (const auto memory = ReadProc("meminfo")) {
    const auto total = FindAmount(*memory, "MemTotal:"), available = FindAmount(*memory, "MemAvailable:");
    Put(out, "node.memory_total_bytes", total);
    Put(out, "node.memory_available_bytes", available);
    PutFraction(out, "node.memory_available_fraction", available, total);
    Put(out, "node.swap_total_bytes", FindAmount(*memory, "SwapTotal:"));
    Put(out, "node.swap_free_bytes", FindAmount(*memory, "SwapFree:"));
  }
  if (const auto cpu = ReadProc("pressure/cpu")) Put(out, "node.psi_cpu_some_percent", FindPressure(*cpu, "some"));
  for (const std::string resource : {"memory", "io"}) {
    if (const auto pressure = ReadProc("pressure/" + resource)) {
      Put(out, "node.psi_" + resource + "_some_percent", FindPressure(*pressure, "some"));
      Put(out, "node.psi_" + resource + "_full_percent", FindPressure(*pressure, "full"));
    }
  }
  if (const auto load = ReadProc("loadavg")) Put(out, "node.load1", ParseLoad1(*load));
  if (const Result<FileSystemSpace> space = SpaceOf(options_.data_dir); space.ok()) {
    Put(out, "node.disk_total_bytes", static_cast<double>(space->total_bytes));
    Put(out, "node.disk_free_bytes", static_cast<double>(space->free_bytes));
    PutFraction(out, "node.disk_free_fraction", space->free_bytes, space->total_bytes);
    PutFraction(out, "node.inodes_free_fraction", space->free_inodes, space->total_inodes);
  }
  if (const auto network = ReadProc("net/dev")) {
    if (const auto errors = ParseNetDev(*network)) {
      Put(out, "node.network_errors_per_s", Rate("node.network_errors", errors->errors, now));
      Put(out, "node.network_drops_per_s", Rate("node.network_drops", errors->drops, now));
    }
  }
}

void Sampler::SampleReport(const AppReport& report, Metrics* out) {
  if (report.append_p50_us >= 0) Put(out, "log.append_p50_us", static_cast<double>(report.append_p50_us));
  if (report.append_p99_us >= 0) Put(out, "log.append_p99_us", static_cast<double>(report.append_p99_us));
  const auto distance = [](Lsn high, Lsn low) { return high > low ? static_cast<double>(high - low) : 0.0; };
  if (report.role == AppRole::kPrimary) {
    Put(out, "log.unacknowledged_records", distance(report.last_appended, report.commit));
  } else if (report.role != AppRole::kWarm) {
    Put(out, "log.replay_lag_records", distance(report.commit, report.applied));
  }
  size_t carried = 0;
  for (const auto& [name, value] : report.gauges) {
    if (name.empty() || name.size() > kGaugeNameBytesMax || !std::isfinite(value)) continue;
    if (++carried > kGaugesMax) break;
    Put(out, "app." + name, value);
  }
}

std::optional<std::string> Sampler::ReadProc(const std::string& name) const { return Read(options_.proc + "/" + name); }

std::optional<uint64_t> Sampler::ReadSysAmount(const std::string& path) const {
  const std::optional<std::string> text = Read(options_.sys + "/" + path);
  return text ? ParseAmount(*text) : std::nullopt;
}

std::optional<double> Sampler::Rate(const std::string& counter, uint64_t value, Instant now) {
  const auto [entry, first_time] = counters_.try_emplace(counter, Reading{value, now});
  const Reading before = entry->second;
  entry->second = {value, now};
  if (first_time || value < before.value || now <= before.at) return std::nullopt;
  return static_cast<double>(value - before.value) * 1e9 / static_cast<double>(now - before.at);
}

}  // namespace understudy

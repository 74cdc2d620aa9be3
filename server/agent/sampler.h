// Reads the health of a node and of its application: docs/metrics.md lists the metrics. What cannot be read is left
// out. Keeps the last counters, to make rates of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "log/protocol/control_messages.h"
#include "understudy/types.h"

namespace understudy {

inline constexpr size_t kGaugesMax = 64;
inline constexpr size_t kGaugeNameBytesMax = 64;

struct SamplerOptions {
  std::string data_dir;  // whose file system is watched
  std::string proc = "/proc";
  std::string sys = "/sys";
};

// What runs on the node at the moment of a sample.
struct SampledApp {
  int64_t pid = 0;                    // 0: no process
  int64_t start_ticks = 0;            // of that process
  int64_t memory_limit_bytes = 0;     // 0: none
  const AppReport* report = nullptr;  // what it last said of itself; null: nothing. Borrowed for the call
};

// One thread at a time.
class Sampler {
 public:
  explicit Sampler(SamplerOptions options) : options_(std::move(options)) {}
  NodeSample Sample(const SampledApp& app, Instant now, int64_t unix_ms);

 private:
  using Metrics = std::vector<Metric>;
  void SampleProcess(const SampledApp& app, Instant now, Metrics* out);
  void SampleCgroup(int64_t pid, Instant now, Metrics* out);
  void SampleNode(Instant now, Metrics* out);
  void SampleDiskLatency(Instant now, Metrics* out);
  void SampleMachineErrors(Metrics* out);
  static void SampleReport(const AppReport& report, Metrics* out);

  std::optional<std::string> ReadProc(const std::string& name) const;
  std::optional<uint64_t> ReadSysAmount(const std::string& path) const;
  // Change a second of a counter since the last sample; nothing the first time, or when it went back.
  std::optional<double> Rate(const std::string& counter, uint64_t value, Instant now);

  struct Reading {
    uint64_t value = 0;
    Instant at;
  };
  SamplerOptions options_;
  int64_t rates_of_pid_ = 0;  // the process whose counters are kept
  int64_t rates_of_start_ = 0;
  std::map<std::string, Reading> counters_;
};

}  // namespace understudy

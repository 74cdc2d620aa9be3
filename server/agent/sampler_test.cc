#include "server/agent/sampler.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "log/env/process.h"
#include "log/env/small_files.h"

namespace understudy {
namespace {

using Values = std::map<std::string, double>;

Values ValuesOf(const NodeSample& sample) {
  Values values;
  for (const Metric& metric : sample.metrics) {
    EXPECT_TRUE(values.emplace(metric.name, metric.value).second) << metric.name << " twice";
    EXPECT_TRUE(std::isfinite(metric.value)) << metric.name;
  }
  return values;
}

class SamplerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/understudy_sampler_XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::system(("rm -rf " + folder_).c_str()); }
  void Put(const std::string& path, const std::string& content) {
    ASSERT_TRUE(CreateDirs(SystemFileSystem(), DirName(folder_ + "/" + path)).ok());
    ASSERT_TRUE(ReplaceFile(SystemFileSystem(), folder_ + "/" + path, content).ok());
  }
  Sampler Fake() { return Sampler({folder_, folder_ + "/proc", folder_ + "/sys"}); }
  std::string folder_;
};

// Allocates and touches 32 MiB, opens ten files, says so, then waits.
constexpr char kChild[] =
    "exec 10</dev/null 11</dev/null 12</dev/null 13</dev/null 14</dev/null 15</dev/null; "
    "data=$(head -c 33554432 /dev/zero | tr '\\0' x); echo ready; while :; do :; done";

TEST_F(SamplerTest, AgreesWithWhatARealChildDoes) {
  auto child = Process::Spawn({"/bin/bash", {"-c", kChild}, {}, folder_ + "/output"});
  ASSERT_TRUE(child.ok()) << child.status().ToString();
  Clock* const clock = SystemClock();
  const Instant deadline = clock->Now() + 20 * kNsPerSecond;
  while (ReadSmallFile(folder_ + "/output").status().ok() && ReadSmallFile(folder_ + "/output")->empty()) {
    ASSERT_LT(clock->Now(), deadline);
    poll(nullptr, 0, 1);
  }
  Sampler sampler({folder_});
  AppReport report;
  report.role = AppRole::kPrimary;
  report.last_appended = Lsn(12);
  report.commit = Lsn(10);
  report.append_p99_us = 450;
  report.gauges = {{"queue", 7}, {"broken", std::nan("")}};
  const SampledApp app{(*child)->pid(), (*child)->start_ticks(), 64 << 20, &report};
  const Values first = ValuesOf(sampler.Sample(app, clock->Now(), 1));
  Values second;
  do {  // until the spinning child has used up a tick of the clock
    ASSERT_LT(clock->Now(), deadline);
    poll(nullptr, 0, 20);
    second = ValuesOf(sampler.Sample(app, clock->Now(), 2));
  } while (second["proc.cpu_cores"] == 0);

  EXPECT_GT(first.at("proc.rss_bytes"), 32 << 20);
  EXPECT_LT(first.at("proc.rss_bytes"), 512 << 20);
  EXPECT_EQ(first.at("proc.fds"), 9);  // 0, 1, 2 and 10 to 15
  EXPECT_GT(first.at("proc.fds_limit"), 9);
  EXPECT_NEAR(first.at("proc.fds_fraction"), first.at("proc.fds") / first.at("proc.fds_limit"), 1e-12);
  EXPECT_EQ(first.at("proc.threads"), 1);
  EXPECT_NEAR(first.at("proc.memory_fraction"), first.at("proc.rss_bytes") / (64 << 20), 0.5);
  EXPECT_FALSE(first.contains("proc.cpu_cores")) << "a rate needs two readings";
  EXPECT_LT(second.at("proc.cpu_cores"), 4);
  EXPECT_GT(first.at("node.memory_total_bytes"), first.at("node.memory_available_bytes"));
  EXPECT_GT(first.at("node.disk_free_bytes"), 0);
  EXPECT_EQ(first.at("log.append_p99_us"), 450);
  EXPECT_FALSE(first.contains("log.append_p50_us"));
  EXPECT_EQ(first.at("log.unacknowledged_records"), 2);
  EXPECT_FALSE(first.contains("log.replay_lag_records"));
  EXPECT_EQ(first.at("app.queue"), 7);
  EXPECT_FALSE(first.contains("app.broken"));

  ASSERT_TRUE((*child)->Signal(SIGKILL, true).ok());
  pollfd ended{(*child)->pidfd(), POLLIN, 0};
  ASSERT_EQ(poll(&ended, 1, 10'000), 1);
  (*child)->Reap();
  const Values gone = ValuesOf(sampler.Sample(app, clock->Now(), 3));
  EXPECT_FALSE(gone.contains("proc.rss_bytes")) << "a dead process has no memory, not zero memory";
  EXPECT_TRUE(gone.contains("node.memory_total_bytes"));
}

TEST_F(SamplerTest, ANumberThatPassedOnToAStrangerIsNotSampled) {
  Put("proc/42/stat", "42 (x) R 1 42 42 0 -1 0 1 0 1 0 1 1 0 0 20 0 1 0 5000 1 1\n");
  Put("proc/42/status", "VmRSS:\t 12 kB\n");
  Sampler sampler = Fake();
  EXPECT_TRUE(ValuesOf(sampler.Sample({42, 5000, 0, nullptr}, Instant(1), 0)).contains("proc.rss_bytes"));
  EXPECT_FALSE(ValuesOf(sampler.Sample({42, 4999, 0, nullptr}, Instant(2), 0)).contains("proc.rss_bytes"));
}

TEST_F(SamplerTest, RatesStartAnewWithTheProcessAndWhenACounterGoesBack) {
  const auto stat = [](int faults, int start) {
    return "42 (x) R 1 42 42 0 -1 0 " + std::to_string(faults) + " 0 1 0 1 1 0 0 20 0 1 0 " + std::to_string(start) +
           " 1 1\n";
  };
  Sampler sampler = Fake();
  const auto rate = [&](int faults, int start, int64_t second) {
    Put("proc/42/stat", stat(faults, start));
    Values values = ValuesOf(sampler.Sample({42, start, 0, nullptr}, Instant(second * kNsPerSecond), 0));
    return values.contains("proc.minor_faults_per_s") ? values["proc.minor_faults_per_s"] : -1;
  };
  EXPECT_EQ(rate(100, 7, 10), -1);
  EXPECT_EQ(rate(150, 7, 12), 25);
  EXPECT_EQ(rate(140, 7, 13), -1);
  EXPECT_EQ(rate(150, 7, 14), 10);
  EXPECT_EQ(rate(950, 8, 15), -1) << "another process";
}

TEST_F(SamplerTest, TheTightestGroupLimitCounts) {
  Put("proc/42/stat", "42 (x) R 1 42 42 0 -1 0 1 0 1 0 1 1 0 0 20 0 1 0 5000 1 1\n");
  Put("proc/42/cgroup", "0::/a/b\n");
  Put("sys/fs/cgroup/a/b/memory.current", "500\n");
  Put("sys/fs/cgroup/a/b/memory.max", "max\n");
  Put("sys/fs/cgroup/a/memory.max", "1000\n");
  Put("sys/fs/cgroup/a/b/cpu.stat", "usage_usec 5\nnr_periods 10\nnr_throttled 1\n");
  Sampler sampler = Fake();
  const SampledApp app{42, 5000, 0, nullptr};
  Values values = ValuesOf(sampler.Sample(app, Instant(1 * kNsPerSecond), 0));
  EXPECT_EQ(values.at("cgroup.memory_limit_bytes"), 1000);
  EXPECT_EQ(values.at("cgroup.memory_fraction"), 0.5);
  EXPECT_FALSE(values.contains("cgroup.pids"));
  Put("sys/fs/cgroup/a/b/cpu.stat", "usage_usec 5\nnr_periods 20\nnr_throttled 6\n");
  values = ValuesOf(sampler.Sample(app, Instant(2 * kNsPerSecond), 0));
  EXPECT_EQ(values.at("cgroup.cpu_throttled_fraction"), 0.5);
}

TEST_F(SamplerTest, MachineErrorsAndHeatWhereTheyAreCounted) {
  Put("sys/devices/system/edac/mc/mc0/ce_count", "3\n");
  Put("sys/devices/system/edac/mc/mc1/ce_count", "4\n");
  Put("sys/class/thermal/thermal_zone0/temp", "41000\n");
  Put("sys/class/thermal/thermal_zone1/temp", "67500\n");
  Sampler sampler = Fake();
  const Values values = ValuesOf(sampler.Sample({}, Instant(1), 0));
  EXPECT_EQ(values.at("node.edac_corrected_errors"), 7);
  EXPECT_FALSE(values.contains("node.edac_uncorrected_errors"));
  EXPECT_EQ(values.at("node.temperature_max_celsius"), 67.5);
  EXPECT_FALSE(values.contains("node.memory_total_bytes"));
}

TEST_F(SamplerTest, DiskLatencyIsTimePerRequest) {
  const std::string stat = "sys/dev/block/" + *DeviceOf(folder_) + "/stat";
  Sampler sampler = Fake();
  const auto latency = [&](const std::string& text, int64_t second) {
    Put(stat, text);
    Values values = ValuesOf(sampler.Sample({}, Instant(second * kNsPerSecond), 0));
    return values.contains("node.disk_latency_ms") ? values["node.disk_latency_ms"] : -1;
  };
  EXPECT_EQ(latency("  100 0 0 50  200 0 0 150 0 0 0\n", 1), -1);
  EXPECT_EQ(latency("  110 0 0 60  230 0 0 220 0 0 0\n", 2), 2);
  EXPECT_EQ(latency("  110 0 0 60  230 0 0 220 0 0 0\n", 3), -1) << "no request, no latency";
  EXPECT_EQ(latency("garbage", 4), -1);
}

TEST_F(SamplerTest, EveryMetricIsInTheDocumentation) {
  Result<std::string> page = ReadSmallFile("docs/metrics.md");
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  auto child = Process::Spawn({"/bin/sleep", {"1000"}, {}, ""});
  ASSERT_TRUE(child.ok());
  Sampler sampler({folder_});
  const SampledApp app{(*child)->pid(), (*child)->start_ticks(), 1 << 30, nullptr};
  std::set<std::string> seen;
  for (int64_t second = 1; second <= 2; ++second) {
    for (const Metric& metric : sampler.Sample(app, Instant(second * kNsPerSecond), 0).metrics)
      seen.insert(metric.name);
  }
  ASSERT_TRUE((*child)->Signal(SIGKILL, true).ok());
  EXPECT_GT(seen.size(), 15u);
  for (const std::string& name : seen) {
    EXPECT_NE(page->find("`" + name + "`"), std::string::npos) << name << " is not described in docs/metrics.md";
  }
}

}  // namespace
}  // namespace understudy

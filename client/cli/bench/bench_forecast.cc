// bench forecast: what forecasts cost the coordinator: the host of predictors with its child processes, fed with the
// samples of a whole fleet every second.
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "client/cli/bench/measure.h"
#include "client/cli/command.h"
#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/env/small_files.h"
#include "predictors/host/predictor_host.h"

namespace understudy::cli {
namespace {

using nlohmann::json;

constexpr int64_t kLoadDeadlineNs = 120 * kNsPerSecond;
const std::vector<int64_t> kHorizonsMs = {10'000, 60'000, 300'000, 3'600'000};

// What an agent sends: names as in docs/metrics.md, values that move.
constexpr const char* kMetrics[] = {"proc.rss_bytes",
                                    "proc.swap_bytes",
                                    "proc.memory_limit_bytes",
                                    "proc.memory_fraction",
                                    "proc.fds",
                                    "proc.fds_limit",
                                    "proc.fds_fraction",
                                    "proc.threads",
                                    "proc.cpu_cores",
                                    "proc.minor_faults_per_s",
                                    "proc.major_faults_per_s",
                                    "proc.read_bytes_per_s",
                                    "proc.write_bytes_per_s",
                                    "proc.uptime_s",
                                    "node.memory_total_bytes",
                                    "node.memory_available_bytes",
                                    "node.psi_cpu_some_percent",
                                    "node.load1",
                                    "node.disk_total_bytes",
                                    "node.disk_free_bytes",
                                    "node.disk_free_fraction",
                                    "node.disk_latency_ms",
                                    "log.append_p50_us",
                                    "log.append_p99_us"};

NodeSample MakeSample(int64_t primary, int64_t second, int64_t monotonic_ms) {
  NodeSample sample;
  sample.monotonic_ms = monotonic_ms;
  const double phase = static_cast<double>((primary * 7919 + second * 104729) % 1000) / 1000;
  const double grown = static_cast<double>(second) * (primary % 50 == 0 ? 2e5 : 0);  // one in fifty leaks
  size_t i = 0;
  for (const char* name : kMetrics) {
    double value = static_cast<double>(++i) * (1 + 0.05 * phase);
    const std::string_view metric = name;
    if (metric == "proc.rss_bytes") value = 2e8 + 1e6 * phase + grown;
    if (metric == "proc.memory_limit_bytes") value = 1e9;
    if (metric == "proc.memory_fraction") value = 0.2 + 0.001 * phase + grown / 1e9;
    if (metric == "proc.fds") value = 100 + std::floor(10 * phase);
    if (metric == "proc.fds_limit") value = 1024;
    sample.metrics.push_back({name, value});
  }
  return sample;
}

// The configuration a service would have; plugins without one here get {}.
std::string ConfigOf(const std::string& plugin) {
  if (plugin == "threshold") {
    return R"({"bounds":[{"metric":"proc.memory_fraction","above":0.9},{"metric":"proc.fds","above":900}]})";
  }
  return "{}";
}

struct Usage {
  double cpu_s = 0;
  int64_t resident_bytes = 0;
};

Usage OfProcess(const std::string& pid) {
  Usage usage;
  const Result<std::string> stat = ReadSmallFile("/proc/" + pid + "/stat");
  const Result<std::string> status = ReadSmallFile("/proc/" + pid + "/status");
  if (!stat.ok() || !status.ok()) return usage;
  std::istringstream fields(stat->substr(std::min(stat->size(), stat->rfind(')') + 1)));
  std::string field;
  double ticks = 0;
  for (int i = 3; fields >> field && i <= 15; ++i) {
    if (i >= 14) ticks += std::strtod(field.c_str(), nullptr);
  }
  usage.cpu_s = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  const size_t at = status->find("VmRSS:");
  if (at != std::string::npos) usage.resident_bytes = std::strtoll(status->c_str() + at + 6, nullptr, 10) * 1024;
  return usage;
}

// Of all child processes: those of the plugins.
Usage OfChildren() {
  Usage sum;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const Result<std::string> children = ReadSmallFile((task.path() / "children").string());
    if (!children.ok()) continue;
    std::istringstream pids(*children);
    for (std::string pid; pids >> pid;) {
      const Usage one = OfProcess(pid);
      sum.cpu_s += one.cpu_s;
      sum.resident_bytes += one.resident_bytes;
    }
  }
  return sum;
}

// Asks and waits.
PredictorHost::Forecasts Ask(PredictorHost* host) {
  std::mutex mutex;
  std::condition_variable changed;
  bool answered = false;
  PredictorHost::Forecasts forecasts;
  host->Predict(SystemClock()->Now(), kHorizonsMs, [&](PredictorHost::Forecasts answer) {
    const std::lock_guard lock(mutex);
    forecasts = std::move(answer);
    answered = true;
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return answered; });
  return forecasts;
}

void WaitUntil(Instant due) {
  while (!Interrupted()) {
    const int64_t left_ms = (due - SystemClock()->Now()) / kNsPerMs;
    if (left_ms <= 0) return;
    poll(nullptr, 0, static_cast<int>(std::min<int64_t>(left_ms, 100)));
  }
}

}  // namespace

int RunBenchForecast(const Arguments& arguments) {
  const int64_t primaries = arguments.Number("primaries"), seconds = arguments.Number("seconds"),
                warm_s = arguments.Number("warm-up");
  const std::vector<std::string> plugins = SplitAddresses(arguments.Text("predictors"));
  CatchInterrupts();
  std::vector<std::string> alerts;
  std::mutex alerts_mutex;
  PredictorHostOptions options =
      DefaultPredictorHostOptions(SystemClock(), std::filesystem::path(arguments.program_path).parent_path().string());
  const std::unique_ptr<PredictorHost> host = NewChildProcessPredictorHost(options);
  host->SetOnAlert([&](const PredictorAlert& alert) {
    const std::lock_guard lock(alerts_mutex);
    if (alerts.size() < 20) alerts.push_back(alert.plugin + ": " + alert.text);
  });
  std::vector<std::string> names;
  std::vector<PredictorSpec> specs;
  for (const std::string& plugin : plugins) specs.push_back({plugin, ConfigOf(plugin)});
  for (int64_t i = 0; i < primaries; ++i) {
    names.push_back("service-" + std::to_string(i));
    host->Configure(names.back(), specs);
  }
  // Every instance is made before anything is measured.
  const Instant load_by = SystemClock()->Now() + kLoadDeadlineNs;
  for (bool loading = true; loading && !Interrupted();) {
    loading = false;
    for (const auto& [name, forecasts] : Ask(host.get())) {
      for (const Forecast& forecast : forecasts) loading |= forecast.reason == "still loading";
    }
    if (SystemClock()->Now() > load_by) return Fail({StatusCode::kInternal, "the plugins did not load in 2 minutes"});
  }

  Samples rounds;
  std::map<std::string, std::map<ForecastStatus, int64_t>> answers;
  Usage self_before, children_before;
  Instant began, due = SystemClock()->Now();
  int64_t late = 0, made_ns = 0;
  Progress progress("forecasting", static_cast<uint64_t>(warm_s + seconds), arguments.json());
  for (int64_t second = 0; second < warm_s + seconds && !Interrupted(); ++second) {
    if (second == warm_s) {
      self_before = OfProcess("self");
      children_before = OfChildren();
      began = SystemClock()->Now();
      made_ns = 0;
    }
    WaitUntil(due);
    late += SystemClock()->Now() - due > kNsPerSecond / 2 && second >= warm_s ? 1 : 0;
    due = due + kNsPerSecond;
    for (int64_t i = 0; i < primaries; ++i) {
      const Instant now = SystemClock()->Now();
      const std::vector<NodeSample> samples = {MakeSample(i, second, now.ns() / kNsPerMs)};
      made_ns += SystemClock()->Now() - now;
      host->Observe(names[static_cast<size_t>(i)], samples, now);
    }
    const Instant asked = SystemClock()->Now();
    const PredictorHost::Forecasts forecasts = Ask(host.get());
    if (second >= warm_s) {
      rounds.Add(SystemClock()->Now() - asked);
      for (const auto& [name, list] : forecasts) {
        for (const Forecast& forecast : list) ++answers[forecast.predictor][forecast.status];
      }
    }
    progress.Show(static_cast<uint64_t>(second + 1));
  }
  if (Interrupted()) return kExitFailed;

  const double took_s = static_cast<double>(SystemClock()->Now() - began) / 1e9;
  const Usage self = OfProcess("self"), children = OfChildren();
  const double made = static_cast<double>(made_ns) / 1e9 / took_s;
  const double host_cores = std::max(0.0, (self.cpu_s - self_before.cpu_s) / took_s - made);
  const double child_cores = (children.cpu_s - children_before.cpu_s) / took_s;
  json statuses = json::object();
  for (const auto& [predictor, counts] : answers) {
    for (const auto& [status, count] : counts) statuses[predictor][ForecastStatusName(status)] = count;
  }
  const auto ms = [&](double q) { return static_cast<double>(rounds.Quantile(q)) / 1e6; };
  if (arguments.json()) {
    std::printf("%s\n", json({{"bench", "forecast"},
                              {"primaries", primaries},
                              {"predictors", plugins},
                              {"horizons_ms", kHorizonsMs},
                              {"metrics", std::size(kMetrics)},
                              {"seconds", took_s},
                              {"rounds", rounds.count()},
                              {"late_rounds", late},
                              {"round_p50_ms", ms(0.5)},
                              {"round_p99_ms", ms(0.99)},
                              {"round_max_ms", static_cast<double>(rounds.max()) / 1e6},
                              {"host_cores", host_cores},
                              {"plugin_cores", child_cores},
                              {"cores", host_cores + child_cores},
                              {"sample_making_cores", made},
                              {"host_bytes_before", self_before.resident_bytes},
                              {"plugin_bytes_before", children_before.resident_bytes},
                              {"host_bytes", self.resident_bytes},
                              {"plugin_bytes", children.resident_bytes},
                              {"answers", statuses},
                              {"alerts", alerts}})
                            .dump(1)
                            .c_str());
  } else {
    std::printf("%s primaries, %s, a sample of %zu metrics each second, %zu horizons: %.0f s\n",
                WithCommas(static_cast<uint64_t>(primaries)).c_str(), arguments.Text("predictors").c_str(),
                std::size(kMetrics), kHorizonsMs.size(), took_s);
    std::printf("  %.2f cores: the host %.2f, the plugins' processes %.2f (making up the samples: %.2f more)\n",
                host_cores + child_cores, host_cores, child_cores, made);
    std::printf("  a round takes %.0f ms (p50), %.0f ms (p99); %lld of %llu began more than half a second late\n",
                ms(0.5), ms(0.99), static_cast<long long>(late), static_cast<unsigned long long>(rounds.count()));
    const auto grown = [](int64_t before, int64_t after) {
      return HumanBytes(static_cast<double>(before)) + " -> " + HumanBytes(static_cast<double>(after));
    };
    std::printf("  memory: host %s, plugins %s\n", grown(self_before.resident_bytes, self.resident_bytes).c_str(),
                grown(children_before.resident_bytes, children.resident_bytes).c_str());
    for (const auto& [predictor, counts] : answers) {
      std::string line = "  " + predictor + ":";
      for (const auto& [status, count] : counts) {
        line += std::string(" ") + ForecastStatusName(status) + " " + WithCommas(static_cast<uint64_t>(count));
      }
      std::printf("%s\n", line.c_str());
    }
    for (const std::string& alert : alerts) std::printf("  alert: %s\n", alert.c_str());
  }
  return kExitOk;
}

}  // namespace understudy::cli

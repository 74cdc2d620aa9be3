// bench append: records through the public client library.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/bench/bench_log.h"
#include "client/cli/text.h"

namespace understudy::cli {

int RunBenchAppend(const Arguments& arguments) {
  const bool window_given = arguments.Given("window"), threads_given = arguments.Given("threads");
  if ((window_given ? 1 : 0) + (threads_given ? 1 : 0) + (arguments.Flag("sync") ? 1 : 0) > 1) {
    std::fprintf(stderr, "understudy bench append: one of --sync, --threads, --window\n");
    return kExitUsage;
  }
  const auto replicas = static_cast<int>(arguments.Number("replicas"));
  const auto asked = static_cast<int>(arguments.Number("ack"));
  const int ack = asked != 0 ? asked : replicas / 2 + 1;
  if (ack > replicas) {
    std::fprintf(stderr, "understudy bench append: --ack: at most --replicas\n");
    return kExitUsage;
  }
  CatchInterrupts();
  Result<std::unique_ptr<BenchLog>> bench = OpenBenchLog(arguments, replicas, ack);
  if (!bench.ok()) return Fail(bench.status());
  const auto records = static_cast<uint64_t>(arguments.Number("records"));
  const auto size = static_cast<size_t>(arguments.Number("size"));
  const int threads = arguments.Flag("sync") ? 1 : static_cast<int>(arguments.Number("threads"));
  const bool windowed = !arguments.Flag("sync") && !threads_given;
  const auto window = static_cast<uint64_t>(arguments.Number("window"));

  // The first records open connections and touch fresh memory; they are not what is asked about.
  const uint64_t warm = std::min<uint64_t>(windowed ? records : records / 10, windowed ? 3'000'000 : 2000);
  AppendResult result;
  {
    Progress progress("append", records, arguments.json());
    Log* log = (*bench)->log.get();
    const InterruptGuard guard(bench->get());
    const BenchTrimmer trimmer(**bench);
    if (warm > 0) {
      result = windowed ? AppendWindow(bench->get(), warm, size, window, &progress)
                        : AppendThreads(log, warm, size, threads, &progress);
    }
    if (result.status.ok()) {
      result = windowed ? AppendWindow(bench->get(), records, size, window, &progress)
                        : AppendThreads(log, records, size, threads, &progress);
    }
  }
  if (!result.status.ok()) return Fail(result.status);
  const double rate = static_cast<double>(result.records) / result.seconds;
  const double p50 = static_cast<double>(result.latency.Quantile(0.5)) / 1000,
               p99 = static_cast<double>(result.latency.Quantile(0.99)) / 1000;
  const uint64_t server_memory = (*bench)->cluster ? (*bench)->cluster->LogServersPeakMemory() : 0;
  const std::string mode = windowed ? "window" : arguments.Flag("sync") ? "sync" : "threads";
  if (arguments.json()) {
    nlohmann::json json = {
        {"bench", "append"},
        {"mode", mode},
        {"records", result.records},
        {"size", size},
        {"replicas", replicas},
        {"ack", ack},
        {"seconds", result.seconds},
        {"records_per_s", rate},
        {"p50_us", p50},
        {"p99_us", p99},
        {"max_us", static_cast<double>(result.latency.max()) / 1000},
        {"client_peak_bytes", PeakMemory(getpid())},
        {"server_peak_bytes", server_memory > 0 ? nlohmann::json(server_memory) : nlohmann::json(nullptr)}};
    json[windowed ? "window" : "threads"] = windowed ? window : static_cast<uint64_t>(threads);
    std::printf("%s\n", json.dump(1).c_str());
  } else {
    const std::string how =
        windowed ? WithCommas(window) + " in flight"
                 : std::to_string(threads) + (threads == 1 ? " writer that waits" : " writers that wait");
    std::printf("%s records of %zu bytes, %s, %d of %d replicas: %.2f s\n", WithCommas(result.records).c_str(), size,
                how.c_str(), ack, replicas, result.seconds);
    std::printf("  %s records/s, %s/s\n", WithCommas(static_cast<uint64_t>(rate)).c_str(),
                HumanBytes(rate * static_cast<double>(size)).c_str());
    std::printf("  acknowledged after %.0f us (p50), %.0f us (p99)\n", p50, p99);
    std::printf("  peak memory: client %s%s\n", HumanBytes(static_cast<double>(PeakMemory(getpid()))).c_str(),
                server_memory > 0 ? (", log servers " + HumanBytes(static_cast<double>(server_memory))).c_str() : "");
  }
  return Interrupted() ? kExitFailed : kExitOk;
}

}  // namespace understudy::cli

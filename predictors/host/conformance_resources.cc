// What a plugin takes: memory, time, threads, files, signal handlers.
#include <algorithm>

#include "predictors/host/conformance_checker.h"

namespace understudy::conformance {
namespace {

constexpr size_t kWarmCycles = 200, kLeakCycles = 2000;
constexpr int64_t kLeakBytesMax = 384 << 10;
constexpr size_t kGrowthSamples = 20'000;
constexpr int64_t kGrowthBytesMax = 256 << 10;
constexpr int64_t kPredictWarnUs = 2000;  // of 250 ms for all primaries together

}  // namespace

Finding Checker::Leaks() {
  const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 20);
  const auto cycles = [&](size_t count) -> Status {
    for (size_t done = 0; done < count; done += 50) {
      std::vector<WorkerOp> ops;
      for (size_t i = 0; i < 50; ++i) {
        ops.push_back(Create(1, options_.config));
        ops.push_back(Observe(1, samples));
        ops.push_back(Predict(1, After(samples)));
        ops.push_back(Op(OpKind::kDestroy, 1));
      }
      if (const auto results = Call(std::move(ops)); !results.ok()) return results.status();
    }
    return {};
  };
  if (Status status = cycles(kWarmCycles); !status.ok()) return Bad(status.message());
  const int64_t before = process_->Facts().resident_bytes;
  if (Status status = cycles(kLeakCycles); !status.ok()) return Bad(status.message());
  const int64_t grown = process_->Facts().resident_bytes - before;
  const std::string text = std::to_string(kLeakCycles) +
                           " instances made and destroyed: " + std::to_string(std::max<int64_t>(grown, 0) / 1024) +
                           " KiB more memory";
  return grown > kLeakBytesMax ? Bad(text + "; destroy does not free all") : Pass(text);
}

Finding Checker::Memory() {
  int64_t begin = kRunBeginNs;
  const auto feed = [&](size_t count) -> Status {
    for (size_t done = 0; done < count; done += 500) {
      const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 500, begin);
      begin = samples.back().time_ns + kNsPerSecond;
      const auto results = Call({Observe(1, samples), Predict(1, begin)});
      if (!results.ok()) return results.status();
    }
    return {};
  };
  if (const auto made = Call({Create(1, options_.config)}); !made.ok()) return Bad(made.status().message());
  if (Status status = feed(kGrowthSamples); !status.ok()) return Bad(status.message());
  const int64_t before = process_->Facts().resident_bytes;
  if (Status status = feed(2 * kGrowthSamples); !status.ok()) return Bad(status.message());
  const int64_t after = process_->Facts().resident_bytes;
  if (const auto ended = Call({Op(OpKind::kDestroy, 1)}); !ended.ok()) return Bad(ended.status().message());
  const std::string text = "the process has " + std::to_string(after >> 10) + " KiB; " +
                           std::to_string(2 * kGrowthSamples) + " samples added " +
                           std::to_string(std::max<int64_t>(after - before, 0) / 1024) + " KiB";
  return after - before > kGrowthBytesMax ? Warn(text + ": does it keep every sample?") : Pass(text);
}

Finding Checker::Time() {
  const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 600);
  if (const auto made = Call({Create(1, options_.config), Observe(1, samples)}); !made.ok()) {
    return Bad(made.status().message());
  }
  // Batches of 20 questions, so that the way there and back hardly counts; the median of several is the machine's
  // word on the plugin rather than on what else runs.
  std::vector<int64_t> took_us;
  for (int i = 0; i < 15; ++i) {
    const std::vector<WorkerOp> ops(20, Predict(1, After(samples)));
    const Instant begin = SystemClock()->Now();
    if (const auto results = Call(ops); !results.ok()) return Bad(results.status().message());
    took_us.push_back((SystemClock()->Now() - begin) / 1000 / 20);
  }
  std::sort(took_us.begin(), took_us.end());
  const int64_t median_us = took_us[took_us.size() / 2];
  if (const auto ended = Call({Op(OpKind::kDestroy, 1)}); !ended.ok()) return Bad(ended.status().message());
  const std::string text = std::to_string(median_us) + " us for one primary";
  return median_us > kPredictWarnUs ? Warn(text + ": many primaries will miss the deadline of 250 ms") : Pass(text);
}

Finding Checker::ProcessState() {
  if (Status status = Ensure(); !status.ok()) return Bad(status.message());
  const ProcessFacts now = process_->Facts();
  if (now.threads > facts_.threads) return Bad("started threads: " + std::to_string(now.threads) + " run");
  if (now.open_files > facts_.open_files + 1) {
    return Bad("keeps " + std::to_string(now.open_files - facts_.open_files) + " files or sockets open");
  }
  if (now.signals_caught != 0) return Bad("installed a signal handler");
  return Pass("no threads, no open files, no signal handlers");
}

}  // namespace understudy::conformance

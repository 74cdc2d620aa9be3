#include "tests/sim/hunt.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "log/env/clock.h"
#include "tests/sim/run.h"

namespace understudy::sim {

HuntResult Hunt(const HuntOptions& options, const std::function<void(const HuntFinding&)>& found) {
  const Instant began = SystemClock()->Now();
  const Instant until =
      options.seconds > 0 ? began + static_cast<int64_t>(options.seconds * kNsPerSecond) : Instant::Never();
  std::atomic<uint64_t> next{options.first_seed};
  const uint64_t end = options.seeds_max == 0 ? UINT64_MAX : options.first_seed + options.seeds_max;
  std::atomic<bool> enough{false};
  std::mutex mutex;
  HuntResult total;
  const auto work = [&] {
    HuntResult mine;
    while (!enough && SystemClock()->Now() < until) {
      const uint64_t seed = next++;
      if (seed >= end) break;
      const RunResult result = Run(MakePlan(seed), &mine.coverage);
      ++mine.seeds;
      mine.steps += result.steps;
      mine.acked += result.acked;
      mine.simulated_seconds += static_cast<double>(result.simulated_ns) / kNsPerSecond;
      if (!result.finding.has_value()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      total.findings.push_back({seed, *result.finding});
      if (found) found(total.findings.back());
      if (total.findings.size() >= options.findings_max) enough = true;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    total.seeds += mine.seeds;
    total.steps += mine.steps;
    total.acked += mine.acked;
    total.simulated_seconds += mine.simulated_seconds;
    total.coverage.Add(mine.coverage);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < options.jobs; ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  total.seconds = static_cast<double>(SystemClock()->Now() - began) / kNsPerSecond;
  std::sort(total.findings.begin(), total.findings.end(), [](const auto& a, const auto& b) { return a.seed < b.seed; });
  return total;
}

std::optional<uint64_t> SeedsUntilFinding(uint64_t first, uint64_t seeds_max, Finding* finding) {
  Coverage nobody_looks;
  for (uint64_t i = 0; i < seeds_max; ++i) {
    const RunResult result = Run(MakePlan(first + i), &nobody_looks);
    if (!result.finding.has_value()) continue;
    if (finding != nullptr) *finding = *result.finding;
    return i + 1;
  }
  return std::nullopt;
}

}  // namespace understudy::sim

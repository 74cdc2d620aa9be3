// Two writers that append all the while, and what their appends take, kept apart by what else goes on meanwhile.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "client/cli/bench/bench_log.h"
#include "client/cli/bench/measure.h"
#include "understudy/status.h"

namespace understudy::cli {

enum class Phase : int { kIgnored = 0, kQuiet, kRepair };

class Foreground {
 public:
  struct Latencies {
    std::array<Samples, 3> of_phase;
    const Samples& Of(Phase phase) const { return of_phase[static_cast<size_t>(phase)]; }
  };

  // One writer on `sync` waits for each record; one on `paced` appends `rate` records a second and waits for none. Both
  // logs outlive this.
  Foreground(BenchLog* sync, BenchLog* paced, size_t size, int64_t rate);
  ~Foreground();  // Stop
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;

  // Records sent from now on count as of `phase`; of those under way, the ones sent before.
  void Enter(Phase phase) { phase_.store(phase); }

  // Ends both and waits for what is in flight. The first append that failed.
  Status Stop();
  // After Stop.
  const Latencies& sync() const { return sync_; }
  const Latencies& paced() const { return paced_; }

 private:
  void RunSync();
  void RunPaced();
  void Failed(const Status& status);

  Log* const sync_log_;
  Log* const paced_log_;
  const size_t size_;
  const int64_t rate_;
  std::atomic<Phase> phase_{Phase::kIgnored};
  std::atomic<bool> stopping_{false};
  Latencies sync_;
  std::mutex mutex_;  // of what follows
  Latencies paced_;
  Status failed_;
  std::thread sync_thread_, paced_thread_;
};

}  // namespace understudy::cli

// What `bench append` and `bench replay` share: a server, a log on it, a writer that fills it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/bench/measure.h"
#include "client/cli/bench/private_cluster.h"
#include "client/cli/command.h"
#include "understudy/log.h"

namespace understudy::cli {

struct BenchLog {
  std::unique_ptr<PrivateCluster> cluster;  // null with --coordinator
  std::string coordinator, name;
  LogOptions options;
  std::vector<std::shared_ptr<void>> kept;  // what callbacks of the log may still touch
  std::unique_ptr<Log> log;                 // the writer; before the cluster to go
  ~BenchLog() { log.reset(); }
};

// Starts a private cluster unless --coordinator was given, makes a new log on `replicas` disks, of which `ack` must
// have a record before it is acknowledged, and becomes its writer.
Result<std::unique_ptr<BenchLog>> OpenBenchLog(const Arguments& arguments, int replicas, int ack);

// Another log on the servers of `first`, with its options.
Result<std::unique_ptr<BenchLog>> OpenAnotherLog(const BenchLog& first);

struct AppendResult {
  Status status;
  uint64_t records = 0;
  double seconds = 0;
  Samples latency;
};

// Trims the log on its disks as it grows, as the checkpoints of a service would let it: the journal then goes on in
// files it has used before, and not in ever new ones whose memory and blocks the machine must find first.
class BenchTrimmer {
 public:
  explicit BenchTrimmer(const BenchLog& bench);
  ~BenchTrimmer();
  BenchTrimmer(const BenchTrimmer&) = delete;
  BenchTrimmer& operator=(const BenchTrimmer&) = delete;

 private:
  void Run(const BenchLog& bench);

  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;
  std::thread thread_;
};

// While it lives: a program that was interrupted ends soon, with its private cluster, even when threads of it wait for
// appends that nobody answers (a full disk, servers that are gone).
class InterruptGuard {
 public:
  explicit InterruptGuard(BenchLog* bench);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  void Run(BenchLog* bench);

  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;
  std::thread thread_;
};

// A payload of `size` bytes that says which record it is of.
void FillPayload(uint64_t record, std::string* payload);
// Its conflict key: never 0.
inline uint64_t KeyOf(uint64_t record) { return record % 1'000'003 + 1; }

// Appends with up to `window` records in flight, from this thread.
AppendResult AppendWindow(BenchLog* bench, uint64_t records, size_t size, uint64_t window, Progress* progress);
// `threads` threads that each wait for their record before they append the next.
AppendResult AppendThreads(Log* log, uint64_t records, size_t size, int threads, Progress* progress);

}  // namespace understudy::cli

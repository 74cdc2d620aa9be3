#include "client/cli/bench/bench_log.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "client/cli/session.h"
#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/env/random.h"

namespace understudy::cli {
namespace {

constexpr int64_t kDisksNs = 30 * kNsPerSecond;
constexpr int64_t kTrimEveryNs = 20 * kNsPerMs;
constexpr int64_t kInterruptedNs = 100 * kNsPerMs;  // so often is looked whether the program was interrupted
constexpr int64_t kGraceNs = 2 * kNsPerSecond;
constexpr uint64_t kKeptRecords = 100'000;
constexpr uint64_t kTimedEvery = 16;  // of the records in a window: reading the clock costs as much as an append

// Counts what is acknowledged and lets the writer sleep while the window is full.
class Window {
 public:
  explicit Window(uint64_t size) : size_(size) {}

  bool Full() const { return sent_ - acked_.load(std::memory_order_acquire) >= size_; }
  void Sent() { ++sent_; }
  void Acked(const Status& status) {
    if (!status.ok()) {
      const std::lock_guard lock(mutex_);
      if (status_.ok()) status_ = status;
      failed_.store(true, std::memory_order_release);
      room_.notify_one();
    }
    // Once, for the one that makes it enough: a wake-up costs more than an append.
    if (acked_.fetch_add(1, std::memory_order_seq_cst) + 1 == wanted_.load(std::memory_order_seq_cst)) {
      const std::lock_guard lock(mutex_);
      room_.notify_one();
    }
  }
  // Until at most `left` are outstanding, or one failed, or the program was interrupted: what waits for a full disk may
  // wait for ever.
  void WaitUntil(uint64_t left) {
    std::unique_lock lock(mutex_);
    wanted_.store(sent_ - std::min(sent_, left), std::memory_order_seq_cst);
    const auto enough = [&] { return failed() || sent_ - acked_.load(std::memory_order_seq_cst) <= left; };
    while (!Interrupted() && !room_.wait_for(lock, std::chrono::nanoseconds(kInterruptedNs), enough)) {
    }
  }
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  uint64_t acked() const { return acked_.load(std::memory_order_relaxed); }
  Status status() {
    std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  const uint64_t size_;
  uint64_t sent_ = 0;
  std::atomic<uint64_t> acked_{0}, wanted_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::condition_variable room_;
  Status status_;
};

// An epoch may open with fewer disks than were asked for, when one answers late: the writer adds it soon.
Status AwaitDisks(const BenchLog& bench) {
  Session session(bench.coordinator, bench.options.cluster);
  const Instant deadline = SystemClock()->Now() + kDisksNs;
  while (true) {
    const Result<std::vector<Chain>> chains = session.Chains();
    if (!chains.ok()) return chains.status();
    size_t disks = 0;
    for (const Chain& chain : *chains) {
      if (chain.name == bench.name && chain.last() != nullptr) disks = chain.last()->disks.size();
    }
    if (disks == static_cast<size_t>(bench.options.replicas)) return {};
    if (SystemClock()->Now() > deadline) {
      return {StatusCode::kUnavailable, "the log is on " + std::to_string(disks) + " disks, " +
                                            std::to_string(bench.options.replicas) + " were asked for"};
    }
    poll(nullptr, 0, 50);
  }
}

// A new log, whose writer this becomes.
Status Create(BenchLog* bench) {
  bench->name = "bench-" + std::to_string(SystemRandom()->Next64());
  Result<std::unique_ptr<Log>> log = Log::Open(bench->options, bench->name, /*create=*/true);
  if (!log.ok()) return log.status();
  bench->log = std::move(log).value();
  const Result<Lsn> opened = bench->log->TakeOver(Epoch(0));
  if (!opened.ok()) return opened.status();
  return AwaitDisks(*bench);
}

}  // namespace

Result<std::unique_ptr<BenchLog>> OpenBenchLog(const Arguments& arguments, int replicas, int ack) {
  auto bench = std::make_unique<BenchLog>();
  const bool given = arguments.Given("coordinators") || arguments.Given("coordinator");
  bench->coordinator = SplitAddresses(arguments.coordinators()).front();
  if (!given) {
    PrivateClusterOptions options;
    options.program_path = arguments.program_path;
    options.parent = arguments.Text("data-dir");
    options.log_servers = replicas;
    Result<std::unique_ptr<PrivateCluster>> cluster = PrivateCluster::Start(options);
    if (!cluster.ok()) return cluster.status();
    bench->cluster = std::move(cluster).value();
    bench->coordinator = bench->cluster->coordinators()[0];
  }
  bench->options.cluster = given ? arguments.cluster() : "understudy";
  bench->options.coordinators = given ? SplitAddresses(arguments.coordinators()) : std::vector{bench->coordinator};
  bench->options.node = "bench";
  bench->options.replicas = replicas;
  bench->options.ack_quorum = ack;
  // Large enough that the window, not this, bounds what is in flight.
  bench->options.inflight_bytes_max = 256u << 20;
  UNDERSTUDY_RETURN_IF_ERROR(Create(bench.get()));
  return bench;
}

Result<std::unique_ptr<BenchLog>> OpenAnotherLog(const BenchLog& first) {
  auto bench = std::make_unique<BenchLog>();
  bench->coordinator = first.coordinator;
  bench->options = first.options;
  UNDERSTUDY_RETURN_IF_ERROR(Create(bench.get()));
  return bench;
}

BenchTrimmer::BenchTrimmer(const BenchLog& bench) : thread_([this, &bench] { Run(bench); }) {}

BenchTrimmer::~BenchTrimmer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void BenchTrimmer::Run(const BenchLog& bench) {
  Session session(bench.coordinator, bench.options.cluster);
  Chain chain;
  if (const Result<std::vector<Chain>> chains = session.Chains(); chains.ok()) {
    for (const Chain& one : *chains) {
      if (one.name == bench.name) chain = one;
    }
  }
  Lsn trimmed;
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, std::chrono::nanoseconds(kTrimEveryNs), [this] { return stop_; })) {
    const Lsn commit = bench.log->commit();
    if (chain.epochs.empty() || commit < trimmed + 2 * kKeptRecords) continue;
    trimmed = Lsn(commit.value() - kKeptRecords);
    for (const ReplicaRef& replica : chain.last()->disks) {
      // One that fails is asked again the next time; a benchmark's log may as well grow.
      (void)session.Trim(chain.log, replica.disk, trimmed);
    }
  }
}

InterruptGuard::InterruptGuard(BenchLog* bench) : thread_([this, bench] { Run(bench); }) {}

InterruptGuard::~InterruptGuard() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void InterruptGuard::Run(BenchLog* bench) {
  std::unique_lock lock(mutex_);
  const auto stopped = [this] { return stop_; };
  while (!Interrupted()) {
    if (stop_changed_.wait_for(lock, std::chrono::nanoseconds(kInterruptedNs), stopped)) return;
  }
  if (stop_changed_.wait_for(lock, std::chrono::nanoseconds(kGraceNs), stopped)) return;
  std::fprintf(stderr, "understudy bench: interrupted while appends wait for their acknowledgement\n");
  bench->cluster.reset();
  std::_Exit(kExitFailed);
}

void FillPayload(uint64_t record, std::string* payload) {
  std::memcpy(payload->data(), &record, std::min(sizeof record, payload->size()));
}

AppendResult AppendWindow(BenchLog* bench, uint64_t records, size_t size, uint64_t window_size, Progress* progress) {
  struct Shared {
    explicit Shared(uint64_t size) : window(size) {}
    Window window;
    Samples latency;
  };
  // The callbacks of a log that has failed may come when nobody waits any more: it lives as long as the log. They hold
  // no more than two words, which std::function keeps without an allocation.
  auto owned = std::make_shared<Shared>(window_size);
  Shared* shared = owned.get();
  bench->kept.push_back(std::move(owned));
  Window& window = shared->window;
  std::string payload(size, 'x');
  const Instant began = SystemClock()->Now();
  for (uint64_t i = 0; i < records && !window.failed() && !Interrupted(); ++i) {
    // Woken when a quarter is free: woken for every record, the two threads would hand each other the processor.
    if (window.Full()) window.WaitUntil(window_size - std::max<uint64_t>(1, window_size / 4));
    FillPayload(i, &payload);
    window.Sent();
    const int64_t sent_ns = i % kTimedEvery == 0 ? SystemClock()->Now().ns() : 0;
    const Result<Lsn> lsn = bench->log->Append(payload, KeyOf(i), [shared, sent_ns](const Result<Lsn>& answer) {
      if (sent_ns != 0) shared->latency.Add(SystemClock()->Now().ns() - sent_ns);
      shared->window.Acked(answer.ok() ? Status::Ok() : answer.status());
    });
    if (!lsn.ok()) window.Acked(lsn.status());
    if (i % 1024 == 0) progress->Show(window.acked());
  }
  window.WaitUntil(0);
  AppendResult result;
  result.status = window.status();
  result.seconds = static_cast<double>(SystemClock()->Now() - began) * 1e-9;
  result.records = window.acked();
  if (result.status.ok()) result.latency = shared->latency;
  return result;
}

AppendResult AppendThreads(Log* log, uint64_t records, size_t size, int threads, Progress* progress) {
  AppendResult result;
  std::atomic<uint64_t> next{0}, done{0};
  std::mutex mutex;
  const auto work = [&](bool first) {
    Samples latency;
    std::string payload(size, 'x');
    Status failed;
    while (failed.ok() && !Interrupted()) {
      const uint64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= records) break;
      FillPayload(i, &payload);
      const Instant sent = SystemClock()->Now();
      const Result<Lsn> lsn = log->Append(payload, KeyOf(i)).Get();
      latency.Add(SystemClock()->Now() - sent);
      if (!lsn.ok()) failed = lsn.status();
      done.fetch_add(1, std::memory_order_relaxed);
      if (first) progress->Show(done.load(std::memory_order_relaxed));
    }
    std::lock_guard lock(mutex);
    result.latency.Merge(latency);
    if (!failed.ok() && result.status.ok()) result.status = failed;
  };
  const Instant began = SystemClock()->Now();
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work, false);
  work(true);
  for (std::thread& thread : others) thread.join();
  result.seconds = static_cast<double>(SystemClock()->Now() - began) * 1e-9;
  result.records = done.load();
  return result;
}

}  // namespace understudy::cli

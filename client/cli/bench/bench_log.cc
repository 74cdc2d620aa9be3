#include "client/cli/bench/bench_log.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
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

constexpr uint64_t kTimedEvery = 16;  // of the records in a window: reading the clock costs as much as an append

// Counts what is acknowledged and lets the writer sleep while the window is full.
class Window {
 public:
  explicit Window(uint64_t size) : size_(size) {}

  bool Full() const { return sent_ - acked_.load(std::memory_order_acquire) >= size_; }
  void Sent() { ++sent_; }
  void Acked(const Status& status) {
    if (!status.ok()) {
      std::lock_guard lock(mutex_);
      if (status_.ok()) status_ = status;
      failed_.store(true, std::memory_order_release);
    }
    acked_.fetch_add(1, std::memory_order_acq_rel);
    if (waiting_.load(std::memory_order_seq_cst)) {
      std::lock_guard lock(mutex_);
      room_.notify_one();
    }
  }
  // Until at most `left` are outstanding, or one failed.
  void WaitUntil(uint64_t left) {
    std::unique_lock lock(mutex_);
    waiting_.store(true, std::memory_order_seq_cst);
    room_.wait(lock, [&] { return failed() || sent_ - acked_.load(std::memory_order_acquire) <= left; });
    waiting_.store(false, std::memory_order_seq_cst);
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
  std::atomic<uint64_t> acked_{0};
  std::atomic<bool> waiting_{false}, failed_{false};
  std::mutex mutex_;
  std::condition_variable room_;
  Status status_;
};

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
  bench->name = "bench-" + std::to_string(SystemRandom()->Next64());
  Result<std::unique_ptr<Log>> log = Log::Open(bench->options, bench->name, /*create=*/true);
  if (!log.ok()) return log.status();
  bench->log = std::move(log).value();
  const Result<Lsn> opened = bench->log->TakeOver(Epoch(0));
  if (!opened.ok()) return opened.status();
  // An epoch may open with fewer disks than were asked for: not what is to be measured.
  const Result<std::vector<Chain>> chains = Session(bench->coordinator, bench->options.cluster).Chains();
  if (!chains.ok()) return chains.status();
  for (const Chain& chain : *chains) {
    if (chain.name != bench->name || chain.last()->disks.size() == static_cast<size_t>(replicas)) continue;
    return Status(StatusCode::kUnavailable, "the log opened on " + std::to_string(chain.last()->disks.size()) +
                                                " disks, " + std::to_string(replicas) + " were asked for");
  }
  return bench;
}

void FillPayload(uint64_t record, std::string* payload) {
  std::memcpy(payload->data(), &record, std::min(sizeof record, payload->size()));
}

AppendResult AppendWindow(Log* log, uint64_t records, size_t size, uint64_t window_size, Progress* progress) {
  // Shared with the callbacks: those of a log that has failed may come when nobody waits any more.
  struct Shared {
    explicit Shared(uint64_t size) : window(size) {}
    Window window;
    Samples latency;
  };
  auto shared = std::make_shared<Shared>(window_size);
  Window& window = shared->window;
  std::string payload(size, 'x');
  const Instant began = SystemClock()->Now();
  for (uint64_t i = 0; i < records && !window.failed() && !Interrupted(); ++i) {
    // Woken when a quarter is free: woken for every record, the two threads would hand each other the processor.
    if (window.Full()) window.WaitUntil(window_size - std::max<uint64_t>(1, window_size / 4));
    FillPayload(i, &payload);
    window.Sent();
    const bool timed = i % kTimedEvery == 0;
    const Instant sent = timed ? SystemClock()->Now() : Instant();
    const Result<Lsn> lsn = log->Append(payload, KeyOf(i), [shared, timed, sent](const Result<Lsn>& answer) {
      if (timed) shared->latency.Add(SystemClock()->Now() - sent);
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

// bench replay: what a spare does, from the log server into a sharded hash map.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "client/cli/bench/bench_log.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "client/replay/replayer.h"
#include "log/env/clock.h"

namespace understudy::cli {
namespace {

constexpr uint64_t kWindow = 16384;
constexpr size_t kShards = 256;

// Values by key, copied whole: open addressing in shards of their own lock, for keys 1 to `keys`.
class ShardedMap : public StateMachine {
 public:
  ShardedMap(uint64_t keys, size_t value_bytes) : value_bytes_(value_bytes), stride_((value_bytes + 8 + 7) / 8 * 8) {
    uint64_t slots = 16;
    while (slots < 2 * (keys / kShards + 1)) slots *= 2;
    mask_ = slots - 1;
    for (Shard& shard : shards_) shard.slots.resize(slots * stride_);
  }

  void Apply(const Record& record) override {
    const uint64_t hash = record.key * 0x9E3779B97F4A7C15ULL;
    Shard& shard = shards_[hash >> 56];
    while (shard.busy.test_and_set(std::memory_order_acquire)) {
    }
    char* slot = Find(&shard, record.key, hash);
    std::memcpy(slot, &record.key, sizeof record.key);
    std::memcpy(slot + 8, record.payload.data(), std::min(value_bytes_, record.payload.size()));
    shard.busy.clear(std::memory_order_release);
  }
  std::unique_ptr<Snapshot> TakeSnapshot() override { return nullptr; }
  Status Load(CheckpointReader&) override { return {StatusCode::kUnsupported, "a benchmark's log has no checkpoints"}; }
  void Reset() override {
    for (Shard& shard : shards_) std::fill(shard.slots.begin(), shard.slots.end(), '\0');
  }

  // Whether the value of `key` is that of `record`.
  bool Holds(uint64_t key, uint64_t record) {
    const uint64_t hash = key * 0x9E3779B97F4A7C15ULL;
    const char* slot = Find(&shards_[hash >> 56], key, hash);
    std::string payload(value_bytes_, 'x');
    FillPayload(record, &payload);
    return std::memcmp(slot, &key, sizeof key) == 0 && std::memcmp(slot + 8, payload.data(), value_bytes_) == 0;
  }

 private:
  struct alignas(64) Shard {
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
    std::vector<char> slots;  // a key of 0 is an empty one
  };
  char* Find(Shard* shard, uint64_t key, uint64_t hash) {
    for (uint64_t i = (hash >> 16) & mask_;; i = (i + 1) & mask_) {
      char* slot = shard->slots.data() + i * stride_;
      uint64_t there;
      std::memcpy(&there, slot, sizeof there);
      if (there == key || there == 0) return slot;
    }
  }
  const size_t value_bytes_, stride_;
  uint64_t mask_ = 0;
  Shard shards_[kShards];
};

struct ReplayResult {
  Status status;
  double seconds = 0;
};

// As a spare's library does it, on connections of its own.
ReplayResult Replay(const BenchLog& bench, LogId log, Lsn last, int lanes, StateMachine* state, Progress* progress) {
  Runtime runtime(SystemClock());
  ClusterOptions options;
  options.cluster = bench.options.cluster;
  options.coordinators = bench.options.coordinators;
  options.name = "bench";
  auto cluster = std::make_unique<Cluster>(runtime.loop(), options);
  ChainStore chains(cluster.get(), log);
  std::unique_ptr<Replayer> replayer;
  ReplayQueue queue(state, lanes, [&](Lsn lsn) {
    runtime.Run([&replayer, lsn] {
      if (replayer) replayer->OnApplied(lsn);
    });
  });
  ReplayResult result;
  // Shared: its setter may still be at it when the wait is over.
  const auto finished = std::make_shared<Completion>(runtime.loop());
  bool set = false;
  ReplayerOptions replayer_options;
  replayer_options.holder = "bench";
  ReplayerEvents events;
  const auto finish = [&, finished](const Status& status) {
    if (std::exchange(set, true)) return;
    result.status = status;
    finished->Set();
  };
  events.failed = finish;
  const auto nothing = [](const auto&...) {};
  events.changed = nothing;
  events.chain = nothing;
  events.next_owner = nothing;
  const Instant began = SystemClock()->Now();
  {
    EventLoop::Section section(runtime.loop());
    replayer = std::make_unique<Replayer>(&runtime, cluster.get(), &chains, &queue, state, replayer_options, events);
    replayer->Start();
    replayer->WhenApplied(last, [&] { finish(Status::Ok()); });
  }
  while (!finished->Wait(kNsPerSecond / 10)) {
    progress->Show(queue.records_applied());
    if (Interrupted()) {
      EventLoop::Section section(runtime.loop());
      finish({StatusCode::kCancelled, "interrupted"});
    }
  }
  result.seconds = static_cast<double>(SystemClock()->Now() - began) * 1e-9;
  {
    EventLoop::Section section(runtime.loop());
    replayer->Stop();
    cluster->Close();
  }
  queue.Stop();
  runtime.Stop();
  replayer.reset();
  return result;
}

}  // namespace

int RunBenchReplay(const Arguments& arguments) {
  CatchInterrupts();
  Result<std::unique_ptr<BenchLog>> bench = OpenBenchLog(arguments, 1, 1);
  if (!bench.ok()) return Fail(bench.status());
  const auto records = static_cast<uint64_t>(arguments.Number("records"));
  const auto size = static_cast<size_t>(arguments.Number("size"));
  const auto lanes = static_cast<int>(arguments.Number("lanes"));
  AppendResult filled;
  {
    Progress progress("append", records, arguments.json());
    filled = AppendWindow(bench->get(), records, size, kWindow, &progress);
  }
  if (!filled.status.ok()) return Fail(filled.status);
  if (Interrupted()) return kExitFailed;

  Session session((*bench)->coordinator, (*bench)->options.cluster);
  const Result<std::vector<Chain>> chains = session.Chains();
  if (!chains.ok()) return Fail(chains.status());
  LogId log;
  for (const Chain& chain : *chains) {
    if (chain.name == (*bench)->name) log = chain.log;
  }
  const uint64_t keys = KeyOf(0) + std::min<uint64_t>(records, 1'000'003);
  ShardedMap map(keys, size);
  ReplayResult result;
  {
    Progress progress("replay", records, arguments.json());
    result = Replay(**bench, log, (*bench)->log->last_appended(), lanes, &map, &progress);
  }
  if (!result.status.ok()) return Fail(result.status);
  // The map must hold each key's last record: a replay that is fast and wrong is none.
  const uint64_t distinct = std::min<uint64_t>(records, 1'000'003);
  for (uint64_t i = records - distinct; i < records; ++i) {
    if (!map.Holds(KeyOf(i), i)) {
      return Fail({StatusCode::kInternal, "the replayed state is wrong at record " + std::to_string(i)});
    }
  }
  const double rate = static_cast<double>(records) / result.seconds;
  if (arguments.json()) {
    const nlohmann::json json = {
        {"bench", "replay"},
        {"records", records},
        {"size", size},
        {"lanes", lanes},
        {"keys", distinct},
        {"seconds", result.seconds},
        {"records_per_s", rate},
        {"client_peak_bytes", PeakMemory(getpid())},
        {"server_peak_bytes",
         (*bench)->cluster ? nlohmann::json((*bench)->cluster->LogServersPeakMemory()) : nlohmann::json(nullptr)}};
    std::printf("%s\n", json.dump(1).c_str());
  } else {
    std::printf("%s records of %zu bytes over %s keys, %d lanes: %.2f s\n", WithCommas(records).c_str(), size,
                WithCommas(distinct).c_str(), lanes, result.seconds);
    std::printf("  %s records/s, %s/s; each key holds its last record\n",
                WithCommas(static_cast<uint64_t>(rate)).c_str(), HumanBytes(rate * static_cast<double>(size)).c_str());
    std::printf("  peak memory: this program %s\n", HumanBytes(static_cast<double>(PeakMemory(getpid()))).c_str());
  }
  return kExitOk;
}

}  // namespace understudy::cli

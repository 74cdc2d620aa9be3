// Log: the writer's shell, a takeover and a tailer behind one thread-safe handle.
#include "understudy/log.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "client/replay/tailer.h"
#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "client/writer/append_state.h"
#include "client/writer/log_writer.h"
#include "client/writer/takeover_runner.h"
#include "log/env/random.h"

namespace understudy {
namespace {

constexpr size_t kLogsMax = 100'000;
constexpr int kCreateTries = 16;

Status InCallbackRefused() {
  return {StatusCode::kFailedPrecondition, "a blocking call inside a callback of the library would wait for itself"};
}

class LogImpl : public Log {
 public:
  LogImpl(const LogOptions& options, std::string name)
      : options_(options),
        name_(std::move(name)),
        runtime_(SystemClock()),
        cluster_(runtime_.loop(), MakeClusterOptions(options)),
        writer_(&runtime_, &cluster_, MakeWriterOptions(options), {}) {}

  ~LogImpl() override {
    runtime_.Call<bool>([this](std::function<void(bool)> done) {
      writer_.Close();
      takeover_.reset();
      cluster_.Close();
      done(true);
    });
    runtime_.Stop();
  }

  // Finds the log by its name; makes its metadata under the next free id.
  Status Find(bool create) {
    for (int tries = 0; tries < kCreateTries; ++tries) {
      Result<std::vector<MetadataEntry>> entries = runtime_.Call<Result<std::vector<MetadataEntry>>>(
          [this](MetadataStore::ListCallback done) { cluster_.List(LogsPrefix(), kLogsMax, std::move(done)); });
      if (!entries.ok()) return entries.status();
      uint64_t highest = 0;
      for (const MetadataEntry& entry : *entries) {
        const Result<Chain> chain = DecodeChain(entry.value);
        if (!chain.ok()) continue;  // another log's damage is not ours
        highest = std::max(highest, chain->log.value());
        if (chain->name == name_) return Use(chain->log);
      }
      if (!create) return {StatusCode::kNotFound, "no log is named " + name_};
      Chain chain;
      chain.log = LogId(highest + 1);
      chain.name = name_;
      chain.replicas_target = options_.replicas;
      chain.ack_quorum = options_.ack_quorum;
      UNDERSTUDY_RETURN_IF_ERROR(ValidateChain(chain));
      const Result<uint64_t> made = runtime_.Call<Result<uint64_t>>([&](MetadataStore::CasCallback done) {
        cluster_.CompareAndSwap(LogKey(options_.cluster, chain.log.value()), 0, EncodeChain(chain), std::move(done));
      });
      if (made.ok()) return Use(chain.log);
      if (made.status().code() != StatusCode::kConflict && made.status().code() != StatusCode::kOutcomeUnknown) {
        return made.status();
      }
    }
    return {StatusCode::kUnavailable, "others create logs faster than this one could be"};
  }

  Result<TailInfo> Tail() override {
    const Result<VersionedChain> chain = ReadChain();
    if (!chain.ok()) return chain.status();
    TailInfo info;
    const EpochEntry* last = chain->chain.last();
    if (last == nullptr) return info;
    info.epoch = last->epoch;
    info.owner = last->owner.node;
    info.endpoint = last->owner.endpoint;
    info.open = !last->closed();
    info.commit = last->closed() ? *last->last_lsn : last->first_lsn - 1;
    if (writer_.epoch() == last->epoch) {
      info.commit = std::max(info.commit, writer_.commit());
    } else if (!last->closed()) {
      for (const ReplicaRef& replica : last->disks) info.commit = std::max(info.commit, CommitAt(replica.disk, *last));
    }
    return info;
  }

  Result<Lsn> TakeOver(Epoch expected_epoch) override { return TakeOver(expected_epoch, /*accept_loss=*/false); }
  Result<Lsn> TakeOverAcceptingLoss(Epoch expected_epoch) override { return TakeOver(expected_epoch, true); }
  Result<Lsn> TakeOver(Epoch expected_epoch, bool accept_loss) {
    if (Runtime::InCallback()) return InCallbackRefused();
    if (writer_.epoch() != Epoch(0)) return Status(StatusCode::kFailedPrecondition, "this is the writer already");
    return runtime_.Call<Result<Lsn>>([this, expected_epoch, accept_loss](std::function<void(Result<Lsn>)> done) {
      if (takeover_) return done(Status(StatusCode::kFailedPrecondition, "a takeover is under way"));
      TakeoverOptions takeover;
      takeover.log = chains_->log();
      takeover.attempt = SystemRandom()->NewAttemptId();
      takeover.owner = {options_.node, options_.endpoint};
      takeover.expected_epoch = expected_epoch;
      takeover_ = std::make_unique<TakeoverRunner>(
          &cluster_, chains_.get(), takeover,
          [this, done](const TakeoverResult& result) {
            runtime_.loop()->Post([this] { takeover_.reset(); });
            if (!result.status.ok()) return done(Refused(result));
            writer_.Begin(chains_.get(), result.chain);
            done(result.last_lsn);
          },
          nullptr);
      if (accept_loss) takeover_->AcceptLoss(Lsn(0));
      takeover_->Start();
    });
  }

  AppendFuture Append(std::string_view payload, uint64_t key) override { return writer_.Append(payload, key); }
  Result<Lsn> Append(std::string_view payload, uint64_t key, AppendCallback callback) override {
    return writer_.Append(payload, key, std::move(callback));
  }
  void WhenCommitted(std::function<void(Status)> callback) override { writer_.WhenCommitted(std::move(callback)); }
  Status ReadBarrier() override {
    if (Runtime::InCallback()) return InCallbackRefused();
    return runtime_.Call<Status>([this](std::function<void(Status)> done) { writer_.ReadBarrier(std::move(done)); });
  }
  bool MayServe() const override { return writer_.MayServe(); }
  void ReadBarrier(std::function<void(Status)> callback) override { writer_.ReadBarrier(std::move(callback)); }

  Result<bool> Resolve(Epoch epoch, Lsn lsn) override {
    const Result<VersionedChain> chain = ReadChain();
    if (!chain.ok()) return chain.status();
    const EpochEntry* entry = chain->chain.Find(epoch);
    if (entry == nullptr) {
      if (lsn <= chain->chain.trim_lsn) return Status(StatusCode::kTrimmed, "that epoch has left the chain");
      return Status(StatusCode::kNotFound, "the log has no such epoch");
    }
    if (!entry->closed()) return Status(StatusCode::kUnavailable, "the epoch is still open");
    return lsn >= entry->first_lsn && lsn <= *entry->last_lsn;
  }

  Result<ReplayProgress> Read(Lsn from, std::optional<Lsn> until,
                              const std::function<void(const Record&)>& apply) override;

  Status Trim(Lsn lsn) override {
    const Result<VersionedChain> trimmed =
        runtime_.Call<Result<VersionedChain>>([this, lsn](ChainStore::ReadCallback d) {
          chains_->Edit(
              [lsn](Chain* chain) -> Result<bool> {
                const Lsn to = std::min(lsn, chain->TrimBound());
                if (to <= chain->trim_lsn) return false;
                chain->trim_lsn = to;
                return true;
              },
              std::move(d));
        });
    if (!trimmed.ok()) return trimmed.status();
    if (const EpochEntry* last = trimmed->chain.last()) {
      for (const ReplicaRef& replica : last->disks) {
        UNDERSTUDY_RETURN_IF_ERROR(TrimOn(replica.disk, trimmed->chain.trim_lsn));
      }
    }
    return Status::Ok();
  }

  Epoch epoch() const override { return writer_.epoch(); }
  Lsn last_appended() const override { return writer_.last_appended(); }
  Lsn commit() const override { return writer_.commit(); }

 private:
  static ClusterOptions MakeClusterOptions(const LogOptions& options) {
    ClusterOptions cluster;
    cluster.cluster = options.cluster;
    cluster.coordinators = options.coordinators;
    cluster.name = options.node;
    cluster.rpc_timeout_ms = options.rpc_timeout_ms;
    return cluster;
  }
  static LogWriterOptions MakeWriterOptions(const LogOptions& options) {
    LogWriterOptions writer;
    writer.staging.outstanding_bytes_max = options.inflight_bytes_max;
    writer.staging.batch_bytes_max = std::min(options.batch_bytes_max, kBatchBytesMax);
    writer.core.self_fence_ms = options.self_fence_ms;
    writer.core.heartbeat_ms = options.heartbeat_ms;
    return writer;
  }
  static Status Refused(const TakeoverResult& result) {
    const EpochEntry* last = result.chain.chain.last();
    if (result.status.code() != StatusCode::kFenced || last == nullptr) return result.status;
    return {StatusCode::kFenced, "epoch " + std::to_string(last->epoch.value()) + " belongs to " + last->owner.node +
                                     " at " + last->owner.endpoint};
  }

  std::string LogsPrefix() const {
    std::string key = LogKey(options_.cluster, 0);
    return key.substr(0, key.rfind('/') + 1);
  }
  Status Use(LogId log) {
    chains_ = std::make_unique<ChainStore>(&cluster_, log);
    return Status::Ok();
  }
  Result<VersionedChain> ReadChain() {
    if (Runtime::InCallback()) return InCallbackRefused();
    return runtime_.Call<Result<VersionedChain>>([this](ChainStore::ReadCallback done) {
      chains_->Read([done = std::move(done), this](Result<VersionedChain> chain) {
        if (chain.ok() && chain->version == 0) chain = Status(StatusCode::kNotFound, "log " + name_ + " is gone");
        done(std::move(chain));
      });
    });
  }
  Lsn CommitAt(const DiskId& disk, const EpochEntry& epoch) {
    return runtime_.Call<Lsn>([&](std::function<void(Lsn)> done) {
      cluster_.AddressOf(disk, [&, done](Result<std::string> address) {
        if (!address.ok()) return done(Lsn(0));
        cluster_.LogServer(*address, Traffic::kBulk)
            ->ReplicaStatus({chains_->log(), disk}, options_.rpc_timeout_ms,
                            [done, of = epoch.epoch](Result<ReplicaStatusResponse> status) {
                              const bool known =
                                  status.ok() && status->code == StatusCode::kOk && status->highest_epoch == of;
                              done(known ? status->commit : Lsn(0));
                            });
      });
    });
  }
  Status TrimOn(const DiskId& disk, Lsn lsn) {
    return runtime_.Call<Status>([&](std::function<void(Status)> done) {
      cluster_.AddressOf(disk, [&, done](Result<std::string> address) {
        if (!address.ok()) return done(address.status());
        cluster_.LogServer(*address, Traffic::kBulk)
            ->Trim({chains_->log(), disk, lsn}, options_.rpc_timeout_ms, [done](Result<TrimResponse> response) {
              done(response.ok() ? Status(response->code, response->detail) : response.status());
            });
      });
    });
  }

  const LogOptions options_;
  const std::string name_;
  Runtime runtime_;
  Cluster cluster_;
  LogWriter writer_;
  std::unique_ptr<ChainStore> chains_;        // set once, before the log is handed out
  std::unique_ptr<TakeoverRunner> takeover_;  // strand
};

// What the tailer (under the strand) hands to the thread that reads.
struct ReadShared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Released> released;
  std::optional<Lsn> trimmed;
};

Result<ReplayProgress> LogImpl::Read(Lsn from, std::optional<Lsn> until,
                                     const std::function<void(const Record&)>& apply) {
  if (Runtime::InCallback()) return InCallbackRefused();
  if (from == Lsn(0)) return Status(StatusCode::kInvalidArgument, "LSNs begin with 1");
  const Result<VersionedChain> chain = ReadChain();
  if (!chain.ok()) return chain.status();
  ReplayProgress progress{from - 1, Lsn(0), {}};
  if (!until) {
    const Result<TailInfo> tail = Tail();
    if (!tail.ok()) return tail.status();
    until = tail->commit;
  }
  progress.commit = *until;
  auto shared = std::make_shared<ReadShared>();
  auto tailer = std::make_shared<std::unique_ptr<Tailer>>();  // posted work may come after the end
  runtime_.Call<bool>([&](std::function<void(bool)> done) {
    FollowerOptions follow;
    follow.log = chains_->log();
    follow.from = from;
    TailerSink sink;
    sink.released = [shared](std::vector<Released> released) {
      const std::lock_guard<std::mutex> lock(shared->mutex);
      for (Released& item : released) shared->released.push_back(std::move(item));
      shared->changed.notify_one();
    };
    sink.trimmed = [shared](Lsn lsn) {
      const std::lock_guard<std::mutex> lock(shared->mutex);
      shared->trimmed = lsn;
      shared->changed.notify_one();
    };
    *tailer = std::make_unique<Tailer>(&cluster_, chains_.get(), follow, std::move(sink));
    (*tailer)->UseChain(*chain);
    done(true);
  });
  Status status;
  while (progress.applied < *until) {
    std::deque<Released> batch;
    {
      std::unique_lock<std::mutex> lock(shared->mutex);
      shared->changed.wait(lock, [&] { return shared->trimmed || !shared->released.empty(); });
      batch.swap(shared->released);
      if (batch.empty()) {
        status = {StatusCode::kTrimmed, "records up to " + std::to_string(shared->trimmed->value()) + " are gone"};
      }
    }
    if (!status.ok()) break;
    for (const Released& item : batch) {
      if (item.loss) {
        const Lsn to = std::min(item.loss->to, *until);
        progress.losses.push_back({item.loss->from, to});
        progress.applied = to;
        continue;
      }
      BatchIterator records(item.batch.bytes());
      Record record;
      while (records.Next(&record)) {
        if (record.lsn < item.batch.from || record.lsn > item.batch.to || record.lsn > *until) continue;
        apply(record);
      }
      progress.applied = std::min(*until, item.batch.to);
      if (progress.applied == *until) break;
    }
    runtime_.Run([tailer, applied = progress.applied] {
      if (*tailer) (*tailer)->Applied(applied);
    });
  }
  runtime_.Call<bool>([&](std::function<void(bool)> done) {
    progress.commit = std::max(progress.commit, (*tailer)->follower().commit());
    tailer->reset();
    done(true);
  });
  if (!status.ok()) return status;
  return progress;
}

}  // namespace

Result<std::unique_ptr<Log>> Log::Open(const LogOptions& options, const std::string& name, bool create) {
  if (options.coordinators.empty()) return Status(StatusCode::kInvalidArgument, "LogOptions::coordinators is empty");
  if (name.empty()) return Status(StatusCode::kInvalidArgument, "a log needs a name");
  auto log = std::make_unique<LogImpl>(options, name);
  UNDERSTUDY_RETURN_IF_ERROR(log->Find(create));
  return std::unique_ptr<Log>(std::move(log));
}

}  // namespace understudy

#include "server/lognode/log_node.h"

#include <utility>

#include "log/env/logging.h"
#include "server/lognode/log_node_impl.h"
#include "server/lognode/repair.h"

namespace understudy {
namespace {

constexpr size_t kPoolThreads = 2;
constexpr int64_t kRegisterAgainMs = 50;
constexpr size_t kPoolJobsMax = 4096;  // a thread; each holds a reply, or at most one checkpoint chunk

ReplicaOptions CoreOptions(const LogStoreOptions& store, const RecoveredState& recovered) {
  ReplicaOptions options;
  options.disk = recovered.disk;
  options.retired = recovered.retired;
  options.logs_max = store.logs_max;
  return options;
}

LogStoreOptions StoreOptions(const LogNodeOptions& options) {
  LogStoreOptions store;
  store.segment_bytes = options.segment_bytes;
  store.unsafe_no_fsync = options.unsafe_no_fsync;
  return store;
}

RpcServerOptions ServerOptions(const LogNodeOptions& options) {
  RpcServerOptions server;
  server.cluster = options.cluster;
  return server;
}

ReplicaLogState CoreState(const RecoveredLog& log) {
  ReplicaLogState state{log.log, log.sealed, log.trim, {}};
  for (const RecoveredEpoch& epoch : log.epochs) {
    state.epochs.push_back({epoch.epoch, epoch.attempt, epoch.epoch_first_lsn, epoch.tail});
  }
  return state;
}

}  // namespace

Result<std::unique_ptr<LogNode>> LogNode::Open(EventLoop* loop, Random* random, FileSystem* files,
                                               MetadataStore* metadata, LogNodeOptions options) {
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files, options.data_dir));
  RecoveredState recovered;
  Result<std::unique_ptr<LogStore>> store =
      LogStore::Open(options.data_dir, StoreOptions(options), files, random, loop->clock(), &recovered);
  if (!store.ok()) return store.status();
  LogInfo("lognode", (recovered.fresh ? "new disk " : "disk ") + ToHex(recovered.disk) + " at " + options.data_dir +
                         ": " + std::to_string(recovered.logs.size()) + " logs, boot " +
                         std::to_string(recovered.boot_count) + ", " + std::to_string(recovered.scanned_bytes) +
                         " bytes scanned, " + std::to_string(recovered.torn_bytes) + " torn bytes dropped");
  if (recovered.retired)
    LogError("lognode", "disk " + ToHex(recovered.disk) + " is retired: " + recovered.retired_reason);
  if (options.unsafe_no_fsync) LogWarning("lognode", "--unsafe-no-fsync: a power failure loses acknowledged records");
  return std::unique_ptr<LogNode>(
      std::make_unique<LogNodeImpl>(loop, metadata, random, std::move(options), std::move(store).value(), recovered));
}

LogNodeImpl::LogNodeImpl(EventLoop* loop, MetadataStore* metadata, Random* random, LogNodeOptions options,
                         std::unique_ptr<LogStore> store, const RecoveredState& recovered)
    : loop_(loop),
      options_(std::move(options)),
      store_(std::move(store)),
      replica_(CoreOptions(StoreOptions(options_), recovered)),
      server_(std::make_unique<RpcServer>(loop, ServerOptions(options_))),
      registration_(loop, metadata, options_.cluster, recovered.disk, options_.node, options_.zone),
      boot_count_(recovered.boot_count),
      budget_(options_.repair_bytes_per_s),
      quota_(options_.log_quota_bytes, [this](LogId log) { return store_->LogBytes(log); }),
      pool_(kPoolThreads, kPoolJobsMax) {
  for (const RecoveredLog& log : recovered.logs) replica_.Restore(CoreState(log));
  repair_ = std::make_unique<Repair>(this, metadata, random);
  loop_->SetAfterWork([this] { CommitPending(); });
}

LogNodeImpl::~LogNodeImpl() {
  {
    const EventLoop::Section section(loop_);
    Close();
  }
  if (dead_) return;
  // Nothing is lost without it; the next start reads more of the journal.
  if (const Status flushed = store_->FlushIndex(); !flushed.ok()) LogWarning("lognode", flushed.ToString());
}

void LogNodeImpl::Start(std::function<void(Status)> done) {
  if (replica_.retired()) return Listen(std::move(done));
  registration_.Register(boot_count_, "", [this, done = std::move(done)](Status registered) {
    if (closed_) return done({StatusCode::kCancelled, "closed while it started"});
    if (registered.code() == StatusCode::kDataUnknown) {
      // Restored from an old copy: it must never answer for what it may have lost. What its checksums vouch for may
      // still be copied from it.
      if (const Status retired = store_->Retire(registered.message()); !retired.ok()) return done(retired);
      NoticeRetirement();
    } else if (!registered.ok()) {
      return done(registered);
    }
    Listen(done);
  });
}

void LogNodeImpl::Listen(std::function<void(Status)> done) {
  server_->Serve(this);
  if (const Status listening = server_->Listen(options_.listen); !listening.ok()) return done(listening);
  address_ = server_->address();
  const uint64_t count = replica_.retired() ? kCountUnchanged : boot_count_;
  if (replica_.retired()) registration_.SetRetired();
  registration_.Register(count, advertised(), [this, done = std::move(done)](Status registered) {
    if (closed_) return done({StatusCode::kCancelled, "closed while it started"});
    if (registered.ok()) {
      if (!replica_.retired()) RaiseBootCountLater();
      repair_->Begin();
    }
    done(std::move(registered));
  });
}

// The entry says so to everybody: what this disk held counts as lost from now on.
void LogNodeImpl::RegisterRetirement() {
  if (closed_ || dead_) return;
  registration_.SetRetired();
  if (!registration_.busy()) return registration_.Register(kCountUnchanged, "", [](const Status&) {});
  loop_->At(Now() + kRegisterAgainMs * kNsPerMs, [this] { RegisterRetirement(); });
}

void LogNodeImpl::RaiseBootCountLater() {
  loop_->At(Now() + options_.boot_count_interval_ms * kNsPerMs, [this] {
    if (!closed_ && !dead_ && !replica_.retired()) RaiseBootCount();
  });
}

void LogNodeImpl::RaiseBootCount() {
  const auto raised = std::make_shared<Result<uint64_t>>(Status(StatusCode::kUnavailable, "not raised"));
  const auto then = [this, raised] {
    if (dead_ || replica_.retired()) return;
    if (!raised->ok()) {
      LogWarning("lognode", "boot count not raised: " + raised->status().ToString());
      return RaiseBootCountLater();
    }
    boot_count_ = **raised;
    if (registration_.busy()) return RaiseBootCountLater();
    registration_.Register(boot_count_, "", [this](Status registered) {
      if (closed_) return;
      if (registered.code() == StatusCode::kDataUnknown) return Fatal(registered);
      RaiseBootCountLater();
    });
  };
  if (!OnPool(
          0, [this, raised] { *raised = store_->RaiseBootCount(); }, then))
    RaiseBootCountLater();
}

bool LogNodeImpl::OnPool(uint64_t affinity, std::function<void()> job, std::function<void()> then) {
  return pool_.Post(affinity, [this, job = std::move(job), then = std::move(then)] {
    job();
    const EventLoop::Section section(loop_);
    if (!closed_) then();
  });
}

void LogNodeImpl::Fatal(const Status& why) {
  if (dead_) return;
  dead_ = true;
  LogError("lognode", "disk " + ToHex(disk()) + " failed, nothing is acknowledged any more: " + why.ToString());
  Step(DiskFailed{why});
  Perform();
  if (repair_ != nullptr) repair_->Stop();
  if (on_fatal_) on_fatal_(why);
}

void LogNodeImpl::NoticeRetirement() {
  if (replica_.retired() || dead_) return;
  const std::string reason = store_->retired_reason();
  if (reason.empty()) return;
  LogError("lognode", "disk " + ToHex(disk()) + " is retired from now on, it answers nothing but reads: " + reason);
  Step(RetireDisk{{StatusCode::kDataUnknown, "the disk is retired: " + reason}});
  Perform();
  repair_->Stop();
  if (!address_.empty()) RegisterRetirement();  // else Listen will
}

void LogNodeImpl::Close() {
  if (closed_) return;
  closed_ = true;
  alive_.reset();
  repair_->Close();
  sources_.clear();
  server_.reset();
}

}  // namespace understudy

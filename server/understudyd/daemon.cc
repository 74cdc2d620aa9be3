#include "server/understudyd/daemon.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "log/env/logging.h"
#include "log/env/process.h"
#include "log/env/random.h"
#include "log/env/small_files.h"
#include "log/metadata/embedded_metadata_store.h"
#include "log/metadata/etcd/etcd_metadata_store.h"
#include "log/rpc/rpc_server.h"
#include "predictors/host/predictor_host.h"
#include "server/agent/agent.h"
#include "server/coordinator/coordinator.h"
#include "server/lognode/log_node.h"
#include "server/understudyd/loop_threads.h"
#include "server/understudyd/remote_metadata.h"

namespace understudy {
namespace {

// One thread drives while the other waits for the disk.
constexpr size_t kLogThreads = 2;
constexpr std::chrono::seconds kResignTimeout{1};
constexpr char kZoneLabel[] = "zone=";

Result<std::unique_ptr<FileLock>> LockDataDir(const std::string& data_dir) {
  FileSystem* files = SystemFileSystem();
  if (const Status made = CreateDirs(files, data_dir); !made.ok()) return made.WithContext("--data-dir");
  const std::string pid_path = data_dir + "/understudyd.pid";
  Result<std::unique_ptr<FileLock>> lock = files->Lock(data_dir + "/understudyd.lock");
  if (!lock.ok()) {
    const Result<std::string> holder = ReadSmallFile(pid_path, 64);
    return lock.status().WithContext("--data-dir " + data_dir + " is in use" +
                                     (holder.ok() ? " by process " + *holder : std::string()));
  }
  // Only for people, so a full disk is no reason not to start; but nobody is told the pid of the one before.
  if (const Status written = ReplaceFile(files, pid_path, std::to_string(getpid())); !written.ok()) {
    LogWarning("understudyd", "no pid file: " + written.ToString());
    (void)files->Remove(pid_path);
  }
  return lock;
}

class DaemonImpl final : public Daemon {
 public:
  explicit DaemonImpl(const DaemonOptions& options) : options_(options) {}
  ~DaemonImpl() override { Shutdown(); }

  Status Open(const std::string& program_folder) {
    Result<std::unique_ptr<FileLock>> lock = LockDataDir(options_.data_dir);
    if (!lock.ok()) return lock.status();
    lock_ = std::move(lock).value();
    if (options_.role == DaemonRole::kEmbedded || options_.role == DaemonRole::kCoordinator) {
      UNDERSTUDY_RETURN_IF_ERROR(OpenCoordinator(program_folder));
    }
    control_.Start(1);
    control_running_ = true;
    if (options_.role == DaemonRole::kEmbedded || options_.role == DaemonRole::kLog)
      UNDERSTUDY_RETURN_IF_ERROR(OpenLog());
    if (options_.role == DaemonRole::kEmbedded || options_.role == DaemonRole::kAgent) {
      UNDERSTUDY_RETURN_IF_ERROR(OpenAgents());
    }
    return Status::Ok();
  }

  Status Run(int signals) override {
    control_.WithStrand([&] {
      control_.loop()->Watch(signals, EPOLLIN, [this, signals](uint32_t) {
        while (const int signal = NextSignal(signals)) {
          LogInfo("understudyd", "signal " + std::to_string(signal) + ", stopping");
          End(Status::Ok());
        }
      });
    });
    std::unique_lock lock(mutex_);
    while (true) {
      ended_changed_.wait(lock, [&] { return ended_.has_value() || disk_replaceable_; });
      if (ended_.has_value()) break;
      disk_replaceable_ = false;
      lock.unlock();
      if (const Status replaced = ReplaceDisk(); !replaced.ok()) End(replaced.WithContext("log server"));
      lock.lock();
    }
    const Status why = *ended_;
    lock.unlock();
    control_.WithStrand([&] { control_.loop()->Unwatch(signals); });
    if (options_.stop_applications) StopApplications();
    Shutdown();
    return why;
  }

 private:
  Result<std::unique_ptr<MetadataStore>> OpenMetadata() {
    if (options_.metadata == MetadataEngine::kEmbedded) {
      return OpenEmbeddedMetadataStore(options_.data_dir + "/metadata", {}, SystemFileSystem());
    }
    EtcdMetadataOptions etcd;
    etcd.endpoints = options_.etcd_endpoints;
    return OpenEtcdMetadataStore(SystemClock(), etcd);
  }

  Status OpenCoordinator(const std::string& program_folder) {
    Result<std::unique_ptr<MetadataStore>> store = OpenMetadata();
    if (!store.ok()) return store.status().WithContext("metadata");
    metadata_ = std::move(store).value();
    return control_.WithStrand([&] {
      RpcServerOptions server_options;
      server_options.cluster = options_.cluster;
      control_server_ = std::make_unique<RpcServer>(control_.loop(), server_options);
      if (const Status listening = control_server_->Listen(options_.listen); !listening.ok()) {
        return listening.WithContext("--listen");
      }
      CoordinatorOptions coordinator;
      coordinator.cluster = options_.cluster;
      coordinator.name = options_.node;
      coordinator.addresses = {options_.advertise.empty() ? control_server_->address() : options_.advertise};
      if (options_.unsafe_no_fsync) coordinator.unsafe.push_back("--unsafe-no-fsync");
      if (options_.insecure) coordinator.unsafe.push_back("--insecure");
      coordinator.heartbeat_ms = options_.heartbeat_ms;
      coordinator.node_timeout_ms = options_.node_timeout_ms;
      coordinator.takeover_timeout_ms = options_.takeover_timeout_ms;
      coordinator.lease_ms = options_.metadata == MetadataEngine::kEmbedded ? 0 : options_.lease_ms;
      coordinator.incarnation = SystemRandom()->Next64() >> 1;
      PredictorHostOptions plugins = DefaultPredictorHostOptions(SystemClock(), program_folder);
      plugins.plugin_folders.insert(plugins.plugin_folders.begin(), options_.plugin_folders.begin(),
                                    options_.plugin_folders.end());
      plugins.allow_in_process = options_.allow_in_process_predictors;
      coordinator_ = std::make_unique<Coordinator>(control_.loop(), metadata_.get(),
                                                   NewChildProcessPredictorHost(std::move(plugins)), coordinator);
      coordinator_->Start();
      control_server_->Serve(metadata_.get());
      control_server_->Serve(coordinator_->handler());
      LogInfo("understudyd", "coordinator and metadata on " + control_server_->address());
      return Status::Ok();
    });
  }

  Status OpenLog() {
    if (metadata_ == nullptr && log_metadata_ == nullptr) {
      log_metadata_ = std::make_unique<RemoteMetadata>(control_.loop(), options_.cluster, "log", options_.node,
                                                       options_.coordinators);
    }
    MetadataStore* metadata = metadata_ != nullptr ? metadata_.get() : log_metadata_.get();
    LogNodeOptions log;
    log.cluster = options_.cluster;
    log.node = options_.node;
    log.data_dir = LogDir();
    for (const std::string& label : options_.labels) {
      if (label.starts_with(kZoneLabel)) log.zone = label.substr(std::string_view(kZoneLabel).size());
    }
    log.listen = options_.log_listen;
    log.advertise = options_.log_advertise;
    log.unsafe_no_fsync = options_.unsafe_no_fsync;
    log.segment_bytes = options_.segment_bytes;
    Result<uint64_t> quota = LogQuotaBytes();
    if (!quota.ok()) return quota.status().WithContext("log server");
    log.log_quota_bytes = *quota;
    log.repair_after_ms = options_.repair_after_ms;
    log.repair_look_ms = std::clamp(options_.repair_after_ms / 4, int64_t{50}, log.repair_look_ms);
    log.repair_bytes_per_s = options_.repair_bytes_per_s;
    Result<std::unique_ptr<LogNode>> node =
        LogNode::Open(log_->loop(), SystemRandom(), SystemFileSystem(), metadata, log);
    if (!node.ok()) return node.status().WithContext("log server");
    log_node_ = std::move(node).value();
    log_->WithStrand([&] {
      log_node_->SetOnFatal([this](Status why) { End(why.WithContext("log server")); });
      log_node_->SetOnReplaceable([this] {
        const std::lock_guard lock(mutex_);
        disk_replaceable_ = true;
        ended_changed_.notify_all();
      });
      log_node_->Start([this](Status started) {
        if (!started.ok()) return End(started.WithContext("log server"));
        LogInfo("understudyd", "log server on " + log_node_->address());
      });
    });
    log_->Start(kLogThreads);
    return Status::Ok();
  }

  // Half of the file system, unless told: one log that is never trimmed leaves the other half to all others.
  Result<uint64_t> LogQuotaBytes() const {
    if (options_.log_quota_bytes >= 0) return static_cast<uint64_t>(options_.log_quota_bytes);
    const Result<FileSystemSpace> space = SpaceOf(options_.data_dir);
    if (!space.ok()) return space.status();
    return space->total_bytes / 2;
  }

  std::string LogDir() const { return options_.data_dir + "/log"; }

  void CloseLog() {
    if (log_node_ != nullptr) log_->WithStrand([&] { log_node_->Close(); });
    log_->Stop();
    log_node_.reset();
  }

  // The disk is retired and nothing refers to it: it is put aside, for people to look at, and a new one takes its
  // place.
  Status ReplaceDisk() {
    const std::string aside = LogDir() + ".retired-" + ToHex(log_node_->disk()).substr(0, 8);
    CloseLog();
    old_log_loops_.push_back(std::exchange(log_, std::make_unique<LoopThreads>(SystemClock())));
    FileSystem* files = SystemFileSystem();
    UNDERSTUDY_RETURN_IF_ERROR(files->Rename(LogDir(), aside));
    UNDERSTUDY_RETURN_IF_ERROR(files->SyncDir(options_.data_dir));
    LogWarning("understudyd",
               "the retired disk is kept at " + aside + " until somebody removes it; a new one takes its place");
    return OpenLog();
  }

  Status OpenAgents() {
    for (const NodeSpec& node : options_.nodes) {
      AgentOptions agent;
      agent.node = node.name;
      agent.cluster = options_.cluster;
      agent.coordinators = options_.coordinators;
      if (control_server_ != nullptr) agent.coordinators = {control_server_->address()};
      agent.data_dir = options_.data_dir;
      agent.host = options_.app_host;
      agent.port = node.port;
      agent.labels = options_.labels;
      agent.sample_interval_ms = options_.sample_interval_ms;
      agent.heartbeat_ms = options_.heartbeat_ms;
      agent.record_dir = options_.record_dir;
      agents_.push_back(std::make_unique<Agent>(agent_loop_.loop(), SystemRandom(), std::move(agent)));
      const Status started = agent_loop_.WithStrand([&] { return agents_.back()->Start(); });
      if (!started.ok()) return started;
    }
    agent_loop_.Start(1);
    return Status::Ok();
  }

  // Any thread, strands held or not.
  void End(Status why) {
    const std::lock_guard lock(mutex_);
    if (ended_.has_value()) return;
    if (!why.ok()) LogError("understudyd", why.ToString());
    ended_ = std::move(why);
    ended_changed_.notify_all();
  }

  void StopApplications() {
    std::mutex mutex;
    std::condition_variable changed;
    size_t left = agents_.size();
    agent_loop_.WithStrand([&] {
      for (const auto& agent : agents_) {
        agent->StopApplication(options_.grace_ms, [&] {
          const std::lock_guard lock(mutex);
          if (--left == 0) changed.notify_all();
        });
      }
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return left == 0; });  // SIGKILL bounds it
  }

  // Another coordinator leads at once, when the metadata answer in time.
  void ResignLeadership() {
    if (coordinator_ == nullptr || !control_running_) return;
    const auto handed_over = std::make_shared<std::promise<void>>();
    control_.WithStrand([&] { coordinator_->Resign([handed_over] { handed_over->set_value(); }); });
    if (handed_over->get_future().wait_for(kResignTimeout) != std::future_status::ready) {
      LogWarning("understudyd", "the leader's lease could not be handed over; another coordinator waits until it ends");
    }
  }

  // From the users to the used. Idempotent.
  void Shutdown() {
    ResignLeadership();
    agent_loop_.Stop();
    agent_loop_.WithStrand([&] { agents_.clear(); });
    CloseLog();
    control_.Stop();
    control_running_ = false;
    control_.WithStrand([&] {
      if (coordinator_ != nullptr) coordinator_->Stop();
      control_server_.reset();
      coordinator_.reset();
      log_metadata_.reset();
    });
    metadata_.reset();
    lock_.reset();
  }

  const DaemonOptions options_;
  std::unique_ptr<FileLock> lock_;
  LoopThreads control_{SystemClock()};  // coordinator and metadata
  // The log server, whose latency nobody else disturbs.
  std::unique_ptr<LoopThreads> log_ = std::make_unique<LoopThreads>(SystemClock());
  std::vector<std::unique_ptr<LoopThreads>>
      old_log_loops_;                      // of replaced disks; the metadata may still answer into them
  LoopThreads agent_loop_{SystemClock()};  // agents, which read files of the kernel's
  std::unique_ptr<MetadataStore> metadata_;
  std::unique_ptr<RemoteMetadata> log_metadata_;
  std::unique_ptr<RpcServer> control_server_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<LogNode> log_node_;
  std::vector<std::unique_ptr<Agent>> agents_;

  bool control_running_ = false;

  std::mutex mutex_;
  std::condition_variable ended_changed_;
  std::optional<Status> ended_;
  bool disk_replaceable_ = false;
};

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::Start(const DaemonOptions& options, const std::string& program_folder) {
  auto daemon = std::make_unique<DaemonImpl>(options);
  UNDERSTUDY_RETURN_IF_ERROR(daemon->Open(program_folder));
  return std::unique_ptr<Daemon>(std::move(daemon));
}

}  // namespace understudy

#include "server/agent/supervisor.h"

#include <signal.h>
#include <sys/epoll.h>

#include <utility>

#include "log/env/file.h"
#include "log/env/logging.h"
#include "log/env/small_files.h"
#include "server/agent/run_record.h"

namespace understudy {
namespace {

// Whole or not at all, but not synced: the record is of no use after a crash of the machine, and a sync here would hold
// up every agent of this process.
Status WriteRecord(const std::string& path, const std::string& record) {
  FileSystem* files = SystemFileSystem();
  const std::string beside = path + ".tmp";
  Result<std::unique_ptr<WritableFile>> file = files->OpenForWrite(beside, FileSystem::OpenMode::kTruncate);
  if (!file.ok()) return file.status();
  UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteAt(0, record));
  return files->Rename(beside, path);
}

std::string Name(const Supervised& state) { return "process " + std::to_string(state.pid) + " of " + state.service; }

}  // namespace

Supervisor::Supervisor(EventLoop* loop, SupervisorOptions options) : loop_(loop), options_(std::move(options)) {}

Supervisor::~Supervisor() {
  if (process_ != nullptr) loop_->Unwatch(process_->pidfd());
  loop_->Cancel(kill_timer_);
}

bool Supervisor::AdoptLeftBehind() {
  if (!AdoptRecorded() && !AdoptByEnvironment()) return false;
  LogInfo("agent", "adopted " + Name(state_));
  return true;
}

bool Supervisor::AdoptByEnvironment() {
  for (const int64_t pid : FindProcesses("UNDERSTUDY_AGENT", options_.agent_address)) {
    const Result<int64_t> start_ticks = ProcessStartTicks(pid);
    const Result<std::string> service = EnvironmentOf(pid, "UNDERSTUDY_SERVICE");
    if (!start_ticks.ok() || !service.ok()) continue;
    Result<std::unique_ptr<Process>> process = Process::Adopt(pid, *start_ticks);
    if (!process.ok()) continue;
    Watch(std::move(process).value(), *service, 0);
    return true;
  }
  return false;
}

bool Supervisor::AdoptRecorded() {
  const Result<std::string> text = ReadSmallFile(options_.record_path, 4096);
  const std::optional<RunRecord> record = text.ok() ? DecodeRunRecord(*text) : std::nullopt;
  if (!record || record->boot_id != BootId()) return false;
  Result<std::unique_ptr<Process>> process = Process::Adopt(record->pid, record->start_ticks);
  if (!process.ok()) return false;
  Watch(std::move(process).value(), record->service, record->memory_limit_bytes);
  return true;
}

Status Supervisor::Adopt(int64_t pid, int64_t start_ticks, const std::string& service) {
  if (process_ != nullptr) {
    if (pid == state_.pid && start_ticks == state_.start_ticks) return Status::Ok();
    return {StatusCode::kFailedPrecondition, "this node runs " + Name(state_) + " already"};
  }
  Result<std::unique_ptr<Process>> process = Process::Adopt(pid, start_ticks);
  if (!process.ok()) return process.status();
  Watch(std::move(process).value(), service, 0);
  LogInfo("agent", "adopted " + Name(state_) + ", which found this agent by itself");
  return Status::Ok();
}

Status Supervisor::Start(const SpawnOptions& launch, const std::string& service, int64_t memory_limit_bytes) {
  if (process_ != nullptr) {
    const bool same = service == state_.service && stopped_.empty();
    return {same ? StatusCode::kAlreadyExists : StatusCode::kFailedPrecondition,
            Name(state_) + (stopped_.empty() ? " runs" : " is being stopped")};
  }
  Result<std::unique_ptr<Process>> process = Process::Spawn(launch);
  if (!process.ok()) {
    state_ = {.process = ProcessState::kFailed,
              .exit_reason = process.status().message(),
              .stopped = false,
              .service = service,
              .starts = state_.starts};
    LogError("agent", "service " + service + " does not start: " + state_.exit_reason);
    Changed();
    return process.status();
  }
  ++state_.starts;
  Watch(std::move(process).value(), service, memory_limit_bytes);
  LogInfo("agent", "started " + Name(state_) + ": " + launch.program);
  return Status::Ok();
}

void Supervisor::Watch(std::unique_ptr<Process> process, const std::string& service, int64_t memory_limit_bytes) {
  process_ = std::move(process);
  state_ = {.process = ProcessState::kStarting,
            .exit_reason = "",
            .stopped = false,
            .service = service,
            .pid = process_->pid(),
            .start_ticks = process_->start_ticks(),
            .memory_limit_bytes = memory_limit_bytes,
            .starts = state_.starts};
  const RunRecord record{BootId(), state_.pid, state_.start_ticks, service, memory_limit_bytes};
  // Without the record the application still runs; it introduces itself to the next agent when it connects.
  if (const Status kept = WriteRecord(options_.record_path, EncodeRunRecord(record)); !kept.ok()) {
    LogWarning("agent", "run record of " + Name(state_) + ": " + kept.ToString());
  }
  loop_->Watch(process_->pidfd(), EPOLLIN, [this](uint32_t) { OnPidfd(); });
  Changed();
}

void Supervisor::MarkRunning() {
  if (state_.process != ProcessState::kStarting) return;
  state_.process = ProcessState::kRunning;
  Changed();
}

void Supervisor::OnPidfd() {
  if (process_ == nullptr) return;
  std::optional<std::string> reason = process_->Reap();
  if (!reason) return;
  LogInfo("agent", Name(state_) + " has ended: " + *reason);
  loop_->Unwatch(process_->pidfd());
  process_.reset();
  loop_->Cancel(kill_timer_);
  kill_timer_ = 0;
  kill_at_ = Instant::Never();
  state_.process = ProcessState::kExited;
  state_.stopped = !stopped_.empty();
  state_.exit_reason = *std::move(reason);
  state_.pid = state_.start_ticks = 0;
  if (const Status removed = SystemFileSystem()->Remove(options_.record_path);
      !removed.ok() && removed.code() != StatusCode::kNotFound) {
    LogWarning("agent", removed.ToString());
  }
  const auto stopped = std::exchange(stopped_, {});
  Changed();
  for (const auto& fn : stopped) fn();
}

void Supervisor::Stop(int64_t grace_ms, std::function<void()> stopped) {
  if (process_ == nullptr) return stopped();
  const bool first = stopped_.empty();
  stopped_.push_back(std::move(stopped));
  if (first) {
    LogInfo("agent", "stopping " + Name(state_) + ", grace " + std::to_string(grace_ms) + " ms");
    // An error means that it has ended, and the pidfd says so next.
    (void)process_->Signal(SIGTERM, true).ok();
  }
  const Instant kill_at = loop_->clock()->Now() + grace_ms * kNsPerMs;
  if (kill_at >= kill_at_) return;
  loop_->Cancel(kill_timer_);
  kill_at_ = kill_at;
  kill_timer_ = loop_->At(kill_at, [this] { Kill(); });
}

void Supervisor::Kill() {
  kill_timer_ = 0;
  if (process_ == nullptr) return;
  LogWarning("agent", Name(state_) + " outlived its grace: SIGKILL");
  (void)process_->Signal(SIGKILL, true).ok();
}

void Supervisor::RotateOutput() {
  if (const Status rotated = RotateByCopy(options_.output_path, options_.output_bytes_max); !rotated.ok()) {
    LogWarning("agent", "output of " + state_.service + ": " + rotated.ToString());
  }
}

void Supervisor::Changed() const {
  if (on_change_) on_change_();
}

}  // namespace understudy

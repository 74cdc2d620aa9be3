#include "tests/sim/fleet_node.h"

#include <algorithm>
#include <utility>

namespace understudy::sim {
namespace {

constexpr int64_t kStartNs = 30 * kNsPerMs;       // from START_APP to the first word of the application
constexpr int64_t kLookNs = 10 * kNsPerMs;        // between two words of the application to its agent
constexpr int64_t kAppSilentNs = 100 * kNsPerMs;  // then the agent says that it has none
constexpr int64_t kHeartbeatNs = 40 * kNsPerMs;
constexpr int64_t kDrainNs = 150 * kNsPerMs;
constexpr size_t kResultsKept = 8;

}  // namespace

FleetNode::FleetNode(const Fleet& fleet, const Surroundings& around, std::string name, int* number,
                     const Workload& workload)
    : fleet_(fleet), name_(std::move(name)), node_(fleet.world->AddNode(name_ + ".agent")) {
  stream_ = fleet_.world->StreamFor(0xF1EE7000 + static_cast<uint64_t>(*number));
  for (const Service& service : fleet_.services) {
    applications_[service.log] = std::make_unique<Application>(around, name_, ++*number, service.log, workload);
  }
  StartAgent();
}

void FleetNode::AddLog(const Surroundings& around, LogId log, int* number, const Workload& workload) {
  applications_[log] = std::make_unique<Application>(around, name_, ++*number, log, workload);
}

std::vector<NodeId> FleetNode::nodes() const {
  std::vector<NodeId> all = {node_};
  for (const auto& [log, application] : applications_) all.push_back(application->node());
  return all;
}

// ---- the process ----

void FleetNode::Start(const understudy::Command& command) {
  const auto answer = [&](StatusCode code, std::string detail) {
    agent_done_.push_back({command.id, code, std::move(detail)});
    if (agent_done_.size() > kResultsKept) agent_done_.pop_front();
  };
  if (process_ == ProcessState::kStarting || process_ == ProcessState::kRunning) {
    return answer(StatusCode::kAlreadyExists, "it runs already");
  }
  ++starts_;
  pid_ = starts_ * 100;
  process_ = known_process_ = ProcessState::kStarting;
  process_service_ = command.service;
  exit_reason_.clear();
  log_ = LogId();
  service_.clear();
  attempt_ = AttemptId();
  taking_over_.reset();
  handing_over_.reset();
  saving_.reset();
  done_.clear();
  last_command_ = 0;
  has_app_ = false;
  answer(StatusCode::kOk, "");
  fleet_.world->After(kStartNs, [this, pid = pid_] {
    if (pid_ != pid || process_ != ProcessState::kStarting) return;
    process_ = ProcessState::kRunning;
    LookAtProcess();
  });
}

void FleetNode::KillProcess(const std::string& why) {
  if (process_ != ProcessState::kStarting && process_ != ProcessState::kRunning) return;
  for (auto& [log, application] : applications_) application->Kill();
  process_ = ProcessState::kExited;
  exit_reason_ = why;
  log_ = LogId();
  // Its agent sees it at once (pidfd).
  fleet_.world->AfterOn(node_, kNsPerMs, [this, life = agent_life_] {
    if (agent_up_ && life == agent_life_) Report();
  });
}

void FleetNode::FreezeProcess(bool frozen) {
  for (auto& [log, application] : applications_) fleet_.world->Freeze(application->node(), frozen);
}

// On the process's node, so that a frozen process says nothing.
void FleetNode::LookAtProcess() {
  fleet_.world->AfterOn(applications_.begin()->second->node(), kLookNs, [this, pid = pid_] {
    if (pid_ != pid || process_ != ProcessState::kRunning) return;
    AppReport report = ReportOfProcess();
    fleet_.world->AfterOn(node_, 100'000, [this, pid, report = std::make_shared<AppReport>(std::move(report))] {
      if (!agent_up_ || pid_ != pid || process_ != ProcessState::kRunning) return;
      const bool news = !has_app_ || report->role != app_.role || report->done != app_.done ||
                        report->attempt != app_.attempt || report->epoch != app_.epoch;
      known_process_ = ProcessState::kRunning;
      has_app_ = true;
      app_ = *report;
      app_heard_ = fleet_.world->Local(node_);
      if (news) Report();
    });
    LookAtProcess();
  });
}

AppReport FleetNode::ReportOfProcess() {
  AppReport report;
  report.pid = pid_;
  report.start_ticks = starts_;
  report.endpoint = name_ + ":1";
  report.mirror_address = name_;
  Application* app = Current();
  if (app != nullptr) {
    if (app->writing()) {
      report.role = app->serving() ? AppRole::kPrimary : AppRole::kPromoting;
    } else if (app->taking_over()) {
      report.role = AppRole::kPromoting;
    } else if (app->follower() != nullptr) {
      report.role = app->follower()->mirror_live() ? AppRole::kMirroring : AppRole::kReplaying;
      report.caught_up = app->follower()->caught_up();
      report.commit = app->follower()->commit();
    } else if (app->following()) {
      report.role = AppRole::kLoading;
    } else {
      Leave();  // deposed, or its takeover failed: the state is gone
      app = nullptr;
    }
  }
  if (taking_over_.has_value() && report.role != AppRole::kPromoting) {
    const bool serves = report.role == AppRole::kPrimary;
    Finish(*std::exchange(taking_over_, std::nullopt), serves ? StatusCode::kOk : StatusCode::kFenced,
           serves ? "" : "the takeover ended without the log");
  }
  if (handing_over_.has_value() && (app == nullptr || !app->moving())) {
    const bool moved = app == nullptr || !app->writing();
    Finish(*std::exchange(handing_over_, std::nullopt), moved ? StatusCode::kOk : StatusCode::kDeadlineExceeded,
           moved ? "" : "it did not drain");
  }
  if (saving_.has_value() && (app == nullptr || !app->saving())) {
    const bool listed = app != nullptr && app->newest_checkpoint() > saved_;
    Finish(*std::exchange(saving_, std::nullopt), listed ? StatusCode::kOk : StatusCode::kUnavailable,
           listed ? "" : "the checkpoint was not saved");
  }
  if (app != nullptr) {
    report.service = service_;
    report.log = log_;
    report.applied = app->next() - 1;
    report.attempt = attempt_;
    if (report.role == AppRole::kPrimary) {
      report.epoch = app->writer()->epoch();
      report.applied = report.commit = app->writer()->commit();
      report.last_appended = app->writer()->next_lsn() - 1;
      report.may_serve = app->writer()->MayServe(fleet_.world->Local(app->node()));
    }
  }
  report.done.assign(done_.begin(), done_.end());
  return report;
}

void FleetNode::Leave() {
  if (Application* app = Current()) app->Release();
  log_ = LogId();
  service_.clear();
  attempt_ = AttemptId();
}

void FleetNode::Finish(int64_t id, StatusCode code, std::string detail) {
  done_.push_back({id, code, std::move(detail)});
  if (done_.size() > kResultsKept) done_.pop_front();
}

void FleetNode::InProcess(const understudy::Command& command) {
  if (command.id <= last_command_) return;  // carried out at most once
  last_command_ = command.id;
  std::string detail;
  bool pending = false;
  const StatusCode code = Carry(command, &detail, &pending);
  if (!pending) Finish(command.id, code, std::move(detail));
}

StatusCode FleetNode::Carry(const understudy::Command& command, std::string* detail, bool* pending) {
  Application* app = Current();
  const bool primary = app != nullptr && app->writing() && app->serving();
  const bool promoting = app != nullptr && !primary && (app->writing() || app->taking_over());
  const auto refuse = [&](const char* why) {
    *detail = why;
    return StatusCode::kFailedPrecondition;
  };
  if (command.log != LogId() && application(command.log) == nullptr) return refuse("no program of that log");
  switch (command.kind) {
    case CommandKind::kFollow:
      if (primary || promoting || handing_over_) return refuse("only a spare follows");
      if (app != nullptr && log_ == command.log && app->following()) return StatusCode::kOk;
      Leave();
      log_ = command.log;
      service_ = command.service;
      Current()->Follow();
      return StatusCode::kOk;
    case CommandKind::kPrepare:
      if (app == nullptr || promoting || primary || app->follower() == nullptr) return refuse("only a spare prepares");
      attempt_ = app->DrawAttempt();
      return StatusCode::kOk;
    case CommandKind::kHandover: {
      if (!primary || handing_over_ || log_ != command.log) return refuse("only a primary hands over");
      Application* to = fleet_.application(command.node, log_);
      if (to == nullptr || command.attempt.none()) return StatusCode::kInvalidArgument;
      if (!app->HandOver(to, command.attempt, kDrainNs)) return refuse("another move is under way");
      handing_over_ = command.id;
      *pending = true;
      return StatusCode::kOk;
    }
    case CommandKind::kTakeOver: {
      if (primary) return log_ == command.log ? StatusCode::kOk : refuse("it is primary of another log");
      if (promoting || handing_over_) return refuse("a takeover or handover is under way");
      const bool follows = app != nullptr && log_ == command.log;
      const AttemptId prepared = follows ? attempt_ : AttemptId();
      if (!follows) {
        Leave();
        log_ = command.log;
        service_ = command.service;
      }
      attempt_ = AttemptId();
      taking_over_ = command.id;
      *pending = true;
      Current()->TakeOver(command.epoch, prepared.none() ? std::nullopt : std::optional<AttemptId>(prepared));
      return StatusCode::kOk;
    }
    case CommandKind::kMirrorTo: {
      if (!primary) return refuse("not the primary");
      app->MirrorTo(command.address.empty() ? nullptr : fleet_.application(command.address, log_));
      return StatusCode::kOk;
    }
    case CommandKind::kMoveDisks: {
      if (!primary) return refuse("not the primary");
      uint64_t pick = 0;
      for (const DiskId& disk : command.disks) pick = Mix(pick, disk.lo ^ disk.hi);
      return app->ChangeReplicas(pick, kDrainNs) ? StatusCode::kOk : refuse("another move is under way");
    }
    case CommandKind::kCheckpoint:
      if (!primary) return refuse("not the primary");
      if (app->saving()) return refuse("one is being saved");
      saved_ = app->newest_checkpoint();
      app->SaveCheckpoint();
      saving_ = command.id;
      *pending = true;
      return StatusCode::kOk;
    case CommandKind::kCheckpointEvery:
      if (primary) app->SaveCheckpoint();
      return StatusCode::kOk;
    case CommandKind::kRelease:
      if (primary || promoting) return refuse("only a spare can be released");
      Leave();
      return StatusCode::kOk;
    default:
      return StatusCode::kUnsupported;
  }
}

// ---- the agent ----

void FleetNode::StartAgent() {
  if (agent_up_) return;
  agent_up_ = true;
  ++agent_life_;
  ++incarnation_;
  has_app_ = false;
  agent_done_.clear();
  Heartbeat();
}

void FleetNode::KillAgent() {
  agent_up_ = false;
  ++agent_life_;
}

void FleetNode::Heartbeat() {
  fleet_.world->AfterOn(node_, kHeartbeatNs, [this, life = agent_life_] {
    if (!agent_up_ || life != agent_life_) return;
    Report();
    Heartbeat();
  });
}

void FleetNode::Report() {
  if (process_ != ProcessState::kRunning || fleet_.world->Local(node_) - app_heard_ > kAppSilentNs) has_app_ = false;
  AgentReport report;
  report.node = name_;
  report.address = name_;
  report.labels = labels;
  report.incarnation = incarnation_;
  report.process = process_;
  report.exit_reason = exit_reason_;
  report.process_service = process_service_;
  report.starts = starts_;
  report.has_app = has_app_;
  if (has_app_) report.app = app_;
  report.done.assign(agent_done_.begin(), agent_done_.end());
  fleet_.report(node_, report);
}

void FleetNode::Command(const understudy::Command& command) {
  if (!agent_up_) return;
  switch (command.kind) {
    case CommandKind::kStartApp:
      Start(command);
      return Report();
    case CommandKind::kStopApp: {
      agent_done_.push_back({command.id, StatusCode::kOk, ""});
      if (agent_done_.size() > kResultsKept) agent_done_.pop_front();
      fleet_.world->AfterOn(node_, std::min<int64_t>(command.grace_ms, 20) * kNsPerMs, [this, pid = pid_] {
        if (pid_ == pid) KillProcess("stopped");
      });
      return;
    }
    default:
      if (process_ != ProcessState::kRunning) return;
      fleet_.world->AfterOn(applications_.begin()->second->node(), 100'000, [this, command, pid = pid_] {
        if (pid_ == pid && process_ == ProcessState::kRunning) InProcess(command);
      });
  }
}

}  // namespace understudy::sim

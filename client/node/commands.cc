// What the agent asks for, and what it is told.
#include <unistd.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "client/node/node_impl.h"
#include "log/env/logging.h"
#include "log/env/process.h"

namespace understudy {
namespace {

AppRole WireRole(Role role) { return static_cast<AppRole>(static_cast<int>(role)); }

std::string HostOf(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  return colon == std::string::npos || colon == 0 ? "127.0.0.1" : endpoint.substr(0, colon);
}

}  // namespace

void NodeImpl::OnCommand(const Command& command) {
  Carry(command, [this, command](const Status& status) { agent_->Done(command, status); });
}

void NodeImpl::Carry(const Command& command, StatusCallback done) {
  if (!command.coordinators.empty() || !cluster_) {
    const Status connected = Connect(command);
    if (!connected.ok()) return done(connected);
  }
  switch (command.kind) {
    case CommandKind::kFollow:
      return Follow(command, std::move(done));
    case CommandKind::kPrepare:
      return Prepare(std::move(done));
    case CommandKind::kHandover:
      return Handover(command, std::move(done));
    case CommandKind::kTakeOver:
      return TakeOver(command, std::move(done));
    case CommandKind::kRelease:
      return Release(std::move(done));
    case CommandKind::kMirrorTo:
      if (role() != Role::kPrimary) return done(Status(StatusCode::kFailedPrecondition, "not the primary"));
      writer_->MirrorTo(command.address);
      return done(Status::Ok());
    case CommandKind::kCheckpoint:
      return BeginCheckpoint([done](const Result<CheckpointInfo>& info) { done(info.status()); });
    case CommandKind::kCheckpointEvery:
      checkpoint_interval_ms_ = command.interval_ms;
      ScheduleCheckpoints();
      return done(Status::Ok());
    case CommandKind::kStopApp:
      listener_thread_.Run([this] { listener_->OnStop(); });
      return done(Status::Ok());
    case CommandKind::kMoveDisks:
      return MoveDisks(command, std::move(done));
    case CommandKind::kNone:
    case CommandKind::kStartApp:
      break;
  }
  done(Status(StatusCode::kUnsupported, "an application does not carry out this command"));
}

// The cluster becomes known with the first command; its coordinators may change later.
Status NodeImpl::Connect(const Command& command) {
  if (command.coordinators.empty()) {
    return {StatusCode::kInvalidArgument, "the command names no coordinators"};
  }
  if (cluster_) {
    if (command.cluster != cluster_->name()) {
      return {StatusCode::kForeignCluster, "this instance belongs to cluster " + cluster_->name()};
    }
    cluster_->UseCoordinators(command.coordinators);
    return Status::Ok();
  }
  ClusterOptions options;
  options.cluster = command.cluster;
  options.coordinators = command.coordinators;
  options.name = node_name_;
  MirrorEvents stream;
  stream.push = [this](MirrorPush push) {
    if (!replayer_ || push.log != log_) return false;
    replayer_->Mirror(std::move(push));
    return true;
  };
  stream.broken = [this] {
    if (replayer_) replayer_->MirrorBroken();
  };
  auto port = std::make_unique<MirrorPort>(runtime_.loop(), command.cluster, std::move(stream));
  UNDERSTUDY_RETURN_IF_ERROR(port->Listen(HostOf(options_.endpoint)).WithContext("listening for the mirror stream"));
  mirror_port_ = std::move(port);
  cluster_ = std::make_unique<Cluster>(runtime_.loop(), std::move(options));
  queue_ = std::make_unique<ReplayQueue>(state_machine_, options_.parallel_apply ? options_.replay_lanes : 1,
                                         [this](Lsn lsn) { runtime_.Run([this, lsn] { OnApplied(lsn); }); });
  LogWriterOptions writer;
  writer.staging.outstanding_bytes_max = options_.inflight_bytes_max;
  writer.core.self_fence_ms = options_.self_fence_ms;
  writer.core.heartbeat_ms =
      std::min<int64_t>(writer.core.heartbeat_ms, std::max<int64_t>(1, options_.self_fence_ms / 4));
  writer.hand_on_committed = options_.apply_on_primary;
  LogWriterEvents events;
  events.fenced = [this](const FencedReport& report) { OnFenced(report); };
  events.seal_without_owner = [this](const std::string& text) { SetWaiting(text); };
  events.moved = [this](const EpochEntry& entry) {
    epoch_ = entry;
    waiting_.clear();
    agent_->ReportNow();
  };
  events.committed = [this](ReleasedBatch batch) { queue_->Push(std::move(batch)); };
  writer_ = std::make_unique<LogWriter>(&runtime_, cluster_.get(), writer, std::move(events));
  writer_view_.store(writer_.get(), std::memory_order_release);
  return Status::Ok();
}

AppReport NodeImpl::Report() {
  AppReport report;
  report.pid = getpid();
  const Result<int64_t> ticks = ProcessStartTicks(report.pid);
  report.start_ticks = ticks.ok() ? *ticks : 0;
  report.role = WireRole(role());
  report.endpoint = options_.endpoint;
  if (mirror_port_) report.mirror_address = mirror_port_->address();
  if (role() != Role::kWarm) {
    report.service = service_;
    report.log = log_;
  }
  report.attempt = attempt_;
  report.waiting = waiting_;
  if (lost_) std::tie(report.lost_from, report.lost_to) = *lost_;
  report.checkpoint_lsn = checkpoint_lsn_;
  report.serving_since_unix_ms = serving_since_unix_ms_;
  report.replayed = static_cast<int64_t>(replayer_ ? replayer_->replayed() : replayed_);
  if (role() == Role::kPrimary) {
    report.epoch = writer_->epoch();
    report.applied = report.commit = writer_->commit();
    report.last_appended = writer_->last_appended();
    report.may_serve = writer_->MayServe();
    const Instant now = runtime_.Now();
    if (now - latency_taken_at_ >= kNsPerSecond) {
      latency_taken_at_ = now;
      writer_->TakeLatency(&append_p50_us_, &append_p99_us_);
    }
    report.append_p50_us = append_p50_us_;
    report.append_p99_us = append_p99_us_;
  } else if (replayer_) {
    report.applied = replayer_->applied();
    report.commit = replayer_->commit();
    report.caught_up = replayer_->caught_up();
  }
  const std::lock_guard<std::mutex> lock(shared_mutex_);
  report.gauges = gauges_;
  return report;
}

}  // namespace understudy

// What the core learns from nodes, predictors and the metadata.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "predictors/policy/policy_json.h"
#include "server/coordinator/core/core.h"

namespace understudy::coordinator {

namespace {

// In a way that may concern more than the services that use the node: all but progress and gauges.
bool Changed(const AgentReport& before, const AgentReport& now) {
  const AppReport& a = before.app;
  const AppReport& b = now.app;
  return !now.done.empty() || !b.done.empty() || before.incarnation != now.incarnation ||
         before.process != now.process || before.has_app != now.has_app || before.starts != now.starts ||
         before.labels != now.labels || before.process_service != now.process_service || a.role != b.role ||
         a.service != b.service || a.pid != b.pid || a.start_ticks != b.start_ticks || a.epoch != b.epoch ||
         a.caught_up != b.caught_up || a.attempt != b.attempt || a.may_serve != b.may_serve ||
         a.mirror_address != b.mirror_address || a.endpoint != b.endpoint || a.waiting != b.waiting ||
         a.lost_from != b.lost_from;
}

}  // namespace

void Core::On(const NodeReported& in) {
  const AgentReport& report = in.report;
  if (nodes_.count(report.node) == 0 && nodes_.size() >= options_.nodes_max) return;
  NodeState& node = Node(report.node);
  const bool returned = node.heard && !node.alive;
  if (!node.heard) Record("node_joined", "", node.name, "reports from " + report.address);
  if (returned) Record("node_returned", "", node.name, "heard again");
  const AgentReport before = node.heard ? std::move(node.report) : AgentReport();
  const bool first = !node.heard;
  Touch(node);
  if (!report.app.service.empty()) touched_.insert(report.app.service);
  look_at_all_ |= first || returned || Changed(before, report);
  node.report = report;
  node.report.samples.clear();
  node.report.done.clear();
  node.report.app.done.clear();
  node.heard = true;
  node.alive = true;
  node.last_heard = now_;
  if (first) {
    node.started_at = now_;
    node.app_seen = report.has_app;
  } else {
    if (report.incarnation != before.incarnation) node.sent.clear();  // what the old agent was told may be lost
    OnProcess(node, before);
  }
  MeasureNode(node, before);
  if (report.has_app) {
    node.app_seen = true;
    node.pid = report.app.pid;
    node.start_ticks = report.app.start_ticks;
    node.useful |= report.app.role == AppRole::kMirroring || report.app.role == AppRole::kPrimary;
  }
  OnResults(node, report.done);
  OnResults(node, report.app.done);
  if (node.useful && node.HasProcess() && now_ - node.started_at >= options_.stable_ms * kNsPerMs) {
    node.tries.erase(node.started_program);
  }
  NotePrimary(node);
  if (ServiceState* service = FindService(report.app.service)) Reclaim(*service);
  RecordNode(node);
}

void Core::Touch(const NodeState& node) {
  const auto it = claims_.find(node.name);
  if (it == claims_.end()) return;
  for (const Claim& claim : it->second) touched_.insert(claim.service->spec.name);
}

void Core::OnProcess(NodeState& node, const AgentReport& before) {
  const AgentReport& now = node.report;
  const bool had = before.process == ProcessState::kStarting || before.process == ProcessState::kRunning;
  const bool has = node.HasProcess();
  const bool other =
      now.starts != before.starts || (before.has_app && now.has_app &&
                                      (before.app.pid != now.app.pid || before.app.start_ticks != now.app.start_ticks));
  if (has && (!had || other)) {
    node.started_at = now_;
    node.app_seen = false;
    node.useful = false;
    node.start_timed_out = false;
    node.app_lost_at = Instant::Never();
    node.sent.clear();
    return;
  }
  const bool ended = now.process == ProcessState::kExited || now.process == ProcessState::kFailed;
  if (!ended || (!had && !other)) return;
  bool intended = false;
  for (const auto& [key, sent] : node.sent) intended |= key.second == CommandKind::kStopApp;
  const bool useful = node.useful;
  const bool lasted = now_ - node.started_at >= options_.stable_ms * kNsPerMs;
  std::string service = before.has_app ? before.app.service : "";
  for (const auto& [name, known] : services_) {  // its connection may have broken before its end was seen
    if (service.empty() && (known.owner == node.name || known.plan.spare == node.name)) service = name;
  }
  if (intended || had) {
    Record(intended ? "app_stopped" : "app_exited", service, node.name, now.exit_reason)
        .details.emplace_back("useful", useful);
  }
  node.sent.clear();
  node.app_lost_at = Instant::Never();
  if (std::exchange(node.start_timed_out, false)) {
    StartFailed(node, node.started_program, "it ran, but did not report to its agent");
  } else if (intended || useful || (node.app_seen && lasted)) {
    node.tries.erase(node.started_program);
  } else {
    StartFailed(node, node.started_program, now.exit_reason);
  }
  node.app_seen = false;
  node.useful = false;
}

void Core::StartFailed(NodeState& node, const std::string& program, const std::string& why) {
  StartTries& tries = node.tries[program];
  ++tries.failures;
  tries.why = why;
  const int64_t pause_ms = Pause(tries.failures + 1, 250);
  tries.not_before = now_ + pause_ms * kNsPerMs;
  tries.gave_up = tries.failures >= options_.start_failures_max;
  Event& event = Record(tries.gave_up ? "app_start_given_up" : "app_start_failed", "", node.name, why);
  event.details.emplace_back("program", program);
  event.details.emplace_back("failures", int64_t{tries.failures});
  if (!tries.gave_up) event.details.emplace_back("next_try_ms", pause_ms);
}

void Core::NotePrimary(NodeState& node) {
  if (!node.report.has_app || node.report.app.role != AppRole::kPrimary) return;
  ServiceState* service = FindService(node.report.app.service);
  if (service == nullptr || node.report.app.epoch < service->epoch) return;
  const AppReport& app = node.report.app;
  if (app.epoch > service->epoch || service->owner != node.name) {
    if (app.epoch == service->epoch && !service->owner.empty()) return;  // the chain names another: believe the chain
    service->epoch = app.epoch;
    service->owner = node.name;
    service->owner_attempt = app.attempt;
    service->primary_first = app.applied;
    service->primary_seen = false;
  }
  service->served = true;
  if (!service->primary_seen) {
    service->primary_seen = true;
    service->primary_first = app.applied;
    service->last_serving = now_;  // counts from here
  }
  if (service->last_primary != node.name && !service->last_primary.empty() &&
      service->plan.move.kind == MoveKind::kNone && loaded_) {
    // Not by a move that is known here: one given up that came about after all, or another coordinator's.
    NoteFresh(*service);
    Record("primary_changed", service->spec.name, node.name, "it was " + service->last_primary);
    service->risk.Reset();
    service->risk_recorded = RiskLevel::kNone;
    out_->resets.push_back({service->spec.name, ResetReason::kMoved});
  }
  service->last_primary = node.name;
  service->owner_endpoint = app.endpoint;
  service->primary_last = app.applied;
  if (app.may_serve) service->last_serving = now_;
}

void Core::On(const ForecastsArrived& in) {
  ServiceState* service = FindService(in.service);
  if (service == nullptr) return;
  RecordShadows(*service, in.forecasts);
  service->risk.Observe(in.forecasts, now_);
  touched_.insert(in.service);
}

void Core::On(const MetadataLoaded& in) {
  loaded_ = true;
  loaded_at_ = now_;
  term_ = in.term;
  for (auto& [name, node] : nodes_) {
    if (node.heard) RecordNode(node);
  }
  for (auto& [name, service] : services_) {
    service.step_began = service.move_began = service.gap_began = now_;
    if (service.plan.predicted_moves > 0) {
      service.cooldown_until = now_ + service.spec.policy.cooldown_ms * kNsPerMs;
    }
    if (service.plan.restarted_unix_ms > 0) {
      const int64_t full_ms = service.spec.policy.restart_cooldown_ms;
      const int64_t left_ms = std::clamp<int64_t>(service.plan.restarted_unix_ms + full_ms - unix_ms_, 0, full_ms);
      service.restart_cooldown_until = now_ + left_ms * kNsPerMs;
    }
    service.plan_foreign = service.plan.term > term_;
    service.plan_foreign_since = now_;
  }
}

void Core::On(const MetadataChanged& in) {
  switch (in.kind) {
    case MetadataKind::kLog:
      OnChain(in.name, in.value, in.version);
      SettleClosedLoss(in.name);
      break;
    case MetadataKind::kService:
      OnSpec(in.name, in.value, in.version);
      break;
    case MetadataKind::kPlan: {
      ServiceState* service = FindService(in.name);
      if (service != nullptr) {
        OnPlan(*service, in.value, in.version);
      } else if (!loaded_) {
        early_plans_[in.name] = {in.value, in.version};
      }
      break;
    }
    case MetadataKind::kNode: {
      if (in.value.empty() && nodes_.count(in.name) == 0) break;
      NodeState& node = Node(in.name);
      if (node.writing || (in.version <= node.version && !in.value.empty())) break;
      node.version = in.value.empty() ? 0 : in.version;
      node.recorded = in.value;
      break;
    }
    case MetadataKind::kDisk:
      if (in.value.empty()) {
        disks_.erase(in.name);
      } else if (in.version > disks_[in.name].version) {
        disks_[in.name] = {in.value, in.version};
      }
      OnDiskRead(in.name);
      break;
    case MetadataKind::kSettings:
      OnSettings(in.value, in.version);
      break;
  }
}

void Core::OnChain(const std::string& name, const std::string& value, uint64_t version) {
  uint64_t id = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || end != name.data() + name.size()) return;
  if (value.empty()) {
    logs_.erase(id);
    return;
  }
  LogState& log = logs_[id];
  if (version <= log.version) return;
  Result<Chain> chain = DecodeChain(value);
  log.version = version;
  if (!chain.ok()) {
    Record("log_metadata_corrupt", "", "", "log " + name + ": " + chain.status().message());
    return;
  }
  log.chain = *std::move(chain);
  ServiceState* service = FindService(log.chain.name);
  if (service == nullptr || service->spec.log.value() != id) return;
  service->checkpoints = log.chain.checkpoints.size();
  service->checkpoint_lsn = service->checkpoints == 0 ? Lsn(0) : log.chain.checkpoints.back().lsn;
  const EpochEntry* last = log.chain.last();
  if (last == nullptr) return;
  service->disks = static_cast<int>(last->disks.size());
  service->ack_quorum = last->ack_quorum;
  if (last->epoch < service->epoch) return;  // the primary's own word came before this
  if (last->epoch > service->epoch) service->primary_seen = false;
  service->epoch = last->epoch;
  service->owner = last->owner.node;
  service->owner_endpoint = last->owner.endpoint;
  service->owner_attempt = last->attempt;
  Node(service->owner);
  Reclaim(*service);
}

void Core::OnPlan(ServiceState& service, const std::string& value, uint64_t version) {
  if (service.plan_reading) {
    service.plan_reading = service.plan_writing = false;
    if (value.empty()) service.plan_version = 0;
  }
  if (version <= service.plan_version || value.empty()) return;
  Result<Plan> plan = DecodePlan(value);
  if (!plan.ok()) {
    Record("plan_corrupt", service.spec.name, "", plan.status().message());
    service.plan_version = version;
    return;
  }
  if (loaded_ && plan->coordinator == options_.name && plan->term == term_) {  // our own write come round
    if (!service.plan_writing) service.plan_version = version;  // while writing, the write's own answer says it
    return;
  }
  service.plan_version = version;
  // One of a lower term leads no more, so its plan is gone on with at once; but what has been decided here since is
  // newer than what of it lands late. A higher term would mean that another leads by now.
  const bool foreign = loaded_ && plan->term > term_;
  if (loaded_ && !foreign && (service.plan_dirty || service.plan_writing || service.plan.term == term_)) {
    service.plan_dirty = true;
    return;
  }
  service.plan = *std::move(plan);
  static_cast<Timings&>(service.measured) = service.plan.timings;
  service.plan_dirty = false;
  service.plan_foreign = foreign;
  service.plan_foreign_since = service.step_began = now_;
  for (const std::string& node : {service.plan.spare, service.plan.move.to, service.plan.move.from}) {
    if (!node.empty()) Node(node);
  }
  Reclaim(service);
}

// An equal version counts: it is read again when a write of it failed.
void Core::OnSettings(const std::string& value, uint64_t version) {
  if (version < settings_version_) return;
  settings_version_ = version;
  policy::FleetSettings defaults;
  defaults.brake_percent = options_.brake_percent;
  if (value.empty()) {
    settings_ = defaults;
    return;
  }
  Result<policy::FleetSettings> settings = policy::ParseFleetSettings(value, defaults);
  if (settings.ok()) {
    settings_ = *std::move(settings);
  } else {
    Record("settings_corrupt", "", "", settings.status().message() + "; the settings stay as they were");
  }
}

void Core::OnSpec(const std::string& name, const std::string& value, uint64_t version) {
  ServiceState* known = FindService(name);
  unreadable_specs_.erase(name);
  if (value.empty()) {  // its removal has landed: this coordinator's, or one of an earlier leader's
    if (known != nullptr && loaded_) Removed(*known);
    return;
  }
  if (known != nullptr && version <= known->spec_version) return;
  Result<ServiceSpec> spec = ParseServiceSpec(value);
  if (!spec.ok() || spec->name != name) {
    unreadable_specs_.insert(name);
    Record("service_corrupt", name, "", spec.ok() ? "its key names another service" : spec.status().message());
    return;
  }
  ServiceState& service = services_[name];
  service.spec = *std::move(spec);
  service.spec_version = version;
  ++specs_changed_;
  service.risk.input().name = name;
  service.risk.input().policy = service.spec.policy;
  const std::string program = nlohmann::json({service.spec.program, service.spec.arguments, service.spec.environment})
                                  .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  service.program_id = program_ids_.emplace(program, static_cast<int>(program_ids_.size()) + 1).first->second;
  if (known == nullptr) {
    if (auto it = early_plans_.find(name); it != early_plans_.end()) {
      OnPlan(service, it->second.first, it->second.second);
      early_plans_.erase(it);
    }
  }
  if (auto it = logs_.find(service.spec.log.value()); it != logs_.end() && it->second.version > 0) {
    const uint64_t log_version = it->second.version;
    it->second.version = 0;
    OnChain(std::to_string(it->first), EncodeChain(it->second.chain), log_version);
  }
  for (auto& [node_name, node] : nodes_) {
    if (node.report.app.service == name) NotePrimary(node);
  }
  Reclaim(service);
}

void Core::On(const MetadataWritten& in) {
  const bool written = in.code == StatusCode::kOk;
  switch (in.kind) {
    case MetadataKind::kPlan: {
      ServiceState* service = FindService(in.name);
      if (service == nullptr) break;
      service->plan_writing = false;
      if (written) {
        service->plan_version = std::max(service->plan_version, in.version);
      } else {
        service->plan_dirty = true;  // unless it turns out to be another's
        service->plan_writing = service->plan_reading = true;
        out_->reads.push_back({in.kind, in.name});
      }
      break;
    }
    case MetadataKind::kNode: {
      NodeState& node = Node(in.name);
      node.writing = false;
      if (written) node.version = in.version;
      if (!written) {
        node.recorded.clear();
        out_->reads.push_back({in.kind, in.name});
      }
      break;
    }
    case MetadataKind::kSettings:
      for (const PendingSettings& pending : std::exchange(pending_settings_, {})) {
        std::string document =
            pending.pause ? (settings_.paused ? R"({"paused":true})" : R"({"paused":false})") : SettingsDocument();
        Reply(pending.token, in.code, in.detail, written ? std::move(document) : "");
      }
      if (written) settings_version_ = in.version;
      if (!written) out_->reads.push_back({in.kind, in.name});
      break;
    case MetadataKind::kLog:
      ClosedLossWritten(in.name);
      AppliedOrNot(in);
      break;
    case MetadataKind::kService:
      AppliedOrNot(in);
      break;
    case MetadataKind::kDisk:
      OnDiskWritten(in);
      break;
  }
}

}  // namespace understudy::coordinator

// What operators ask for: services applied and removed, switchovers, pause.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "predictors/policy/policy_json.h"
#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

constexpr int kLogIdTriesMax = 100;

}  // namespace

void Core::On(const OperatorRequest& in) {
  if (!loaded_) {
    Reply(in.token, StatusCode::kUnavailable, "the coordinator is still reading the metadata");
    return;
  }
  switch (in.kind) {
    case RequestKind::kApply:
      Apply(in);
      break;
    case RequestKind::kRemove:
      Remove(in);
      break;
    case RequestKind::kSwitchover:
      Switchover(in);
      break;
    case RequestKind::kPause:
      Pause(in);
      break;
    case RequestKind::kLogs:
      LogsRequest(in);
      break;
    case RequestKind::kPolicy:
      PolicyRequest(in);
      break;
  }
}

uint64_t Core::FreeLogId(uint64_t above) const {
  uint64_t highest = above;
  if (!logs_.empty()) highest = std::max(highest, logs_.rbegin()->first);
  return highest + 1;
}

void Core::Apply(const OperatorRequest& in) {
  Result<ServiceSpec> parsed = ParseServiceSpec(in.document);
  if (!parsed.ok()) {
    Reply(in.token, parsed.status().code(), parsed.status().message());
    return;
  }
  ServiceSpec spec = *std::move(parsed);
  spec.removed = false;
  const std::string name = spec.name;
  const ServiceState* known = FindService(name);
  if (applying_.count(name) > 0) {
    Reply(in.token, StatusCode::kFailedPrecondition, "service '" + name + "' is being applied already");
    return;
  }
  if (known != nullptr && known->spec.removed) {
    Reply(in.token, StatusCode::kFailedPrecondition, "service '" + name + "' is being removed");
    return;
  }
  if (known == nullptr && services_.size() >= options_.services_max) {
    Reply(in.token, StatusCode::kResourceExhausted, "there are as many services as a cluster may have");
    return;
  }
  LogId log = known != nullptr ? known->spec.log : LogId(0);
  if (known == nullptr) {
    for (const auto& [id, state] : logs_) {  // a removed service leaves its log; it gets it back
      if (state.chain.name == name) log = LogId(id);
    }
  }
  if (spec.log.value() != 0 && spec.log != log) {
    Reply(in.token, StatusCode::kInvalidArgument,
          "service: field 'log_id': is given by the coordinator" +
              (log.value() == 0 ? std::string() : "; it is " + std::to_string(log.value())));
    return;
  }
  spec.log = log;
  ChooseReplicas(&spec, known);
  applying_[name] = {in.token, std::move(spec), 0, log.value() != 0};
  ContinueApply(name);
}

void Core::ContinueApply(const std::string& name) {
  PendingApply& pending = applying_.at(name);
  if (pending.writing_service) {
    const ServiceState* known = FindService(name);
    out_->writes.push_back(
        {MetadataKind::kService, name, known == nullptr ? 0 : known->spec_version, EncodeServiceSpec(pending.spec)});
    return;
  }
  pending.spec.log = LogId(FreeLogId(pending.spec.log.value()));
  Chain chain;
  chain.log = pending.spec.log;
  chain.name = name;
  chain.replicas_target = pending.spec.replicas;
  chain.ack_quorum = pending.spec.ack_quorum;
  chain.quota_bytes = static_cast<uint64_t>(pending.spec.log_quota_bytes);
  out_->writes.push_back({MetadataKind::kLog, std::to_string(chain.log.value()), 0, EncodeChain(chain)});
}

void Core::AppliedOrNot(const MetadataWritten& in) {
  if (in.kind == MetadataKind::kLog) {
    for (auto& [name, pending] : applying_) {
      if (pending.writing_service || std::to_string(pending.spec.log.value()) != in.name) continue;
      if (in.code == StatusCode::kOk) {
        pending.writing_service = true;
        ContinueApply(name);
      } else if (in.code == StatusCode::kConflict && ++pending.tries < kLogIdTriesMax) {
        ContinueApply(name);
      } else {
        Reply(pending.token, in.code, "making the log's metadata: " + in.detail);
        applying_.erase(name);
      }
      return;
    }
    return;
  }
  if (auto it = applying_.find(in.name); it != applying_.end()) {
    PendingApply pending = std::move(it->second);
    applying_.erase(it);
    if (in.code != StatusCode::kOk) {
      Reply(pending.token, in.code, "writing the service: " + in.detail);
      return;
    }
    OnSpec(in.name, EncodeServiceSpec(pending.spec), in.version);
    ServiceState& service = services_.at(in.name);
    service.failed = false;
    service.recoveries_failed = 0;
    service.trouble.clear();
    for (auto& [name, node] : nodes_) node.tries.erase(pending.spec.program);
    Record("service_applied", in.name, "", pending.spec.program);
    Reply(pending.token, StatusCode::kOk, "",
          nlohmann::json({{"service", in.name}, {"log_id", pending.spec.log.value()}}).dump());
    return;
  }
  ServiceState* service = FindService(in.name);
  if (service == nullptr || service->removers.empty()) return;
  const std::vector<uint64_t> tokens = service->removers;
  if (in.code != StatusCode::kOk) {
    service->removers.clear();
    service->deleting = false;
    for (uint64_t token : tokens) Reply(token, in.code, "removing the service: " + in.detail);
  } else if (service->deleting) {
    Removed(*service);
  } else {
    service->spec.removed = true;
    service->spec_version = in.version;
  }
}

// Its metadata are gone.
void Core::Removed(ServiceState& service) {
  const std::string name = service.spec.name;
  if (service.plan_version != 0) out_->writes.push_back({MetadataKind::kPlan, name, service.plan_version, ""});
  Record("service_removed", name, "", "its log stays");
  const std::string document = nlohmann::json({{"service", name}, {"log_id", service.spec.log.value()}}).dump();
  for (uint64_t token : service.removers) Reply(token, StatusCode::kOk, "", document);
  Reply(service.switch_token, StatusCode::kCancelled, "the service was removed");
  Reply(service.switch_wanted, StatusCode::kCancelled, "the service was removed");
  Unclaim(service);
  ++specs_changed_;
  services_.erase(name);
}

void Core::Remove(const OperatorRequest& in) {
  ServiceState* service = FindService(in.service);
  if (service == nullptr) {
    Reply(in.token, StatusCode::kNotFound, "no service '" + in.service + "'");
    return;
  }
  if (applying_.count(in.service) > 0) {
    Reply(in.token, StatusCode::kFailedPrecondition, "service '" + in.service + "' is being applied");
    return;
  }
  service->removers.push_back(in.token);
  if (service->removers.size() > 1 || service->spec.removed) return;
  ServiceSpec spec = service->spec;
  spec.removed = true;
  out_->writes.push_back({MetadataKind::kService, in.service, service->spec_version, EncodeServiceSpec(spec)});
}

// Its processes are stopped first; then its metadata goes. The mark "removed" lets a restarted coordinator go on.
void Core::AdvanceRemoval(ServiceState& service) {
  const std::string& name = service.spec.name;
  service.plan.move = Move();
  service.plan.spare.clear();
  bool running = false;
  for (auto& [node_name, node] : nodes_) {
    if (!node.AppUp() || node.report.app.service != name) continue;
    running = true;
    SendStop(node, name, service.spec.stop_grace_ms);
  }
  if (running || service.deleting || service.plan_writing) return;
  Reply(std::exchange(service.switch_token, 0), StatusCode::kCancelled, "the service was removed");
  Reply(std::exchange(service.switch_wanted, 0), StatusCode::kCancelled, "the service was removed");
  service.deleting = true;
  if (service.removers.empty()) service.removers.push_back(0);  // asked for by an earlier coordinator
  out_->writes.push_back({MetadataKind::kService, name, service.spec_version, ""});
}

void Core::Switchover(const OperatorRequest& in) {
  const auto refuse = [&](StatusCode code, std::string why) { Reply(in.token, code, std::move(why)); };
  ServiceState* service = FindService(in.service);
  if (service == nullptr) return refuse(StatusCode::kNotFound, "no service '" + in.service + "'");
  if (!in.node.empty() && nodes_.count(in.node) == 0) {
    return refuse(StatusCode::kNotFound, "no node '" + in.node + "'");
  }
  const Plan& plan = service->plan;
  if (service->plan_foreign || service->spec.removed || plan.move.kind != MoveKind::kNone) {
    return refuse(StatusCode::kFailedPrecondition, service->spec.removed
                                                       ? "service '" + in.service + "' is being removed"
                                                       : "a move of '" + in.service + "' is under way");
  }
  if (!Node(service->owner).AppIs(AppRole::kPrimary, in.service)) {
    return refuse(StatusCode::kFailedPrecondition, "'" + in.service + "' has no primary that could hand over");
  }
  if (in.node == service->owner) {
    return refuse(StatusCode::kFailedPrecondition, "'" + in.service + "' runs on " + in.node + " already");
  }
  if (service->switch_wanted != 0) {
    return refuse(StatusCode::kFailedPrecondition,
                  "a switchover of '" + in.service + "' to " + plan.spare + " waits for its spare already");
  }
  NodeState* spare = plan.spare.empty() ? nullptr : &Node(plan.spare);
  if (spare == nullptr || (!in.node.empty() && in.node != plan.spare)) {
    NodeState* chosen = in.node.empty() ? PickSpare(*service) : &Node(in.node);
    if (chosen == nullptr || Fitness(*service, *chosen) == 0) {
      std::string free;
      for (const auto& [name, node] : nodes_) {
        if (name != service->owner && Fitness(*service, node) > 0) free += (free.empty() ? "" : ", ") + name;
      }
      return refuse(
          StatusCode::kFailedPrecondition,
          (in.node.empty() ? "no node can take '" + in.service + "'"
                           : "node " + in.node + " cannot take '" + in.service + "'") +
              ": it must be alive, carry the service's labels and be nobody's primary or spare (free nodes: " +
              (free.empty() ? "none" : free) + ")");
    }
    if (spare != nullptr) Unassign(*service, "spare_released", "an operator wants " + chosen->name + " instead");
    spare = chosen;
    service->plan.spare = spare->name;
    service->plan.spare_reason = "switchover";
    service->plan_dirty = true;
    Record("spare_assigned", in.service, spare->name, "for a switchover that an operator asked for");
  }
  service->switch_wanted = in.token;
  service->switch_to = in.node;
  service->switch_wanted_until = now_ + options_.switch_prepare_timeout_ms * kNsPerMs;
  AdvanceSwitchover(*service);
}

// An operator's switch begins when its spare mirrors and has caught up.
void Core::AdvanceSwitchover(ServiceState& service) {
  if (service.switch_wanted == 0) return;
  const std::string& name = service.spec.name;
  if (service.plan.move.kind != MoveKind::kNone) {
    return RefuseSwitchover(service, StatusCode::kFailedPrecondition, "another move of '" + name + "' came before it");
  }
  if (!service.switch_to.empty() && service.plan.spare != service.switch_to) {
    return RefuseSwitchover(service, StatusCode::kFailedPrecondition, "its spare was lost before it had caught up");
  }
  const NodeState spare = service.plan.spare.empty() ? NodeState() : Node(service.plan.spare);
  if (spare.AppIs(AppRole::kMirroring, name) && spare.report.app.caught_up) {
    if (!Node(service.owner).AppIs(AppRole::kPrimary, name)) return;
    StartPlanned(service, "asked for by an operator", false, std::exchange(service.switch_wanted, 0));
  } else if (now_ >= service.switch_wanted_until) {
    const uint64_t behind =
        service.primary_last > spare.report.app.applied ? service.primary_last - spare.report.app.applied : 0;
    RefuseSwitchover(service, StatusCode::kDeadlineExceeded,
                     (spare.name.empty() ? "no spare" : spare.name) + " has not caught up in time" +
                         (spare.AppUp() ? ", " + std::to_string(behind) + " records behind" : ": it is not ready"));
  } else {
    Wake(service.switch_wanted_until);
  }
}

void Core::RefuseSwitchover(ServiceState& service, StatusCode code, const std::string& why) {
  Reply(std::exchange(service.switch_wanted, 0), code, "the switchover was given up: " + why);
}

void Core::Pause(const OperatorRequest& in) {
  if (in.paused != settings_.paused) {
    Record(in.paused ? "paused" : "resumed", "", "",
           in.paused ? "predicted actions are held; failures are still recovered from" : "predicted actions go on");
  }
  settings_.paused = in.paused;
  pending_settings_.push_back({in.token, true});
  out_->writes.push_back({MetadataKind::kSettings, "", settings_version_, policy::EncodeFleetSettings(settings_)});
}

}  // namespace understudy::coordinator

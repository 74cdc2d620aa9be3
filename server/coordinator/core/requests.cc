// What operators ask for: services applied and removed, switchovers, pause.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

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
    const uint64_t log = service->spec.log.value();
    if (service->plan_version != 0) {
      out_->writes.push_back({MetadataKind::kPlan, in.name, service->plan_version, ""});
    }
    services_.erase(in.name);
    Record("service_removed", in.name, "", "its log stays");
    const std::string document = nlohmann::json({{"service", in.name}, {"log_id", log}}).dump();
    for (uint64_t token : tokens) Reply(token, StatusCode::kOk, "", document);
  } else {
    service->spec.removed = true;
    service->spec_version = in.version;
  }
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
  const std::string help = "; \"standby\": true in the service file keeps one caught up";
  if (plan.spare.empty()) {
    std::string free;
    for (const auto& [name, node] : nodes_) {
      if (name != service->owner && Fitness(*service, node) > 0) free += (free.empty() ? "" : ", ") + name;
    }
    return refuse(StatusCode::kFailedPrecondition, "no caught-up spare: none is assigned to '" + in.service +
                                                       "' (free nodes: " + (free.empty() ? "none" : free) + ")" + help);
  }
  if (!in.node.empty() && in.node != plan.spare) {
    return refuse(StatusCode::kFailedPrecondition,
                  "no caught-up spare on " + in.node + ": the spare of '" + in.service + "' is " + plan.spare);
  }
  const NodeState& spare = Node(plan.spare);
  if (!spare.AppIs(AppRole::kMirroring, in.service) || !spare.report.app.caught_up) {
    const AppReport& app = spare.report.app;
    const uint64_t behind = service->primary_last > app.applied ? service->primary_last - app.applied : 0;
    return refuse(
        StatusCode::kFailedPrecondition,
        "no caught-up spare: " + plan.spare +
            (spare.AppUp() ? " is not mirroring yet, " + std::to_string(behind) + " records behind" : " is not ready") +
            "; try again in a moment");
  }
  StartPlanned(*service, "asked for by an operator", false, in.token);
}

void Core::Pause(const OperatorRequest& in) {
  if (in.paused != paused_) {
    Record(in.paused ? "paused" : "resumed", "", "",
           in.paused ? "predicted actions are held; failures are still recovered from" : "predicted actions go on");
  }
  paused_ = in.paused;
  const nlohmann::json leader = {{"coordinator", options_.name}, {"term", term_}, {"paused", paused_}};
  pausing_.push_back(in.token);
  out_->writes.push_back({MetadataKind::kLeader, "", leader_version_, leader.dump()});
}

}  // namespace understudy::coordinator

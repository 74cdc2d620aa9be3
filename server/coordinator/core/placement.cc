// Who may take what: targets of moves, spares, and the pool of WARM processes.
#include <algorithm>
#include <map>
#include <utility>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {

bool Core::IsTaken(const std::string& node, const std::string& except_service) const {
  const auto it = claims_.find(node);
  if (it == claims_.end()) return false;
  for (const Claim& claim : it->second) {
    if (claim.restarts || claim.service->spec.name != except_service) return true;
  }
  return false;
}

bool Core::LostToAnother(const ServiceState& service, const NodeState& node, std::string* why) const {
  if (!node.heard && !Missing(node)) return false;  // it may follow this service's log
  const AppReport& app = node.report.app;
  const bool runs = node.report.has_app && node.HasProcess();
  if (runs && app.service == service.spec.name) return false;
  if (runs && !app.service.empty() && app.role >= AppRole::kPromoting) {  // nothing but its end releases it
    *why = node.name + " serves " + app.service;
    return true;
  }
  const auto it = claims_.find(node.name);
  if (it == claims_.end()) return false;
  for (const Claim& claim : it->second) {
    if (claim.service == &service) continue;
    *why = node.name + " is used by " + claim.service->spec.name;
    return true;
  }
  return false;
}

bool Core::Carries(const NodeState& node, const ServiceSpec& spec) const {
  for (const auto& [key, value] : spec.labels) {
    const auto& labels = node.report.labels;
    if (std::find(labels.begin(), labels.end(), key + "=" + value) == labels.end()) return false;
  }
  return true;
}

bool Core::CanStart(const NodeState& node, const ServiceSpec& spec) const {
  if (!node.alive) return false;
  auto it = node.tries.find(spec.program);
  return it == node.tries.end() || (!it->second.gave_up && now_ >= it->second.not_before);
}

bool Core::RunsProgramOf(const NodeState& node, const ServiceSpec& spec) const {
  if (!node.HasProcess()) return false;
  if (node.report.process_service == spec.name) return true;
  auto it = services_.find(node.report.process_service);
  if (it == services_.end()) return false;
  const auto own = services_.find(spec.name);
  return own != services_.end() ? own->second.program_id == it->second.program_id : SameProgram(it->second.spec, spec);
}

int Core::Fitness(const ServiceState& service, const NodeState& node) const {
  const ServiceSpec& spec = service.spec;
  if (!node.alive || IsTaken(node.name, spec.name) || !Carries(node, spec)) return 0;
  if (!node.HasProcess()) return CanStart(node, spec) ? 10 : 0;
  if (!RunsProgramOf(node, spec)) return node.report.has_app && node.report.app.service.empty() ? 5 : 0;
  if (!node.report.has_app) return node.app_seen ? 0 : 15;
  const AppReport& app = node.report.app;
  if (app.service.empty()) return 30;
  if (app.service != spec.name) return app.role >= AppRole::kPromoting ? 0 : 20;  // released: it will be WARM
  switch (app.role) {
    case AppRole::kWarm:
      return 30;
    case AppRole::kLoading:
      return 40;
    case AppRole::kReplaying:
      return app.caught_up ? 55 : 50;
    case AppRole::kMirroring:
      return app.caught_up ? 65 : 60;
    case AppRole::kPromoting:
    case AppRole::kPrimary:
      return 35;
  }
  return 0;
}

NodeState* Core::PickTarget(const ServiceState& service, const std::string& not_this) {
  NodeState* best = nullptr;
  int best_fitness = 0;
  for (NodeState* node : Candidates(service)) {
    if (node->name == not_this) continue;
    const int fitness = Fitness(service, *node);
    if (node->name == service.owner && fitness < 40) continue;  // but one that holds the state is as good as any spare
    if (fitness > best_fitness) {
      best = node;
      best_fitness = fitness;
    }
  }
  // In place: the last resort, but the first choice where nothing ran yet (the whole cluster was down).
  NodeState* owner = service.owner.empty() || service.owner == not_this ? nullptr : &Node(service.owner);
  if (owner != nullptr) {
    const int fitness = Fitness(service, *owner);
    if (fitness > 0 && (best == nullptr || (!service.served && best_fitness <= 15))) return owner;
  }
  return best;
}

NodeState* Core::PickSpare(const ServiceState& service) {
  NodeState* best = nullptr;
  int best_fitness = 0;
  for (NodeState* node : Candidates(service)) {
    if (node->name == service.owner) continue;
    const int fitness = Fitness(service, *node);
    if (fitness > best_fitness) {
      best = node;
      best_fitness = fitness;
    }
  }
  return best;
}

// Takes the spare of a service that needs it less: for a forecast one that is not at risk and whose spare does not
// mirror yet; for a failure any that is not at risk, then any that does not mirror. Serving comes before standing by,
// so a first start takes one that merely stands by, but not before it is certain that no node is free for it.
NodeState* Core::Preempt(const ServiceState& service, Need need) {
  if (need == Need::kFirstStart) {
    if (SpareToBeHad(service)) return nullptr;
    for (const std::string& name : unclaimed_) {
      if (const NodeState& node = nodes_.at(name); !node.heard && !Missing(node)) return nullptr;  // WatchNodes wakes
    }
  }
  ServiceState* victim = nullptr;
  int victim_cost = 0;
  for (auto& [name, other] : services_) {
    if (&other == &service || other.plan.spare.empty() || other.plan_foreign) continue;
    if (other.plan.move.kind != MoveKind::kNone) continue;
    NodeState& node = Node(other.plan.spare);
    if (!node.AppUp() || !RunsProgramOf(node, service.spec) || !Carries(node, service.spec)) continue;
    const bool mirrors = node.report.app.role >= AppRole::kMirroring;
    const bool at_risk = other.risk.level() != RiskLevel::kNone;
    if (need == Need::kFirstStart && (at_risk || other.switch_wanted != 0)) continue;
    if (mirrors && (at_risk || need == Need::kForecast)) continue;
    const policy::Assessment& its = other.risk.assessment();
    if (need == Need::kForecast && !policy::MayPreempt(service.risk.assessment(), its, mirrors)) continue;
    const int cost = (at_risk ? 2 : 0) + (mirrors ? 1 : 0) + 1;
    const bool gains_less = victim != nullptr && cost == victim_cost && at_risk &&
                            policy::RanksBefore(victim->risk.assessment(), victim->spec.name, its, name);
    if (victim == nullptr || cost < victim_cost || gains_less) {
      victim = &other;
      victim_cost = cost;
    }
  }
  if (victim == nullptr) return nullptr;
  NodeState& node = Node(victim->plan.spare);
  Unassign(*victim, "spare_preempted", service.spec.name + " needs it more");
  return &node;
}

void Core::SendStart(NodeState& node, const ServiceSpec& spec) {
  ServiceState* service = FindService(spec.name);
  Command command = MakeCommand(CommandKind::kStartApp, *service);
  command.log = LogId();
  command.program = spec.program;
  command.arguments = spec.arguments;
  command.environment = spec.environment;
  command.memory_limit_bytes = spec.memory_limit_bytes;
  node.started_program = spec.program;
  Ensure(node, std::move(command), options_.command_retry_ms);
}

void Core::SendStop(NodeState& node, const std::string& service, int64_t grace_ms) {
  Command command;
  command.kind = CommandKind::kStopApp;
  command.service = service;
  command.cluster = options_.cluster;
  command.grace_ms = grace_ms;
  Ensure(node, std::move(command), grace_ms + options_.command_retry_ms);
}

void Core::FillPool() {
  // One entry a distinct program that wants WARM processes, by its first service.
  std::map<int, const ServiceSpec*> programs;
  std::vector<const ServiceState*> waiting;  // for a node, pausing between tries
  for (const auto& [name, service] : services_) {
    if (service.plan.move.kind != MoveKind::kNone && service.plan.move.to.empty()) waiting.push_back(&service);
    if (!service.spec.warm || service.spec.removed || service.plan_foreign) continue;
    programs.emplace(service.program_id, &service.spec);
  }
  std::map<const ServiceSpec*, int> warm;
  for (const auto& [id, spec] : programs) warm[spec] = 0;
  for (const std::string& name : unclaimed_) {
    const NodeState& node = nodes_.at(name);
    if (!node.HasProcess()) continue;
    const auto runs = services_.find(node.report.process_service);
    if (runs == services_.end()) continue;
    const auto it = programs.find(runs->second.program_id);
    if (it != programs.end()) ++warm[it->second];
  }
  for (const std::string& name : unclaimed_) {
    NodeState& node = nodes_.at(name);
    if (!node.alive) continue;
    if (node.HasProcess()) {
      // A WARM process of a service that is gone and whose program nobody else has.
      const bool orphan = services_.count(node.report.process_service) == 0 && !node.report.process_service.empty();
      if (orphan && node.AppUp() && node.report.app.service.empty()) {
        SendStop(node, node.report.process_service, 5000);
      }
      continue;
    }
    bool awaited = false;  // by a service that has no node and only pauses between tries
    for (const ServiceState* service : waiting) {
      auto it = node.tries.find(service->spec.program);
      awaited |= Carries(node, service->spec) && (it == node.tries.end() || !it->second.gave_up);
    }
    if (awaited) continue;
    const ServiceSpec* choice = nullptr;
    for (const auto& [spec, count] : warm) {
      if (!Carries(node, *spec)) continue;
      if (!CanStart(node, *spec)) {
        auto it = node.tries.find(spec->program);
        if (it != node.tries.end() && !it->second.gave_up) Wake(it->second.not_before);
        continue;
      }
      if (choice == nullptr || count < warm[choice] || (count == warm[choice] && spec->name < choice->name)) {
        choice = spec;
      }
    }
    if (choice == nullptr) continue;
    ++warm[choice];
    SendStart(node, *choice);
  }
}

// A service's processes are stopped before it goes, but for those on nodes that were not heard then. Its log stays, and
// tells a service that was removed from one that these metadata never knew.
void Core::StopRemoved(NodeState& node) {
  const AppReport& app = node.report.app;
  const auto log = logs_.find(app.log.value());
  if (log == logs_.end() || log->second.chain.name != app.service || unreadable_specs_.count(app.service) > 0) return;
  SendStop(node, node.report.process_service, 5000);
}

void Core::TidyStrays() {
  for (auto& [name, node] : nodes_) {
    if (!node.AppUp() || node.report.app.service.empty()) continue;
    const AppReport& app = node.report.app;
    ServiceState* service = FindService(app.service);
    if (service == nullptr) StopRemoved(node);
    if (service == nullptr || service->plan_foreign || service->spec.removed) continue;
    const Move& move = service->plan.move;
    if (service->plan.spare == name || service->owner == name) continue;
    if (move.kind != MoveKind::kNone && (move.to == name || move.from == name)) continue;
    if (app.role == AppRole::kPrimary && app.epoch < service->epoch) {
      SendStop(node, app.service, service->spec.stop_grace_ms);  // deposed; the replicas refuse it already
    } else if (app.role >= AppRole::kLoading && app.role <= AppRole::kMirroring) {
      Forget(node, app.service, CommandKind::kFollow);
      Forget(node, app.service, CommandKind::kPrepare);
      Ensure(node, MakeCommand(CommandKind::kRelease, *service), options_.command_retry_ms);
    }
  }
}

}  // namespace understudy::coordinator

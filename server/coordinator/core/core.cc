#include "server/coordinator/core/core.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "understudy/check.h"

namespace understudy::coordinator {

Core::Core(CoreOptions options) : options_(std::move(options)), addresses_(options_.addresses) {
  settings_.brake_percent = options_.brake_percent;
}

void Core::Step(const Input& input, Instant now, Effects* out) {
  now_ = now;
  unix_ms_ = input.unix_ms;
  out_ = out;
  out_->wake_at = Instant::Never();
  touched_.clear();
  if (!std::holds_alternative<NodeReported>(input.what) && !std::holds_alternative<ForecastsArrived>(input.what)) {
    look_at_all_ = true;
  }
  std::visit([this](const auto& what) { On(what); }, input.what);
  if (loaded_) Reconcile();
  out_ = nullptr;
}

// In a small cluster all is looked at after each input. In a large one what the input concerns is looked at, at once;
// and everything when it may concern others too (a node came free, a risk rose, a time has come), but not at once
// again.
void Core::Reconcile() {
  const bool large = services_.size() + nodes_.size() > options_.look_at_all_max;
  look_at_all_ |= now_ >= all_due_;
  if (!large || (look_at_all_ && now_ >= all_not_before_)) {
    look_at_all_ = false;
    LookAtAll();
    all_due_ = out_->wake_at;
    all_not_before_ = now_ + options_.look_at_all_pause_ms * kNsPerMs;
  } else {
    std::vector<ServiceState*> services;
    for (const std::string& name : touched_) {
      if (ServiceState* service = FindService(name)) services.push_back(service);
    }
    for (ServiceState* service : services) {
      if (service->spec.removed || service->plan_foreign) continue;
      const policy::Rung before = service->risk.rung();
      Assess(*service);
      RecordRisk(*service);
      LookAt(*service);
      if (service->risk.rung() == before) {  // else who comes first is decided among all
        Climb(*service);
      } else {
        look_at_all_ = true;
      }
      Reclaim(*service);
      WritePlan(*service);
    }
    all_due_ = std::min(all_due_, out_->wake_at);
  }
  if (look_at_all_ && large) Wake(all_not_before_);
  Wake(all_due_);
}

void Core::LookAtAll() {
  ++looks_at_all_;
  for (auto& [name, service] : services_) Reclaim(service);
  WatchNodes();
  CountFleet();
  std::vector<ServiceState*> ranked;
  std::vector<ServiceState*> leaving;
  for (auto& [name, service] : services_) {
    Assess(service);
    if (service.plan_foreign) {
      const Instant due = service.plan_foreign_since + options_.takeover_timeout_ms * kNsPerMs;
      if (now_ < due) {
        Wake(due);
        continue;
      }
      Record("plan_adopted", name, "",
             "the plan of coordinator '" + service.plan.coordinator + "' has a higher term, but did not advance");
      service.plan_foreign = false;
      service.plan_dirty = true;
      service.step_began = now_;
    }
    (service.spec.removed ? leaving : ranked).push_back(&service);
  }
  for (auto& [name, service] : services_) RecordRisk(service);
  EvaluateBrake();
  for (ServiceState* service : ranked) {
    LookAt(*service);
    Reclaim(*service);
  }
  // Spares go to those at risk first, who gain most by one before others, then to those that merely want one.
  const auto at_risk = [](const ServiceState* service) { return service->risk.level() != RiskLevel::kNone; };
  std::stable_sort(ranked.begin(), ranked.end(), [&](const ServiceState* a, const ServiceState* b) {
    if (at_risk(a) != at_risk(b)) return at_risk(a);
    return at_risk(a) && policy::RanksBefore(a->risk.assessment(), a->spec.name, b->risk.assessment(), b->spec.name);
  });
  for (ServiceState* service : ranked) {
    Climb(*service);
    Reclaim(*service);
  }
  for (ServiceState* service : leaving) AdvanceRemoval(*service);
  TidyStrays();
  FillPool();
  for (auto& [name, service] : services_) WritePlan(service);
}

// Its move, or whether it needs one.
void Core::LookAt(ServiceState& service) {
  AdvanceRestarts(service);
  WatchAcceptedLoss(service);
  TellChain(service);
  if (service.plan.move.kind != MoveKind::kNone) {
    AdvanceMove(service);
  } else if (service.epoch.value() == 0) {
    StartFirst(service);
  } else {
    std::string why;
    if (Judge(service, &why) == Verdict::kGone) StartUnplanned(service, why);
  }
}

void Core::On(const HistoryRestored& in) {
  for (const MoveRecord& move : in.moves) {
    moves_.push_back(move);
    if (moves_.size() > options_.moves_max) moves_.pop_front();
  }
  for (const auto& [name, decision] : in.decisions) {
    if (ServiceState* service = FindService(name)) Remember(service, decision);
  }
}

void Core::WatchNodes() {
  for (auto& [name, node] : nodes_) {
    if (!node.heard) {
      Wake(loaded_at_ + std::max(options_.node_timeout_ms, options_.grace_ms) * kNsPerMs);
      continue;
    }
    const bool alive = now_ - node.last_heard < options_.node_timeout_ms * kNsPerMs;
    if (alive != node.alive) {
      node.alive = alive;
      if (!alive) Record("node_missing", "", name, "not heard for " + std::to_string(options_.node_timeout_ms) + " ms");
    }
    if (!alive) continue;
    Wake(node.last_heard + options_.node_timeout_ms * kNsPerMs);
    if (!node.HasProcess() || node.report.has_app) {
      node.app_lost_at = Instant::Never();
      continue;
    }
    if (node.app_lost_at == Instant::Never()) node.app_lost_at = now_;
    // A process nobody needs at once that never became an application, or no longer answers, is replaced.
    bool needed = false;
    if (const auto it = claims_.find(name); it != claims_.end() && node.app_seen) {
      for (const Claim& claim : it->second) needed |= claim.owns;
    }
    const int64_t patience_ms = node.app_seen ? options_.stable_ms : options_.start_timeout_ms;
    const Instant due = node.app_lost_at + patience_ms * kNsPerMs;
    if (needed || node.report.process_service.empty()) continue;
    if (now_ < due) {
      Wake(due);
      continue;
    }
    node.start_timed_out = !node.app_seen;
    SendStop(node, node.report.process_service, 0);
  }
}

void Core::RecordNode(NodeState& node) {
  std::vector<std::string> labels = node.report.labels;
  std::string value = nlohmann::json({{"node", node.name}, {"address", node.report.address}, {"labels", labels}})
                          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (value == node.recorded || node.writing || !loaded_) return;
  node.writing = true;
  out_->writes.push_back({MetadataKind::kNode, node.name, node.version, value});
  node.recorded = std::move(value);
}

void Core::WritePlan(ServiceState& service) {
  if (!service.plan_dirty || service.plan_writing || service.plan_foreign) return;
  const std::string& name = service.spec.name;
  service.plan.service = name;
  service.plan.coordinator = options_.name;
  service.plan.term = term_;
  service.plan.timings = service.measured;
  service.plan_dirty = false;
  service.plan_writing = true;
  out_->writes.push_back({MetadataKind::kPlan, name, service.plan_version, EncodePlan(service.plan)});
}

NodeState& Core::Node(const std::string& name) {
  NodeState& node = nodes_[name];
  if (node.name.empty()) {
    node.name = name;
    unclaimed_.insert(name);
  }
  return node;
}

ServiceState* Core::FindService(const std::string& name) {
  auto it = services_.find(name);
  return it == services_.end() ? nullptr : &it->second;
}

bool Core::Missing(const NodeState& node) const {
  if (node.heard) return !node.alive;
  return now_ - loaded_at_ >= std::max(options_.node_timeout_ms, options_.grace_ms) * kNsPerMs;
}

// What may be taken for a move of `service`: nodes that nobody uses, and its own; by name.
std::vector<NodeState*> Core::Candidates(const ServiceState& service) {
  std::set<std::string> own;
  for (const std::string& name : {service.owner, service.plan.spare, service.plan.move.to, service.plan.move.from}) {
    if (!name.empty() && unclaimed_.count(name) == 0) own.insert(name);
  }
  std::vector<NodeState*> out;
  out.reserve(unclaimed_.size() + own.size());
  auto mine = own.begin();
  for (const std::string& name : unclaimed_) {
    for (; mine != own.end() && *mine < name; ++mine) out.push_back(&Node(*mine));
    out.push_back(&nodes_.at(name));
  }
  for (; mine != own.end(); ++mine) out.push_back(&Node(*mine));
  return out;
}

std::vector<std::string> Core::ServicesOwnedBy(const std::string& node) const {
  std::vector<std::string> out;
  const auto it = claims_.find(node);
  if (it == claims_.end()) return out;
  for (const Claim& claim : it->second) {
    if (claim.owns) out.push_back(claim.service->spec.name);
  }
  return out;
}

int64_t Core::Pause(int failures, int64_t first_ms) const {
  if (failures <= 1) return 0;
  const int shift = std::min(failures - 2, 20);
  return std::min(options_.pause_ms_max, first_ms << shift);
}

void Core::Remember(ServiceState* service, Decision decision) {
  service->decisions.push_back(std::move(decision));
  if (service->decisions.size() > options_.decisions_max) service->decisions.pop_front();
}

Event& Core::Record(std::string kind, const std::string& service, const std::string& node, std::string text) {
  if (ServiceState* known = FindService(service)) Remember(known, {unix_ms_, kind, node, text});
  out_->events.push_back({std::move(kind), service, node, std::move(text), {}});
  return out_->events.back();
}

void Core::Reply(uint64_t token, StatusCode code, std::string detail, std::string document) {
  if (token != 0) out_->answers.push_back({token, code, std::move(detail), std::move(document)});
}

void Core::AddForecast(Event* event, const ServiceState& service) const {
  const Forecast& forecast = service.risk.forecast();
  event->details.emplace_back("predictor", forecast.predictor);
  event->details.emplace_back("predictor_version", forecast.version);
  event->details.emplace_back("probability", forecast.probability);
  event->details.emplace_back("confidence", forecast.confidence);
  event->details.emplace_back("horizon_s", static_cast<double>(forecast.horizon_ms) / 1000);
  if (forecast.has_ttf) event->details.emplace_back("ttf_p50_s", forecast.ttf_p50_s);
  event->details.emplace_back("reason", forecast.reason);
  const policy::Assessment& assessed = service.risk.assessment();
  event->details.emplace_back("rung", std::string(policy::RungName(assessed.memory.rung)));
  if (assessed.memory.rung == policy::Rung::kNormal) return;
  const policy::RungGain& gain = assessed.rungs[static_cast<size_t>(assessed.memory.rung)];
  event->details.emplace_back("ready", gain.ready);
  event->details.emplace_back("cost", gain.cost);
  event->details.emplace_back("lambda", gain.lambda);
  event->details.emplace_back("gain", gain.gain);
}

}  // namespace understudy::coordinator

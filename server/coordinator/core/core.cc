#include "server/coordinator/core/core.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "understudy/check.h"

namespace understudy::coordinator {

Core::Core(CoreOptions options) : options_(std::move(options)), addresses_(options_.addresses) {}

void Core::Step(const Input& input, Instant now, Effects* out) {
  now_ = now;
  unix_ms_ = input.unix_ms;
  out_ = out;
  out_->wake_at = Instant::Never();
  std::visit([this](const auto& what) { On(what); }, input.what);
  if (loaded_) Reconcile();
  out_ = nullptr;
}

void Core::Reconcile() {
  WatchNodes();
  std::vector<ServiceState*> ranked;
  std::vector<ServiceState*> leaving;
  for (auto& [name, service] : services_) {
    service.risk.Advance(service.spec.policy, now_);
    Wake(service.risk.next());
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
  EvaluateBrake();
  for (ServiceState* service : ranked) {
    AdvanceRestarts(*service);
    WatchAcceptedLoss(*service);
    TellChain(*service);
    if (service->plan.move.kind != MoveKind::kNone) {
      AdvanceMove(*service);
    } else if (service->epoch.value() == 0) {
      StartFirst(*service);
    } else {
      std::string why;
      if (Judge(*service, &why) == Verdict::kGone) StartUnplanned(*service, why);
    }
  }
  // Spares go to those at risk first, the likeliest failure before others, then to those that merely want one.
  std::stable_sort(ranked.begin(), ranked.end(), [](const ServiceState* a, const ServiceState* b) {
    if (a->risk.level() != b->risk.level()) return a->risk.level() > b->risk.level();
    return a->risk.level() != RiskLevel::kNone && a->risk.forecast().probability > b->risk.forecast().probability;
  });
  for (ServiceState* service : ranked) Climb(*service);
  for (ServiceState* service : leaving) AdvanceRemoval(*service);
  TidyStrays();
  FillPool();
  WritePlans();
}

void Core::On(const MovesRestored& in) {
  for (const MoveRecord& move : in.moves) {
    moves_.push_back(move);
    if (moves_.size() > options_.moves_max) moves_.pop_front();
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
    for (const auto& [other, service] : services_) needed |= service.owner == name && node.app_seen;
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

void Core::WritePlans() {
  for (auto& [name, service] : services_) {
    if (!service.plan_dirty || service.plan_writing || service.plan_foreign) continue;
    service.plan.service = name;
    service.plan.coordinator = options_.name;
    service.plan.term = term_;
    service.plan_dirty = false;
    service.plan_writing = true;
    out_->writes.push_back({MetadataKind::kPlan, name, service.plan_version, EncodePlan(service.plan)});
  }
}

NodeState& Core::Node(const std::string& name) {
  NodeState& node = nodes_[name];
  if (node.name.empty()) node.name = name;
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

int64_t Core::Pause(int failures, int64_t first_ms) const {
  if (failures <= 1) return 0;
  const int shift = std::min(failures - 2, 20);
  return std::min(options_.pause_ms_max, first_ms << shift);
}

Event& Core::Record(std::string kind, const std::string& service, const std::string& node, std::string text) {
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
}

}  // namespace understudy::coordinator

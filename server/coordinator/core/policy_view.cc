// What the policy is told: how far each spare is, what loads and replays took, how many spares there are.
#include <algorithm>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

constexpr double kSmoothing = 0.3;  // of a measurement into what was measured before

void Learn(double* known, double value) {
  if (value >= 0) *known = *known < 0 ? value : *known + kSmoothing * (value - *known);
}

}  // namespace

// Called with each report: the steps of a spare, timed as they are heard.
void Core::MeasureNode(NodeState& node, const AgentReport& before) {
  const AgentReport& report = node.report;
  if (!report.has_app) return;
  const AppReport& app = report.app;
  const auto ms_since = [&](Instant from) { return static_cast<double>(now_ - from) / kNsPerMs; };
  if (!before.has_app && node.app_seen == false && before.process != ProcessState::kNone) {
    if (ServiceState* service = FindService(report.process_service)) {
      Learn(&service->measured.start_ms, ms_since(node.started_at));
    }
  }
  ServiceState* service = FindService(app.service);
  const bool same = before.has_app && before.app.service == app.service;
  const AppRole from = same ? before.app.role : AppRole::kWarm;
  if (service != nullptr && same && from == AppRole::kLoading && app.role == AppRole::kReplaying &&
      node.role_since != Instant::Never()) {
    Learn(&service->measured.load_ms, ms_since(node.role_since));
  }
  if (service != nullptr && same && from == AppRole::kReplaying && !before.app.caught_up && app.caught_up &&
      node.role_since != Instant::Never() && app.applied > node.role_applied) {
    // Too few records say how long a report takes, not how long a record does.
    constexpr uint64_t kRecordsMin = 1000;
    const double ms = std::max(1.0, ms_since(node.role_since));
    const uint64_t records = app.applied - node.role_applied;
    if (records >= kRecordsMin) Learn(&service->measured.replay_per_s, static_cast<double>(records) / ms * 1000);
  }
  if (!same || from != app.role) {
    node.role_since = before.has_app ? now_ : Instant::Never();  // one found at it has begun nobody knows when
    node.role_applied = app.applied;
  }
  if (service != nullptr && app.role == AppRole::kPrimary && service->owner == node.name) {
    Measured& measured = service->measured;
    if (measured.append_from != Instant::Never() && app.applied >= measured.append_lsn &&
        now_ - measured.append_from >= kNsPerSecond) {
      const double rate =
          static_cast<double>(app.applied - measured.append_lsn) / ms_since(measured.append_from) * 1000;
      ++measured.append_looks;
      measured.append_per_s += kSmoothing * (rate - measured.append_per_s);
      measured.append_from = now_;
      measured.append_lsn = app.applied;
    } else if (measured.append_from == Instant::Never() || app.applied < measured.append_lsn) {
      measured.append_from = now_;
      measured.append_lsn = app.applied;
    }
  }
}

policy::SpareWork Core::WorkLeft(const ServiceState& service) const {
  policy::SpareWork work;
  const Measured& measured = service.measured;
  work.start_ms = measured.start_ms;
  work.load_ms = measured.load_ms;
  work.replay_per_s = measured.replay_per_s;
  work.append_per_s = measured.append_per_s;
  work.switch_ms = measured.switch_ms;
  Lsn holds = service.checkpoint_lsn;
  work.state = service.spec.warm ? policy::SpareState::kWarm : policy::SpareState::kCold;
  const auto it = service.plan.spare.empty() ? nodes_.end() : nodes_.find(service.plan.spare);
  if (it != nodes_.end()) {
    const NodeState& node = it->second;
    work.state = node.HasProcess() ? policy::SpareState::kWarm : policy::SpareState::kCold;
    if (node.AppUp() && node.report.app.service == service.spec.name) {
      if (node.report.app.role == AppRole::kLoading) work.state = policy::SpareState::kLoading;
      if (node.report.app.role == AppRole::kReplaying) work.state = policy::SpareState::kReplaying;
      if (node.report.app.role >= AppRole::kMirroring) work.state = policy::SpareState::kMirroring;
      if (node.report.app.role >= AppRole::kReplaying) holds = node.report.app.applied;
    }
  }
  work.behind = service.primary_last > holds ? static_cast<double>(service.primary_last - holds) : 0;
  return work;
}

void Core::Assess(ServiceState& service) {
  policy::ServiceInput& input = service.risk.input();
  const std::string& name = service.spec.name;
  const Plan& plan = service.plan;
  const auto it = plan.spare.empty() ? nodes_.end() : nodes_.find(plan.spare);
  input.has_spare = it != nodes_.end();
  input.spare_mirrors =
      input.has_spare && it->second.AppIs(AppRole::kMirroring, name) && it->second.report.app.caught_up;
  input.spare_fixed = input.has_spare && it->second.AppUp() && it->second.report.app.service == name &&
                      it->second.report.app.role >= AppRole::kMirroring;
  input.move_under_way = plan.move.kind != MoveKind::kNone;
  input.cooldown_until_ms = service.cooldown_until.ns() / kNsPerMs;
  input.restart_cooldown_until_ms = service.restart_cooldown_until.ns() / kNsPerMs;
  if (service.measured.checkpoint_ms >= 0) input.checkpoint_ms = static_cast<int64_t>(service.measured.checkpoint_ms);
  input.ready = policy::EstimateReadiness(WorkLeft(service));
  service.risk.Advance(fleet_, settings_, now_);
  Wake(service.risk.next());
}

policy::Permit Core::Allowed(const ServiceState& service) const {
  return policy::Allow(service.risk.input(), service.risk.assessment(), fleet_, settings_, now_.ns() / kNsPerMs,
                       unix_ms_);
}

// Before each look at all services.
void Core::CountFleet() {
  fleet_ = policy::FleetView();
  rejuvenating_ = 0;
  for (const auto& [name, service] : services_) {
    if (service.spec.removed) continue;
    ++fleet_.services;
    rejuvenating_ += Rejuvenates(service) ? 1 : 0;
    if (service.risk.level() != RiskLevel::kNone) ++fleet_.at_risk;
  }
  for (const auto& [name, node] : nodes_) {
    if (!node.alive) continue;
    bool primary = false, taken = false;
    if (const auto it = claims_.find(name); it != claims_.end()) {
      for (const Claim& claim : it->second) {
        taken = true;
        primary |= claim.owns;
      }
    }
    if (!primary) ++fleet_.spares;
    if (!taken) ++fleet_.spares_free;
  }
}

// Who uses which node, kept so that it need not be searched for.
void Core::Reclaim(ServiceState& service) {
  std::vector<std::pair<std::string, Claim>> wanted;
  const auto want = [&](const std::string& node, bool owns, bool restarts) {
    if (node.empty()) return;
    for (auto& [name, claim] : wanted) {
      if (name != node) continue;
      claim.owns |= owns;
      claim.restarts |= restarts;
      return;
    }
    wanted.emplace_back(node, Claim{&service, owns, restarts});
  };
  const Plan& plan = service.plan;
  want(service.owner, true, false);
  want(plan.spare, false, false);
  if (plan.move.kind != MoveKind::kNone) {
    want(plan.move.to, false, false);
    want(plan.move.from, false, false);
  }
  for (const Restart& restart : plan.restarts) want(restart.node, false, true);
  if (wanted == service.claims) return;
  Unclaim(service);
  for (const auto& [name, claim] : wanted) {
    Node(name);
    claims_[name].push_back(claim);
    unclaimed_.erase(name);
  }
  service.claims = std::move(wanted);
  look_at_all_ = true;
}

void Core::Unclaim(ServiceState& service) {
  for (const auto& [name, claim] : service.claims) {
    std::vector<Claim>& claims = claims_[name];
    claims.erase(
        std::remove_if(claims.begin(), claims.end(), [&](const Claim& one) { return one.service == &service; }),
        claims.end());
    if (!claims.empty()) continue;
    claims_.erase(name);
    unclaimed_.insert(name);
  }
  service.claims.clear();
}

}  // namespace understudy::coordinator

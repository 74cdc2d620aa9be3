// Scheduled rejuvenation: a process that has served long enough hands over to a spare, and is restarted for the pool.
// Never without a spare that mirrors; never before what forecasts want.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"
#include "server/coordinator/core/reasons.h"

namespace understudy::coordinator {
namespace {

constexpr int kLoadLooksMin = 10;  // a second apart: fewer say little of the load

}  // namespace

bool Core::Rejuvenates(const ServiceState& service) const {
  return service.plan.spare_reason == kRejuvenation || service.plan.move.reason.starts_with(kRejuvenation);
}

// Its process begins to serve: the time until the next exchange runs from here. In the plan, for the next leader.
void Core::NoteFresh(ServiceState& service) {
  service.plan.fresh_unix_ms = std::max<int64_t>(1, unix_ms_);  // 0: not known
  service.plan_dirty = true;
}

policy::RejuvenationInput Core::RejuvenationView(const ServiceState& service) const {
  policy::RejuvenationInput in;
  const policy::ServiceInput& risk = service.risk.input();
  in.rejuvenation = service.spec.rejuvenation;
  in.windows = service.spec.policy.windows;
  in.dry_run = service.spec.policy.dry_run;
  in.fresh_unix_ms = service.plan.fresh_unix_ms;
  in.has_spare = !service.plan.spare.empty();
  const bool due = in.fresh_unix_ms > 0 && unix_ms_ >= in.fresh_unix_ms + in.rejuvenation.every_s * 1000;
  in.spare_fits = due && std::any_of(unclaimed_.begin(), unclaimed_.end(), [&](const std::string& name) {
    return Fitness(service, nodes_.at(name)) > 0;
  });
  in.spare_mirrors = risk.spare_mirrors && in.has_spare;
  in.prepares = Rejuvenates(service);
  in.others = rejuvenating_;
  in.at_risk = service.risk.level() != RiskLevel::kNone;
  in.move_under_way = service.plan.move.kind != MoveKind::kNone || service.switch_wanted != 0;
  in.cooling = now_ < service.rejuvenate_not_before;
  in.append_known = service.measured.append_looks >= kLoadLooksMin;
  in.append_per_s = service.measured.append_per_s;
  return in;
}

// Decided once a look, before the spares are given out.
void Core::ConsiderRejuvenation(ServiceState& service) {
  if (service.spec.rejuvenation.every_s <= 0) {
    service.rejuvenation = {};
    return;
  }
  if (service.plan.fresh_unix_ms == 0) NoteFresh(service);  // it served before this was asked for
  if (!Rejuvenates(service)) {
    service.rejuvenation_began = Instant::Never();
  } else if (service.rejuvenation_began == Instant::Never()) {
    service.rejuvenation_began = now_;
  } else if (Passed(service.rejuvenation_began, options_.switch_prepare_timeout_ms)) {
    RejuvenationFailed(service, service.plan.spare + " has not caught up in time");
  }
  service.rejuvenation = policy::AllowRejuvenation(RejuvenationView(service), fleet_, settings_, unix_ms_);
  std::string held;
  for (const policy::Hold hold : service.rejuvenation.holds) {
    if (hold == policy::Hold::kMoving || hold == policy::Hold::kTurn) continue;  // over in a moment
    held += (held.empty() ? "" : " ") + std::string(policy::HoldName(hold));
  }
  if (held == service.rejuvenation_held_recorded) return;
  service.rejuvenation_held_recorded = held;
  if (!held.empty()) Record("rejuvenation_held", service.spec.name, service.owner, "it is due, and held by " + held);
}

void Core::StartRejuvenation(ServiceState& service) {
  const int64_t served_s = (unix_ms_ - service.plan.fresh_unix_ms) / 1000;
  StartPlanned(service, std::string(kRejuvenation) + ": its process has served for " + std::to_string(served_s) + " s", false,
               0);
}

void Core::RejuvenationFailed(ServiceState& service, const std::string& why) {
  service.rejuvenate_not_before = now_ + options_.rejuvenate_pause_ms * kNsPerMs;
  service.rejuvenation_began = Instant::Never();
  Record("rejuvenation_given_up", service.spec.name, service.owner,
         why + "; the next attempt is in " + std::to_string(options_.rejuvenate_pause_ms / 1000) + " s");
}

}  // namespace understudy::coordinator

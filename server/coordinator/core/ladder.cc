// The policy ladder: what forecasts (and the wish for a hot standby) lead to, and the brakes on it.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

constexpr int64_t kMirrorRetryMs = 500;

}  // namespace

void Core::EvaluateBrake() {
  int all = 0;
  int at_risk = 0;
  std::string names;
  for (auto& [name, service] : services_) {
    if (service.spec.removed) continue;
    ++all;
    const RiskLevel level = service.risk.level();
    if (level != RiskLevel::kNone) {
      ++at_risk;
      names += (names.empty() ? "" : ", ") + name;
    }
    if (level == service.risk_recorded || service.plan_foreign) continue;
    const bool raised = level > service.risk_recorded;
    Event& event = Record(raised ? "risk_raised" : "risk_receded", name, service.owner,
                          level == RiskLevel::kSwitch   ? "likely to fail: a switch is wanted"
                          : level == RiskLevel::kAssign ? "may fail: a spare is wanted"
                                                        : "no longer at risk");
    AddForecast(&event, service);
    service.risk_recorded = level;
    if (level == RiskLevel::kNone && service.plan.move.kind == MoveKind::kNone) {
      out_->feedback.push_back({name, OutcomeKind::kQuiet, -1});
    }
  }
  const bool brake = all >= 3 && at_risk >= 2 && at_risk * 100 > options_.brake_percent * all;
  if (brake == braked_) return;
  braked_ = brake;
  Event& event = brake ? Record("brake_on", "", "",
                                "too many services look at risk at once (a bad predictor or a common cause): predicted "
                                "actions are held: " +
                                    names)
                       : Record("brake_off", "", "", "predicted actions go on");
  event.details.emplace_back("at_risk", int64_t{at_risk});
  event.details.emplace_back("services", int64_t{all});
  event.details.emplace_back("brake_percent", int64_t{options_.brake_percent});
}

void Core::Climb(ServiceState& service) {
  const std::string& name = service.spec.name;
  Plan& plan = service.plan;
  AdvanceSwitchover(service);
  if (plan.move.kind != MoveKind::kNone) return;
  NodeState& primary = Node(service.owner);
  if (service.epoch.value() == 0 || !primary.AppIs(AppRole::kPrimary, name)) return;

  if (!plan.spare.empty() && plan.spare == service.owner) {
    plan.spare.clear();
    service.plan_dirty = true;
  }
  const bool at_risk = service.risk.level() != RiskLevel::kNone;
  // An earlier coordinator's reason may still be there: its forecasts are not known here, so it has the dwell time.
  const Instant inherited_until = loaded_at_ + service.spec.policy.dwell_ms * kNsPerMs;
  const bool inherited = !plan.spare.empty() && service.risk.forecast().predictor.empty() && now_ < inherited_until;
  if (inherited) Wake(inherited_until);
  const bool wanted = service.spec.standby || at_risk || inherited || service.switch_wanted != 0;
  if (!plan.spare.empty()) {
    NodeState& spare = Node(plan.spare);
    if (Missing(spare)) {
      Unassign(service, "spare_lost", "node " + spare.name + " is missing");
    } else if (spare.alive && !spare.HasProcess() && !CanStart(spare, service.spec)) {
      Unassign(service, "spare_lost", "its process ended: " + spare.report.exit_reason);
    } else if (!wanted) {
      Unassign(service, "spare_released", "the risk receded");
    } else {
      DriveSpare(service, primary);
    }
  }
  AdvanceSwitchover(service);
  if (plan.move.kind != MoveKind::kNone) return;
  const bool asked_for = service.switch_wanted != 0;
  const bool needs_one = service.spec.standby || asked_for || (at_risk && !PredictionsHeld());
  if (plan.spare.empty() && needs_one) {
    NodeState* spare = PickSpare(service);
    if (spare == nullptr && at_risk && !PredictionsHeld()) spare = Preempt(service, false);
    if (spare != nullptr) {
      plan.spare = spare->name;
      plan.spare_reason = at_risk ? "forecast" : asked_for ? "switchover" : "standby";
      service.plan_dirty = true;
      service.no_spare_recorded = false;
      Event& event = Record("spare_assigned", name, spare->name,
                            at_risk     ? "forecast: " + service.risk.forecast().reason
                            : asked_for ? "for a switchover that an operator asked for"
                                        : "the service asks for a standby");
      event.details.emplace_back("fitness", int64_t{Fitness(service, *spare)});
      if (at_risk) AddForecast(&event, service);
      DriveSpare(service, primary);
    } else if (at_risk && !service.no_spare_recorded) {
      service.no_spare_recorded = true;
      AddForecast(&Record("no_spare", name, service.owner, "at risk, and no spare is free"), service);
    }
  }
  if (!at_risk) service.no_spare_recorded = false;
  DriveCheckpoints(service, primary);
  if (service.risk.level() != RiskLevel::kSwitch || PredictionsHeld() || plan.spare.empty()) return;
  if (now_ < service.cooldown_until) {
    Wake(service.cooldown_until);
    return;
  }
  const NodeState& spare = Node(plan.spare);
  if (spare.AppIs(AppRole::kMirroring, name) && spare.report.app.caught_up) {
    StartPlanned(service, "forecast: " + service.risk.forecast().reason, true, 0);
  }
}

// One rung after the other, each from what the spare reports: process, FOLLOW, MIRROR_TO.
void Core::DriveSpare(ServiceState& service, NodeState& primary) {
  NodeState& spare = Node(service.plan.spare);
  if (!spare.alive) return;
  if (!spare.HasProcess()) {
    SendStart(spare, service.spec);
    return;
  }
  if (!RunsProgramOf(spare, service.spec)) {
    SendStop(spare, spare.report.process_service, service.spec.stop_grace_ms);
    return;
  }
  if (!spare.AppUp()) return;
  const AppReport& app = spare.report.app;
  if (!app.service.empty() && app.service != service.spec.name) {
    if (ServiceState* other = FindService(app.service)) {
      Ensure(spare, MakeCommand(CommandKind::kRelease, *other), options_.command_retry_ms);
    }
    return;
  }
  if (app.role == AppRole::kWarm) {
    Forget(spare, service.spec.name, CommandKind::kRelease);
    Ensure(spare, MakeCommand(CommandKind::kFollow, service), options_.command_retry_ms);
  } else if (app.role == AppRole::kReplaying && app.caught_up && !app.mirror_address.empty()) {
    Command command = MakeCommand(CommandKind::kMirrorTo, service);
    command.epoch = service.epoch;
    command.node = spare.name;
    command.address = app.mirror_address;
    Ensure(primary, std::move(command), kMirrorRetryMs);
  }
}

void Core::Unassign(ServiceState& service, const std::string& kind, const std::string& why) {
  const std::string& name = service.spec.name;
  NodeState& spare = Node(service.plan.spare);
  NodeState& primary = Node(service.owner);
  AddForecast(&Record(kind, name, spare.name, why), service);
  service.plan.spare.clear();
  service.plan.spare_reason.clear();
  service.plan_dirty = true;
  if (auto it = primary.sent.find({name, CommandKind::kMirrorTo});
      it != primary.sent.end() && !it->second.command.address.empty() && primary.AppIs(AppRole::kPrimary, name)) {
    Command command = MakeCommand(CommandKind::kMirrorTo, service);
    command.epoch = service.epoch;
    Ensure(primary, std::move(command), options_.command_retry_ms);
  }
  Forget(spare, name, CommandKind::kFollow);
  Forget(spare, name, CommandKind::kPrepare);
  if (spare.AppUp() && spare.report.app.service == name) {
    Ensure(spare, MakeCommand(CommandKind::kRelease, service), options_.command_retry_ms);
  }
}

// No spare to run to: the staler the state on stable storage, the longer the recovery. So save it more often.
void Core::DriveCheckpoints(ServiceState& service, NodeState& primary) {
  const int64_t normal_ms = service.spec.checkpoint_interval_ms;
  int64_t interval_ms = normal_ms;
  if (service.risk.level() != RiskLevel::kNone && service.plan.spare.empty()) {
    const int64_t from_ms = normal_ms > 0 ? normal_ms : options_.checkpoint_interval_default_ms;
    interval_ms = from_ms / (service.risk.level() == RiskLevel::kSwitch ? 16 : 4);
    interval_ms = std::max(interval_ms, std::min(from_ms, options_.checkpoint_interval_min_ms));
  }
  if (service.interval_epoch != service.epoch) {  // another process: it has its own default
    service.interval_epoch = service.epoch;
    service.interval_ms = 0;
  }
  if (interval_ms != service.interval_ms) {
    const auto in_words = [](int64_t ms) {
      return ms == 0 ? std::string("its own default") : std::to_string(ms) + " ms";
    };
    if (interval_ms != normal_ms || service.interval_ms != 0) {  // what every new primary is told is no event
      Event& event =
          Record("checkpoint_rate", service.spec.name, service.owner,
                 "between checkpoints: " + in_words(interval_ms) + " (was " + in_words(service.interval_ms) + ")");
      event.details.emplace_back("interval_ms", interval_ms);
    }
    service.interval_ms = interval_ms;
    Forget(primary, service.spec.name, CommandKind::kCheckpointEvery);
  } else {
    auto it = primary.sent.find({service.spec.name, CommandKind::kCheckpointEvery});
    if (it == primary.sent.end() ? interval_ms == 0 : it->second.done && it->second.code == StatusCode::kOk) return;
  }
  Command command = MakeCommand(CommandKind::kCheckpointEvery, service);
  command.interval_ms = interval_ms;
  Ensure(primary, std::move(command), options_.command_retry_ms);
}

}  // namespace understudy::coordinator

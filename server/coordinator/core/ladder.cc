// The policy ladder: what forecasts (and the wish for a hot standby) lead to, and the brakes on it.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"
#include "server/coordinator/core/shadow.h"

namespace understudy::coordinator {
namespace {

constexpr int64_t kMirrorRetryMs = 500;

}  // namespace

// What became of the risk since it was last recorded.
void Core::RecordRisk(ServiceState& service) {
  const std::string& name = service.spec.name;
  const RiskLevel level = service.risk.level();
  if (service.spec.removed || level == service.risk_recorded || service.plan_foreign) return;
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

void Core::EvaluateBrake() {
  fleet_.at_risk = 0;
  std::string names;
  for (auto& [name, service] : services_) {
    if (service.spec.removed || service.risk.level() == RiskLevel::kNone) continue;
    ++fleet_.at_risk;
    constexpr size_t kNamesBytesMax = 500;
    if (names.size() < kNamesBytesMax)
      names += (names.empty() ? "" : ", ") + name;
    else if (!names.ends_with("..."))
      names += ", ...";
  }
  const bool brake = policy::Braked(fleet_, settings_);
  if (brake == braked_) return;
  braked_ = brake;
  Event& event = brake ? Record("brake_on", "", "",
                                "too many services look at risk at once (a bad predictor or a common cause): predicted "
                                "actions are held: " +
                                    names)
                       : Record("brake_off", "", "", "predicted actions go on");
  event.details.emplace_back("at_risk", int64_t{fleet_.at_risk});
  event.details.emplace_back("services", int64_t{fleet_.services});
  event.details.emplace_back("brake_percent", int64_t{settings_.brake_percent});
}

// A predictor in the shadow would have had a spare assigned, or let go: recorded, not obeyed.
void Core::RecordShadows(ServiceState& service, const std::vector<Forecast>& forecasts) {
  const Forecast* loudest = LoudestShadow(forecasts, service.spec.policy.horizon_ms);
  const bool warns = loudest != nullptr && loudest->probability >= service.spec.policy.assign_at;
  if (loudest == nullptr || warns == service.shadow_warned) return;
  if (!warns && loudest->probability >= service.spec.policy.release_at) return;
  service.shadow_warned = warns;
  Event& event =
      Record(warns ? "shadow_warned" : "shadow_receded", service.spec.name, service.owner,
             loudest->predictor + " runs in shadow: " +
                 (warns ? "it would have had a spare assigned: " : "it no longer warns: ") + loudest->reason);
  event.details.emplace_back("predictor", loudest->predictor);
  event.details.emplace_back("predictor_version", loudest->version);
  event.details.emplace_back("probability", loudest->probability);
}

// Why what is wanted is not done, once for each reason. Pause and brake have events of their own.
void Core::RecordHeld(ServiceState& service, const policy::Permit& permit, bool reserved) {
  std::string held;
  if (service.risk.level() != RiskLevel::kNone) {
    for (const policy::Hold hold : permit.holds) {
      const bool own =
          hold == policy::Hold::kDryRun || hold == policy::Hold::kWindow || hold == policy::Hold::kCooldown;
      if (own) held += (held.empty() ? "" : " ") + std::string(policy::HoldName(hold));
    }
    if (reserved) held += (held.empty() ? "" : " ") + std::string(policy::HoldName(policy::Hold::kReserve));
    if (!held.empty()) held += service.risk.level() == RiskLevel::kSwitch ? ": a switch" : ": a spare";
  }
  if (held == service.held_recorded) return;
  service.held_recorded = held;
  if (held.empty()) return;
  AddForecast(&Record("held", service.spec.name, service.owner, "held by " + held + " is wanted"), service);
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
  policy::Permit permit = Allowed(service);
  const bool at_risk = permit.drive;
  // An earlier coordinator's reason may still be there: its forecasts are not known here, so it has the dwell time.
  const Instant inherited_until = loaded_at_ + service.spec.policy.dwell_ms * kNsPerMs;
  const bool inherited = !plan.spare.empty() && service.risk.forecasts().empty() && now_ < inherited_until;
  if (inherited) Wake(inherited_until);
  const bool asked_for = service.switch_wanted != 0;
  ConsiderRejuvenation(service);
  const bool rejuvenates = service.rejuvenation.prepare;
  const bool wanted = service.spec.standby || at_risk || inherited || asked_for || rejuvenates;
  const policy::Rung rung =
      service.spec.standby || inherited || asked_for || rejuvenates ? std::max(permit.rung, policy::Rung::kMirror) : permit.rung;
  if (!plan.spare.empty()) {
    NodeState& spare = Node(plan.spare);
    std::string why;
    if (Missing(spare)) {
      Unassign(service, "spare_lost", "node " + spare.name + " is missing");
    } else if (LostToAnother(service, spare, &why)) {
      Unassign(service, "spare_lost", why);
    } else if (spare.alive && !spare.HasProcess() && !CanStart(spare, service.spec)) {
      Unassign(service, "spare_lost", "its process ended: " + spare.report.exit_reason);
    } else if (!wanted) {
      Unassign(service, "spare_released", Rejuvenates(service)                            ? "its rejuvenation is held"
                                        : service.risk.level() == RiskLevel::kNone ? "the risk receded"
                                                                                   : "dry run");
    } else {
      DriveSpare(service, primary, rung);
    }
  }
  AdvanceSwitchover(service);
  if (plan.move.kind != MoveKind::kNone) return;
  const bool asked = service.switch_wanted != 0;  // it may have been given up just now
  const bool predicted = at_risk && !PredictionsHeld();
  bool reserved = false;
  if (plan.spare.empty() && (service.spec.standby || asked || predicted || rejuvenates)) {
    reserved = predicted && !service.spec.standby && !asked &&
               fleet_.spares_free <= policy::SparesReserved(fleet_, settings_) && fleet_.spares_free > 0;
    NodeState* spare = reserved ? nullptr : PickSpare(service);
    if (spare == nullptr && predicted) spare = Preempt(service, Need::kForecast);
    if (spare != nullptr) {
      const int fitness = Fitness(service, *spare);
      plan.spare = spare->name;
      plan.spare_reason = at_risk                ? "forecast"
                          : asked                ? "switchover"
                          : service.spec.standby ? "standby"
                                                 : "rejuvenation";
      if (Rejuvenates(service)) ++rejuvenating_;
      service.plan_dirty = true;
      service.no_spare_recorded = false;
      --fleet_.spares_free;
      Event& event = Record("spare_assigned", name, spare->name,
                            at_risk ? "forecast: " + service.risk.forecast().reason
                            : asked ? "for a switchover that an operator asked for"
                            : service.spec.standby ? "the service asks for a standby"
                                                   : "for its rejuvenation");
      event.details.emplace_back("fitness", int64_t{fitness});
      if (at_risk) AddForecast(&event, service);
      DriveSpare(service, primary, rung);
    } else if (at_risk && !reserved && !service.no_spare_recorded) {
      service.no_spare_recorded = true;
      AddForecast(&Record("no_spare", name, service.owner, "at risk, and no spare is free"), service);
    }
  }
  if (!at_risk) service.no_spare_recorded = false;
  RecordHeld(service, permit, reserved);
  DriveCheckpoints(service, primary, permit);
  if (now_ < service.cooldown_until && service.risk.level() == RiskLevel::kSwitch) Wake(service.cooldown_until);
  if (permit.switch_over && !plan.spare.empty() && Node(plan.spare).AppIs(AppRole::kMirroring, name)) {
    StartPlanned(service, "forecast: " + service.risk.forecast().reason, true, 0);
    return;
  }
  if (service.rejuvenation.switch_over && !plan.spare.empty() && Node(plan.spare).AppIs(AppRole::kMirroring, name)) {
    return StartRejuvenation(service);
  }
  ConsiderRestart(service);
}

// One rung after the other, each from what the spare reports: process, FOLLOW, MIRROR_TO.
// Down again the same way, as long as the spare is kept.
void Core::DriveSpare(ServiceState& service, NodeState& primary, policy::Rung rung) {
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
    if (rung < policy::Rung::kFollow) return;
    Forget(spare, service.spec.name, CommandKind::kRelease);
    Ensure(spare, MakeCommand(CommandKind::kFollow, service), options_.command_retry_ms);
  } else if (rung < policy::Rung::kFollow) {
    StopMirror(service, primary);
    Forget(spare, service.spec.name, CommandKind::kFollow);
    Ensure(spare, MakeCommand(CommandKind::kRelease, service), options_.command_retry_ms);
  } else if (rung < policy::Rung::kMirror) {
    StopMirror(service, primary);
  } else if (app.role == AppRole::kReplaying && app.caught_up && !app.mirror_address.empty()) {
    Command command = MakeCommand(CommandKind::kMirrorTo, service);
    command.epoch = service.epoch;
    command.node = spare.name;
    command.address = app.mirror_address;
    Ensure(primary, std::move(command), kMirrorRetryMs);
  }
}

void Core::StopMirror(ServiceState& service, NodeState& primary) {
  const std::string& name = service.spec.name;
  const auto it = primary.sent.find({name, CommandKind::kMirrorTo});
  if (it == primary.sent.end() || it->second.command.address.empty() || !primary.AppIs(AppRole::kPrimary, name)) return;
  Command command = MakeCommand(CommandKind::kMirrorTo, service);
  command.epoch = service.epoch;
  Ensure(primary, std::move(command), options_.command_retry_ms);
}

void Core::Unassign(ServiceState& service, const std::string& kind, const std::string& why) {
  const std::string& name = service.spec.name;
  NodeState& spare = Node(service.plan.spare);
  NodeState& primary = Node(service.owner);
  AddForecast(&Record(kind, name, spare.name, why), service);
  service.plan.spare.clear();
  service.plan.spare_reason.clear();
  service.plan_dirty = true;
  StopMirror(service, primary);
  Reclaim(service);
  Forget(spare, name, CommandKind::kFollow);
  Forget(spare, name, CommandKind::kPrepare);
  if (spare.AppUp() && spare.report.app.service == name) {
    Ensure(spare, MakeCommand(CommandKind::kRelease, service), options_.command_retry_ms);
  }
}

// No spare to run to: the staler the state on stable storage, the longer the recovery. So save it more often.
void Core::DriveCheckpoints(ServiceState& service, NodeState& primary, const policy::Permit& permit) {
  const int64_t normal_ms = service.spec.checkpoint_interval_ms;
  int64_t interval_ms = normal_ms;
  if (permit.checkpoint && service.plan.spare.empty()) {
    const int64_t from_ms = normal_ms > 0 ? normal_ms : options_.checkpoint_interval_default_ms;
    interval_ms = from_ms / (permit.rung == policy::Rung::kSwitch ? 16 : permit.rung >= policy::Rung::kReserve ? 4 : 2);
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

// The one move of a service: first start, planned switch, unplanned takeover. AdvanceMove looks at what is and does
// what is missing; it may run any number of times, on this coordinator or the next.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"
#include "server/coordinator/core/reasons.h"

namespace understudy::coordinator {
namespace {

constexpr int kTakeOverTriesMax = 5;  // with an error each; then another target, if there is one
constexpr int64_t kAbortCooldownMs = 5000;
constexpr int64_t kHungGraceMs = 500;

std::string Of(const NodeState& node) { return node.report.has_app ? node.report.app.endpoint : std::string(); }

}  // namespace

void Core::EnterStep(ServiceState& service, MoveStep step) {
  service.plan.move.step = step;
  service.step_began = now_;
  // kHandover and kAdopt are found again from the chain and the reports, and a write would stand in the gap's way.
  service.plan_dirty |= step != MoveStep::kHandover && step != MoveStep::kAdopt;
}

void Core::StartFirst(ServiceState& service) {
  if (service.failed || now_ < service.recover_not_before) {
    Wake(service.recover_not_before);
    return;
  }
  Move move;
  move.kind = MoveKind::kFirst;
  move.reason = "the service has no primary yet";
  move.started_unix_ms = unix_ms_;
  service.plan.move = std::move(move);
  service.move_began = service.gap_began = now_;
  EnterStep(service, MoveStep::kStart);
  AdvanceMove(service);
}

void Core::StartUnplanned(ServiceState& service, const std::string& why) {
  const std::string& name = service.spec.name;
  if (service.primary_last > service.primary_first) service.recoveries_failed = 0;  // it had written: no crash loop
  if (service.failed) return;
  if (now_ < service.recover_not_before) {
    Wake(service.recover_not_before);
    return;
  }
  // A new leader may not have heard yet of the spare that holds the state.
  if (const std::string& spare = service.plan.spare; !spare.empty() && !Node(spare).heard && !Missing(Node(spare))) {
    return;  // WatchNodes wakes
  }
  Move move;
  move.kind = MoveKind::kUnplanned;
  move.from = service.owner;
  move.epoch = service.epoch;
  move.reason = why;
  move.started_unix_ms = unix_ms_;
  if (service.risk.level() != RiskLevel::kNone) move.lead_ms = (now_ - service.risk.since()) / kNsPerMs;
  service.move_began = now_;
  const bool ended = Node(service.owner).report.process == ProcessState::kExited;
  // Its agent may have gone on repeating that it serves: the replicas know better.
  service.gap_began = ended || !service.served ? now_ : std::min(service.last_serving, service.silent_from);
  service.plan.move = std::move(move);
  service.suspect_since = Instant::Never();
  NodeState* target = PickTarget(service, "");
  if (target == nullptr) target = Preempt(service, Need::kFailure);
  if (target != nullptr) service.plan.move.to = target->name;
  EnterStep(service, target != nullptr && target->AppUp() && RunsProgramOf(*target, service.spec) ? MoveStep::kTakeOver
                                                                                                  : MoveStep::kStart);
  Event& event = Record("takeover_started", name, service.plan.move.to,
                        service.owner + ": " + why + (target == nullptr ? "; no node can take over yet" : ""));
  event.details.emplace_back("from", service.owner);
  event.details.emplace_back("epoch", static_cast<int64_t>(service.epoch.value()));
  if (target != nullptr) event.details.emplace_back("fitness", int64_t{Fitness(service, *target)});
  AddForecast(&event, service);
  AdvanceMove(service);
}

void Core::StartPlanned(ServiceState& service, const std::string& reason, bool predicted, uint64_t token) {
  Move move;
  move.kind = MoveKind::kPlanned;
  move.from = service.owner;
  move.to = service.plan.spare;
  move.epoch = service.epoch;
  move.reason = reason;
  move.predicted = predicted;
  move.started_unix_ms = unix_ms_;
  if (service.risk.level() != RiskLevel::kNone) move.lead_ms = (now_ - service.risk.since()) / kNsPerMs;
  service.plan.move = std::move(move);
  service.move_began = service.gap_began = now_;
  service.switch_token = token;
  service.stale_attempt = Node(service.plan.move.to).report.app.attempt;
  Forget(Node(service.plan.move.to), service.spec.name, CommandKind::kPrepare);
  Forget(Node(service.owner), service.spec.name, CommandKind::kHandover);
  EnterStep(service, MoveStep::kPrepare);
  Event& event = Record("switch_started", service.spec.name, service.plan.move.to, reason);
  event.details.emplace_back("from", service.owner);
  event.details.emplace_back("epoch", static_cast<int64_t>(service.epoch.value()));
  if (predicted) AddForecast(&event, service);
  AdvanceMove(service);
}

void Core::AdvanceMove(ServiceState& service) {
  const std::string& name = service.spec.name;
  Move& move = service.plan.move;
  for (auto& [node_name, node] : nodes_) {
    if (node.AppIs(AppRole::kPrimary, name) && node.report.app.epoch > move.epoch &&
        node.report.app.epoch >= service.epoch) {
      Finish(service, node);
      return;
    }
  }
  if (now_ < service.recover_not_before) {
    Wake(service.recover_not_before);
    return;
  }
  if ((move.step == MoveStep::kCheckpoint || move.step == MoveStep::kStop) && !AdvanceRestart(service)) return;
  if (move.to.empty()) {
    NodeState* target = PickTarget(service, "");
    const bool first = move.kind == MoveKind::kFirst;
    if (target == nullptr) target = Preempt(service, first ? Need::kFirstStart : Need::kFailure);
    if (target == nullptr) {
      service.trouble = "no node can run it";
      for (const auto& [node_name, node] : nodes_) {
        auto it = node.tries.find(service.spec.program);
        if (it == node.tries.end()) continue;
        service.trouble = "its program does not start on " + node_name + ": " + it->second.why;
        if (!it->second.gave_up) Wake(it->second.not_before);
      }
      return;
    }
    move.to = target->name;
    EnterStep(service, MoveStep::kStart);
    Record("target_chosen", name, move.to, std::string(MoveKindName(move.kind)) + " start: " + move.reason)
        .details.emplace_back("fitness", int64_t{Fitness(service, *target)});
  }
  NodeState& target = Node(move.to);
  if (move.kind == MoveKind::kPlanned) {
    AdvancePlanned(service, target);
  } else if (move.step == MoveStep::kStart) {
    AdvanceStart(service, target);
  } else {
    AdvanceTakeOver(service, target);
  }
}

void Core::AdvanceStart(ServiceState& service, NodeState& target) {
  if (std::string why; LostToAnother(service, target, &why)) {
    Retarget(service, why, false);
    return;
  }
  if (Missing(target)) {
    Retarget(service, "node " + target.name + " is missing");
    return;
  }
  const auto& restarts = service.plan.restarts;
  const auto ends = [&](const Restart& restart) { return restart.node == target.name; };
  if (!target.alive || std::any_of(restarts.begin(), restarts.end(), ends)) return;
  if (!target.HasProcess()) {
    if (!CanStart(target, service.spec)) {
      Retarget(service, "its program does not start on " + target.name);
      return;
    }
    SendStart(target, service.spec);
  } else if (!RunsProgramOf(target, service.spec)) {
    SendStop(target, target.report.process_service, service.spec.stop_grace_ms);
  } else if (target.AppUp()) {
    EnterStep(service, MoveStep::kTakeOver);
    AdvanceTakeOver(service, target);
  }
}

bool Core::TargetLost(const ServiceState& service, const NodeState& target, std::string* why) const {
  if (Missing(target)) {
    *why = "node " + target.name + " is missing";
  } else if (target.heard && !target.HasProcess()) {
    *why = target.report.exit_reason.empty() ? "its process is gone" : target.report.exit_reason;
  } else if (target.app_seen && target.app_lost_at != Instant::Never() &&
             now_ - target.app_lost_at >= options_.app_timeout_ms * kNsPerMs) {
    *why = "its application does not answer";
  } else if (target.heard && !RunsProgramOf(target, service.spec)) {
    *why = "it runs another program";
  } else {
    return false;
  }
  return true;
}

void Core::AdvanceTakeOver(ServiceState& service, NodeState& target) {
  const Move& move = service.plan.move;
  const std::string& name = service.spec.name;
  std::string why;
  if (LostToAnother(service, target, &why)) {
    Retarget(service, why, false);
    return;
  }
  if (TargetLost(service, target, &why)) {
    Retarget(service, why);
    return;
  }
  if (target.app_lost_at != Instant::Never()) Wake(target.app_lost_at + options_.app_timeout_ms * kNsPerMs);
  if (!target.AppUp()) return;
  const AppReport& app = target.report.app;
  if (!app.service.empty() && app.service != name) {
    if (ServiceState* other = FindService(app.service)) {
      Ensure(target, MakeCommand(CommandKind::kRelease, *other), options_.command_retry_ms);
    }
    return;
  }
  const bool accept_loss = service.loss_epoch != Epoch() && service.loss_epoch == service.epoch;
  if (app.role == AppRole::kPromoting && !accept_loss) return;  // at it, by this command or an earlier one, or adopting
  auto sent = target.sent.find({name, CommandKind::kTakeOver});
  const bool failed = sent != target.sent.end() && sent->second.done && sent->second.code != StatusCode::kOk;
  const bool owns = service.owner == target.name && service.epoch > move.epoch;
  // The chain names it: it applies what is left, then serves. Unless the command was lost, and a process before this
  // one had come so far.
  if (owns && sent != target.sent.end() && !failed && !Passed(sent->second.at, options_.command_retry_ms)) {
    Wake(sent->second.at + options_.command_retry_ms * kNsPerMs);
    return;
  }
  // The owner itself was chosen, and its answer to this move's command is that it writes in the open epoch already: it
  // was taken for dead, and lives. No later epoch will come that could end the move. One that still may not serve has
  // an epoch that is sealed or has lost its disks: only a new process opens the next.
  if (sent != target.sent.end() && sent->second.done && !failed && sent->second.at >= service.move_began &&
      service.owner == target.name && app.role == AppRole::kPrimary && app.epoch == service.epoch) {
    if (app.may_serve) return Finish(service, target);
    const Instant since = move.reason.starts_with(kStoppedServing) ? service.last_serving
                                                                   : std::max(service.last_serving, service.step_began);
    if (Passed(since, options_.unserving_timeout_ms)) {
      service.plan.restarts.push_back({target.name, target.pid, target.start_ticks});
      EnterStep(service, MoveStep::kStart);
      return AdvanceRestarts(service);
    }
  }
  Command command = MakeCommand(CommandKind::kTakeOver, service);
  command.epoch = service.epoch;
  command.accept_data_loss = accept_loss;
  SentCommand& entry = Ensure(target, std::move(command), options_.command_retry_ms);
  if (!entry.done || entry.code == StatusCode::kOk) return;
  service.trouble = "taking over on " + target.name + ": " + entry.detail;
  if (entry.tries < kTakeOverTriesMax) return;
  if (PickTarget(service, target.name) != nullptr) Retarget(service, service.trouble);
}

void Core::AdvancePlanned(ServiceState& service, NodeState& target) {
  Move& move = service.plan.move;
  const std::string& name = service.spec.name;
  std::string lost;
  const bool target_lost = TargetLost(service, target, &lost);
  if (service.owner == move.to && service.epoch > move.epoch && move.step != MoveStep::kAdopt) {
    EnterStep(service, MoveStep::kAdopt);
  }
  if (move.step == MoveStep::kAdopt) {
    if (target_lost || LostToAnother(service, target, &lost)) {
      BecomeUnplanned(service, lost);
    } else if (Passed(service.step_began, options_.adopt_timeout_ms) && target.AppUp() &&
               target.report.app.role != AppRole::kPromoting) {
      Command command = MakeCommand(CommandKind::kTakeOver, service);
      command.epoch = service.epoch;
      Ensure(target, std::move(command), options_.command_retry_ms);
    } else {
      Wake(service.step_began + options_.adopt_timeout_ms * kNsPerMs);
    }
    return;
  }
  std::string why;
  NodeState& primary = Node(move.from);
  const bool stepping_down = move.step == MoveStep::kHandover && primary.AppUp() &&
                             primary.report.app.role != AppRole::kPrimary;  // its last act, not its death
  if (!stepping_down && Judge(service, &why) == Verdict::kGone) {
    BecomeUnplanned(service, why);
    return;
  }
  if (move.step == MoveStep::kPrepare) {
    const bool ready = target.AppIs(AppRole::kMirroring, name) || target.AppIs(AppRole::kReplaying, name);
    if (target_lost || (target.heard && target.AppUp() && !ready)) {
      AbortPlanned(service, target_lost ? lost : target.name + " no longer follows the log");
      return;
    }
    if (Passed(service.step_began, options_.prepare_timeout_ms)) {
      AbortPlanned(service, target.name + " did not prepare in time");
      return;
    }
    Wake(service.step_began + options_.prepare_timeout_ms * kNsPerMs);
    if (!target.AppUp()) return;
    const AttemptId& attempt = target.report.app.attempt;
    if (attempt.none() || attempt == service.owner_attempt || attempt == service.stale_attempt) {
      Ensure(target, MakeCommand(CommandKind::kPrepare, service), options_.prepare_timeout_ms);
      return;
    }
    move.attempt = target.report.app.attempt;
    service.gap_began = now_;
    EnterStep(service, MoveStep::kHandover);
  }
  if (primary.AppIs(AppRole::kPrimary, name) && !target_lost) {
    Command command = MakeCommand(CommandKind::kHandover, service);
    command.epoch = move.epoch;
    command.attempt = move.attempt;
    command.node = target.name;
    command.endpoint = Of(target);
    Ensure(primary, std::move(command), options_.command_retry_ms);
  }
  if (auto it = primary.sent.find({name, CommandKind::kHandover}); it != primary.sent.end() && it->second.done) {
    if (it->second.code == StatusCode::kOk) {
      EnterStep(service, MoveStep::kAdopt);
      Wake(service.step_began + options_.adopt_timeout_ms * kNsPerMs);
      return;
    }
    if (it->second.code != StatusCode::kFailedPrecondition) {  // that one: an earlier HANDOVER is under way
      AbortPlanned(service, move.from + " did not hand over: " + it->second.detail);
      return;
    }
  }
  if (Passed(service.step_began, options_.handover_timeout_ms)) {
    AbortPlanned(service, move.from + " did not hand over in time");
    return;
  }
  Wake(service.step_began + options_.handover_timeout_ms * kNsPerMs);
}

void Core::AbortPlanned(ServiceState& service, const std::string& why) {
  const Move move = std::exchange(service.plan.move, Move());
  service.plan_dirty = true;
  service.cooldown_until = std::max(service.cooldown_until, now_ + kAbortCooldownMs * kNsPerMs);
  if (move.reason.starts_with(kRejuvenation)) RejuvenationFailed(service, why);
  Record("switch_aborted", service.spec.name, move.to, why).details.emplace_back("from", move.from);
  Forget(Node(move.to), service.spec.name, CommandKind::kPrepare);
  Forget(Node(move.from), service.spec.name, CommandKind::kHandover);
  Reply(std::exchange(service.switch_token, 0), StatusCode::kFailedPrecondition, "the switch was given up: " + why);
}

void Core::BecomeUnplanned(ServiceState& service, const std::string& why) {
  Move& move = service.plan.move;
  Record("takeover_started", service.spec.name, move.to,
         (move.kind == MoveKind::kRestart ? "during a restart on purpose: " : "during a planned switch: ") + why)
      .details.emplace_back("from", move.from);
  if (move.step == MoveStep::kPrepare || move.step == MoveStep::kCheckpoint) service.gap_began = now_;
  const bool restarts = move.kind == MoveKind::kRestart;
  if (restarts) {  // nobody was prepared to take over
    NodeState* target = PickTarget(service, "");
    if (target == nullptr) target = Preempt(service, Need::kFailure);
    move.to = target == nullptr ? "" : target->name;
  }
  move.kind = MoveKind::kUnplanned;
  move.reason = why;
  EnterStep(service, restarts ? MoveStep::kStart : MoveStep::kTakeOver);
  AdvanceMove(service);
}

// The target cannot do it: another, or the same again after a pause that grows.
void Core::Retarget(ServiceState& service, const std::string& why, bool counts) {
  Move& move = service.plan.move;
  const std::string& name = service.spec.name;
  const std::string failed = std::exchange(move.to, "");
  Forget(Node(failed), name, CommandKind::kTakeOver);
  if (service.plan.spare == failed) service.plan.spare.clear();
  service.trouble = why;
  if (counts && move.step != MoveStep::kStart) ++service.recoveries_failed;
  EnterStep(service, MoveStep::kStart);
  Event& event = Record("target_failed", name, failed, why);
  event.details.emplace_back("failures", int64_t{service.recoveries_failed});
  if (service.recoveries_failed >= options_.recoveries_failed_max) {
    service.failed = true;
    service.trouble = std::to_string(service.recoveries_failed) + " takeovers in a row failed, the last on " + failed +
                      ": " + why + "; 'service apply' tries again";
    move = Move();
    Record("service_failed", name, failed, service.trouble);
    Reply(std::exchange(service.switch_token, 0), StatusCode::kInternal, service.trouble);
    return;
  }
  service.recover_not_before = now_ + Pause(service.recoveries_failed, 100) * kNsPerMs;
  if (now_ < service.recover_not_before) {
    Wake(service.recover_not_before);
    return;
  }
  NodeState* next = PickTarget(service, failed);
  if (next == nullptr) next = PickTarget(service, "");
  if (next == nullptr) {
    for (const auto& [node_name, node] : nodes_) {
      auto it = node.tries.find(service.spec.program);
      if (it != node.tries.end() && !it->second.gave_up) Wake(it->second.not_before);
    }
    return;
  }
  move.to = next->name;
  Record("target_chosen", name, move.to, "instead of " + failed)
      .details.emplace_back("fitness", int64_t{Fitness(service, *next)});
  AdvanceStart(service, *next);
}

void Core::Finish(ServiceState& service, NodeState& primary) {
  const std::string& name = service.spec.name;
  NotePrimary(primary);
  const Move move = std::exchange(service.plan.move, Move());
  MoveRecord record;
  record.kind = move.kind;
  record.service = name;
  record.from = move.from;
  record.to = primary.name;
  record.reason = move.reason;
  record.epoch = primary.report.app.epoch;
  record.started_unix_ms = move.started_unix_ms;
  record.ended_unix_ms = unix_ms_;
  if (move.lead_ms >= 0) {
    record.lead_s = static_cast<double>(move.lead_ms + (now_ - service.move_began) / kNsPerMs) / 1000;
  }
  record.replayed = primary.report.app.replayed;
  record.gap_ms = static_cast<double>(now_ - service.gap_began) / kNsPerMs;
  Event& event =
      Record(move.kind == MoveKind::kFirst ? "service_placed" : "move_done", name, primary.name, move.reason);
  event.details.emplace_back("move", std::string(MoveKindName(move.kind)));
  event.details.emplace_back("from", move.from);
  event.details.emplace_back("to", primary.name);
  event.details.emplace_back("epoch", static_cast<int64_t>(record.epoch.value()));
  event.details.emplace_back("started_unix_ms", record.started_unix_ms);
  event.details.emplace_back("gap_ms", record.gap_ms);
  event.details.emplace_back("replayed", record.replayed);
  event.details.emplace_back("lead_s", record.lead_s);

  Plan& plan = service.plan;
  if (plan.spare == primary.name) {
    plan.spare.clear();
    plan.spare_reason.clear();
  }
  ++plan.moves;
  if (move.from != primary.name || primary.started_at >= service.move_began) NoteFresh(service);
  if (move.kind == MoveKind::kPlanned) {
    double& known = service.measured.switch_ms;
    const double took_ms = static_cast<double>(now_ - service.move_began) / kNsPerMs;
    known = known < 0 ? took_ms : (known + took_ms) / 2;
  }
  if (move.predicted) {
    ++plan.predicted_moves;
    service.cooldown_until = now_ + service.spec.policy.cooldown_ms * kNsPerMs;
  }
  if (move.kind == MoveKind::kRestart) {
    service.restart_cooldown_until = now_ + service.spec.policy.restart_cooldown_ms * kNsPerMs;
  }
  if (move.kind != MoveKind::kFirst) {
    const NodeState& old = Node(move.from);
    if (move.from != primary.name && (!old.alive || old.HasProcess()) && old.pid != 0) {
      plan.restarts.push_back({move.from, old.pid, old.start_ticks});
    }
    if (move.kind == MoveKind::kPlanned || move.kind == MoveKind::kRestart) {
      out_->feedback.push_back({name, OutcomeKind::kMoved, record.lead_s});
    } else if (record.epoch > move.epoch) {  // else nothing failed
      const bool degraded = move.reason.starts_with(kStoppedServing);
      out_->feedback.push_back({name, degraded ? OutcomeKind::kDegraded : OutcomeKind::kFailed, record.lead_s});
    }
    moves_.push_back(record);
    if (moves_.size() > options_.moves_max) moves_.pop_front();
  }
  service.plan_dirty = true;
  Forget(primary, name, CommandKind::kTakeOver);
  Forget(primary, name, CommandKind::kPrepare);
  Forget(primary, name, CommandKind::kFollow);
  service.risk.Reset();
  service.risk_recorded = RiskLevel::kNone;
  out_->resets.push_back({name, move.from == primary.name ? ResetReason::kRestarted : ResetReason::kMoved});
  service.suspect_since = Instant::Never();
  service.trouble.clear();
  service.recover_not_before = now_;
  if (const uint64_t token = std::exchange(service.switch_token, 0)) {
    Reply(token, StatusCode::kOk, "",
          R"({"service":")" + name + R"(","from":")" + move.from + R"(","to":")" + primary.name + R"(","epoch":)" +
              std::to_string(record.epoch.value()) + R"(,"gap_ms":)" + std::to_string(record.gap_ms) +
              R"(,"replayed":)" + std::to_string(record.replayed) + "}");
  }
}

// Rejuvenation: an old primary's process is ended; the pool (or nobody, when COLD) starts the next.
void Core::AdvanceRestarts(ServiceState& service) {
  auto& restarts = service.plan.restarts;
  for (size_t i = 0; i < restarts.size();) {
    NodeState& node = Node(restarts[i].node);
    const AppReport& app = node.report.app;
    bool done = node.heard && !node.HasProcess();
    if (node.report.has_app) {
      done |= app.pid != restarts[i].pid || app.start_ticks != restarts[i].start_ticks;
      // Another service's by now: to end it would be that service's failure.
      done |= !app.service.empty() && app.service != service.spec.name && app.role >= AppRole::kPromoting;
    }
    if (done) {
      restarts.erase(restarts.begin() + static_cast<int64_t>(i));
      service.plan_dirty = true;
      continue;
    }
    // One that does not answer its agent will not end in order either.
    const int64_t grace_ms = node.report.has_app ? service.spec.stop_grace_ms : kHungGraceMs;
    if (node.alive && node.HasProcess()) SendStop(node, service.spec.name, grace_ms);
    ++i;
  }
}

}  // namespace understudy::coordinator

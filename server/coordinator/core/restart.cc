// A deliberate restart: no spare is to be had, and a process is about to run out of something that its end sets free. It
// saves a checkpoint, is ended, and goes on from that checkpoint: a short outage at a chosen moment instead of a longer
// one at a bad moment. Nothing is ended before the checkpoint is listed in the log's metadata; what is acknowledged
// after it is in the log, as ever. From the end of the process on it is recovered like any other.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

constexpr int64_t kCheckpointRetryMs = 1000;
constexpr double kSmoothing = 0.5;

}  // namespace

// One is free for the service, or comes free in a moment.
bool Core::SpareToBeHad(const ServiceState& service) const {
  for (const std::string& name : unclaimed_) {
    if (Fitness(service, nodes_.at(name)) > 0) return true;
  }
  for (const auto& [name, claims] : claims_) {
    const NodeState& node = nodes_.at(name);
    const bool restarts = std::all_of(claims.begin(), claims.end(), [](const Claim& one) { return one.restarts; });
    if (restarts && node.alive && Carries(node, service.spec)) return true;
  }
  return false;
}

policy::RestartPermit Core::AllowedRestart(const ServiceState& service) const {
  return policy::AllowRestart(service.risk.input(), service.risk.assessment(), fleet_, settings_, now_.ns() / kNsPerMs,
                              unix_ms_);
}

// After all that a spare could do.
void Core::ConsiderRestart(ServiceState& service) {
  policy::ServiceInput& input = service.risk.input();
  input.has_spare = !service.plan.spare.empty();
  const bool wanted = service.risk.assessment().memory.restart_since_ms >= 0;
  input.spare_to_be_had = input.has_spare || (wanted && SpareToBeHad(service));
  policy::RestartPermit permit;
  if (wanted && service.spec.policy.restart) permit = AllowedRestart(service);
  std::string held;
  if (!input.spare_to_be_had) {
    for (const policy::Hold hold : permit.holds) {  // pause and brake have events of their own
      const bool own =
          hold == policy::Hold::kDryRun || hold == policy::Hold::kWindow || hold == policy::Hold::kCooldown;
      if (own) held += (held.empty() ? "" : " ") + std::string(policy::HoldName(hold));
    }
  }
  if (held != service.restart_held_recorded) {
    service.restart_held_recorded = held;
    if (!held.empty()) {
      AddForecast(&Record("held", service.spec.name, service.owner, "held by " + held + ": a restart is wanted"),
                  service);
    }
  }
  if (permit.restart) return StartRestart(service);
  if (wanted && now_ < service.restart_cooldown_until) Wake(service.restart_cooldown_until);
}

void Core::StartRestart(ServiceState& service) {
  Move move;
  move.kind = MoveKind::kRestart;
  move.from = move.to = service.owner;
  move.epoch = service.epoch;
  move.reason = "forecast: " + service.risk.forecast().reason;
  move.predicted = true;
  move.started_unix_ms = unix_ms_;
  if (service.risk.level() != RiskLevel::kNone) move.lead_ms = (now_ - service.risk.since()) / kNsPerMs;
  service.plan.move = std::move(move);
  if (service.primary_last > service.primary_first) service.recoveries_failed = 0;
  service.move_began = service.gap_began = now_;
  Forget(Node(service.owner), service.spec.name, CommandKind::kCheckpoint);
  EnterStep(service, MoveStep::kCheckpoint);
  Event& event = Record("restart_started", service.spec.name, service.owner,
                        "no spare is to be had: a checkpoint, then a restart from it: " + service.plan.move.reason);
  event.details.emplace_back("epoch", static_cast<int64_t>(service.epoch.value()));
  AddForecast(&event, service);
  const policy::RungGain& gain = service.risk.assessment().restart.gain;
  event.details.emplace_back("restart_ready", gain.ready);
  event.details.emplace_back("restart_cost", gain.cost);
  event.details.emplace_back("restart_gain", gain.gain);
  AdvanceMove(service);
}

// Why a restart that has begun is better not gone on with; empty: no reason. Asked until the process is ended.
std::string Core::RestartDoubted(const ServiceState& service) const {
  if (settings_.paused) return "an operator has paused predicted actions";
  if (braked_) return "the brake is on";
  if (settings_.dry_run || service.spec.policy.dry_run) return "dry run";
  if (!service.spec.policy.restart) return "its policy allows no restart any more";
  if (service.risk.assessment().memory.restart_since_ms < 0) return "what was forecast was taken back";
  if (!service.plan.spare.empty() || SpareToBeHad(service)) return "a spare has come free";
  return "";
}

// Until its process has ended; true: it has, and any node may take over.
bool Core::AdvanceRestart(ServiceState& service) {
  const Move& move = service.plan.move;
  const std::string& name = service.spec.name;
  NodeState& primary = Node(move.from);
  std::string why;
  if (move.step == MoveStep::kCheckpoint) {
    if (Judge(service, &why) == Verdict::kGone) {
      BecomeUnplanned(service, why);
      return false;
    }
    if (service.epoch > move.epoch) {
      AbortRestart(service, "another epoch has begun");
      return false;
    }
    if (const std::string doubt = RestartDoubted(service); !doubt.empty()) {
      AbortRestart(service, doubt);
      return false;
    }
    if (Passed(service.step_began, options_.restart_checkpoint_timeout_ms)) {
      AbortRestart(service, move.from + " did not save its checkpoint in time");
      return false;
    }
    Wake(service.step_began + options_.restart_checkpoint_timeout_ms * kNsPerMs);
    if (!primary.AppIs(AppRole::kPrimary, name)) return false;
    const int64_t retry_ms = options_.restart_checkpoint_timeout_ms;  // once: a second would wait for the first
    const auto it = primary.sent.find({name, CommandKind::kCheckpoint});
    const bool busy = it != primary.sent.end() && it->second.done && it->second.code == StatusCode::kFailedPrecondition;
    const SentCommand& sent = Ensure(primary, MakeCommand(CommandKind::kCheckpoint, service),
                                     busy ? kCheckpointRetryMs : retry_ms);
    if (!sent.done || sent.code == StatusCode::kFailedPrecondition) return false;  // one is being saved: the next, then
    if (sent.code != StatusCode::kOk) {
      AbortRestart(service, "its checkpoint failed: " + sent.detail);
      return false;
    }
    double& known = service.measured.checkpoint_ms;
    const double took_ms = static_cast<double>(now_ - service.step_began) / kNsPerMs;
    known = known < 0 ? took_ms : known + kSmoothing * (took_ms - known);
    service.gap_began = now_;
    service.plan.restarted_unix_ms = unix_ms_;
    service.plan.restarts.push_back({move.from, primary.pid, primary.start_ticks});
    EnterStep(service, MoveStep::kStop);
    Record("restart_checkpointed", name, move.from, "its state is saved; now its process is ended")
        .details.emplace_back("checkpoint_ms", took_ms);
    AdvanceRestarts(service);
    return false;
  }
  const auto ends = [&](const Restart& restart) { return restart.node == move.from; };
  if (std::any_of(service.plan.restarts.begin(), service.plan.restarts.end(), ends)) {
    const bool gone = !primary.alive && Judge(service, &why) == Verdict::kGone;
    if (gone) BecomeUnplanned(service, why);
    return false;
  }
  service.plan.move.to.clear();
  service.plan.move.step = MoveStep::kStart;
  Reclaim(service);
  return true;
}

void Core::AbortRestart(ServiceState& service, const std::string& why) {
  const Move move = std::exchange(service.plan.move, Move());
  service.plan_dirty = true;
  service.restart_cooldown_until =
      std::max(service.restart_cooldown_until, now_ + options_.restart_abort_pause_ms * kNsPerMs);
  Record("restart_aborted", service.spec.name, move.from, why + "; its process goes on");
  Forget(Node(move.from), service.spec.name, CommandKind::kCheckpoint);
}

}  // namespace understudy::coordinator

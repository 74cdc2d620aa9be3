#include "tests/sim/fleet_watch.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "predictors/policy/policy.h"
#include "predictors/policy/policy_json.h"

namespace understudy::sim {
namespace {

using coordinator::Move;
using coordinator::MoveKind;
using coordinator::MoveStep;

constexpr std::array<const char*, 6> kRequests = {"apply", "remove", "switchover", "pause", "logs", "policy"};

std::string StepOf(const Move& move) {
  return std::string(coordinator::MoveKindName(move.kind)) + "/" + std::string(coordinator::MoveStepName(move.step));
}

}  // namespace

void FleetWatch::Found(const coordinator::Core& core) {
  for (const auto& [name, service] : core.services()) {
    if (service.plan.move.kind != MoveKind::kNone) reached_->Hit("leader finds " + StepOf(service.plan.move));
    if (service.spec.removed) reached_->Hit("leader finds a removal");
  }
}

void FleetWatch::Asked(const Reign& reign, const coordinator::OperatorRequest& request) {
  const bool resumes = request.kind == coordinator::RequestKind::kPause && !request.paused;
  if (resumes) {
    ++resumes_;
    paused_ = false;
  }
  Request& asked = requests_[request.token];
  asked = {reign,
           request.kind,
           request.service,
           request.kind == coordinator::RequestKind::kPause && request.paused,
           resumes_,
           std::nullopt,
           0};
  if (request.kind != coordinator::RequestKind::kPolicy) return;
  const auto document = nlohmann::json::parse(request.document);
  asked.settings = *policy::ParseFleetSettings(document.at("settings").dump(), {});
  asked.settings_before = ++settings_asked_;
  settings_.reset();
}

void FleetWatch::Decided(const Reign& reign, const coordinator::Core& core, const coordinator::Effects& effects) {
  for (const coordinator::Event& event : effects.events) OnEvent(reign, core, event);
  for (const coordinator::SendCommand& send : effects.commands) OnCommand(reign, core, send);
  for (const coordinator::Answer& answer : effects.answers) OnAnswer(answer);
  for (const auto& [name, service] : core.services()) moves_[{reign, name}] = service.plan.move;
}

void FleetWatch::OnEvent(const Reign& reign, const coordinator::Core& core, const coordinator::Event& event) {
  reached_->Hit("event " + event.kind);
  if (event.service.empty()) return;
  const auto service = core.services().find(event.service);
  const Move before = moves_[{reign, event.service}];
  const bool was_planned = before.kind == MoveKind::kPlanned;
  if (event.kind == "switch_started" && service != core.services().end()) {
    // What began and ended in one step is not in the plan any more.
    const bool predicted = event.text.starts_with("forecast");
    reached_->Hit(predicted ? "switch begun by a forecast" : "switch begun by an operator");
    if (predicted) OnPredictedSwitch(reign, core, event.service);
  }
  const bool chosen = event.kind == "target_chosen" || event.kind == "spare_assigned" ||
                      (event.kind == "takeover_started" && !event.text.starts_with("during a planned switch"));
  if (chosen && !event.node.empty() && service != core.services().end()) {
    const std::vector<std::string>& labels = core.nodes().at(event.node).report.labels;
    for (const auto& [key, value] : service->second.spec.labels) {
      if (std::find(labels.begin(), labels.end(), key + "=" + value) != labels.end()) continue;
      oracle_->Broken(Rule::kLabelsKept, reign.first + ": " + event.kind + " of " + event.service + ": " + event.node +
                                             ", which does not carry " + key + "=" + value);
    }
  }
  if (event.kind == "restart_started") saved_[event.service] = NewestCheckpoint(core, event.service);
  if (const auto began = saved_.find(event.service); event.kind == "restart_checkpointed" && began != saved_.end()) {
    if (NewestCheckpoint(core, event.service) <= began->second) {
      oracle_->Broken(Rule::kRestartSaved, reign.first + " ends the process of " + event.service +
                                               " to restart it, and no checkpoint was listed since it decided so");
    }
  }
  if (event.kind == "switch_aborted" && was_planned) {
    reached_->Hit("switch given up in " + std::string(coordinator::MoveStepName(before.step)));
  }
  if (event.kind == "takeover_started" && was_planned) {
    reached_->Hit("switch becomes a takeover in " + std::string(coordinator::MoveStepName(before.step)));
  }
  for (const char* chooses : {"target_failed", "takeover_started", "switch_started", "switch_aborted", "move_done",
                              "service_placed", "service_applied", "plan_adopted"}) {
    if (event.kind == chooses) target_.erase({reign, event.service});
  }
}

void FleetWatch::OnPredictedSwitch(const Reign& reign, const coordinator::Core& core, const std::string& service) {
  const std::string begins = reign.first + " begins a switch of " + service + " for a forecast, though ";
  if (paused_) oracle_->Broken(Rule::kPausedKept, begins + "an operator was told that those are paused");
  if (core.braked()) oracle_->Broken(Rule::kSettingsKept, begins + "its brake is on");
  if (!settings_.has_value()) return;
  if (settings_->dry_run) oracle_->Broken(Rule::kSettingsKept, begins + "an operator was told of a dry run");
  if (!policy::InsideWindows(settings_->windows, oracle_->now().ns() / kNsPerMs)) {
    oracle_->Broken(Rule::kSettingsKept, begins + "an operator was told of windows that hold it");
  }
}

uint64_t FleetWatch::NewestCheckpoint(const coordinator::Core& core, const std::string& service) const {
  const Chain& chain = chains_->value(core.services().at(service).spec.log).chain;
  return chain.checkpoints.empty() ? 0 : chain.checkpoints.back().id;
}

void FleetWatch::OnCommand(const Reign& reign, const coordinator::Core& core, const coordinator::SendCommand& send) {
  const Command& command = send.command;
  const std::string kind(CommandKindName(command.kind));
  reached_->Hit("command " + kind);
  const auto broken = [&](Rule rule, const std::string& why) {
    oracle_->Broken(rule, reign.first + " sends " + kind + " of " + command.service + " to " + send.node + why);
  };
  const auto service = core.services().find(command.service);
  if (command.kind == CommandKind::kStopApp) {
    const coordinator::NodeState& node = core.nodes().at(send.node);
    const AppReport& app = node.report.app;
    const auto served = core.services().find(app.service);
    if (!node.AppUp() || app.role != AppRole::kPrimary || !app.may_serve || served == core.services().end()) return;
    const coordinator::ServiceState& it = served->second;
    if (it.plan.move.kind == MoveKind::kRestart) return;  // its state has been saved for that
    if (!it.spec.removed && it.owner == send.node && it.epoch == app.epoch) {
      broken(Rule::kHealthyKept, ", which serves " + app.service + " as far as it knows");
    }
    return;
  }
  if (service == core.services().end()) return;
  const Move& move = service->second.plan.move;
  if (command.kind == CommandKind::kTakeOver) {
    if (move.kind == MoveKind::kNone || move.to != send.node) {
      broken(Rule::kOneMove, ", while its plan is " + StepOf(move) + " to '" + move.to + "'");
    }
    const auto [told, first] = target_.try_emplace({reign, command.service}, send.node);
    if (!first && told->second != send.node) {
      broken(Rule::kOneMove, " although " + told->second + " was told so, and nothing was said of its failure");
    }
  }
  if (command.kind == CommandKind::kPrepare && (move.kind != MoveKind::kPlanned || move.to != send.node)) {
    broken(Rule::kOneMove, ", while its plan is " + StepOf(move) + " to '" + move.to + "'");
  }
  if (command.kind == CommandKind::kHandover && (move.kind != MoveKind::kPlanned || move.from != send.node)) {
    broken(Rule::kOneMove, ", while its plan is " + StepOf(move) + " from '" + move.from + "'");
  }
}

void FleetWatch::OnAnswer(const coordinator::Answer& answer) {
  const auto asked = requests_.find(answer.token);
  if (asked == requests_.end()) return;
  const Request request = asked->second;
  requests_.erase(asked);
  reached_->Hit("answer " + std::string(kRequests.at(static_cast<size_t>(request.kind))) + " " +
                std::string(StatusCodeName(answer.code)));
  if (request.settings.has_value() && answer.code == StatusCode::kOk && settings_asked_ == request.settings_before) {
    settings_ = request.settings;
  }
  if (request.pauses && answer.code == StatusCode::kOk && resumes_ == request.resumes_before) paused_ = true;
}

void FleetWatch::Lost(const Reign& reign, const coordinator::Core& core) {
  for (const auto& [name, service] : core.services()) {
    const coordinator::Plan& plan = service.plan;
    if (plan.move.kind != MoveKind::kNone) reached_->Hit("leader lost in " + StepOf(plan.move));
    if (!plan.spare.empty()) reached_->Hit("leader lost with a spare assigned");
    if (!plan.restarts.empty()) reached_->Hit("leader lost with a restart to do");
  }
  for (const auto& [token, request] : requests_) {
    if (request.reign != reign) continue;
    if (request.kind == coordinator::RequestKind::kApply) reached_->Hit("leader lost in an apply");
    if (request.kind == coordinator::RequestKind::kRemove) reached_->Hit("leader lost in a removal");
  }
  std::erase_if(requests_, [&](const auto& entry) { return entry.second.reign == reign; });
  std::erase_if(target_, [&](const auto& entry) { return entry.first.first == reign; });
  std::erase_if(moves_, [&](const auto& entry) { return entry.first.first == reign; });
}

std::string FleetWatch::Unanswered() const {
  if (requests_.empty()) return "";
  const Request& request = requests_.begin()->second;
  return request.reign.first + " has not answered an operator's " + kRequests.at(static_cast<size_t>(request.kind)) +
         " " + request.service;
}

}  // namespace understudy::sim

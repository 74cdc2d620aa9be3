#include "tests/sim/fleet.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/coordinator/core/service_spec.h"
#include "tests/sim/fleet_stage.h"

namespace understudy::sim {
namespace {

constexpr int64_t kFirstServedMs = 4000;  // from nothing to everything served, without a fault
constexpr int64_t kServedMs = 15'000;     // from the end of the faults
constexpr int64_t kStepNs = 5 * kNsPerMs;
constexpr int kLogsMax = 5;  // with those that operators may come to need: a program of each on each node

std::vector<LogId> LogsOf(const FleetPlan& plan) {
  std::vector<LogId> logs;
  for (const FleetNode::Service& service : ServicesOf(plan)) logs.push_back(service.log);
  return logs;
}

}  // namespace

std::vector<FleetNode::Service> ServicesOf(const FleetPlan& plan) {
  std::vector<FleetNode::Service> services;
  for (int i = 1; i <= plan.services; ++i) {
    services.push_back({"s" + std::to_string(i), LogId(static_cast<uint64_t>(i))});
  }
  return services;
}

coordinator::ServiceSpec SpecOf(const FleetNode::Service& service, bool standby, bool restart) {
  coordinator::ServiceSpec spec;
  spec.name = service.name;
  spec.program = "/bin/application";
  spec.standby = standby;
  spec.replicas = 3;
  spec.ack_quorum = 2;
  spec.log = service.log;
  spec.stop_grace_ms = 20;
  spec.policy.persist_ms = 50;
  spec.policy.dwell_ms = 300;
  spec.policy.cooldown_ms = 200;
  spec.policy.restart = restart;
  spec.policy.restart_cooldown_ms = 400;
  return spec;
}

FleetStage::FleetStage(const FleetPlan& plan, Coverage* coverage, const FleetMutant& mutant)
    : plan_(plan),
      coverage_(coverage),
      world_(plan.seed, NetworkRates()),
      oracle_(this),
      chains_(&world_, &oracle_, coverage),
      services_(ServicesOf(plan)),
      metadata_(&world_, &chains_, LogsOf(plan)),
      watch_(&oracle_, &chains_, &reached_) {
  oracle_.now = [this] { return world_.now(); };
  oracle_.on_finding = [this](const Finding& finding) {
    if (world_.trace) world_.Say(std::string("BROKEN  ") + RuleName(finding.rule) + ": " + finding.text);
    world_.Stop();
  };
  const auto find = [this](const DiskId& id) {
    const auto number = static_cast<size_t>(Disk::NumberOf(id));
    return number >= 1 && number <= disks_.size() ? disks_[number - 1].get() : nullptr;
  };
  for (int i = 1; i <= plan.disks; ++i) {
    disks_.push_back(std::make_unique<Disk>(&world_, &chains_, &oracle_, coverage, i, DiskSpeed(), find));
  }
  for (const FleetNode::Service& service : services_) {
    Chain chain;
    chain.log = service.log;
    chain.name = service.name;
    const coordinator::ServiceSpec spec = SpecOf(service, plan.standby, plan.restarts);
    chain.replicas_target = spec.replicas;
    chain.ack_quorum = spec.ack_quorum;
    chains_.AddLog(chain);
    asked_.insert(service.name);
    metadata_.Put(coordinator::MetadataKind::kService, service.name, coordinator::EncodeServiceSpec(spec));
  }
  Surroundings around;
  around.world = &world_;
  around.metadata = &chains_;
  around.oracle = &oracle_;
  around.coverage = coverage;
  around.find = find;
  around.registry = [this] {
    std::vector<Disk*> all;
    for (auto& disk : disks_) all.push_back(disk.get());
    return all;
  };
  Workload workload;
  workload.append_us = 6000;
  workload.barrier_us = 15'000;

  FleetNode::Fleet to_node;
  to_node.world = &world_;
  to_node.services = services_;
  to_node.application = [this](const std::string& name, LogId log) -> Application* {
    for (auto& node : nodes_) {
      if (node->name() == name) return node->application(log);
    }
    return nullptr;
  };
  to_node.report = [this](NodeId from, const AgentReport& report) {
    auto shared = std::make_shared<const AgentReport>(report);
    for (auto& to : coordinators_) {
      world_.Send(
          from, to->node(), [to = to.get(), shared] { to->Reported(*shared); },
          [&] {
            return "reports role " + std::to_string(static_cast<int>(report.app.role)) + " of '" + report.app.service +
                   "', process " + std::to_string(static_cast<int>(report.process));
          });
    }
  };
  int number = 0;
  for (int i = 1; i <= plan.nodes; ++i) {
    nodes_.push_back(std::make_unique<FleetNode>(to_node, around, "n" + std::to_string(i), &number, workload));
    if (plan.labels) nodes_.back()->labels = {i % 2 == 0 ? "rack=a" : "rack=b"};
  }

  FleetCoordinator::Fleet to_coordinator;
  to_coordinator.world = &world_;
  to_coordinator.metadata = &metadata_;
  to_coordinator.disk = find;
  to_coordinator.watch = &watch_;
  to_coordinator.mutant = mutant;
  to_coordinator.command = [this](NodeId from, const coordinator::SendCommand& send) {
    for (auto& to : nodes_) {
      if (to->name() != send.node) continue;
      auto shared = std::make_shared<const Command>(send.command);
      world_.Send(
          from, to->node(), [to = to.get(), shared] { to->Command(*shared); },
          [&] {
            return "command " + std::to_string(send.command.id & 0xFFFFFFFF) + " " +
                   std::string(CommandKindName(send.command.kind)) + " of '" + send.command.service + "' epoch " +
                   std::to_string(send.command.epoch.value());
          });
    }
  };
  coordinator::CoreOptions& options = to_coordinator.options;
  options.cluster = "fleet";
  options.node_timeout_ms = 250;
  options.app_timeout_ms = 250;
  options.unserving_timeout_ms = 600;
  options.takeover_timeout_ms = 1500;
  options.age_interval_ms = 40;
  options.adopt_timeout_ms = 60;
  options.prepare_timeout_ms = 300;
  options.handover_timeout_ms = 600;
  options.switch_prepare_timeout_ms = 1500;
  options.grace_ms = 250;
  options.command_retry_ms = 150;
  options.start_timeout_ms = 1000;
  options.stable_ms = 500;
  options.pause_ms_max = 500;
  options.restart_checkpoint_timeout_ms = 1000;
  options.restart_abort_pause_ms = 200;
  options.start_failures_max = 1 << 20;  // giving up for good is a person's affair
  options.recoveries_failed_max = 1 << 20;
  for (int i = 1; i <= plan.coordinators; ++i) {
    coordinators_.push_back(std::make_unique<FleetCoordinator>(to_coordinator, "c" + std::to_string(i)));
  }
  if (!plan.operators) return;
  metadata_.OpenToOperators(kLogsMax);
  for (int i = plan.services + 1; i <= kLogsMax; ++i) {
    for (auto& node : nodes_) node->AddLog(around, LogId(static_cast<uint64_t>(i)), &number, workload);
  }
}

// ---- is everything served? ----

std::vector<Owner> FleetStage::Owners() const {
  std::vector<Owner> owners;
  for (const FleetNode::Service& service : services_) {
    const EpochEntry* last = chains_.value(service.log).chain.last();
    owners.push_back(last == nullptr ? Owner() : last->owner);
  }
  return owners;
}

// Whether a node carries the service's labels and serves no other. Without labels one always does: there are never more
// services than nodes.
bool FleetStage::HasRoom(const coordinator::ServiceSpec& spec) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
    const bool carries = std::all_of(spec.labels.begin(), spec.labels.end(), [&](const auto& label) {
      return std::find(node->labels.begin(), node->labels.end(), label.first + "=" + label.second) !=
             node->labels.end();
    });
    const std::vector<coordinator::ServiceSpec> all = metadata_.Services();
    return carries && std::none_of(all.begin(), all.end(), [&](const coordinator::ServiceSpec& other) {
             const EpochEntry* last = chains_.value(other.log).chain.last();
             return other.name != spec.name && last != nullptr && last->owner.node == node->name();
           });
  });
}

std::string FleetStage::UnservedService(const FleetNode::Service& service, const FleetCoordinator& leader) {
  const EpochEntry* last = chains_.value(service.log).chain.last();
  if (last == nullptr) return service.name + " has no epoch yet";
  const auto owner =
      std::find_if(nodes_.begin(), nodes_.end(), [&](const auto& node) { return node->name() == last->owner.node; });
  Application* app = (*owner)->application(service.log);
  if (!app->serving() || app->writer()->attempt() != last->attempt) {
    return service.name + ", owned by " + last->owner.node + ", is not served";
  }
  if (!app->writer()->MayServe(world_.Local(app->node()))) return service.name + " has fenced itself";
  const auto& known = leader.core()->services();
  const auto state = known.find(service.name);
  if (state == known.end()) return "the leader does not know " + service.name;
  const coordinator::Move& move = state->second.plan.move;
  if (move.kind == coordinator::MoveKind::kNone) return "";
  return "the plan of " + service.name + " does not end: " + std::string(coordinator::MoveKindName(move.kind)) +
         " move, step " + std::string(coordinator::MoveStepName(move.step)) + " to '" + move.to + "' " +
         state->second.trouble;
}

std::string FleetStage::StillRuns() {
  const std::vector<coordinator::ServiceSpec> specs = metadata_.Services();
  for (const coordinator::ServiceSpec& spec : specs) {
    if (spec.removed) return "the removal of " + spec.name + " does not end";
  }
  for (const LogId log : metadata_.logs()) {
    if (std::any_of(specs.begin(), specs.end(), [&](const auto& spec) { return spec.log == log; })) continue;
    for (const auto& node : nodes_) {
      const Application* app = node->application(log);
      if (app->writing() || app->taking_over() || app->following()) {
        return chains_.value(log).chain.name + " was removed, and still runs on " + node->name();
      }
    }
  }
  return "";
}

std::string FleetStage::Unserved() {
  const FleetCoordinator* leader = nullptr;
  for (const auto& candidate : coordinators_) {
    if (candidate->leads()) leader = candidate.get();
  }
  if (leader == nullptr) return "no coordinator leads";
  for (const coordinator::ServiceSpec& spec : metadata_.Services()) {
    if (spec.removed) continue;
    if (std::string why = UnservedService({spec.name, spec.log}, *leader); !why.empty() && HasRoom(spec)) return why;
  }
  if (std::string why = StillRuns(); !why.empty()) return why;
  return watch_.Unanswered();
}

bool FleetStage::RunUntilServed(int64_t limit_ms, std::string* why) {
  const Instant limit = world_.now() + limit_ms * kNsPerMs;
  while (!(*why = Unserved()).empty()) {
    if (world_.stopped() || world_.now() >= limit) return false;
    world_.RunUntil(world_.now() + kStepNs);
  }
  return true;
}

// ---- the run ----

void FleetStage::Play() {
  std::string why;
  end_ = world_.now() + kFirstServedMs * kNsPerMs;
  if (!RunUntilServed(kFirstServedMs, &why)) {
    if (!world_.stopped())
      oracle_.Broken(Rule::kLiveServed, why + " " + std::to_string(kFirstServedMs) + " ms after the start");
    return;
  }
  world_.RunUntil(world_.now() + 300 * kNsPerMs);
  const std::vector<Owner> owners = Owners();
  const Instant begin = world_.now();
  end_ = begin + plan_.run_us * 1000;
  world_.rates = plan_.network;
  metadata_.lose_reply_permille = 50;
  for (const FleetEvent& event : plan_.events) {
    world_.At(begin + event.at_us * 1000, [this, &event] { Do(event); });
  }
  world_.RunUntil(end_);
  // The faults stop.
  world_.rates = NetworkRates();
  metadata_.lose_reply_permille = 0;
  chains_.ForgetFaults();
  for (auto& disk : disks_) {
    disk->ForgetFaults();
    disk->Restart();
  }
  for (auto& node : nodes_) node->StartAgent();
  for (auto& candidate : coordinators_) candidate->Start();
  if (!RunUntilServed(kServedMs, &why) && !world_.stopped()) {
    oracle_.Broken(StillRuns().empty() ? Rule::kLiveServed : Rule::kRemovedStopped,
                   why + " " + std::to_string(kServedMs) + " ms after the faults stopped");
  }
  world_.RunUntil(world_.now() + 500 * kNsPerMs);
  if (plan_.quiet && !world_.stopped()) {
    const std::vector<Owner> now = Owners();
    for (size_t i = 0; i < owners.size(); ++i) {
      if (owners[i].node == now[i].node) continue;
      oracle_.Broken(Rule::kHealthyKept, services_[i].name + " moved from " + owners[i].node + " to " + now[i].node +
                                             " though nothing ailed its node, its process and the disks");
    }
  }
  if (!oracle_.finding().has_value()) oracle_.Audit();
  for (const auto& node : nodes_) {
    for (const LogId log : metadata_.logs()) barriers_ += node->application(log)->barriers_done();
  }
}

FleetResult RunFleet(const FleetPlan& plan, Coverage* coverage, std::function<void(const std::string&)> trace,
                     const FleetMutant& mutant) {
  auto* stage = new FleetStage(plan, coverage, mutant);  // on the heap: after an abort nobody may touch it
  stage->world().trace = std::move(trace);
  const Instant began = stage->world().now();
  const bool survived = Survives([](void* what) { static_cast<FleetStage*>(what)->Play(); }, stage);
  if (stage->world().livelocked()) stage->oracle().Broken(Rule::kLivelock, "too many events at one moment, or in all");
  FleetResult result;
  result.run.finding = stage->oracle().finding();
  if (!survived && !result.run.finding.has_value()) {
    result.run.finding =
        Finding{Rule::kCheckFailed, "a check of a core failed (its text went to stderr)", stage->world().now()};
  }
  result.run.acked = stage->oracle().acked();
  result.run.steps = stage->world().steps();
  result.run.simulated_ns = stage->world().now() - began;
  result.reached = stage->reached();
  result.barriers = stage->barriers();
  if (survived) delete stage;
  return result;
}

}  // namespace understudy::sim

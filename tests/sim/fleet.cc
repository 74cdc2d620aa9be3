#include "tests/sim/fleet.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/coordinator/core/service_spec.h"
#include "tests/sim/fleet_coordinator.h"
#include "tests/sim/fleet_metadata.h"
#include "tests/sim/fleet_node.h"

namespace understudy::sim {
namespace {

constexpr int64_t kFirstServedMs = 4000;  // from nothing to everything served, without a fault
constexpr int64_t kServedMs = 15'000;     // from the end of the faults
constexpr int64_t kStepNs = 5 * kNsPerMs;

class FleetStage : public Holdings {
 public:
  FleetStage(const FleetPlan& plan, Coverage* coverage);

  World& world() { return world_; }
  Oracle& oracle() { return oracle_; }
  const FleetCounts& counts() const { return counts_; }
  void Play();

  const std::vector<Stored>* Find(const DiskId& id, LogId log, Epoch epoch) const override {
    const Disk& disk = *disks_[static_cast<size_t>(Disk::NumberOf(id)) - 1];
    return disk.trusted(id) ? disk.Find(log, epoch) : nullptr;
  }
  bool HoldsCheckpoint(const DiskId& id, LogId log, uint64_t checkpoint) const override {
    const Disk& disk = *disks_[static_cast<size_t>(Disk::NumberOf(id)) - 1];
    return disk.trusted(id) && disk.HoldsCheckpoint(log, checkpoint);
  }

 private:
  void Do(const FleetEvent& event);
  void AtEndOf(int64_t for_us, Task task) { world_.At(std::min(world_.now() + for_us * 1000, end_), std::move(task)); }
  void CutBoth(const std::vector<NodeId>& some, const std::vector<NodeId>& others, int64_t for_us);
  FleetNode& node(int64_t which) { return *nodes_[static_cast<size_t>(which) % nodes_.size()]; }
  FleetCoordinator& coordinator(int64_t which) {
    return *coordinators_[static_cast<size_t>(which) % coordinators_.size()];
  }
  LogId log(int64_t which) const { return services_[static_cast<size_t>(which) % services_.size()].log; }
  std::string Unserved();  // which service and why; empty: all are served
  bool RunUntilServed(int64_t limit_ms, std::string* why);
  std::vector<Owner> Owners() const;

  const FleetPlan& plan_;
  Coverage* coverage_;
  World world_;
  Oracle oracle_;
  Metadata chains_;
  std::vector<FleetNode::Service> services_;
  FleetMetadata metadata_;
  std::vector<std::unique_ptr<Disk>> disks_;
  std::vector<std::unique_ptr<FleetNode>> nodes_;
  std::vector<std::unique_ptr<FleetCoordinator>> coordinators_;
  Instant end_;
  FleetCounts counts_;
  uint64_t tokens_ = 0;
};

std::vector<FleetNode::Service> ServicesOf(const FleetPlan& plan) {
  std::vector<FleetNode::Service> services;
  for (int i = 1; i <= plan.services; ++i) {
    services.push_back({"s" + std::to_string(i), LogId(static_cast<uint64_t>(i))});
  }
  return services;
}

std::vector<LogId> LogsOf(const FleetPlan& plan) {
  std::vector<LogId> logs;
  for (const FleetNode::Service& service : ServicesOf(plan)) logs.push_back(service.log);
  return logs;
}

FleetStage::FleetStage(const FleetPlan& plan, Coverage* coverage)
    : plan_(plan),
      coverage_(coverage),
      world_(plan.seed, NetworkRates()),
      oracle_(this),
      chains_(&world_, &oracle_, coverage),
      services_(ServicesOf(plan)),
      metadata_(&world_, &chains_, LogsOf(plan)) {
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
    chain.replicas_target = 3;
    chain.ack_quorum = 2;
    chains_.AddLog(chain);
    coordinator::ServiceSpec spec;
    spec.name = service.name;
    spec.program = "/bin/application";
    spec.standby = plan.standby;
    spec.replicas = chain.replicas_target;
    spec.ack_quorum = chain.ack_quorum;
    spec.log = service.log;
    spec.stop_grace_ms = 20;
    spec.policy.persist_ms = 50;
    spec.policy.dwell_ms = 300;
    spec.policy.cooldown_ms = 200;
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
  }

  FleetCoordinator::Fleet to_coordinator;
  to_coordinator.world = &world_;
  to_coordinator.metadata = &metadata_;
  to_coordinator.disk = find;
  to_coordinator.command = [this](NodeId from, const coordinator::SendCommand& send) {
    for (auto& to : nodes_) {
      if (to->name() != send.node) continue;
      auto shared = std::make_shared<const Command>(send.command);
      world_.Send(
          from, to->node(), [to = to.get(), shared] { to->Command(*shared); },
          [&] {
            return "command " + std::to_string(send.command.id & 0xFFFFFFFF) + " kind " +
                   std::to_string(static_cast<int>(send.command.kind)) + " of '" + send.command.service + "' epoch " +
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
  options.start_failures_max = 1 << 20;  // giving up for good is a person's affair
  options.recoveries_failed_max = 1 << 20;
  for (int i = 1; i <= plan.coordinators; ++i) {
    coordinators_.push_back(std::make_unique<FleetCoordinator>(to_coordinator, "c" + std::to_string(i)));
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

std::string FleetStage::Unserved() {
  const FleetCoordinator* leader = nullptr;
  for (const auto& candidate : coordinators_) {
    if (candidate->leads()) leader = candidate.get();
  }
  if (leader == nullptr) return "no coordinator leads";
  for (const FleetNode::Service& service : services_) {
    const EpochEntry* last = chains_.value(service.log).chain.last();
    if (last == nullptr) return service.name + " has no epoch yet";
    const auto owner =
        std::find_if(nodes_.begin(), nodes_.end(), [&](const auto& node) { return node->name() == last->owner.node; });
    Application* app = (*owner)->application(service.log);
    if (!app->serving() || app->writer()->attempt() != last->attempt) {
      return service.name + ", owned by " + last->owner.node + ", is not served";
    }
    if (!app->writer()->MayServe(world_.Local(app->node()))) return service.name + " has fenced itself";
    const auto& known = leader->core()->services();
    const auto state = known.find(service.name);
    if (state == known.end()) return "the leader does not know " + service.name;
    if (state->second.plan.move.kind != coordinator::MoveKind::kNone) {
      return "the plan of " + service.name +
             " does not end: " + std::string(coordinator::MoveKindName(state->second.plan.move.kind)) + " move, step " +
             std::string(coordinator::MoveStepName(state->second.plan.move.step)) + " to '" +
             state->second.plan.move.to + "' " + state->second.trouble;
    }
  }
  return "";
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
    oracle_.Broken(Rule::kLiveServed, why + " " + std::to_string(kServedMs) + " ms after the faults stopped");
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
  for (const auto& candidate : coordinators_) {
    if (candidate->core() == nullptr) continue;
    for (const auto& move : candidate->core()->moves()) {
      ++(move.kind == coordinator::MoveKind::kPlanned ? counts_.moves_planned : counts_.moves_unplanned);
    }
  }
  for (const auto& node : nodes_) {
    for (const FleetNode::Service& service : services_)
      counts_.barriers += node->application(service.log)->barriers_done();
  }
  ++counts_.served;
}

void FleetStage::CutBoth(const std::vector<NodeId>& some, const std::vector<NodeId>& others, int64_t for_us) {
  const auto cut = [this, some, others](bool yes) {
    for (const NodeId a : some) {
      for (const NodeId b : others) {
        if (std::find(some.begin(), some.end(), b) != some.end()) continue;
        world_.Cut(a, b, yes);
        world_.Cut(b, a, yes);
      }
    }
  };
  cut(true);
  AtEndOf(for_us, [cut] { cut(false); });
}

void FleetStage::Do(const FleetEvent& event) {
  const int64_t for_us = event.for_us;
  FleetNode* at = &node(event.which);
  FleetCoordinator* one = &coordinator(event.which);
  Disk* disk = disks_[static_cast<size_t>(event.which) % disks_.size()].get();
  if (world_.trace) {
    world_.Say("PLAN  action " + std::to_string(static_cast<int>(event.action)) + " on " + std::to_string(event.which));
  }
  switch (event.action) {
    case FleetAction::kOutage:
      chains_.SetOutage(event.value % 2 == 0 ? Metadata::Outage::kSilent : Metadata::Outage::kRefuses);
      return AtEndOf(for_us, [this] { chains_.SetOutage(Metadata::Outage::kNone); });
    case FleetAction::kCoordinatorCrash:
      one->Crash();
      return AtEndOf(for_us, [one] { one->Start(); });
    case FleetAction::kCoordinatorFreeze:
      world_.Freeze(one->node(), true);
      return AtEndOf(for_us, [this, one] { world_.Freeze(one->node(), false); });
    case FleetAction::kCoordinatorJump:
      return world_.JumpClock(one->node(), for_us * 1000);
    case FleetAction::kCoordinatorCut: {
      std::vector<NodeId> others = {chains_.node()};
      if (event.value % 3 == 1) others = {node(event.value).node()};
      if (event.value % 3 == 2) {
        others.clear();
        for (NodeId other = 0; other < world_.nodes(); ++other) {
          if (other != one->node()) others.push_back(other);
        }
      }
      return CutBoth({one->node()}, others, for_us);
    }
    case FleetAction::kKillProcess:
      return at->KillProcess("killed");
    case FleetAction::kFreezeProcess:
      coverage_->Hit(Fault::node_frozen);
      at->FreezeProcess(true);
      return AtEndOf(for_us, [at] { at->FreezeProcess(false); });
    case FleetAction::kKillAgent:
      at->KillAgent();
      return AtEndOf(for_us, [at] { at->StartAgent(); });
    case FleetAction::kFreezeAgent:
      world_.Freeze(at->node(), true);
      return AtEndOf(for_us, [this, at] { world_.Freeze(at->node(), false); });
    case FleetAction::kPowerOff:
      at->PowerOff();
      return AtEndOf(for_us, [at] { at->StartAgent(); });
    case FleetAction::kIsolate: {
      coverage_->Hit(Fault::node_isolated);
      std::vector<NodeId> all;
      for (NodeId other = 0; other < world_.nodes(); ++other) all.push_back(other);
      return CutBoth(at->nodes(), all, for_us);
    }
    case FleetAction::kJump:
      coverage_->Hit(Fault::clock_jump);
      for (const NodeId part : at->nodes()) world_.JumpClock(part, for_us * 1000);
      return;
    case FleetAction::kDiskCrash:
      return disk->Crash(static_cast<CrashPoint>(event.value % 5), event.value % 2 == 0, 1, for_us * 1000);
    case FleetAction::kDiskHang:
      disk->SetHung(true);
      return AtEndOf(for_us, [disk] { disk->SetHung(false); });
    case FleetAction::kDiskSlow:
      disk->SetSlow(2 + static_cast<int>(event.value % 30));
      return AtEndOf(for_us, [disk] { disk->SetSlow(1); });
    case FleetAction::kCasReplyLost:
      return chains_.LoseNextReply(log(event.which));
    case FleetAction::kCasLate:
      return chains_.HoldNextCas(log(event.which), for_us * 1000);
    case FleetAction::kForecast: {
      Forecast forecast;
      forecast.predictor = "nonsense";
      forecast.status = event.value % 7 == 0 ? ForecastStatus::kAbstain : ForecastStatus::kOk;
      forecast.horizon_ms = 10'000;
      forecast.probability = static_cast<double>(event.value % 101) / 100;
      forecast.confidence = 1;
      forecast.reason = "it said so";
      const std::string& service = services_[static_cast<size_t>(event.which) % services_.size()].name;
      for (auto& candidate : coordinators_) candidate->Forecast(service, {forecast});
      return;
    }
    case FleetAction::kSwitchover:
    case FleetAction::kPause: {
      coordinator::OperatorRequest request;
      request.token = ++tokens_;
      request.kind = event.action == FleetAction::kPause ? coordinator::RequestKind::kPause
                                                         : coordinator::RequestKind::kSwitchover;
      request.service = services_[static_cast<size_t>(event.which) % services_.size()].name;
      request.paused = event.value % 2 == 0;
      for (auto& candidate : coordinators_) {
        if (candidate->leads()) candidate->Request(request);
      }
      return;
    }
    case FleetAction::kCount:
      return;
  }
}

}  // namespace

FleetPlan MakeFleetPlan(uint64_t seed) {
  FleetPlan plan;
  plan.seed = seed;
  Stream stream(Mix(seed, 0xF1EE7BAD));
  plan.quiet = stream.Below(3) == 0;
  plan.services = static_cast<int>(stream.Between(1, 2));
  plan.nodes = plan.services + static_cast<int>(stream.Between(1, 2));
  plan.disks = static_cast<int>(stream.Between(3, 4));
  plan.standby = stream.Below(2) == 0;
  plan.run_us = stream.Between(1000, 4000) * 1000;
  if (!plan.quiet && stream.Below(2) == 0) {
    plan.network.drop_permille = static_cast<int>(stream.Between(0, 60));
    plan.network.duplicate_permille = static_cast<int>(stream.Between(0, 100));
    plan.network.late_permille = static_cast<int>(stream.Between(0, 60));
  }
  const int64_t kinds =
      plan.quiet ? static_cast<int64_t>(FleetAction::kKillProcess) : static_cast<int64_t>(FleetAction::kCount);
  const int64_t count = stream.Between(1, plan.quiet ? 12 : 24);
  for (int64_t i = 0; i < count; ++i) {
    FleetEvent event;
    event.at_us = stream.Between(0, plan.run_us);
    event.action = static_cast<FleetAction>(stream.Below(static_cast<uint64_t>(kinds)));
    event.which = stream.Between(0, 11);
    event.for_us = stream.Between(1000, stream.Below(3) == 0 ? 1'500'000 : 300'000);
    event.value = stream.Between(0, 1000);
    plan.events.push_back(event);
    // A forecast that nobody repeats is soon forgotten.
    for (int64_t k = 1; event.action == FleetAction::kForecast && k <= 8; ++k) {
      FleetEvent again = event;
      again.at_us += k * 30'000;
      plan.events.push_back(again);
    }
  }
  std::stable_sort(plan.events.begin(), plan.events.end(),
                   [](const FleetEvent& a, const FleetEvent& b) { return a.at_us < b.at_us; });
  return plan;
}

std::string ToText(const FleetPlan& plan) {
  static constexpr const char* kNames[] = {"outage",
                                           "coordinator-crash",
                                           "coordinator-freeze",
                                           "coordinator-jump",
                                           "coordinator-cut",
                                           "kill",
                                           "freeze",
                                           "kill-agent",
                                           "freeze-agent",
                                           "power-off",
                                           "isolate",
                                           "jump",
                                           "disk-crash",
                                           "disk-hang",
                                           "disk-slow",
                                           "cas-lost",
                                           "cas-late",
                                           "forecast",
                                           "switchover",
                                           "pause"};
  static_assert(std::size(kNames) == static_cast<size_t>(FleetAction::kCount));
  std::string text = "fleet seed " + std::to_string(plan.seed) + (plan.quiet ? " quiet" : "") + ": " +
                     std::to_string(plan.services) + " services, " + std::to_string(plan.nodes) + " nodes, " +
                     std::to_string(plan.disks) + " disks, " + std::to_string(plan.coordinators) + " coordinators\n";
  for (const FleetEvent& event : plan.events) {
    text += "  at " + std::to_string(event.at_us) + " us " + kNames[static_cast<size_t>(event.action)] +
            " which=" + std::to_string(event.which) + " for_us=" + std::to_string(event.for_us) +
            " value=" + std::to_string(event.value) + "\n";
  }
  return text;
}

FleetResult RunFleet(const FleetPlan& plan, Coverage* coverage, std::function<void(const std::string&)> trace) {
  auto* stage = new FleetStage(plan, coverage);  // on the heap: after an abort nobody may touch it
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
  result.counts = stage->counts();
  if (survived) delete stage;
  return result;
}

FleetPlan ShrinkFleet(const FleetPlan& plan, Rule rule) {
  FleetPlan shortest = plan;
  const auto still_breaks = [&](const FleetPlan& candidate) {
    Coverage coverage;
    const FleetResult result = RunFleet(candidate, &coverage);
    return result.run.finding.has_value() && result.run.finding->rule == rule;
  };
  FleetPlan calm = shortest;
  calm.network = NetworkRates();
  if (still_breaks(calm)) shortest = calm;
  for (size_t stretch = std::max<size_t>(shortest.events.size() / 2, 1); stretch > 0; stretch /= 2) {
    for (size_t i = 0; i < shortest.events.size();) {
      FleetPlan without = shortest;
      const auto from = without.events.begin() + static_cast<int64_t>(i);
      without.events.erase(from, from + static_cast<int64_t>(std::min(stretch, without.events.size() - i)));
      if (still_breaks(without)) {
        shortest = std::move(without);
      } else {
        i += stretch;
      }
    }
  }
  return shortest;
}

}  // namespace understudy::sim

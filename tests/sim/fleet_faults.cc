// What the events of a plan do to the fleet.
#include <nlohmann/json.hpp>

#include "log/format/disk_entry.h"
#include "predictors/policy/policy_json.h"
#include "tests/sim/fleet_stage.h"

namespace understudy::sim {
namespace {

constexpr int64_t kLossWindowNs = 250 * kNsPerMs;
constexpr int kMoreServices = 2;

}  // namespace

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
  reached_.Hit(std::string("fault ") + Name(event.action));
  if (world_.trace) {
    world_.Say(std::string("PLAN  ") + Name(event.action) + " on " + std::to_string(event.which));
  }
  if (event.action < FleetAction::kKillProcess) return DoToCoordinator(event);
  if (event.action < FleetAction::kDiskCrash) return DoToNode(event);
  if (event.action < FleetAction::kForecast || event.action == FleetAction::kWipe) return DoToDisk(event);
  DoAsOperator(event);
}

void FleetStage::DoToCoordinator(const FleetEvent& event) {
  const int64_t for_us = event.for_us;
  FleetCoordinator* one = &coordinator(event.which);
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
    default:
      return;
  }
}

void FleetStage::DoToNode(const FleetEvent& event) {
  const int64_t for_us = event.for_us;
  FleetNode* at = &node(event.which);
  switch (event.action) {
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
    default:
      return;
  }
}

// The table of survivable faults, as for the log's own plans: one disk at a time, and nothing on the last copy.
bool FleetStage::MayLose(const Disk& disk) const {
  if (!disk.trusted(disk.id())) return true;
  const auto recently =
      std::count_if(losses_.begin(), losses_.end(), [&](Instant at) { return world_.now() - at < kLossWindowNs; });
  const auto left = std::count_if(disks_.begin(), disks_.end(), [&](const auto& other) {
    return other.get() != &disk && other->trusted(other->id());
  });
  if (recently > 0 || left < 2) return false;
  // An epoch that is about to begin on disks chosen a while ago needs them, too.
  for (const auto& node : nodes_) {
    for (const LogId log : metadata_.logs()) {
      for (const ReplicaRef& ref : node->application(log)->moving_to()) {
        if (ref.disk == disk.id() || !disks_[static_cast<size_t>(Disk::NumberOf(ref.disk)) - 1]->trusted(ref.disk)) {
          return false;
        }
      }
    }
  }
  return oracle_.MayLose(disk.id());
}

void FleetStage::DoToDisk(const FleetEvent& event) {
  const int64_t for_us = event.for_us;
  Disk* disk = disks_[static_cast<size_t>(event.which) % disks_.size()].get();
  switch (event.action) {
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
    case FleetAction::kWipe:
      if (!MayLose(*disk)) return;
      losses_.push_back(world_.now());
      disk->Wipe(for_us * 1000);
      return oracle_.Audit();
    default:
      return;
  }
}

// Whoever leads is asked; nobody asks again.
void FleetStage::Ask(coordinator::OperatorRequest request) {
  for (auto& candidate : coordinators_) {
    if (!candidate->leads()) continue;
    request.token = ++tokens_;
    candidate->Request(request);
    return;
  }
}

void FleetStage::DoAsOperator(const FleetEvent& event) {
  coordinator::OperatorRequest request;
  const std::vector<FleetNode::Service> first = ServicesOf(plan_);
  std::vector<std::string> names;
  for (const FleetNode::Service& service : first) names.push_back(service.name);
  request.service = names[static_cast<size_t>(event.which) % names.size()];
  for (int i = 1; i <= kMoreServices; ++i) names.push_back("x" + std::to_string(i));
  const std::string& any = names[static_cast<size_t>(event.which) % names.size()];
  switch (event.action) {
    case FleetAction::kForecast:
    case FleetAction::kCommonCause: {
      const bool all = event.action == FleetAction::kCommonCause;
      Forecast forecast;
      forecast.predictor = "nonsense";
      forecast.status = event.value % 7 == 0 && !all ? ForecastStatus::kAbstain : ForecastStatus::kOk;
      forecast.horizon_ms = 10'000;
      forecast.probability = static_cast<double>(all ? 50 + event.value % 51 : event.value % 101) / 100;
      forecast.confidence = 1;
      forecast.reason = "it said so";
      forecast.restart_cures = plan_.restarts;
      for (const coordinator::ServiceSpec& spec : metadata_.Services()) {
        if (!all && spec.name != request.service) continue;
        for (auto& candidate : coordinators_) candidate->Forecast(spec.name, {forecast});
      }
      return;
    }
    case FleetAction::kSwitchover:
      request.kind = coordinator::RequestKind::kSwitchover;
      return Ask(request);
    case FleetAction::kPause:
      request.kind = coordinator::RequestKind::kPause;
      request.paused = event.value % 2 == 0;
      return Ask(request);
    case FleetAction::kApply: {
      // Never more services than nodes: each needs one to itself.
      if (!asked_.contains(any) && asked_.size() >= nodes_.size()) return;
      asked_.insert(any);
      coordinator::ServiceSpec spec = SpecOf({any, LogId()}, event.value % 2 == 0, plan_.restarts);
      spec.warm = event.value / 2 % 4 != 0;
      spec.replicas = 2 + static_cast<int>(event.value / 8 % (static_cast<int64_t>(disks_.size()) - 1));
      if (plan_.labels && event.value / 64 % 2 == 0) spec.labels = {{"rack", event.value / 128 % 2 == 0 ? "a" : "b"}};
      request.kind = coordinator::RequestKind::kApply;
      request.service = any;
      request.document = coordinator::EncodeServiceSpec(spec);
      return Ask(request);
    }
    case FleetAction::kRemove:
      request.kind = coordinator::RequestKind::kRemove;
      request.service = any;
      return Ask(request);
    case FleetAction::kDrain:
    case FleetAction::kUndrain:
    case FleetAction::kRebalance: {
      nlohmann::json document = {{"request", Name(event.action)}};
      if (event.action != FleetAction::kRebalance) {
        document["node"] = disks_[static_cast<size_t>(event.which) % disks_.size()]->name();
      }
      request.kind = coordinator::RequestKind::kLogs;
      request.document = document.dump();
      return Ask(request);
    }
    case FleetAction::kSettings: {
      nlohmann::json settings = {{"brake_percent", 25 + 25 * (event.value % 4)},
                                 {"brake_services_min", 2 + event.value / 4 % 2},
                                 {"reserve_spares", event.value / 8 % 2},
                                 {"dry_run", event.value / 16 % 4 == 0},
                                 {"windows", nlohmann::json::array()}};
      if (event.value / 64 % 2 == 0) {
        const int64_t now_ms = world_.now().ns() / kNsPerMs;
        settings["windows"].push_back({{"kind", event.value / 128 % 2 == 0 ? "forbid" : "allow"},
                                       {"from", policy::UtcText(now_ms)},
                                       {"to", policy::UtcText(now_ms + 1000 + event.for_us / 100)}});
      }
      request.kind = coordinator::RequestKind::kPolicy;
      request.document = nlohmann::json({{"request", "settings"}, {"settings", settings}}).dump();
      return Ask(request);
    }
    default:
      return;
  }
}

}  // namespace understudy::sim

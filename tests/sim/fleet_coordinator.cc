#include "tests/sim/fleet_coordinator.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace understudy::sim {
namespace {

constexpr int64_t kWatchNs = 4 * kNsPerMs;
constexpr int64_t kMetadataTimeoutNs = 60 * kNsPerMs;
constexpr char kLeaderKey[] = "leader";  // kept among the settings here

}  // namespace

FleetCoordinator::FleetCoordinator(const Fleet& fleet, std::string name)
    : fleet_(fleet),
      name_(std::move(name)),
      node_(fleet.world->AddNode(name_)),
      election_timer_(fleet.world, node_,
                      [this] {
                        if (up_) Elect([this](coordinator::Election* e, auto* out) { e->Tick(Now(), out); });
                      }),
      core_timer_(fleet.world, node_, [this] {
        if (up_ && core_ != nullptr) Step(coordinator::Tick{});
      }) {
  Start();
}

void FleetCoordinator::Start() {
  if (up_) return;
  up_ = true;
  ++life_;
  coordinator::ElectionOptions options;
  options.name = name_;
  options.address = name_;
  options.incarnation = ++incarnation_;
  options.lease_ms = fleet_.lease_ms;
  election_ = std::make_unique<coordinator::Election>(options);
  watched_ = 0;
  Watch();
  Elect([this](coordinator::Election* election, auto* out) { election->Tick(Now(), out); });
}

void FleetCoordinator::Crash() {
  up_ = false;
  ++life_;
  EndToLead();
}

void FleetCoordinator::EndToLead() {
  if (core_ != nullptr && loaded_) fleet_.watch->Lost({name_, reign_}, *core_);
  core_.reset();
  loaded_ = false;
}

// ---- the lease ----

void FleetCoordinator::Elect(const ElectionCall& call) {
  coordinator::ElectionEffects out;
  call(election_.get(), &out);
  election_timer_.Set(out.wake_at);
  if (out.read != 0) {
    auto answered = std::make_shared<bool>(false);
    const auto finish = [this, answered, id = out.read](Status status, const FleetMetadata::Item& item) {
      if (std::exchange(*answered, true)) return;
      Elect([&](coordinator::Election* election, auto* more) {
        election->ReadDone(id, status, item.value, item.version, Now(), more);
      });
    };
    fleet_.metadata->Get(node_, Kind::kSettings, kLeaderKey, [this, life = life_, finish](FleetMetadata::Item item) {
      if (up_ && life == life_) finish(Status::Ok(), item);
    });
    Later(kMetadataTimeoutNs, [finish] { finish({StatusCode::kUnavailable, "no answer"}, {}); });
  }
  if (out.cas.has_value()) {
    auto answered = std::make_shared<bool>(false);
    const auto finish = [this, answered, id = out.cas->id](StatusCode code, uint64_t version) {
      if (std::exchange(*answered, true)) return;
      Elect([&](coordinator::Election* election, auto* more) { election->CasDone(id, code, version, Now(), more); });
    };
    fleet_.metadata->Cas(node_, {Kind::kSettings, kLeaderKey, out.cas->value, 0}, out.cas->expected,
                         [this, life = life_, finish](StatusCode code, uint64_t version) {
                           if (up_ && life == life_) finish(code, version);
                         });
    Later(kMetadataTimeoutNs, [finish] { finish(StatusCode::kOutcomeUnknown, 0); });
  }
  if (!out.changed) return;
  fleet_.world->Note(node_, [&] { return (election_->Leads(Now()) ? "leads: " : "leads no more: ") + out.why; });
  if (election_->Leads(Now())) {
    BeginToLead();
  } else {
    EndToLead();
  }
}

void FleetCoordinator::BeginToLead() {
  ++reign_;
  coordinator::CoreOptions options = fleet_.options;
  options.name = name_;
  options.addresses = {name_};
  core_ = std::make_unique<coordinator::Core>(options);
  loaded_ = false;
  Load();
}

void FleetCoordinator::Load() {
  fleet_.metadata->List(node_, [this, life = life_, reign = reign_](const std::vector<FleetMetadata::Item>& all) {
    if (!up_ || life != life_ || reign != reign_ || core_ == nullptr || loaded_) return;
    for (const FleetMetadata::Item& item : all) {
      if (item.name != kLeaderKey) Step(coordinator::MetadataChanged{item.kind, item.name, item.value, item.version});
    }
    if (core_ == nullptr) return;
    loaded_ = true;
    fleet_.watch->Found(*core_);
    Step(coordinator::MetadataLoaded{election_->term()});
  });
  Later(kMetadataTimeoutNs, [this, reign = reign_] {
    if (reign == reign_ && core_ != nullptr && !loaded_) Load();
  });
}

void FleetCoordinator::Watch() {
  Later(kWatchNs, [this] {
    std::vector<FleetMetadata::Item> changes;
    fleet_.metadata->Watch(node_, &watched_, &changes);
    for (const FleetMetadata::Item& item : changes) {
      if (item.kind == Kind::kSettings && item.name == kLeaderKey) {
        Elect([&](coordinator::Election* election, auto* out) {
          election->Changed(item.value, item.version, Now(), out);
        });
        continue;
      }
      if (core_ != nullptr) Step(coordinator::MetadataChanged{item.kind, item.name, item.value, item.version});
    }
    Watch();
  });
}

// ---- the core ----

void FleetCoordinator::Reported(const AgentReport& report) {
  if (up_ && core_ != nullptr) Step(coordinator::NodeReported{report});
}
void FleetCoordinator::Forecast(const std::string& service, std::vector<understudy::Forecast> forecasts) {
  if (up_ && core_ != nullptr && !fleet_.world->frozen(node_)) {
    Step(coordinator::ForecastsArrived{service, std::move(forecasts)});
  }
}
void FleetCoordinator::Request(coordinator::OperatorRequest request) {
  if (!up_ || core_ == nullptr || !loaded_ || fleet_.world->frozen(node_)) return;
  fleet_.watch->Asked({name_, reign_}, request);
  Step(std::move(request));
}

void FleetCoordinator::Step(decltype(coordinator::Input::what) what) {
  // A process that was stopped may wake up with its lease long gone: it looks before it acts.
  if (!election_->Leads(Now())) {
    Elect([this](coordinator::Election* election, auto* out) { election->Tick(Now(), out); });
    if (core_ == nullptr) return;
  }
  coordinator::Input input{std::move(what), fleet_.world->now().ns() / kNsPerMs};
  if (fleet_.mutant.hears) fleet_.mutant.hears(&input);
  coordinator::Effects effects;
  core_->Step(input, Now(), &effects);
  if (fleet_.mutant.decides) fleet_.mutant.decides(*core_, &effects);
  core_timer_.Set(effects.wake_at);
  if (loaded_) fleet_.watch->Decided({name_, reign_}, *core_, effects);
  Perform(effects);
}

void FleetCoordinator::Perform(coordinator::Effects& effects) {
  for (const coordinator::Event& event : effects.events) {
    fleet_.world->Note(node_, [&] {
      return "event " + event.kind + " service=" + event.service + " node=" + event.node + ": " + event.text;
    });
  }
  for (const coordinator::SendCommand& send : effects.commands) fleet_.command(node_, send);
  for (const coordinator::WriteMetadata& write : effects.writes) {
    auto answered = std::make_shared<bool>(false);
    const auto finish = [this, answered, write, reign = reign_](StatusCode code, uint64_t version) {
      if (std::exchange(*answered, true) || reign != reign_ || core_ == nullptr) return;
      Step(coordinator::MetadataWritten{write.kind, write.name, code, "", version});
    };
    fleet_.metadata->Cas(node_, {write.kind, write.name, write.value, 0}, write.expected,
                         [this, life = life_, finish](StatusCode code, uint64_t version) {
                           if (up_ && life == life_) finish(code, version);
                         });
    Later(kMetadataTimeoutNs, [finish] { finish(StatusCode::kOutcomeUnknown, 0); });
  }
  for (const coordinator::ReadMetadata& read : effects.reads) {
    // Asked again until there is an answer, as the shell does.
    auto ask = std::make_shared<std::function<void()>>();
    auto answered = std::make_shared<bool>(false);
    *ask = [this, read, ask = std::weak_ptr(ask), answered, reign = reign_, life = life_] {
      if (*answered || reign != reign_ || core_ == nullptr) return;
      fleet_.metadata->Get(node_, read.kind, read.name, [this, answered, reign, life](FleetMetadata::Item item) {
        if (!up_ || life != life_ || reign != reign_ || core_ == nullptr || std::exchange(*answered, true)) return;
        Step(coordinator::MetadataChanged{item.kind, item.name, item.value, item.version});
      });
      Later(kMetadataTimeoutNs, [keep = ask.lock()] { (*keep)(); });
    };
    (*ask)();
  }
  for (const std::string& service : effects.ask_writer_age) AskAge(service);
}

// The smallest age that enough disks of the last epoch say.
void FleetCoordinator::AskAge(const std::string& name) {
  const auto service = core_->services().find(name);
  if (service == core_->services().end()) return;
  const auto log = core_->logs().find(service->second.spec.log.value());
  if (log == core_->logs().end() || log->second.chain.last() == nullptr) return;
  const EpochEntry& last = *log->second.chain.last();
  struct Round {
    std::set<DiskId> answered;
    int64_t age_ms = -1;
  };
  auto round = std::make_shared<Round>();
  const Epoch epoch = last.epoch;
  const int needed = static_cast<int>(last.disks.size()) - last.ack_quorum + 1;
  for (const ReplicaRef& ref : last.disks) {
    Disk* disk = fleet_.disk(ref.disk);
    fleet_.world->Send(
        node_, disk->node(),
        [this, disk, id = ref.disk, log_id = LogId(service->second.spec.log), epoch, needed, name, round, life = life_,
         reign = reign_] {
          const std::optional<ReplicaStatusResponse> status = disk->StatusOf(id, log_id);
          if (!status.has_value()) return;
          fleet_.world->Send(
              disk->node(), node_,
              [this, status = *status, id, epoch, needed, name, round, life, reign] {
                if (!up_ || life != life_ || reign != reign_ || core_ == nullptr) return;
                if (status.code != StatusCode::kOk && status.code != StatusCode::kNotFound) return;
                round->answered.insert(id);
                const int answered = static_cast<int>(round->answered.size());
                if (status.writer_age_ms >= 0) {
                  round->age_ms =
                      round->age_ms < 0 ? status.writer_age_ms : std::min(round->age_ms, status.writer_age_ms);
                }
                if (answered >= needed) Step(coordinator::WriterAge{name, epoch, answered, needed, round->age_ms});
              },
              [&] { return "its writer is silent for " + std::to_string(status->writer_age_ms) + " ms"; });
        },
        [] { return std::string("how long is its writer silent?"); });
  }
}

}  // namespace understudy::sim

#include "server/coordinator/coordinator.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "log/env/logging.h"
#include "log/format/disk_entry.h"
#include "server/coordinator/core/core.h"
#include "server/coordinator/event_log.h"
#include "server/coordinator/forecaster.h"
#include "server/coordinator/leadership.h"
#include "server/coordinator/metadata_link.h"
#include "server/coordinator/node_polls.h"
#include "server/coordinator/presence.h"
#include "server/coordinator/quota_watch.h"
#include "server/coordinator/status_document.h"
#include "server/coordinator/writer_age_probe.h"

namespace understudy {
namespace {

using namespace coordinator;  // NOLINT: its own internals

constexpr size_t kReportsEarlyMax = 16'384;  // nodes heard while the metadata is being read: as many as the core takes
constexpr size_t kRequestsMax = 1024;        // operators waiting

CoreOptions CoreOptionsOf(const CoordinatorOptions& options) {
  CoreOptions core;
  core.cluster = options.cluster;
  core.name = options.name;
  core.addresses = options.addresses;
  core.node_timeout_ms = std::max(options.node_timeout_ms, 2 * options.heartbeat_ms);
  core.app_timeout_ms = core.node_timeout_ms / 2;  // its agent has waited for a word of it already
  core.takeover_timeout_ms = options.takeover_timeout_ms;
  return core;
}

// What a log that keeps too much can be trimmed to.
std::string OldestCheckpoint(const Chain& chain) {
  if (chain.checkpoints.empty()) return "it has no checkpoint";
  const std::string lsn = std::to_string(chain.checkpoints.front().lsn.value());
  if (chain.checkpoints.size() == 1) return "its one checkpoint is at LSN " + lsn + "; a second one lets it be trimmed";
  return "its oldest checkpoint is at LSN " + lsn;
}

// What earlier coordinators recorded.
HistoryRestored HistoryOf(const std::vector<MetadataEntry>& events) {
  HistoryRestored history;
  for (const MetadataEntry& entry : events) {
    try {
      const auto event = nlohmann::json::parse(entry.value);
      if (const auto service = event.at("service").get<std::string>(); !service.empty()) {
        history.decisions.push_back({service,
                                     {event.at("unix_ms").get<int64_t>(), event.at("kind").get<std::string>(),
                                      event.at("node").get<std::string>(), event.at("text").get<std::string>()}});
      }
      if (event.at("kind") != "move_done") continue;
      MoveRecord move;
      const auto kind = event.at("move").get<std::string>();
      move.kind = kind == MoveKindName(MoveKind::kPlanned)   ? MoveKind::kPlanned
                  : kind == MoveKindName(MoveKind::kRestart) ? MoveKind::kRestart
                                                             : MoveKind::kUnplanned;
      move.service = event.at("service").get<std::string>();
      move.from = event.at("from").get<std::string>();
      move.to = event.at("to").get<std::string>();
      move.reason = event.at("text").get<std::string>();
      move.epoch = Epoch(event.at("epoch").get<uint64_t>());
      move.started_unix_ms = event.at("started_unix_ms").get<int64_t>();
      move.ended_unix_ms = event.at("unix_ms").get<int64_t>();
      move.lead_s = event.at("lead_s").get<double>();
      move.replayed = event.at("replayed").get<int64_t>();
      move.gap_ms = event.at("gap_ms").get<double>();
      history.moves.push_back(std::move(move));
    } catch (const nlohmann::json::exception&) {
      continue;  // an event of another version: history only
    }
  }
  return history;
}

}  // namespace

class Coordinator::Impl : public CoordinatorServiceHandler, public std::enable_shared_from_this<Coordinator::Impl> {
 public:
  Impl(EventLoop* loop, MetadataStore* store, std::unique_ptr<PredictorHost> predictors, CoordinatorOptions options)
      : loop_(loop),
        store_(store),
        options_(std::move(options)),
        address_(options_.addresses.empty() ? "" : options_.addresses.front()),
        polls_(loop),
        calibrations_(std::make_shared<CalibrationStore>(loop, store, options_.cluster)),
        forecaster_(std::make_shared<Forecaster>(
            loop, std::move(predictors), calibrations_, [this](const ForecastsArrived& forecasts) { Step(forecasts); },
            [this](const Event& event) {
              if (Leads()) events_->Append(event, loop_->clock()->WallUnixMs());
            })) {
    const std::string root = "/understudy/" + options_.cluster + "/";
    ElectionOptions election;
    election.name = options_.name;
    election.address = address_;
    election.incarnation = options_.incarnation;
    election.lease_ms = options_.lease_ms;
    leadership_ = std::make_shared<Leadership>(loop, store, root + "leader", election,
                                               [this](const std::string& why) { RoleChanged(why); });
    presence_ =
        std::make_shared<Presence>(loop, store, root + "coordinators/" + options_.name, options_.name, address_);
    MetadataLink::Callbacks callbacks;
    callbacks.changed = [this](const MetadataChanged& changed) { Step(changed); };
    callbacks.written = [this](const MetadataWritten& written) { Step(written); };
    callbacks.lease = [this](const std::string& value, uint64_t version) {
      leadership_->Changed(value, version);
      TellWhoLeads();
    };
    callbacks.coordinator = [this](const std::string& name, const std::string& value) {
      presence_->Changed(name, value);
      if (core_ != nullptr) core_->UseAddresses(Addresses());
    };
    callbacks.moved_on = [this] { BeginToLead(); };
    metadata_ = std::make_shared<MetadataLink>(loop, store, options_.cluster, std::move(callbacks));
  }

  void Start() {
    polls_.SetIdle(NotLeading<NextCommandResponse>());
    forecaster_->Start();
    metadata_->Start();
    leadership_->Start();
    if (options_.lease_ms != 0) presence_->Start();
  }

  void Resign(std::function<void()> done) {
    presence_->Leave();
    if (options_.lease_ms == 0 || stopped_) return done();
    if (Leads()) events_->Stop();  // writes what is pending
    leadership_->Resign(std::move(done));
  }

  void Stop() {
    if (stopped_) return;
    stopped_ = true;
    StopLeading("the coordinator is stopping");
    leadership_->Stop();
    presence_->Stop();
    polls_.Stop();
    metadata_->Stop();
    forecaster_->Stop();
  }

  bool ready() const { return Leads(); }

  // ---------------------------------------------------------------- agents

  void AgentNextCommand(AgentReport report, uint32_t wait_ms, Reply<NextCommandResponse> reply) override {
    if (Status bad = Check(report); !bad.ok()) return reply({bad.code(), bad.message(), {}});
    const std::string node = report.node;
    polls_.Supersede(node);
    if (!Leads() && (stopped_ || !leadership_->leader().empty())) return reply(NotLeading<NextCommandResponse>());
    Report(std::move(report));
    polls_.Poll(node, wait_ms, std::move(reply));
  }

  void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) override {
    if (Status bad = Check(report); !bad.ok()) return reply({bad.code(), bad.message(), {}});
    Report(std::move(report));
    reply(Leads() ? NextCommandResponse() : NotLeading<NextCommandResponse>());
  }

  // ---------------------------------------------------------------- operators

  void ServiceApply(std::string document, Reply<DocumentResponse> reply) override {
    if (!Leads()) return reply(NotLeading<DocumentResponse>());
    Result<ServiceSpec> spec = ParseServiceSpec(document);
    if (!spec.ok()) return reply({spec.status().code(), spec.status().message(), ""});
    forecaster_->Check(spec->predictors, [weak = weak_from_this(), document = std::move(document),
                                          reply = std::move(reply)](Status status) {
      auto self = weak.lock();
      if (self == nullptr) status = {StatusCode::kUnavailable, "the coordinator is stopping"};
      if (!status.ok()) return reply({status.code(), status.message(), ""});
      OperatorRequest request;
      request.kind = RequestKind::kApply;
      request.document = document;
      self->Ask(std::move(request), reply);
    });
  }

  void ServiceRemove(std::string service, Reply<DocumentResponse> reply) override {
    OperatorRequest request;
    request.kind = RequestKind::kRemove;
    request.service = std::move(service);
    Ask(std::move(request), std::move(reply));
  }

  void Switchover(std::string service, std::string to_node, Reply<DocumentResponse> reply) override {
    OperatorRequest request;
    request.kind = RequestKind::kSwitchover;
    request.service = std::move(service);
    request.node = std::move(to_node);
    Ask(std::move(request), std::move(reply));
  }

  void SetPaused(bool paused, Reply<DocumentResponse> reply) override {
    OperatorRequest request;
    request.kind = RequestKind::kPause;
    request.paused = paused;
    Ask(std::move(request), std::move(reply));
  }

  void LogsRequest(std::string document, Reply<DocumentResponse> reply) override {
    OperatorRequest request;
    request.kind = RequestKind::kLogs;
    request.document = std::move(document);
    Ask(std::move(request), std::move(reply));
  }

  void PolicyRequest(std::string document, Reply<DocumentResponse> reply) override {
    OperatorRequest request;
    request.kind = RequestKind::kPolicy;
    request.document = std::move(document);
    Ask(std::move(request), std::move(reply));
  }

  void GetStatus(Reply<DocumentResponse> reply) override {
    if (!Leads()) return reply(NotLeading<DocumentResponse>());
    Clock* clock = loop_->clock();
    reply({StatusCode::kOk, "",
           StatusDocument(*core_, clock->Now(), clock->WallUnixMs(), options_.unsafe, Alerts(),
                          {leadership_->term(), presence_->List()})});
  }

  void Events(uint64_t after, uint32_t limit, uint32_t wait_ms, Reply<DocumentResponse> reply) override {
    if (!Leads()) return reply(NotLeading<DocumentResponse>());
    events_->Query(after, limit, wait_ms, std::move(reply));
  }

 private:
  // Asked before every action: a process that was stopped for a while leads no more, whatever it thought before.
  bool Leads() const { return core_ != nullptr && core_->loaded() && leadership_->leads(); }

  template <class Response>
  Response NotLeading() const {
    Response response;
    response.code = StatusCode::kUnavailable;
    response.leader = leadership_->leader();
    if (stopped_) {
      response.detail = "the coordinator is stopping";
    } else if (leadership_->leads()) {
      response.leader = address_;
      response.detail = "the coordinator is still reading the metadata";
    } else if (response.leader.empty()) {
      response.detail = "no coordinator leads at the moment" + (lost_why_.empty() ? "" : ": " + lost_why_);
    } else {
      response.detail = "coordinator '" + options_.name + "' stands by; '" + leadership_->leader_name() + "' at " +
                        response.leader + " leads";
    }
    return response;
  }

  static Status Check(const AgentReport& report) {
    if (IsName(report.node)) return Status::Ok();
    return {StatusCode::kInvalidArgument, "report: field 'node': must be 1 to 128 letters, digits, '-', '_' or '.'"};
  }

  std::vector<std::string> Addresses() const {
    return options_.lease_ms == 0 ? options_.addresses : presence_->Addresses();
  }

  // ---------------------------------------------------------------- leading and standing by

  void RoleChanged(const std::string& why) {
    LogInfo("coordinator",
            options_.name + (leadership_->leads() ? ": leads with term " + std::to_string(leadership_->term())
                                                  : ": leads no more: " + why));
    StopLeading(why);
    BeginToLead();
    TellWhoLeads();
  }

  // As soon as the lease is won and the copy of the metadata holds all that was written before.
  void BeginToLead() {
    if (stopped_ || core_ != nullptr || !leadership_->leads() || !metadata_->loaded()) return;
    if (metadata_->seen() < leadership_->won_version()) return;
    lost_why_.clear();
    calibrations_->Begin();
    core_ = std::make_unique<Core>(CoreOptionsOf(options_));
    core_->UseAddresses(Addresses());
    probe_ = std::make_unique<WriterAgeProbe>(
        loop_, options_.cluster, options_.name, [this](const DiskId& disk) { return AddressOf(disk); },
        [this](const WriterAge& age) { Step(age); });
    WatchQuotas();
    events_ =
        std::make_shared<EventLog>(loop_, store_, options_.cluster, options_.events_max, [this] { return Leads(); });
    const std::vector<MetadataEntry> history = metadata_->Events();
    events_->Restore(history);
    metadata_->Feed();
    Step(HistoryOf(history));
    // Who asked while nobody led waits still, and what it said counts; the rest will report again.
    const Instant now = loop_->clock()->Now();
    for (auto& [node, early] : std::exchange(early_, {})) {
      const bool fresh = now - early.at < options_.node_timeout_ms * kNsPerMs;
      if (fresh && polls_.Waits(node)) Step(NodeReported{std::move(early.report)});
      if (!fresh) polls_.Supersede(node);
    }
    Step(MetadataLoaded{leadership_->term()});
    if (Leads()) polls_.SetIdle({});
  }

  void StopLeading(const std::string& why) {
    polls_.SetIdle(NotLeading<NextCommandResponse>());
    if (core_ == nullptr) return;
    lost_why_ = why;
    if (timer_ != 0) loop_->Cancel(timer_);
    timer_ = 0;
    metadata_->Rest();
    probe_.reset();
    quotas_.reset();
    events_->Stop();
    core_.reset();
    forecaster_->Rest();
    calibrations_->Rest();
    polls_.ForgetCommands();
    const auto requests = std::exchange(requests_, {});
    for (const auto& [token, reply] : requests) {
      reply({StatusCode::kOutcomeUnknown,
             "coordinator '" + options_.name + "' leads no more (" + why + "); what was asked for may still be done",
             "", leadership_->leader()});
    }
  }

  // Those who wait are sent on as soon as it is known where to.
  void TellWhoLeads() {
    if (Leads()) return;
    const auto answer = NotLeading<NextCommandResponse>();
    polls_.SetIdle(answer);
    if (!leadership_->leads() && !answer.leader.empty()) {
      polls_.AnswerAll(answer);
      early_.clear();
    }
  }

  // ---------------------------------------------------------------- the core

  void Report(AgentReport report) {
    if (!Leads()) {
      if (early_.size() >= kReportsEarlyMax && early_.count(report.node) == 0) return;
      report.samples.clear();
      const std::string node = report.node;
      early_[node] = {std::move(report), loop_->clock()->Now()};
      return;
    }
    NodeReported input;
    AgentReport samples;
    samples.node = report.node;
    samples.samples = std::move(report.samples);
    report.samples.clear();
    input.report = std::move(report);
    Step(std::move(input));
    if (Leads()) forecaster_->Observe(*core_, samples);  // after the step: a move does not wait for it
  }

  void Ask(OperatorRequest request, Reply<DocumentResponse> reply) {
    if (!Leads()) return reply(NotLeading<DocumentResponse>());
    if (requests_.size() >= kRequestsMax) return reply({StatusCode::kUnavailable, "too many requests wait", ""});
    request.token = ++tokens_;
    requests_.emplace(request.token, std::move(reply));
    Step(std::move(request));
  }

  template <class What>
  void Step(What what) {
    if (core_ == nullptr || !leadership_->leads()) return;
    Clock* clock = loop_->clock();
    Input input;
    input.unix_ms = clock->WallUnixMs();
    input.what = std::move(what);
    Effects effects;
    core_->Step(input, clock->Now(), &effects);
    Carry(std::move(effects), input.unix_ms);
  }

  void Carry(Effects effects, int64_t unix_ms) {
    for (SendCommand& send : effects.commands) polls_.Send(send.node, std::move(send.command));
    for (const WriteMetadata& write : effects.writes) metadata_->Write(write);
    for (const ReadMetadata& read : effects.reads) metadata_->Read(read);
    for (const Event& event : effects.events) events_->Append(event, unix_ms);
    for (const PredictorFeedback& feedback : effects.feedback) forecaster_->Feedback(feedback);
    for (const PredictorReset& reset : effects.resets) forecaster_->Reset(reset);
    for (const std::string& service : effects.ask_writer_age) AskWriterAge(service);
    for (Answer& answer : effects.answers) {
      auto it = requests_.find(answer.token);
      if (it == requests_.end()) continue;
      Reply<DocumentResponse> reply = std::move(it->second);
      requests_.erase(it);
      reply({answer.code, std::move(answer.detail), std::move(answer.document)});
    }
    forecaster_->Follow(*core_);
    ArmTimer(effects.wake_at);
  }

  void ArmTimer(Instant at) {
    if (at == Instant::Never() || (timer_ != 0 && timer_at_ <= at)) return;
    if (timer_ != 0) loop_->Cancel(timer_);
    timer_at_ = at;
    timer_ = loop_->At(at, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self == nullptr) return;
      self->timer_ = 0;
      self->Step(Tick{});
    });
  }

  void AskWriterAge(const std::string& service) {
    auto known = core_->services().find(service);
    if (known == core_->services().end()) return;
    auto log = core_->logs().find(known->second.spec.log.value());
    if (log != core_->logs().end()) probe_->Ask(service, log->second.chain);
  }

  std::string AddressOf(const DiskId& disk) const {
    auto it = core_->disks().find(ToHex(disk));
    if (it == core_->disks().end()) return "";
    const auto entry = nlohmann::json::parse(it->second.value, nullptr, false);
    if (!entry.is_object() || !entry.contains("address") || !entry["address"].is_string()) return "";
    return entry["address"].get<std::string>();
  }

  void WatchQuotas() {
    QuotaWatch::Sources sources;
    sources.disks = [this] {
      std::vector<QuotaWatch::Disk> disks;
      for (const auto& [name, known] : core_->disks()) {
        const Result<DiskEntry> entry = DecodeDiskEntry(known.value);
        if (entry.ok()) disks.push_back({entry->disk, entry->node, entry->address});
      }
      return disks;
    };
    sources.service_of = [this](LogId log) {
      for (const auto& [name, service] : core_->services()) {
        if (service.spec.log == log) return name;
      }
      return std::string();
    };
    sources.checkpoint_of = [this](LogId log) {
      const auto known = core_->logs().find(log.value());
      return known == core_->logs().end() ? std::string() : OldestCheckpoint(known->second.chain);
    };
    sources.event = [this](const Event& event) {
      if (Leads()) events_->Append(event, loop_->clock()->WallUnixMs());
    };
    quotas_ = std::make_unique<QuotaWatch>(loop_, options_.cluster, options_.name, std::move(sources));
    quotas_->Start();
  }

  std::vector<Alert> Alerts() const {
    std::vector<Alert> alerts = forecaster_->alerts();
    for (Alert& alert : quotas_->alerts()) alerts.push_back(std::move(alert));
    return alerts;
  }

  struct EarlyReport {
    AgentReport report;
    Instant at;
  };

  EventLoop* const loop_;
  MetadataStore* const store_;
  const CoordinatorOptions options_;
  const std::string address_;
  std::shared_ptr<Leadership> leadership_;
  std::shared_ptr<Presence> presence_;
  std::shared_ptr<MetadataLink> metadata_;
  NodePolls polls_;
  const std::shared_ptr<CalibrationStore> calibrations_;
  const std::shared_ptr<Forecaster> forecaster_;
  std::map<std::string, EarlyReport> early_;  // while nobody leads, by node
  std::string lost_why_;                      // it led before; why no more
  bool stopped_ = false;

  // While leading.
  std::unique_ptr<Core> core_;
  std::unique_ptr<WriterAgeProbe> probe_;
  std::unique_ptr<QuotaWatch> quotas_;
  std::shared_ptr<EventLog> events_;
  std::map<uint64_t, Reply<DocumentResponse>> requests_;
  uint64_t tokens_ = 0;
  EventLoop::TimerId timer_ = 0;
  Instant timer_at_;
};

Coordinator::Coordinator(EventLoop* loop, MetadataStore* store, std::unique_ptr<PredictorHost> predictors,
                         CoordinatorOptions options)
    : impl_(std::make_shared<Impl>(loop, store, std::move(predictors), std::move(options))) {}

Coordinator::~Coordinator() { impl_->Stop(); }

void Coordinator::Start() { impl_->Start(); }
void Coordinator::Resign(std::function<void()> done) { impl_->Resign(std::move(done)); }
void Coordinator::Stop() { impl_->Stop(); }
bool Coordinator::ready() const { return impl_->ready(); }
CoordinatorServiceHandler* Coordinator::handler() { return impl_.get(); }

}  // namespace understudy

#include "server/coordinator/coordinator.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/coordinator/core/core.h"
#include "server/coordinator/event_log.h"
#include "server/coordinator/forecaster.h"
#include "server/coordinator/metadata_link.h"
#include "server/coordinator/node_polls.h"
#include "server/coordinator/status_document.h"
#include "server/coordinator/writer_age_probe.h"

namespace understudy {
namespace {

using namespace coordinator;  // NOLINT: its own internals

constexpr size_t kReportsEarlyMax = 4096;  // nodes heard while the metadata is being read
constexpr size_t kRequestsMax = 1024;      // operators waiting

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

// What earlier coordinators recorded of the moves they ended.
std::vector<MoveRecord> MovesOf(const std::vector<MetadataEntry>& events) {
  std::vector<MoveRecord> moves;
  for (const MetadataEntry& entry : events) {
    try {
      const auto event = nlohmann::json::parse(entry.value);
      if (event.at("kind") != "move_done") continue;
      MoveRecord move;
      move.kind = event.at("move") == "planned" ? MoveKind::kPlanned : MoveKind::kUnplanned;
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
      moves.push_back(std::move(move));
    } catch (const nlohmann::json::exception&) {
      continue;  // an event of another version: history only
    }
  }
  return moves;
}

}  // namespace

class Coordinator::Impl : public CoordinatorServiceHandler, public std::enable_shared_from_this<Coordinator::Impl> {
 public:
  Impl(EventLoop* loop, MetadataStore* store, std::unique_ptr<PredictorHost> predictors, CoordinatorOptions options)
      : loop_(loop),
        options_(std::move(options)),
        core_(CoreOptionsOf(options_)),
        polls_(loop),
        probe_(
            loop, options_.cluster, options_.name, [this](const DiskId& disk) { return AddressOf(disk); },
            [this](const WriterAge& age) { Step(age); }),
        events_(std::make_shared<EventLog>(loop, store, options_.cluster, options_.events_max)),
        forecaster_(std::make_shared<Forecaster>(
            loop, std::move(predictors), [this](const ForecastsArrived& forecasts) { Step(forecasts); },
            [this](const Event& event) { events_->Append(event, loop_->clock()->WallUnixMs()); })) {
    MetadataLink::Callbacks callbacks;
    callbacks.changed = [this](const MetadataChanged& changed) { Step(changed); };
    callbacks.written = [this](const MetadataWritten& written) { Step(written); };
    callbacks.events = [this](const std::vector<MetadataEntry>& entries) {
      events_->Restore(entries);
      Step(MovesRestored{MovesOf(entries)});
    };
    callbacks.loaded = [this](const MetadataLoaded& loaded) { Loaded(loaded); };
    metadata_ = std::make_shared<MetadataLink>(loop, store, options_.cluster, options_.name, std::move(callbacks));
  }

  void Start() {
    forecaster_->Start();
    metadata_->Start();
  }

  void Stop() {
    if (stopped_) return;
    stopped_ = true;
    if (timer_ != 0) loop_->Cancel(timer_);
    timer_ = 0;
    probe_.Stop();
    polls_.Stop();
    events_->Stop();
    metadata_->Stop();
    forecaster_->Stop();
    auto requests = std::exchange(requests_, {});
    for (auto& [token, reply] : requests) {
      reply({StatusCode::kUnavailable, "the coordinator is stopping; what was asked for may still be done", ""});
    }
  }

  bool ready() const { return core_.loaded() && !stopped_; }

  // ---------------------------------------------------------------- agents

  void AgentNextCommand(AgentReport report, uint32_t wait_ms, Reply<NextCommandResponse> reply) override {
    if (stopped_) return reply(Gone());
    if (Status bad = Check(report); !bad.ok()) return reply({bad.code(), bad.message(), {}});
    const std::string node = report.node;
    polls_.Supersede(node);
    Report(std::move(report));
    polls_.Poll(node, wait_ms, std::move(reply));
  }

  void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) override {
    if (stopped_) return reply(Gone());
    if (Status bad = Check(report); !bad.ok()) return reply({bad.code(), bad.message(), {}});
    Report(std::move(report));
    reply({});
  }

  // ---------------------------------------------------------------- operators

  void ServiceApply(std::string document, Reply<DocumentResponse> reply) override {
    if (stopped_) return reply({StatusCode::kUnavailable, "the coordinator is stopping", ""});
    Result<ServiceSpec> spec = ParseServiceSpec(document);
    if (!spec.ok()) return reply({spec.status().code(), spec.status().message(), ""});
    forecaster_->Check(spec->predictors, [weak = weak_from_this(), document = std::move(document),
                                          reply = std::move(reply)](Status status) {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_) status = {StatusCode::kUnavailable, "the coordinator is stopping"};
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

  void GetStatus(Reply<DocumentResponse> reply) override {
    if (!ready()) return reply({StatusCode::kUnavailable, "the coordinator is still reading the metadata", ""});
    Clock* clock = loop_->clock();
    reply({StatusCode::kOk, "",
           StatusDocument(core_, clock->Now(), clock->WallUnixMs(), options_.unsafe, forecaster_->alerts())});
  }

  void Events(uint64_t after, uint32_t limit, uint32_t wait_ms, Reply<DocumentResponse> reply) override {
    if (!ready()) return reply({StatusCode::kUnavailable, "the coordinator is still reading the metadata", ""});
    events_->Query(after, limit, wait_ms, std::move(reply));
  }

 private:
  static NextCommandResponse Gone() { return {StatusCode::kUnavailable, "the coordinator is stopping", {}}; }

  static Status Check(const AgentReport& report) {
    if (IsName(report.node)) return Status::Ok();
    return {StatusCode::kInvalidArgument, "report: field 'node': must be 1 to 128 letters, digits, '-', '_' or '.'"};
  }

  void Report(AgentReport report) {
    if (!core_.loaded() && core_.nodes().size() >= kReportsEarlyMax && core_.nodes().count(report.node) == 0) return;
    NodeReported input;
    AgentReport samples;
    samples.node = report.node;
    samples.samples = std::move(report.samples);
    report.samples.clear();
    input.report = std::move(report);
    Step(std::move(input));
    forecaster_->Observe(core_, samples);  // after the step: a move does not wait for it
  }

  void Ask(OperatorRequest request, Reply<DocumentResponse> reply) {
    if (stopped_ || requests_.size() >= kRequestsMax) {
      return reply({StatusCode::kUnavailable, stopped_ ? "the coordinator is stopping" : "too many requests wait", ""});
    }
    request.token = ++tokens_;
    requests_.emplace(request.token, std::move(reply));
    Step(std::move(request));
  }

  void Loaded(const MetadataLoaded& loaded) {
    Step(loaded);
    // Nodes were heard before; their samples were not kept, the next come soon.
  }

  template <class What>
  void Step(What what) {
    if (stopped_) return;
    Clock* clock = loop_->clock();
    Input input;
    input.unix_ms = clock->WallUnixMs();
    input.what = std::move(what);
    Effects effects;
    core_.Step(input, clock->Now(), &effects);
    Carry(std::move(effects), input.unix_ms);
  }

  void Carry(Effects effects, int64_t unix_ms) {
    for (SendCommand& send : effects.commands) polls_.Send(send.node, std::move(send.command));
    for (const WriteMetadata& write : effects.writes) metadata_->Write(write);
    for (const ReadMetadata& read : effects.reads) metadata_->Read(read);
    for (const Event& event : effects.events) events_->Append(event, unix_ms);
    for (const PredictorReset& reset : effects.resets) forecaster_->Reset(reset);
    for (const PredictorFeedback& feedback : effects.feedback) forecaster_->Feedback(feedback);
    for (const std::string& service : effects.ask_writer_age) AskWriterAge(service);
    for (Answer& answer : effects.answers) {
      auto it = requests_.find(answer.token);
      if (it == requests_.end()) continue;
      Reply<DocumentResponse> reply = std::move(it->second);
      requests_.erase(it);
      reply({answer.code, std::move(answer.detail), std::move(answer.document)});
    }
    forecaster_->Follow(core_);
    ArmTimer(effects.wake_at);
  }

  void ArmTimer(Instant at) {
    if (stopped_ || at == Instant::Never() || (timer_ != 0 && timer_at_ <= at)) return;
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
    auto known = core_.services().find(service);
    if (known == core_.services().end()) return;
    auto log = core_.logs().find(known->second.spec.log.value());
    if (log != core_.logs().end()) probe_.Ask(service, log->second.chain);
  }

  std::string AddressOf(const DiskId& disk) const {
    auto it = core_.disks().find(ToHex(disk));
    if (it == core_.disks().end()) return "";
    const auto entry = nlohmann::json::parse(it->second.value, nullptr, false);
    if (!entry.is_object() || !entry.contains("address") || !entry["address"].is_string()) return "";
    return entry["address"].get<std::string>();
  }

  EventLoop* const loop_;
  const CoordinatorOptions options_;
  Core core_;
  NodePolls polls_;
  WriterAgeProbe probe_;
  std::shared_ptr<EventLog> events_;
  std::shared_ptr<Forecaster> forecaster_;
  std::shared_ptr<MetadataLink> metadata_;
  std::map<uint64_t, Reply<DocumentResponse>> requests_;
  uint64_t tokens_ = 0;
  EventLoop::TimerId timer_ = 0;
  Instant timer_at_;
  bool stopped_ = false;
};

Coordinator::Coordinator(EventLoop* loop, MetadataStore* store, std::unique_ptr<PredictorHost> predictors,
                         CoordinatorOptions options)
    : impl_(std::make_shared<Impl>(loop, store, std::move(predictors), std::move(options))) {}

Coordinator::~Coordinator() { impl_->Stop(); }

void Coordinator::Start() { impl_->Start(); }
void Coordinator::Stop() { impl_->Stop(); }
bool Coordinator::ready() const { return impl_->ready(); }
CoordinatorServiceHandler* Coordinator::handler() { return impl_.get(); }

}  // namespace understudy

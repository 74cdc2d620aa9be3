#include "server/agent/agent.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <deque>
#include <optional>
#include <utility>

#include "log/env/file.h"
#include "log/env/logging.h"
#include "log/rpc/rpc_server.h"
#include "server/agent/app_link.h"
#include "server/agent/coordinator_link.h"
#include "server/agent/launch.h"
#include "server/agent/recorder.h"
#include "server/agent/sampler.h"
#include "server/agent/supervisor.h"

namespace understudy {
namespace {

constexpr size_t kOwnCommandsRemembered = 256;  // those it carried out itself, to know a repetition

std::string Absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char here[4096];
  return getcwd(here, sizeof here) == nullptr ? path : std::string(here) + "/" + path;
}

bool IsNodeName(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; });
}

Status Check(const AgentOptions& options) {
  if (!IsNodeName(options.node)) return {StatusCode::kInvalidArgument, "'" + options.node + "' is no name of a node"};
  if (options.coordinators.empty()) return {StatusCode::kInvalidArgument, "no coordinator is named"};
  if (options.sample_interval_ms < kSampleIntervalMsMin || options.sample_interval_ms > kSampleIntervalMsMax) {
    return {StatusCode::kInvalidArgument, "sample_interval_ms must be " + std::to_string(kSampleIntervalMsMin) +
                                              " to " + std::to_string(kSampleIntervalMsMax)};
  }
  return Status::Ok();
}

}  // namespace

struct Agent::Impl {
  Impl(EventLoop* l, Random* random, AgentOptions o)
      : loop(l),
        options(std::move(o)),
        run_dir(Absolute(options.data_dir) + "/run"),
        socket_path(run_dir + "/" + options.node + ".sock"),
        incarnation(static_cast<int64_t>(random->Next64() >> 1)),
        supervisor(
            l, {run_dir + "/" + options.node + ".json", "unix:" + socket_path, OutputPath(), options.output_bytes_max}),
        app(l, {[this](const AppReport& report) { return Admit(report); }, [this](bool urgent) { AppHeard(urgent); },
                [this](CommandResult result) { coordinator.AddResult(std::move(result)); }}),
        sampler({options.data_dir}),
        server(std::make_unique<RpcServer>(l, ServerOptions())),
        coordinator(
            l, {options.cluster, options.node, options.coordinators, options.heartbeat_ms}, [this] { return Report(); },
            [this](const Command& command) { OnCommand(command); }) {}

  RpcServerOptions ServerOptions() const {
    RpcServerOptions server_options;
    server_options.cluster = options.cluster;
    return server_options;
  }
  std::string OutputPath() const { return run_dir + "/" + options.node + ".log"; }

  Status Start();
  AgentReport Report() const;
  Status Admit(const AppReport& report);
  void AppHeard(bool urgent);
  void OnCommand(const Command& command);
  void StartApp(const Command& command);
  void StopApp(const Command& command);
  void Finish(int64_t id, const Status& status);
  void ProcessChanged();
  void RecordProcess();
  void Sample();

  EventLoop* loop;
  AgentOptions options;
  std::string run_dir;
  std::string socket_path;
  int64_t incarnation;
  Supervisor supervisor;
  AppLink app;
  Sampler sampler;
  std::optional<Recorder> recorder;
  ProcessState recorded = ProcessState::kNone;  // the recorder's last word of the process
  std::unique_ptr<RpcServer> server;            // serves `app`
  CoordinatorLink coordinator;
  EventLoop::TimerId sample_timer = 0;
  Instant next_sample;

  struct OwnCommand {
    int64_t id = 0;
    std::optional<CommandResult> result;  // none: under way
  };
  std::deque<OwnCommand> own;  // newest last
  bool ending = false;         // StopApplication was called
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

Status Agent::Impl::Start() {
  UNDERSTUDY_RETURN_IF_ERROR(Check(options));
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(SystemFileSystem(), run_dir));
  if (!options.record_dir.empty()) {
    recorder.emplace(SystemFileSystem(), RecorderOptions{options.record_dir, options.node});
    UNDERSTUDY_RETURN_IF_ERROR(recorder->Open());
  }
  server->Serve(&app);
  UNDERSTUDY_RETURN_IF_ERROR(server->Listen("unix:" + socket_path));
  supervisor.SetOnChange([this] { ProcessChanged(); });
  supervisor.AdoptLeftBehind();
  coordinator.Start();
  next_sample = loop->clock()->Now();
  Sample();
  return Status::Ok();
}

AgentReport Agent::Impl::Report() const {
  const Supervised& state = supervisor.state();
  AgentReport report;
  report.node = options.node;
  report.address = options.host;
  report.incarnation = incarnation;
  report.process = state.process;
  report.exit_reason = state.exit_reason;
  report.labels = options.labels;
  report.starts = state.starts;
  report.process_service = state.service;
  if (const AppReport* said = app.report(); said != nullptr && state.pid != 0) {
    report.has_app = true;
    report.app = *said;
  }
  return report;
}

Status Agent::Impl::Admit(const AppReport& report) {
  const Supervised& state = supervisor.state();
  const bool ours = report.pid == state.pid && report.start_ticks == state.start_ticks && state.pid != 0;
  if (!ours) {
    // Started by somebody else, or by an agent whose record is lost: it found this agent, so this agent keeps it.
    UNDERSTUDY_RETURN_IF_ERROR(supervisor.Adopt(report.pid, report.start_ticks, report.service));
  }
  supervisor.MarkRunning();
  return Status::Ok();
}

void Agent::Impl::AppHeard(bool urgent) {
  if (urgent) coordinator.ReportSoon();
}

void Agent::Impl::ProcessChanged() {
  const Supervised& state = supervisor.state();
  if (state.process == ProcessState::kExited || state.process == ProcessState::kFailed) {
    app.ProcessEnded(state.exit_reason);
  }
  coordinator.ReportSoon();
  if (recorder) RecordProcess();
}

// An end that nobody asked for is a failure; so is a start that came to nothing.
void Agent::Impl::RecordProcess() {
  const Supervised& state = supervisor.state();
  const ProcessState before = std::exchange(recorded, state.process);
  if (before == state.process) return;
  const int64_t now_ms = loop->clock()->Now().ns() / kNsPerMs;
  if (state.process == ProcessState::kStarting) {
    recorder->Note(trace::Event::kRestart, "started for " + state.service, now_ms);
  } else if (state.process == ProcessState::kFailed || (state.process == ProcessState::kExited && !state.stopped)) {
    recorder->Note(trace::Event::kFailure, state.exit_reason, now_ms);
  }
}

void Agent::Impl::OnCommand(const Command& command) {
  if (!IsForAgent(command.kind)) {
    if (supervisor.state().pid == 0) {
      return coordinator.AddResult({command.id, StatusCode::kUnavailable, "no application runs on " + options.node});
    }
    return app.Send(command);
  }
  const auto known =
      std::find_if(own.begin(), own.end(), [&](const OwnCommand& earlier) { return earlier.id == command.id; });
  if (known != own.end()) {
    if (known->result) coordinator.AddResult(*known->result);
    return;
  }
  own.push_back({command.id, std::nullopt});
  if (own.size() > kOwnCommandsRemembered) own.pop_front();
  if (command.kind == CommandKind::kStartApp) {
    StartApp(command);
  } else {
    StopApp(command);
  }
}

void Agent::Impl::StartApp(const Command& command) {
  if (ending) {
    return Finish(command.id, {StatusCode::kCancelled, "the agent of " + options.node + " ends its application"});
  }
  const LaunchSite site{options.cluster, options.node, options.host, options.port, "unix:" + socket_path, OutputPath()};
  const Result<SpawnOptions> launch = MakeLaunch(command, site);
  if (!launch.ok()) return Finish(command.id, launch.status());
  Finish(command.id, supervisor.Start(*launch, command.service, command.memory_limit_bytes));
}

void Agent::Impl::StopApp(const Command& command) {
  supervisor.Stop(std::max<int64_t>(0, command.grace_ms), [this, alive = std::weak_ptr<bool>(alive), id = command.id] {
    if (!alive.expired()) Finish(id, Status::Ok());
  });
}

void Agent::Impl::Finish(int64_t id, const Status& status) {
  CommandResult result{id, status.code(), status.message()};
  for (OwnCommand& command : own) {
    if (command.id == id) command.result = result;
  }
  coordinator.AddResult(std::move(result));
}

void Agent::Impl::Sample() {
  const Supervised& state = supervisor.state();
  const Instant now = loop->clock()->Now();
  NodeSample sample = sampler.Sample({state.pid, state.start_ticks, state.memory_limit_bytes, app.report()}, now,
                                     loop->clock()->WallUnixMs());
  if (recorder) recorder->Add(sample);
  coordinator.AddSample(std::move(sample));
  if (state.pid != 0) supervisor.RotateOutput();
  // On a grid, so that the cost of sampling does not stretch the interval; what was missed is not made up for.
  const int64_t interval_ns = options.sample_interval_ms * kNsPerMs;
  next_sample = std::max(next_sample + interval_ns, now);
  sample_timer = loop->At(next_sample, [this] { Sample(); });
}

Agent::Agent(EventLoop* loop, Random* random, AgentOptions options)
    : impl_(std::make_unique<Impl>(loop, random, std::move(options))) {}

Agent::~Agent() {
  impl_->loop->Cancel(impl_->sample_timer);
  impl_->alive.reset();
  impl_->server.reset();
}

Status Agent::Start() { return impl_->Start().WithContext("agent " + impl_->options.node); }

void Agent::StopApplication(int64_t grace_ms, std::function<void()> done) {
  impl_->ending = true;
  impl_->supervisor.Stop(grace_ms, std::move(done));
}

const std::string& Agent::socket_path() const { return impl_->socket_path; }

}  // namespace understudy

#include "client/node/agent_link.h"

#include <algorithm>
#include <utility>

namespace understudy {
namespace {

constexpr uint32_t kPollWaitMs = 500;  // also how old gauges and progress at the agent may become
constexpr int64_t kReportTimeoutMs = 1000;
constexpr int64_t kPauseNsMin = 20 * kNsPerMs;
constexpr int64_t kPauseNsMax = 500 * kNsPerMs;

}  // namespace

AgentLink::AgentLink(Runtime* runtime, const std::string& cluster, const std::string& address,
                     std::function<AppReport()> report, std::function<void(const Command&)> command)
    : runtime_(runtime), report_(std::move(report)), command_(std::move(command)) {
  RpcClientOptions options;
  options.cluster = cluster;
  options.role = "application";
  options.name = "application";
  client_ = AgentServiceClient::Create(runtime->loop(), options, address);
}

AgentLink::~AgentLink() = default;

void AgentLink::Start() { Poll(); }

void AgentLink::Close() {
  closed_ = true;
  client_->Close();
}

AppReport AgentLink::MakeReport() {
  AppReport report = report_();
  report.done = unheard_;
  return report;
}

void AgentLink::Heard(const AppReport& report) {
  std::erase_if(unheard_, [&](const CommandResult& result) {
    return std::any_of(report.done.begin(), report.done.end(),
                       [&](const CommandResult& heard) { return heard.id == result.id; });
  });
}

void AgentLink::Poll() {
  if (closed_) return;
  const AppReport report = MakeReport();
  client_->AppNextCommand(report, kPollWaitMs, [this, report](Result<NextCommandResponse> response) {
    if (closed_) return;
    if (response.ok() && response->code == StatusCode::kOk) {
      pause_ns_ = 0;
      Heard(report);
      Take(*response);
      Poll();
      return;
    }
    pause_ns_ = std::clamp(pause_ns_ * 2, kPauseNsMin, kPauseNsMax);
    runtime_->loop()->At(runtime_->Now() + pause_ns_, [this] { Poll(); });
  });
}

void AgentLink::ReportNow() {
  report_again_ = true;
  if (!reporting_) Report();
}

void AgentLink::Report() {
  if (closed_) return;
  report_again_ = false;
  reporting_ = true;
  const AppReport report = MakeReport();
  client_->AppReported(report, kReportTimeoutMs, [this, report](Result<NextCommandResponse> response) {
    reporting_ = false;
    if (closed_) return;
    if (!response.ok() || response->code != StatusCode::kOk) return;  // the next poll brings it
    Heard(report);
    Take(*response);
    if (report_again_) Report();
  });
}

void AgentLink::Done(const Command& command, const Status& status) {
  unheard_.push_back({command.id, status.code(), status.message()});
  ReportNow();
}

void AgentLink::Take(const NextCommandResponse& response) {
  const Command& command = response.command;
  if (command.kind == CommandKind::kNone || command.id <= last_command_) return;
  last_command_ = command.id;
  command_(command);
}

}  // namespace understudy

#include "server/agent/coordinator_link.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr uint32_t kPollWaitMs = 10'000;
constexpr int64_t kReportTimeoutMs = 2000;
constexpr size_t kComplaintsMax = 16;
constexpr int64_t kPauseMsMin = 50;
constexpr int64_t kPauseMsMax = 1000;

}  // namespace

CoordinatorLink::CoordinatorLink(EventLoop* loop, CoordinatorLinkOptions options, std::function<AgentReport()> report,
                                 std::function<void(const Command&)> command)
    : loop_(loop), options_(std::move(options)), report_(std::move(report)), command_(std::move(command)) {}

CoordinatorLink::~CoordinatorLink() {
  alive_.reset();
  loop_->Cancel(heartbeat_timer_);
  loop_->Cancel(poll_timer_);
}

void CoordinatorLink::Start() {
  Connect();
  Poll();
  Heartbeat();
}

void CoordinatorLink::Connect() {
  RpcClientOptions client;
  client.cluster = options_.cluster;
  client.role = "agent";
  client.name = options_.node;
  ++session_;
  reporting_ = false;
  client_ = CoordinatorServiceClient::Create(loop_, client, options_.coordinators[current_]);
}

AgentReport CoordinatorLink::MakeReport() {
  AgentReport report = report_();
  report.done.assign(results_.begin(), results_.end());
  return report;
}

void CoordinatorLink::Poll() {
  const AgentReport report = MakeReport();
  client_->AgentNextCommand(report, kPollWaitMs,
                            [this, alive = std::weak_ptr<bool>(alive_), session = session_,
                             results = report.done](Result<NextCommandResponse> answer) {
                              if (alive.expired() || session != session_) return;
                              if (!Accept(answer)) return PollLater();
                              Heard(results);
                              if (answer->command.kind != CommandKind::kNone) command_(answer->command);
                              Poll();
                            });
}

bool CoordinatorLink::Accept(const Result<NextCommandResponse>& answer) {
  const bool answered = answer.ok();
  if (answered && answer->code == StatusCode::kOk) {
    if (!heard_) LogInfo("agent", options_.node + ": in touch with the coordinator at " + client_->address());
    heard_ = true;
    complaints_.clear();
    pause_ms_ = 0;
    return true;
  }
  heard_ = false;
  const std::string why = client_->address() + " (" + (answered ? answer->detail : answer.status().ToString()) + ")";
  if (complaints_.size() < kComplaintsMax && complaints_.insert(why).second) {
    LogWarning("agent", options_.node + ": no coordinator at " + why + "; the application runs on");
  }
  return false;
}

void CoordinatorLink::PollLater() {
  if (poll_timer_ != 0) return;
  pause_ms_ = std::clamp(pause_ms_ * 2, kPauseMsMin, kPauseMsMax);
  poll_timer_ = loop_->At(loop_->clock()->Now() + pause_ms_ * kNsPerMs, [this] {
    poll_timer_ = 0;
    if (options_.coordinators.size() > 1) {
      current_ = (current_ + 1) % options_.coordinators.size();
      Connect();
    }
    Poll();
  });
}

void CoordinatorLink::ReportSoon() {
  if (report_posted_) return;
  report_posted_ = true;
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    report_posted_ = false;
    if (reporting_) {
      report_again_ = true;
    } else {
      Report();
    }
  });
}

void CoordinatorLink::Report() {
  reporting_ = true;
  report_again_ = false;
  reported_at_ = loop_->clock()->Now();
  AgentReport report = MakeReport();
  report.samples.assign(std::make_move_iterator(samples_.begin()), std::make_move_iterator(samples_.end()));
  samples_.clear();
  client_->AgentReported(report, kReportTimeoutMs,
                         [this, alive = std::weak_ptr<bool>(alive_), session = session_,
                          sent = report](Result<NextCommandResponse> answer) mutable {
                           if (alive.expired() || session != session_) return;
                           reporting_ = false;
                           if (Accept(answer)) {
                             Heard(sent.done);
                           } else if (!answer.ok() && answer.status().code() == StatusCode::kUnavailable) {
                             // Never sent. After a lost answer they may have been seen: samples are not worth twice.
                             samples_.insert(samples_.begin(), std::make_move_iterator(sent.samples.begin()),
                                             std::make_move_iterator(sent.samples.end()));
                             while (samples_.size() > options_.samples_max) samples_.pop_front();
                           }
                           if (report_again_) Report();
                         });
}

void CoordinatorLink::Heard(const std::vector<CommandResult>& results) {
  std::erase_if(results_, [&](const CommandResult& kept) {
    return std::find(results.begin(), results.end(), kept) != results.end();
  });
}

void CoordinatorLink::AddResult(CommandResult result) {
  results_.push_back(std::move(result));
  if (results_.size() > options_.results_max) results_.pop_front();
  ReportSoon();
}

void CoordinatorLink::AddSample(NodeSample sample) {
  samples_.push_back(std::move(sample));
  if (samples_.size() > options_.samples_max) samples_.pop_front();
  ReportSoon();
}

void CoordinatorLink::Heartbeat() {
  const int64_t heartbeat_ns = options_.heartbeat_ms * kNsPerMs;
  const Instant now = loop_->clock()->Now();
  if (now - reported_at_ >= heartbeat_ns) {
    reported_at_ = now;
    ReportSoon();
  }
  heartbeat_timer_ = loop_->At(reported_at_ + heartbeat_ns, [this] { Heartbeat(); });
}

}  // namespace understudy

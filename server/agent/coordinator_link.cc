#include "server/agent/coordinator_link.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr uint32_t kPollWaitMs = 10'000;
constexpr int64_t kReportTimeoutMs = 2000;
constexpr int64_t kConnectTimeoutMs = 500;
constexpr size_t kComplaintsMax = 16;

}  // namespace

CoordinatorLink::CoordinatorLink(EventLoop* loop, CoordinatorLinkOptions options, std::function<AgentReport()> report,
                                 std::function<void(const Command&)> command)
    : loop_(loop), options_(std::move(options)), report_(std::move(report)), command_(std::move(command)) {}

CoordinatorLink::~CoordinatorLink() {
  alive_.reset();
  loop_->Cancel(heartbeat_timer_);
  loop_->Cancel(seek_timer_);
  loop_->Cancel(silence_timer_);
}

void CoordinatorLink::Start() {
  Seek();
  Heartbeat();
}

CoordinatorLink::Peer* CoordinatorLink::Find(const std::string& address) {
  auto it = peers_.find(address);
  if (it != peers_.end()) return it->second.get();
  if (peers_.size() >= kPeersMax) return nullptr;
  RpcClientOptions options;
  options.cluster = options_.cluster;
  options.role = "agent";
  options.name = options_.node;
  options.connect_timeout_ms = kConnectTimeoutMs;
  auto peer = std::make_unique<Peer>();
  peer->address = address;
  peer->client = CoordinatorServiceClient::Create(loop_, options, address);
  return (peers_[address] = std::move(peer)).get();
}

AgentReport CoordinatorLink::MakeReport() {
  AgentReport report = report_();
  report.done.assign(results_.begin(), results_.end());
  return report;
}

void CoordinatorLink::Poll(Peer* peer) {
  if (peer->polling) return;
  peer->polling = true;
  const AgentReport report = MakeReport();
  peer->client->AgentNextCommand(
      report, kPollWaitMs,
      [this, alive = std::weak_ptr<bool>(alive_), peer, results = report.done](Result<NextCommandResponse> answer) {
        if (alive.expired()) return;
        peer->polling = false;
        if (answer.ok() && answer->code == StatusCode::kOk) {
          if (peer == leader_) Heard(results);
          if (answer->command.kind != CommandKind::kNone) Take(*peer, answer->command);
          if (peer == leader_) Poll(peer);
        } else if (peer == leader_) {
          Answered(peer, answer);
        }
      });
}

// Ids carry the term of the leader that gave them. The one that took the last report is believed even when its term is
// lower: the metadata were restored from an old copy.
void CoordinatorLink::Take(const Peer& peer, const Command& command) {
  const int64_t term = command.id >> 32;
  if (term < term_ && &peer != leader_) {
    LogWarning("agent", options_.node + ": a command of term " + std::to_string(term) + " came late and is refused; " +
                            std::to_string(term_) + " leads");
    return;
  }
  term_ = term;
  command_(command);
}

void CoordinatorLink::Report(Peer* peer) {
  peer->reporting = true;
  peer->asked_at = loop_->clock()->Now();
  if (in_touch_) {
    report_again_ = false;
    reported_at_ = peer->asked_at;
    loop_->Cancel(silence_timer_);
    silence_timer_ = loop_->At(peer->asked_at + kSilentMs * kNsPerMs, [this] {
      silence_timer_ = 0;
      if (!in_touch_ || !leader_->reporting) return;
      in_touch_ = false;
      Seek();
    });
  }
  AgentReport report = MakeReport();
  report.samples.assign(std::make_move_iterator(samples_.begin()), std::make_move_iterator(samples_.end()));
  samples_.clear();
  peer->client->AgentReported(
      report, kReportTimeoutMs,
      [this, alive = std::weak_ptr<bool>(alive_), peer, sent = report](Result<NextCommandResponse> answer) mutable {
        if (alive.expired()) return;
        peer->reporting = false;
        if (answer.ok() && answer->code == StatusCode::kOk) {
          Heard(sent.done);
        } else if (answer.ok() || answer.status().code() == StatusCode::kUnavailable) {
          // Never sent, or not taken. After a lost answer they may have been: samples are not worth twice.
          samples_.insert(samples_.begin(), std::make_move_iterator(sent.samples.begin()),
                          std::make_move_iterator(sent.samples.end()));
          while (samples_.size() > options_.samples_max) samples_.pop_front();
        }
        Answered(peer, answer);
      });
}

// To a report, or to the leader's poll when that went wrong.
void CoordinatorLink::Answered(Peer* peer, const Result<NextCommandResponse>& answer) {
  if (answer.ok() && answer->code == StatusCode::kOk) {
    if (!in_touch_ || leader_ != peer)
      LogInfo("agent", options_.node + ": in touch with the coordinator at " + peer->address);
    leader_ = peer;
    in_touch_ = true;
    complaints_.clear();
    Poll(peer);
    if (report_again_) Report(peer);
    return;
  }
  Complain(*peer, answer);
  if (peer == leader_) in_touch_ = false;
  if (in_touch_) return;
  // Where it sends us, unless that one was asked a moment ago: it may be stopped, and its lease not yet over.
  if (answer.ok() && !answer->leader.empty()) {
    Peer* named = Find(answer->leader);
    const Instant now = loop_->clock()->Now();
    if (named != nullptr && !named->reporting && now - named->asked_at >= kTryMs * kNsPerMs) return Report(named);
  }
  Seek();
}

void CoordinatorLink::Complain(const Peer& peer, const Result<NextCommandResponse>& answer) {
  const std::string why = peer.address + " (" + (answer.ok() ? answer->detail : answer.status().ToString()) + ")";
  if (complaints_.size() < kComplaintsMax && complaints_.insert(why).second) {
    LogWarning("agent", options_.node + ": no coordinator leads at " + why + "; the application runs on");
  }
}

void CoordinatorLink::Seek() {
  if (in_touch_ || seek_timer_ != 0) return;
  const Instant now = loop_->clock()->Now();
  const Instant due = tried_at_ + kTryMs * kNsPerMs;
  if (tried_at_ == Instant() || now >= due) {
    tried_at_ = now;
    Peer* peer = Find(options_.coordinators[next_]);
    next_ = (next_ + 1) % options_.coordinators.size();
    if (peer != nullptr && !peer->reporting) Report(peer);
  }
  seek_timer_ = loop_->At(tried_at_ + kTryMs * kNsPerMs, [this] {
    seek_timer_ = 0;
    Seek();
  });
}

void CoordinatorLink::ReportSoon() {
  if (report_posted_) return;
  report_posted_ = true;
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    report_posted_ = false;
    if (!in_touch_ || leader_->reporting) {
      report_again_ = true;
    } else {
      Report(leader_);
    }
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

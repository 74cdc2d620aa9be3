#include "server/agent/app_link.h"

#include <algorithm>
#include <utility>

#include "log/env/logging.h"

namespace understudy {
namespace {

// What the coordinator decides on, as against progress that the next heartbeat brings.
bool IsUrgent(const AppReport& before, const AppReport& now) {
  return before.role != now.role || before.service != now.service || before.epoch != now.epoch ||
         before.caught_up != now.caught_up || before.attempt != now.attempt || before.endpoint != now.endpoint ||
         before.mirror_address != now.mirror_address || before.may_serve != now.may_serve ||
         before.checkpoint_lsn != now.checkpoint_lsn;
}

}  // namespace

AppLink::AppLink(EventLoop* loop, Hooks hooks) : loop_(loop), hooks_(std::move(hooks)) {}

AppLink::~AppLink() {
  loop_->Cancel(poll_timer_);
  loop_->Cancel(silence_timer_);
}

void AppLink::AppNextCommand(uint64_t connection, AppReport report, uint32_t wait_ms,
                             Reply<NextCommandResponse> reply) {
  if (const Status taken = Take(connection, std::move(report)); !taken.ok()) {
    return reply({taken.code(), taken.message(), {}});
  }
  if (poll_) AnswerPoll({});  // asked again: the earlier poll is given up
  poll_ = std::move(reply);
  const int64_t wait = std::min(wait_ms, kAppPollMsMax);
  poll_timer_ = loop_->At(loop_->clock()->Now() + wait * kNsPerMs, [this] {
    poll_timer_ = 0;
    AnswerPoll({});
  });
  Deliver();
}

void AppLink::AppReported(uint64_t connection, AppReport report, Reply<NextCommandResponse> reply) {
  const Status taken = Take(connection, std::move(report));
  reply({taken.code(), taken.message(), {}});
}

void AppLink::OnDisconnect(uint64_t connection) {
  if (connection != connection_) return;
  connection_ = 0;
  has_report_ = false;
  poll_ = nullptr;
  loop_->Cancel(std::exchange(poll_timer_, 0));
  loop_->Cancel(std::exchange(silence_timer_, 0));
  hooks_.heard(true);
}

Status AppLink::Take(uint64_t connection, AppReport report) {
  UNDERSTUDY_RETURN_IF_ERROR(hooks_.admit(report));
  if (connection != connection_) {  // a new connection of the application: what it was told may not have arrived
    if (connection_ != 0) OnDisconnect(connection_);
    connection_ = connection;
    for (Pending& pending : pending_) pending.delivered = false;
  }
  const std::vector<CommandResult> done = std::exchange(report.done, {});
  const bool urgent = !has_report_ || IsUrgent(report_, report) || !done.empty();
  report_ = std::move(report);
  has_report_ = true;
  heard_at_ = loop_->clock()->Now();
  for (const CommandResult& result : done) {
    std::erase_if(pending_, [&](const Pending& pending) { return pending.command.id == result.id; });
    hooks_.result(result);
  }
  if (silence_timer_ == 0) WatchSilence();
  hooks_.heard(urgent);
  return Status::Ok();
}

void AppLink::WatchSilence() {
  silence_timer_ = loop_->At(heard_at_ + kAppSilenceMsMax * kNsPerMs, [this] {
    silence_timer_ = 0;
    if (!has_report_) return;
    if (loop_->clock()->Now() - heard_at_ < kAppSilenceMsMax * kNsPerMs) return WatchSilence();
    LogWarning("agent", "process " + std::to_string(report_.pid) + " is connected but says nothing");
    has_report_ = false;
    hooks_.heard(true);
  });
}

void AppLink::Send(const Command& command) {
  const auto same = [&](const Pending& pending) { return pending.command.id == command.id; };
  if (std::any_of(pending_.begin(), pending_.end(), same)) return;
  if (pending_.size() >= kAppCommandsMax) {
    return hooks_.result({command.id, StatusCode::kResourceExhausted, "too many commands without a result"});
  }
  pending_.push_back({command});
  Deliver();
}

void AppLink::Deliver() {
  if (!poll_) return;
  for (Pending& pending : pending_) {
    if (pending.delivered) continue;
    pending.delivered = true;
    return AnswerPoll(pending.command);
  }
}

void AppLink::AnswerPoll(const Command& command) {
  loop_->Cancel(std::exchange(poll_timer_, 0));
  const Reply<NextCommandResponse> reply = std::exchange(poll_, nullptr);
  if (reply) reply({StatusCode::kOk, "", command});
}

void AppLink::ProcessEnded(const std::string& reason) {
  if (connection_ != 0) OnDisconnect(connection_);
  const std::deque<Pending> unfinished = std::exchange(pending_, {});
  for (const Pending& pending : unfinished) {
    hooks_.result({pending.command.id, StatusCode::kUnavailable, "the application ended: " + reason});
  }
}

const AppReport* AppLink::report() const { return has_report_ ? &report_ : nullptr; }

}  // namespace understudy

#include "client/cli/leader_call.h"

#include <algorithm>
#include <utility>

namespace understudy::cli {

LeaderCall::LeaderCall(EventLoop* loop, Options options, Call call, Done<DocumentResponse> done)
    : loop_(loop), options_(std::move(options)), call_(std::move(call)), done_(std::move(done)) {}

void LeaderCall::Start() {
  deadline_ = loop_->clock()->Now() + kPatienceMs * kNsPerMs;
  AskNext();
}

void LeaderCall::AskNext() {
  const std::string address = options_.coordinators[next_];
  next_ = (next_ + 1) % options_.coordinators.size();
  if (asking_.count(address) == 0 && (options_.repeatable || asking_.empty())) Ask(address);
  Arm();
}

void LeaderCall::Ask(const std::string& address) {
  CoordinatorServiceClient* client = options_.open(address);
  if (client == nullptr) return;
  asking_.insert(address);
  asked_at_[address] = loop_->clock()->Now();
  call_(client, [self = shared_from_this(), address](Result<DocumentResponse> answer) {
    self->OnAnswer(address, std::move(answer));
  });
}

void LeaderCall::OnAnswer(const std::string& address, Result<DocumentResponse> answer) {
  asking_.erase(address);
  if (!done_) return;
  answered_ = address;
  if (answer.ok() && answer->code != StatusCode::kUnavailable) return End(std::move(answer));
  last_ = std::move(answer);
  if (!last_.ok()) {
    const StatusCode code = last_.status().code();
    const bool lost = code == StatusCode::kOutcomeUnknown || code == StatusCode::kDeadlineExceeded;
    if (code != StatusCode::kUnavailable && !(lost && options_.repeatable)) return End(std::move(last_));
    unreachable_.insert(address);
    const bool all = std::all_of(options_.coordinators.begin(), options_.coordinators.end(),
                                 [&](const std::string& one) { return unreachable_.count(one) > 0; });
    if (all && asking_.empty()) return End(std::move(last_));
    if (!all) AskNext();
    return;
  }
  unreachable_.erase(address);
  // Where it sends us, unless that one was asked a moment ago: it may be stopped, and its lease not yet over.
  const std::string leader = last_->leader;
  const auto asked = asked_at_.find(leader);
  const bool lately = asked != asked_at_.end() && loop_->clock()->Now() - asked->second < kTryMs * kNsPerMs;
  if (!leader.empty() && asking_.count(leader) == 0 && !lately && (options_.repeatable || asking_.empty())) Ask(leader);
  Arm();
}

void LeaderCall::Arm() {
  if (timer_ != 0 || !done_) return;
  timer_ = loop_->At(loop_->clock()->Now() + kTryMs * kNsPerMs, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr || !self->done_) return;
    self->timer_ = 0;
    const bool waits = !self->options_.repeatable && !self->asking_.empty();  // it was taken: its answer is awaited
    const bool alone = self->options_.coordinators.size() == 1 && !self->asking_.empty();
    if (waits || alone) return self->Arm();
    if (self->loop_->clock()->Now() >= self->deadline_ && self->asking_.empty())
      return self->End(std::move(self->last_));
    if (self->loop_->clock()->Now() >= self->deadline_) return self->Arm();
    self->AskNext();
  });
}

void LeaderCall::End(Result<DocumentResponse> answer) {
  loop_->Cancel(timer_);
  timer_ = 0;
  std::exchange(done_, nullptr)(std::move(answer));
}

}  // namespace understudy::cli

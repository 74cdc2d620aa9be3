// The verbs that change or look at an epoch. The append path does nothing here but ask for room, step the core and
// queue what it gives out.
#include "server/lognode/log_node_impl.h"

namespace understudy {

Status LogNodeImpl::AdmitAppend(const AppendRequest& request) {
  JournalEntry entry;
  entry.kind = JournalKind::kBatch;
  entry.log = request.log;
  entry.epoch = request.epoch;
  entry.batch = request.batch;
  Status admission = store_->Admit(entry);
  if (admission.code() == StatusCode::kIoError) Fatal(admission);  // it failed while nobody waited for it
  if (!admission.ok()) return admission;
  return quota_.Admit(request.log, request.batch->size(), Now());
}

// An acknowledgement that comes late holds its writer up and nobody else. Errors are told at once.
Reply<AppendResponse> LogNodeImpl::Delayed(int64_t delay_ms, Reply<AppendResponse> reply) {
  return [this, delay_ms, alive = std::weak_ptr(alive_), reply = std::move(reply)](AppendResponse response) {
    if (response.code != StatusCode::kOk) return reply(std::move(response));
    loop_->At(Now() + delay_ms * kNsPerMs, [alive, reply, response = std::move(response)] {
      if (!alive.expired()) reply(response);
    });
  };
}

void LogNodeImpl::Append(AppendRequest request, Reply<AppendResponse> reply) {
  Status admission;
  if (request.batch != nullptr) {
    admission = AdmitAppend(request);
    if (const int64_t delay_ms = quota_.DelayMs(request.log); delay_ms > 0) reply = Delayed(delay_ms, std::move(reply));
  }
  const Token token = appends_.Add(std::move(reply));
  replica_.Append(token, request, admission, Now(), &effects_);
  wake_at_ = effects_.wake_at;
  effects_waiting_ = true;
  Perform();
}

void LogNodeImpl::Seal(SealRequest request, Reply<SealResponse> reply) {
  Step(ReplicaSeal{seals_.Add(std::move(reply)), std::move(request)});
  Perform();
}

void LogNodeImpl::Barrier(BarrierRequest request, Reply<BarrierResponse> reply) {
  Step(ReplicaBarrier{barriers_.Add(std::move(reply)), std::move(request)});
  Perform();
}

void LogNodeImpl::Trim(TrimRequest request, Reply<TrimResponse> reply) {
  const auto counted = [this, log = request.log, reply = std::move(reply)](TrimResponse response) {
    quota_.Trimmed(log);
    reply(std::move(response));
  };
  Step(ReplicaTrim{trims_.Add(counted), std::move(request)});
  Perform();
}

// Logs whose writer was heard lately; counted now and then, since many may ask.
int64_t LogNodeImpl::OpenEpochs() {
  constexpr int64_t kCountNs = kNsPerSecond;
  constexpr int64_t kHeardMs = 5000;
  const Instant now = Now();
  if (open_epochs_at_ != Instant() && now - open_epochs_at_ < kCountNs) return open_epochs_;
  open_epochs_at_ = now;
  open_epochs_ = 0;
  for (const LogId log : replica_.Logs()) {
    const int64_t age_ms = replica_.StatusOf(log, now).writer_age_ms;
    open_epochs_ += age_ms >= 0 && age_ms < kHeardMs;
  }
  return open_epochs_;
}

void LogNodeImpl::ReplicaStatus(ReplicaStatusRequest request, Reply<ReplicaStatusResponse> reply) {
  const LogId log = request.log;
  const auto with_bytes = [this, log, reply = std::move(reply)](ReplicaStatusResponse response) {
    if (response.code == StatusCode::kOk) response.bytes = store_->LogBytes(log);
    response.open_epochs = OpenEpochs();
    reply(std::move(response));
  };
  Step(ReplicaStatusAsk{statuses_.Add(with_bytes), std::move(request)});
  Perform();
}

}  // namespace understudy

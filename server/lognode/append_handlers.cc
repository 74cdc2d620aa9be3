// The verbs that change or look at an epoch. The append path does nothing here but ask for room, step the core and
// queue what it gives out.
#include "server/lognode/log_node_impl.h"

namespace understudy {

void LogNodeImpl::Append(AppendRequest request, Reply<AppendResponse> reply) {
  Status admission;
  if (request.batch != nullptr) {
    JournalEntry entry;
    entry.kind = JournalKind::kBatch;
    entry.log = request.log;
    entry.epoch = request.epoch;
    entry.batch = request.batch;
    admission = store_->Admit(entry);
    if (admission.code() == StatusCode::kIoError) Fatal(admission);  // it failed while nobody waited for it
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
  Step(ReplicaTrim{trims_.Add(std::move(reply)), std::move(request)});
  Perform();
}

void LogNodeImpl::ReplicaStatus(ReplicaStatusRequest request, Reply<ReplicaStatusResponse> reply) {
  const LogId log = request.log;
  const auto with_bytes = [this, log, reply = std::move(reply)](ReplicaStatusResponse response) {
    if (response.code == StatusCode::kOk) response.bytes = store_->LogBytes(log);
    reply(std::move(response));
  };
  Step(ReplicaStatusAsk{statuses_.Add(with_bytes), std::move(request)});
  Perform();
}

}  // namespace understudy

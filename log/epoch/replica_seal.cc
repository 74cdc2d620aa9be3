// Seal, barrier, trim and status of a Replica.
#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/replica_impl.h"

namespace understudy {

// From now on, before it is on the disk: to refuse early is safe, to answer early is not.
void Replica::Impl::PutSealInForce(LogState* log, Epoch epoch, ReplicaEffects* out) {
  if (log->sealed >= epoch) return;
  log->sealed = epoch;
  for (const auto& state : log->epochs) {
    if (state->epoch > epoch) break;
    if (!state->parked.empty()) WakeReaders(state.get(), out);
  }
}

void Replica::Impl::AnswerSeal(Token token, LogState* log, Epoch asked, ReplicaEffects* out) {
  const EpochState* epoch = FindEpoch(log, asked);
  out->seals.push_back({token, {StatusCode::kOk, {}, epoch == nullptr ? Lsn(0) : epoch->durable, log->HighestEpoch()}});
}

void Replica::Impl::Seal(Token token, const SealRequest& request, ReplicaEffects* out) {
  const Status refusal = Refusal(request.disk);
  if (!refusal.ok()) {
    const bool wrong = refusal.code() == StatusCode::kWrongDisk;
    out->seals.push_back(
        {token, {wrong ? StatusCode::kWrongDisk : StatusCode::kDataUnknown, refusal.message(), {}, {}}});
    return;
  }
  if (request.epoch.value() == 0) {  // nothing to seal: only asks whether the disk is alive
    const LogState* known = Find(request.log);
    out->seals.push_back({token, {StatusCode::kOk, {}, {}, known == nullptr ? Epoch() : known->HighestEpoch()}});
    return;
  }
  std::string why_not;
  LogState* log = FindOrCreate(request.log, &why_not);
  if (log == nullptr) {
    out->seals.push_back({token, {StatusCode::kResourceExhausted, std::move(why_not), {}, {}}});
    return;
  }
  PutSealInForce(log, request.epoch, out);
  const EpochState* epoch = FindEpoch(log, request.epoch);
  if (MutantOn(Mutant::kSealBeforeDurable) || MutantOn(Mutant::kAppendAfterSealAnswer)) {
    const Lsn tail = epoch == nullptr ? Lsn(0) : MutantOn(Mutant::kSealBeforeDurable) ? epoch->tail : epoch->durable;
    out->seals.push_back({token, {StatusCode::kOk, {}, tail, log->HighestEpoch()}});
    token = 0;
  }
  if (log->durable_sealed >= request.epoch && (epoch == nullptr || epoch->tail == epoch->durable)) {
    if (token != 0) AnswerSeal(token, log, request.epoch, out);
    return;
  }
  // The journal is one order: when this entry is durable, so is every append taken before it, and the tail stands.
  PersistEntry entry;
  entry.kind = PersistEntry::Kind::kSeal;
  entry.log = request.log;
  entry.sealed_epoch = log->sealed;
  Pending waiting;
  waiting.log = log;
  waiting.sealed_epoch = log->sealed;
  waiting.asked_epoch = request.epoch;
  waiting.token = token;
  Emit(std::move(entry), waiting, out);
}

void Replica::Impl::Barrier(Token token, const BarrierRequest& request, Instant now, ReplicaEffects* out) {
  const Status refusal = Refusal(request.disk);
  if (!refusal.ok()) {
    const bool wrong = refusal.code() == StatusCode::kWrongDisk;
    out->barriers.push_back({token, {wrong ? StatusCode::kWrongDisk : StatusCode::kDataUnknown, refusal.message()}});
    return;
  }
  LogState* log = Find(request.log);
  if (log != nullptr && log->sealed >= request.epoch) {
    out->barriers.push_back({token, {StatusCode::kFenced, "sealed up to " + std::to_string(log->sealed.value())}});
    return;
  }
  if (EpochState* epoch = FindEpoch(log, request.epoch)) {
    epoch->heard = now;
    epoch->heard_any = true;
  }
  out->barriers.push_back({token, {}});
}

void Replica::Impl::Trim(Token token, const TrimRequest& request, ReplicaEffects* out) {
  const Status refusal = Refusal(request.disk);
  if (!refusal.ok()) {
    out->trims.push_back({token, {refusal.code(), refusal.message()}});
    return;
  }
  LogState* log = Find(request.log);
  if (log == nullptr || request.lsn <= log->trim) {
    out->trims.push_back({token, {}});
    return;
  }
  PersistEntry entry;
  entry.kind = PersistEntry::Kind::kTrim;
  entry.log = request.log;
  entry.trim_lsn = request.lsn;
  Pending waiting;
  waiting.log = log;
  waiting.trim = request.lsn;
  waiting.token = token;
  Emit(std::move(entry), waiting, out);
}

void Replica::Impl::Trimmed(LogState* log, Lsn lsn, ReplicaEffects* out) {
  if (lsn <= log->trim) return;
  log->trim = lsn;
  for (const auto& epoch : log->epochs) {
    std::erase_if(epoch->parked, [&](const ParkedRead& read) {
      if (read.from > lsn) return false;
      AnswerRead(read.token, StatusCode::kTrimmed, {}, epoch->commit, lsn, out);
      --parked_count;
      return true;
    });
  }
  // The tail of the highest epoch is kept: a seal must find it.
  if (log->epochs.empty()) return;
  const Epoch highest = log->epochs.back()->epoch;
  std::erase_if(log->epochs, [&](const std::unique_ptr<EpochState>& epoch) {
    return epoch->epoch < highest && epoch->epoch <= log->sealed && epoch->tail <= lsn && epoch->in_flight.empty() &&
           epoch->duplicates.empty() && epoch->parked.empty() && epoch->fetches == 0 && !epoch->touched;
  });
}

ReplicaStatusResponse Replica::Impl::StatusOf(LogId id, Instant now) const {
  ReplicaStatusResponse response;
  const LogState* log = Find(id);
  if (log == nullptr) {
    response.code = StatusCode::kNotFound;
    response.detail = "this disk has never heard of log " + std::to_string(id.value());
    return response;
  }
  response.sealed = log->sealed;
  response.highest_epoch = log->HighestEpoch();
  if (log->epochs.empty()) return response;
  const EpochState& newest = *log->epochs.back();
  response.tail = newest.durable;
  response.commit = newest.commit;
  if (newest.heard_any) response.writer_age_ms = (now - newest.heard) / kNsPerMs;
  return response;
}

}  // namespace understudy

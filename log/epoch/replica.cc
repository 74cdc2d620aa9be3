#include "log/epoch/replica.h"

#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/replica_impl.h"
#include "understudy/check.h"

namespace understudy {
namespace {

void ReplyAppend(Token token, StatusCode code, std::string detail, Lsn tail, ReplicaEffects* out) {
  out->appends.push_back({token, {code, std::move(detail), tail}});
}

std::string Name(LogId log, Epoch epoch) {
  return "log " + std::to_string(log.value()) + " epoch " + std::to_string(epoch.value());
}

}  // namespace

void ReplicaEffects::Clear() {
  persist.clear();
  appends.clear();
  seals.clear();
  barriers.clear();
  reads.clear();
  serve.clear();
  fetches.clear();
  trims.clear();
  statuses.clear();
  compare.clear();
  fetch_reads.clear();
  wake_at = Instant::Never();
}

// ---- finding state ----

Epoch Replica::Impl::LogState::HighestEpoch() const {
  return epochs.empty() ? sealed : std::max(sealed, epochs.back()->epoch);
}

Replica::Impl::LogState* Replica::Impl::Find(LogId log) const {
  const auto found = logs.find(log);
  return found == logs.end() ? nullptr : found->second.get();
}

Replica::Impl::LogState* Replica::Impl::FindOrCreate(LogId log, std::string* why_not) {
  if (LogState* found = Find(log)) return found;
  if (logs.size() >= options.logs_max) {
    *why_not = "this disk knows " + std::to_string(logs.size()) + " logs already, its bound";
    return nullptr;
  }
  auto created = std::make_unique<LogState>();
  created->log = log;
  return logs.emplace(log, std::move(created)).first->second.get();
}

Replica::Impl::EpochState* Replica::Impl::FindEpoch(const LogState* log, Epoch epoch) {
  if (log == nullptr || log->epochs.empty()) return nullptr;
  if (log->epochs.back()->epoch == epoch) return log->epochs.back().get();  // nearly always
  const auto at = std::lower_bound(log->epochs.begin(), log->epochs.end(), epoch,
                                   [](const auto& state, Epoch wanted) { return state->epoch < wanted; });
  return at != log->epochs.end() && (*at)->epoch == epoch ? at->get() : nullptr;
}

Replica::Impl::EpochState* Replica::Impl::FindOrCreateEpoch(LogState* log, Epoch epoch, Lsn epoch_first,
                                                            std::string* why_not) {
  if (EpochState* found = FindEpoch(log, epoch)) return found;
  if (log->epochs.size() >= options.epochs_per_log_max) {
    *why_not = Name(log->log, epoch) + ": too many epochs that are not trimmed away";
    return nullptr;
  }
  auto created = std::make_unique<EpochState>();
  created->log = log;
  created->epoch = epoch;
  created->epoch_first = epoch_first;
  created->tail = created->durable = epoch_first - 1;
  const auto at = std::lower_bound(log->epochs.begin(), log->epochs.end(), epoch,
                                   [](const auto& state, Epoch wanted) { return state->epoch < wanted; });
  return log->epochs.insert(at, std::move(created))->get();
}

Status Replica::Impl::Refusal(const DiskId& disk) const {
  if (disk != options.disk && !MutantOn(Mutant::kWipedIsEmpty)) {
    return {StatusCode::kWrongDisk, "this server holds disk " + ToHex(options.disk) + ", not " + ToHex(disk)};
  }
  if (!failed.ok()) return failed;
  if (options.retired) return {StatusCode::kDataUnknown, "disk " + ToHex(options.disk) + " is retired"};
  return Status::Ok();
}

// ---- the journal ----

uint64_t Replica::Impl::Emit(PersistEntry entry, Pending entry_pending, ReplicaEffects* out) {
  const uint64_t seq = next_seq++;
  entry.seq = seq;
  entry_pending.kind = entry.kind;
  pending.push_back(entry_pending);
  out->persist.push_back(std::move(entry));
  return seq;
}

void Replica::Impl::EmitBatch(PersistEntry::Kind kind, const BatchHeader& header, BatchRef batch, Token token,
                              EpochState* epoch, ReplicaEffects* out) {
  LogState* log = epoch->log;
  // An append seals all lower epochs; the entry carries that for as long as it is not on the disk. Before a takeover
  // of e can count on e's replicas, so can the writer of e + 1.
  const Epoch below = kind == PersistEntry::Kind::kBatch ? epoch->epoch - 1 : epoch->epoch;
  PersistEntry entry;
  entry.kind = kind;
  entry.log = log->log;
  entry.epoch = epoch->epoch;
  entry.attempt = epoch->attempt;
  entry.epoch_first_lsn = epoch->epoch_first;
  entry.first_lsn = header.first_lsn;
  entry.last_lsn = header.last_lsn();
  entry.batch = std::move(batch);
  Pending waiting;
  waiting.log = log;
  waiting.epoch = epoch;
  if (log->durable_sealed < below) entry.sealed_epoch = waiting.sealed_epoch = below;
  if (log->sealed < below) PutSealInForce(log, below, out);
  epoch->in_flight.push_back({header.first_lsn, header.last_lsn(), header.crc, token});
  epoch->tail = header.last_lsn();
  Emit(std::move(entry), waiting, out);
}

void Replica::Impl::Touch(EpochState* epoch) {
  if (epoch->touched) return;
  epoch->touched = true;
  touched.push_back(epoch);
}

void Replica::Impl::OnPersisted(uint64_t seq, ReplicaEffects* out) {
  UNDERSTUDY_CHECK(seq < next_seq);
  while (!pending.empty() && first_pending <= seq) {
    const Pending done = pending.front();
    pending.pop_front();
    ++first_pending;
    if (done.failed) continue;
    LogState* log = done.log;
    log->durable_sealed = std::max(log->durable_sealed, done.sealed_epoch);
    switch (done.kind) {
      case PersistEntry::Kind::kBatch:
      case PersistEntry::Kind::kFetched: {
        const InFlight batch = done.epoch->in_flight.front();
        done.epoch->in_flight.pop_front();
        done.epoch->durable = batch.last;
        if (batch.token != 0) ReplyAppend(batch.token, StatusCode::kOk, {}, batch.last, out);
        Touch(done.epoch);
        break;
      }
      case PersistEntry::Kind::kSeal:
        if (done.token != 0) AnswerSeal(done.token, log, done.asked_epoch, out);
        break;
      case PersistEntry::Kind::kTrim:
        Trimmed(log, done.trim, out);
        if (done.token != 0) out->trims.push_back({done.token, {}});
        break;
    }
  }
  durable_seq = std::max(durable_seq, seq);
  SettleTouched(out);
  ContinueFetches(out);
}

// Answers duplicates whose original is durable now, and readers that waited for it.
void Replica::Impl::SettleTouched(ReplicaEffects* out) {
  for (EpochState* epoch : touched) {
    epoch->touched = false;
    if (!epoch->duplicates.empty()) {
      std::erase_if(epoch->duplicates, [&](const DuplicateWaiter& waiter) {
        if (waiter.last > epoch->durable) return false;
        ReplyAppend(waiter.token, StatusCode::kOk, {}, epoch->durable, out);
        --duplicate_count;
        return true;
      });
    }
    if (!epoch->parked.empty()) WakeReaders(epoch, out);
  }
  touched.clear();
}

void Replica::Impl::OnPersistFailed(const PersistFailed& input, ReplicaEffects* out) {
  UNDERSTUDY_CHECK(input.seq >= first_pending && input.seq < next_seq);
  Pending& first = pending[input.seq - first_pending];
  if (first.failed) return;
  first.failed = true;
  for (size_t f = fetches.size(); f-- > 0;) {
    if (fetches[f]->begin_seq == input.seq) {
      EndFetch(fetches[f].get(), StatusCode::kResourceExhausted, input.status.message(), out);
    }
  }
  if (first.kind == PersistEntry::Kind::kSeal) {
    // The seal stays in force: to refuse more than is on the disk is always safe. But it must not be answered.
    if (first.token != 0) {
      out->seals.push_back({first.token, {StatusCode::kResourceExhausted, input.status.message(), {}, {}}});
    }
    return;
  }
  if (first.kind == PersistEntry::Kind::kTrim) {
    if (first.token != 0) out->trims.push_back({first.token, {StatusCode::kResourceExhausted, input.status.message()}});
    return;
  }
  // The batch and all behind it in this log: what follows a hole must not stay.
  LogState* log = first.log;
  for (size_t i = pending.size(); i-- > input.seq - first_pending;) {
    Pending& entry = pending[i];
    const bool batch = entry.kind == PersistEntry::Kind::kBatch || entry.kind == PersistEntry::Kind::kFetched;
    if (!batch || entry.log != log || (entry.failed && &entry != &first)) continue;
    entry.failed = true;
    EpochState* epoch = entry.epoch;
    const InFlight lost = epoch->in_flight.back();
    epoch->in_flight.pop_back();
    epoch->tail = epoch->in_flight.empty() ? epoch->durable : epoch->in_flight.back().last;
    if (lost.token != 0) {
      ReplyAppend(lost.token, StatusCode::kResourceExhausted, input.status.message(), epoch->durable, out);
    }
    std::erase_if(epoch->duplicates, [&](const DuplicateWaiter& waiter) {
      if (waiter.last <= epoch->tail) return false;
      ReplyAppend(waiter.token, StatusCode::kResourceExhausted, input.status.message(), epoch->durable, out);
      --duplicate_count;
      return true;
    });
    if (epoch->fetches == 0) continue;
    for (size_t f = fetches.size(); f-- > 0;) {
      if (fetches[f]->epoch == epoch) {
        EndFetch(fetches[f].get(), StatusCode::kResourceExhausted, input.status.message(), out);
      }
    }
  }
}

void Replica::Impl::AbandonAll(const Status& status, ReplicaEffects* out) {
  UNDERSTUDY_CHECK(!status.ok());
  for (size_t i = 0; i < pending.size(); ++i) {
    const Pending& entry = pending[i];
    if (entry.failed || entry.token == 0) continue;
    if (entry.kind == PersistEntry::Kind::kSeal) {
      out->seals.push_back({entry.token, {StatusCode::kDataUnknown, status.message(), {}, {}}});
    } else if (entry.kind == PersistEntry::Kind::kTrim) {
      out->trims.push_back({entry.token, {status.code(), status.message()}});
    }
  }
  pending.clear();
  first_pending = next_seq;
  for (auto& [id, log] : logs) {
    for (auto& epoch : log->epochs) {
      for (; !epoch->in_flight.empty(); epoch->in_flight.pop_front()) {
        const Token token = epoch->in_flight.front().token;
        if (token != 0) ReplyAppend(token, status.code(), status.message(), {}, out);
      }
      for (const DuplicateWaiter& waiter : epoch->duplicates) {
        ReplyAppend(waiter.token, status.code(), status.message(), {}, out);
      }
      for (const ParkedRead& read : epoch->parked) {
        AnswerRead(read.token, StatusCode::kDataUnknown, status.message(), {}, {}, out);
      }
      epoch->duplicates.clear();
      epoch->parked.clear();
    }
  }
  for (const auto& [token, comparison] : comparisons) ReplyAppend(token, status.code(), status.message(), {}, out);
  comparisons.clear();
  while (!fetches.empty()) EndFetch(fetches.back().get(), status.code(), status.message(), out);
  parked_count = duplicate_count = 0;
  next_deadline = Instant::Never();
}

// ---- append ----

void Replica::Impl::Append(Token token, const AppendRequest& request, const Status& admission, Instant now,
                           ReplicaEffects* out) {
  if (request.disk != options.disk || options.retired || !failed.ok()) [[unlikely]] {
    const Status refusal = Refusal(request.disk);
    const bool takes_it = MutantOn(Mutant::kAppendToRetired) && request.disk == options.disk && failed.ok();
    if (!refusal.ok() && !takes_it) return ReplyAppend(token, refusal.code(), refusal.message(), {}, out);
  }
  if (request.epoch.value() == 0 || request.epoch_first_lsn.value() == 0 || request.attempt.none()) [[unlikely]] {
    return ReplyAppend(token, StatusCode::kInvalidArgument, "epoch, epoch_first_lsn and attempt must be set", {}, out);
  }
  LogState* log = Find(request.log);
  if (log != nullptr && log->sealed >= request.epoch) {
    return ReplyAppend(
        token, StatusCode::kFenced,
        Name(request.log, request.epoch) + " is sealed (up to " + std::to_string(log->sealed.value()) + ")", {}, out);
  }
  EpochState* epoch = FindEpoch(log, request.epoch);
  if (epoch == nullptr) {
    std::string why_not;
    if (log == nullptr) log = FindOrCreate(request.log, &why_not);
    if (log != nullptr) epoch = FindOrCreateEpoch(log, request.epoch, request.epoch_first_lsn, &why_not);
    if (epoch == nullptr) return ReplyAppend(token, StatusCode::kResourceExhausted, std::move(why_not), {}, out);
  }
  if (epoch->attempt.none()) {
    epoch->attempt = request.attempt;
  } else if (epoch->attempt != request.attempt) [[unlikely]] {
    return ReplyAppend(token, StatusCode::kConflict,
                       Name(request.log, request.epoch) + " belongs to attempt " + ToHex(epoch->attempt), {}, out);
  }
  if (!epoch->restored && epoch->epoch_first != request.epoch_first_lsn) [[unlikely]] {
    return ReplyAppend(token, StatusCode::kConflict, Name(request.log, request.epoch) + " begins elsewhere", {}, out);
  }
  epoch->heard = now;
  epoch->heard_any = true;
  if (MutantOn(Mutant::kCommitPerLog)) {
    for (const auto& other : log->epochs) other->commit = std::max(other->commit, request.commit);
  }
  if (request.commit > epoch->commit) {
    epoch->commit = request.commit;  // of this epoch only
    if (!epoch->parked.empty()) WakeReaders(epoch, out);
  }
  if (request.batch == nullptr) return ReplyAppend(token, StatusCode::kOk, {}, epoch->durable, out);
  AppendBatch(token, request, admission, epoch, out);
}

void Replica::Impl::AppendBatch(Token token, const AppendRequest& request, const Status& admission, EpochState* epoch,
                                ReplicaEffects* out) {
  const Result<BatchHeader> peeked = PeekBatch(*request.batch);
  if (!peeked.ok() || peeked->length != request.batch->size()) [[unlikely]] {
    return ReplyAppend(token, StatusCode::kCorruption,
                       peeked.ok() ? "batch: bytes after its end" : peeked.status().message(), {}, out);
  }
  if (peeked->log != request.log || peeked->epoch != request.epoch || peeked->first_lsn < request.epoch_first_lsn)
      [[unlikely]] {
    return ReplyAppend(token, StatusCode::kInvalidArgument, "the batch was encoded for another log, epoch or LSN", {},
                       out);
  }
  if (peeked->first_lsn > epoch->tail + 1) return ReplyAppend(token, StatusCode::kGap, {}, epoch->tail, out);
  if (peeked->first_lsn <= epoch->tail) return Duplicate(token, *peeked, epoch, out);
  if (!admission.ok()) [[unlikely]] {
    return ReplyAppend(token, StatusCode::kResourceExhausted, admission.message(), epoch->durable, out);
  }
  const Result<BatchHeader> verified = VerifyBatch(*request.batch);
  if (!verified.ok()) [[unlikely]] {
    return ReplyAppend(token, StatusCode::kCorruption, verified.status().message(), epoch->durable, out);
  }
  if (MutantOn(Mutant::kAckBeforeFsync)) {
    ReplyAppend(token, StatusCode::kOk, {}, verified->last_lsn(), out);
    token = 0;
  }
  EmitBatch(PersistEntry::Kind::kBatch, *verified, request.batch, token, epoch, out);
}

// Something the replica has already. Acknowledged only when it is the same, and only once the original is durable.
void Replica::Impl::Duplicate(Token token, const BatchHeader& header, EpochState* epoch, ReplicaEffects* out) {
  const LogState* log = epoch->log;
  const auto conflict = [&] {
    ReplyAppend(token, StatusCode::kConflict,
                Name(log->log, epoch->epoch) + ": another batch than the one stored at LSN " +
                    std::to_string(header.first_lsn.value()),
                epoch->durable, out);
  };
  const Lsn last = header.last_lsn();
  if (last > epoch->tail) return conflict();
  if (duplicate_count + comparisons.size() >= options.comparisons_max) {
    return ReplyAppend(token, StatusCode::kResourceExhausted, "too many duplicates wait", epoch->durable, out);
  }
  if (header.first_lsn <= epoch->durable) {
    if (last <= log->trim) return ReplyAppend(token, StatusCode::kOk, {}, epoch->durable, out);
    if (!comparisons.emplace(token, Comparison{log->log, epoch->epoch, last}).second) return;  // asked already
    out->compare.push_back({token, log->log, epoch->epoch, header.first_lsn, last, header.crc});
    return;
  }
  size_t low = 0;
  size_t high = epoch->in_flight.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (epoch->in_flight[middle].first < header.first_lsn) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == epoch->in_flight.size()) return conflict();
  const InFlight& original = epoch->in_flight[low];
  if (original.first != header.first_lsn || original.last != last || original.crc != header.crc) return conflict();
  epoch->duplicates.push_back({last, token});
  ++duplicate_count;
}

void Replica::Impl::OnCompared(const Compared& input, ReplicaEffects* out) {
  const auto found = comparisons.find(input.token);
  if (found == comparisons.end()) return;
  const Comparison asked = found->second;
  comparisons.erase(found);
  const EpochState* epoch = FindEpoch(Find(asked.log), asked.epoch);
  const Lsn durable = epoch == nullptr ? asked.last : epoch->durable;
  switch (input.outcome) {
    case Compared::Outcome::kSame:
      return ReplyAppend(input.token, StatusCode::kOk, {}, durable, out);
    case Compared::Outcome::kDifferent:
      return ReplyAppend(input.token, StatusCode::kConflict,
                         Name(asked.log, asked.epoch) + ": another batch than the one stored up to LSN " +
                             std::to_string(asked.last.value()),
                         durable, out);
    case Compared::Outcome::kUnknown:
      return ReplyAppend(input.token, StatusCode::kDataUnknown, "the stored batch cannot be read", {}, out);
  }
}

// ---- the class ----

Replica::Replica(ReplicaOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Replica::~Replica() = default;

void Replica::Restore(const ReplicaLogState& log) {
  auto state = std::make_unique<Impl::LogState>();
  state->log = log.log;
  state->sealed = state->durable_sealed = log.sealed;
  state->trim = log.trim;
  for (const ReplicaEpochState& found : log.epochs) {
    UNDERSTUDY_CHECK(state->epochs.empty() || state->epochs.back()->epoch < found.epoch);
    auto epoch = std::make_unique<Impl::EpochState>();
    epoch->log = state.get();
    epoch->epoch = found.epoch;
    epoch->attempt = found.attempt;
    epoch->epoch_first = found.epoch_first_lsn;
    epoch->restored = true;
    epoch->tail = epoch->durable = found.tail;
    state->epochs.push_back(std::move(epoch));
  }
  UNDERSTUDY_CHECK(impl_->logs.emplace(log.log, std::move(state)).second);
}

void Replica::Append(Token token, const AppendRequest& request, const Status& admission, Instant now,
                     ReplicaEffects* out) {
  impl_->Append(token, request, admission, now, out);
  out->wake_at = impl_->next_deadline;
}

void Replica::Step(const ReplicaInput& input, Instant now, ReplicaEffects* out) {
  struct Visitor {
    Impl& impl;
    Instant now;
    ReplicaEffects* out;
    void operator()(const ReplicaAppend& in) { impl.Append(in.token, in.request, in.admission, now, out); }
    void operator()(const ReplicaSeal& in) { impl.Seal(in.token, in.request, out); }
    void operator()(const ReplicaBarrier& in) { impl.Barrier(in.token, in.request, now, out); }
    void operator()(const ReplicaRead& in) { impl.Read(in.token, in.request, now, out); }
    void operator()(const ReplicaFetch& in) { impl.Fetch(in, out); }
    void operator()(const ReplicaTrim& in) { impl.Trim(in.token, in.request, out); }
    void operator()(const ReplicaStatusAsk& in) {
      const Status refusal = impl.Refusal(in.request.disk);
      ReplicaStatusResponse response = impl.StatusOf(in.request.log, now);
      if (!refusal.ok()) {
        response.code = refusal.code();
        response.detail = refusal.message();
      }
      out->statuses.push_back({in.token, std::move(response)});
    }
    // After DiskFailed and RetireDisk nothing becomes durable that could still be answered.
    void operator()(const Persisted& in) {
      const bool retired = impl.options.retired && !MutantOn(Mutant::kAppendToRetired);
      if (impl.failed.ok() && !retired) impl.OnPersisted(in.seq, out);
    }
    void operator()(const PersistFailed& in) {
      if (impl.failed.ok() && !impl.options.retired) impl.OnPersistFailed(in, out);
    }
    void operator()(const DiskFailed& in) {
      if (!impl.failed.ok() || MutantOn(Mutant::kResumeAfterFsyncError)) return;
      impl.failed = in.status;
      impl.AbandonAll(in.status, out);
    }
    void operator()(const RetireDisk& in) {
      if (impl.options.retired) return;
      impl.options.retired = true;
      impl.AbandonAll(in.why.ok() ? Status(StatusCode::kDataUnknown, "the disk is retired") : in.why, out);
    }
    void operator()(const Compared& in) { impl.OnCompared(in, out); }
    void operator()(const FetchReadDone& in) { impl.OnFetchRead(in, out); }
    void operator()(const Tick&) {}
  };
  std::visit(Visitor{*impl_, now, out}, input);
  if (now >= impl_->next_deadline) impl_->ExpireReaders(now, out);
  out->wake_at = impl_->next_deadline;
}

ReplicaStatusResponse Replica::StatusOf(LogId log, Instant now) const { return impl_->StatusOf(log, now); }

Lsn Replica::DurableTail(LogId log, Epoch epoch) const {
  const Impl::EpochState* state = Impl::FindEpoch(impl_->Find(log), epoch);
  return state == nullptr ? Lsn() : state->durable;
}

std::vector<LogId> Replica::Logs() const {
  std::vector<LogId> ids;
  ids.reserve(impl_->logs.size());
  for (const auto& [id, log] : impl_->logs) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool Replica::retired() const { return impl_->options.retired; }
size_t Replica::parked_reads() const { return impl_->parked_count; }

}  // namespace understudy

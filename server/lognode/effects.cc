// Steps the core and performs what it asks for.
#include <algorithm>

#include "server/lognode/log_node_impl.h"

namespace understudy {

void LogNodeImpl::Step(const ReplicaInput& input) {
  replica_.Step(input, Now(), &effects_);
  wake_at_ = effects_.wake_at;
  effects_waiting_ = true;
}

// A reply may let its connection read on, which calls a handler, which steps the core: the outer call performs that,
// too, after what it has in hand, so that the order of journal entries stays the core's.
void LogNodeImpl::Perform() {
  if (in_perform_) return;
  in_perform_ = true;
  while (effects_waiting_) {
    effects_waiting_ = false;
    std::swap(effects_, performing_);
    PerformOnce(&performing_);
    performing_.Clear();
  }
  in_perform_ = false;
  ArmTimer();
}

void LogNodeImpl::PerformOnce(ReplicaEffects* effects) {
  refused_.clear();
  for (const PersistEntry& entry : effects->persist) Persist(entry);
  for (auto& [token, response] : effects->appends) appends_.Answer(token, std::move(response));
  for (auto& [token, response] : effects->seals) seals_.Answer(token, std::move(response));
  for (auto& [token, response] : effects->barriers) barriers_.Answer(token, std::move(response));
  for (auto& [token, response] : effects->reads) reads_.Answer(token, std::move(response));
  for (const ServeRead& serve : effects->serve) Serve(serve);
  for (auto& [token, response] : effects->fetches) fetches_.Answer(token, std::move(response));
  for (auto& [token, response] : effects->trims) trims_.Answer(token, std::move(response));
  for (auto& [token, response] : effects->statuses) statuses_.Answer(token, std::move(response));
  for (const CompareStored& compare : effects->compare) Compare(compare);
  if (!effects->fetch_reads.empty()) {
    for (FetchRead& read : effects->fetch_reads) {
      (read.background ? background_waiting_ : fetch_waiting_).push_back(std::move(read));
    }
    StartFetchReadsSoon();
  }
}

JournalEntry LogNodeImpl::ToJournal(const PersistEntry& entry) {
  JournalEntry journal;
  journal.log = entry.log;
  journal.epoch = entry.epoch;
  switch (entry.kind) {
    case PersistEntry::Kind::kBatch:
    case PersistEntry::Kind::kFetched:
      journal.kind = entry.kind == PersistEntry::Kind::kBatch ? JournalKind::kBatch : JournalKind::kFetched;
      journal.attempt = entry.attempt;
      journal.epoch_first_lsn = entry.epoch_first_lsn;
      journal.batch = entry.batch;
      break;
    case PersistEntry::Kind::kSeal:
      journal.kind = JournalKind::kSeal;
      journal.epoch = entry.sealed_epoch;
      break;
    case PersistEntry::Kind::kTrim:
      journal.kind = JournalKind::kTrim;
      journal.lsn = entry.trim_lsn;
      break;
  }
  return journal;
}

void LogNodeImpl::Persist(const PersistEntry& entry) {
  if (entry.batch != nullptr && std::find(refused_.begin(), refused_.end(), entry.log) != refused_.end()) return;
  JournalEntry journal = ToJournal(entry);
  if (const Status admitted = store_->Admit(journal); !admitted.ok()) {
    if (admitted.code() == StatusCode::kIoError) return Fatal(admitted);
    if (entry.batch != nullptr) refused_.push_back(entry.log);
    Step(PersistFailed{entry.seq, admitted});
    return;
  }
  if (sample_ == 0 && entry.kind == PersistEntry::Kind::kBatch) {
    sample_ = entry.seq;
    sample_at_ = Now();
  }
  queued_.push_back({store_->Enqueue(std::move(journal)), entry.seq});
}

void LogNodeImpl::Compare(const CompareStored& compare) {
  const auto judge = [](const CompareStored& asked, const Result<BatchIdentity>& stored) {
    if (!stored.ok()) return Compared::Outcome::kUnknown;
    const bool same = *stored == BatchIdentity{asked.first_lsn, asked.last_lsn, asked.crc};
    return same ? Compared::Outcome::kSame : Compared::Outcome::kDifferent;
  };
  if (const auto known = store_->TryFindBatch(compare.log, compare.epoch, compare.first_lsn)) {
    Step(Compared{compare.token, judge(compare, *known)});
    return;
  }
  const auto found = std::make_shared<Result<BatchIdentity>>(Status(StatusCode::kUnavailable, "not looked up"));
  const bool posted = OnPool(
      compare.log.value(),
      [this, compare, found] { *found = store_->FindBatch(compare.log, compare.epoch, compare.first_lsn); },
      [this, compare, found, judge] {
        Step(Compared{compare.token, judge(compare, *found)});
        NoticeRetirement();
        Perform();
      });
  if (!posted) Step(Compared{compare.token, Compared::Outcome::kUnknown});
}

void LogNodeImpl::ArmTimer() {
  // A timer that fires early costs a tick; moving it at every append would cost more.
  if (closed_ || wake_at_ >= armed_at_) return;
  if (armed_at_ != Instant::Never()) loop_->Cancel(timer_);
  armed_at_ = wake_at_;
  timer_ = loop_->At(armed_at_, [this] {
    armed_at_ = Instant::Never();
    if (closed_) return;
    Step(Tick{});
    Perform();
  });
}

}  // namespace understudy

#include "log/epoch/takeover.h"

#include <algorithm>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/takeover_impl.h"
#include "understudy/check.h"

namespace understudy {

void TakeoverEffects::Clear() {
  seals.clear();
  fetches.clear();
  chain_ops.clear();
  result.reset();
  waiting.reset();
  wake_at = Instant::Never();
}

// ---- disks ----

Takeover::Impl::Disk* Takeover::Impl::Find(const DiskId& id) {
  const auto found = std::find_if(disks.begin(), disks.end(), [&](const Disk& disk) { return disk.ref.disk == id; });
  return found == disks.end() ? nullptr : &*found;
}

Takeover::Impl::Disk& Takeover::Impl::FindOrAdd(const ReplicaRef& ref) {
  if (Disk* found = Find(ref.disk)) return *found;
  Disk disk;
  disk.ref = ref;
  disks.push_back(std::move(disk));
  return disks.back();
}

void Takeover::Impl::SetCandidates(const std::vector<CandidateDisk>& candidates,
                                   const std::vector<CandidateDisk>& listed) {
  for (Disk& disk : disks) disk.candidate = false;
  for (const CandidateDisk& candidate : candidates) {
    Disk& disk = FindOrAdd(candidate.disk);
    disk.candidate = true;
    disk.address = candidate.address;
    disk.zone = candidate.zone;
    disk.draining = candidate.draining;
  }
  for (const CandidateDisk& entry : listed) entries[entry.disk.disk] = entry;
  PlaceMembers();
}

// Who was not seen alive may answer us all the same, and then goes on: without its zone it would count as one of its
// own, and share that zone with another.
void Takeover::Impl::PlaceMembers() {
  for (Disk& disk : disks) {
    const auto entry = entries.find(disk.ref.disk);
    if (!disk.member || disk.candidate || entry == entries.end()) continue;
    disk.address = entry->second.address;
    disk.zone = entry->second.zone;
    disk.draining = entry->second.draining;
  }
}

// Whoever failed is asked afresh: what is given up is what cannot be had now.
void Takeover::Impl::AcceptLoss(const TakeoverAcceptLoss& input) {
  known_commit = std::max(known_commit, input.known_commit);
  if (std::exchange(accept_loss, true)) return;
  for (Disk& disk : disks) {
    if (disk.member && !disk.gone && disk.word == Word::kFailed) disk.word = Word::kNone;
  }
}

// ---- the chain ----

void Takeover::Impl::Finish(StatusCode code, std::string message, TakeoverEffects* out) {
  phase = Phase::kDone;
  out->result = TakeoverResult{{code, std::move(message)}, current, {}, false, {}, {}};
}

void Takeover::Impl::FinishOk(const VersionedChain& chain_now, const EpochEntry& entry, bool adopted,
                              TakeoverEffects* out) {
  phase = Phase::kDone;
  out->result = TakeoverResult{Status::Ok(), chain_now, entry.first_lsn - 1, adopted, entry, {}};
  for (const EpochEntry& below : chain_now.chain.epochs) {
    if (below.epoch + 1 != entry.epoch || *below.last_lsn + 1 == entry.first_lsn) continue;
    out->result->loss = {*below.last_lsn + 1, entry.first_lsn - 1};
  }
  if (!adopted && lossy)
    out->result->loss = {*end + 1, entry.first_lsn - 1};  // the closed epoch may have left the chain
  if (!adopted) return;
  // The epoch below was closed by its own writer, without a word to its disks: tell them now, nobody waits for it.
  for (const EpochEntry& below : chain_now.chain.epochs) {
    if (below.epoch + 1 != entry.epoch) continue;
    for (const ReplicaRef& disk : below.disks) out->seals.push_back({0, disk, {options.log, disk.disk, below.epoch}});
  }
}

void Takeover::Impl::OnOutcome(ChainClient::Outcome outcome, Instant now, TakeoverEffects* out) {
  if (phase == Phase::kCas && outcome.verdict == ChainClient::Verdict::kLost &&
      outcome.current.version == current.version) {
    cas_retry_at = now + options.retry_ms * kNsPerMs;  // never sent: the metadata cannot be reached
  }
  OnChain(std::move(outcome.current), out);
}

void Takeover::Impl::OnChain(VersionedChain chain_now, TakeoverEffects* out) {
  current = std::move(chain_now);
  const std::string name = "log " + std::to_string(options.log.value());
  if (current.version == 0) return Finish(StatusCode::kNotFound, name + " does not exist", out);
  const EpochEntry* last = current.chain.last();
  if (const EpochEntry* ours = current.chain.FindAttempt(options.attempt)) {
    if (ours == last && !ours->closed()) return FinishOk(current, *ours, phase != Phase::kCas, out);
    return Finish(StatusCode::kFenced,
                  name + " was ours in epoch " + std::to_string(ours->epoch.value()) + " and has moved on since", out);
  }
  const Epoch reached = last == nullptr ? Epoch(0) : last->epoch;
  if (reached > options.expected_epoch) {
    return Finish(StatusCode::kFenced,
                  name + " is at epoch " + std::to_string(reached.value()) + ", owned by " + last->owner.node, out);
  }
  if (reached < options.expected_epoch || (rollback_check && highest_seen > reached)) {
    return Finish(StatusCode::kDataUnknown,
                  name + ": the metadata was rolled back: it says epoch " + std::to_string(reached.value()) +
                      ", others have seen epoch " +
                      std::to_string(std::max(highest_seen, options.expected_epoch).value()),
                  out);
  }
  rollback_check = false;
  old = last == nullptr ? EpochEntry{} : *last;
  old_open = last != nullptr && !last->closed();
  if (!old_open) end = last == nullptr ? current.chain.trim_lsn : *last->last_lsn;
  for (Disk& disk : disks) disk.member = false;
  for (const ReplicaRef& ref : old.disks) FindOrAdd(ref).member = true;
  PlaceMembers();
  std::stable_partition(disks.begin(), disks.end(), [](const Disk& disk) { return disk.member; });
  phase = Phase::kSettling;  // Step goes on from here
}

// ---- seals and copies ----

void Takeover::Impl::AskSeal(Disk& disk, TakeoverEffects* out) {
  disk.seal_token = next_token++;
  out->seals.push_back({disk.seal_token, disk.ref, {options.log, disk.ref.disk, old.epoch}});
}

// All members, and those that the next epoch would go to if all answered that have not failed. Sealing a log on a disk
// that has never heard of it does no harm and shows that it lives.
void Takeover::Impl::AskSeals(Instant now, TakeoverEffects* out) {
  const std::vector<ReplicaRef> hoped_for = HopedFor();
  const bool enough = hoped_for.size() == static_cast<size_t>(current.chain.replicas_target);
  for (Disk& disk : disks) {
    if (disk.gone || (!disk.member && !disk.candidate)) continue;
    const bool wanted = (disk.member && old_open) || !enough ||
                        std::any_of(hoped_for.begin(), hoped_for.end(),
                                    [&](const ReplicaRef& ref) { return ref.disk == disk.ref.disk; });
    if (!wanted) continue;
    if (disk.seal_token != 0 || disk.word == Word::kGiven) continue;
    if (disk.word == Word::kFailed && now < disk.retry_at) continue;
    AskSeal(disk, out);
  }
}

// Unreachable, retired, damaged: unknown, whatever it said before. It leaves coverage and is asked again later.
void Takeover::Impl::DiskFailed(Disk& disk, StatusCode code, const std::string& detail, Instant now) {
  const bool recompute = disk.trusted() && !MutantOn(Mutant::kKeepEnd);
  if (recompute) end = old_open ? std::nullopt : end;  // T is computed again and may fall
  disk.word = Word::kFailed;
  disk.error = std::string(StatusCodeName(code)) + (detail.empty() ? "" : ": " + detail);
  disk.backoff_ms = disk.backoff_ms == 0 ? options.retry_ms : std::min(disk.backoff_ms * 2, options.retry_ms_max);
  disk.retry_at = now + disk.backoff_ms * kNsPerMs;
}

void Takeover::Impl::OnSeal(const SealAnswered& input, Instant now, TakeoverEffects* out) {
  const auto found =
      std::find_if(disks.begin(), disks.end(), [&](const Disk& disk) { return disk.seal_token == input.token; });
  if (input.token == 0 || found == disks.end()) return;
  Disk& disk = *found;
  disk.seal_token = 0;
  const bool absent = MutantOn(Mutant::kCorruptIsAbsent) && input.response.code == StatusCode::kDataUnknown;
  if (input.response.code != StatusCode::kOk && !absent) {
    DiskFailed(disk, input.response.code, input.response.detail, now);
  } else {
    const bool recompute = old_open && !MutantOn(Mutant::kKeepEnd);
    if (disk.trusted() && input.response.tail < disk.held && recompute) end.reset();
    disk.word = Word::kGiven;
    disk.backoff_ms = 0;
    disk.held = input.response.tail;
    highest_seen = std::max(highest_seen, input.response.highest_epoch);
  }
  if (phase != Phase::kSettling) return;
  if (highest_seen > old.epoch && !chain.busy()) {  // somebody is ahead of the chain that we know: read it afresh
    rollback_check = true;
    phase = Phase::kReading;
    chain.Read(now, &out->chain_ops);
  }
}

void Takeover::Impl::OnFetch(const FetchAnswered& input, Instant now, TakeoverEffects* out) {
  const auto found =
      std::find_if(disks.begin(), disks.end(), [&](const Disk& disk) { return disk.fetch_token == input.token; });
  if (input.token == 0 || found == disks.end()) return;
  Disk& receiver = *found;
  receiver.fetch_token = 0;
  if (input.response.code == StatusCode::kOk) {
    receiver.held = std::max(receiver.held, input.response.tail);
  } else if (input.response.code == StatusCode::kDataUnknown || input.response.code == StatusCode::kWrongDisk) {
    DiskFailed(receiver, input.response.code, input.response.detail, now);
  } else {
    // The receiver or a source may have gone. Ask all of them again; who does not answer leaves.
    receiver.fetch_retry_at = now + options.retry_ms * kNsPerMs;
    for (Disk& disk : disks) {
      if (disk.trusted() && disk.seal_token == 0) AskSeal(disk, out);
    }
  }
}

// What it waits for may never come, and need not any more: the epoch may have been closed by its own writer or by
// another takeover, the log trimmed past what is being copied.
void Takeover::Impl::LookAgain(Instant now, TakeoverEffects* out) {
  if (phase != Phase::kSettling || chain.busy()) {
    look_again_at = Instant::Never();
  } else if (look_again_at == Instant::Never()) {
    look_again_at = now + options.retry_ms_max * kNsPerMs;
  } else if (now >= look_again_at) {
    look_again_at = Instant::Never();
    phase = Phase::kReading;
    chain.Read(now, &out->chain_ops);
  }
}

// Of what lies in the past nothing can be done before something else happens.
Instant Takeover::Impl::WakeAt(Instant now) const {
  if (phase == Phase::kDone || phase == Phase::kIdle) return Instant::Never();
  Instant at = chain.wake_at();
  if (phase != Phase::kSettling) return at;
  const auto consider = [&](Instant when) {
    if (when > now) at = std::min(at, when);
  };
  consider(gather_until);
  consider(look_again_at);
  consider(cas_retry_at);
  for (const Disk& disk : disks) {
    if (disk.gone) continue;
    if (disk.word == Word::kFailed && disk.seal_token == 0) consider(disk.retry_at);
    if (disk.fetch_token == 0) consider(disk.fetch_retry_at);
  }
  return at;
}

// ---- the class ----

Takeover::Takeover(TakeoverOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  UNDERSTUDY_CHECK(!impl_->options.attempt.none() && impl_->options.log.value() != 0);
}
Takeover::~Takeover() = default;

void Takeover::Step(const TakeoverInput& input, Instant now, TakeoverEffects* out) {
  struct Visitor {
    Impl& impl;
    Instant now;
    TakeoverEffects* out;
    void operator()(const TakeoverStart& in) {
      UNDERSTUDY_CHECK(impl.phase == Impl::Phase::kIdle);
      impl.SetCandidates(in.candidates, in.listed);
      impl.phase = Impl::Phase::kReading;
      impl.chain.Read(now, &out->chain_ops);
    }
    void operator()(const TakeoverCandidates& in) { impl.SetCandidates(in.candidates, in.listed); }
    void operator()(const TakeoverAcceptLoss& in) { impl.AcceptLoss(in); }
    void operator()(const SealAnswered& in) { impl.OnSeal(in, now, out); }
    void operator()(const FetchAnswered& in) { impl.OnFetch(in, now, out); }
    void operator()(const DiskUnknown& in) {
      Impl::Disk* disk = impl.Find(in.disk);
      if (disk == nullptr) return;
      impl.DiskFailed(*disk, StatusCode::kDataUnknown, "given up", now);
      disk->gone = true;
    }
    void operator()(const ChainReadDone& in) {
      if (auto outcome = impl.chain.Step(in, now, &out->chain_ops)) impl.OnOutcome(std::move(*outcome), now, out);
    }
    void operator()(const ChainCasDone& in) {
      if (auto outcome = impl.chain.Step(in, now, &out->chain_ops)) impl.OnOutcome(std::move(*outcome), now, out);
    }
    void operator()(const Tick& in) { impl.chain.Step(in, now, &out->chain_ops); }
  };
  if (impl_->phase != Impl::Phase::kDone) std::visit(Visitor{*impl_, now, out}, input);
  if (impl_->phase == Impl::Phase::kSettling) {
    impl_->AskSeals(now, out);
    impl_->Settle(now, out);
    impl_->LookAgain(now, out);
  }
  out->wake_at = impl_->WakeAt(now);
}

bool Takeover::done() const { return impl_->phase == Impl::Phase::kDone; }
bool Takeover::in_doubt() const { return impl_->chain.in_doubt(); }

}  // namespace understudy

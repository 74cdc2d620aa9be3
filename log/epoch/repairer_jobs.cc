// One repair: copy, make sure, read the chain afresh, compare-and-swap.
#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/repairer_impl.h"

namespace understudy {
namespace {

constexpr size_t kSourcesMax = 16;
constexpr int kSwapsMax = 5;  // lost to others in a row, until it is put off

}  // namespace

Repairer::Impl::Need* Repairer::Impl::FindRunning(Token token) {
  if (token == 0) return nullptr;
  for (auto& [key, need] : needs) {
    if (need.running() && need.token == token) return &need;
  }
  return nullptr;
}

void Repairer::Impl::StartJobs(Instant now, RepairerEffects* out) {
  while (!stopped && running < options.jobs_max) {
    Need* best = nullptr;
    for (auto& [key, need] : needs) {
      if (need.running() || ReadyAt(need) > now) continue;
      if (best == nullptr || MoreUrgent(need, *best)) best = &need;
    }
    if (best == nullptr) return;
    Start(best, now, out);
  }
}

void Repairer::Impl::Start(Need* need, Instant now, RepairerEffects* out) {
  ++running;
  need->swaps = 0;
  need->questions.clear();
  need->complete.clear();
  need->furthest = Lsn();
  const bool epoch = need->key.checkpoint == 0;
  if (need->kind == Kind::kDrop) {
    if (!epoch || need->empty(need->trim)) return ReadChain(need, out);
    need->phase = Phase::kAsking;
    need->complete.push_back(options.disk.disk);
    for (const ReplicaRef& member : need->members) {
      if (member.disk != options.disk.disk && !Lost(member.disk, now)) Ask(need, member, out);
    }
    if (need->questions.empty()) AllAnswered(need, now, out);
    return;
  }
  if (need->kind == Kind::kReplace && !need->empty(need->trim) && !need->before.empty() && need->turn > 0) {
    need->phase = Phase::kWatching;
    for (const ReplicaRef& other : need->before) Ask(need, other, out);
    return;
  }
  Copy(need, now, out);
}

// ---- questions ----

void Repairer::Impl::Ask(Need* need, const ReplicaRef& disk, RepairerEffects* out) {
  const Token token = next_token++;
  need->questions.emplace(token, disk.disk);
  out->held.push_back({token, AddressOf(disk.disk), {need->key.log, disk.disk, need->key.epoch}});
}

void Repairer::Impl::OnHeld(const RepairHeldAnswered& input, Instant now, RepairerEffects* out) {
  for (auto& [key, need] : needs) {
    const auto asked = need.questions.find(input.token);
    if (!need.running() || asked == need.questions.end()) continue;
    if (input.response.code == StatusCode::kOk) {
      need.furthest = std::max(need.furthest, input.response.tail);
      if (input.response.tail >= *need.entry.last_lsn) need.complete.push_back(asked->second);
    }
    need.questions.erase(asked);
    if (need.questions.empty()) AllAnswered(&need, now, out);
    return;
  }
}

void Repairer::Impl::AllAnswered(Need* need, Instant now, RepairerEffects* out) {
  if (need->phase == Phase::kAsking) {
    if (static_cast<int>(need->complete.size()) >= need->wanted) return ReadChain(need, out);
    return Postpone(
        need, "only " + std::to_string(need->complete.size()) + " of its disks say that they hold it in full", now);
  }
  if (need->furthest >= need->entry.first_lsn && need->furthest > need->progress) {  // somebody is at it
    need->progress = need->furthest;
    need->phase = Phase::kWaiting;
    --running;
    need->retry_at = now + options.turn_ms * kNsPerMs;
    need->text = "another disk copies it";
    return;
  }
  Copy(need, now, out);
}

// ---- copies ----

// Healthy ones first, in an order that differs from epoch to epoch; what is retired or drains still has its checksums.
std::vector<FetchSource> Repairer::Impl::Sources(const Need& need, Instant now) const {
  const auto cost = [&](const ReplicaRef& member) {
    switch (WordOf(member.disk, now)) {
      case Word::kFit:
        return 0;
      case Word::kDraining:
        return 1;
      case Word::kRetired:
        return 2;
      case Word::kSilent:
        return 3;
      case Word::kUnreachable:
        return 4;
      case Word::kWiped:
      case Word::kRemoved:
        break;
    }
    return 5;
  };
  std::vector<std::pair<int, ReplicaRef>> order;
  for (size_t i = 0; i < need.members.size(); ++i) {
    const size_t at = (i + need.key.epoch.value() + need.key.checkpoint) % need.members.size();
    const ReplicaRef& member = need.members[at];
    if (member.disk == options.disk.disk || AddressOf(member.disk).empty() || cost(member) == 5) continue;
    order.emplace_back(cost(member), member);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (order.size() > kSourcesMax) order.resize(kSourcesMax);
  std::vector<FetchSource> sources;
  for (const auto& [unused, member] : order) sources.push_back({member.disk, AddressOf(member.disk)});
  return sources;
}

void Repairer::Impl::Copy(Need* need, Instant now, RepairerEffects* out) {
  const bool epoch = need->key.checkpoint == 0;
  if (epoch && Held(*need, need->trim)) return ReadChain(need, out);
  std::vector<FetchSource> sources = Sources(*need, now);
  need->token = next_token++;
  need->phase = epoch ? Phase::kFetching : Phase::kCopying;
  if (sources.empty()) return CopyFailed(need, {StatusCode::kNotFound, "no disk to copy from"}, now, out);
  if (!epoch) {
    out->copies.push_back({need->token, need->key.log, need->key.checkpoint, need->saved.bytes, std::move(sources)});
    return;
  }
  FetchRequest request;
  request.log = need->key.log;
  request.disk = options.disk.disk;
  request.epoch = need->key.epoch;
  request.from = need->entry.first_lsn;
  request.to = *need->entry.last_lsn;
  request.trim = need->trim;
  request.sources = std::move(sources);
  out->fetches.push_back({need->token, std::move(request)});
}

void Repairer::Impl::OnFetched(const RepairFetched& input, Instant now, RepairerEffects* out) {
  Need* need = FindRunning(input.token);
  if (need == nullptr || need->phase != Phase::kFetching) return;
  if (input.response.code != StatusCode::kOk) {
    return CopyFailed(need, {input.response.code, input.response.detail}, now, out);
  }
  // Not what was answered counts, but what our own disk has. From a short source nothing gets listed.
  const bool whole = Held(*need, need->trim) || MutantOn(Mutant::kRepairFromShort);
  if (!whole) return CopyFailed(need, {StatusCode::kUnavailable, "the copy is short"}, now, out);
  need->failures = 0;
  if (need->kind == Kind::kComplete) return Done(need, "completed our copy of " + Title(*need), true, out);
  ReadChain(need, out);
}

void Repairer::Impl::OnCopied(const RepairCheckpointCopied& input, Instant now, RepairerEffects* out) {
  Need* need = FindRunning(input.token);
  if (need == nullptr || need->phase != Phase::kCopying) return;
  if (!input.status.ok()) return CopyFailed(need, input.status, now, out);
  need->failures = 0;
  ReadChain(need, out);
}

std::optional<std::string> Repairer::Impl::NobodyHasIt(const Need& need, Instant now) const {
  std::string all;
  for (const ReplicaRef& member : need.members) {
    if (member.disk == options.disk.disk) continue;
    const Word word = WordOf(member.disk, now);
    const auto found = disks.find(member.disk);
    const bool gone = word == Word::kWiped || word == Word::kRemoved;
    const bool asked = found != disks.end() && found->second.answers && !AddressOf(member.disk).empty();
    if (!gone && !asked) return std::nullopt;
    all +=
        (all.empty() ? "" : ", ") + Name(member.disk) + " " + (gone ? "is " : "lacks it, ") + RepairDiskWordName(word);
  }
  return all.empty() ? "ours is the only one listed" : all;
}

// Our own disk refuses; or no source gave the next piece: because none has it (kNotFound: they said so themselves), or
// because reads failed.
void Repairer::Impl::CopyFailed(Need* need, const Status& why, Instant now, RepairerEffects* out) {
  const std::optional<std::string> nobody =
      why.code() == StatusCode::kNotFound ? NobodyHasIt(*need, now) : std::nullopt;
  need->failures = nobody.has_value() ? need->failures + 1 : 0;
  std::string text = why.ToString();
  if (nobody.has_value() && (need->failures >= options.loss_tries || Sources(*need, now).empty())) {
    if (need->key.checkpoint == 0) {
      const Lsn from =
          std::max({need->entry.first_lsn, need->trim + 1, options.own_tail(need->key.log, need->key.epoch) + 1});
      text = Title(*need) + ": LSN " + std::to_string(from.value()) + " (of " +
             std::to_string(need->entry.first_lsn.value()) + " to " + std::to_string(need->entry.last_lsn->value()) +
             ") is on no disk that is left: " + *nobody;
    } else {
      text = Title(*need) + " is on no disk that is left: " + *nobody;
    }
    if (!need->lost) {  // somebody whom we do not know yet may have listed itself meanwhile
      need->alarm = std::move(text);
      return ReadChain(need, out);
    }
  }
  Postpone(need, std::move(text), now);
}

void Repairer::Impl::SayLost(Need* need, const Chain& chain, Instant now, RepairerEffects* out) {
  std::string text = std::exchange(need->alarm, {});
  std::vector<DiskId> listed;
  bool there = false;
  if (need->key.checkpoint == 0) {
    const EpochEntry* entry = chain.Find(need->key.epoch);
    there = entry != nullptr && entry->attempt == need->entry.attempt && chain.trim_lsn == need->trim;
    if (there) {
      for (const ReplicaRef& member : entry->disks) listed.push_back(member.disk);
    }
  } else {
    for (const CheckpointEntry& saved : chain.checkpoints) {
      if (saved.id != need->key.checkpoint) continue;
      there = true;
      listed = saved.disks;
    }
  }
  const auto asked = [&](const DiskId& id) {
    return id == options.disk.disk || std::any_of(need->members.begin(), need->members.end(),
                                                  [&](const ReplicaRef& member) { return member.disk == id; });
  };
  if (!there || !std::all_of(listed.begin(), listed.end(), asked)) {
    need->failures = 0;
    return Postpone(need, "the chain has changed meanwhile", now);
  }
  out->events.push_back({true, need->key.log, need->key.epoch, need->key.checkpoint, text});
  need->lost = true;
  Postpone(need, std::move(text), now);
}

// ---- the chain ----

void Repairer::Impl::ReadChain(Need* need, RepairerEffects* out) {
  need->phase = Phase::kReading;
  need->token = next_token++;
  out->chain_ops.push_back({need->key.log, {need->token, ChainOp::Kind::kRead, 0, {}}});
}

void Repairer::Impl::OnRead(const ChainReadDone& input, Instant now, RepairerEffects* out) {
  Need* need = FindRunning(input.token);
  if (need == nullptr || need->phase != Phase::kReading) return;
  if (!input.status.ok()) {
    need->alarm.clear();
    return Postpone(need, "metadata: " + input.status.ToString(), now);
  }
  if (!need->alarm.empty()) return SayLost(need, input.value.chain, now, out);
  std::string why;
  std::optional<Chain> desired;
  if (input.value.version == 0) {
    why = Title(*need) + " is gone";
  } else {
    desired = need->key.checkpoint == 0 ? Edit(*need, input.value.chain, now, &why)
                                        : EditCheckpoint(*need, input.value.chain, now, &why);
  }
  if (!desired.has_value()) return Done(need, std::move(why), false, out);
  const Status valid = ValidateChain(*desired);
  if (!valid.ok()) return Postpone(need, valid.ToString(), now);
  need->phase = Phase::kSwapping;
  need->token = next_token++;
  out->chain_ops.push_back(
      {need->key.log, {need->token, ChainOp::Kind::kCas, input.value.version, *std::move(desired)}});
}

// Whatever became of it, the chain tells: our edit can be repeated without harm, and is not when it is there already.
void Repairer::Impl::OnSwapped(const ChainCasDone& input, Instant now, RepairerEffects* out) {
  Need* need = FindRunning(input.token);
  if (need == nullptr || need->phase != Phase::kSwapping) return;
  if (input.status.ok()) {
    return Done(need, (need->kind == Kind::kDrop ? "dropped lost disks of " : "repaired ") + Title(*need), true, out);
  }
  if (++need->swaps >= kSwapsMax) return Postpone(need, "metadata: " + input.status.ToString(), now);
  ReadChain(need, out);
}

std::optional<ReplicaRef> Repairer::Impl::Worst(const std::vector<ReplicaRef>& members, Instant now) const {
  const auto worst = std::max_element(members.begin(), members.end(), [&](const ReplicaRef& a, const ReplicaRef& b) {
    return WordOf(a.disk, now) < WordOf(b.disk, now);
  });
  if (worst == members.end() || !Lost(worst->disk, now)) return std::nullopt;
  return *worst;
}

std::optional<Chain> Repairer::Impl::Edit(const Need& need, const Chain& chain, Instant now, std::string* why) const {
  Chain desired = chain;
  const auto entry = std::find_if(desired.epochs.begin(), desired.epochs.end(),
                                  [&](const EpochEntry& each) { return each.epoch == need.key.epoch; });
  if (entry == desired.epochs.end() || entry->attempt != need.entry.attempt || entry->last_lsn != need.entry.last_lsn) {
    *why = Title(need) + " is gone";
    return std::nullopt;
  }
  const int wanted = std::max(chain.replicas_target, entry->ack_quorum);
  const auto listed = [&](const DiskId& id) {
    return std::any_of(entry->disks.begin(), entry->disks.end(),
                       [&](const ReplicaRef& member) { return member.disk == id; });
  };
  if (need.kind == Kind::kDrop) {
    const auto full = std::count_if(need.complete.begin(), need.complete.end(),
                                    [&](const DiskId& id) { return listed(id) && !Lost(id, now); });
    const bool enough = need.empty(chain.trim_lsn) ? FitOf(entry->disks, now) >= wanted : full >= wanted;
    const size_t lost =
        enough ? std::erase_if(entry->disks, [&](const ReplicaRef& member) { return Lost(member.disk, now); }) : 0;
    if (lost > 0) return desired;
    *why = Title(need) + " has nothing to drop any more";
    return std::nullopt;
  }
  if (listed(options.disk.disk)) {
    *why = Title(need) + " lists us already";
    return std::nullopt;
  }
  const bool whole = Held(need, chain.trim_lsn) || MutantOn(Mutant::kRepairFromShort);
  if (!whole || FitOf(entry->disks, now) >= wanted) {
    *why = Title(need) + " was repaired by others";
    return std::nullopt;
  }
  // One for one: a disk that may hold it in full leaves only for one that does.
  if (const std::optional<ReplicaRef> lost = Worst(entry->disks, now)) std::erase(entry->disks, *lost);
  entry->disks.push_back(options.disk);
  return desired;
}

std::optional<Chain> Repairer::Impl::EditCheckpoint(const Need& need, const Chain& chain, Instant now,
                                                    std::string* why) const {
  Chain desired = chain;
  const auto saved = std::find_if(desired.checkpoints.begin(), desired.checkpoints.end(),
                                  [&](const CheckpointEntry& each) { return each.id == need.key.checkpoint; });
  if (saved == desired.checkpoints.end()) {
    *why = Title(need) + " is gone";
    return std::nullopt;
  }
  std::vector<ReplicaRef> members;
  for (const DiskId& id : saved->disks) members.push_back({id, ""});
  const bool enough = FitOf(members, now) >= chain.replicas_target;
  if (need.kind == Kind::kDrop) {
    const size_t lost = enough ? std::erase_if(saved->disks, [&](const DiskId& id) { return Lost(id, now); }) : 0;
    if (lost > 0) return desired;
    *why = Title(need) + " has nothing to drop any more";
    return std::nullopt;
  }
  if (std::find(saved->disks.begin(), saved->disks.end(), options.disk.disk) != saved->disks.end()) {
    *why = Title(need) + " lists us already";
    return std::nullopt;
  }
  if (enough) {
    *why = Title(need) + " was repaired by others";
    return std::nullopt;
  }
  if (const std::optional<ReplicaRef> lost = Worst(members, now)) std::erase(saved->disks, lost->disk);
  saved->disks.push_back(options.disk.disk);
  return desired;
}

// ---- ends of a try ----

void Repairer::Impl::Postpone(Need* need, std::string why, Instant now) {
  need->phase = Phase::kWaiting;
  need->token = 0;
  need->questions.clear();
  --running;
  need->text = std::move(why);
  need->backoff_ms = need->backoff_ms == 0 ? options.retry_ms : std::min(need->backoff_ms * 2, options.retry_ms_max);
  need->retry_at = now + need->backoff_ms * kNsPerMs;
}

// A copy that others made unnecessary stays: a compare-and-swap of an earlier life of ours may still list it.
void Repairer::Impl::Done(Need* need, std::string what, bool changed, RepairerEffects* out) {
  const Key key = need->key;
  if (changed && need->kind != Kind::kDrop) ++(key.checkpoint == 0 ? repaired_epochs : repaired_checkpoints);
  if (changed || need->lost) out->events.push_back({false, key.log, key.epoch, key.checkpoint, std::move(what)});
  --running;
  needs.erase(key);
}

}  // namespace understudy

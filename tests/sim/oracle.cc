#include "tests/sim/oracle.h"

#include <algorithm>
#include <set>

#include "log/epoch/testing/describe.h"
#include "log/format/coding.h"
#include "tests/sim/random.h"
#include "understudy/check.h"

namespace understudy::sim {
namespace {

std::string At(Lsn lsn) { return " at LSN " + std::to_string(lsn.value()); }
std::string Name(Epoch epoch) { return "epoch " + std::to_string(epoch.value()); }
std::string Name(LogId log) { return "log " + std::to_string(log.value()) + ": "; }

}  // namespace

uint64_t NextState(uint64_t state, Lsn lsn, uint64_t payload) { return Mix(Mix(state, lsn.value()), payload); }

uint64_t StateAfterLoss(Lsn to) { return Mix(0x1055, to.value()); }

std::string EncodePayload(uint64_t payload, size_t padding) {
  std::string bytes(8 + padding, 'x');
  Store64(bytes.data(), payload);
  return bytes;
}

uint64_t DecodePayload(std::string_view bytes) { return bytes.size() < 8 ? 0 : Load64(bytes.data()); }

const char* RuleName(Rule rule) {
  static constexpr const char* kNames[] = {"acked-on-quorum",
                                           "acked-once",
                                           "acked-in-epoch",
                                           "acked-readable",
                                           "closed-immutable",
                                           "closed-complete",
                                           "one-content",
                                           "chain-valid",
                                           "commit-forward",
                                           "barrier",
                                           "trim",
                                           "checkpoint",
                                           "reader-order",
                                           "reader-content",
                                           "spare-state",
                                           "live-takeover",
                                           "live-writes",
                                           "live-readers",
                                           "healthy-kept",
                                           "live-served",
                                           "one-move",
                                           "paused-kept",
                                           "settings-kept",
                                           "labels-kept",
                                           "restart-saved",
                                           "removed-stopped",
                                           "retired-silent",
                                           "live-repair",
                                           "false-alarm",
                                           "loss",
                                           "placement",
                                           "check-failed",
                                           "livelock"};
  static_assert(std::size(kNames) == kRules);
  return kNames[static_cast<int>(rule)];
}

void Oracle::Broken(Rule rule, std::string text) {
  if (finding_.has_value()) return;
  finding_ = Finding{rule, std::move(text), now()};
  if (on_finding) on_finding(*finding_);
}

void Oracle::AddLog(const VersionedChain& chain) { logs_[chain.chain.log].chain = chain; }

// ---- what is known ----

Lsn Oracle::Log::Last() const {
  return gaps.empty() ? Lsn(truth.size()) : gaps.back().to + (truth.size() - gaps.back().position);
}

Oracle::Truth* Oracle::Log::At(Lsn lsn) {
  if (lsn == Lsn(0) || lsn > Last()) return nullptr;
  for (auto gap = gaps.rbegin(); gap != gaps.rend(); ++gap) {
    if (lsn > gap->to) return &truth[gap->position + (lsn - gap->to) - 1];
    if (lsn <= gap->after) continue;
    const uint64_t index = lsn - gap->after - 1;
    return index < gap->lost.size() ? &gap->lost[index] : nullptr;
  }
  return &truth[lsn.value() - 1];
}

std::optional<uint64_t> Oracle::Log::StateAt(Lsn lsn) const {
  if (lsn == Lsn(0)) return 0;
  for (const Gap& gap : gaps) {
    if (lsn == gap.to) return StateAfterLoss(lsn);
  }
  const Truth* truth_there = At(lsn);
  return truth_there == nullptr ? std::nullopt : std::optional(truth_there->state);
}

// ---- acknowledgements ----

bool Oracle::Append(Log* log, Lsn lsn, uint64_t payload, Epoch epoch, bool acked) {
  if (lsn <= log->Last()) {
    Truth* known = log->At(lsn);
    if (known == nullptr || known->payload != payload) return false;
    known->acked |= acked;
    return true;
  }
  if (lsn != log->Last() + 1) return false;
  log->truth.push_back({payload, NextState(*log->StateAt(log->Last()), lsn, payload), epoch, acked});
  return true;
}

void Oracle::OnAcked(LogId id, Epoch epoch, const AttemptId& attempt, Lsn lsn, uint64_t payload,
                     const std::string& who) {
  ++acked_;
  Log& log = logs_.at(id);
  const EpochEntry* entry = log.chain.chain.Find(epoch);
  if (entry == nullptr || entry->attempt != attempt) {
    // A deposed writer may learn late that what it appended was settled; its epoch may even be trimmed away by then.
    const Truth* truth = entry == nullptr ? log.At(lsn) : nullptr;
    const bool settled = truth != nullptr && truth->epoch == epoch && truth->payload == payload;
    if (settled) return;
    return Broken(Rule::kAckedInEpoch,
                  Name(id) + who + " acknowledges in " + Name(epoch) + ", which the chain does not give it" + At(lsn));
  }
  if (entry->closed() && lsn > *entry->last_lsn) {
    return Broken(Rule::kAckedInEpoch, Name(id) + who + " acknowledges in " + Name(epoch) + ", which ended at LSN " +
                                           std::to_string(entry->last_lsn->value()) + "," + At(lsn));
  }
  if (!Append(&log, lsn, payload, epoch, true)) {
    return Broken(Rule::kAckedOnce, Name(id) + who +
                                        " acknowledges another record than the one that is there, or one "
                                        "above a hole," +
                                        At(lsn));
  }
}

void Oracle::OnCommit(LogId id, Epoch epoch, Lsn before, Lsn commit, const std::string& who) {
  Log& log = logs_.at(id);
  if (commit <= before) return Broken(Rule::kCommitForward, Name(id) + "the commit of " + who + " goes back");
  const EpochEntry* entry = log.chain.chain.Find(epoch);
  if (entry == nullptr) return;  // OnAcked has spoken
  int holders = 0;
  for (const ReplicaRef& ref : entry->disks) {
    const std::vector<Stored>* stored = holdings_->Find(ref.disk, id, epoch);
    // What a disk lost after it had answered was acknowledged rightly; MayLose sees to it that enough is left.
    holders +=
        stored == nullptr || (!stored->empty() && stored->back().last >= commit) || commit <= log.chain.chain.trim_lsn;
  }
  if (holders < entry->ack_quorum) {
    Broken(Rule::kAckedOnQuorum, Name(id) + who + " acknowledges" + At(commit) + " of " + Name(epoch) +
                                     ", which only " + std::to_string(holders) + " of its disks hold");
  }
}

void Oracle::OnBarrier(LogId id, bool deposed, Lsn need, Lsn commit, const std::string& who) {
  if (deposed)
    return Broken(Rule::kBarrier, Name(id) + "a read barrier of " + who + ", deposed before the call, completes");
  if (commit < need) Broken(Rule::kBarrier, Name(id) + "a read barrier of " + who + " completes too early");
}

// ---- the chain ----

void Oracle::CheckEpochs(const Log& before, const VersionedChain& now_value) {
  const Chain& chain = now_value.chain;
  for (const EpochEntry& old : before.chain.chain.epochs) {
    const EpochEntry* entry = chain.Find(old.epoch);
    if (entry == nullptr) {
      if (!old.closed() && chain.last() != nullptr && chain.last()->epoch <= old.epoch) {
        Broken(Rule::kClosedImmutable, Name(chain.log) + Name(old.epoch) + " left the chain while it was open");
      } else if (old.closed() && *old.last_lsn > chain.trim_lsn) {
        Broken(Rule::kClosedImmutable, Name(chain.log) + Name(old.epoch) + " left the chain untrimmed");
      }
      continue;
    }
    if (entry->attempt != old.attempt || entry->first_lsn != old.first_lsn ||
        (old.closed() && entry->last_lsn != old.last_lsn)) {
      Broken(Rule::kClosedImmutable, Name(chain.log) + Name(old.epoch) + " was rewritten");
    }
  }
  if (chain.trim_lsn < before.chain.chain.trim_lsn) {
    Broken(Rule::kTrim, Name(chain.log) + "the trim LSN goes back");
  }
}

void Oracle::OnChain(const VersionedChain& value) {
  const LogId id = value.chain.log;
  Log& log = logs_.at(id);
  const Status valid = ValidateChain(value.chain);
  if (!valid.ok()) {
    const bool trim = value.chain.trim_lsn > value.chain.TrimBound();
    Broken(trim ? Rule::kTrim : Rule::kChainValid, Name(id) + valid.message());
  }
  CheckEpochs(log, value);
  const Chain before = std::move(log.chain.chain);
  log.chain = value;
  for (size_t i = 0; i < value.chain.epochs.size(); ++i) {
    const EpochEntry& entry = value.chain.epochs[i];
    const EpochEntry* old = before.Find(entry.epoch);
    if (entry.closed() && (old == nullptr || !old->closed() || old->disks != entry.disks)) Settle(&log, entry);
    const bool opened = !before.epochs.empty() && entry.epoch > before.epochs.back().epoch;
    if (opened) OpenGap(&log, before, entry);
    const bool gap = std::any_of(log.gaps.begin(), log.gaps.end(),
                                 [&](const Log::Gap& known) { return known.to + 1 == entry.first_lsn; });
    if (i > 0 && !gap && entry.first_lsn != *value.chain.epochs[i - 1].last_lsn + 1) {
      Broken(Rule::kChainValid, Name(id) + Name(entry.epoch) + " does not begin where the one before ends");
    }
  }
  if (log.given_up.has_value() && (value.chain.last() == nullptr || value.chain.last()->epoch != *log.given_up)) {
    log.given_up.reset();
  }
  CheckCheckpoints(log, before);
}

// `opened` begins above where the one before it ended: only after a loss that was accepted, and above all that was ever
// acknowledged, so that no LSN comes twice.
void Oracle::OpenGap(Log* log, const Chain& before, const EpochEntry& opened) {
  const Chain& chain = log->chain.chain;
  const EpochEntry& old = before.epochs.back();
  const EpochEntry* closed = chain.Find(old.epoch);
  Lsn end = chain.trim_lsn;  // it left the chain: what lies below is in checkpoints
  if (closed != nullptr) end = *closed->last_lsn;
  if (closed == nullptr && old.closed()) end = *old.last_lsn;
  if (opened.first_lsn <= end + 1) return;
  if (log->given_up != old.epoch || opened.epoch != old.epoch + 1) {
    return Broken(Rule::kLoss, Name(chain.log) + Name(opened.epoch) + " skips LSNs although nobody accepted a loss");
  }
  if (opened.first_lsn <= log->Last() + 1) {
    return Broken(Rule::kLoss, Name(chain.log) + Name(opened.epoch) + " begins where LSNs were acknowledged");
  }
  Log::Gap gap{end, opened.first_lsn - 1, 0, {}};
  while (!log->truth.empty() && log->Last() > end) {
    gap.lost.insert(gap.lost.begin(), log->truth.back());
    log->truth.pop_back();
  }
  gap.position = log->truth.size();
  log->gaps.push_back(std::move(gap));
}

void Oracle::GiveUp(LogId log, Epoch epoch) { logs_.at(log).given_up = epoch; }

void Oracle::OnLossProposed(LogId id, Epoch epoch, Lsn end, const std::vector<Lsn>& tails, const std::string& who) {
  const EpochEntry* entry = logs_.at(id).chain.chain.Find(epoch);
  if (entry == nullptr || entry->closed()) return;  // its compare-and-swap will fail
  if (static_cast<int>(tails.size()) > static_cast<int>(entry->disks.size()) - entry->ack_quorum) {
    return Broken(Rule::kLoss, Name(id) + who + " gives records of " + Name(epoch) + " up although " +
                                   std::to_string(tails.size()) + " of its disks answer");
  }
  for (const Lsn tail : tails) {
    if (tail > end) Broken(Rule::kLoss, Name(id) + who + " gives up what a disk that answers holds" + At(tail));
  }
}

// An epoch was closed, or got other disks: from here on its contents are decided.
void Oracle::Settle(Log* log, const EpochEntry& entry) {
  const LogId id = log->chain.chain.log;
  const Lsn from = std::max(entry.first_lsn, log->chain.chain.trim_lsn + 1);
  const Lsn last = *entry.last_lsn;
  const std::vector<EpochEntry>& epochs = log->chain.chain.epochs;
  const bool gap_follows = std::any_of(epochs.begin(), epochs.end(), [&](const EpochEntry& above) {
    return above.epoch == entry.epoch + 1 && above.first_lsn > last + 1;
  });  // what it had acknowledged may be lost: OpenGap sees to it
  for (Lsn lsn = last + 1; lsn <= log->Last() && !gap_follows; lsn = lsn + 1) {
    const Truth* truth = log->At(lsn);
    if (truth == nullptr) break;  // a gap: of a later epoch
    if (truth->acked && truth->epoch == entry.epoch) {
      return Broken(Rule::kAckedInEpoch, Name(id) + Name(entry.epoch) + " is closed at " +
                                             std::to_string(last.value()) + " although it had acknowledged" + At(lsn));
    }
  }
  if (last < from) return;
  for (Lsn lsn = std::max(log->Last() + 1, from); lsn <= last; lsn = lsn + 1) {
    const std::optional<uint64_t> content = ContentAt(entry, id, lsn);
    if (!content.has_value()) {
      return Broken(Rule::kClosedComplete, Name(id) + Name(entry.epoch) + ", closed at " +
                                               std::to_string(last.value()) + ", is on no live disk" + At(lsn));
    }
    Append(log, lsn, *content, entry.epoch, false);
  }
  if (FullHolders(id, entry, from, last) == 0) {
    Broken(Rule::kClosedComplete, Name(id) + Name(entry.epoch) + ", closed at " + std::to_string(last.value()) +
                                      ", is complete on no live disk");
  }
}

void Oracle::CheckCheckpoints(const Log& log, const Chain& before) {
  const Chain& chain = log.chain.chain;
  for (const CheckpointEntry& entry : chain.checkpoints) {
    const bool known = std::any_of(before.checkpoints.begin(), before.checkpoints.end(),
                                   [&](const CheckpointEntry& old) { return old.id == entry.id; });
    if (known) continue;
    if (!log.StateAt(entry.lsn).has_value()) {
      Broken(Rule::kCheckpoint, Name(chain.log) + "a checkpoint covers LSN " + std::to_string(entry.lsn.value()) +
                                    ", which is not committed");
    }
  }
}

// ---- readers ----

void Oracle::OnApplied(LogId id, Lsn expected, Lsn lsn, uint64_t payload, uint64_t state, const std::string& who) {
  const Log& log = logs_.at(id);
  if (lsn != expected) {
    return Broken(Rule::kReaderOrder, Name(id) + who + " applies LSN " + std::to_string(lsn.value()) + " where " +
                                          std::to_string(expected.value()) + " comes next");
  }
  if (log.At(lsn) == nullptr) {
    return Broken(Rule::kReaderContent,
                  Name(id) + who + " applies what is neither acknowledged nor settled," + At(lsn));
  }
  const Truth& truth = *log.At(lsn);
  if (truth.payload != payload) {
    return Broken(Rule::kReaderContent, Name(id) + who + " applies what the log does not hold," + At(lsn));
  }
  if (truth.state != state) {
    Broken(Rule::kSpareState, Name(id) + "the state of " + who + " is not the primary's," + At(lsn));
  }
}

// How far a reader had come before differs: what was acknowledged and lost may be in its state. Nothing else may.
void Oracle::OnLoss(LogId id, Lsn expected, Lsn from, Lsn to, uint64_t state, const std::string& who) {
  const Log& log = logs_.at(id);
  if (from != expected) {
    return Broken(Rule::kReaderOrder, Name(id) + who + " is told of a loss that begins elsewhere," + At(from));
  }
  const auto gap =
      std::find_if(log.gaps.begin(), log.gaps.end(), [&](const Log::Gap& known) { return known.to == to; });
  if (gap == log.gaps.end() || from <= gap->after || from > gap->after + 1 + gap->lost.size()) {
    return Broken(Rule::kLoss, Name(id) + who + " is told of a loss where there was none," + At(from));
  }
  if (log.StateAt(from - 1) != state) {
    Broken(Rule::kSpareState, Name(id) + "the state of " + who + " before a loss is not the primary's," + At(from));
  }
}

void Oracle::OnTrimmedAway(LogId log, Lsn next, const std::string& who) {
  Broken(Rule::kTrim, Name(log) + who + " loads under a pin and finds trimmed away what it needs," + At(next));
}

void Oracle::OnPlaced(LogId id, const std::vector<PlacedDisk>& chosen, const std::vector<PlacedDisk>& fit,
                      size_t target, const std::string& who) {
  const auto zones = [](const std::vector<PlacedDisk>& disks, bool draining) {
    std::set<std::string> all;
    for (const PlacedDisk& disk : disks) {
      if (!disk.draining || draining) all.insert(disk.zone.empty() ? "node " + disk.node : "zone " + disk.zone);
    }
    return all.size();
  };
  const auto staying = [](const std::vector<PlacedDisk>& disks) {
    return static_cast<size_t>(std::count_if(disks.begin(), disks.end(), [](const auto& d) { return !d.draining; }));
  };
  if (chosen.size() < std::min(target, fit.size())) {
    return Broken(Rule::kPlacement, Name(id) + who + " opens an epoch on " + std::to_string(chosen.size()) + " of " +
                                        std::to_string(fit.size()) + " disks");
  }
  if (staying(chosen) < std::min(chosen.size(), staying(fit))) {
    return Broken(Rule::kPlacement, Name(id) + who + " opens an epoch on a draining disk although others are there");
  }
  const size_t wanted = std::min(chosen.size(), zones(fit, false));
  if (zones(chosen, true) >= wanted) return;
  Broken(Rule::kPlacement, Name(id) + who + " opens an epoch in " + std::to_string(zones(chosen, true)) +
                               " zones although there are disks in " + std::to_string(wanted));
}

void Oracle::OnLostAlarm(LogId id, Epoch epoch, uint64_t checkpoint, const std::string& text) {
  const Chain& chain = logs_.at(id).chain.chain;
  for (const CheckpointEntry& entry : chain.checkpoints) {
    if (checkpoint == 0 || entry.id != checkpoint) continue;
    const bool held = std::any_of(entry.disks.begin(), entry.disks.end(),
                                  [&](const DiskId& disk) { return holdings_->HoldsCheckpoint(disk, id, checkpoint); });
    if (held) return Broken(Rule::kAlarm, Name(id) + text);
  }
  if (checkpoint != 0) return;
  const EpochEntry* entry = chain.Find(epoch);
  const Lsn from = entry == nullptr ? Lsn() : std::max(entry->first_lsn, chain.trim_lsn + 1);
  if (entry != nullptr && FullHolders(id, *entry, from, *entry->last_lsn) > 0) Broken(Rule::kAlarm, Name(id) + text);
}

void Oracle::OnConflict(LogId log, const std::string& text) { Broken(Rule::kOneContent, Name(log) + text); }

void Oracle::OnRollbackAlarm(LogId log, const std::string& text) { Broken(Rule::kAlarm, Name(log) + text); }

uint64_t Oracle::state(LogId id, Lsn lsn) const { return logs_.at(id).StateAt(lsn).value_or(0); }

// ---- what the disks hold ----

std::optional<uint64_t> Oracle::ContentAt(const EpochEntry& entry, LogId log, Lsn lsn) const {
  for (const ReplicaRef& ref : entry.disks) {
    const std::vector<Stored>* stored = holdings_->Find(ref.disk, log, entry.epoch);
    if (stored == nullptr) continue;
    auto at = std::upper_bound(stored->begin(), stored->end(), lsn,
                               [](Lsn wanted, const Stored& batch) { return wanted < batch.first; });
    if (at == stored->begin() || (--at)->last < lsn) continue;
    BatchIterator records(*at->batch);
    Record record;
    while (records.Next(&record)) {
      if (record.lsn == lsn) return DecodePayload(record.payload);
    }
  }
  return std::nullopt;
}

bool Oracle::HoldsAll(const DiskId& disk, LogId log, Epoch epoch, Lsn from, Lsn to) const {
  const std::vector<Stored>* stored = holdings_->Find(disk, log, epoch);
  if (stored == nullptr) return false;
  Lsn next = from;
  for (const Stored& batch : *stored) {
    if (batch.first > next) return false;
    next = std::max(next, batch.last + 1);
    if (next > to) return true;
  }
  return next > to;
}

int Oracle::FullHolders(LogId log, const EpochEntry& entry, Lsn from, Lsn to,
                        const std::vector<DiskId>& without) const {
  int holders = 0;
  for (const ReplicaRef& ref : entry.disks) {
    if (std::find(without.begin(), without.end(), ref.disk) != without.end()) continue;
    holders += HoldsAll(ref.disk, log, entry.epoch, from, to);
  }
  return holders;
}

bool Oracle::MayLose(const DiskId& disk) const {
  for (const auto& [id, log] : logs_) {
    const Chain& chain = log.chain.chain;
    for (const EpochEntry& entry : chain.epochs) {
      int lost = 1;
      bool member = false;
      for (const ReplicaRef& ref : entry.disks) {
        member |= ref.disk == disk;
        lost += ref.disk != disk && holdings_->Find(ref.disk, id, entry.epoch) == nullptr;
      }
      if (member && !entry.closed() && lost >= entry.ack_quorum) return false;
    }
  }
  return SettledOutlives({disk});
}

bool Oracle::SettledOutlives(const std::vector<DiskId>& disks) const {
  const auto lost = [&](const DiskId& disk) { return std::find(disks.begin(), disks.end(), disk) != disks.end(); };
  for (const auto& [id, log] : logs_) {
    const Chain& chain = log.chain.chain;
    for (const EpochEntry& entry : chain.epochs) {
      const bool member =
          std::any_of(entry.disks.begin(), entry.disks.end(), [&](const ReplicaRef& ref) { return lost(ref.disk); });
      if (!member || !entry.closed()) continue;
      const Lsn from = std::max(entry.first_lsn, chain.trim_lsn + 1);
      if (*entry.last_lsn >= from && FullHolders(id, entry, from, *entry.last_lsn, disks) == 0) return false;
    }
    for (const CheckpointEntry& entry : chain.checkpoints) {
      if (std::none_of(entry.disks.begin(), entry.disks.end(), lost)) continue;
      const auto left = std::count_if(entry.disks.begin(), entry.disks.end(), [&](const DiskId& other) {
        return !lost(other) && holdings_->HoldsCheckpoint(other, id, entry.id);
      });
      if (left == 0) return false;
    }
  }
  return true;
}

const EpochEntry* Oracle::Thin(LogId id, int disks_left) const {
  const Chain& chain = logs_.at(id).chain.chain;
  for (const EpochEntry& entry : chain.epochs) {
    if (!entry.closed()) continue;
    const Lsn from = std::max(entry.first_lsn, chain.trim_lsn + 1);
    const int wanted = std::min(std::max(chain.replicas_target, entry.ack_quorum), disks_left);
    if (*entry.last_lsn >= from && FullHolders(id, entry, from, *entry.last_lsn) < wanted) return &entry;
  }
  return nullptr;
}

void Oracle::CheckOneContent(LogId id, const EpochEntry& entry, Lsn from, Lsn to) {
  const Log& log = logs_.at(id);
  for (const ReplicaRef& ref : entry.disks) {
    const std::vector<Stored>* stored = holdings_->Find(ref.disk, id, entry.epoch);
    if (stored == nullptr) continue;
    for (const Stored& batch : *stored) {
      if (batch.last < from || batch.first > to) continue;
      BatchIterator records(*batch.batch);
      Record record;
      while (records.Next(&record)) {
        const Truth* truth = record.lsn < from || record.lsn > to ? nullptr : log.At(record.lsn);
        if (truth == nullptr || DecodePayload(record.payload) == truth->payload) continue;
        return Broken(Rule::kOneContent, Name(id) + Name(entry.epoch) + ": disk " + testing::DiskName(ref.disk) +
                                             " holds another record" + At(record.lsn));
      }
    }
  }
}

void Oracle::Audit() {
  for (const auto& [id, log] : logs_) {
    const Chain& chain = log.chain.chain;
    for (const EpochEntry& entry : chain.epochs) {
      const Lsn from = std::max(entry.first_lsn, chain.trim_lsn + 1);
      if (entry.closed()) {
        if (*entry.last_lsn < from) continue;
        CheckOneContent(id, entry, from, *entry.last_lsn);
        if (FullHolders(id, entry, from, *entry.last_lsn) == 0) {
          return Broken(Rule::kClosedComplete, Name(id) + Name(entry.epoch) + " is complete on no live disk any more");
        }
        continue;
      }
      if (log.given_up == entry.epoch) continue;
      for (Lsn lsn = from; lsn <= log.Last(); lsn = lsn + 1) {
        const std::optional<uint64_t> content = ContentAt(entry, id, lsn);
        if (!content.has_value()) {
          return Broken(Rule::kAckedReadable, Name(id) + "acknowledged and on no live disk" + At(lsn));
        }
        if (*content != log.At(lsn)->payload) {
          return Broken(Rule::kAckedReadable, Name(id) + "acknowledged, and something else is stored" + At(lsn));
        }
      }
    }
    for (const CheckpointEntry& entry : chain.checkpoints) {
      const bool held = std::any_of(entry.disks.begin(), entry.disks.end(), [&, log_id = id](const DiskId& disk) {
        return holdings_->HoldsCheckpoint(disk, log_id, entry.id);
      });
      if (!held) return Broken(Rule::kCheckpoint, Name(id) + "a listed checkpoint is on no live disk");
    }
  }
}

}  // namespace understudy::sim

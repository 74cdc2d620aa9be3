#include "tests/sim/oracle.h"

#include <algorithm>

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

std::string EncodePayload(uint64_t payload, size_t padding) {
  std::string bytes(8 + padding, 'x');
  Store64(bytes.data(), payload);
  return bytes;
}

uint64_t DecodePayload(std::string_view bytes) { return bytes.size() < 8 ? 0 : Load64(bytes.data()); }

const char* RuleName(Rule rule) {
  static constexpr const char* kNames[] = {"acked-on-quorum",  "acked-once",      "acked-in-epoch", "acked-readable",
                                           "closed-immutable", "closed-complete", "one-content",    "chain-valid",
                                           "commit-forward",   "barrier",         "trim",           "checkpoint",
                                           "reader-order",     "reader-content",  "spare-state",    "live-takeover",
                                           "live-writes",      "live-readers",    "healthy-kept",   "live-served",
                                           "retired-silent",   "live-repair",     "false-alarm",    "check-failed",
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

// ---- acknowledgements ----

bool Oracle::Append(Log* log, Lsn lsn, uint64_t payload, Epoch epoch, bool acked) {
  std::vector<Truth>& truth = log->truth;
  if (lsn.value() <= truth.size()) {
    Truth& known = truth[lsn.value() - 1];
    if (known.payload != payload) return false;
    known.acked |= acked;
    return true;
  }
  if (lsn.value() != truth.size() + 1) return false;
  truth.push_back({payload, NextState(truth.empty() ? 0 : truth.back().state, lsn, payload), epoch, acked});
  return true;
}

void Oracle::OnAcked(LogId id, Epoch epoch, const AttemptId& attempt, Lsn lsn, uint64_t payload,
                     const std::string& who) {
  ++acked_;
  Log& log = logs_.at(id);
  const EpochEntry* entry = log.chain.chain.Find(epoch);
  if (entry == nullptr || entry->attempt != attempt) {
    // A deposed writer may learn late that what it appended was settled; its epoch may even be trimmed away by then.
    const bool settled = entry == nullptr && lsn.value() <= log.truth.size() &&
                         log.truth[lsn.value() - 1].epoch == epoch && log.truth[lsn.value() - 1].payload == payload;
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
    if (i > 0 && entry.first_lsn != *value.chain.epochs[i - 1].last_lsn + 1) {
      Broken(Rule::kChainValid, Name(id) + Name(entry.epoch) + " does not begin where the one before ends");
    }
  }
  CheckCheckpoints(log, before);
}

// An epoch was closed, or got other disks: from here on its contents are decided.
void Oracle::Settle(Log* log, const EpochEntry& entry) {
  const LogId id = log->chain.chain.log;
  const Lsn from = std::max(entry.first_lsn, log->chain.chain.trim_lsn + 1);
  const Lsn last = *entry.last_lsn;
  for (Lsn lsn = last + 1; lsn.value() <= log->truth.size(); lsn = lsn + 1) {
    const Truth& truth = log->truth[lsn.value() - 1];
    if (truth.acked && truth.epoch == entry.epoch) {
      return Broken(Rule::kAckedInEpoch, Name(id) + Name(entry.epoch) + " is closed at " +
                                             std::to_string(last.value()) + " although it had acknowledged" + At(lsn));
    }
  }
  if (last < from) return;
  for (Lsn lsn = Lsn(std::max(log->truth.size() + 1, from.value())); lsn <= last; lsn = lsn + 1) {
    const std::optional<uint64_t> content = ContentAt(entry, id, lsn);
    if (!content.has_value()) {
      return Broken(Rule::kClosedComplete, Name(id) + Name(entry.epoch) + ", closed at " +
                                               std::to_string(last.value()) + ", is on no live disk" + At(lsn));
    }
    Append(log, lsn, *content, entry.epoch, false);
  }
  if (FullHolders(id, entry, from, last, nullptr) == 0) {
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
    if (entry.lsn.value() > log.truth.size()) {
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
  if (lsn.value() > log.truth.size()) {
    return Broken(Rule::kReaderContent,
                  Name(id) + who + " applies what is neither acknowledged nor settled," + At(lsn));
  }
  const Truth& truth = log.truth[lsn.value() - 1];
  if (truth.payload != payload) {
    return Broken(Rule::kReaderContent, Name(id) + who + " applies what the log does not hold," + At(lsn));
  }
  if (truth.state != state) {
    Broken(Rule::kSpareState, Name(id) + "the state of " + who + " is not the primary's," + At(lsn));
  }
}

void Oracle::OnTrimmedAway(LogId log, Lsn next, const std::string& who) {
  Broken(Rule::kTrim, Name(log) + who + " loads under a pin and finds trimmed away what it needs," + At(next));
}

void Oracle::OnRollbackAlarm(LogId log, const std::string& text) { Broken(Rule::kAlarm, Name(log) + text); }

uint64_t Oracle::state(LogId id, Lsn lsn) const {
  const Log& log = logs_.at(id);
  return lsn == Lsn(0) || lsn.value() > log.truth.size() ? 0 : log.truth[lsn.value() - 1].state;
}

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

int Oracle::FullHolders(LogId log, const EpochEntry& entry, Lsn from, Lsn to, const DiskId* without) const {
  int holders = 0;
  for (const ReplicaRef& ref : entry.disks) {
    if (without != nullptr && ref.disk == *without) continue;
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
      if (!member) continue;
      if (!entry.closed()) {
        if (lost >= entry.ack_quorum) return false;
        continue;
      }
      const Lsn from = std::max(entry.first_lsn, chain.trim_lsn + 1);
      if (*entry.last_lsn >= from && FullHolders(id, entry, from, *entry.last_lsn, &disk) == 0) return false;
    }
    for (const CheckpointEntry& entry : chain.checkpoints) {
      if (std::find(entry.disks.begin(), entry.disks.end(), disk) == entry.disks.end()) continue;
      const auto left = std::count_if(entry.disks.begin(), entry.disks.end(), [&](const DiskId& other) {
        return other != disk && holdings_->HoldsCheckpoint(other, id, entry.id);
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
    if (*entry.last_lsn >= from && FullHolders(id, entry, from, *entry.last_lsn, nullptr) < wanted) return &entry;
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
        if (record.lsn < from || record.lsn > to || record.lsn.value() > log.truth.size()) continue;
        if (DecodePayload(record.payload) == log.truth[record.lsn.value() - 1].payload) continue;
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
        if (FullHolders(id, entry, from, *entry.last_lsn, nullptr) == 0) {
          return Broken(Rule::kClosedComplete, Name(id) + Name(entry.epoch) + " is complete on no live disk any more");
        }
        continue;
      }
      for (Lsn lsn = from; lsn.value() <= log.truth.size(); lsn = lsn + 1) {
        const std::optional<uint64_t> content = ContentAt(entry, id, lsn);
        if (!content.has_value()) {
          return Broken(Rule::kAckedReadable, Name(id) + "acknowledged and on no live disk" + At(lsn));
        }
        if (*content != log.truth[lsn.value() - 1].payload) {
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

#include "log/store/catalog.h"

#include <algorithm>

namespace understudy {
namespace {

// An extent may hold this much of other logs' bytes whatever its own share is: one read fetches it all the same.
constexpr uint64_t kSpanAlwaysAllowed = 64u << 10;
constexpr uint64_t kOwnShareMin = 4;  // beyond that, at least a quarter of it must be its own

}  // namespace

void Catalog::Restore(const IndexContent& content) {
  for (const auto& [log, record] : content.logs) logs_[log].record = record;
  for (const auto& [of, record] : content.epochs) logs_[of.log].epochs[of.epoch].record = record;
  for (const auto& [segment, of, use] : content.uses) segments_[segment][of] = use;
}

const LogState* Catalog::FindLog(LogId log) const {
  const auto at = logs_.find(log);
  return at == logs_.end() ? nullptr : &at->second;
}

const EpochState* Catalog::FindEpoch(const LogEpoch& of) const {
  const LogState* log = FindLog(of.log);
  if (log == nullptr) return nullptr;
  const auto at = log->epochs.find(of.epoch);
  return at == log->epochs.end() ? nullptr : &at->second;
}

void Catalog::Apply(const PlacedEntry& entry) {
  dirty_ = true;
  const EntryHeader& header = entry.header;
  if (header.kind == JournalKind::kTrim) return ApplyTrim(header.log, header.lsn);
  if (header.kind == JournalKind::kSeal) {
    LogState& log = logs_[header.log];
    log.record.sealed = std::max(log.record.sealed, header.epoch);
    log.dirty = true;
    dirty_logs_.insert(header.log);
    return;
  }
  ApplyBatch(entry);
}

void Catalog::ApplyBatch(const PlacedEntry& entry) {
  const EntryHeader& header = entry.header;
  LogState& log = logs_[header.log];
  const bool relocated = header.kind == JournalKind::kRelocated;
  if (relocated && (entry.batch.last_lsn() <= log.record.trim || !log.epochs.contains(header.epoch))) return;
  EpochState& epoch = log.epochs[header.epoch];
  dirty_logs_.insert(header.log);
  log.dirty = epoch.dirty = true;
  if (!relocated) {
    // The first append of an epoch seals all lower ones; a copy is made only into an epoch that is sealed here.
    const Epoch sealed = header.kind == JournalKind::kFetched ? header.epoch : header.epoch - 1;
    log.record.sealed = std::max(log.record.sealed, sealed);
    if (!header.attempt.none()) epoch.record.attempt = header.attempt;
    if (header.lsn.value() != 0) epoch.record.epoch_first_lsn = header.lsn;
    if (entry.batch.last_lsn() > epoch.record.tail) {
      epoch.record.tail = entry.batch.last_lsn();
      epoch.record.last = {entry.batch.first_lsn, entry.batch.last_lsn(), entry.batch.crc};
    }
  }
  AddExtent(&epoch, entry);
  const LogEpoch of{header.log, header.epoch};
  auto [use, fresh] = segments_[entry.segment].try_emplace(of, SegmentUse{entry.batch.first_lsn, Lsn(0), 0});
  use->second.first = std::min(use->second.first, entry.batch.first_lsn);
  use->second.last = std::max(use->second.last, entry.batch.last_lsn());
  use->second.bytes += entry.batch.length;
  dirty_uses_.insert({entry.segment, of});
}

void Catalog::AddExtent(EpochState* epoch, const PlacedEntry& entry) {
  const Lsn first = entry.batch.first_lsn;
  auto after = epoch->extents.upper_bound(first);
  if (after != epoch->extents.begin()) {
    Extent& before = std::prev(after)->second;
    const uint64_t span = entry.end - before.offset;
    const uint64_t own = before.batch_bytes + entry.batch.length;
    if (before.segment == entry.segment && before.last + 1 == first && entry.offset >= before.end &&
        span <= extent_bytes_max_ && (span <= kSpanAlwaysAllowed || own * kOwnShareMin >= span)) {
      before.last = entry.batch.last_lsn();
      before.end = entry.end;
      before.batch_bytes = own;
      epoch->dirty_extents.insert(before.first);
      return;
    }
  }
  const auto [at, fresh] = epoch->extents.insert_or_assign(
      first, Extent{first, entry.batch.last_lsn(), entry.segment, entry.offset, entry.end, entry.batch.length});
  epoch->dirty_extents.insert(first);
  if (!fresh) return;
  ++extents_in_memory_;
  // Only the newest can grow: the one before it is needed no more once it is in the index.
  if (at != epoch->extents.begin()) {
    const auto before = std::prev(at);
    if (!epoch->dirty_extents.contains(before->first)) EraseExtent(epoch, before);
  }
}

void Catalog::EraseExtent(EpochState* epoch, std::map<Lsn, Extent>::iterator at) {
  epoch->dirty_extents.erase(at->first);
  epoch->extents.erase(at);
  --extents_in_memory_;
}

void Catalog::ApplyTrim(LogId id, Lsn trim) {
  LogState& log = logs_[id];
  if (trim <= log.record.trim) return;
  log.record.trim = trim;
  log.dirty = log.trimmed = true;
  dirty_logs_.insert(id);
  for (auto it = log.epochs.begin(); it != log.epochs.end();) {
    EpochState& epoch = it->second;
    for (auto at = epoch.extents.begin(); at != epoch.extents.end() && at->second.last <= trim;) {
      EraseExtent(&epoch, at++);
    }
    // The highest epoch's tail is kept though its batches go: an append or a seal may still ask for it.
    if (epoch.record.tail <= trim && std::next(it) != log.epochs.end()) {
      dropped_epochs_.push_back({id, it->first});
      extents_in_memory_ -= epoch.extents.size();
      it = log.epochs.erase(it);
    } else {
      ++it;
    }
  }
}

std::vector<Extent> Catalog::Overlapping(const LogEpoch& of, Lsn from, Lsn to) const {
  std::vector<Extent> found;
  const EpochState* epoch = FindEpoch(of);
  if (epoch == nullptr) return found;
  auto at = epoch->extents.upper_bound(from);
  if (at != epoch->extents.begin()) --at;
  for (; at != epoch->extents.end() && at->second.first <= to; ++at) {
    if (at->second.last >= from) found.push_back(at->second);
  }
  return found;
}

bool Catalog::Dead(const LogEpoch& of, const SegmentUse& use) const {
  const LogState* log = FindLog(of.log);
  return log != nullptr && use.last <= log->record.trim;
}

uint64_t Catalog::Live(const LogEpoch& of, const SegmentUse& use) const {
  const LogState* log = FindLog(of.log);
  if (log == nullptr || log->record.trim < use.first) return use.bytes;
  if (use.last <= log->record.trim) return 0;
  const double share = static_cast<double>(use.last - log->record.trim) / static_cast<double>(use.last - use.first + 1);
  return static_cast<uint64_t>(static_cast<double>(use.bytes) * share);
}

uint64_t Catalog::LiveBytes(uint64_t segment) const {
  uint64_t bytes = 0;
  if (const auto at = segments_.find(segment); at != segments_.end()) {
    for (const auto& [of, use] : at->second) bytes += Live(of, use);
  }
  return bytes;
}

uint64_t Catalog::LogBytes(LogId log) const {
  uint64_t bytes = 0;
  for (const auto& [segment, uses] : segments_) {
    for (auto at = uses.lower_bound({log, Epoch(0)}); at != uses.end() && at->first.log == log; ++at) {
      bytes += Live(at->first, at->second);
    }
  }
  return bytes;
}

uint64_t Catalog::TotalLiveBytes() const {
  uint64_t bytes = 0;
  for (const auto& [segment, uses] : segments_) bytes += LiveBytes(segment);
  return bytes;
}

std::vector<uint64_t> Catalog::SegmentsInUse() const {
  std::vector<uint64_t> ids;
  for (const auto& [segment, uses] : segments_) ids.push_back(segment);
  return ids;
}

std::vector<std::pair<LogEpoch, SegmentUse>> Catalog::LiveUses(uint64_t segment) const {
  std::vector<std::pair<LogEpoch, SegmentUse>> live;
  if (const auto at = segments_.find(segment); at != segments_.end()) {
    for (const auto& [of, use] : at->second) {
      if (Dead(of, use)) continue;
      SegmentUse rest = use;
      rest.first = std::max(rest.first, logs_.at(of.log).record.trim + 1);
      live.push_back({of, rest});
    }
  }
  return live;
}

void Catalog::Relocated(uint64_t segment, const std::vector<std::pair<LogEpoch, Lsn>>& old_extents) {
  dirty_ = true;
  for (const auto& [of, first] : old_extents) {
    const auto log = logs_.find(of.log);
    if (log == logs_.end()) continue;
    const auto epoch = log->second.epochs.find(of.epoch);
    if (epoch == log->second.epochs.end()) continue;
    const auto at = epoch->second.extents.find(first);
    if (at != epoch->second.extents.end() && at->second.segment == segment) EraseExtent(&epoch->second, at);
    relocated_extents_.push_back({of, first});
  }
  const auto at = segments_.find(segment);
  if (at == segments_.end()) return;
  for (const auto& [of, use] : at->second) relocated_uses_.push_back({segment, of});
  at->second.clear();
}

IndexStep Catalog::Collect(const JournalPosition& position) {
  IndexStep step;
  step.position = position;
  for (const auto& [of, first] : relocated_extents_) step.batch.EraseExtent(of, first);
  for (const auto& [segment, of] : relocated_uses_) step.batch.EraseUse(segment, of);
  for (const LogEpoch& of : dropped_epochs_) {
    step.batch.EraseEpoch(of);
    step.trims.push_back({of, Lsn(UINT64_MAX)});
  }
  for (const LogId id : dirty_logs_) {
    LogState& log = logs_[id];
    step.batch.PutLog(id, log.record);
    for (auto& [number, epoch] : log.epochs) {
      const LogEpoch of{id, number};
      if (log.trimmed) step.trims.push_back({of, log.record.trim});
      if (epoch.dirty) step.batch.PutEpoch(of, epoch.record);
      epoch.dirty = false;
      for (const Lsn first : epoch.dirty_extents) {
        const Extent& extent = epoch.extents.at(first);
        step.batch.PutExtent(of, extent);
        step.extents.push_back({of, extent});
      }
    }
    log.dirty = log.trimmed = false;
  }
  for (const auto& [segment, of] : dirty_uses_) {
    const auto at = segments_.find(segment);
    if (at == segments_.end()) continue;
    if (const auto use = at->second.find(of); use != at->second.end()) step.batch.PutUse(segment, of, use->second);
  }
  for (auto at = segments_.begin(); at != segments_.end() && at->first < position.segment;) {
    const bool dead = std::all_of(at->second.begin(), at->second.end(),
                                  [this](const auto& item) { return Dead(item.first, item.second); });
    if (dead) {
      for (const auto& [of, use] : at->second) step.batch.EraseUse(at->first, of);
      at = segments_.erase(at);
    } else {
      ++at;
    }
  }
  step.batch.SetPosition(position);
  dirty_logs_.clear();
  dirty_uses_.clear();
  dropped_epochs_.clear();
  relocated_extents_.clear();
  relocated_uses_.clear();
  dirty_ = false;
  return step;
}

void Catalog::Written(const IndexStep& step) {
  for (const auto& [of, written] : step.extents) {
    const auto log = logs_.find(of.log);
    if (log == logs_.end()) continue;
    const auto number = log->second.epochs.find(of.epoch);
    if (number == log->second.epochs.end()) continue;
    EpochState& epoch = number->second;
    const auto at = epoch.extents.find(written.first);
    if (at == epoch.extents.end() || at->second != written) continue;  // it has grown since
    epoch.dirty_extents.erase(written.first);
    if (std::next(at) != epoch.extents.end()) EraseExtent(&epoch, at);
  }
}

}  // namespace understudy

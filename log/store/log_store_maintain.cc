// Background work: the index, segments made ahead and recycled, live batches copied out of mostly dead segments, and
// getting on when the disk is full.
#include <fmt/format.h>

#include <algorithm>

#include "log/env/logging.h"
#include "log/store/log_store_impl.h"

namespace understudy {
namespace {

constexpr size_t kReadyWanted = 1;
constexpr size_t kReadyMax = 16;  // recycled files kept for the writer; more are removed
constexpr size_t kBusyRotations = 2;
constexpr int64_t kBusyNs = kNsPerSecond;  // that many rotations within it: zeros would only steal bandwidth
constexpr size_t kRelocateAboveSegments = 4;
constexpr uint64_t kMostlyDead = 4;           // less than a quarter live
constexpr uint64_t kReserveBytes = 8u << 20;  // what LevelDB needs to open again, and then some

uint64_t ReserveBytes(const LogStoreOptions& options) { return std::min(kReserveBytes, options.segment_bytes); }

}  // namespace

void LogStoreImpl::Maintain() {
  const std::lock_guard maintaining(maintain_mutex_);
  bool due = false;
  {
    const std::lock_guard lock(mutex_);
    if (!dead_status_.ok() || !identity_.retired_reason.empty()) return;  // nothing is changed any more
    due = unindexed_bytes_ >= options_.index_flush_bytes || disk_full_ || !options_.background ||
          clock_->Now() - last_flush_ >= options_.index_flush_ms * kNsPerMs;
  }
  FinishRelocation();
  if (due) {
    (void)FlushLocked();  // what goes wrong is logged, and shows as a full disk or a dead store
    RecycleDeadSegments();
  }
  if (!HardlyUsed()) {
    PrepareSegments();
    KeepReserve();
  }
  Relocate();
}

// A new directory takes one segment of space until that is a quarter full: many never get there.
bool LogStoreImpl::HardlyUsed() const {
  const std::lock_guard lock(mutex_);
  return segments_.size() == 1 && ready_.empty() && offset_ < active_end_ / 4 && !disk_full_;
}

Status LogStoreImpl::FlushIndex() {
  const std::lock_guard maintaining(maintain_mutex_);
  {
    const std::lock_guard lock(mutex_);
    if (!dead_status_.ok()) return dead_status_;
  }
  return FlushLocked();
}

Status LogStoreImpl::FlushLocked() {
  last_flush_ = clock_->Now();
  if (index_needs_reopen_) UNDERSTUDY_RETURN_IF_ERROR(ReopenIndex());
  if (unwritten_ != nullptr) UNDERSTUDY_RETURN_IF_ERROR(WriteStep());
  uint64_t collected = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!catalog_.dirty()) return Status::Ok();
    collected = unindexed_bytes_;
    unwritten_ = std::make_unique<IndexStep>(catalog_.Collect({active_->id(), offset_, next_group_}));
  }
  IndexBatch erasures;
  EraseTrimmed(*unwritten_, &erasures);
  erasures.Append(unwritten_->batch);  // erased first: a key may be put again
  unwritten_->batch = std::move(erasures);
  UNDERSTUDY_RETURN_IF_ERROR(WriteStep());
  const std::lock_guard lock(mutex_);
  unindexed_bytes_ -= collected;
  return Status::Ok();
}

// After a failed write LevelDB's log ends in a torn record; only a new one may be written to. Opening reads much and
// readers wait for it: so space is made sure of first.
Status LogStoreImpl::ReopenIndex() {
  const auto give_up_reserve = [this] { return files_->Remove(ReservePath()).ok(); };
  const Status room = CheckRoom(files_, dir_, ReserveBytes(options_) / 2);
  if (!room.ok() && !give_up_reserve()) return room;
  Status opened = index_->Reopen();
  if (opened.code() == StatusCode::kResourceExhausted && give_up_reserve()) opened = index_->Reopen();  // a quota
  if (opened.ok()) index_needs_reopen_ = false;
  if (opened.ok() || opened.code() == StatusCode::kResourceExhausted) return opened;
  const std::lock_guard lock(mutex_);
  Die(opened);
  return opened;
}

Status LogStoreImpl::WriteStep() {
  const Status wrote = index_->Write(&unwritten_->batch);
  const std::lock_guard lock(mutex_);
  if (wrote.ok()) {
    catalog_.Written(*unwritten_);
    indexed_segment_ = unwritten_->position.segment;
    unwritten_.reset();
    return wrote;
  }
  index_needs_reopen_ = true;
  if (wrote.code() != StatusCode::kResourceExhausted) {
    Die(wrote);
  } else {
    DiskIsFull(wrote.message());
  }
  return wrote;
}

void LogStoreImpl::EraseTrimmed(const IndexStep& step, IndexBatch* batch) {
  for (const IndexStep::Trimmed& trim : step.trims) {
    const Status visited = index_->Visit(trim.of, Lsn(0), [&](const Extent& extent) {
      if (extent.last <= trim.through) batch->EraseExtent(trim.of, extent.first);
      return extent.first <= trim.through;
    });
    // They stay behind: never read, as their LSNs are trimmed.
    if (!visited.ok()) LogWarning("store", "erasing trimmed index entries: " + visited.ToString());
  }
}

void LogStoreImpl::RecycleDeadSegments() {
  std::vector<SegmentRef> free;
  size_t ready = 0;
  {
    const std::lock_guard lock(mutex_);
    if (unwritten_ == nullptr) {
      for (auto at = segments_.begin(); at != segments_.end() && at->first < indexed_segment_;) {
        if (at->second == active_ || catalog_.InUse(at->first)) {
          ++at;
          continue;
        }
        dead_.push_back(std::move(at->second));
        at = segments_.erase(at);
      }
    }
    const auto held = std::partition(dead_.begin(), dead_.end(), [](const SegmentRef& s) { return s.use_count() > 1; });
    std::move(held, dead_.end(), std::back_inserter(free));
    dead_.erase(held, dead_.end());
    ready = ready_.size();
  }
  for (SegmentRef& segment : free) {
    Status status;
    if (!segment_files_->has_reserve()) {
      status = segment_files_->MakeReserve(std::move(segment));
    } else if (ready++ < kReadyMax) {
      status = segment_files_->Recycle(std::move(segment), [this](SegmentRef made) {
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(made));
      });
    } else {
      status = segment_files_->Remove(std::move(segment));
    }
    if (status.ok()) continue;
    const std::lock_guard lock(mutex_);
    if (status.code() != StatusCode::kResourceExhausted) return Die(status);
  }
}

void LogStoreImpl::PrepareSegments() {
  while (true) {
    bool busy = false;
    const bool reserve = segment_files_->has_reserve();
    {
      const std::lock_guard lock(mutex_);
      if (!dead_status_.ok()) return;
      if (ready_.size() >= kReadyWanted && reserve) {
        if (disk_full_ && !index_needs_reopen_) {
          disk_full_ = false;
          LogInfo("store", dir_ + ": there is space again, appends are taken");
        }
        return;
      }
      const Instant now = clock_->Now();
      busy = !disk_full_ && std::count_if(rotations_.begin(), rotations_.end(), [now](Instant at) {
                              return now - at < kBusyNs;
                            }) >= static_cast<ptrdiff_t>(kBusyRotations);
    }
    const Status made = reserve ? segment_files_->Create(!busy,
                                                         [this](SegmentRef segment) {
                                                           const std::lock_guard lock(mutex_);
                                                           ready_.push_back(std::move(segment));
                                                         })
                                : segment_files_->MakeReserve();
    if (made.ok()) continue;
    const std::lock_guard lock(mutex_);
    if (made.code() != StatusCode::kResourceExhausted) return Die(made);
    return DiskIsFull("no space to prepare a journal segment: " + made.message());
  }
}

void LogStoreImpl::DiskIsFull(const std::string& why) {
  if (disk_full_) return;
  disk_full_ = true;
  LogWarning("store", dir_ + ": " + why + ": appends are refused once the segments made before are filled");
}

// A file whose space is given up so that, on a full disk, the index can be written, and so dead segments be recycled.
void LogStoreImpl::KeepReserve() {
  const std::string path = ReservePath();
  const Result<bool> there = files_->Exists(path);
  if (!there.ok() || *there || index_needs_reopen_) return;
  const auto make = [&]() -> Status {
    UNDERSTUDY_RETURN_IF_ERROR(CheckRoom(files_, dir_, 2 * ReserveBytes(options_)));
    auto file = files_->OpenForWrite(path + ".tmp", FileSystem::OpenMode::kTruncate);
    if (!file.ok()) return file.status();
    UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteZeros(0, ReserveBytes(options_)));
    UNDERSTUDY_RETURN_IF_ERROR((*file)->Sync());
    return files_->Rename(path + ".tmp", path);
  };
  if (make().ok()) return;
  (void)files_->Remove(path + ".tmp");
  SegmentRef spare;
  {
    const std::lock_guard lock(mutex_);
    if (ready_.size() <= kReadyWanted) return;
    spare = std::move(ready_.back());
    ready_.pop_back();
  }
  if (const Status removed = segment_files_->Remove(std::move(spare)); removed.ok()) (void)make();
}

void LogStoreImpl::Relocate() {
  const Instant now = clock_->Now();
  const double seconds = static_cast<double>(now - last_relocation_) / static_cast<double>(kNsPerSecond);
  last_relocation_ = now;
  relocation_budget_ = std::min<uint64_t>(
      options_.relocate_bytes_per_s,
      relocation_budget_ + static_cast<uint64_t>(seconds * static_cast<double>(options_.relocate_bytes_per_s)));
  if (relocation_ == nullptr) ChooseVictim();
  if (relocation_ != nullptr) CopyForward();
}

void LogStoreImpl::ChooseVictim() {
  std::vector<std::pair<LogEpoch, SegmentUse>> uses;
  uint64_t victim = 0;
  {
    const std::lock_guard lock(mutex_);
    if (disk_full_ || segments_.size() <= kRelocateAboveSegments) return;
    for (const auto& [id, segment] : segments_) {
      if (id >= indexed_segment_ || segment == active_) break;
      const uint64_t live = catalog_.LiveBytes(id);
      if (live == 0 || live * kMostlyDead >= options_.segment_bytes) continue;
      victim = id;
      uses = catalog_.LiveUses(id);
      break;
    }
    if (victim == 0) return;
    relocation_dropped_ = false;
  }
  auto relocation = std::make_unique<Relocation>();
  relocation->segment = victim;
  for (const auto& [of, use] : uses) {
    const Status visited = index_->Visit(of, use.first, [&](const Extent& extent) {
      if (extent.segment == victim && extent.last >= use.first) relocation->extents.push_back({of, extent});
      return extent.first <= use.last;
    });
    if (!visited.ok()) return;
  }
  relocation_ = std::move(relocation);
}

// Hands live batches of the victim to the journal, as far as the budget goes.
void LogStoreImpl::CopyForward() {
  while (relocation_->next < relocation_->extents.size()) {
    const auto& [of, extent] = relocation_->extents[relocation_->next];
    if (relocation_budget_ < std::min(extent.batch_bytes, options_.relocate_bytes_per_s)) return;
    Lsn next = extent.first;
    {
      const std::lock_guard lock(mutex_);
      const LogState* log = catalog_.FindLog(of.log);
      if (log != nullptr) next = std::max(next, log->record.trim + 1);
    }
    std::string batches;
    const SegmentRef segment = FindSegment(extent.segment);
    if (segment == nullptr) return relocation_.reset();  // it died meanwhile
    const auto reader = segment->OpenReader();
    if (!reader.ok()) return relocation_.reset();
    const Status read = next > extent.last
                            ? Status::Ok()
                            : ReadExtent(*segment, **reader, extent, of, extent.last, SIZE_MAX, &next, &batches);
    if (!read.ok()) {
      (void)Retire("corruption met while copying forward: " + read.message());
      return relocation_.reset();
    }
    relocation_budget_ -= std::min<uint64_t>(relocation_budget_, batches.size());
    ++relocation_->next;
    const std::lock_guard lock(mutex_);
    for (std::string_view rest = batches; !rest.empty();) {
      const BatchHeader header = *PeekBatch(rest);
      QueuedEntry queued;
      queued.entry.kind = JournalKind::kRelocated;
      queued.entry.log = of.log;
      queued.entry.epoch = of.epoch;
      queued.entry.batch = std::make_shared<const std::string>(rest.substr(0, header.length));
      relocations_.push_back(std::move(queued));
      ++relocations_pending_;
      rest.remove_prefix(header.length);
    }
  }
}

// Once all copies are durable the index forgets the old places; with the next flush the victim is dead.
void LogStoreImpl::FinishRelocation() {
  if (relocation_ == nullptr || relocation_->next < relocation_->extents.size()) return;
  {
    const std::lock_guard lock(mutex_);
    if (relocations_pending_ > 0) return;
    if (relocation_dropped_) return relocation_.reset();  // the disk ran full; another time
  }
  // Only what the index still has in the victim: a copy may begin at the same LSN and be in the index already.
  std::vector<std::pair<LogEpoch, Lsn>> old_extents;
  for (const auto& [of, extent] : relocation_->extents) {
    const Status visited = index_->Visit(of, extent.first, [&](const Extent& now) {
      if (now.first == extent.first && now.segment == relocation_->segment) old_extents.push_back({of, now.first});
      return now.first < extent.first;
    });
    if (!visited.ok()) return;
  }
  const std::lock_guard lock(mutex_);
  catalog_.Relocated(relocation_->segment, old_extents);
  relocation_.reset();
}

}  // namespace understudy

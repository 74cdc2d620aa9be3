// Opening a data directory: who it is, what its index says, and the journal behind that.
#include <fmt/format.h>

#include <algorithm>

#include "log/env/logging.h"
#include "log/store/log_store_impl.h"

namespace understudy {
namespace {

constexpr uint64_t kSegmentBytesMin = 64u << 10;
constexpr uint64_t kSegmentBytesMax = 1u << 30;
constexpr int64_t kMaintainEveryMs = 100;

Status CheckOptions(const LogStoreOptions& options) {
  if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax) {
    return {StatusCode::kInvalidArgument, "segment_bytes must be within 64 KiB and 1 GiB"};
  }
  if (options.group_bytes_max == 0 || options.queue_bytes_max == 0 || options.extent_bytes_max == 0 ||
      options.index_flush_bytes == 0 || options.index_flush_ms <= 0 || options.logs_max == 0) {
    return {StatusCode::kInvalidArgument, "bounds of the store must not be 0"};
  }
  return Status::Ok();
}

}  // namespace

LogStoreImpl::LogStoreImpl(std::string dir, const LogStoreOptions& options, FileSystem* files, Random* random,
                           Clock* clock)
    : dir_(std::move(dir)),
      options_(options),
      files_(files),
      random_(random),
      clock_(clock),
      identity_file_(files, dir_ + "/IDENTITY"),
      catalog_(options.extent_bytes_max),
      cache_(options.cache_bytes_max),
      nonce_state_(random->Next64()),
      last_flush_(clock->Now()),
      last_relocation_(clock->Now()) {}

LogStoreImpl::~LogStoreImpl() { background_.reset(); }

void LogStoreImpl::StartBackground() {
  background_ = std::make_unique<PeriodicThread>(kMaintainEveryMs, [this] { Maintain(); });
}

Status LogStoreImpl::Recover(RecoveredState* recovered) {
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files_, dir_));
  auto lock = files_->Lock(dir_ + "/LOCK");
  if (!lock.ok()) return lock.status();
  lock_ = std::move(lock).value();
  UNDERSTUDY_RETURN_IF_ERROR(RecoverIdentity(recovered));
  UNDERSTUDY_RETURN_IF_ERROR(OpenIndex());
  UNDERSTUDY_RETURN_IF_ERROR(RecoverJournal(recovered));
  auto checkpoints = OpenCheckpointFiles(dir_ + "/checkpoints", options_.checkpoint_bytes_max, files_);
  if (!checkpoints.ok()) return checkpoints.status();
  checkpoints_ = std::move(checkpoints).value();
  Describe(recovered);
  return Status::Ok();
}

Status LogStoreImpl::RecoverIdentity(RecoveredState* recovered) {
  const Result<std::optional<DiskIdentity>> found = identity_file_.Read();
  if (!found.ok()) return found.status();
  recovered->fresh = !found->has_value();
  if (recovered->fresh) {
    const Result<bool> journal = files_->Exists(dir_ + "/journal");
    if (!journal.ok()) return journal.status();
    if (*journal) {
      return {StatusCode::kCorruption,
              dir_ + "/IDENTITY is missing beside a journal: it cannot be told which disk this is"};
    }
    identity_.disk = random_->NewDiskId();
  } else {
    identity_ = **found;
  }
  ++identity_.boot_count;
  return WriteIdentity(identity_);
}

Status LogStoreImpl::WriteIdentity(const DiskIdentity& identity) {
  Status written = identity_file_.Write(identity);
  // Only a file of version 1, and file systems that never write in place, need room for it.
  if (written.code() == StatusCode::kResourceExhausted && files_->Remove(ReservePath()).ok()) {
    written = identity_file_.Write(identity);
  }
  return written;
}

Status LogStoreImpl::OpenIndex() {
  auto index = Index::Open(dir_ + "/index", identity_.disk, files_);
  if (!index.ok()) return index.status();
  index_ = std::move(index).value();
  if (index_->writable()) return Status::Ok();
  index_needs_reopen_ = true;
  DiskIsFull("started on a full disk");
  return Status::Ok();
}

void LogStoreImpl::CheckIndexedSegments(const IndexContent& content, std::vector<std::string>* corruption) const {
  std::vector<uint64_t> needed = catalog_.SegmentsInUse();
  if (content.position.segment != 0) needed.push_back(content.position.segment);
  for (const uint64_t id : needed) {
    const bool live = id == content.position.segment || catalog_.LiveBytes(id) > 0;
    if (live && !segments_.contains(id)) corruption->push_back(fmt::format("segment {:016x} is missing", id));
  }
}

Status LogStoreImpl::RecoverJournal(RecoveredState* recovered) {
  segment_files_ =
      std::make_unique<SegmentFiles>(dir_ + "/journal", identity_.disk, options_.segment_bytes, files_, random_);
  Result<FoundSegments> found = segment_files_->OpenAll();
  if (!found.ok()) return found.status();
  const Result<IndexContent> content = index_->Load();
  if (!content.ok()) return content.status();
  catalog_.Restore(*content);
  for (const SegmentRef& segment : found->segments) segments_[segment->id()] = segment;
  std::vector<std::string> corruption = found->damaged;
  CheckIndexedSegments(*content, &corruption);

  std::set<uint64_t> scanned;
  const Result<ScanResult> scan = ScanJournal(found->segments, content->position, [&](const PlacedEntry& entry) {
    catalog_.Apply(entry);
    scanned.insert(entry.segment);
  });
  if (!scan.ok()) return scan.status();
  corruption.insert(corruption.end(), scan->corruption.begin(), scan->corruption.end());
  recovered->torn_bytes = scan->torn_bytes;
  recovered->scanned_bytes = scan->scanned_bytes;
  // What was read back may still be in the page cache only: a killed process leaves it so.
  for (const uint64_t id : scanned) {
    if (options_.unsafe_no_fsync) break;
    Segment& segment = *segments_.at(id);
    UNDERSTUDY_RETURN_IF_ERROR(segment.OpenWriter());
    UNDERSTUDY_RETURN_IF_ERROR(segment.writer->Sync());
    segment.writer.reset();
  }
  if (!corruption.empty() && identity_.retired_reason.empty()) {
    std::string reason = "corruption found at start: ";
    for (const std::string& one : corruption) reason += one + "; ";
    LogError("store", dir_ + ": " + reason + "this disk retires and only serves what its checksums vouch for");
    identity_.retired_reason = reason;
    UNDERSTUDY_RETURN_IF_ERROR(WriteIdentity(identity_));
  }
  next_group_ = scan->end.next_group;
  unindexed_bytes_ = scan->scanned_bytes;
  indexed_segment_ = content->position.segment;

  // Segments behind the last group are prepared and empty.
  for (auto at = segments_.upper_bound(scan->end.segment); at != segments_.end();) {
    ready_.push_back(at->second);
    at = segments_.erase(at);
  }
  if (const auto at = segments_.find(scan->end.segment); at != segments_.end()) {
    active_ = at->second;
    offset_ = scan->end.offset;
    active_end_ = active_->header.bytes;
    // The reserve was taken into use when the disk ran full, and this is it: still not for batches.
    active_is_reserve_ = segments_.size() > 1 && !segment_files_->has_reserve();
    return Status::Ok();
  }
  if (ready_.empty()) {
    UNDERSTUDY_RETURN_IF_ERROR(
        segment_files_->Create(true, [this](SegmentRef segment) { ready_.push_back(std::move(segment)); }));
  }
  active_ = ready_.front();
  ready_.pop_front();
  segments_[active_->id()] = active_;
  offset_ = kSegmentHeaderBytes;
  active_end_ = active_->header.bytes;
  return Status::Ok();
}

void LogStoreImpl::Describe(RecoveredState* recovered) const {
  recovered->disk = identity_.disk;
  recovered->boot_count = identity_.boot_count;
  recovered->retired = !identity_.retired_reason.empty();
  recovered->retired_reason = identity_.retired_reason;
  for (const auto& [id, log] : catalog_.logs()) {
    RecoveredLog described{id, log.record.sealed, log.record.trim, {}};
    for (const auto& [number, epoch] : log.epochs) {
      described.epochs.push_back(
          {number, epoch.record.attempt, epoch.record.epoch_first_lsn, epoch.record.tail, epoch.record.last});
    }
    recovered->logs.push_back(std::move(described));
  }
  std::sort(recovered->logs.begin(), recovered->logs.end(),
            [](const RecoveredLog& a, const RecoveredLog& b) { return a.log < b.log; });
  LogInfo("store",
          fmt::format("{}: disk {}, boot {}, {} logs, {} segments; scanned {} bytes, dropped a torn group of {}", dir_,
                      ToHex(identity_.disk), identity_.boot_count, recovered->logs.size(),
                      segments_.size() + ready_.size(), recovered->scanned_bytes, recovered->torn_bytes));
}

Result<uint64_t> LogStoreImpl::RaiseBootCount() {
  const std::lock_guard writing(identity_mutex_);
  DiskIdentity next;
  {
    const std::lock_guard lock(mutex_);
    next = identity_;
  }
  ++next.boot_count;
  UNDERSTUDY_RETURN_IF_ERROR(WriteIdentity(next));
  const std::lock_guard lock(mutex_);
  identity_.boot_count = next.boot_count;  // only that: disk_id() is read without the lock
  return next.boot_count;
}

Status LogStoreImpl::Retire(const std::string& reason) {
  const std::lock_guard writing(identity_mutex_);
  DiskIdentity next;
  {
    const std::lock_guard lock(mutex_);
    if (!identity_.retired_reason.empty()) return Status::Ok();
    // In memory at once, whatever becomes of the file: nothing more is promised under this id.
    identity_.retired_reason = reason.empty() ? "no reason given" : reason;
    next = identity_;
  }
  LogError("store", dir_ + ": disk " + ToHex(next.disk) + " retires: " + reason);
  return WriteIdentity(next);
}

std::string LogStoreImpl::retired_reason() const {
  const std::lock_guard lock(mutex_);
  return identity_.retired_reason;
}

Result<std::unique_ptr<LogStore>> LogStore::Open(const std::string& dir, const LogStoreOptions& options,
                                                 FileSystem* files, Random* random, Clock* clock,
                                                 RecoveredState* recovered) {
  UNDERSTUDY_RETURN_IF_ERROR(CheckOptions(options));
  *recovered = {};
  auto store = std::make_unique<LogStoreImpl>(dir, options, files, random, clock);
  UNDERSTUDY_RETURN_IF_ERROR(store->Recover(recovered));
  if (options.background) store->StartBackground();
  return std::unique_ptr<LogStore>(std::move(store));
}

}  // namespace understudy

// Reading: from the tail cache, else whole extents from the journal.
#include <fmt/format.h>

#include <algorithm>

#include "log/env/logging.h"
#include "log/store/log_store_impl.h"

namespace understudy {
namespace {

constexpr int kReadTries = 4;  // a segment may be recycled between finding an extent in it and opening it

}  // namespace

// Whether `from` can be held here at all.
Status LogStoreImpl::CheckRange(const LogEpoch& of, Lsn from) const {
  const LogState* log = catalog_.FindLog(of.log);
  if (log != nullptr && from <= log->record.trim) {
    return {StatusCode::kTrimmed,
            fmt::format("log {} is trimmed up to LSN {}", of.log.value(), log->record.trim.value())};
  }
  const EpochState* epoch = catalog_.FindEpoch(of);
  const Lsn tail = epoch == nullptr ? Lsn(0) : epoch->record.tail;
  if (from <= tail) return Status::Ok();
  if (!identity_.retired_reason.empty()) {
    return {StatusCode::kDataUnknown, "this disk is retired and does not hold it: " + identity_.retired_reason};
  }
  return {StatusCode::kShort, fmt::format("log {} epoch {} is held up to LSN {}, not {}", of.log.value(),
                                          of.epoch.value(), tail.value(), from.value())};
}

std::optional<Result<std::string>> LogStoreImpl::TryReadCached(LogId log, Epoch epoch, Lsn from, Lsn to,
                                                               size_t bytes_max) {
  const LogEpoch of{log, epoch};
  std::vector<BatchRef> found;
  {
    const std::lock_guard lock(mutex_);
    if (const Status range = CheckRange(of, from); !range.ok()) return Result<std::string>(range);
    found = cache_.Find(of, from, to, bytes_max);
  }
  if (found.empty()) return std::nullopt;
  size_t bytes = 0;
  for (const BatchRef& batch : found) bytes += batch->size();
  std::string out;
  out.reserve(bytes);
  for (const BatchRef& batch : found) out += *batch;
  return Result<std::string>(std::move(out));
}

Result<std::string> LogStoreImpl::Read(LogId log, Epoch epoch, Lsn from, Lsn to, size_t bytes_max) {
  const LogEpoch of{log, epoch};
  Status status;
  for (int attempt = 0; attempt < kReadTries; ++attempt) {
    if (auto cached = TryReadCached(log, epoch, from, to, bytes_max)) return *std::move(cached);
    std::string out;
    status = ReadOnce(of, from, to, bytes_max, &out);
    if (status.code() == StatusCode::kDataUnknown) {
      (void)Retire("corruption met while reading: " + status.message());  // logged there; in memory it is retired
      if (!out.empty()) return out;                                       // what holds; the rest is asked for again
    }
    if (status.ok()) return out;
    if (status.code() != StatusCode::kUnavailable) return status;
  }
  return Status(StatusCode::kDataUnknown, "the index names places that are gone: " + status.message());
}

Status LogStoreImpl::ReadOnce(const LogEpoch& of, Lsn from, Lsn to, size_t bytes_max, std::string* out) {
  std::vector<Extent> extents;
  bool retired = false;
  {
    const std::lock_guard lock(mutex_);
    UNDERSTUDY_RETURN_IF_ERROR(CheckRange(of, from));
    to = std::min(to, catalog_.FindEpoch(of)->record.tail);
    retired = !identity_.retired_reason.empty();
  }
  UNDERSTUDY_RETURN_IF_ERROR(FindExtents(of, from, to, bytes_max, &extents));
  uint64_t expected = 0;
  for (const Extent& extent : extents) expected += extent.batch_bytes;
  out->reserve(std::min<uint64_t>(expected, bytes_max + options_.extent_bytes_max));
  Lsn next = from;
  SegmentRef segment;
  std::unique_ptr<RandomAccessFile> reader;
  for (const Extent& extent : extents) {
    if (segment == nullptr || segment->id() != extent.segment) {
      segment = FindSegment(extent.segment);
      reader.reset();
    }
    if (segment == nullptr) {
      if (!out->empty()) return Status::Ok();
      return {retired ? StatusCode::kDataUnknown : StatusCode::kUnavailable,
              fmt::format("segment {:016x} is gone", extent.segment)};
    }
    if (reader == nullptr) {
      auto opened = segment->OpenReader();
      if (opened.status().code() == StatusCode::kNotFound) {
        return {StatusCode::kDataUnknown, opened.status().message()};
      }
      if (!opened.ok()) return opened.status();
      reader = std::move(opened).value();
    }
    UNDERSTUDY_RETURN_IF_ERROR(ReadExtent(*segment, *reader, extent, of, to, bytes_max, &next, out));
    if (next <= extent.last || out->size() >= bytes_max) break;
  }
  if (!out->empty()) return Status::Ok();
  return {retired ? StatusCode::kDataUnknown : StatusCode::kShort,
          fmt::format("log {} epoch {}: LSN {} is not held here", of.log.value(), of.epoch.value(), from.value())};
}

Status LogStoreImpl::FindExtents(const LogEpoch& of, Lsn from, Lsn to, uint64_t bytes_max, std::vector<Extent>* found) {
  // Looked up first: what is not in memory now is in the index already, and stays there.
  std::vector<Extent> memory;
  {
    const std::lock_guard lock(mutex_);
    memory = catalog_.Overlapping(of, from, to);
  }
  Lsn cursor = from;
  uint64_t bytes = 0;
  const auto done = [&] { return cursor > to || bytes >= bytes_max; };
  const auto take = [&](const Extent& extent) {
    found->push_back(extent);
    cursor = extent.last + 1;
    bytes += extent.batch_bytes;
  };
  const auto take_memory = [&] {
    while (!done()) {
      const auto after = std::upper_bound(memory.begin(), memory.end(), cursor,
                                          [](Lsn lsn, const Extent& extent) { return lsn < extent.first; });
      if (after == memory.begin() || std::prev(after)->last < cursor) return;
      take(*std::prev(after));
    }
  };
  take_memory();
  if (done()) return Status::Ok();
  const Status visited = index_->Visit(of, cursor, [&](const Extent& extent) {
    take_memory();
    if (done() || extent.first > cursor) return false;
    if (extent.last >= cursor) take(extent);
    return !done();
  });
  take_memory();
  return visited;
}

SegmentRef LogStoreImpl::FindSegment(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto at = segments_.find(id);
  return at == segments_.end() ? nullptr : at->second;
}

std::optional<BatchIdentity> LogStoreImpl::TryFindBatch(LogId log, Epoch epoch, Lsn lsn) const {
  const std::lock_guard lock(mutex_);
  if (const auto cached = cache_.Identity({log, epoch}, lsn)) return cached;
  const EpochState* state = catalog_.FindEpoch({log, epoch});
  if (state != nullptr && state->record.last.first_lsn <= lsn && lsn <= state->record.last.last_lsn) {
    return state->record.last;
  }
  return std::nullopt;
}

Result<BatchIdentity> LogStoreImpl::FindBatch(LogId log, Epoch epoch, Lsn lsn) {
  if (const auto known = TryFindBatch(log, epoch, lsn)) return *known;
  const Result<std::string> read = Read(log, epoch, lsn, lsn, 1);
  if (!read.ok()) return read.status();
  const Result<BatchHeader> header = PeekBatch(*read);
  if (!header.ok()) return Status(StatusCode::kDataUnknown, header.status().message());
  return BatchIdentity{header->first_lsn, header->last_lsn(), header->crc};
}

uint64_t LogStoreImpl::LogBytes(LogId log) const {
  const std::lock_guard lock(mutex_);
  return catalog_.LogBytes(log);
}

StoreStats LogStoreImpl::Stats() const {
  const std::lock_guard lock(mutex_);
  StoreStats stats = counters_;
  stats.segments_live = static_cast<uint32_t>(segments_.size());
  stats.segments_ready = static_cast<uint32_t>(ready_.size());
  stats.journal_bytes = (segments_.size() + ready_.size() + dead_.size()) * options_.segment_bytes;
  stats.live_bytes = catalog_.TotalLiveBytes();
  stats.cache_bytes = cache_.bytes();
  stats.queue_bytes = queue_bytes_;
  stats.index_entries_memory = catalog_.extents_in_memory();
  stats.disk_full = disk_full_;
  stats.unsafe_no_fsync = options_.unsafe_no_fsync;
  return stats;
}

}  // namespace understudy

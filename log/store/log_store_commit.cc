// The append path: queue, commit groups, what happens when the disk is full or refuses.
#include <fmt/format.h>

#include <algorithm>

#include "log/env/logging.h"
#include "log/format/coding.h"
#include "log/store/log_store_impl.h"

namespace understudy {
namespace {

constexpr uint64_t kCopyBytesMax = 4096;  // smaller batches are copied beside their headers: cheaper than a vector
constexpr int64_t kRotationsRemembered = 4;
constexpr uint64_t kIndexLagMax = 8;  // times index_flush_bytes; the index being slower than that, appends wait

bool IsBatch(JournalKind kind) { return kind == JournalKind::kBatch || kind == JournalKind::kRelocated; }

// At the end of every segment, for seals and trims when nothing else fits any more.
uint64_t ControlBytes(uint64_t segment_bytes) { return std::min<uint64_t>(64u << 10, segment_bytes / 8); }

}  // namespace

uint64_t QueuedEntry::FramedBytes(const JournalEntry& entry) {
  return kEntryHeaderBytes + (entry.batch == nullptr ? 0 : entry.batch->size());
}

Status LogStoreImpl::Admit(const JournalEntry& entry) const {
  const std::lock_guard lock(mutex_);
  if (!dead_status_.ok()) return {StatusCode::kIoError, "the journal stopped: " + dead_status_.message()};
  if (!identity_.retired_reason.empty()) {
    return {StatusCode::kFailedPrecondition,
            "disk " + ToHex(identity_.disk) + " is retired: " + identity_.retired_reason};
  }
  const uint64_t framed = QueuedEntry::FramedBytes(entry);
  if (kSegmentHeaderBytes + kGroupHeaderBytes + framed > FreshLimit(entry.kind)) {
    return {StatusCode::kInvalidArgument, "the batch does not fit in a journal segment"};
  }
  if (queue_bytes_ + framed > options_.queue_bytes_max) {
    return {StatusCode::kResourceExhausted, "too many bytes wait for the journal"};
  }
  if (catalog_.FindLog(entry.log) == nullptr && catalog_.logs().size() + queue_.size() >= options_.logs_max) {
    return {StatusCode::kResourceExhausted, "this disk knows of as many logs as it may"};
  }
  const bool control = entry.kind == JournalKind::kSeal || entry.kind == JournalKind::kTrim;
  if (!control && unindexed_bytes_ > kIndexLagMax * options_.index_flush_bytes) {
    return {StatusCode::kResourceExhausted, "the journal's index is too far behind"};
  }
  const bool fits = offset_ + queue_bytes_ + kGroupHeaderBytes + framed <= Limit(entry.kind);
  if (disk_full_ && !fits && NoSegmentFor(entry.kind)) {
    return {StatusCode::kResourceExhausted, "disk full: " + dir_ + " has no space for the journal"};
  }
  return Status::Ok();
}

uint64_t LogStoreImpl::Enqueue(JournalEntry entry) {
  QueuedEntry queued{0, std::move(entry)};
  const bool has_batch = queued.entry.kind == JournalKind::kBatch || queued.entry.kind == JournalKind::kFetched;
  UNDERSTUDY_CHECK(has_batch == (queued.entry.batch != nullptr) && queued.entry.kind != JournalKind::kRelocated);
  const std::lock_guard lock(mutex_);
  if (has_batch) {
    const Result<BatchHeader> header = PeekBatch(*queued.entry.batch);
    UNDERSTUDY_CHECK(header.ok() && header->log == queued.entry.log && header->epoch == queued.entry.epoch);
    cache_.Add({queued.entry.log, queued.entry.epoch}, *header, queued.entry.batch);
  }
  queue_bytes_ += queued.framed_bytes();
  queued.seq = ++last_seq_;
  queue_.push_back(std::move(queued));
  return last_seq_;
}

bool LogStoreImpl::HasPending() const {
  const std::lock_guard lock(mutex_);
  if (committing_) return false;
  if (!dead_status_.ok()) return !death_reported_;
  return !queue_.empty() || !relocations_.empty();
}

uint64_t LogStoreImpl::FreshLimit(JournalKind kind) const {
  const bool control = kind == JournalKind::kSeal || kind == JournalKind::kTrim;
  return options_.segment_bytes - (control ? 0 : ControlBytes(options_.segment_bytes));
}

uint64_t LogStoreImpl::Limit(JournalKind kind) const {
  if (kind == JournalKind::kSeal || kind == JournalKind::kTrim) return active_end_;
  if (IsBatch(kind) && active_is_reserve_) return 0;
  const uint64_t control = ControlBytes(options_.segment_bytes);
  return active_end_ > control ? active_end_ - control : 0;
}

bool LogStoreImpl::NoSegmentFor(JournalKind kind) const {
  return ready_.empty() && (IsBatch(kind) || !segment_files_->has_reserve());
}

LogStoreImpl::Room LogStoreImpl::RoomFor(const QueuedEntry& entry, uint64_t group_bytes) const {
  const JournalKind kind = entry.entry.kind;
  if (offset_ + group_bytes + entry.framed_bytes() <= Limit(kind)) return Room::kFits;
  if (disk_full_ && NoSegmentFor(kind)) return Room::kFull;
  return Room::kRotate;
}

void LogStoreImpl::FailBatches(std::vector<GroupOutcome::Failed>* failed) {
  std::deque<QueuedEntry> kept;
  for (QueuedEntry& queued : queue_) {
    if (queued.entry.kind != JournalKind::kBatch) {
      kept.push_back(std::move(queued));
      continue;
    }
    cache_.Drop({queued.entry.log, queued.entry.epoch});
    queue_bytes_ -= queued.framed_bytes();
    failed->push_back({queued.seq, {StatusCode::kResourceExhausted, "disk full: " + dir_}});
  }
  queue_ = std::move(kept);
}

// Moves entries from the front of `from` into the group as far as they fit. False: nothing behind them may be taken.
bool LogStoreImpl::Take(std::deque<QueuedEntry>* from, JournalGroup* group) {
  while (!from->empty()) {
    QueuedEntry& next = from->front();
    const uint64_t framed = next.framed_bytes();
    if (!group->entries.empty() && group->framed_bytes + framed > options_.group_bytes_max) return false;
    Room room = Room::kFits;
    if (group->rotate) {
      const bool fits = kSegmentHeaderBytes + group->framed_bytes + framed <= FreshLimit(next.entry.kind);
      if (!fits || IsBatch(next.entry.kind) == group->may_use_reserve) return false;
    } else {
      room = RoomFor(next, group->framed_bytes);
    }
    if (room == Room::kFull && next.seq == 0) {  // copying forward is given up for now
      relocations_pending_ -= relocations_.size();
      relocation_dropped_ = true;
      relocations_.clear();
      return false;
    }
    if (room == Room::kFull) {
      if (next.entry.kind == JournalKind::kBatch) {
        FailBatches(&group->failed);
        continue;
      }
      if (next.entry.batch != nullptr) cache_.Drop({next.entry.log, next.entry.epoch});
      queue_bytes_ -= framed;
      group->failed.push_back({next.seq, {StatusCode::kResourceExhausted, "disk full, reserve included: " + dir_}});
      from->pop_front();
      continue;
    }
    if (room == Room::kRotate) {
      if (!group->entries.empty()) return false;
      group->rotate = true;
      group->may_use_reserve = !IsBatch(next.entry.kind);
    }
    group->framed_bytes += framed;
    group->entries.push_back(std::move(next));
    from->pop_front();
  }
  return true;
}

std::unique_ptr<CommitGroup> LogStoreImpl::TakeGroup() {
  const std::lock_guard lock(mutex_);
  if (committing_ || (!dead_status_.ok() && death_reported_)) return nullptr;
  auto group = std::make_unique<JournalGroup>();
  if (dead_status_.ok()) {
    group->framed_bytes = kGroupHeaderBytes;
    if (Take(&queue_, group.get())) (void)Take(&relocations_, group.get());
    if (group->entries.empty() && group->failed.empty()) return nullptr;
    group->number = next_group_;
    nonce_state_ += 0x9E3779B97F4A7C15ULL;
    group->nonce = static_cast<uint32_t>((nonce_state_ ^ (nonce_state_ >> 29)) >> 16);
    if (!group->rotate) {
      group->segment = active_;
      group->offset = offset_;
    }
  }
  committing_ = true;
  return group;
}

Status LogStoreImpl::ChooseSegment(JournalGroup* group) {
  const auto take = [&] {
    const std::lock_guard lock(mutex_);
    if (ready_.empty()) return false;
    group->segment = ready_.front();
    group->offset = kSegmentHeaderBytes;
    ready_.pop_front();
    return true;
  };
  if (take()) return Status::Ok();
  const auto hand_out = [this](SegmentRef made) {
    const std::lock_guard lock(mutex_);
    ready_.push_back(std::move(made));
  };
  // Written faster than segments are made ahead: one without zeros will do.
  Status made = segment_files_->Create(false, hand_out);
  if (made.code() == StatusCode::kResourceExhausted && group->may_use_reserve && segment_files_->has_reserve()) {
    group->used_reserve = true;
    made = segment_files_->AdoptReserve(hand_out);
  }
  if (made.ok()) UNDERSTUDY_CHECK(take());
  return made;
}

Status LogStoreImpl::WriteGroup(JournalGroup* group) {
  const uint64_t salt = group->segment->header.salt;
  uint64_t copied = kGroupHeaderBytes;
  for (const QueuedEntry& queued : group->entries) {
    const uint64_t batch = queued.entry.batch == nullptr ? 0 : queued.entry.batch->size();
    copied += kEntryHeaderBytes + (batch <= kCopyBytesMax ? batch : 0);
  }
  std::string headers(copied, '\0');  // never reallocated: the pieces point into it
  std::vector<std::string_view> pieces;
  EncodeGroupHeader({group->segment->id(), group->number, group->nonce, static_cast<uint32_t>(group->entries.size()),
                     group->framed_bytes},
                    salt, headers.data());
  size_t at = kGroupHeaderBytes;
  size_t piece_begin = 0;
  uint64_t place = group->offset + kGroupHeaderBytes;
  group->entry_offsets.reserve(group->entries.size());
  for (const QueuedEntry& queued : group->entries) {
    const JournalEntry& entry = queued.entry;
    EntryHeader header;
    header.group = group->number;
    header.nonce = group->nonce;
    header.kind = entry.kind;
    header.log = entry.log;
    header.epoch = entry.epoch;
    header.lsn = entry.kind == JournalKind::kTrim ? entry.lsn : entry.epoch_first_lsn;
    header.attempt = entry.attempt;
    if (entry.batch != nullptr) {
      header.payload_bytes = static_cast<uint32_t>(entry.batch->size());
      header.payload_crc = Load32(entry.batch->data() + 4);
    }
    EncodeEntryHeader(header, salt, headers.data() + at);
    at += kEntryHeaderBytes;
    group->entry_offsets.push_back(place);
    place += queued.framed_bytes();
    if (entry.batch == nullptr) continue;
    if (entry.batch->size() <= kCopyBytesMax) {
      std::memcpy(headers.data() + at, entry.batch->data(), entry.batch->size());
      at += entry.batch->size();
    } else {
      pieces.push_back(std::string_view(headers).substr(piece_begin, at - piece_begin));
      pieces.push_back(*entry.batch);
      piece_begin = at;
    }
  }
  if (at > piece_begin) pieces.push_back(std::string_view(headers).substr(piece_begin, at - piece_begin));
  UNDERSTUDY_CHECK(at == headers.size() && place == group->offset + group->framed_bytes);
  UNDERSTUDY_RETURN_IF_ERROR(group->segment->writer->WriteAt(group->offset, pieces));
  if (options_.unsafe_no_fsync) return Status::Ok();
  const Status synced = group->segment->writer->Sync();
  // Whatever the errno, a failed sync is never "no space, try again".
  return synced.ok() ? synced : Status(StatusCode::kIoError, synced.message());
}

void LogStoreImpl::WriteAndSync(CommitGroup* taken) {
  auto* group = static_cast<JournalGroup*>(taken);
  if (group->entries.empty()) return;
  if (group->rotate) group->written = ChooseSegment(group);
  if (group->written.ok()) group->written = group->segment->OpenWriter();
  if (group->written.ok()) group->written = WriteGroup(group);
}

void LogStoreImpl::Die(const Status& why) {
  if (!dead_status_.ok()) return;
  dead_status_ = why;
  LogError("store", dir_ + ": the journal stops for good, this server must be restarted: " + why.ToString());
}

void LogStoreImpl::ApplyGroup(const JournalGroup& group) {
  for (size_t i = 0; i < group.entries.size(); ++i) {
    const JournalEntry& entry = group.entries[i].entry;
    PlacedEntry placed;
    placed.header.kind = entry.kind;
    placed.header.log = entry.log;
    placed.header.epoch = entry.epoch;
    placed.header.lsn = entry.kind == JournalKind::kTrim ? entry.lsn : entry.epoch_first_lsn;
    placed.header.attempt = entry.attempt;
    placed.segment = group.segment->id();
    placed.offset = group.entry_offsets[i];
    placed.end = placed.offset + group.entries[i].framed_bytes();
    if (entry.batch != nullptr) placed.batch = *PeekBatch(*entry.batch);
    catalog_.Apply(placed);
    if (entry.kind == JournalKind::kTrim) cache_.Trim(entry.log, entry.lsn);
    if (entry.kind == JournalKind::kRelocated) {
      --relocations_pending_;
      counters_.relocated_bytes += entry.batch->size();
      continue;
    }
    if (entry.batch != nullptr) cache_.Durable({entry.log, entry.epoch}, placed.batch.last_lsn());
    queue_bytes_ -= group.entries[i].framed_bytes();
  }
  offset_ = group.offset + group.framed_bytes;
  ++next_group_;
  unindexed_bytes_ += group.framed_bytes;
  ++counters_.groups;
  counters_.entries += group.entries.size();
  if (background_ != nullptr && unindexed_bytes_ >= options_.index_flush_bytes) background_->Wake();
}

// The disk is full: batches fail, all that were queued since included; the rest is tried again on reserved space.
void LogStoreImpl::PutBack(JournalGroup* group, GroupOutcome* outcome) {
  DiskIsFull(group->written.message());
  // Segments without their blocks are no space.
  std::erase_if(ready_, [this](SegmentRef& segment) {
    const Result<uint64_t> size = segment->FileBytes();
    if (size.ok() && *size >= segment->header.bytes) return false;
    dead_.push_back(std::move(segment));
    return true;
  });
  for (auto queued = group->entries.rbegin(); queued != group->entries.rend(); ++queued) {
    if (queued->seq != 0) {
      queue_.push_front(std::move(*queued));
    } else {
      --relocations_pending_;
      relocation_dropped_ = true;
    }
  }
  FailBatches(&outcome->failed);
}

GroupOutcome LogStoreImpl::FinishGroup(std::unique_ptr<CommitGroup> taken) {
  auto* group = static_cast<JournalGroup*>(taken.get());
  GroupOutcome outcome;
  const std::lock_guard lock(mutex_);
  committing_ = false;
  outcome.failed = std::move(group->failed);
  const bool full = group->written.code() == StatusCode::kResourceExhausted;
  if (!group->written.ok() && !full) Die(group->written);
  if (!dead_status_.ok()) {
    death_reported_ = true;
    outcome.fatal = dead_status_;
    outcome.durable_through = durable_through_;
    return outcome;
  }
  if (group->rotate && group->segment != nullptr) {
    active_->writer.reset();
    active_ = group->segment;
    segments_[active_->id()] = active_;
    offset_ = kSegmentHeaderBytes;
    active_end_ = active_->header.bytes;
    active_is_reserve_ = group->used_reserve;
    rotations_.push_back(clock_->Now());
    if (rotations_.size() > kRotationsRemembered) rotations_.erase(rotations_.begin());
    if (background_ != nullptr) background_->Wake();
  }
  if (full) {
    // It ran full in the middle of a segment without zeros: nothing more goes there.
    if (group->segment != nullptr) active_end_ = offset_;
    PutBack(group, &outcome);
  } else if (!group->entries.empty()) {
    ApplyGroup(*group);
  }
  durable_through_ = queue_.empty() ? last_seq_ : queue_.front().seq - 1;
  outcome.durable_through = durable_through_;
  return outcome;
}

}  // namespace understudy

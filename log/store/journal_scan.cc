#include "log/store/journal_scan.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/format/coding.h"

namespace understudy {
namespace {

std::string Place(const Segment& segment, uint64_t offset) {
  return fmt::format("segment {:016x} offset {}", segment.id(), offset);
}

// One segment's bytes from `base` on.
struct View {
  const Segment* segment;
  uint64_t base;
  std::string_view bytes;

  std::string_view At(uint64_t offset) const { return bytes.substr(std::min<uint64_t>(offset - base, bytes.size())); }
};

struct ParsedGroup {
  std::optional<GroupHeader> header;
  std::vector<PlacedEntry> entries;  // those that hold
  bool whole = false;
};

ParsedGroup ParseGroup(const View& view, uint64_t offset) {
  ParsedGroup group;
  group.header = DecodeGroupHeader(view.At(offset), view.segment->header);
  if (!group.header) return group;
  const std::string_view frame = view.At(offset).substr(0, group.header->length);
  uint64_t at = kGroupHeaderBytes;
  bool intact = frame.size() == group.header->length;
  for (uint32_t i = 0; i < group.header->entries; ++i) {
    PlacedEntry entry;
    const std::string_view rest = frame.substr(std::min<uint64_t>(at, frame.size()));
    const std::optional<EntryHeader> header = DecodeEntryHeader(rest, view.segment->header);
    if (!header || header->group != group.header->number || header->nonce != group.header->nonce) {
      intact = false;
      break;  // its length is unknown, so is the place of the next
    }
    entry.header = *header;
    entry.segment = view.segment->id();
    entry.offset = offset + at;
    const std::string_view payload = rest.substr(kEntryHeaderBytes, header->payload_bytes);
    at += kEntryHeaderBytes + header->payload_bytes;
    entry.end = offset + at;
    if (header->has_batch()) {
      if (!PayloadMatches(*header, payload)) {
        intact = false;
        continue;
      }
      entry.batch = *PeekBatch(payload);
    }
    group.entries.push_back(entry);
  }
  group.whole = intact && at == group.header->length;
  return group;
}

// The place of the next valid header behind `offset` of a group with a number above `number`; 0: none.
uint64_t FindLaterGroup(const View& view, uint64_t offset, uint64_t number) {
  size_t at = offset - view.base;
  while ((at = view.bytes.find(std::string_view(kGroupMagic, 4), at)) != std::string_view::npos) {
    const auto header = DecodeGroupHeader(view.bytes.substr(at), view.segment->header);
    if (header && header->number > number) return view.base + at;
    ++at;
  }
  return 0;
}

class Scanner {
 public:
  Scanner(const JournalPosition& from, const std::function<void(const PlacedEntry&)>& apply) : apply_(apply) {
    result_.end = from;
  }

  Status Scan(const Segment& segment, uint64_t start) {
    const auto reader = segment.OpenReader();
    if (!reader.ok()) return reader.status();
    // Segments are used in the order of their ids. Behind the last group, one segment is searched for groups whose
    // first one is damaged; of those after it a look at the place of the first group tells that they are unused.
    if (start == kSegmentHeaderBytes && unused_seen_) {
      std::string first(kGroupHeaderBytes, '\0');
      const Result<size_t> got = (*reader)->ReadAt(start, first.size(), first.data());
      if (!got.ok()) return got.status();
      if (!DecodeGroupHeader(std::string_view(first).substr(0, *got), segment.header)) return Status::Ok();
    }
    const uint64_t groups_before = groups_;
    const Result<uint64_t> size = (*reader)->Size();
    if (!size.ok()) return size.status();
    std::string bytes(*size > start ? *size - start : 0, '\0');
    const Result<size_t> got = (*reader)->ReadAt(start, bytes.size(), bytes.data());
    if (!got.ok()) return got.status();
    ScanView({&segment, start, std::string_view(bytes).substr(0, *got)});
    unused_seen_ = start == kSegmentHeaderBytes && groups_ == groups_before;
    return Status::Ok();
  }

  ScanResult Finish() {
    result_.torn_bytes = stopped_torn_;
    return std::move(result_);
  }

 private:
  void ScanView(const View& view) {
    uint64_t at = view.base;
    while (true) {
      const ParsedGroup group = ParseGroup(view, at);
      const uint64_t expected = result_.end.next_group;
      if (group.whole && group.header->number == expected) {
        Take(view, at, group);
        at = result_.end.offset;
        continue;
      }
      if (group.whole && group.header->number > expected) {
        // Groups are missing before a segment's first one: what stopped the scan of the segment before it was damage.
        Damage(stopped_at_.empty() ? Place(*view.segment, at) : stopped_at_, expected, group.header->number);
        continue;
      }
      const uint64_t later = FindLaterGroup(view, at + 1, expected);
      if (later != 0) {
        if (group.header && group.header->number == expected) {
          for (const PlacedEntry& entry : group.entries) apply_(entry);
        }
        Damage(Place(*view.segment, at), expected, DecodeGroupHeader(view.At(later), view.segment->header)->number);
        at = later;
        continue;
      }
      if (group.header && group.header->number > expected) {
        // A later group, itself damaged, with nothing behind it: it may be torn, but those before it are gone.
        Damage(stopped_at_.empty() ? Place(*view.segment, at) : stopped_at_, expected, group.header->number);
      }
      const bool remains = group.header && group.header->number == result_.end.next_group;
      Stop(view, at, remains ? std::min<uint64_t>(group.header->length, view.At(at).size()) : 0);
      return;
    }
  }

  void Take(const View& view, uint64_t at, const ParsedGroup& group) {
    for (const PlacedEntry& entry : group.entries) apply_(entry);
    result_.end = {view.segment->id(), at + group.header->length, group.header->number + 1};
    result_.scanned_bytes += group.header->length;
    stopped_at_.clear();
    stopped_torn_ = 0;
    ++groups_;
  }

  void Stop(const View& view, uint64_t at, uint64_t torn) {
    if (!stopped_at_.empty() && torn == 0) return;  // an empty segment behind the last group
    stopped_at_ = Place(*view.segment, at);
    stopped_torn_ = torn;
  }

  void Damage(const std::string& place, uint64_t first, uint64_t next) {
    result_.corruption.push_back(
        fmt::format("{}: damaged; journal groups {} to {} are incomplete or gone", place, first, next - 1));
    result_.end.next_group = next;
  }

  const std::function<void(const PlacedEntry&)>& apply_;
  ScanResult result_;
  std::string stopped_at_;  // where the expected group did not follow
  uint64_t stopped_torn_ = 0;
  uint64_t groups_ = 0;
  bool unused_seen_ = false;
};

}  // namespace

Result<ScanResult> ScanJournal(const std::vector<SegmentRef>& segments, const JournalPosition& from,
                               const std::function<void(const PlacedEntry&)>& apply) {
  Scanner scanner(from, apply);
  for (const SegmentRef& segment : segments) {
    if (segment->id() < from.segment) continue;
    const uint64_t start = segment->id() == from.segment ? from.offset : kSegmentHeaderBytes;
    UNDERSTUDY_RETURN_IF_ERROR(scanner.Scan(*segment, start));
  }
  return scanner.Finish();
}

Status ReadExtent(const Segment& segment, const RandomAccessFile& reader, const Extent& extent, const LogEpoch& of,
                  Lsn to, size_t bytes_max, Lsn* next, std::string* out) {
  std::string bytes(extent.end - extent.offset, '\0');
  const Result<size_t> got = reader.ReadAt(extent.offset, bytes.size(), bytes.data());
  if (!got.ok()) return Status(StatusCode::kDataUnknown, got.status().message());
  bytes.resize(*got);
  const auto damaged = [&](uint64_t at, const char* what) {
    return Status(StatusCode::kDataUnknown,
                  fmt::format("{} ({}): {}", Place(segment, extent.offset + at), segment.path, what));
  };
  Status damage;
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const uint64_t at = bytes.size() - rest.size();
    if (DecodeGroupHeader(rest, segment.header)) {
      rest.remove_prefix(kGroupHeaderBytes);
      continue;
    }
    const std::optional<EntryHeader> entry = DecodeEntryHeader(rest, segment.header);
    if (!entry) return damaged(at, "neither a group nor an entry");
    if (rest.size() < kEntryHeaderBytes + entry->payload_bytes) return damaged(at, "entry past the extent's end");
    const std::string_view payload = rest.substr(kEntryHeaderBytes, entry->payload_bytes);
    rest.remove_prefix(kEntryHeaderBytes + entry->payload_bytes);
    if (!entry->has_batch() || entry->log != of.log || entry->epoch != of.epoch) continue;
    const Result<BatchHeader> batch = PeekBatch(payload);
    if (batch.ok() && batch->last_lsn() < *next) continue;
    if (!PayloadMatches(*entry, payload)) {
      if (damage.ok()) damage = damaged(at, "a batch whose checksum does not hold");
      continue;  // where it stood in the log shows at the next one that holds
    }
    if (batch->first_lsn > *next) return damage.ok() ? damaged(at, "a batch is missing before this one") : damage;
    if (batch->first_lsn > to || (!out->empty() && out->size() + payload.size() > bytes_max)) return Status::Ok();
    out->append(payload);
    *next = batch->last_lsn() + 1;
  }
  return *next <= std::min(to, extent.last) ? damage : Status::Ok();
}

}  // namespace understudy

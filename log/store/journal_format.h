// The bytes of the journal: segment, group and entry headers. docs/formats.md has the grammar and a worked example.
// Every frame carries what tells it from the remains of an earlier life of its segment: the checksums are salted with
// a number drawn anew each time a segment is prepared, and entries repeat their group's number and nonce.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "log/store/log_store.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Groups begin here, so that writing them never touches the header's sectors. The header stands twice, at 0 and 2048.
inline constexpr uint64_t kSegmentHeaderBytes = 4096;
inline constexpr size_t kGroupHeaderBytes = 40;
inline constexpr size_t kEntryHeaderBytes = 72;

struct SegmentHeader {
  uint64_t id = 0;    // 1, 2, 3, ...; a recycled file gets a new one
  uint64_t salt = 0;  // of every checksum in the segment
  DiskId disk;
  uint64_t bytes = 0;  // of the whole file once it is full
  bool operator==(const SegmentHeader&) const = default;
};
std::string EncodeSegmentHeader(const SegmentHeader& header);  // kSegmentHeaderBytes
// From either copy. kCorruption when neither holds; kUnsupported for a later version.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

struct GroupHeader {
  uint64_t segment = 0;
  uint64_t number = 0;   // 1, 2, 3, ... over the life of the journal, without gaps
  uint32_t nonce = 0;    // drawn for each writing, so that two tries at one number never mix
  uint32_t entries = 0;  // at least 1
  uint64_t length = 0;   // with this header
  bool operator==(const GroupHeader&) const = default;
};
inline constexpr char kGroupMagic[] = "USG1";
void EncodeGroupHeader(const GroupHeader& header, uint64_t salt, char* out);  // kGroupHeaderBytes
// Nothing when `bytes` does not begin with a group header of that segment.
std::optional<GroupHeader> DecodeGroupHeader(std::string_view bytes, const SegmentHeader& segment);

struct EntryHeader {
  uint64_t group = 0;
  uint32_t nonce = 0;
  JournalKind kind = JournalKind::kBatch;
  uint32_t payload_bytes = 0;
  uint32_t payload_crc = 0;  // a batch's own checksum; 0 without payload
  LogId log;
  Epoch epoch;
  Lsn lsn;  // batches: the epoch's first LSN; kTrim: the trim LSN
  AttemptId attempt;
  bool has_batch() const { return kind != JournalKind::kSeal && kind != JournalKind::kTrim; }
  bool operator==(const EntryHeader&) const = default;
};
inline constexpr char kEntryMagic[] = "USE1";
void EncodeEntryHeader(const EntryHeader& header, uint64_t salt, char* out);  // kEntryHeaderBytes
std::optional<EntryHeader> DecodeEntryHeader(std::string_view bytes, const SegmentHeader& segment);

// Whether `payload` is the batch that `entry` announces: checksums, log and epoch.
bool PayloadMatches(const EntryHeader& entry, std::string_view payload);

}  // namespace understudy

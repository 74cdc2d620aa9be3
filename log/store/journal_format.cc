#include "log/store/journal_format.h"

#include "log/format/batch.h"
#include "log/format/coding.h"
#include "log/format/crc32c.h"

namespace understudy {
namespace {

constexpr std::string_view kSegmentMagic = "USSEGMNT";
constexpr uint32_t kSegmentVersion = 1;
constexpr size_t kSegmentFieldsBytes = 56;
constexpr size_t kSecondCopyAt = 2048;

// The checksum of a frame: of the segment's salt and everything behind the checksum field.
uint32_t Salted(uint64_t salt, std::string_view frame) {
  char seed[8];
  Store64(seed, salt);
  return ExtendCrc32c(Crc32c(std::string_view(seed, sizeof seed)), frame.substr(8));
}

bool FrameHolds(std::string_view bytes, size_t size, const char* magic, uint64_t salt) {
  return bytes.size() >= size && bytes.substr(0, 4) == std::string_view(magic, 4) &&
         Load32(bytes.data() + 4) == Salted(salt, bytes.substr(0, size));
}

Result<SegmentHeader> DecodeCopy(std::string_view bytes) {
  if (bytes.size() < kSegmentFieldsBytes || bytes.substr(0, 8) != kSegmentMagic) {
    return Status(StatusCode::kCorruption, "segment: no header");
  }
  if (Load32(bytes.data() + 8) != Crc32c(bytes.substr(12, kSegmentFieldsBytes - 12))) {
    return Status(StatusCode::kCorruption, "segment: header checksum mismatch");
  }
  if (Load32(bytes.data() + 12) != kSegmentVersion) {
    return Status(StatusCode::kUnsupported, "segment: version " + std::to_string(Load32(bytes.data() + 12)));
  }
  SegmentHeader header;
  header.id = Load64(bytes.data() + 16);
  header.salt = Load64(bytes.data() + 24);
  header.disk = {Load64(bytes.data() + 32), Load64(bytes.data() + 40)};
  header.bytes = Load64(bytes.data() + 48);
  return header;
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string out(kSegmentHeaderBytes, '\0');
  char* at = out.data();
  out.replace(0, 8, kSegmentMagic);
  Store32(at + 12, kSegmentVersion);
  Store64(at + 16, header.id);
  Store64(at + 24, header.salt);
  Store64(at + 32, header.disk.hi);
  Store64(at + 40, header.disk.lo);
  Store64(at + 48, header.bytes);
  Store32(at + 8, Crc32c(std::string_view(out).substr(12, kSegmentFieldsBytes - 12)));
  out.replace(kSecondCopyAt, kSegmentFieldsBytes, out, 0, kSegmentFieldsBytes);
  return out;
}

Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  Result<SegmentHeader> first = DecodeCopy(bytes);
  if (first.ok() || bytes.size() < kSecondCopyAt) return first;
  Result<SegmentHeader> second = DecodeCopy(bytes.substr(kSecondCopyAt));
  return second.ok() ? second : first;
}

void EncodeGroupHeader(const GroupHeader& header, uint64_t salt, char* out) {
  std::memcpy(out, kGroupMagic, 4);
  Store64(out + 8, header.segment);
  Store64(out + 16, header.number);
  Store32(out + 24, header.nonce);
  Store32(out + 28, header.entries);
  Store64(out + 32, header.length);
  Store32(out + 4, Salted(salt, std::string_view(out, kGroupHeaderBytes)));
}

std::optional<GroupHeader> DecodeGroupHeader(std::string_view bytes, const SegmentHeader& segment) {
  if (!FrameHolds(bytes, kGroupHeaderBytes, kGroupMagic, segment.salt)) return std::nullopt;
  GroupHeader header;
  header.segment = Load64(bytes.data() + 8);
  header.number = Load64(bytes.data() + 16);
  header.nonce = Load32(bytes.data() + 24);
  header.entries = Load32(bytes.data() + 28);
  header.length = Load64(bytes.data() + 32);
  if (header.segment != segment.id || header.entries == 0 || header.length < kGroupHeaderBytes) return std::nullopt;
  return header;
}

void EncodeEntryHeader(const EntryHeader& header, uint64_t salt, char* out) {
  std::memcpy(out, kEntryMagic, 4);
  Store64(out + 8, header.group);
  Store32(out + 16, header.nonce);
  Store32(out + 20, static_cast<uint32_t>(header.kind));
  Store32(out + 24, header.payload_bytes);
  Store32(out + 28, header.payload_crc);
  Store64(out + 32, header.log.value());
  Store64(out + 40, header.epoch.value());
  Store64(out + 48, header.lsn.value());
  Store64(out + 56, header.attempt.hi);
  Store64(out + 64, header.attempt.lo);
  Store32(out + 4, Salted(salt, std::string_view(out, kEntryHeaderBytes)));
}

std::optional<EntryHeader> DecodeEntryHeader(std::string_view bytes, const SegmentHeader& segment) {
  if (!FrameHolds(bytes, kEntryHeaderBytes, kEntryMagic, segment.salt)) return std::nullopt;
  EntryHeader header;
  header.group = Load64(bytes.data() + 8);
  header.nonce = Load32(bytes.data() + 16);
  const uint32_t kind = Load32(bytes.data() + 20);
  header.kind = static_cast<JournalKind>(kind);
  header.payload_bytes = Load32(bytes.data() + 24);
  header.payload_crc = Load32(bytes.data() + 28);
  header.log = LogId(Load64(bytes.data() + 32));
  header.epoch = Epoch(Load64(bytes.data() + 40));
  header.lsn = Lsn(Load64(bytes.data() + 48));
  header.attempt = {Load64(bytes.data() + 56), Load64(bytes.data() + 64)};
  if (kind < 1 || kind > static_cast<uint32_t>(JournalKind::kRelocated)) return std::nullopt;
  if (header.payload_bytes > kBatchBytesMax || header.has_batch() != (header.payload_bytes > 0)) return std::nullopt;
  return header;
}

bool PayloadMatches(const EntryHeader& entry, std::string_view payload) {
  const Result<BatchHeader> batch = PeekBatch(payload);
  return batch.ok() && batch->length == payload.size() && batch->log == entry.log && batch->epoch == entry.epoch &&
         batch->crc == entry.payload_crc && Crc32c(payload.substr(8)) == batch->crc;
}

}  // namespace understudy

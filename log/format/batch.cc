#include "log/format/batch.h"

#include <string>

#include "log/format/coding.h"
#include "log/format/crc32c.h"
#include "understudy/check.h"

namespace understudy {
namespace {

constexpr uint32_t kMagic = 0x31425355;  // "USB1"

Status Corrupt(const char* what) { return {StatusCode::kCorruption, std::string("batch: ") + what}; }

void StampHeader(std::string* batch, uint32_t count, LogId log, Epoch epoch, Lsn first_lsn) {
  char* at = batch->data();
  Store32(at, kMagic);
  Store32(at + 8, static_cast<uint32_t>(batch->size()));
  Store32(at + 12, count);
  Store64(at + 16, log.value());
  Store64(at + 24, epoch.value());
  Store64(at + 32, first_lsn.value());
  Store64(at + 40, 0);
  Store32(at + 4, Crc32c(std::string_view(*batch).substr(8)));
}

}  // namespace

void BatchBuilder::Clear() {
  buffer_.assign(kBatchHeaderBytes, '\0');
  count_ = 0;
}

void BatchBuilder::Add(std::string_view payload, uint64_t key) {
  UNDERSTUDY_CHECK(payload.size() <= kRecordBytesMax);
  char header[kRecordHeaderBytes];
  Store32(header, static_cast<uint32_t>(payload.size()));
  Store64(header + 4, key);
  buffer_.append(header, sizeof header);
  buffer_.append(payload);
  ++count_;
}

std::string BatchBuilder::Finish(LogId log, Epoch epoch, Lsn first_lsn) {
  UNDERSTUDY_CHECK(count_ > 0 && buffer_.size() <= kBatchBytesMax);
  StampHeader(&buffer_, count_, log, epoch, first_lsn);
  std::string done = std::move(buffer_);
  Clear();
  return done;
}

std::string RestampBatch(std::string_view batch, Epoch epoch) {
  const Result<BatchHeader> header = PeekBatch(batch);
  UNDERSTUDY_CHECK(header.ok() && header->length == batch.size());
  std::string copy(batch);
  StampHeader(&copy, header->count, header->log, epoch, header->first_lsn);
  return copy;
}

Result<BatchHeader> PeekBatch(std::string_view bytes) {
  if (bytes.size() < kBatchHeaderBytes) return Status(StatusCode::kShort, "batch: header incomplete");
  const char* at = bytes.data();
  if (Load32(at) != kMagic) return Corrupt("bad magic");
  BatchHeader header;
  header.crc = Load32(at + 4);
  header.length = Load32(at + 8);
  header.count = Load32(at + 12);
  header.log = LogId(Load64(at + 16));
  header.epoch = Epoch(Load64(at + 24));
  header.first_lsn = Lsn(Load64(at + 32));
  if (header.count == 0 || header.count > kBatchRecordsMax) return Corrupt("record count out of bounds");
  if (header.length > kBatchBytesMax ||
      header.length < kBatchHeaderBytes + static_cast<uint64_t>(header.count) * kRecordHeaderBytes) {
    return Corrupt("length out of bounds");
  }
  if (header.epoch.value() == 0 || header.first_lsn.value() == 0 ||
      header.first_lsn.value() > UINT64_MAX - header.count) {
    return Corrupt("epoch or first LSN out of bounds");
  }
  if (Load64(at + 40) != 0) return Corrupt("unknown flags");
  if (bytes.size() < header.length) return Status(StatusCode::kShort, "batch: body incomplete");
  return header;
}

Result<BatchHeader> VerifyBatch(std::string_view bytes) {
  Result<BatchHeader> header = PeekBatch(bytes);
  if (!header.ok()) return header;
  if (bytes.size() != header->length) return Corrupt("bytes after its end");
  if (Crc32c(bytes.substr(8)) != header->crc) return Corrupt("checksum mismatch");
  std::string_view rest = bytes.substr(kBatchHeaderBytes);
  for (uint32_t i = 0; i < header->count; ++i) {
    if (rest.size() < kRecordHeaderBytes) return Corrupt("record header past the end");
    const uint64_t size = kRecordHeaderBytes + static_cast<uint64_t>(Load32(rest.data()));
    if (size - kRecordHeaderBytes > kRecordBytesMax || rest.size() < size) return Corrupt("record past the end");
    rest.remove_prefix(size);
  }
  if (!rest.empty()) return Corrupt("bytes after the last record");
  return header;
}

BatchIterator::BatchIterator(std::string_view verified_batch)
    : rest_(verified_batch.substr(kBatchHeaderBytes)), next_lsn_(Load64(verified_batch.data() + 32)) {}

bool BatchIterator::Next(Record* record) {
  if (rest_.empty()) return false;
  const uint32_t size = Load32(rest_.data());
  record->lsn = next_lsn_;
  record->key = Load64(rest_.data() + 4);
  record->payload = rest_.substr(kRecordHeaderBytes, size);
  rest_.remove_prefix(kRecordHeaderBytes + size);
  next_lsn_ = next_lsn_ + 1;
  return true;
}

}  // namespace understudy

// A batch: consecutive records of one epoch in one checksummed frame; the unit of wire, disk and checksum.
// docs/formats.md has the grammar and a worked example. All integers little-endian.
//
//   offset  size  field
//        0     4  magic       "USB1"
//        4     4  crc32c      of bytes [8, length)
//        8     4  length      of the whole batch, header included
//       12     4  count       records, at least 1
//       16     8  log_id
//       24     8  epoch
//       32     8  first_lsn
//       40     4  flags       0; a reader refuses bits it does not know
//       44     4  reserved    0
//       48        records: { u32 payload_length, u64 key, payload } each
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "understudy/record.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

inline constexpr size_t kBatchHeaderBytes = 48;
inline constexpr size_t kRecordHeaderBytes = 12;
// One record of the largest size, or many small ones. Leaves room for the RPC around it under 16,384,000 bytes.
inline constexpr size_t kBatchBytesMax = kRecordBytesMax + (64u << 10);
inline constexpr uint32_t kBatchRecordsMax = 1u << 20;

// An encoded batch, shared by all that send, write or cache it, and never changed.
using BatchRef = std::shared_ptr<const std::string>;

struct BatchHeader {
  uint32_t crc = 0;
  uint32_t length = 0;
  uint32_t count = 0;
  LogId log;
  Epoch epoch;
  Lsn first_lsn;
  Lsn last_lsn() const { return first_lsn + (count - 1); }
};

// Gathers records; one thread at a time.
class BatchBuilder {
 public:
  BatchBuilder() { Clear(); }
  void Add(std::string_view payload, uint64_t key);
  // Makes room for `bytes` of batch at once, where the size to come is known.
  void Reserve(size_t bytes) { buffer_.reserve(bytes); }
  bool empty() const { return count_ == 0; }
  uint32_t count() const { return count_; }
  size_t bytes() const { return buffer_.size(); }
  // Stamps the header and hands the bytes over; the builder is empty again. At least one record.
  std::string Finish(LogId log, Epoch epoch, Lsn first_lsn);
  void Clear();

 private:
  std::string buffer_;
  uint32_t count_ = 0;
};

// The same records under another epoch: what a Move sends again at the same LSNs.
std::string RestampBatch(std::string_view batch, Epoch epoch);

// Checks magic, bounds and flags of the first batch in `bytes`; not the checksum. kShort: more bytes are needed
// (never asked of bytes that already cannot be a batch). kCorruption otherwise.
Result<BatchHeader> PeekBatch(std::string_view bytes);

// PeekBatch, and the checksum and the grammar of the records. `bytes` is exactly one batch.
Result<BatchHeader> VerifyBatch(std::string_view bytes);

// Walks the records of a verified batch.
class BatchIterator {
 public:
  explicit BatchIterator(std::string_view verified_batch);
  bool Next(Record* record);  // the payload points into the batch

 private:
  std::string_view rest_;
  Lsn next_lsn_;
};

}  // namespace understudy

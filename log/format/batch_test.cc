#include "log/format/batch.h"

#include <gtest/gtest.h>

#include "log/env/random.h"
#include "log/format/crc32c.h"

namespace understudy {
namespace {

std::string RandomBatch(Random* random) {
  BatchBuilder builder;
  const uint64_t count = 1 + random->Below(5);
  for (uint64_t i = 0; i < count; ++i) {
    std::string payload(random->Below(40), '\0');
    for (char& c : payload) c = static_cast<char>(random->Next64());
    builder.Add(payload, random->Next64());
  }
  return builder.Finish(LogId(random->Next64() | 1), Epoch(random->Below(100) + 1), Lsn(random->Below(1000) + 1));
}

TEST(BatchTest, CarriesItsRecords) {
  BatchBuilder builder;
  EXPECT_TRUE(builder.empty());
  builder.Add("one", 11);
  builder.Add("", 0);
  builder.Add(std::string(1000, 'x'), UINT64_MAX);
  EXPECT_EQ(builder.count(), 3u);
  EXPECT_EQ(builder.bytes(), kBatchHeaderBytes + 3 * kRecordHeaderBytes + 1003);
  const std::string batch = builder.Finish(LogId(5), Epoch(2), Lsn(100));
  EXPECT_TRUE(builder.empty());
  const Result<BatchHeader> header = VerifyBatch(batch);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->log, LogId(5));
  EXPECT_EQ(header->epoch, Epoch(2));
  EXPECT_EQ(header->first_lsn, Lsn(100));
  EXPECT_EQ(header->last_lsn(), Lsn(102));
  EXPECT_EQ(header->length, batch.size());
  BatchIterator it(batch);
  Record record;
  ASSERT_TRUE(it.Next(&record));
  EXPECT_EQ(record.lsn, Lsn(100));
  EXPECT_EQ(record.payload, "one");
  EXPECT_EQ(record.key, 11u);
  ASSERT_TRUE(it.Next(&record));
  EXPECT_EQ(record.payload, "");
  ASSERT_TRUE(it.Next(&record));
  EXPECT_EQ(record.lsn, Lsn(102));
  EXPECT_EQ(record.payload.size(), 1000u);
  EXPECT_EQ(record.key, UINT64_MAX);
  EXPECT_FALSE(it.Next(&record));
}

TEST(BatchTest, AnyFlippedBitIsFound) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const std::string batch = RandomBatch(&random);
    ASSERT_TRUE(VerifyBatch(batch).ok());
    for (size_t bit = 0; bit < batch.size() * 8; ++bit) {
      std::string flipped = batch;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      ASSERT_FALSE(VerifyBatch(flipped).ok()) << "bit " << bit;
    }
  }
}

TEST(BatchTest, AnyTruncationIsFoundAndAsksForMore) {
  SeededRandom random(3);
  const std::string batch = RandomBatch(&random);
  for (size_t size = 0; size < batch.size(); ++size) {
    const Status peeked = PeekBatch(std::string_view(batch).substr(0, size)).status();
    ASSERT_EQ(peeked.code(), StatusCode::kShort) << size;
    ASSERT_FALSE(VerifyBatch(std::string_view(batch).substr(0, size)).ok());
  }
  EXPECT_TRUE(PeekBatch(batch + "next").ok());
  EXPECT_EQ(VerifyBatch(batch + "x").status().code(), StatusCode::kCorruption);
}

TEST(BatchTest, RandomBytesAreNoBatch) {
  SeededRandom random(4);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random.Below(200), '\0');
    for (char& c : bytes) c = static_cast<char>(random.Next64());
    if (i % 2 == 0 && bytes.size() >= 4) bytes.replace(0, 4, "USB1");
    ASSERT_FALSE(VerifyBatch(bytes).ok());
  }
}

// A header that a hostile peer checksums correctly still has to keep to the bounds.
TEST(BatchTest, BoundsAreCheckedBeforeAnythingElse) {
  BatchBuilder builder;
  builder.Add("payload", 1);
  const std::string good = builder.Finish(LogId(1), Epoch(1), Lsn(1));
  const auto with = [&](size_t at, uint32_t value) {
    std::string bytes = good;
    for (int i = 0; i < 4; ++i) bytes[at + static_cast<size_t>(i)] = static_cast<char>(value >> (8 * i));
    const uint32_t crc = Crc32c(std::string_view(bytes).substr(8));
    for (int i = 0; i < 4; ++i) bytes[4 + static_cast<size_t>(i)] = static_cast<char>(crc >> (8 * i));
    return VerifyBatch(bytes).status().code();
  };
  EXPECT_EQ(with(12, 1), StatusCode::kOk) << "unchanged";
  EXPECT_EQ(with(12, 0), StatusCode::kCorruption) << "no records";
  EXPECT_EQ(with(12, 2), StatusCode::kCorruption) << "more records than bytes";
  EXPECT_EQ(with(12, UINT32_MAX), StatusCode::kCorruption);
  EXPECT_EQ(with(8, UINT32_MAX), StatusCode::kCorruption) << "length beyond the bound: not a reason to wait for more";
  EXPECT_EQ(with(8, 10), StatusCode::kCorruption);
  EXPECT_EQ(with(24, 0), StatusCode::kCorruption) << "epoch 0";
  EXPECT_EQ(with(32, 0), StatusCode::kCorruption) << "LSN 0";
  EXPECT_EQ(with(40, 1), StatusCode::kCorruption) << "an unknown flag";
  EXPECT_EQ(with(48, 6), StatusCode::kCorruption) << "bytes behind the last record";
  EXPECT_EQ(with(48, 8), StatusCode::kCorruption) << "a record past the end";
}

TEST(BatchTest, RestampedForAnotherEpochItIsTheSameOtherwise) {
  SeededRandom random(5);
  const std::string batch = RandomBatch(&random);
  const std::string moved = RestampBatch(batch, Epoch(777));
  const Result<BatchHeader> was = VerifyBatch(batch);
  const Result<BatchHeader> is = VerifyBatch(moved);
  ASSERT_TRUE(is.ok());
  EXPECT_EQ(is->epoch, Epoch(777));
  EXPECT_EQ(is->first_lsn, was->first_lsn);
  EXPECT_EQ(is->log, was->log);
  EXPECT_EQ(moved.substr(kBatchHeaderBytes), batch.substr(kBatchHeaderBytes));
}

}  // namespace
}  // namespace understudy

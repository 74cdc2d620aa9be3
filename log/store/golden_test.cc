// The bytes on disk must never change under an existing version: tests/golden has one batch and one journal segment.
// With UPDATE_GOLDEN set the files are written anew: only for a new version, under a new name.
#include <gtest/gtest.h>

#include <cstdlib>

#include "log/store/identity.h"
#include "log/store/journal_format.h"
#include "log/store/store_testing.h"

namespace understudy {
namespace {

constexpr char kBatchPath[] = "tests/golden/batch_v1.bin";
constexpr char kSegmentPath[] = "tests/golden/segment_v1.bin";
constexpr char kIdentityPath[] = "/data/IDENTITY";
constexpr char kIdentityV1[] =
    "understudy-disk 1\ndisk 0123456789abcdeffedcba9876543210\nboot 42\nretired \ncrc32c 536615148\n";
constexpr size_t kSlotBytes = 4096;
constexpr DiskId kDisk{0x0123456789abcdef, 0xfedcba9876543210};
constexpr AttemptId kOwner{0x1111111111111111, 0x2222222222222222};

// Two records: "hello" with key 42, and an empty one that orders against everything.
std::string GoldenBatch() {
  BatchBuilder builder;
  builder.Add("hello", 42);
  builder.Add("", 0);
  return builder.Finish(LogId(7), Epoch(3), Lsn(1000));
}

// Segment 1 with two groups: that batch and a seal of another log; then a trim.
std::string GoldenSegment() {
  const SegmentHeader segment{1, 0x5a5a5a5a5a5a5a5a, kDisk, 64u << 10};
  std::string out = EncodeSegmentHeader(segment);
  const auto append = [&](size_t bytes, auto encode) {
    out.resize(out.size() + bytes);
    encode(out.data() + out.size() - bytes);
  };
  const std::string batch = GoldenBatch();
  append(kGroupHeaderBytes, [&](char* at) {
    EncodeGroupHeader({1, 1, 0xabcd, 2, kGroupHeaderBytes + 2 * kEntryHeaderBytes + batch.size()}, segment.salt, at);
  });
  EntryHeader entry;
  entry.group = 1;
  entry.nonce = 0xabcd;
  entry.kind = JournalKind::kBatch;
  entry.payload_bytes = static_cast<uint32_t>(batch.size());
  entry.payload_crc = PeekBatch(batch)->crc;
  entry.log = LogId(7);
  entry.epoch = Epoch(3);
  entry.lsn = Lsn(1000);
  entry.attempt = kOwner;
  append(kEntryHeaderBytes, [&](char* at) { EncodeEntryHeader(entry, segment.salt, at); });
  out += batch;
  EntryHeader seal;
  seal.group = 1;
  seal.nonce = 0xabcd;
  seal.kind = JournalKind::kSeal;
  seal.log = LogId(8);
  seal.epoch = Epoch(5);
  append(kEntryHeaderBytes, [&](char* at) { EncodeEntryHeader(seal, segment.salt, at); });
  append(kGroupHeaderBytes, [&](char* at) {
    EncodeGroupHeader({1, 2, 0xef01, 1, kGroupHeaderBytes + kEntryHeaderBytes}, segment.salt, at);
  });
  EntryHeader trim;
  trim.group = 2;
  trim.nonce = 0xef01;
  trim.kind = JournalKind::kTrim;
  trim.log = LogId(7);
  trim.lsn = Lsn(999);
  append(kEntryHeaderBytes, [&](char* at) { EncodeEntryHeader(trim, segment.salt, at); });
  return out;
}

std::string Golden(const char* path, const std::string& now) {
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    UNDERSTUDY_CHECK(ReplaceFile(SystemFileSystem(), path, now).ok());
  }
  const Result<std::string> bytes = ReadWholeFile(SystemFileSystem(), path, 1u << 20);
  return bytes.ok() ? *bytes : bytes.status().ToString();
}

TEST(GoldenTest, ABatchIsWrittenAsEver) { EXPECT_EQ(GoldenBatch(), Golden(kBatchPath, GoldenBatch())); }

TEST(GoldenTest, ABatchIsReadAsEver) {
  const std::string bytes = Golden(kBatchPath, GoldenBatch());
  const Result<BatchHeader> header = VerifyBatch(bytes);
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->log, LogId(7));
  EXPECT_EQ(header->epoch, Epoch(3));
  EXPECT_EQ(header->first_lsn, Lsn(1000));
  BatchIterator it(bytes);
  Record record;
  ASSERT_TRUE(it.Next(&record));
  EXPECT_EQ(record.payload, "hello");
  EXPECT_EQ(record.key, 42u);
  ASSERT_TRUE(it.Next(&record));
  EXPECT_EQ(record.payload, "");
  EXPECT_FALSE(it.Next(&record));
}

TEST(GoldenTest, ASegmentIsWrittenAsEver) { EXPECT_EQ(GoldenSegment(), Golden(kSegmentPath, GoldenSegment())); }

// A store opens it.
TEST(GoldenTest, ASegmentIsReadAsEver) {
  TestStore t(1);
  ASSERT_TRUE(CreateDirs(&t.files, std::string(kDir) + "/journal").ok());
  ASSERT_TRUE(IdentityFile(&t.files, kIdentityPath).Write({kDisk, 41, ""}).ok());
  ASSERT_TRUE(
      ReplaceFile(&t.files, std::string(kDir) + "/journal/0000000000000001.seg", Golden(kSegmentPath, GoldenSegment()))
          .ok());
  ASSERT_TRUE(t.Open().ok());
  EXPECT_FALSE(t.recovered.retired) << t.recovered.retired_reason;
  EXPECT_EQ(t.recovered.disk, kDisk);
  EXPECT_EQ(t.recovered.boot_count, 42u);
  const RecoveredEpoch* epoch = t.Recovered(7, 3);
  ASSERT_NE(epoch, nullptr);
  EXPECT_EQ(epoch->tail, Lsn(1001));
  EXPECT_EQ(epoch->epoch_first_lsn, Lsn(1000));
  EXPECT_EQ(epoch->attempt, kOwner);
  EXPECT_EQ(t.RecoveredOf(7)->trim, Lsn(999));
  EXPECT_EQ(t.RecoveredOf(7)->sealed, Epoch(2));
  EXPECT_EQ(t.RecoveredOf(8)->sealed, Epoch(5));
  EXPECT_EQ(*t.Read(7, 3, 1000), GoldenBatch());
}

TEST(IdentityTest, IsReadAsWrittenAndNothingElse) {
  const DiskIdentity identity{kDisk, 41, "a reason with spaces"};
  const std::string text = EncodeIdentity(identity);
  ASSERT_TRUE(DecodeIdentity(text).ok());
  EXPECT_EQ(*DecodeIdentity(text), identity);
  EXPECT_EQ(*DecodeIdentity(EncodeIdentity({kDisk, 1, ""})), (DiskIdentity{kDisk, 1, ""}));
  EXPECT_EQ(DecodeIdentity(EncodeIdentity({kDisk, 1, "two\nlines"}))->retired_reason, "two lines");
  for (size_t size = 0; size + 1 < text.size(); ++size) EXPECT_FALSE(DecodeIdentity(text.substr(0, size)).ok()) << size;
  for (size_t at = 0; at < text.rfind("crc32c"); ++at) {
    std::string bad = text;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_FALSE(DecodeIdentity(bad).ok()) << at;
  }
  EXPECT_EQ(DecodeIdentity("understudy-disk 3\n").status().code(), StatusCode::kUnsupported);
}

// The file as it would be read by the next process.
Result<std::optional<DiskIdentity>> ReadAnew(FileSystem* files) { return IdentityFile(files, kIdentityPath).Read(); }

TEST(IdentityTest, TheFirstVersionIsReadAndGoesOnAsTheSecond) {
  FaultyFileSystem files(1);
  ASSERT_TRUE(files.CreateDir(kDir).ok());
  ASSERT_TRUE(ReplaceFile(&files, kIdentityPath, kIdentityV1).ok());
  IdentityFile file(&files, kIdentityPath);
  EXPECT_EQ(**file.Read(), (DiskIdentity{kDisk, 42, ""}));
  for (uint64_t boot = 43; boot < 47; ++boot) {
    ASSERT_TRUE(file.Write({kDisk, boot, ""}).ok());
    EXPECT_EQ(**ReadAnew(&files), (DiskIdentity{kDisk, boot, ""}));
    EXPECT_EQ(files.Content(kIdentityPath).size(), 2 * kSlotBytes);
  }
}

TEST(IdentityTest, ATornWritingLeavesTheOneBeforeIt) {
  int torn = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    FaultyFileSystem files(seed);
    ASSERT_TRUE(files.CreateDir(kDir).ok());
    IdentityFile file(&files, kIdentityPath);
    ASSERT_TRUE(file.Write({kDisk, 8, ""}).ok());
    ASSERT_TRUE(file.Write({kDisk, 9, ""}).ok());
    files.CrashAt(1 + seed % 2);  // the write, or its sync
    ASSERT_FALSE(file.Write({kDisk, 10, ""}).ok());
    files.PowerLoss();
    const auto found = ReadAnew(&files);
    ASSERT_TRUE(found.ok()) << "seed " << seed << ": " << found.status().ToString();
    EXPECT_TRUE((*found)->boot_count == 9 || (*found)->boot_count == 10) << "seed " << seed;
    torn += (*found)->boot_count == 9 ? 1 : 0;
  }
  EXPECT_GT(torn, 0);
}

TEST(IdentityTest, NoRottenSlotBringsARetiredDiskBack) {
  FaultyFileSystem files(1);
  ASSERT_TRUE(files.CreateDir(kDir).ok());
  IdentityFile file(&files, kIdentityPath);
  ASSERT_TRUE(file.Write({kDisk, 8, ""}).ok());
  ASSERT_TRUE(file.Write({kDisk, 8, "an old copy"}).ok());
  for (size_t slot = 0; slot < 2; ++slot) {
    files.FlipBit(kIdentityPath, slot * kSlotBytes + 20, 1);
    EXPECT_EQ((**ReadAnew(&files)).retired_reason, "an old copy") << "slot " << slot << " is rotten";
    files.FlipBit(kIdentityPath, slot * kSlotBytes + 20, 1);
  }
  files.FlipBit(kIdentityPath, 20, 1);
  files.FlipBit(kIdentityPath, kSlotBytes + 20, 1);
  EXPECT_EQ(ReadAnew(&files).status().code(), StatusCode::kCorruption);
}

TEST(IdentityTest, ALaterVersionInEitherSlotIsRefused) {
  FaultyFileSystem files(1);
  ASSERT_TRUE(files.CreateDir(kDir).ok());
  ASSERT_TRUE(IdentityFile(&files, kIdentityPath).Write({kDisk, 8, ""}).ok());
  auto raw = files.OpenForWrite(kIdentityPath, FileSystem::OpenMode::kExisting);
  ASSERT_TRUE(raw.ok() && (*raw)->WriteAt(kSlotBytes, "understudy-disk 3\n").ok());
  EXPECT_EQ(ReadAnew(&files).status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace understudy

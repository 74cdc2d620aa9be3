#include "log/store/checkpoint_files.h"

#include <gtest/gtest.h>

#include "log/env/faulty_file_system.h"
#include "log/format/crc32c.h"

namespace understudy {
namespace {

std::string Body(size_t bytes, uint64_t seed) {
  SeededRandom random(seed);
  std::string body(bytes, '\0');
  for (char& c : body) c = static_cast<char>(random.Next64());
  return body;
}

class CheckpointFilesTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    auto opened = OpenCheckpointFiles("/c", 4u << 20, &files_);
    UNDERSTUDY_CHECK(opened.ok());
    store_ = std::move(opened).value();
  }
  Status Write(uint64_t log, uint64_t id, uint64_t offset, std::string_view bytes, bool last) {
    return store_->WriteChunk(LogId(log), id, offset, bytes, Crc32c(bytes), last);
  }
  Status WriteAll(uint64_t log, uint64_t id, const std::string& body, size_t chunk) {
    uint64_t at = 0;
    do {
      const std::string_view part = std::string_view(body).substr(at, chunk);
      UNDERSTUDY_RETURN_IF_ERROR(Write(log, id, at, part, at + part.size() == body.size()));
      at += part.size();
    } while (at < body.size());
    return Status::Ok();
  }
  Result<std::string> ReadAll(uint64_t log, uint64_t id, size_t step) {
    std::string body;
    while (true) {
      const Result<CheckpointBytes> part = store_->Read(LogId(log), id, body.size(), step);
      if (!part.ok()) return part.status();
      EXPECT_EQ(part->crc32c, Crc32c(part->bytes));
      if (part->bytes.empty()) break;
      body += part->bytes;
    }
    return body;
  }

  FaultyFileSystem files_{1};
  std::unique_ptr<CheckpointFiles> store_;
};

TEST_F(CheckpointFilesTest, ReadsBackWhatWasWritten) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{256} << 10, (size_t{256} << 10) + 1, size_t{1'000'000}}) {
    const std::string body = Body(bytes, bytes);
    const uint64_t id = bytes + 1;
    ASSERT_TRUE(WriteAll(1, id, body, 100'000).ok());
    EXPECT_EQ(*ReadAll(1, id, 70'001), body);
    EXPECT_EQ(store_->Read(LogId(1), id, 0, 10)->total_bytes, bytes);
    EXPECT_EQ(store_->Read(LogId(1), id, bytes + 1, 10).status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(store_->List().size(), 5u);
  files_.PowerLoss();
  Open();
  EXPECT_EQ(store_->List().size(), 5u);
  EXPECT_EQ(*ReadAll(1, 1'000'001, 1u << 20), Body(1'000'000, 1'000'000));
}

TEST_F(CheckpointFilesTest, ChunksComeInOrderAndWhole) {
  EXPECT_EQ(Write(1, 1, 5, "x", false).code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Write(1, 1, 0, "hello ", false).ok());
  EXPECT_EQ(Write(1, 1, 7, "x", false).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->WriteChunk(LogId(1), 1, 6, "world", 123, true).code(), StatusCode::kCorruption);
  EXPECT_EQ(store_->Read(LogId(1), 1, 0, 10).status().code(), StatusCode::kNotFound) << "unfinished is not there";
  ASSERT_TRUE(Write(1, 1, 6, "world", true).ok());
  EXPECT_EQ(*ReadAll(1, 1, 100), "hello world");
  EXPECT_EQ(Write(1, 1, 0, "again", false).code(), StatusCode::kAlreadyExists);
}

TEST_F(CheckpointFilesTest, ASecondTryBeginsAnew) {
  ASSERT_TRUE(Write(1, 1, 0, Body(1000, 1), false).ok());
  ASSERT_TRUE(Write(1, 1, 0, "short", false).ok());
  ASSERT_TRUE(Write(1, 1, 5, "er", true).ok());
  EXPECT_EQ(*ReadAll(1, 1, 100), "shorter");
}

TEST_F(CheckpointFilesTest, Bounds) {
  EXPECT_EQ(Write(1, 1, 0, Body((4u << 20) + 1, 1), false).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(Write(1, 1, 0, Body(4u << 20, 1), false).ok());
  EXPECT_EQ(Write(1, 1, 4u << 20, "x", true).code(), StatusCode::kResourceExhausted) << "too long";
  EXPECT_EQ(Write(1, 1, UINT64_MAX, "x", true).code(), StatusCode::kResourceExhausted);
  for (uint64_t id = 10; id < 10 + kCheckpointWritersMax; ++id) ASSERT_TRUE(Write(1, id, 0, "x", false).ok());
  EXPECT_EQ(Write(1, 999, 0, "x", false).code(), StatusCode::kResourceExhausted) << "too many unfinished";
  ASSERT_TRUE(store_->Delete(LogId(1), 10).ok());
  EXPECT_TRUE(Write(1, 999, 0, "x", false).ok());
}

TEST_F(CheckpointFilesTest, DeletesAndForgets) {
  ASSERT_TRUE(WriteAll(1, 1, "abc", 10).ok());
  ASSERT_TRUE(WriteAll(2, 1, "def", 10).ok());
  ASSERT_TRUE(store_->Delete(LogId(1), 1).ok());
  ASSERT_TRUE(store_->Delete(LogId(1), 1).ok()) << "idempotent";
  EXPECT_EQ(store_->Read(LogId(1), 1, 0, 10).status().code(), StatusCode::kNotFound);
  ASSERT_EQ(store_->List().size(), 1u);
  EXPECT_EQ(store_->List()[0].log, LogId(2));
  Open();
  EXPECT_EQ(store_->List().size(), 1u);
}

TEST_F(CheckpointFilesTest, UnfinishedOnesAreListedUntilTheyEnd) {
  ASSERT_TRUE(Write(1, 7, 0, "one", false).ok());
  ASSERT_TRUE(Write(2, 8, 0, "two", false).ok());
  ASSERT_EQ(store_->ListUnfinished().size(), 2u);
  EXPECT_EQ(store_->ListUnfinished()[0].log, LogId(1));
  EXPECT_EQ(store_->ListUnfinished()[0].id, 7u);
  EXPECT_TRUE(store_->List().empty());
  ASSERT_TRUE(Write(2, 8, 3, "", true).ok());
  ASSERT_TRUE(store_->Delete(LogId(1), 7).ok());
  EXPECT_TRUE(store_->ListUnfinished().empty());
  EXPECT_EQ(store_->List().size(), 1u);
}

TEST_F(CheckpointFilesTest, RotIsFoundWhereverItIs) {
  const std::string body = Body(600'000, 1);
  ASSERT_TRUE(WriteAll(1, 1, body, 1u << 20).ok());
  const std::string path = "/c/" + files_.ListDir("/c")->at(0);
  const uint64_t size = *files_.FileSize(path);
  for (uint64_t byte = 0; byte < size; byte += byte < 64 || byte + 64 > size ? 5 : 30'011) {
    SCOPED_TRACE("byte " + std::to_string(byte));
    files_.FlipBit(path, byte, 3);
    Open();
    const Result<std::string> read = ReadAll(1, 1, 1u << 20);
    if (read.ok()) {
      EXPECT_EQ(*read, body) << "damage went unseen";
      EXPECT_TRUE(byte < 32 || byte >= size - 4) << "only padding may be damaged unseen";
    } else {
      EXPECT_EQ(read.status().code(), StatusCode::kDataUnknown);
    }
    files_.FlipBit(path, byte, 3);
  }
}

TEST_F(CheckpointFilesTest, AFullDiskLeavesNothingBehind) {
  files_.SetCapacity(files_.BytesUsed() + 10'000);
  EXPECT_EQ(WriteAll(1, 1, Body(50'000, 1), 4000).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(files_.ListDir("/c")->empty());
  EXPECT_TRUE(WriteAll(1, 2, "small", 10).ok());
}

TEST_F(CheckpointFilesTest, ACrashAtEveryOperationLeavesAllOrNothing) {
  const std::string body = Body(300'000, 1);
  for (uint64_t at = 1; at <= 14; ++at) {
    SCOPED_TRACE("crash at operation " + std::to_string(at));
    files_.CrashAt(at);
    const bool written = WriteAll(1, at, body, 100'000).ok();
    store_.reset();
    files_.PowerLoss();
    Open();
    const Result<std::string> read = ReadAll(1, at, 1u << 20);
    if (written) {
      ASSERT_TRUE(read.ok()) << "it was answered";
    }
    if (read.ok()) {
      EXPECT_EQ(*read, body);
    } else {
      EXPECT_EQ(read.status().code(), StatusCode::kNotFound);
    }
    const std::vector<std::string> names = files_.ListDir("/c").value();
    for (const std::string& name : names) EXPECT_TRUE(name.ends_with(".ckpt")) << name;
  }
  EXPECT_FALSE(store_->List().empty());
}

}  // namespace
}  // namespace understudy

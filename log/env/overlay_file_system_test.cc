#include "log/env/overlay_file_system.h"

#include <gtest/gtest.h>

#include "log/env/faulty_file_system.h"

namespace understudy {
namespace {

using OpenMode = FileSystem::OpenMode;
using Names = std::vector<std::string>;

class OverlayFileSystemTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(below_.CreateDir("/d").ok());
    ASSERT_TRUE(ReplaceFile(&below_, "/d/old", "as it was").ok());
    below_.SetCapacity(below_.BytesUsed());
    operations_ = below_.operations();
  }
  void TearDown() override { EXPECT_EQ(below_.operations(), operations_) << "something was written to the disk"; }
  static std::string Content(FileSystem* files, const std::string& path) {
    const Result<std::string> read = ReadWholeFile(files, path, 1000);
    return read.ok() ? *read : std::string(StatusCodeName(read.status().code()));
  }

  FaultyFileSystem below_{1};
  OverlayFileSystem overlay_{&below_, 100};
  uint64_t operations_ = 0;
};

TEST_F(OverlayFileSystemTest, ShowsWhatIsBelowUntilItIsChanged) {
  EXPECT_EQ(Content(&overlay_, "/d/old"), "as it was");
  EXPECT_EQ(*overlay_.FileSize("/d/old"), 9u);
  auto file = overlay_.OpenForWrite("/d/old", OpenMode::kExisting);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->WriteAt(3, "there, longer").ok());
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(Content(&overlay_, "/d/old"), "as there, longer");
  EXPECT_EQ(*overlay_.FileSize("/d/old"), 16u);
  EXPECT_EQ(Content(&below_, "/d/old"), "as it was");
}

TEST_F(OverlayFileSystemTest, NamesComeAndGo) {
  ASSERT_TRUE(ReplaceFile(&overlay_, "/d/new", "made").ok());
  EXPECT_EQ(*overlay_.ListDir("/d"), (Names{"new", "old"}));
  EXPECT_EQ(overlay_.OpenForWrite("/d/old", OpenMode::kCreate).status().code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(overlay_.Rename("/d/new", "/d/old").ok());
  EXPECT_EQ(Content(&overlay_, "/d/old"), "made");
  EXPECT_FALSE(*overlay_.Exists("/d/new"));
  ASSERT_TRUE(overlay_.Remove("/d/old").ok());
  EXPECT_EQ(*overlay_.ListDir("/d"), Names{});
  EXPECT_EQ(overlay_.Remove("/d/old").code(), StatusCode::kNotFound);
  EXPECT_EQ(overlay_.OpenForRead("/d/old").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(overlay_.OpenForWrite("/d/old", OpenMode::kExisting).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(*below_.ListDir("/d"), Names{"old"});
}

TEST_F(OverlayFileSystemTest, HasABound) {
  auto file = overlay_.OpenForWrite("/d/new", OpenMode::kTruncate);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->WriteAt(0, std::string(100, 'x')).ok());
  EXPECT_TRUE((*file)->WriteAt(0, std::string(100, 'y')).ok());
  EXPECT_EQ((*file)->WriteAt(100, "z").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(overlay_.OpenForWrite("/d/old", OpenMode::kExisting).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace understudy

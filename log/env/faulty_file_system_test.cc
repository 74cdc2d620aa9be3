#include "log/env/faulty_file_system.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace understudy {
namespace {

using Mode = FileSystem::OpenMode;

std::unique_ptr<WritableFile> Open(FaultyFileSystem* files, const std::string& path, Mode mode = Mode::kCreate) {
  auto file = files->OpenForWrite(path, mode);
  UNDERSTUDY_CHECK(file.ok());
  return std::move(file).value();
}

TEST(FaultyFileSystemTest, PowerLossKeepsWhatWasSyncedAndTearsTheRest) {
  int lost = 0;
  int torn = 0;
  int kept = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FaultyFileSystem files(seed);
    auto file = Open(&files, "/f");
    ASSERT_TRUE(file->WriteAt(0, std::string(2048, 'a')).ok());
    ASSERT_TRUE(file->Sync().ok());
    ASSERT_TRUE(file->WriteAt(1024, std::string(1024, 'b')).ok());
    files.PowerLoss();
    const std::string content = files.Content("/f");
    ASSERT_EQ(content.size(), 2048u);
    EXPECT_EQ(content.substr(0, 1024), std::string(1024, 'a'));
    const auto written = std::count(content.begin(), content.end(), 'b');
    EXPECT_EQ(written % 512, 0);
    (written == 0 ? lost : written == 1024 ? kept : torn)++;
    EXPECT_EQ(file->WriteAt(0, "x").code(), StatusCode::kIoError) << "a handle of the dead process";
  }
  EXPECT_GT(lost, 0);
  EXPECT_GT(torn, 0);
  EXPECT_GT(kept, 0);
}

TEST(FaultyFileSystemTest, KillLosesNothing) {
  FaultyFileSystem files(1);
  auto file = Open(&files, "/f");
  ASSERT_TRUE(file->WriteAt(0, "unsynced").ok());
  files.Kill();
  EXPECT_EQ(files.Content("/f"), "unsynced");
}

TEST(FaultyFileSystemTest, NamesPersistInOrderAndAtTheLatestWithSyncDir) {
  int old_name = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    FaultyFileSystem files(seed);
    ASSERT_TRUE(files.CreateDir("/d").ok());
    {
      auto file = Open(&files, "/d/a");
      ASSERT_TRUE(file->WriteAt(0, "x").ok());
      ASSERT_TRUE(file->Sync().ok());
    }
    ASSERT_TRUE(files.Rename("/d/a", "/d/b").ok());
    if (seed % 2 == 0) {
      ASSERT_TRUE(files.SyncDir("/d").ok());
    }
    files.PowerLoss();
    const auto names = files.ListDir("/d");
    ASSERT_EQ(names->size(), 1u) << "a rename is atomic";
    if (seed % 2 == 0) {
      EXPECT_EQ(names->front(), "b");
    }
    if (names->front() == "a") ++old_name;
  }
  EXPECT_GT(old_name, 0);
}

TEST(FaultyFileSystemTest, AFailedSyncNeverReachesTheDisk) {
  FaultyFileSystem files(1);
  auto file = Open(&files, "/f");
  ASSERT_TRUE(file->WriteAt(0, "old").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->WriteAt(0, "new").ok());
  files.FailSyncs(true);
  EXPECT_EQ(file->Sync().code(), StatusCode::kIoError);
  files.FailSyncs(false);
  EXPECT_TRUE(file->Sync().ok()) << "the trap: it says yes";
  EXPECT_EQ(files.Content("/f"), "new");
  files.PowerLoss();
  EXPECT_EQ(files.Content("/f"), "old");
}

TEST(FaultyFileSystemTest, RunsFullForGrowthOnly) {
  FaultyFileSystem files(1);
  files.SetCapacity(10);
  auto file = Open(&files, "/f");
  ASSERT_TRUE(file->WriteAt(0, "12345678").ok());
  EXPECT_EQ(file->WriteAt(8, "abcd").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(files.Content("/f"), "12345678ab");
  EXPECT_TRUE(file->WriteAt(0, "xxxxxxxxxx").ok());
  ASSERT_TRUE(files.Remove("/f").ok());
  EXPECT_EQ(files.BytesUsed(), 0u);
}

TEST(FaultyFileSystemTest, CrashesAtTheGivenOperation) {
  FaultyFileSystem files(1);
  auto file = Open(&files, "/f");
  files.CrashAt(2);
  EXPECT_TRUE(file->WriteAt(0, "a").ok());
  EXPECT_FALSE(file->WriteAt(1, "b").ok());
  EXPECT_TRUE(files.crashed());
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_FALSE(files.OpenForRead("/f").ok());
  files.Kill();
  EXPECT_TRUE(files.OpenForRead("/f").ok());
  EXPECT_EQ(files.Content("/f").front(), 'a');
}

TEST(FaultyFileSystemTest, FlipsABit) {
  FaultyFileSystem files(1);
  auto file = Open(&files, "/f");
  ASSERT_TRUE(file->WriteAt(0, "a").ok());
  ASSERT_TRUE(file->Sync().ok());
  files.FlipBit("/f", 0, 1);
  EXPECT_EQ(files.Content("/f"), "c");
  files.PowerLoss();
  EXPECT_EQ(files.Content("/f"), "c");
}

}  // namespace
}  // namespace understudy

// The contract of FileSystem, run over the real one and over the one in memory.
#include "log/env/file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "log/env/faulty_file_system.h"

namespace understudy {
namespace {

class FileSystemTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      dir_ = testing::TempDir() + "file_test_" + std::to_string(SystemRandom()->Next64());
      files_ = SystemFileSystem();
      std::filesystem::create_directory(dir_);
    } else {
      dir_ = "/d";
      files_ = &memory_;
      ASSERT_TRUE(memory_.CreateDir(dir_).ok());
    }
  }
  void TearDown() override {
    if (GetParam()) std::filesystem::remove_all(dir_);
  }

  FaultyFileSystem memory_{1};
  FileSystem* files_ = nullptr;
  std::string dir_;
};

TEST_P(FileSystemTest, WritesPiecesInOrderAndReadsThemBack) {
  const std::string path = dir_ + "/f";
  auto file = files_->OpenForWrite(path, FileSystem::OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  // More pieces than one system call takes, some of them empty.
  std::vector<std::string> parts;
  std::string whole;
  for (int i = 0; i < 3000; ++i) {
    parts.push_back(std::string(static_cast<size_t>(i % 7), static_cast<char>('a' + i % 26)));
    whole += parts.back();
  }
  std::vector<std::string_view> pieces(parts.begin(), parts.end());
  ASSERT_TRUE((*file)->WriteAt(5, pieces).ok());
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(*ReadWholeFile(files_, path, 1u << 20), std::string(5, '\0') + whole);
  ASSERT_TRUE((*file)->WriteZeros(6, 2).ok());
  ASSERT_TRUE((*file)->Truncate(10).ok());
  whole.replace(1, 2, 2, '\0');
  EXPECT_EQ(*ReadWholeFile(files_, path, 1u << 20), std::string(5, '\0') + whole.substr(0, 5));
  auto reader = files_->OpenForRead(path);
  ASSERT_TRUE(reader.ok());
  char buffer[8];
  EXPECT_EQ(*(*reader)->ReadAt(7, sizeof buffer, buffer), 3u);
  EXPECT_EQ(*(*reader)->ReadAt(10, sizeof buffer, buffer), 0u);
}

TEST_P(FileSystemTest, ErrorsNamePathAndErrno) {
  const std::string path = dir_ + "/missing";
  const Status read = files_->OpenForRead(path).status();
  EXPECT_EQ(read.code(), StatusCode::kNotFound);
  EXPECT_NE(read.message().find(path), std::string::npos);
  EXPECT_NE(read.message().find("errno 2"), std::string::npos);
  EXPECT_EQ(files_->OpenForWrite(path, FileSystem::OpenMode::kExisting).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->Remove(path).code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->Rename(path, path + "2").code(), StatusCode::kNotFound);
  EXPECT_EQ(files_->ListDir(path).status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(*files_->Exists(path));
  ASSERT_TRUE(files_->OpenForWrite(path, FileSystem::OpenMode::kCreate).ok());
  EXPECT_EQ(files_->OpenForWrite(path, FileSystem::OpenMode::kCreate).status().code(), StatusCode::kAlreadyExists);
}

TEST_P(FileSystemTest, ReplacesFilesAndListsDirectories) {
  ASSERT_TRUE(CreateDirs(files_, dir_ + "/a/b").ok());
  ASSERT_TRUE(CreateDirs(files_, dir_ + "/a/b").ok());
  ASSERT_TRUE(ReplaceFile(files_, dir_ + "/a/x", "one").ok());
  ASSERT_TRUE(ReplaceFile(files_, dir_ + "/a/x", "two").ok());
  EXPECT_EQ(*ReadWholeFile(files_, dir_ + "/a/x", 3), "two");
  EXPECT_EQ(ReadWholeFile(files_, dir_ + "/a/x", 2).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*files_->ListDir(dir_ + "/a"), (std::vector<std::string>{"b", "x"}));
  EXPECT_EQ(*files_->FileSize(dir_ + "/a/x"), 3u);
  ASSERT_TRUE(files_->Remove(dir_ + "/a/x").ok());
  ASSERT_TRUE(files_->RemoveDir(dir_ + "/a/b").ok());
  EXPECT_TRUE(files_->ListDir(dir_ + "/a")->empty());
}

TEST_P(FileSystemTest, ALockIsHeldByOneUntilItIsLetGo) {
  auto lock = files_->Lock(dir_ + "/LOCK");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(files_->Lock(dir_ + "/LOCK").status().code(), StatusCode::kFailedPrecondition);
  lock.value().reset();
  EXPECT_TRUE(files_->Lock(dir_ + "/LOCK").ok());
}

INSTANTIATE_TEST_SUITE_P(Real, FileSystemTest, testing::Values(true));
INSTANTIATE_TEST_SUITE_P(InMemory, FileSystemTest, testing::Values(false));

}  // namespace
}  // namespace understudy

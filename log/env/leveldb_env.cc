#include "log/env/leveldb_env.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace understudy {
namespace {

constexpr size_t kBufferBytes = 64u << 10;

leveldb::Status ToLevelDb(const Status& status) {
  if (status.ok()) return leveldb::Status::OK();
  if (status.code() == StatusCode::kNotFound) return leveldb::Status::NotFound(status.message());
  return leveldb::Status::IOError(status.message());
}

class SequentialFile : public leveldb::SequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<RandomAccessFile> file) : file_(std::move(file)) {}
  leveldb::Status Read(size_t n, leveldb::Slice* result, char* scratch) override {
    const Result<size_t> got = file_->ReadAt(at_, n, scratch);
    if (!got.ok()) return ToLevelDb(got.status());
    at_ += *got;
    *result = leveldb::Slice(scratch, *got);
    return leveldb::Status::OK();
  }
  leveldb::Status Skip(uint64_t n) override {
    at_ += n;
    return leveldb::Status::OK();
  }

 private:
  std::unique_ptr<RandomAccessFile> file_;
  uint64_t at_ = 0;
};

class TableFile : public leveldb::RandomAccessFile {
 public:
  explicit TableFile(std::unique_ptr<understudy::RandomAccessFile> file) : file_(std::move(file)) {}
  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result, char* scratch) const override {
    const Result<size_t> got = file_->ReadAt(offset, n, scratch);
    if (!got.ok()) return ToLevelDb(got.status());
    *result = leveldb::Slice(scratch, *got);
    return leveldb::Status::OK();
  }

 private:
  std::unique_ptr<understudy::RandomAccessFile> file_;
};

class AppendFile : public leveldb::WritableFile {
 public:
  AppendFile(FileSystem* files, std::string path, std::unique_ptr<understudy::WritableFile> file, uint64_t at)
      : files_(files), path_(std::move(path)), file_(std::move(file)), at_(at) {}
  ~AppendFile() override { (void)Flush(); }

  leveldb::Status Append(const leveldb::Slice& data) override {
    buffer_.append(data.data(), data.size());
    return buffer_.size() < kBufferBytes ? leveldb::Status::OK() : Flush();
  }
  leveldb::Status Flush() override {
    if (buffer_.empty()) return leveldb::Status::OK();
    const Status wrote = file_->WriteAt(at_, buffer_);
    at_ += buffer_.size();
    buffer_.clear();
    return ToLevelDb(wrote);
  }
  leveldb::Status Sync() override {
    const leveldb::Status flushed = Flush();
    if (!flushed.ok()) return flushed;
    if (!synced_once_) {
      // The name of a new log or table must be as durable as what is acknowledged in it.
      if (const Status dir = files_->SyncDir(DirName(path_)); !dir.ok()) return ToLevelDb(dir);
      synced_once_ = true;
    }
    return ToLevelDb(file_->Sync());
  }
  leveldb::Status Close() override { return Flush(); }

 private:
  FileSystem* const files_;
  const std::string path_;
  std::unique_ptr<understudy::WritableFile> file_;
  uint64_t at_;
  std::string buffer_;
  bool synced_once_ = false;
};

class Lock : public leveldb::FileLock {
 public:
  explicit Lock(std::unique_ptr<understudy::FileLock> held) : held_(std::move(held)) {}

 private:
  std::unique_ptr<understudy::FileLock> held_;
};

class FileSystemEnv : public leveldb::EnvWrapper {
 public:
  explicit FileSystemEnv(FileSystem* files) : leveldb::EnvWrapper(leveldb::Env::Default()), files_(files) {}

  leveldb::Status NewSequentialFile(const std::string& path, leveldb::SequentialFile** out) override {
    auto file = files_->OpenForRead(path);
    *out = file.ok() ? new SequentialFile(std::move(file).value()) : nullptr;
    return ToLevelDb(file.status());
  }
  leveldb::Status NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** out) override {
    auto file = files_->OpenForRead(path);
    *out = file.ok() ? new TableFile(std::move(file).value()) : nullptr;
    return ToLevelDb(file.status());
  }
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** out) override {
    return OpenAppend(path, FileSystem::OpenMode::kTruncate, 0, out);
  }
  leveldb::Status NewAppendableFile(const std::string& path, leveldb::WritableFile** out) override {
    const Result<uint64_t> size = files_->FileSize(path);
    if (size.ok()) return OpenAppend(path, FileSystem::OpenMode::kExisting, *size, out);
    return OpenAppend(path, FileSystem::OpenMode::kTruncate, 0, out);
  }
  bool FileExists(const std::string& path) override {
    const Result<bool> there = files_->Exists(path);
    return there.ok() && *there;
  }
  leveldb::Status GetChildren(const std::string& dir, std::vector<std::string>* names) override {
    Result<std::vector<std::string>> found = files_->ListDir(dir);
    if (found.ok()) *names = std::move(found).value();
    return ToLevelDb(found.status());
  }
  leveldb::Status RemoveFile(const std::string& path) override { return ToLevelDb(files_->Remove(path)); }
  leveldb::Status DeleteFile(const std::string& path) override { return ToLevelDb(files_->Remove(path)); }
  leveldb::Status CreateDir(const std::string& path) override { return ToLevelDb(files_->CreateDir(path)); }
  leveldb::Status RemoveDir(const std::string& path) override { return ToLevelDb(files_->RemoveDir(path)); }
  leveldb::Status DeleteDir(const std::string& path) override { return ToLevelDb(files_->RemoveDir(path)); }
  leveldb::Status GetFileSize(const std::string& path, uint64_t* size) override {
    const Result<uint64_t> found = files_->FileSize(path);
    *size = found.ok() ? *found : 0;
    return ToLevelDb(found.status());
  }
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override {
    if (const Status renamed = files_->Rename(from, to); !renamed.ok()) return ToLevelDb(renamed);
    return ToLevelDb(files_->SyncDir(DirName(to)));
  }
  leveldb::Status LockFile(const std::string& path, leveldb::FileLock** lock) override {
    auto held = files_->Lock(path);
    *lock = held.ok() ? new Lock(std::move(held).value()) : nullptr;
    return ToLevelDb(held.status());
  }
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override {
    delete lock;
    return leveldb::Status::OK();
  }
  leveldb::Status NewLogger(const std::string& path, leveldb::Logger** logger) override {
    *logger = nullptr;
    return leveldb::Status::NotSupported(path);
  }

 private:
  leveldb::Status OpenAppend(const std::string& path, FileSystem::OpenMode mode, uint64_t at,
                             leveldb::WritableFile** out) {
    auto file = files_->OpenForWrite(path, mode);
    *out = file.ok() ? new AppendFile(files_, path, std::move(file).value(), at) : nullptr;
    return ToLevelDb(file.status());
  }

  FileSystem* const files_;
};

}  // namespace

std::unique_ptr<leveldb::Env> NewLevelDbEnv(FileSystem* files) { return std::make_unique<FileSystemEnv>(files); }

Status FromLevelDb(const leveldb::Status& status, std::string_view context) {
  if (status.ok()) return Status::Ok();
  const std::string text = status.ToString();
  StatusCode code = StatusCode::kIoError;
  if (status.IsNotFound()) code = StatusCode::kNotFound;
  if (status.IsCorruption()) code = StatusCode::kCorruption;
  for (const char* full : {"(errno 28)", "(errno 122)"}) {  // ENOSPC, EDQUOT
    if (text.find(full) != std::string::npos) code = StatusCode::kResourceExhausted;
  }
  if (text.find("is locked") != std::string::npos) code = StatusCode::kFailedPrecondition;
  return Status(code, text).WithContext(context);
}

}  // namespace understudy

#include "log/env/overlay_file_system.h"

#include <algorithm>
#include <set>
#include <utility>

namespace understudy {
namespace {

Status NoEntry(const std::string& path) { return {StatusCode::kNotFound, path + ": No such file or directory"}; }

}  // namespace

class OverlayFileSystem::Reader : public RandomAccessFile {
 public:
  Reader(std::mutex* mutex, Content content) : mutex_(mutex), content_(std::move(content)) {}
  Result<size_t> ReadAt(uint64_t offset, size_t size, char* out) const override {
    const std::lock_guard lock(*mutex_);
    return offset >= content_->size() ? size_t{0} : content_->copy(out, size, offset);
  }
  Result<uint64_t> Size() const override {
    const std::lock_guard lock(*mutex_);
    return uint64_t{content_->size()};
  }

 private:
  std::mutex* const mutex_;
  const Content content_;
};

class OverlayFileSystem::Writer : public WritableFile {
 public:
  Writer(OverlayFileSystem* files, std::string path, Content content)
      : files_(files), path_(std::move(path)), content_(std::move(content)) {}

  Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) override {
    const std::lock_guard lock(files_->mutex_);
    for (const std::string_view piece : pieces) {
      const uint64_t end = offset + piece.size();
      if (end > content_->size()) {
        if (files_->Used() + end - content_->size() > files_->bytes_max_) {
          return {StatusCode::kResourceExhausted,
                  path_ + ": no room in memory for what the disk has no room for (errno 28)"};
        }
        content_->resize(end, '\0');
      }
      content_->replace(offset, piece.size(), piece);
      offset = end;
    }
    return Status::Ok();
  }
  Status Sync() override { return Status::Ok(); }
  Status Truncate(uint64_t bytes) override {
    const std::lock_guard lock(files_->mutex_);
    content_->resize(std::min<uint64_t>(bytes, content_->size()));
    return Status::Ok();
  }

 private:
  OverlayFileSystem* const files_;
  const std::string path_;
  const Content content_;
};

uint64_t OverlayFileSystem::Used() const {
  uint64_t used = 0;
  for (const auto& [path, content] : changed_) used += content == nullptr ? 0 : content->size();
  return used;
}

Result<OverlayFileSystem::Content> OverlayFileSystem::Take(const std::string& path) {
  if (const auto at = changed_.find(path); at != changed_.end()) {
    if (at->second == nullptr) return NoEntry(path);
    return at->second;
  }
  Result<std::string> copied = ReadWholeFile(below_, path, bytes_max_ - std::min(bytes_max_, Used()));
  if (!copied.ok()) return copied.status();
  return changed_[path] = std::make_shared<std::string>(std::move(copied).value());
}

Result<std::unique_ptr<RandomAccessFile>> OverlayFileSystem::OpenForRead(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto at = changed_.find(path);
  if (at == changed_.end()) return below_->OpenForRead(path);
  if (at->second == nullptr) return NoEntry(path);
  return std::unique_ptr<RandomAccessFile>(std::make_unique<Reader>(&mutex_, at->second));
}

Result<std::unique_ptr<WritableFile>> OverlayFileSystem::OpenForWrite(const std::string& path, OpenMode mode) {
  if (mode == OpenMode::kCreate) {
    const Result<bool> there = Exists(path);
    if (!there.ok()) return there.status();
    if (*there) return Status(StatusCode::kAlreadyExists, path + ": File exists");
  }
  const std::lock_guard lock(mutex_);
  Result<Content> content =
      mode == OpenMode::kExisting ? Take(path) : Result<Content>(changed_[path] = std::make_shared<std::string>());
  if (!content.ok()) return content.status();
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(this, path, std::move(content).value()));
}

Status OverlayFileSystem::CreateDir(const std::string& path) {
  const Result<bool> there = below_->Exists(path);
  if (!there.ok() || *there) return there.status();
  return {StatusCode::kUnsupported, path + ": no directories are made in an overlay"};
}

Result<std::vector<std::string>> OverlayFileSystem::ListDir(const std::string& path) {
  Result<std::vector<std::string>> below = below_->ListDir(path);
  if (!below.ok()) return below;
  std::set<std::string> names(below->begin(), below->end());
  const std::lock_guard lock(mutex_);
  for (const auto& [changed, content] : changed_) {
    if (DirName(changed) != path) continue;
    const std::string name = changed.substr(changed.rfind('/') + 1);
    if (content == nullptr) {
      names.erase(name);
    } else {
      names.insert(name);
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Status OverlayFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const Result<Content> content = Take(from);
  if (!content.ok()) return content.status();
  changed_[to] = *content;
  changed_[from] = nullptr;
  return Status::Ok();
}

Status OverlayFileSystem::Remove(const std::string& path) {
  const Result<bool> there = Exists(path);
  if (!there.ok()) return there.status();
  if (!*there) return NoEntry(path);
  const std::lock_guard lock(mutex_);
  changed_[path] = nullptr;
  return Status::Ok();
}

Status OverlayFileSystem::RemoveDir(const std::string& path) {
  return {StatusCode::kUnsupported, path + ": no directories are removed in an overlay"};
}

Status OverlayFileSystem::SyncDir(const std::string&) { return Status::Ok(); }

Result<bool> OverlayFileSystem::Exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto at = changed_.find(path);
  return at == changed_.end() ? below_->Exists(path) : Result<bool>(at->second != nullptr);
}

Result<uint64_t> OverlayFileSystem::FileSize(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto at = changed_.find(path);
  if (at == changed_.end()) return below_->FileSize(path);
  if (at->second == nullptr) return NoEntry(path);
  return uint64_t{at->second->size()};
}

Result<uint64_t> OverlayFileSystem::FreeBytes(const std::string&) {
  const std::lock_guard lock(mutex_);
  return bytes_max_ - std::min(bytes_max_, Used());
}

Result<std::unique_ptr<FileLock>> OverlayFileSystem::Lock(const std::string& path) { return below_->Lock(path); }

}  // namespace understudy

#include "log/env/faulty_file_system.h"

#include <algorithm>

#include "understudy/check.h"

namespace understudy {
namespace {

Status Failed(StatusCode code, const char* call, const std::string& path, const char* why) {
  return {code, std::string(call) + " " + path + ": " + why};
}
Status NoEntry(const char* call, const std::string& path) {
  return Failed(StatusCode::kNotFound, call, path, "No such file or directory (errno 2)");
}
Status Dead(const std::string& path) {
  return Failed(StatusCode::kIoError, "access", path, "the process was killed (injected)");
}

}  // namespace

class FaultyFileSystem::Reader : public RandomAccessFile {
 public:
  Reader(FaultyFileSystem* files, NodeRef node, std::string path)
      : files_(files), node_(std::move(node)), path_(std::move(path)), process_(files->process_) {}
  Result<size_t> ReadAt(uint64_t offset, size_t size, char* out) const override {
    const std::lock_guard lock(files_->mutex_);
    UNDERSTUDY_RETURN_IF_ERROR(files_->CheckAlive(process_, path_));
    if (offset >= node_->now.size()) return size_t{0};
    return node_->now.copy(out, size, offset);
  }
  Result<uint64_t> Size() const override {
    const std::lock_guard lock(files_->mutex_);
    return uint64_t{node_->now.size()};
  }

 private:
  FaultyFileSystem* const files_;
  const NodeRef node_;
  const std::string path_;
  const uint64_t process_;
};

class FaultyFileSystem::Writer : public WritableFile {
 public:
  Writer(FaultyFileSystem* files, NodeRef node, std::string path)
      : files_(files), node_(std::move(node)), path_(std::move(path)), process_(files->process_) {}

  Status WriteAt(uint64_t offset, std::span<const std::string_view> pieces) override {
    const std::lock_guard lock(files_->mutex_);
    std::string bytes;
    for (const std::string_view piece : pieces) bytes += piece;
    bool partial = false;
    const Status begun = files_->Begin(process_, path_, &partial);
    if (partial) {
      bytes.resize(files_->random_.Below(bytes.size() + 1));
      (void)files_->Write(node_.get(), offset, bytes, path_);
    }
    if (!begun.ok()) return begun;
    return files_->Write(node_.get(), offset, bytes, path_);
  }

  Status Sync() override {
    const std::lock_guard lock(files_->mutex_);
    bool partial = false;
    const Status begun = files_->Begin(process_, path_, &partial);
    if (!begun.ok() && !(partial && files_->random_.Below(2) == 0)) return begun;
    if (files_->fail_syncs_) {
      node_->dirty.clear();  // marked clean, not written
      return Failed(StatusCode::kIoError, "fdatasync", path_, "Input/output error (errno 5, injected)");
    }
    files_->PersistFile(node_.get());
    std::vector<NameChange>& pending = files_->pending_names_[DirName(path_)];
    for (size_t i = pending.size(); i > 0; --i) {
      if (pending[i - 1].node != node_) continue;
      files_->PersistNames(DirName(path_), i);
      break;
    }
    return begun;
  }

  Status Truncate(uint64_t bytes) override {
    const std::lock_guard lock(files_->mutex_);
    bool partial = false;
    UNDERSTUDY_RETURN_IF_ERROR(files_->Begin(process_, path_, &partial));
    for (uint64_t at = bytes / kSectorBytes; at * kSectorBytes < node_->now.size(); ++at) node_->dirty.insert(at);
    node_->now.resize(bytes, '\0');
    return Status::Ok();
  }

 private:
  FaultyFileSystem* const files_;
  const NodeRef node_;
  const std::string path_;
  const uint64_t process_;
};

class FaultyFileSystem::HeldLock : public FileLock {
 public:
  HeldLock(FaultyFileSystem* files, std::string path)
      : files_(files), path_(std::move(path)), process_(files->process_) {}
  ~HeldLock() override {
    const std::lock_guard lock(files_->mutex_);
    if (files_->process_ == process_) files_->locked_.erase(path_);
  }

 private:
  FaultyFileSystem* const files_;
  const std::string path_;
  const uint64_t process_;
};

FaultyFileSystem::FaultyFileSystem(uint64_t seed) : random_(seed) { dirs_ = {"/", "."}; }

uint64_t FaultyFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}
void FaultyFileSystem::CrashAt(uint64_t n) {
  const std::lock_guard lock(mutex_);
  crash_at_ = n == 0 ? 0 : operations_ + n;
}
bool FaultyFileSystem::crashed() const {
  const std::lock_guard lock(mutex_);
  return crashed_;
}
void FaultyFileSystem::FailSyncs(bool fail) {
  const std::lock_guard lock(mutex_);
  fail_syncs_ = fail;
}
void FaultyFileSystem::SetCapacity(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}
void FaultyFileSystem::HideCapacity(bool hidden) {
  const std::lock_guard lock(mutex_);
  capacity_hidden_ = hidden;
}
uint64_t FaultyFileSystem::BytesUsed() const {
  const std::lock_guard lock(mutex_);
  return Used();
}
std::string FaultyFileSystem::Content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto at = names_.find(path);
  return at == names_.end() ? "" : at->second->now;
}
void FaultyFileSystem::FlipBit(const std::string& path, uint64_t byte, int bit) {
  const std::lock_guard lock(mutex_);
  Node& node = *names_.at(path);
  node.now.at(byte) = static_cast<char>(node.now[byte] ^ (1 << bit));
  if (byte < node.durable.size()) node.durable[byte] = static_cast<char>(node.durable[byte] ^ (1 << bit));
}

void FaultyFileSystem::NewProcess() {
  ++process_;
  crashed_ = false;
  crash_at_ = 0;
  locked_.clear();
}

void FaultyFileSystem::Kill() {
  const std::lock_guard lock(mutex_);
  NewProcess();
}

void FaultyFileSystem::PowerLoss() {
  const std::lock_guard lock(mutex_);
  for (auto& [dir, pending] : pending_names_) {
    size_t count = random_.Below(pending.size() + 1);
    while (count > 0 && count < pending.size() && pending[count - 1].with_next) ++count;
    PersistNames(dir, count);
  }
  pending_names_.clear();
  names_ = durable_names_;
  std::set<Node*> done;
  for (auto& [path, ref] : names_) {
    Node& node = *ref;
    if (!done.insert(&node).second) continue;
    if (node.now.size() != node.durable.size()) {
      const uint64_t low = std::min(node.now.size(), node.durable.size());
      const uint64_t high = std::max(node.now.size(), node.durable.size());
      const uint64_t pick = random_.Below(3);
      node.durable.resize(pick == 0 ? low : pick == 1 ? high : low + random_.Below(high - low + 1), '\0');
    }
    for (const uint64_t sector : node.dirty) {
      const uint64_t at = sector * kSectorBytes;
      if (random_.Below(2) == 0 || at >= node.now.size() || at >= node.durable.size()) continue;
      const uint64_t size = std::min({kSectorBytes, node.now.size() - at, node.durable.size() - at});
      node.durable.replace(at, size, node.now, at, size);
    }
    node.dirty.clear();
    node.now = node.durable;
  }
  NewProcess();
}

Status FaultyFileSystem::CheckAlive(uint64_t process, const std::string& path) const {
  return crashed_ || process != process_ ? Dead(path) : Status::Ok();
}

Status FaultyFileSystem::Begin(uint64_t process, const std::string& path, bool* partial) {
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process, path));
  ++operations_;
  if (operations_ != crash_at_) return Status::Ok();
  crashed_ = true;
  *partial = true;
  return Dead(path);
}

void FaultyFileSystem::ChangeName(const std::string& path, NodeRef node, bool with_next) {
  if (node == nullptr) {
    names_.erase(path);
  } else {
    names_[path] = node;
  }
  pending_names_[DirName(path)].push_back({path, std::move(node), with_next});
}

void FaultyFileSystem::PersistNames(const std::string& dir, size_t count) {
  std::vector<NameChange>& pending = pending_names_[dir];
  for (size_t i = 0; i < count; ++i) {
    if (pending[i].node == nullptr) {
      durable_names_.erase(pending[i].path);
    } else {
      durable_names_[pending[i].path] = pending[i].node;
    }
  }
  pending.erase(pending.begin(), pending.begin() + static_cast<ptrdiff_t>(count));
}

void FaultyFileSystem::PersistFile(Node* node) {
  node->durable.resize(node->now.size(), '\0');
  for (const uint64_t sector : node->dirty) {
    const uint64_t at = sector * kSectorBytes;
    if (at < node->now.size()) node->durable.replace(at, kSectorBytes, node->now, at, kSectorBytes);
  }
  node->dirty.clear();
}

uint64_t FaultyFileSystem::Used() const {
  uint64_t used = 0;
  for (const auto& [path, node] : names_) used += node->now.size();
  return used;
}

Status FaultyFileSystem::Write(Node* node, uint64_t offset, std::string_view bytes, const std::string& path) {
  const uint64_t end = offset + bytes.size();
  bool full = false;
  if (end > node->now.size() && capacity_ != UINT64_MAX) {
    const uint64_t used = Used();
    const uint64_t room = node->now.size() + (used < capacity_ ? capacity_ - used : 0);
    if (end > room) {
      full = true;
      bytes = bytes.substr(0, room > offset ? room - offset : 0);
    }
  }
  if (!bytes.empty()) {
    if (offset + bytes.size() > node->now.size()) node->now.resize(offset + bytes.size(), '\0');
    node->now.replace(offset, bytes.size(), bytes);
    for (uint64_t at = offset / kSectorBytes; at * kSectorBytes < offset + bytes.size(); ++at) node->dirty.insert(at);
  }
  if (full) return Failed(StatusCode::kResourceExhausted, "pwritev", path, "No space left on device (errno 28)");
  return Status::Ok();
}

Result<std::unique_ptr<RandomAccessFile>> FaultyFileSystem::OpenForRead(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  const auto at = names_.find(path);
  if (at == names_.end()) return NoEntry("open", path);
  return std::unique_ptr<RandomAccessFile>(std::make_unique<Reader>(this, at->second, path));
}

Result<std::unique_ptr<WritableFile>> FaultyFileSystem::OpenForWrite(const std::string& path, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  const auto at = names_.find(path);
  const bool there = at != names_.end();
  if (mode == OpenMode::kExisting && !there) return NoEntry("open", path);
  if (mode == OpenMode::kCreate && there) {
    return Failed(StatusCode::kAlreadyExists, "open", path, "File exists (errno 17)");
  }
  if (!there && !dirs_.contains(DirName(path))) return NoEntry("open", path);
  NodeRef node = there ? at->second : nullptr;
  if (mode != OpenMode::kExisting) {
    bool partial = false;
    UNDERSTUDY_RETURN_IF_ERROR(Begin(process_, path, &partial));
    if (there) {
      for (uint64_t sector = 0; sector * kSectorBytes < node->now.size(); ++sector) node->dirty.insert(sector);
      node->now.clear();
    } else {
      node = std::make_shared<Node>();
      ChangeName(path, node);
    }
  } else {
    UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  }
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(this, std::move(node), path));
}

Status FaultyFileSystem::CreateDir(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  if (!dirs_.contains(DirName(path))) return NoEntry("mkdir", path);
  dirs_.insert(path);  // durable at once: losing a fresh directory only repeats the first start
  return Status::Ok();
}

Result<std::vector<std::string>> FaultyFileSystem::ListDir(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  if (!dirs_.contains(path)) return NoEntry("opendir", path);
  std::set<std::string> found;
  for (const auto& [name, node] : names_) {
    if (DirName(name) == path) found.insert(name.substr(path.size() + 1));
  }
  for (const std::string& name : dirs_) {
    if (name != path && name.find('/') != std::string::npos && DirName(name) == path) {
      found.insert(name.substr(name.rfind('/') + 1));
    }
  }
  return std::vector<std::string>(found.begin(), found.end());
}

Status FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_CHECK(DirName(from) == DirName(to));
  bool partial = false;
  UNDERSTUDY_RETURN_IF_ERROR(Begin(process_, from, &partial));
  const auto at = names_.find(from);
  if (at == names_.end()) return NoEntry("rename", from);
  const NodeRef node = at->second;
  ChangeName(from, nullptr, true);
  ChangeName(to, node);
  return Status::Ok();
}

Status FaultyFileSystem::Remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  bool partial = false;
  UNDERSTUDY_RETURN_IF_ERROR(Begin(process_, path, &partial));
  if (!names_.contains(path)) return NoEntry("unlink", path);
  ChangeName(path, nullptr);
  return Status::Ok();
}

Status FaultyFileSystem::RemoveDir(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  if (dirs_.erase(path) == 0) return NoEntry("rmdir", path);
  return Status::Ok();
}

Status FaultyFileSystem::SyncDir(const std::string& path) {
  const std::lock_guard lock(mutex_);
  bool partial = false;
  UNDERSTUDY_RETURN_IF_ERROR(Begin(process_, path, &partial));
  PersistNames(path, pending_names_[path].size());
  return Status::Ok();
}

Result<bool> FaultyFileSystem::Exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  return names_.contains(path) || dirs_.contains(path);
}

Result<uint64_t> FaultyFileSystem::FileSize(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  const auto at = names_.find(path);
  if (at == names_.end()) return NoEntry("stat", path);
  return uint64_t{at->second->now.size()};
}

Result<uint64_t> FaultyFileSystem::FreeBytes(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  return capacity_hidden_ ? UINT64_MAX : capacity_ - std::min(capacity_, Used());
}

Result<std::unique_ptr<FileLock>> FaultyFileSystem::Lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  UNDERSTUDY_RETURN_IF_ERROR(CheckAlive(process_, path));
  if (!locked_.insert(path).second) {
    return Status(StatusCode::kFailedPrecondition, path + " is locked: already open elsewhere");
  }
  return std::unique_ptr<FileLock>(std::make_unique<HeldLock>(this, path));
}

}  // namespace understudy

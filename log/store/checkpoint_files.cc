#include "log/store/checkpoint_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <utility>

#include "log/format/coding.h"
#include "log/format/crc32c.h"

namespace understudy {
namespace {

// header | body | u32 crc32c of each block of the body | trailer (docs/formats.md)
constexpr std::string_view kHeaderMagic = "USCKPT01";
constexpr std::string_view kTrailerMagic = "USCKEND1";
constexpr size_t kHeaderBytes = 32;   // magic, log, id, crc32c of the foregoing, 0
constexpr size_t kTrailerBytes = 32;  // magic, body bytes, crc32c of the table, block bytes, crc32c of the foregoing, 0
constexpr uint64_t kBlockBytes = 256u << 10;
constexpr size_t kReadBytesMax = kCheckpointBytesPerCall;

using Key = std::pair<LogId, uint64_t>;

std::string NameOf(const Key& key, const char* suffix) {
  return fmt::format("{:020}-{:020}.{}", key.first.value(), key.second, suffix);
}

bool ParseName(const std::string& name, Key* key) {
  uint64_t log = 0;
  uint64_t id = 0;
  if (name.size() != 46 || name[20] != '-' || !name.ends_with(".ckpt")) return false;
  const char* at = name.data();
  const auto a = std::from_chars(at, at + 20, log);
  const auto b = std::from_chars(at + 21, at + 41, id);
  if (a.ec != std::errc() || a.ptr != at + 20 || b.ec != std::errc() || b.ptr != at + 41) return false;
  *key = {LogId(log), id};
  return true;
}

std::string Header(const Key& key) {
  std::string out(kHeaderMagic);
  Append64(&out, key.first.value());
  Append64(&out, key.second);
  Append32(&out, Crc32c(out));
  Append32(&out, 0);
  return out;
}

std::string Trailer(uint64_t body_bytes, std::string_view table) {
  std::string out(kTrailerMagic);
  Append64(&out, body_bytes);
  Append32(&out, Crc32c(table));
  Append32(&out, static_cast<uint32_t>(kBlockBytes));
  Append32(&out, Crc32c(out));
  Append32(&out, 0);
  return out;
}

uint64_t BlockCount(uint64_t body_bytes) { return (body_bytes + kBlockBytes - 1) / kBlockBytes; }

struct Unfinished {
  std::unique_ptr<WritableFile> file;
  uint64_t bytes = 0;
  uint32_t block_crc = 0;  // of the block that is being filled
  std::string table;       // of the full ones
};

// A complete one, open for reading. Shared by concurrent reads; a deleted one stays readable for those.
struct Complete {
  std::unique_ptr<RandomAccessFile> file;
  std::string path;
  uint64_t bytes = 0;
  std::string table;
  Status damage;  // header, trailer or table do not hold: every read says so
};

class CheckpointFilesImpl : public CheckpointFiles {
 public:
  CheckpointFilesImpl(std::string dir, uint64_t bytes_max, FileSystem* files)
      : dir_(std::move(dir)), bytes_max_(bytes_max), files_(files) {}

  Status OpenAll();
  Status WriteChunk(LogId log, uint64_t id, uint64_t offset, std::string_view bytes, uint32_t crc32c,
                    bool last) override;
  Result<CheckpointBytes> Read(LogId log, uint64_t id, uint64_t offset, size_t bytes_max) override;
  Status Delete(LogId log, uint64_t id) override;
  std::vector<StoredCheckpoint> List() const override;
  std::vector<CheckpointName> ListUnfinished() const override;

 private:
  Result<std::shared_ptr<Unfinished>> Writer(const Key& key, uint64_t offset);
  Status Finish(const Key& key, Unfinished* writer);
  Result<std::shared_ptr<const Complete>> OpenComplete(const Key& key);
  std::string PathOf(const Key& key, const char* suffix) const { return dir_ + "/" + NameOf(key, suffix); }
  void Forget(const Key& key);

  const std::string dir_;
  const uint64_t bytes_max_;
  FileSystem* const files_;
  mutable std::mutex mutex_;  // of the maps; not held while the disk works
  std::map<Key, std::shared_ptr<Unfinished>> unfinished_;
  std::map<Key, std::shared_ptr<const Complete>> complete_;
};

Status CheckpointFilesImpl::OpenAll() {
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files_, dir_));
  const Result<std::vector<std::string>> names = files_->ListDir(dir_);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    Key key;
    if (!ParseName(name, &key)) {
      UNDERSTUDY_RETURN_IF_ERROR(files_->Remove(dir_ + "/" + name));  // unfinished
      continue;
    }
    auto opened = OpenComplete(key);
    if (!opened.ok()) return opened.status();
    complete_[key] = *opened;
  }
  return Status::Ok();
}

Result<std::shared_ptr<const Complete>> CheckpointFilesImpl::OpenComplete(const Key& key) {
  auto complete = std::make_shared<Complete>();
  complete->path = PathOf(key, "ckpt");
  auto file = files_->OpenForRead(complete->path);
  if (!file.ok()) return file.status();
  complete->file = std::move(file).value();
  const Result<uint64_t> size = complete->file->Size();
  if (!size.ok()) return size.status();
  const auto check = [&]() -> Status {
    const auto damaged = [&](const char* what) {
      return Status(StatusCode::kDataUnknown, complete->path + ": damaged: " + what);
    };
    if (*size < kHeaderBytes + kTrailerBytes) return damaged("too short");
    std::string header(kHeaderBytes, '\0');
    std::string trailer(kTrailerBytes, '\0');
    Result<size_t> got = complete->file->ReadAt(0, kHeaderBytes, header.data());
    if (!got.ok()) return got.status();
    got = complete->file->ReadAt(*size - kTrailerBytes, kTrailerBytes, trailer.data());
    if (!got.ok()) return got.status();
    if (header != Header(key)) return damaged("header");
    const uint64_t bytes = Load64(trailer.data() + 8);
    const uint64_t table_bytes = 4 * BlockCount(bytes);
    if (bytes > *size || kHeaderBytes + bytes + table_bytes + kTrailerBytes != *size) return damaged("length");
    complete->table.resize(table_bytes);
    got = complete->file->ReadAt(kHeaderBytes + bytes, table_bytes, complete->table.data());
    if (!got.ok()) return got.status();
    if (trailer != Trailer(bytes, complete->table)) return damaged("trailer or checksum table");
    complete->bytes = bytes;
    return Status::Ok();
  };
  complete->damage = check();
  return std::shared_ptr<const Complete>(std::move(complete));
}

Result<std::shared_ptr<Unfinished>> CheckpointFilesImpl::Writer(const Key& key, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (complete_.contains(key)) {
    return Status(StatusCode::kAlreadyExists,
                  fmt::format("checkpoint {} of log {} is complete", key.second, key.first.value()));
  }
  const auto at = unfinished_.find(key);
  if (at == unfinished_.end()) {
    if (offset != 0) return Status(StatusCode::kFailedPrecondition, "the checkpoint must begin at offset 0");
    if (unfinished_.size() >= kCheckpointWritersMax) {
      return Status(StatusCode::kResourceExhausted, "too many unfinished checkpoints on this disk");
    }
  } else if (offset != 0) {
    if (offset == at->second->bytes) return at->second;
    return Status(StatusCode::kFailedPrecondition,
                  fmt::format("offset {} is expected, not {}", at->second->bytes, offset));
  }
  auto file = files_->OpenForWrite(PathOf(key, "part"), FileSystem::OpenMode::kTruncate);
  if (!file.ok()) return file.status();
  auto writer = std::make_shared<Unfinished>();
  writer->file = std::move(file).value();
  UNDERSTUDY_RETURN_IF_ERROR(writer->file->WriteAt(0, Header(key)));
  unfinished_[key] = writer;
  return writer;
}

Status CheckpointFilesImpl::WriteChunk(LogId log, uint64_t id, uint64_t offset, std::string_view bytes, uint32_t crc32c,
                                       bool last) {
  const Key key{log, id};
  if (bytes.size() > kCheckpointBytesPerCall) return {StatusCode::kInvalidArgument, "the chunk is too long"};
  if (Crc32c(bytes) != crc32c) return {StatusCode::kCorruption, "the chunk does not match its checksum"};
  if (bytes.size() > bytes_max_ || offset > bytes_max_ - bytes.size()) {
    Forget(key);
    return {StatusCode::kResourceExhausted, fmt::format("a checkpoint may have {} bytes", bytes_max_)};
  }
  Result<std::shared_ptr<Unfinished>> found = Writer(key, offset);
  if (!found.ok()) return found.status();
  Unfinished& writer = **found;
  Status status = writer.file->WriteAt(kHeaderBytes + offset, bytes);
  if (status.ok()) {
    while (!bytes.empty()) {
      const size_t room = kBlockBytes - writer.bytes % kBlockBytes;
      const std::string_view part = bytes.substr(0, room);
      writer.block_crc = ExtendCrc32c(writer.block_crc, part);
      writer.bytes += part.size();
      bytes.remove_prefix(part.size());
      if (writer.bytes % kBlockBytes == 0) Append32(&writer.table, std::exchange(writer.block_crc, 0));
    }
    if (last) status = Finish(key, &writer);
  }
  // After an error nobody knows what the file holds: it begins anew, or never was.
  if (!status.ok()) Forget(key);
  return status;
}

Status CheckpointFilesImpl::Finish(const Key& key, Unfinished* writer) {
  if (writer->bytes % kBlockBytes != 0) Append32(&writer->table, writer->block_crc);
  const std::string trailer = Trailer(writer->bytes, writer->table);
  const std::string_view pieces[] = {writer->table, trailer};
  UNDERSTUDY_RETURN_IF_ERROR(writer->file->WriteAt(kHeaderBytes + writer->bytes, pieces));
  UNDERSTUDY_RETURN_IF_ERROR(writer->file->Sync());
  UNDERSTUDY_RETURN_IF_ERROR(files_->Rename(PathOf(key, "part"), PathOf(key, "ckpt")));
  UNDERSTUDY_RETURN_IF_ERROR(files_->SyncDir(dir_));
  auto complete = OpenComplete(key);
  if (!complete.ok()) return complete.status();
  const std::lock_guard lock(mutex_);
  unfinished_.erase(key);
  complete_[key] = *complete;
  return Status::Ok();
}

void CheckpointFilesImpl::Forget(const Key& key) {
  {
    const std::lock_guard lock(mutex_);
    if (unfinished_.erase(key) == 0) return;
  }
  (void)files_->Remove(PathOf(key, "part"));  // what stays is removed at the next start
}

Result<CheckpointBytes> CheckpointFilesImpl::Read(LogId log, uint64_t id, uint64_t offset, size_t bytes_max) {
  std::shared_ptr<const Complete> complete;
  {
    const std::lock_guard lock(mutex_);
    const auto at = complete_.find({log, id});
    if (at == complete_.end()) {
      return Status(StatusCode::kNotFound, fmt::format("no checkpoint {} of log {} on this disk", id, log.value()));
    }
    complete = at->second;
  }
  if (!complete->damage.ok()) return complete->damage;
  if (offset > complete->bytes) return Status(StatusCode::kInvalidArgument, "beyond the checkpoint's end");
  const uint64_t size = std::min<uint64_t>({bytes_max, kReadBytesMax, complete->bytes - offset});
  CheckpointBytes out;
  out.total_bytes = complete->bytes;
  if (size == 0) return out;
  // Whole blocks, so that their checksums can be told.
  const uint64_t first = offset / kBlockBytes;
  const uint64_t begin = first * kBlockBytes;
  const uint64_t end = std::min(complete->bytes, BlockCount(offset + size) * kBlockBytes);
  std::string blocks(end - begin, '\0');
  const Result<size_t> got = complete->file->ReadAt(kHeaderBytes + begin, blocks.size(), blocks.data());
  if (!got.ok()) return Status(StatusCode::kDataUnknown, got.status().message());
  for (uint64_t at = 0; at < blocks.size(); at += kBlockBytes) {
    const uint64_t block = first + at / kBlockBytes;
    if (Crc32c(std::string_view(blocks).substr(at, kBlockBytes)) != Load32(complete->table.data() + 4 * block)) {
      return Status(StatusCode::kDataUnknown, fmt::format("{}: damaged: block {}", complete->path, block));
    }
  }
  out.bytes = blocks.substr(offset - begin, size);
  out.crc32c = Crc32c(out.bytes);
  return out;
}

Status CheckpointFilesImpl::Delete(LogId log, uint64_t id) {
  const Key key{log, id};
  Forget(key);
  {
    const std::lock_guard lock(mutex_);
    if (complete_.erase(key) == 0) return Status::Ok();
  }
  UNDERSTUDY_RETURN_IF_ERROR(files_->Remove(PathOf(key, "ckpt")));
  return files_->SyncDir(dir_);
}

std::vector<StoredCheckpoint> CheckpointFilesImpl::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<StoredCheckpoint> all;
  for (const auto& [key, complete] : complete_) all.push_back({key.first, key.second, complete->bytes});
  return all;
}

std::vector<CheckpointName> CheckpointFilesImpl::ListUnfinished() const {
  const std::lock_guard lock(mutex_);
  std::vector<CheckpointName> all;
  for (const auto& [key, writer] : unfinished_) all.push_back({key.first, key.second});
  return all;
}

}  // namespace

Result<std::unique_ptr<CheckpointFiles>> OpenCheckpointFiles(const std::string& dir, uint64_t bytes_max,
                                                             FileSystem* files) {
  auto opened = std::make_unique<CheckpointFilesImpl>(dir, bytes_max, files);
  UNDERSTUDY_RETURN_IF_ERROR(opened->OpenAll());
  return std::unique_ptr<CheckpointFiles>(std::move(opened));
}

}  // namespace understudy

#include "log/store/segment_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr std::string_view kSuffix = ".seg";
constexpr size_t kNameDigits = 16;
constexpr uint64_t kZeroSyncBytes = 8u << 20;  // zeros written between syncs, so that no sync of the journal waits long

// The id in "<16 hex digits>.seg"; 0 for any other name.
uint64_t IdOfName(const std::string& name) {
  uint64_t id = 0;
  if (name.size() != kNameDigits + kSuffix.size() || !name.ends_with(kSuffix)) return 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kNameDigits, id, 16);
  return error == std::errc() && end == name.data() + kNameDigits ? id : 0;
}

}  // namespace

Status Segment::OpenWriter() {
  if (writer != nullptr) return Status::Ok();
  auto opened = files->OpenForWrite(path, FileSystem::OpenMode::kExisting);
  if (!opened.ok()) return opened.status();
  writer = std::move(opened).value();
  return Status::Ok();
}

SegmentFiles::SegmentFiles(std::string dir, DiskId disk, uint64_t segment_bytes, FileSystem* files, Random* random)
    : dir_(std::move(dir)), disk_(disk), segment_bytes_(segment_bytes), files_(files), random_(random) {}

std::string SegmentFiles::PathOf(uint64_t id) const { return fmt::format("{}/{:016x}{}", dir_, id, kSuffix); }

Result<SegmentRef> SegmentFiles::OpenOne(const std::string& name) {
  auto segment = std::make_shared<Segment>();
  segment->path = dir_ + "/" + name;
  segment->files = files_;
  const auto reader = segment->OpenReader();
  if (!reader.ok()) return reader.status();
  std::string bytes(kSegmentHeaderBytes, '\0');
  const Result<size_t> got = (*reader)->ReadAt(0, bytes.size(), bytes.data());
  if (!got.ok()) return got.status();
  const Result<SegmentHeader> header = DecodeSegmentHeader(std::string_view(bytes).substr(0, *got));
  if (!header.ok()) return header.status().WithContext(segment->path);
  if (header->disk != disk_)
    return Status(StatusCode::kCorruption, segment->path + ": belongs to disk " + ToHex(header->disk));
  if (header->id != IdOfName(name))
    return Status(StatusCode::kCorruption, segment->path + ": another id in its header");
  segment->header = *header;
  return segment;
}

Result<FoundSegments> SegmentFiles::OpenAll() {
  UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files_, dir_));
  const Result<std::vector<std::string>> names = files_->ListDir(dir_);
  if (!names.ok()) return names.status();
  FoundSegments found;
  for (const std::string& name : *names) {
    const uint64_t id = IdOfName(name);
    if (id == 0 && dir_ + "/" + name == ReservePath()) {
      const Result<uint64_t> size = files_->FileSize(ReservePath());
      if (size.ok() && *size == segment_bytes_) {
        has_reserve_ = true;
        continue;
      }
    }
    if (id == 0) {
      UNDERSTUDY_RETURN_IF_ERROR(files_->Remove(dir_ + "/" + name));
      continue;
    }
    next_id_ = std::max(next_id_, id + 1);
    Result<SegmentRef> segment = OpenOne(name);
    if (segment.ok()) {
      found.segments.push_back(std::move(segment).value());
    } else if (segment.status().code() == StatusCode::kCorruption) {
      found.damaged.push_back(segment.status().message());
    } else {
      return segment.status();
    }
  }
  return found;
}

std::string SegmentFiles::TemporaryPath() {
  const std::lock_guard lock(mutex_);
  return fmt::format("{}/new-{}.tmp", dir_, next_temporary_++);
}

Status SegmentFiles::KeepAsReserve(const std::string& prepared) {
  UNDERSTUDY_RETURN_IF_ERROR(files_->Rename(prepared, ReservePath()));
  UNDERSTUDY_RETURN_IF_ERROR(files_->SyncDir(dir_));
  has_reserve_ = true;
  return Status::Ok();
}

Status SegmentFiles::MakeReserve() {
  const Result<std::string> prepared = Prepare(true);
  if (!prepared.ok()) return prepared.status();
  return KeepAsReserve(*prepared);
}

Status SegmentFiles::MakeReserve(SegmentRef dead) {
  const Result<std::string> prepared = TakeBack(std::move(dead));
  if (!prepared.ok()) return prepared.status();
  return KeepAsReserve(*prepared);
}

Result<std::string> SegmentFiles::Prepare(bool zeroed) {
  // Also for one without zeros: what is less than a segment is left to what must go on, here and beside us.
  UNDERSTUDY_RETURN_IF_ERROR(CheckRoom(files_, dir_, segment_bytes_));
  const std::string path = TemporaryPath();
  const auto fill = [&]() -> Status {
    auto file = files_->OpenForWrite(path, FileSystem::OpenMode::kTruncate);
    if (!file.ok()) return file.status();
    for (uint64_t at = 0; zeroed && at < segment_bytes_; at += kZeroSyncBytes) {
      UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteZeros(at, std::min(kZeroSyncBytes, segment_bytes_ - at)));
      UNDERSTUDY_RETURN_IF_ERROR((*file)->Sync());
    }
    return Status::Ok();
  };
  const Status filled = fill();
  if (filled.ok()) return path;
  (void)files_->Remove(path);  // what little it got is worth more to others
  return filled;
}

Result<std::string> SegmentFiles::TakeBack(SegmentRef dead) {
  UNDERSTUDY_CHECK(dead.use_count() == 1);
  // One that was made without zeros gets the blocks it lacks, or goes.
  const auto fill = [&]() -> Status {
    const Result<uint64_t> size = dead->FileBytes();
    if (!size.ok()) return size.status();
    if (*size >= segment_bytes_) return Status::Ok();
    UNDERSTUDY_RETURN_IF_ERROR(dead->OpenWriter());
    UNDERSTUDY_RETURN_IF_ERROR(dead->writer->WriteZeros(*size, segment_bytes_ - *size));
    return dead->writer->Sync();
  };
  if (const Status filled = fill(); !filled.ok()) {
    if (filled.code() == StatusCode::kResourceExhausted) (void)Remove(std::move(dead));
    return filled;
  }
  const std::string path = TemporaryPath();
  UNDERSTUDY_RETURN_IF_ERROR(files_->Rename(dead->path, path));
  // The old name must be gone durably before the header is overwritten.
  UNDERSTUDY_RETURN_IF_ERROR(files_->SyncDir(dir_));
  return path;
}

Result<SegmentRef> SegmentFiles::Stamp(const std::string& prepared) {
  SegmentHeader header;
  header.id = next_id_;
  header.salt = random_->Next64();
  header.disk = disk_;
  header.bytes = segment_bytes_;
  const std::string path = PathOf(header.id);
  const auto stamp = [&]() -> Result<SegmentRef> {
    auto writer = files_->OpenForWrite(prepared, FileSystem::OpenMode::kExisting);
    if (!writer.ok()) return writer.status();
    UNDERSTUDY_RETURN_IF_ERROR((*writer)->WriteAt(0, EncodeSegmentHeader(header)));
    UNDERSTUDY_RETURN_IF_ERROR((*writer)->Sync());
    UNDERSTUDY_RETURN_IF_ERROR(files_->Rename(prepared, path));
    UNDERSTUDY_RETURN_IF_ERROR(files_->SyncDir(dir_));
    auto segment = std::make_shared<Segment>();
    segment->header = header;
    segment->path = path;
    segment->files = files_;
    segment->writer = std::move(writer).value();
    return segment;
  };
  Result<SegmentRef> made = stamp();
  if (made.ok()) {
    ++next_id_;
  } else {
    (void)files_->Remove(prepared);
  }
  return made;
}

Status SegmentFiles::Remove(SegmentRef dead) {
  UNDERSTUDY_RETURN_IF_ERROR(files_->Remove(dead->path));
  return files_->SyncDir(dir_);
}

}  // namespace understudy

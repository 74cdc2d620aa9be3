#include "log/env/file.h"

#include <algorithm>

namespace understudy {

Status WritableFile::WriteZeros(uint64_t offset, uint64_t bytes) {
  static const std::string* zeros = new std::string(256u << 10, '\0');
  while (bytes > 0) {
    const size_t now = std::min<uint64_t>(bytes, zeros->size());
    UNDERSTUDY_RETURN_IF_ERROR(WriteAt(offset, std::string_view(*zeros).substr(0, now)));
    offset += now;
    bytes -= now;
  }
  return Status::Ok();
}

std::string DirName(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status CreateDirs(FileSystem* files, const std::string& path) {
  if (Result<bool> there = files->Exists(path); there.ok() && *there) return Status::Ok();
  const std::string parent = DirName(path);
  if (parent != path && parent != ".") UNDERSTUDY_RETURN_IF_ERROR(CreateDirs(files, parent));
  UNDERSTUDY_RETURN_IF_ERROR(files->CreateDir(path));
  return files->SyncDir(parent);
}

Status CheckRoom(FileSystem* files, const std::string& path, uint64_t bytes) {
  const Result<uint64_t> free = files->FreeBytes(path);
  if (!free.ok()) return free.status();
  if (*free >= bytes) return Status::Ok();
  return {StatusCode::kResourceExhausted,
          path + ": " + std::to_string(*free) + " bytes are free, " + std::to_string(bytes) + " are needed"};
}

Result<std::string> ReadWholeFile(FileSystem* files, const std::string& path, size_t bytes_max) {
  Result<std::unique_ptr<RandomAccessFile>> file = files->OpenForRead(path);
  if (!file.ok()) return file.status();
  const Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size > bytes_max) return Status(StatusCode::kResourceExhausted, path + ": longer than expected");
  std::string content(*size, '\0');
  const Result<size_t> got = (*file)->ReadAt(0, content.size(), content.data());
  if (!got.ok()) return got.status();
  content.resize(*got);
  return content;
}

Status ReplaceFile(FileSystem* files, const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  {
    Result<std::unique_ptr<WritableFile>> file = files->OpenForWrite(temporary, FileSystem::OpenMode::kTruncate);
    if (!file.ok()) return file.status();
    UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteAt(0, content));
    UNDERSTUDY_RETURN_IF_ERROR((*file)->Sync());
  }
  UNDERSTUDY_RETURN_IF_ERROR(files->Rename(temporary, path));
  return files->SyncDir(DirName(path));
}

}  // namespace understudy

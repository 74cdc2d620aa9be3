#include "log/store/identity.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

#include "log/format/crc32c.h"
#include "understudy/check.h"

namespace understudy {
namespace {

constexpr size_t kSlots = 2;
constexpr size_t kSlotBytes = 4096;  // a sector each: a torn write leaves the other whole
constexpr size_t kReasonBytesMax = 1024;

Status Corrupt(const char* what) { return {StatusCode::kCorruption, std::string("identity: ") + what}; }

}  // namespace

std::string EncodeIdentity(const DiskIdentity& identity) {
  std::string reason = identity.retired_reason.substr(0, kReasonBytesMax);
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  std::ostringstream out;
  out << "understudy-disk 2\ndisk " << ToHex(identity.disk) << "\nboot " << identity.boot_count << "\nretired "
      << reason << "\n";
  std::string text = out.str();
  return text + "crc32c " + std::to_string(Crc32c(text)) + "\n";
}

Result<DiskIdentity> DecodeIdentity(const std::string& text) {
  std::istringstream in(text);
  std::string line;
  const auto take = [&](const std::string& key, std::string* value) {
    if (!std::getline(in, line) || line.substr(0, key.size() + 1) != key + " ") return false;
    *value = line.substr(key.size() + 1);
    return true;
  };
  std::string version;
  std::string disk;
  std::string boot;
  std::string crc;
  DiskIdentity identity;
  if (!take("understudy-disk", &version)) return Corrupt("not an identity file");
  // Version 1 had one slot of the same text.
  if (version != "1" && version != "2") return Status(StatusCode::kUnsupported, "identity: version " + version);
  if (!take("disk", &disk) || !take("boot", &boot) || !take("retired", &identity.retired_reason) ||
      !take("crc32c", &crc)) {
    return Corrupt("a line is missing");
  }
  const size_t covered = text.rfind("crc32c ");
  if (crc != std::to_string(Crc32c(std::string_view(text).substr(0, covered)))) return Corrupt("checksum mismatch");
  if (!FromHex(disk, &identity.disk) || identity.disk.none()) return Corrupt("disk is no id");
  const auto [end, error] = std::from_chars(boot.data(), boot.data() + boot.size(), identity.boot_count);
  if (error != std::errc() || end != boot.data() + boot.size()) return Corrupt("boot is no number");
  return identity;
}

Result<std::optional<DiskIdentity>> IdentityFile::Read() {
  const Result<std::string> content = ReadWholeFile(files_, path_, kSlots * kSlotBytes);
  if (!content.ok() && content.status().code() == StatusCode::kNotFound) return std::optional<DiskIdentity>();
  if (!content.ok()) return content.status();
  std::optional<DiskIdentity> newest;
  Status damage;
  for (size_t slot = 0; slot * kSlotBytes < content->size(); ++slot) {
    std::string text = content->substr(slot * kSlotBytes, kSlotBytes);
    if (const size_t end = text.find('\0'); end != std::string::npos) text.resize(end);
    const Result<DiskIdentity> found = DecodeIdentity(text);
    if (!found.ok()) {
      // A later version's slot may be the newest: nothing older is taken in its place.
      if (found.status().code() == StatusCode::kUnsupported) return found.status().WithContext(path_);
      if (damage.ok()) damage = found.status();
      continue;
    }
    const auto age = [](const DiskIdentity& one) { return std::pair(one.boot_count, !one.retired_reason.empty()); };
    if (newest && age(*newest) >= age(*found)) continue;
    newest = *found;
    newest_ = slot;
  }
  if (!newest) return (damage.ok() ? Corrupt("the file is empty") : damage).WithContext(path_);
  return newest;
}

Status IdentityFile::Write(const DiskIdentity& identity) {
  std::string text = EncodeIdentity(identity);
  UNDERSTUDY_CHECK(text.size() <= kSlotBytes);
  text.resize(kSlotBytes, '\0');
  if (!newest_) {
    UNDERSTUDY_RETURN_IF_ERROR(ReplaceFile(files_, path_, text + std::string((kSlots - 1) * kSlotBytes, '\0')));
    newest_ = 0;
    return Status::Ok();
  }
  UNDERSTUDY_RETURN_IF_ERROR(WriteSlot((*newest_ + 1) % kSlots, text));
  // For good: no slot that rots may bring a retired disk back.
  return identity.retired_reason.empty() ? Status::Ok() : WriteSlot((*newest_ + 1) % kSlots, text);
}

Status IdentityFile::WriteSlot(size_t slot, const std::string& text) {
  Result<std::unique_ptr<WritableFile>> file = files_->OpenForWrite(path_, FileSystem::OpenMode::kExisting);
  if (!file.ok()) return file.status();
  UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteAt(slot * kSlotBytes, text));
  UNDERSTUDY_RETURN_IF_ERROR((*file)->Sync());
  newest_ = slot;
  return Status::Ok();
}

}  // namespace understudy

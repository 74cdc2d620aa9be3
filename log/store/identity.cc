#include "log/store/identity.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "log/format/crc32c.h"

namespace understudy {
namespace {

constexpr size_t kIdentityBytesMax = 4096;
constexpr size_t kReasonBytesMax = 1024;

Status Corrupt(const char* what) { return {StatusCode::kCorruption, std::string("identity: ") + what}; }

}  // namespace

std::string EncodeIdentity(const DiskIdentity& identity) {
  std::string reason = identity.retired_reason.substr(0, kReasonBytesMax);
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  std::ostringstream out;
  out << "understudy-disk 1\ndisk " << ToHex(identity.disk) << "\nboot " << identity.boot_count << "\nretired "
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
  if (version != "1") return Status(StatusCode::kUnsupported, "identity: version " + version);
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

Result<std::optional<DiskIdentity>> ReadIdentity(FileSystem* files, const std::string& path) {
  const Result<std::string> text = ReadWholeFile(files, path, kIdentityBytesMax);
  if (!text.ok() && text.status().code() == StatusCode::kNotFound) return std::optional<DiskIdentity>();
  if (!text.ok()) return text.status();
  const Result<DiskIdentity> identity = DecodeIdentity(*text);
  if (!identity.ok()) return identity.status().WithContext(path);
  return std::optional(*identity);
}

Status WriteIdentity(FileSystem* files, const std::string& path, const DiskIdentity& identity) {
  return ReplaceFile(files, path, EncodeIdentity(identity));
}

}  // namespace understudy

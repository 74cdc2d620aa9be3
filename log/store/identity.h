// Who a data directory is: its disk id, how often it was started, whether it is retired. A small text file that an
// operator may read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "log/env/file.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

struct DiskIdentity {
  DiskId disk;
  uint64_t boot_count = 0;
  std::string retired_reason;  // empty: in service. One line
  bool operator==(const DiskIdentity&) const = default;
};

std::string EncodeIdentity(const DiskIdentity& identity);
// kCorruption, kUnsupported.
Result<DiskIdentity> DecodeIdentity(const std::string& text);

// The file has two slots, written in turn and in place: a server that starts on a full disk can raise its boot count,
// and a writing that a crash tears leaves the slot before it whole. Not thread-safe.
class IdentityFile {
 public:
  IdentityFile(FileSystem* files, std::string path) : files_(files), path_(std::move(path)) {}

  // Nothing when the file does not exist. To be called before the first Write.
  Result<std::optional<DiskIdentity>> Read();
  // Durable. After an error what was there before stands, or this does.
  Status Write(const DiskIdentity& identity);

 private:
  Status WriteSlot(size_t slot, const std::string& text);

  FileSystem* const files_;
  const std::string path_;
  std::optional<size_t> newest_;  // slot; none: there is no file yet
};

}  // namespace understudy

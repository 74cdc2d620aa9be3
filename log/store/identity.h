// Who a data directory is: its disk id, how often it was started, whether it is retired. A small text file, replaced
// as a whole, that an operator may read.
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

// Nothing when the file does not exist.
Result<std::optional<DiskIdentity>> ReadIdentity(FileSystem* files, const std::string& path);
Status WriteIdentity(FileSystem* files, const std::string& path, const DiskIdentity& identity);  // durable

}  // namespace understudy

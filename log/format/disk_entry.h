// A disk's entry in the cluster's metadata, "/understudy/<cluster>/disks/<id>", stored as JSON. Written by its log
// server at every start (address, boot count, zone); `state` is also changed by operators.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

enum class DiskState : int {
  kActive,    // takes new epochs
  kDraining,  // is to be emptied: takes no new epochs, its closed ones are copied elsewhere
  kRetired,   // damaged or rolled back: only a source of copies; what it held counts as lost until copied elsewhere
};
const char* DiskStateName(DiskState state);  // "active", "draining", "retired"

struct DiskEntry {
  DiskId disk;
  std::string node;
  std::string address;
  uint64_t boot_count = 0;
  std::string zone;  // what fails together; empty: the node alone
  DiskState state = DiskState::kActive;
  bool operator==(const DiskEntry&) const = default;
};

std::string EncodeDiskEntry(const DiskEntry& entry);
// kCorruption. An entry without zone or state is of an active disk without a zone.
Result<DiskEntry> DecodeDiskEntry(std::string_view json);

}  // namespace understudy

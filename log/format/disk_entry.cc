#include "log/format/disk_entry.h"

#include <nlohmann/json.hpp>

namespace understudy {
namespace {

using Json = nlohmann::json;

constexpr DiskState kStates[] = {DiskState::kActive, DiskState::kDraining, DiskState::kRetired};

bool ReadState(const Json& value, DiskState* state) {
  for (const DiskState each : kStates) {
    if (value != DiskStateName(each)) continue;
    *state = each;
    return true;
  }
  return false;
}

}  // namespace

const char* DiskStateName(DiskState state) {
  switch (state) {
    case DiskState::kActive:
      return "active";
    case DiskState::kDraining:
      return "draining";
    case DiskState::kRetired:
      return "retired";
  }
  return "unknown";
}

std::string EncodeDiskEntry(const DiskEntry& entry) {
  return Json{{"disk", ToHex(entry.disk)},      {"node", entry.node}, {"address", entry.address},
              {"boot_count", entry.boot_count}, {"zone", entry.zone}, {"state", DiskStateName(entry.state)}}
      .dump();
}

Result<DiskEntry> DecodeDiskEntry(std::string_view json) {
  const Json value = Json::parse(json, nullptr, false);
  const Status malformed(StatusCode::kCorruption, "disk entry is not {disk, node, address, boot_count, zone?, state?}");
  if (!value.is_object()) return malformed;
  for (const char* field : {"disk", "node", "address"}) {
    if (!value.contains(field) || !value[field].is_string()) return malformed;
  }
  if (!value.contains("boot_count") || !value["boot_count"].is_number_unsigned()) return malformed;
  DiskEntry entry;
  if (!FromHex(value["disk"].get<std::string>(), &entry.disk)) return malformed;
  entry.node = value["node"];
  entry.address = value["address"];
  entry.boot_count = value["boot_count"];
  if (value.contains("zone")) {
    if (!value["zone"].is_string()) return malformed;
    entry.zone = value["zone"];
  }
  if (value.contains("state") && !ReadState(value["state"], &entry.state)) return malformed;
  return entry;
}

}  // namespace understudy

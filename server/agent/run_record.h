// What an agent writes down of the application it runs, so that its successor finds that process again, and no other:
// a pid alone is reused, and start times count from the boot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "understudy/status.h"

namespace understudy {

struct RunRecord {
  std::string boot_id;  // of the kernel's present run
  int64_t pid = 0;
  int64_t start_ticks = 0;
  std::string service;
  int64_t memory_limit_bytes = 0;
  bool operator==(const RunRecord&) const = default;
};

std::string EncodeRunRecord(const RunRecord& record);
std::optional<RunRecord> DecodeRunRecord(const std::string& json);  // nullopt: not one

// /proc/sys/kernel/random/boot_id; empty when it cannot be read.
std::string BootId();

}  // namespace understudy

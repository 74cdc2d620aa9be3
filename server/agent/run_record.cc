#include "server/agent/run_record.h"

#include <nlohmann/json.hpp>

#include "log/env/small_files.h"

namespace understudy {

using Json = nlohmann::json;

std::string EncodeRunRecord(const RunRecord& record) {
  return Json{{"boot_id", record.boot_id},
              {"pid", record.pid},
              {"start_ticks", record.start_ticks},
              {"service", record.service},
              {"memory_limit_bytes", record.memory_limit_bytes}}
      .dump();
}

std::optional<RunRecord> DecodeRunRecord(const std::string& json) {
  const Json value = Json::parse(json, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  for (const char* text : {"boot_id", "service"}) {
    if (!value.contains(text) || !value[text].is_string()) return std::nullopt;
  }
  for (const char* number : {"pid", "start_ticks", "memory_limit_bytes"}) {
    if (!value.contains(number) || !value[number].is_number_integer()) return std::nullopt;
  }
  return RunRecord{value["boot_id"], value["pid"], value["start_ticks"], value["service"], value["memory_limit_bytes"]};
}

std::string BootId() {
  Result<std::string> id = ReadSmallFile("/proc/sys/kernel/random/boot_id", 64);
  if (!id.ok()) return "";
  while (!id->empty() && id->back() == '\n') id->pop_back();
  return std::move(id).value();
}

}  // namespace understudy

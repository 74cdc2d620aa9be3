#include "tests/chaos/client/history_log.h"

#include <cerrno>
#include <cstring>

namespace understudy::chaos {

HistoryLog::~HistoryLog() {
  if (file_ != nullptr) {
    std::fclose(file_);
  }
}

Status HistoryLog::Open(const std::string& path) {
  file_ = std::fopen(path.c_str(), "w");
  return file_ != nullptr ? Status::Ok() : Status(StatusCode::kIoError, path + ": " + std::strerror(errno));
}

void HistoryLog::Add(nlohmann::json operation, int64_t process, int64_t invoked_ns,
                     std::optional<int64_t> completed_ns) {
  operation["process"] = process;
  operation["invoked_ns"] = invoked_ns;
  operation["completed_ns"] = completed_ns.has_value() ? nlohmann::json(*completed_ns) : nlohmann::json();
  const std::string line = operation.dump() + "\n";
  const std::lock_guard guard(mutex_);
  failed_ = std::fwrite(line.data(), 1, line.size(), file_) != line.size() || failed_;
}

Status HistoryLog::Flush() {
  const std::lock_guard guard(mutex_);
  failed_ = std::fflush(file_) != 0 || failed_;
  return failed_ ? Status(StatusCode::kIoError, "the history could not be written") : Status::Ok();
}

}  // namespace understudy::chaos

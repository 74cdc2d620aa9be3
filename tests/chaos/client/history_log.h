// The history, as tests/linearizability reads it. Thread-safe.
#pragma once

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "understudy/status.h"

namespace understudy::chaos {

class HistoryLog {
 public:
  HistoryLog() = default;
  ~HistoryLog();
  HistoryLog(const HistoryLog&) = delete;
  HistoryLog& operator=(const HistoryLog&) = delete;

  Status Open(const std::string& path);
  // `operation` has op, key and arg; and result, when it was answered.
  void Add(nlohmann::json operation, int64_t process, int64_t invoked_ns, std::optional<int64_t> completed_ns);
  // kIoError when anything could not be written: a history with holes proves nothing.
  Status Flush();

 private:
  std::mutex mutex_;
  std::FILE* file_ = nullptr;
  bool failed_ = false;
};

}  // namespace understudy::chaos

#include "log/env/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace understudy {
namespace {

std::atomic<int> level_min{static_cast<int>(LogLevel::kInfo)};
std::atomic<bool> has_sink{false};

// Never destroyed: threads may log while the program ends.
std::mutex& SinkMutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}
std::shared_ptr<const LogSink>& Sink() {
  static auto* sink = new std::shared_ptr<const LogSink>;
  return *sink;
}

spdlog::logger* Stderr() {
  static auto* logger = [] {
    auto* made = new spdlog::logger("understudy", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%-7l%$ %v");
    made->set_level(spdlog::level::debug);
    return made;
  }();
  return logger;
}

spdlog::level::level_enum Translate(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void LogLine(LogLevel level, std::string_view component, std::string_view message) {
  if (static_cast<int>(level) < level_min.load(std::memory_order_relaxed)) return;
  if (has_sink.load(std::memory_order_acquire)) {
    std::shared_ptr<const LogSink> sink;
    {
      const std::lock_guard lock(SinkMutex());
      sink = Sink();
    }
    if (sink != nullptr) return (*sink)(level, component, message);
  }
  Stderr()->log(Translate(level), "{}: {}", component, message);
}

void SetLogLevel(LogLevel level) { level_min.store(static_cast<int>(level), std::memory_order_relaxed); }

void SetLogSink(LogSink sink) {
  const std::lock_guard lock(SinkMutex());
  has_sink.store(sink != nullptr, std::memory_order_release);
  Sink() = sink == nullptr ? nullptr : std::make_shared<const LogSink>(std::move(sink));
}

}  // namespace understudy

// What the running system says to its operators: lines on stderr, each with time, level, component and text. The
// library behind it stays in the .cc.
#pragma once

#include <functional>
#include <string_view>

namespace understudy {

enum class LogLevel : int { kDebug = 0, kInfo, kWarning, kError };

// Thread-safe, never fails, never blocks on anything but the write to stderr. `component` is one short word ("store").
void LogLine(LogLevel level, std::string_view component, std::string_view message);
inline void LogDebug(std::string_view component, std::string_view message) {
  LogLine(LogLevel::kDebug, component, message);
}
inline void LogInfo(std::string_view component, std::string_view message) {
  LogLine(LogLevel::kInfo, component, message);
}
inline void LogWarning(std::string_view component, std::string_view message) {
  LogLine(LogLevel::kWarning, component, message);
}
inline void LogError(std::string_view component, std::string_view message) {
  LogLine(LogLevel::kError, component, message);
}

// Lines below `level` are dropped; kInfo at the start. Thread-safe.
void SetLogLevel(LogLevel level);

// Lines that pass the level go to `sink` instead of stderr; null: back to stderr. `sink` may be called on any thread.
// For tests, and for programs that have a log of their own.
using LogSink = std::function<void(LogLevel level, std::string_view component, std::string_view message)>;
void SetLogSink(LogSink sink);

}  // namespace understudy

// A trace: the metrics of one node or process over time, and what happened to it. NAME.csv and NAME.events.json
// (docs/formats.md, "Traces"). All functions may be called from any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "log/env/file.h"
#include "understudy/status.h"

namespace understudy::trace {

// Bounds on what is read, so that a wrong file costs an error and not the machine's memory.
inline constexpr size_t kCsvBytesMax = size_t{1} << 30;
inline constexpr size_t kEventsBytesMax = size_t{16} << 20;
inline constexpr size_t kMetricsMax = 1024;
inline constexpr size_t kMetricNameBytesMax = 128;    // as in the predictor SDK
inline constexpr size_t kCellsMax = size_t{1} << 27;  // rows x (metrics + 1): 1 GiB of numbers
inline constexpr size_t kEventsMax = 100'000;
inline constexpr size_t kNoteBytesMax = 4096;
inline constexpr double kTimeMaxS = 9e9;  // 285 years either way: fits 64-bit nanoseconds

struct Event {
  enum Kind { kFailure, kDegradation, kRestart };
  double time_s = 0;  // begins
  double end_s = 0;   // ends; time_s when the file does not say
  Kind kind = kFailure;
  std::string note;
  bool operator==(const Event&) const = default;
};
const char* EventKindName(Event::Kind kind);  // "failure"

struct Trace {
  std::string name;  // of the file, without folder and ending
  std::vector<std::string> metrics;
  std::vector<double> time_s;                // strictly ascending, unless read with TimeFaults::kKeep
  std::vector<std::vector<double>> columns;  // columns[metric][row]; NaN: missing
  std::vector<Event> events;                 // by time_s
  size_t time_faults = 0;                    // rows of the file that were not later than those before them

  size_t rows() const { return time_s.size(); }
};

// What becomes of a row whose time is not later than that of every row before it (a clock set back, an agent that
// repeats itself).
enum class TimeFaults {
  kDrop,    // it is left out and counted, as a live system does with a sample that comes too late
  kRefuse,  // the trace is refused, with the line
  kKeep,    // it stays, as it is: to see what a predictor makes of an agent that lies about time
};

struct ReadOptions {
  TimeFaults time_faults = TimeFaults::kDrop;
  FileSystem* files = nullptr;  // the system's when null
};

// Reads NAME.csv and NAME.events.json beside it; without the latter there are no events. kNotFound, kResourceExhausted
// (beyond a bound above), kInvalidArgument: the message says file:line:column.
Result<Trace> ReadTrace(const std::string& csv_path, const ReadOptions& options = {});

// The same from text; `where` stands for the file in messages. ParseCsv leaves name and events alone.
Status ParseCsv(const std::string& text, const std::string& where, TimeFaults time_faults, Trace* trace);
Status ParseEvents(const std::string& text, const std::string& where, std::vector<Event>* events);

// Text that reads back to the same numbers, bit by bit. kInvalidArgument: a name or a shape no file can have.
Result<std::string> FormatCsv(const Trace& trace);
std::string FormatEvents(const std::vector<Event>& events);

// Writes both files, each atomically and durably (trace.name is not looked at). An existing trace is replaced.
Status WriteTrace(const Trace& trace, const std::string& csv_path, FileSystem* files = nullptr);

// The .csv files among `paths`: files are taken as they are (NAME.events.json is passed over, as it belongs to its
// .csv), folders are searched with all below them. Sorted, without doubles. kNotFound: a path that does not exist, or a
// folder without a .csv.
Result<std::vector<std::string>> FindTraces(const std::vector<std::string>& paths);

// "a/NAME.csv" -> "a/NAME.events.json" and "NAME".
std::string EventsPath(const std::string& csv_path);
std::string TraceName(const std::string& csv_path);

}  // namespace understudy::trace

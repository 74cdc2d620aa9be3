#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "predictors/trace/trace.h"

namespace understudy::trace {
namespace {

using Json = nlohmann::json;

Status Bad(const std::string& where, const std::string& what) {
  return {StatusCode::kInvalidArgument, where + ": " + what};
}

Status ParseEvent(const Json& json, const std::string& at, Event* event) {
  if (!json.is_object()) return Bad(at, "an object is needed");
  bool has_time = false, has_end = false, has_kind = false;
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "time_s" || key == "end_s") {
      if (!value.is_number()) return Bad(field, "a number of seconds is needed");
      const double seconds = value.get<double>();
      if (!(std::abs(seconds) <= kTimeMaxS)) return Bad(field, "too far");
      (key == "time_s" ? event->time_s : event->end_s) = seconds;
      (key == "time_s" ? has_time : has_end) = true;
    } else if (key == "kind") {
      const std::string kind = value.is_string() ? value.get<std::string>() : "";
      if (kind == "failure") {
        event->kind = Event::kFailure;
      } else if (kind == "degradation") {
        event->kind = Event::kDegradation;
      } else if (kind == "restart") {
        event->kind = Event::kRestart;
      } else {
        return Bad(field, "one of failure, degradation, restart is needed");
      }
      has_kind = true;
    } else if (key == "note") {
      if (!value.is_string()) return Bad(field, "a string is needed");
      event->note = value.get<std::string>();
      if (event->note.size() > kNoteBytesMax) return Bad(field, "longer than 4096 bytes");
    } else {
      return Bad(field, "unknown field; known are time_s, end_s, kind, note");
    }
  }
  if (!has_time) return Bad(at + ".time_s", "required");
  if (!has_kind) return Bad(at + ".kind", "required");
  if (!has_end) event->end_s = event->time_s;
  if (event->end_s < event->time_s) return Bad(at + ".end_s", "before time_s");
  return {};
}

}  // namespace

const char* EventKindName(Event::Kind kind) {
  switch (kind) {
    case Event::kFailure:
      return "failure";
    case Event::kDegradation:
      return "degradation";
    case Event::kRestart:
      return "restart";
  }
  return "failure";
}

Status ParseEvents(const std::string& text, const std::string& where, std::vector<Event>* events) {
  events->clear();
  Json json;
  try {
    // The depth is bounded here, as the parser itself has no bound: events are objects in one array.
    const auto shallow = [](int depth, Json::parse_event_t, Json&) {
      if (depth > 4) throw std::length_error("nested too deeply");
      return true;
    };
    json = Json::parse(text, shallow);
  } catch (const Json::exception& error) {
    const std::string what = error.what();  // "[json.exception.parse_error.101] parse error at line 2, column 3: ..."
    const size_t from = what.find("] ");
    return Bad(where, from == std::string::npos ? what : what.substr(from + 2));
  } catch (const std::length_error& error) {
    return Bad(where, error.what());
  }
  if (!json.is_array()) return Bad(where, "an array of events is needed");
  if (json.size() > kEventsMax) return {StatusCode::kResourceExhausted, where + ": more than 100000 events"};
  for (size_t i = 0; i < json.size(); ++i) {
    Event event;
    UNDERSTUDY_RETURN_IF_ERROR(ParseEvent(json[i], where + ": [" + std::to_string(i) + "]", &event));
    events->push_back(std::move(event));
  }
  std::stable_sort(events->begin(), events->end(), [](const Event& a, const Event& b) { return a.time_s < b.time_s; });
  return {};
}

std::string FormatEvents(const std::vector<Event>& events) {
  Json json = Json::array();
  for (const Event& event : events) {
    Json one = {{"time_s", event.time_s}, {"kind", EventKindName(event.kind)}};
    if (event.end_s > event.time_s) one["end_s"] = event.end_s;
    if (!event.note.empty()) one["note"] = event.note;
    json.push_back(std::move(one));
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string EventsPath(const std::string& csv_path) {
  std::filesystem::path path(csv_path);
  return path.replace_extension(".events.json").string();
}

std::string TraceName(const std::string& csv_path) { return std::filesystem::path(csv_path).stem().string(); }

Result<Trace> ReadTrace(const std::string& csv_path, const ReadOptions& options) {
  FileSystem* files = options.files != nullptr ? options.files : SystemFileSystem();
  Trace trace;
  trace.name = TraceName(csv_path);
  {
    const Result<std::string> text = ReadWholeFile(files, csv_path, kCsvBytesMax);
    if (!text.ok()) return text.status();
    UNDERSTUDY_RETURN_IF_ERROR(ParseCsv(*text, csv_path, options.time_faults, &trace));
  }
  const std::string events_path = EventsPath(csv_path);
  const Result<std::string> events = ReadWholeFile(files, events_path, kEventsBytesMax);
  if (events.ok()) {
    UNDERSTUDY_RETURN_IF_ERROR(ParseEvents(*events, events_path, &trace.events));
  } else if (events.status().code() != StatusCode::kNotFound) {
    return events.status();
  }
  return trace;
}

Status WriteTrace(const Trace& trace, const std::string& csv_path, FileSystem* files) {
  if (files == nullptr) files = SystemFileSystem();
  const Result<std::string> csv = FormatCsv(trace);
  if (!csv.ok()) return csv.status().WithContext(csv_path);
  // The events first: a reader that finds the csv finds what belongs to it.
  UNDERSTUDY_RETURN_IF_ERROR(ReplaceFile(files, EventsPath(csv_path), FormatEvents(trace.events)));
  return ReplaceFile(files, csv_path, *csv);
}

Result<std::vector<std::string>> FindTraces(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::vector<std::string> found;
  std::error_code error;
  for (const std::string& path : paths) {
    if (path.ends_with(".events.json")) continue;  // of `traces/*`: read with its .csv
    if (!fs::exists(path, error)) return Status(StatusCode::kNotFound, path + ": no such file or folder");
    if (!fs::is_directory(path, error)) {
      found.push_back(path);
      continue;
    }
    const size_t before = found.size();
    fs::recursive_directory_iterator entry(path, error), end;
    for (; !error && entry != end; entry.increment(error)) {
      if (entry->path().extension() == ".csv" && entry->is_regular_file(error)) found.push_back(entry->path().string());
    }
    if (error) return Status(StatusCode::kIoError, path + ": " + error.message());
    if (found.size() == before) return Status(StatusCode::kNotFound, path + ": no .csv file in this folder");
  }
  if (found.empty()) return Status(StatusCode::kNotFound, "no .csv file is named");
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace understudy::trace

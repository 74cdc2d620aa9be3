#include "server/agent/recorder.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Status Recorder::Open() { return CreateDirs(files_, options_.folder); }

void Recorder::Begin(const NodeSample& sample) {
  trace_ = {};
  began_ms_ = sample.monotonic_ms;
  path_ = options_.folder + "/" + options_.node + "-" + std::to_string(sample.unix_ms) + ".csv";
  failed_ = false;
  file_.reset();
  RemoveOld();
  Result<std::unique_ptr<WritableFile>> file = files_->OpenForWrite(path_, FileSystem::OpenMode::kTruncate);
  if (!file.ok()) return Report(file.status());
  file_ = std::move(*file);
}

void Recorder::RemoveOld() {
  const Result<std::vector<std::string>> names = files_->ListDir(options_.folder);
  if (!names.ok()) return Report(names.status());
  const std::string prefix = options_.node + "-";
  std::vector<std::string> ours;
  for (const std::string& name : *names) {
    // Another node's name may go on where this one's ends: only digits follow here.
    if (!name.starts_with(prefix) || !name.ends_with(".csv")) continue;
    const std::string middle = name.substr(prefix.size(), name.size() - prefix.size() - 4);
    if (!middle.empty() && std::all_of(middle.begin(), middle.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      ours.push_back(options_.folder + "/" + name);
    }
  }
  for (size_t i = 0; i + options_.files_max <= ours.size(); ++i) {
    Report(files_->Remove(ours[i]));
    if (const Result<bool> there = files_->Exists(trace::EventsPath(ours[i])); there.ok() && *there) {
      Report(files_->Remove(trace::EventsPath(ours[i])));
    }
  }
}

void Recorder::Add(const NodeSample& sample) {
  if (path_.empty() || trace_.rows() >= options_.rows_max) Begin(sample);
  const double time_s = Seconds(sample.monotonic_ms);
  if (!trace_.time_s.empty() && time_s <= trace_.time_s.back()) return;
  trace_.time_s.push_back(time_s);
  for (std::vector<double>& column : trace_.columns) column.push_back(kMissing);
  bool grown = false;
  for (const Metric& metric : sample.metrics) {
    auto at = std::find(trace_.metrics.begin(), trace_.metrics.end(), metric.name);
    if (at == trace_.metrics.end()) {
      if (trace_.metrics.size() == trace::kMetricsMax) continue;
      at = trace_.metrics.insert(at, metric.name);
      trace_.columns.emplace_back(trace_.rows(), kMissing);
      grown = true;
    }
    trace_.columns[static_cast<size_t>(at - trace_.metrics.begin())].back() = metric.value;
  }
  if (file_ != nullptr && !trace_.metrics.empty()) Report(grown ? Rewrite() : Append());
}

Status Recorder::Rewrite() {
  const Result<std::string> text = trace::FormatCsv(trace_);
  if (!text.ok()) return text.status();
  UNDERSTUDY_RETURN_IF_ERROR(file_->Truncate(0));
  size_ = text->size();
  return file_->WriteAt(0, *text);
}

Status Recorder::Append() {
  trace::Trace row;
  row.metrics = trace_.metrics;
  row.time_s = {trace_.time_s.back()};
  for (const std::vector<double>& column : trace_.columns) row.columns.push_back({column.back()});
  const Result<std::string> text = trace::FormatCsv(row);
  if (!text.ok()) return text.status();
  const std::string_view line = std::string_view(*text).substr(text->find('\n') + 1);
  UNDERSTUDY_RETURN_IF_ERROR(file_->WriteAt(size_, line));
  size_ += line.size();
  return Status::Ok();
}

void Recorder::Note(trace::Event::Kind kind, const std::string& note, int64_t monotonic_ms) {
  if (path_.empty()) return;
  const double time_s = Seconds(monotonic_ms);
  trace_.events.push_back({time_s, time_s, kind, note.substr(0, trace::kNoteBytesMax)});
  if (trace_.events.size() > trace::kEventsMax) trace_.events.pop_back();
  Result<std::unique_ptr<WritableFile>> file =
      files_->OpenForWrite(trace::EventsPath(path_), FileSystem::OpenMode::kTruncate);
  Report(file.ok() ? (*file)->WriteAt(0, trace::FormatEvents(trace_.events)) : file.status());
}

void Recorder::Report(const Status& status) {
  if (status.ok()) return;
  file_.reset();  // what stands in it may end within a row: nothing is put after that
  if (failed_) return;
  failed_ = true;
  LogWarning("agent", "recording of " + options_.node + ": " + status.ToString());
}

}  // namespace understudy

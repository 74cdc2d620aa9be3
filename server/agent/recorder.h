// Writes the samples of a node, and when its application started and ended, as traces (docs/formats.md, "Traces"): so a
// user's own incidents become tests and training data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "log/env/file.h"
#include "log/protocol/control_messages.h"
#include "predictors/trace/trace.h"
#include "understudy/status.h"

namespace understudy {

struct RecorderOptions {
  std::string folder;      // made if absent
  std::string node;        // files are called NODE-UNIXMILLISECONDS.csv, of its first sample
  size_t rows_max = 3600;  // then a new file is begun
  size_t files_max = 168;  // of this node; the oldest are removed
};

// Not thread-safe. Never waits for the disk: a crash of the machine may lose what was written last. A file that cannot
// be written costs one warning, and is tried again with the next one.
class Recorder {
 public:
  // `files` is borrowed.
  Recorder(FileSystem* files, RecorderOptions options) : files_(files), options_(std::move(options)) {}

  // kIoError, kInvalidArgument: the folder cannot be made.
  Status Open();
  void Add(const NodeSample& sample);
  // What became of the application now; before the first sample it is not noted.
  void Note(trace::Event::Kind kind, const std::string& note, int64_t monotonic_ms);

 private:
  void Begin(const NodeSample& sample);
  void RemoveOld();
  // Rewrites what there is of the file: a metric came that it has no column for.
  Status Rewrite();
  Status Append();
  void Report(const Status& status);
  double Seconds(int64_t monotonic_ms) const { return static_cast<double>(monotonic_ms - began_ms_) * 1e-3; }

  FileSystem* files_;
  RecorderOptions options_;
  trace::Trace trace_;
  int64_t began_ms_ = 0;
  std::string path_;  // of the csv; empty: none begun
  std::unique_ptr<WritableFile> file_;
  uint64_t size_ = 0;
  bool failed_ = false;  // said so, of this file
};

}  // namespace understudy

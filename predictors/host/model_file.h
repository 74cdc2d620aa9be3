// Plugins open no file. One that needs a trained model has {"model_file": "PATH", ...} in its configuration, and
// whoever makes an instance reads the file and hands over {"model": {...}, ...} in its place: hosts, backtests, checks,
// all by this function. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "understudy/status.h"

namespace understudy {

inline constexpr size_t kModelFileBytesMax = 4u << 20;  // a create call with it stays far below a frame

// `config` as it is when it names no file (or is no JSON object: the plugin says what is wrong with it). Otherwise with
// the file's JSON in place of its path. The file's own meaning is the plugin's to check. kInvalidArgument, with a
// message that begins with "model_file: ".
Result<std::string> ResolveModelFile(const std::string& config);

// The path that `config` names; empty when it names none.
std::string ModelFilePath(const std::string& config);

// What a file looks like from outside. It changes when the file appears, goes, is replaced or written to.
struct ModelFileStamp {
  uint64_t device = 0, inode = 0;  // all 0: there is no such file
  int64_t bytes = 0, modified_ns = 0, changed_ns = 0;
  bool operator==(const ModelFileStamp&) const = default;
};
ModelFileStamp StampModelFile(const std::string& path);

}  // namespace understudy

// LevelDB over our FileSystem, so that its files lose power and run full in tests as the journal's do.
#pragma once

#include <leveldb/env.h>

#include <memory>
#include <string_view>

#include "log/env/file.h"
#include "understudy/status.h"

namespace understudy {

// Threads and time are LevelDB's own; its info log is dropped. `files` must outlive the result.
std::unique_ptr<leveldb::Env> NewLevelDbEnv(FileSystem* files);

// LevelDB's status as ours, with `context` in front: kNotFound, kCorruption, kResourceExhausted (disk full), kIoError.
Status FromLevelDb(const leveldb::Status& status, std::string_view context);

}  // namespace understudy

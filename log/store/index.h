// What must be found in the journal, in LevelDB: extents of batches, tails, seals, trim LSNs, which log uses which
// segment, and up to where the journal is indexed. Written in the background, in atomic synced steps; the journal
// behind the position is scanned at Open.
#pragma once

#include <leveldb/write_batch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "log/env/file.h"
#include "log/env/overlay_file_system.h"
#include "log/store/log_store.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace leveldb {
class DB;
class Env;
}  // namespace leveldb

namespace understudy {

struct LogEpoch {
  LogId log;
  Epoch epoch;
  auto operator<=>(const LogEpoch&) const = default;
};

// A stretch of a segment that holds consecutive batches of one (log, epoch), possibly with others between them. Begins
// at the first one's entry header.
struct Extent {
  Lsn first;
  Lsn last;
  uint64_t segment = 0;
  uint64_t offset = 0;
  uint64_t end = 0;
  uint64_t batch_bytes = 0;  // of its own batches
  bool operator==(const Extent&) const = default;
};

struct EpochRecord {
  AttemptId attempt;
  Lsn epoch_first_lsn;
  Lsn tail;
  BatchIdentity last;
  bool operator==(const EpochRecord&) const = default;
};

struct LogRecord {
  Epoch sealed;
  Lsn trim;
  bool operator==(const LogRecord&) const = default;
};

// What one segment holds of one (log, epoch): it is dead once all of these are trimmed.
struct SegmentUse {
  Lsn first;
  Lsn last;
  uint64_t bytes = 0;
};

// Everything of the journal before it is in the index.
struct JournalPosition {
  uint64_t segment = 0;  // 0: nothing yet
  uint64_t offset = 0;
  uint64_t next_group = 1;
  bool operator==(const JournalPosition&) const = default;
};

struct IndexContent {
  std::vector<std::pair<LogId, LogRecord>> logs;
  std::vector<std::pair<LogEpoch, EpochRecord>> epochs;
  std::vector<std::tuple<uint64_t, LogEpoch, SegmentUse>> uses;
  JournalPosition position;
};

class IndexBatch {
 public:
  void PutExtent(const LogEpoch& of, const Extent& extent);
  void EraseExtent(const LogEpoch& of, Lsn first);
  void PutEpoch(const LogEpoch& of, const EpochRecord& record);
  void EraseEpoch(const LogEpoch& of);
  void PutLog(LogId log, const LogRecord& record);
  void PutUse(uint64_t segment, const LogEpoch& of, const SegmentUse& use);
  void EraseUse(uint64_t segment, const LogEpoch& of);
  void SetPosition(const JournalPosition& position);
  void Append(const IndexBatch& later) { batch_.Append(later.batch_); }
  leveldb::WriteBatch* batch() { return &batch_; }

 private:
  leveldb::WriteBatch batch_;
};

// Thread-safe, except that Write and Reopen come from one thread at a time.
class Index {
 public:
  // Opens or creates `dir` for `disk`; kCorruption when it belongs to another. On a full disk it can be read all the
  // same: see writable.
  static Result<std::unique_ptr<Index>> Open(const std::string& dir, DiskId disk, FileSystem* files);
  ~Index();

  Result<IndexContent> Load();

  // Synced. After an error nothing can be written until Reopen; reads go on.
  Status Write(IndexBatch* batch);
  // kResourceExhausted: the disk is full, reads go on. After any other error they do not.
  Status Reopen();
  // False when the disk was full at Open or Reopen: what LevelDB must write to open at all is in memory only.
  bool writable() const { return overlay_ == nullptr; }

  // Extents of `of` in ascending order, from the one that holds or precedes `from` on, until `visit` says false.
  Status Visit(const LogEpoch& of, Lsn from, const std::function<bool(const Extent&)>& visit);

 private:
  Index(std::string dir, FileSystem* files);
  Status OpenDb();  // kResourceExhausted: for reading only
  Status OpenWith(leveldb::Env* env);

  const std::string dir_;
  FileSystem* const files_;
  const std::unique_ptr<leveldb::Env> env_;
  std::unique_ptr<OverlayFileSystem> overlay_;
  std::unique_ptr<leveldb::Env> overlay_env_;
  std::shared_mutex mutex_;  // exclusive while db_ is replaced
  std::unique_ptr<leveldb::DB> db_;
};

}  // namespace understudy

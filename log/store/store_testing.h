// A store over the file system in memory, driven step by step. For tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "log/env/faulty_file_system.h"
#include "log/env/logging.h"
#include "log/store/checkpoint_files.h"
#include "log/store/log_store.h"

namespace understudy {

class ManualClock : public Clock {
 public:
  Instant Now() override { return now; }
  int64_t WallUnixMs() override { return 0; }
  Instant now{1};
};

inline constexpr AttemptId kAttempt{7, 7};
inline constexpr char kDir[] = "/data";

inline BatchRef MakeBatch(LogId log, Epoch epoch, Lsn first, uint32_t count, size_t payload_bytes) {
  BatchBuilder builder;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t lsn = first.value() + i;
    std::string payload = std::to_string(log.value()) + "/" + std::to_string(epoch.value()) + "/" + std::to_string(lsn);
    payload.resize(payload_bytes, static_cast<char>('a' + lsn % 26));
    builder.Add(payload, lsn);
  }
  return std::make_shared<const std::string>(builder.Finish(log, epoch, first));
}

// Splits what a Read gave.
inline std::vector<std::string> SplitBatches(std::string_view bytes) {
  std::vector<std::string> batches;
  while (!bytes.empty()) {
    const Result<BatchHeader> header = PeekBatch(bytes);
    UNDERSTUDY_CHECK(header.ok());
    batches.emplace_back(bytes.substr(0, header->length));
    bytes.remove_prefix(header->length);
  }
  return batches;
}

// Drops log lines, for tests that provoke errors.
class QuietLog {
 public:
  QuietLog() {
    SetLogSink([](LogLevel, std::string_view, std::string_view) {});
  }
  ~QuietLog() { SetLogSink(nullptr); }
};

// A store that can crash and open again. Appends go to consecutive LSNs of each (log, epoch), from 1 on.
class TestStore {
 public:
  explicit TestStore(uint64_t seed) : files(seed), random_(seed) {
    options.segment_bytes = 64u << 10;
    options.background = false;
    options.cache_bytes_max = 0;  // reads come from the journal
  }
  ~TestStore() { store.reset(); }

  Status Open() {
    store.reset();
    auto opened = LogStore::Open(kDir, options, &files, &random_, &clock, &recovered);
    if (!opened.ok()) return opened.status();
    store = std::move(opened).value();
    return Status::Ok();
  }

  uint64_t Append(uint64_t log, uint64_t epoch, uint32_t count = 1, size_t payload_bytes = 20) {
    Lsn& tail = tails[{log, epoch}];
    JournalEntry entry;
    entry.log = LogId(log);
    entry.epoch = Epoch(epoch);
    entry.attempt = kAttempt;
    entry.epoch_first_lsn = Lsn(1);
    entry.batch = MakeBatch(entry.log, entry.epoch, tail + 1, count, payload_bytes);
    tail = tail + count;
    return store->Enqueue(std::move(entry));
  }
  uint64_t Seal(uint64_t log, uint64_t epoch) {
    JournalEntry entry;
    entry.kind = JournalKind::kSeal;
    entry.log = LogId(log);
    entry.epoch = Epoch(epoch);
    return store->Enqueue(std::move(entry));
  }
  uint64_t Trim(uint64_t log, uint64_t lsn) {
    JournalEntry entry;
    entry.kind = JournalKind::kTrim;
    entry.log = LogId(log);
    entry.lsn = Lsn(lsn);
    return store->Enqueue(std::move(entry));
  }
  // One group; `pending` false when there was none.
  GroupOutcome CommitOne(bool* pending = nullptr) {
    auto group = store->TakeGroup();
    if (pending != nullptr) *pending = group != nullptr;
    if (group == nullptr) return {};
    store->WriteAndSync(group.get());
    return store->FinishGroup(std::move(group));
  }
  // All that is queued.
  GroupOutcome Commit() {
    GroupOutcome all;
    while (store->HasPending()) {
      GroupOutcome one = CommitOne();
      all.durable_through = one.durable_through;
      all.failed.insert(all.failed.end(), one.failed.begin(), one.failed.end());
      all.fatal = one.fatal;
    }
    return all;
  }
  Result<std::string> Read(uint64_t log, uint64_t epoch, uint64_t from, uint64_t to = UINT64_MAX,
                           size_t bytes_max = 1u << 20) {
    return store->Read(LogId(log), Epoch(epoch), Lsn(from), Lsn(to), bytes_max);
  }
  // Whether [from, to] reads back as Append wrote it; says what is wrong.
  std::string Check(uint64_t log, uint64_t epoch, uint64_t from, uint64_t to) {
    uint64_t next = from;
    while (next <= to) {
      const Result<std::string> read = Read(log, epoch, next, to, 4096);
      if (!read.ok()) return "LSN " + std::to_string(next) + ": " + read.status().ToString();
      for (const std::string& bytes : SplitBatches(*read)) {
        const Result<BatchHeader> header = VerifyBatch(bytes);
        if (!header.ok()) return header.status().ToString();
        if (header->first_lsn.value() > next) return "hole before LSN " + std::to_string(header->first_lsn.value());
        BatchIterator it(bytes);
        for (Record record; it.Next(&record);) {
          const std::string want =
              std::to_string(log) + "/" + std::to_string(epoch) + "/" + std::to_string(record.lsn.value());
          if (record.payload.substr(0, want.size()) != want) return "wrong payload at " + want;
        }
        next = header->last_lsn().value() + 1;
      }
    }
    return "";
  }
  const RecoveredEpoch* Recovered(uint64_t log, uint64_t epoch) const {
    for (const RecoveredLog& l : recovered.logs) {
      for (const RecoveredEpoch& e : l.epochs) {
        if (l.log == LogId(log) && e.epoch == Epoch(epoch)) return &e;
      }
    }
    return nullptr;
  }
  const RecoveredLog* RecoveredOf(uint64_t log) const {
    for (const RecoveredLog& l : recovered.logs) {
      if (l.log == LogId(log)) return &l;
    }
    return nullptr;
  }
  std::vector<std::string> SegmentPaths() {
    std::vector<std::string> paths;
    const auto names = files.ListDir(std::string(kDir) + "/journal");
    if (!names.ok()) return paths;
    for (const std::string& name : *names) {
      if (name.ends_with(".seg")) paths.push_back(std::string(kDir) + "/journal/" + name);
    }
    return paths;
  }

  FaultyFileSystem files;
  ManualClock clock;
  LogStoreOptions options;
  RecoveredState recovered;
  std::map<std::pair<uint64_t, uint64_t>, Lsn> tails;  // enqueued
  std::unique_ptr<LogStore> store;

 private:
  SeededRandom random_;
};

}  // namespace understudy

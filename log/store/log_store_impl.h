// The inside of LogStore; nobody but its .cc files and their tests includes it.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "log/env/periodic_thread.h"
#include "log/store/catalog.h"
#include "log/store/checkpoint_files.h"
#include "log/store/identity.h"
#include "log/store/index.h"
#include "log/store/journal_scan.h"
#include "log/store/log_store.h"
#include "log/store/segment_files.h"
#include "log/store/tail_cache.h"

namespace understudy {

// An entry in the queue; seq 0 for the store's own (kRelocated).
struct QueuedEntry {
  uint64_t seq = 0;
  JournalEntry entry;
  uint64_t framed_bytes() const { return FramedBytes(entry); }
  static uint64_t FramedBytes(const JournalEntry& entry);  // in the journal
};

class JournalGroup : public CommitGroup {
 public:
  std::vector<QueuedEntry> entries;
  std::vector<GroupOutcome::Failed> failed;  // decided by TakeGroup: the disk is known to be full
  bool rotate = false;                       // the entries do not fit in the active segment
  bool needs_spare = false;                  // rotate only if a spare segment is left for seals afterwards
  uint64_t framed_bytes = 0;
  uint64_t number = 0;
  uint32_t nonce = 0;
  bool may_use_reserve = false;  // to rotate: seals, trims and copies only
  bool used_reserve = false;
  SegmentRef segment;  // where it was written
  uint64_t offset = 0;
  std::vector<uint64_t> entry_offsets;
  Status written;  // kOk, kResourceExhausted, or fatal
};

class LogStoreImpl : public LogStore {
 public:
  LogStoreImpl(std::string dir, const LogStoreOptions& options, FileSystem* files, Random* random, Clock* clock);
  ~LogStoreImpl() override;
  Status Recover(RecoveredState* recovered);
  void StartBackground();

  DiskId disk_id() const override { return identity_.disk; }
  Result<uint64_t> RaiseBootCount() override;
  Status Retire(const std::string& reason) override;
  std::string retired_reason() const override;
  Status Admit(const JournalEntry& entry) const override;
  uint64_t Enqueue(JournalEntry entry) override;
  bool HasPending() const override;
  std::unique_ptr<CommitGroup> TakeGroup() override;
  void WriteAndSync(CommitGroup* group) override;
  GroupOutcome FinishGroup(std::unique_ptr<CommitGroup> group) override;
  Result<std::string> Read(LogId log, Epoch epoch, Lsn from, Lsn to, size_t bytes_max) override;
  std::optional<Result<std::string>> TryReadCached(LogId log, Epoch epoch, Lsn from, Lsn to, size_t bytes_max) override;
  Result<BatchIdentity> FindBatch(LogId log, Epoch epoch, Lsn lsn) override;
  std::optional<BatchIdentity> TryFindBatch(LogId log, Epoch epoch, Lsn lsn) const override;
  uint64_t LogBytes(LogId log) const override;
  StoreStats Stats() const override;
  Status FlushIndex() override;
  void Maintain() override;
  CheckpointFiles& checkpoints() override { return *checkpoints_; }

 private:
  // log_store_open.cc
  Status RecoverIdentity(RecoveredState* recovered);
  Status OpenIndex();
  Status WriteIdentity(const DiskIdentity& identity);  // identity_mutex_ held, or nobody else is there yet
  Status RecoverJournal(RecoveredState* recovered);
  void CheckIndexedSegments(const IndexContent& content, std::vector<std::string>* corruption) const;
  void Describe(RecoveredState* recovered) const;

  // log_store_commit.cc
  uint64_t FreshLimit(JournalKind kind) const;  // of an empty segment
  bool Take(std::deque<QueuedEntry>* from, JournalGroup* group);
  enum class Room { kFits, kRotate, kFull };
  bool NoSegmentFor(JournalKind kind) const;                           // mutex_ held
  Room RoomFor(const QueuedEntry& entry, uint64_t group_bytes) const;  // mutex_ held
  uint64_t Limit(JournalKind kind) const;  // of the active segment, for entries of that kind; mutex_ held
  void FailBatches(std::vector<GroupOutcome::Failed>* failed);  // all queued ones; mutex_ held
  Status ChooseSegment(JournalGroup* group);
  Status WriteGroup(JournalGroup* group);
  void ApplyGroup(const JournalGroup& group);                // mutex_ held
  void PutBack(JournalGroup* group, GroupOutcome* outcome);  // mutex_ held
  void Die(const Status& why);                               // mutex_ held

  // log_store_read.cc
  Status CheckRange(const LogEpoch& of, Lsn from) const;  // mutex_ held
  Status ReadOnce(const LogEpoch& of, Lsn from, Lsn to, size_t bytes_max, std::string* out);
  Status FindExtents(const LogEpoch& of, Lsn from, Lsn to, uint64_t bytes_max, std::vector<Extent>* found);
  SegmentRef FindSegment(uint64_t id) const;

  // log_store_maintain.cc
  Status FlushLocked();  // maintain_mutex_ held
  Status ReopenIndex();
  Status WriteStep();
  void EraseTrimmed(const IndexStep& step, IndexBatch* batch);
  bool HardlyUsed() const;
  void RecycleDeadSegments();
  void PrepareSegments();
  void DiskIsFull(const std::string& why);  // mutex_ held
  std::string ReservePath() const { return dir_ + "/RESERVE"; }
  void KeepReserve();
  void Relocate();
  void ChooseVictim();
  void CopyForward();
  void FinishRelocation();

  const std::string dir_;
  const LogStoreOptions options_;
  FileSystem* const files_;
  Random* const random_;
  Clock* const clock_;

  std::unique_ptr<FileLock> lock_;  // of the directory
  std::mutex identity_mutex_;       // of identity_file_; taken before mutex_
  IdentityFile identity_file_;
  std::unique_ptr<Index> index_;
  std::unique_ptr<SegmentFiles> segment_files_;
  std::unique_ptr<CheckpointFiles> checkpoints_;

  mutable std::mutex mutex_;
  // ---- guarded by mutex_ (identity_.disk and salts never change) ----
  DiskIdentity identity_;
  Catalog catalog_;
  TailCache cache_;
  std::map<uint64_t, SegmentRef> segments_;  // with groups in them, the active one included
  std::deque<SegmentRef> ready_;             // prepared, ascending
  std::vector<SegmentRef> dead_;             // to be recycled once no reader holds them
  SegmentRef active_;
  uint64_t offset_ = 0;             // in active_: where the next group goes
  uint64_t active_end_ = 0;         // not beyond this: the segment's size, less when the disk ran full under it
  bool active_is_reserve_ = false;  // batches wait for another
  uint64_t next_group_ = 1;
  uint64_t nonce_state_ = 0;
  std::deque<QueuedEntry> queue_;
  std::deque<QueuedEntry> relocations_;
  uint64_t queue_bytes_ = 0;
  uint64_t last_seq_ = 0;
  bool committing_ = false;
  bool disk_full_ = false;
  Status dead_status_;  // a write or sync failed
  bool death_reported_ = false;
  uint64_t durable_through_ = 0;
  uint64_t relocations_pending_ = 0;  // queued or being written
  bool relocation_dropped_ = false;   // the disk ran full: some of them were not written
  uint64_t unindexed_bytes_ = 0;      // of journal since the last flush
  std::vector<Instant> rotations_;    // the last few
  StoreStats counters_;

  std::mutex maintain_mutex_;  // taken before mutex_; never held by the append path
  // ---- guarded by maintain_mutex_ ----
  std::unique_ptr<IndexStep> unwritten_;  // a step that failed for lack of space: to be written before any other
  bool index_needs_reopen_ = false;
  Instant last_flush_;
  Instant last_relocation_;
  uint64_t relocation_budget_ = 0;
  struct Relocation {
    uint64_t segment = 0;
    std::vector<std::pair<LogEpoch, Extent>> extents;  // old ones, still to be copied
    size_t next = 0;                                   // of extents
  };
  std::unique_ptr<Relocation> relocation_;
  uint64_t indexed_segment_ = 0;  // segments below it are wholly in the index

  std::unique_ptr<PeriodicThread> background_;
};

}  // namespace understudy

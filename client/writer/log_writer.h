// The shell around the Writer core: staged appends go out as batches, answers come back to whoever waits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "client/writer/staging.h"
#include "log/epoch/follower.h"
#include "log/epoch/writer.h"
#include "understudy/log.h"

namespace understudy {

struct LogWriterOptions {
  StagingLimits staging;
  WriterOptions core;
  // A replica that did not keep up for so long is replaced when another disk is alive; briefly slow ones are not.
  int64_t replace_after_ms = 3000;
  // LogWriterEvents::committed is called, and what it hands on counts as outstanding until Applied.
  bool hand_on_committed = false;
};

// Called with the strand held.
struct LogWriterEvents {
  // The epoch is lost; everything unacknowledged has been answered kFenced.
  std::function<void(const FencedReport&)> fenced;
  // Our epoch is sealed somewhere, yet nobody owns the next: to be reported upward.
  std::function<void(const std::string&)> seal_without_owner;
  // The epoch has moved to other disks: this one goes on in its place, nothing was lost.
  std::function<void(const EpochEntry&)> moved;
  // A batch of ours is committed; before the callbacks of its appends.
  std::function<void(ReleasedBatch)> committed;
};

class LogWriter {
 public:
  // All but `options` and `events` outlive it. Sets the loop's after-work, so one a Runtime.
  LogWriter(Runtime* runtime, Cluster* cluster, LogWriterOptions options, LogWriterEvents events);
  ~LogWriter();  // the loop is stopped
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // ---- any thread; never waits for the strand
  AppendFuture Append(std::string_view payload, uint64_t key);  // waits for room at the bound
  Result<Lsn> Append(std::string_view payload, uint64_t key, AppendCallback callback);
  // `callback` may run before the call returns.
  void WhenCommitted(std::function<void(Status)> callback);
  void WhenCommitted(Lsn lsn, std::function<void(Status)> callback);
  void ReadBarrier(std::function<void(Status)> callback);
  bool MayServe() const;
  Epoch epoch() const;  // 0: not the writer
  Lsn commit() const;
  Lsn last_appended() const;
  size_t outstanding_bytes() const;

  // ---- strand held
  // Begins to write the last epoch of `chain`, which is open and ours. Not while it writes already. Where the epoch has
  // fewer disks than the log wants, or lost one, it Moves to more by itself when they are there. MayServe counts from
  // when `chains` saw this chain: a process that was stopped since then, or replayed for long, asks the disks first.
  void Begin(ChainStore* chains, const VersionedChain& chain);
  bool writing() const;
  // Ends it on our side: whatever is unanswered gets kCancelled.
  void Close();
  // Everything handed on up to `lsn` has been applied.
  void Applied(Lsn lsn);
  uint64_t sent_bytes() const;  // of batches, since construction
  // The log's own (Chain::quota_bytes), 0: none; and whether appends are refused for it.
  uint64_t quota_bytes() const;
  bool over_quota() const;
  // Gives the epoch to `attempt` of `owner`: refuses appends, drains until `drain_deadline`, closes it in the chain.
  // On success everything appended is acknowledged and this writer is over (`fenced` is not called). On failure
  // appends are accepted again, unless `fenced` was called first.
  // `chain` was read since the handover was asked for: appends are not held up for metadata that cannot be reached.
  void Handover(const Owner& owner, const AttemptId& attempt, const VersionedChain& chain, Instant drain_deadline,
                std::function<void(Status)> done);
  // Pushes to the spare at `address` as well, and again whenever that breaks; empty: no more.
  void MirrorTo(const std::string& address);
  bool mirroring() const;
  // Goes on in a new epoch on these disks, as far as they are alive and the log's zones allow it; done at once when it
  // is there already.
  void MoveDisks(const std::vector<DiskId>& wanted, std::function<void(Status)> done);
  // Of appends answered since the last call; -1 when there were none.
  void TakeLatency(int64_t* p50_us, int64_t* p99_us);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

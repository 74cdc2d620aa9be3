// The inside of LogWriter, split over log_writer.cc (what callers see), log_writer_io.cc (what the core asks for),
// log_writer_disks.cc (how an epoch gets back the number of disks that its log wants) and log_writer_quota.cc (what its
// log may keep).
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/writer/disk_probe.h"
#include "client/writer/gather_policy.h"
#include "client/writer/latency.h"
#include "client/writer/log_writer.h"
#include "client/writer/replica_choice.h"
#include "log/format/disk_entry.h"

namespace understudy {

// A batch that is sent and not yet acknowledged, and who waits for its records.
struct PendingBatch {
  Lsn first;
  Lsn last;
  std::vector<AppendWaiter> waiters;
  size_t bytes = 0;
  Instant since;
  BatchRef batch;  // only with hand_on_committed
};

// Callbacks that wait for a commit LSN. Thread-safe.
class CommitWaiters {
 public:
  // The writer begins: everything up to `commit` is committed.
  void Open(Lsn commit);
  // Runs `callback` once `upto` is committed, perhaps at once.
  void Wait(Lsn upto, std::function<void(Status)> callback);
  void Advance(Lsn commit);
  // Answers all that wait, and from now on every new one, with `why`.
  void Fail(const Status& why);
  Lsn commit() const { return Lsn(commit_.load(std::memory_order_acquire)); }

 private:
  std::mutex mutex_;
  std::multimap<Lsn, std::function<void(Status)>> waiting_;
  Status closed_{StatusCode::kFailedPrecondition, "not the writer of the log"};
  std::atomic<uint64_t> commit_{0};
};

struct LogWriter::Impl {
  Impl(Runtime* runtime, Cluster* cluster, LogWriterOptions options, LogWriterEvents events);

  // log_writer.cc
  // Any thread; empty() is what Add's order is promised for.
  size_t StagedBytes() const { return staging.empty() ? 0 : staging.staged_bytes(); }
  void Kick();  // any thread: sends from here if the strand is free
  void Complete(Lsn commit);
  void AnswerAll(const Status& why);
  void Over(const Status& why);

  // log_writer_io.cc, strand held
  void Step(WriterInput input);
  void Pump();
  bool SendOneStaged(bool all);
  void Perform();
  void SendTo(const SendAppend& send);
  void SendTo(const SendBarrier& send);
  void WithClient(uint32_t replica, std::function<void(Result<LogServiceClient*>)> fn);
  void Push(const MirrorPush& push);
  void MirrorBroke();
  void RetryMirror();
  void EndMirror();
  void ArmTimer(Instant at);
  void PublishServeUntil();

  // log_writer_disks.cc, strand held
  void LookAtDisksLater();
  void LookAtDisks();
  void LookAtList(const std::vector<MetadataEntry>& listed);
  using ProbedCallback =
      std::function<void(const std::vector<CandidateDisk>& alive, const std::vector<CandidateDisk>& listed)>;
  void Probe(ProbedCallback then);
  std::vector<CurrentReplica> Current(Instant now) const;
  void MoveTo(const std::vector<CandidateDisk>& alive, const std::vector<CandidateDisk>& listed,
              const std::vector<DiskId>& wanted);
  void MoveEnded(const Status& status);
  void Moved(const EpochEntry& entry);

  // log_writer_quota.cc, strand held
  void UseQuota(uint64_t bytes);
  void CountKept();
  void KeptCounted();
  void JudgeQuota();

  Runtime* const runtime;
  Cluster* const cluster;
  const LogWriterOptions options;
  const LogWriterEvents events;
  Staging staging;
  CommitWaiters commit_waiters;
  std::atomic<uint64_t> epoch{0};
  std::atomic<int64_t> serve_until_ns{INT64_MIN};
  GatherPolicy gather;

  // Strand.
  ChainStore* chains = nullptr;
  std::unique_ptr<Writer> writer;
  uint64_t generation = 0;  // of `writer`: answers to an earlier one are ignored
  bool open = false;        // writing
  Status over_why{StatusCode::kFailedPrecondition, "not the writer of the log"};  // when not open
  EpochEntry entry;                                                               // the epoch
  int replicas_target = 1;                                                        // E and A of the log
  int ack_quorum_target = 1;
  bool moving = false;   // a Move to other disks is under way
  bool looking = false;  // the next look at the disks is set
  bool listing = false;  // the list of disks is being read
  Instant list_at;       // when to read it again though nothing is missing
  Instant move_not_before;
  Instant moved_at;
  int64_t move_pause_ns = 0;
  std::map<DiskId, DiskEntry> disks;  // as last listed
  std::set<DiskId> shunned;           // they lost or mixed up what they had acknowledged to this writer
  std::function<void(Status)> moved_done;
  std::unique_ptr<DiskProbe> probe;
  struct Quota {
    uint64_t bytes = 0;  // 0: none
    bool over = false;
    Instant said_at;
    uint64_t kept = 0;  // by the disk that keeps most, as last counted, when `sent_before` had been sent
    uint64_t sent_before = 0;
    // The count that is under way.
    size_t asked = 0;       // disks that have not answered
    uint64_t answered = 0;  // the most that one of those that have keeps
    bool any_answered = false;
    uint64_t sent_when_asked = 0;
  } quota;
  bool draining = false;  // everything staged is sent, however much is in flight
  WriterEffects effects;
  std::deque<WriterInput> inbox;
  bool stepping = false;
  std::deque<PendingBatch> pending;
  std::deque<std::pair<Lsn, size_t>> unapplied;  // handed on, counted against the bound until Applied
  uint64_t sent_bytes = 0;
  struct Replica {
    ReplicaRef disk;
    LogServiceClient* client = nullptr;
  };
  std::vector<Replica> replicas;
  Epoch replicas_epoch;
  Token next_token = 1;
  std::map<Token, std::pair<Lsn, std::function<void(Status)>>> barriers;
  std::function<void(Status)> handover_done;
  LatencyHistogram latency;
  std::function<void()> after_work;
  bool timer_set = false;
  Instant timer_at;
  EventLoop::TimerId timer = 0;

  std::string mirror_address;
  std::unique_ptr<MirrorServiceClient> mirror;
  std::vector<std::unique_ptr<MirrorServiceClient>> old_mirrors;  // closed; freed from a handler of our own
  int64_t mirror_pause_ns = 0;
  bool mirror_retry_set = false;
  EventLoop::TimerId mirror_retry = 0;
};

}  // namespace understudy

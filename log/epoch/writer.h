// The open epoch of one writer: from encoded batches to acknowledged LSNs (docs/protocol.md). Sans-IO, see core.h.
// It assigns no LSNs by itself: the batcher asks epoch() and next_lsn(), encodes, and hands the batch over at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "log/epoch/core.h"
#include "log/epoch/messages.h"
#include "log/format/batch.h"

namespace understudy {

struct WriterOptions {
  // A replica lags: batches are kept until every replica that is not dropped has them. Past this many bytes the
  // laggards are dropped, as long as A remain. What is not yet acknowledged is the caller's to bound
  // (buffered_bytes()).
  size_t buffer_bytes_max = 128u << 20;
  // Sent to one replica and not yet answered. Beyond it sending waits. One batch is always let through.
  size_t replica_inflight_bytes_max = 32u << 20;
  int64_t commit_quiet_us = 1000;  // a commit that no append carries goes alone after this
  int64_t heartbeat_ms = 250;      // barrier rounds of our own: liveness for the replicas, the self-fence for us
  int64_t self_fence_ms = 1000;
  int64_t stall_ms = 2000;  // a replica that answers nothing for so long is asked for its tail again
  int64_t retry_ms = 20;    // after a failed send; doubles up to retry_ms_max
  int64_t retry_ms_max = 250;
  size_t barriers_max = 1u << 16;  // callers waiting; beyond: kResourceExhausted
};

// ---- inputs ----

// Appends one encoded batch: its header says (log, epoch()), its first LSN is next_lsn(). Only while accepting().
struct WriterAppend {
  BatchRef batch;
};
// Goes out with a send and comes back with its answer, untouched.
struct SendTag {
  uint32_t replica = 0;  // index into disks(); stable during an epoch
  uint32_t round = 0;    // of sending to this replica; grows with every rewind
  Epoch epoch;
  Lsn acked;  // what this replica had acknowledged when the request left: an answer below it means that it lost data
};
// Answers a SendAppend. Errors of transport are put into response.code.
struct AppendAnswered {
  SendTag tag;
  AppendResponse response;
};
// Goes out with a barrier and comes back with its answer, untouched.
struct BarrierTag {
  uint32_t replica = 0;
  Epoch epoch;
  uint64_t round = 0;
};
struct BarrierAnswered {
  BarrierTag tag;
  BarrierResponse response;
};
// ReadBarrier(); answered in WriterEffects::barriers.
struct WriterBarrier {
  Token token = 0;
};
// Closes this epoch and opens the next. One at a time; answered by WriterEffects::move.
struct WriterMove {
  // Handover: `owner` is another instance, `attempt` was drawn by it. Drains first: until the move ends accepting() is
  // false. Otherwise a replica change: `attempt` is a fresh one of ours, appends go on.
  bool handover = false;
  Owner owner;
  AttemptId attempt;
  std::vector<ReplicaRef> disks;  // of the next epoch, live; at least ack_quorum
  int ack_quorum = 1;
  // The chain as it was read a moment ago: spares the drain a read. Without it the core reads.
  std::optional<VersionedChain> base = {};
  // Give up at this instant when the CAS has not been sent by then (not drained, metadata not read); the epoch goes on.
  Instant deadline = Instant::Never();
};
// Begins to push to a spare, or ends it. What is not yet acknowledged is pushed again first.
struct WriterMirror {
  bool on = false;
};
// The stream to the spare overflowed or broke. Pushing ends until the next WriterMirror.
struct MirrorBroken {};

using WriterInput = std::variant<WriterAppend, AppendAnswered, BarrierAnswered, WriterBarrier, WriterMove, WriterMirror,
                                 MirrorBroken, ChainReadDone, ChainCasDone, Tick>;

// ---- effects ----

struct SendAppend {
  SendTag tag;
  AppendRequest request;
};
struct SendBarrier {
  BarrierTag tag;
  BarrierRequest request;
};
struct BarrierDone {
  Token token = 0;
  StatusCode code = StatusCode::kOk;  // kFenced, kCancelled (this writer handed over), kResourceExhausted
};
// A disk counts no more in this epoch. The shell may Move to others.
struct ReplicaDropped {
  uint32_t replica = 0;
  ReplicaRef disk;
  Status reason;
};
struct MoveDone {
  // ok: the chain says so; for a replica change epoch() is the new one already. kDeadlineExceeded: see WriterMove.
  // kUnavailable: no metadata. kInvalidArgument, kFailedPrecondition (another move, or over). kConflict: the chain
  // moved under us. The epoch goes on unless `fenced` is set in the same effects.
  Status status;
  VersionedChain chain;  // when ok
};
struct FencedReport {
  Status reason;
  std::optional<EpochEntry> owner;  // the epoch that stands above ours, when it is known
};

struct WriterEffects {
  std::vector<SendAppend> appends;  // in order, per replica
  std::vector<SendBarrier> barrier_sends;
  std::vector<MirrorPush> mirror;  // in order
  std::vector<ChainOp> chain_ops;
  std::vector<BarrierDone> barriers;
  std::vector<ReplicaDropped> dropped;
  std::optional<Lsn> commit;  // advanced to: everything up to here is acknowledged. Before `move` and `fenced`
  std::optional<MoveDone> move;
  // This writer is over. Everything above commit() is answered kFenced: outcome unknown (after a handover too, but a
  // drained one leaves nothing above commit()).
  std::optional<FencedReport> fenced;
  // Disks have sealed this epoch, yet the chain does not show who did it: a takeover is under way, or died halfway.
  // While A disks still answer, the epoch goes on. To be reported upward. Said once until it changes.
  std::optional<std::string> seal_without_owner;
  Instant wake_at = Instant::Never();

  void Clear();
};

class Writer {
 public:
  // `epoch` is the open epoch that our attempt owns (TakeoverResult::epoch). Step a Tick at once.
  Writer(WriterOptions options, LogId log, const EpochEntry& epoch, Instant now);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Step(const WriterInput& input, Instant now, WriterEffects* out);

  // Hot paths without the variant.
  void Append(BatchRef batch, Instant now, WriterEffects* out);
  void Answer(const AppendAnswered& input, Instant now, WriterEffects* out);

  Epoch epoch() const;
  const AttemptId& attempt() const;
  Lsn next_lsn() const;  // of the next batch; last_appended() + 1
  Lsn commit() const;
  const std::vector<ReplicaRef>& disks() const;
  // Whether Append may be called now: not draining for a handover, not over.
  bool accepting() const;
  bool over() const;    // fenced or handed over
  bool frozen() const;  // a CAS that closes this epoch is out: nothing is acknowledged
  bool mirroring() const;
  size_t buffered_bytes() const;
  size_t unacknowledged_bytes() const;

  // False once self_fence_ms have passed since the beginning of the last round in which A disks said that the epoch is
  // not sealed; when over; and while frozen for a handover. True again by the next round of the same epoch.
  bool MayServe(Instant now) const { return now < serve_until(); }
  // The first instant at which MayServe is false, as things stand: for shells that answer it without the strand.
  // Instant(INT64_MIN) when it is false already.
  Instant serve_until() const;

  struct ReplicaView {
    ReplicaRef disk;
    Lsn durable;
    bool dropped = false;
    bool sealed = false;     // said kFenced
    bool reachable = false;  // answered last
    // When it was last known to keep up: it made progress, or answered and lacked nothing that is committed.
    Instant well_at;
  };
  std::vector<ReplicaView> Replicas() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

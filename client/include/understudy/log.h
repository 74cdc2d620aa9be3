// A shared redo log without roles: for programs that only want to append and read. `Node` (node.h) adds
// the roles, the replay and the moves on top of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/record.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

struct LogOptions {
  std::string cluster = "understudy";                          // refused by name when the servers belong to another
  std::vector<std::string> coordinators = {"127.0.0.1:7400"};  // any of them serves metadata; tried in order
  std::string node;                                            // this program's name as an owner, for people
  std::string endpoint;  // where clients of the owner reach it; stored in the chain
  int replicas = 1;      // E and A of a log that Open creates
  int ack_quorum = 1;
  size_t inflight_bytes_max = 64u << 20;  // Append blocks (or the callback form fails) beyond it
  size_t batch_bytes_max = 1u << 20;      // upper bound of one batch; batches form by back-pressure
  int64_t self_fence_ms = 1000;           // a primary without a barrier for so long stops serving
  int64_t heartbeat_ms = 250;             // an idle writer tells replicas it is alive
  int64_t rpc_timeout_ms = 2000;          // of control calls; appends wait for replicas without bound
};

// The answer to one append. kFenced, kCancelled: outcome unknown, never success; Log::Resolve settles it.
using AppendCallback = std::function<void(Result<Lsn>)>;

// A blocking handle to one append's answer. Movable. Must not outlive the Log.
class AppendFuture {
 public:
  class State;
  AppendFuture();
  explicit AppendFuture(std::shared_ptr<State> state);
  AppendFuture(AppendFuture&&) noexcept;
  AppendFuture& operator=(AppendFuture&&) noexcept;
  ~AppendFuture();
  // Blocks until answered. While it waits the calling thread does the network's work itself where it can,
  // which saves the wake-up of another thread. Call once.
  Result<Lsn> Get();

 private:
  std::shared_ptr<State> state_;
};

// Records [from, to] that never come: an operator gave them up (`understudy logs accept-data-loss`).
struct LossRange {
  Lsn from;
  Lsn to;
};

struct ReplayProgress {
  Lsn applied;
  Lsn commit;                     // as last heard; a lower bound
  std::vector<LossRange> losses;  // met on the way, ascending
};

struct CheckpointInfo {
  uint64_t id = 0;
  Lsn lsn;  // it covers the log up to here
  uint64_t bytes = 0;
};

struct TailInfo {
  Epoch epoch;
  Lsn commit;         // lower bound when the epoch is open
  std::string owner;  // node name
  std::string endpoint;
  bool open = false;
};

// Thread-safe. Callbacks run one at a time, on the Log's I/O thread or on a thread that waits inside the library (Get,
// ReadBarrier, ...). A callback must not block; Append with a callback, WhenCommitted and ReadBarrier with a callback
// may be called from it, blocking calls are refused with kFailedPrecondition.
class Log {
 public:
  // Finds the log by name, creating its metadata when `create` is set. Does not become the writer.
  static Result<std::unique_ptr<Log>> Open(const LogOptions& options, const std::string& name, bool create);
  virtual ~Log() = default;

  // Looks, never seals.
  virtual Result<TailInfo> Tail() = 0;

  // Becomes the writer by force: seals the open epoch, settles its end, opens the next. `expected_epoch` is the
  // last epoch the caller knows of (0: none); kFenced, with the owner named, when the chain has moved past it.
  // Blocks. On success everything up to the returned LSN is in the log and appends go above it.
  virtual Result<Lsn> TakeOver(Epoch expected_epoch) = 0;

  // As TakeOver, but goes on when disks that are needed to know where the log ends do not answer: what only they hold
  // is given up, acknowledged records too, and shows as a LossRange. Only when the old writer's machine is known to be
  // off and the disks are known to be lost.
  virtual Result<Lsn> TakeOverAcceptingLoss(Epoch expected_epoch) = 0;

  // Appends one record. At most kRecordBytesMax of payload, which is copied before return.
  // Waits for room while inflight_bytes_max is reached; kResourceExhausted while the log is over its quota.
  virtual AppendFuture Append(std::string_view payload, uint64_t key) = 0;
  // Callbacks come in LSN order. Returns the LSN that the record has if it commits, or
  // the error at once: kResourceExhausted (inflight_bytes_max reached, or the log is over its quota: a checkpoint has
  // to trim it; try later), kFenced, kInvalidArgument.
  virtual Result<Lsn> Append(std::string_view payload, uint64_t key, AppendCallback callback) = 0;

  // Calls back when everything appended before the call is committed, and nothing was lost of it; before it returns
  // when that is so already.
  virtual void WhenCommitted(std::function<void(Status)> callback) = 0;

  // Linearizable read point: completes when, after the call began, A disks have said that this writer's epoch
  // is not sealed, and everything appended before is committed.
  virtual Status ReadBarrier() = 0;
  virtual void ReadBarrier(std::function<void(Status)> callback) = 0;

  // Whether this writer has heard from A disks within self_fence_ms that its epoch is not sealed.
  virtual bool MayServe() const = 0;

  // Settles an append whose outcome was unknown: true iff (epoch, lsn) is part of the log. kUnavailable while
  // that epoch is still open.
  virtual Result<bool> Resolve(Epoch epoch, Lsn lsn) = 0;

  // Hands records [from, ...] to `apply` in LSN order on the calling thread, until `until` (inclusive) is
  // applied or, without it, until the commit LSN known at the call. kTrimmed: load a checkpoint first.
  virtual Result<ReplayProgress> Read(Lsn from, std::optional<Lsn> until,
                                      const std::function<void(const Record&)>& apply) = 0;

  // Deletes what is at or below `lsn`; never above the oldest retained checkpoint.
  virtual Status Trim(Lsn lsn) = 0;

  virtual Epoch epoch() const = 0;  // the writer's; 0 when not the writer
  virtual Lsn last_appended() const = 0;
  virtual Lsn commit() const = 0;
};

}  // namespace understudy

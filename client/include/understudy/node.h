// One application instance under understudy: a primary or a spare, as its agent says. The role flips at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "understudy/log.h"
#include "understudy/state_machine.h"

namespace understudy {

// The life of an instance. A released spare goes back to kWarm.
enum class Role : int { kWarm = 0, kLoading, kReplaying, kMirroring, kPromoting, kPrimary };
std::string_view RoleName(Role role);

struct NodeOptions {
  std::string agent;                         // Unix socket of the agent; empty: the environment's UNDERSTUDY_AGENT
  std::string cluster;                       // empty: the environment's UNDERSTUDY_CLUSTER, or "understudy"
  std::string node;                          // this node's name; empty: the environment's UNDERSTUDY_NODE
  std::string endpoint;                      // "host:port" where this application's clients reach it
  bool apply_on_primary = false;             // Apply() is called for the primary's own records too, after commit
  bool parallel_apply = false;               // Apply() may be called from several threads for different keys
  int replay_lanes = 2;                      // threads for parallel_apply, 1 to 64
  size_t inflight_bytes_max = 64u << 20;     // appended, not yet acknowledged
  size_t mirror_hold_bytes_max = 64u << 20;  // pushed by the primary, not yet committed; beyond: back to the log
  int64_t self_fence_ms = 1000;
  // Primary that applies its records itself (apply_on_primary false): runs `fn` on the thread that appends,
  // between two records, so that TakeSnapshot sees exactly what was appended. Required then.
  std::function<void(std::function<void()> fn)> run_between_records;
};

// Called by the library on a thread of its own, one at a time, in order. Must not block for long: a move waits.
class RoleListener {
 public:
  virtual ~RoleListener() = default;
  // The instance owns `service` now and its state is complete up to `applied`. Appends are accepted from here on.
  // Also ends a handover that failed: the instance stays what it was.
  virtual void OnPrimary(const std::string& service, Lsn applied) = 0;
  // No longer primary (or never became it). `owner_endpoint` is where clients should go, empty when unknown. After
  // `drained` everything that was appended is acknowledged; otherwise the state is to be treated as lost, and the
  // library calls StateMachine::Reset before it loads again.
  virtual void OnNotPrimary(const std::string& owner_endpoint, bool drained) = 0;
  // A handover has begun: hold new writes until OnPrimary or OnNotPrimary follows.
  virtual void OnHandoverBegins() {}
  // This spare is about to become the primary: clients that come already are best held until OnPrimary or OnNotPrimary
  // follows. It does within kPromotionHoldMs; a promotion that takes longer may still end with OnPrimary.
  virtual void OnPromotionBegins() {}
  static constexpr int64_t kPromotionHoldMs = 200;
  // The agent asks the process to end. Return from main() soon.
  virtual void OnStop() = 0;
};

// Thread-safe.
class Node {
 public:
  // Connects to the agent and reports kWarm. `state_machine` and `listener` must outlive the Node.
  static Result<std::unique_ptr<Node>> Start(NodeOptions options, StateMachine* state_machine, RoleListener* listener);
  virtual ~Node() = default;

  // As in Log; kFailedPrecondition while not primary, kFenced when deposed.
  virtual AppendFuture Append(std::string_view payload, uint64_t key) = 0;
  virtual Result<Lsn> Append(std::string_view payload, uint64_t key, AppendCallback callback) = 0;
  virtual void WhenCommitted(std::function<void(Status)> callback) = 0;
  virtual Status ReadBarrier() = 0;
  virtual void ReadBarrier(std::function<void(Status)> callback) = 0;

  // False once self_fence_ms have passed without a barrier from the log servers: stop serving until it is true again.
  virtual bool MayServe() const = 0;

  virtual Role role() const = 0;
  virtual Lsn applied() const = 0;                 // spare: replayed up to; primary: committed up to
  virtual std::string owner_endpoint() const = 0;  // of the service's primary, as last heard; may be empty

  // A health metric of the application's own; predictors see it as "app.NAME". NaN removes it.
  virtual void SetGauge(const std::string& name, double value) = 0;

  // Takes a checkpoint now and waits until it is listed in the log's metadata.
  virtual Result<CheckpointInfo> Checkpoint() = 0;
};

}  // namespace understudy

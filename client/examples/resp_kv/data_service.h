// Between the commands and the log: executes data commands while this instance is primary, and says until which LSN
// each reply has to wait.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "client/examples/resp_kv/command.h"
#include "client/examples/resp_kv/executor.h"
#include "client/examples/resp_kv/kv_state_machine.h"
#include "understudy/node.h"

namespace understudy::resp_kv {

struct DataServiceOptions {
  std::string endpoint;         // this instance's own, where clients are never sent
  size_t memory_bytes_max = 0;  // approximate, see Store::bytes; 0: no bound
  uint64_t random_seed = 1;
  // A read is answered after a read barrier that began behind it, so that no replaced primary answers one. False: it is
  // answered while MayServe() is true, so that after a replacement it may be stale for self_fence_ms.
  bool linearizable_reads = true;
  std::function<int64_t()> unix_ms;  // for expiry
};

// What became of a request.
struct Execution {
  bool held = false;      // nothing was done: try again when on_progress is called
  bool write = false;     // it changed something
  uint64_t wait_for = 0;  // the reply may go out when everything up to this LSN is committed
  uint64_t barrier = 0;   // and so many barriers are done; 0: it needs none
  int slot = 0;           // of the first key, when `barrier` is set
};

// The RoleListener calls come from the library's thread and wait for the executing thread; all else happens there.
class DataService : public RoleListener {
 public:
  DataService(DataServiceOptions options, Executor* executor, KvStateMachine* state);

  // Before Executor::Run. `node` must outlive the last call.
  void SetNode(Node* node) { node_ = node; }
  // Called when held requests may go on, or when committed(), barriers_done() or lost() have changed.
  void SetOnProgress(std::function<void()> fn) { on_progress_ = std::move(fn); }
  void SetOnStop(std::function<void()> fn) { on_stop_ = std::move(fn); }

  // Executes one request whose arity fits; appends its reply, unless it is held. `wanted_service`: the one that the
  // client means; empty: whichever this is.
  Execution Execute(const CommandSpec& spec, std::span<const std::string_view> args, std::string_view wanted_service,
                    std::string* reply);
  // Deletes some expired keys. Call every 100 ms or so.
  void ExpireSome();

  uint64_t committed() const { return committed_.load(std::memory_order_acquire); }
  uint64_t barriers_done() const { return barriers_done_.load(std::memory_order_acquire); }
  // This instance was replaced by force, or stopped, with appends unacknowledged: a reply that waits for more than
  // committed() will never be true.
  bool lost() const { return state_ == State::kLost; }

  bool primary() const { return state_ == State::kPrimary || state_ == State::kHandingOver; }
  const std::string& service() const { return service_; }
  std::string OwnerEndpoint() const;  // where clients should go; may be empty

  void OnPrimary(const std::string& service, Lsn applied) override;
  void OnNotPrimary(const std::string& owner_endpoint, bool drained) override;
  void OnHandoverBegins() override;
  void OnPromotionBegins() override;
  void OnStop() override;

  // What a client is told whose write was executed here and not acknowledged.
  static constexpr std::string_view kOutcomeUnknown =
      "OUTCOMEUNKNOWN this server was replaced before the write was acknowledged; it may or may not have taken effect";
  static constexpr std::string_view kReadLost =
      "CLUSTERDOWN this server was replaced while the reply waited for the log; ask the new owner";

 private:
  enum class State { kNotPrimary, kPromoting, kPrimary, kHandingOver, kLost };

  bool AppendEffects(Execution* execution, std::string* refusal);
  void Redirect(const CommandSpec& spec, std::span<const std::string_view> args, std::string* reply) const;
  void OnAcknowledged(uint64_t term, const Result<Lsn>& result);
  // The number of a barrier that has not begun yet, which all reads share until it does.
  uint64_t WantBarrier();
  void BeginBarrier();
  void OnBarrier(uint64_t term, uint64_t number, const Status& status);
  void RetrySoon();

  DataServiceOptions options_;
  Executor* executor_;
  KvStateMachine* machine_;
  Node* node_ = nullptr;
  std::function<void()> on_progress_;
  std::function<void()> on_stop_;

  State state_ = State::kNotPrimary;
  std::string service_;
  std::string owner_endpoint_;
  EffectWriter effects_;
  uint64_t random_state_;
  uint64_t last_appended_ = 0;
  std::array<uint64_t, kShards> shard_lsn_{};  // the last record that changed the shard, in this term as primary
  size_t expire_cursor_ = 0;
  bool retry_armed_ = false;
  uint64_t barriers_wanted_ = 0;
  uint64_t barriers_begun_ = 0;

  // Written by the library's I/O thread too, under the mutex. A term is one time of being primary; answers of an
  // earlier one do not count.
  std::mutex acknowledged_mutex_;
  uint64_t term_ = 0;
  std::atomic<uint64_t> committed_{0};
  std::atomic<bool> append_failed_{false};
  std::atomic<uint64_t> barriers_done_{0};
  std::atomic<bool> barrier_running_{false};  // one at a time
  std::atomic<bool> barrier_fenced_{false};
};

}  // namespace understudy::resp_kv

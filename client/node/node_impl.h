// The inside of Node. One object, its state under the runtime's strand unless it says otherwise; split over
//   node.cc         what the application calls, start and end
//   commands.cc     what the agent asks for, what it is told
//   roles.cc        spare to primary and back
//   checkpoints.cc  when a checkpoint is taken, and how
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/node/agent_link.h"
#include "client/node/mirror_port.h"
#include "client/replay/checkpoint_io.h"
#include "client/replay/replay_queue.h"
#include "client/replay/replayer.h"
#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "client/rpc/serial_thread.h"
#include "client/writer/log_writer.h"
#include "client/writer/takeover_runner.h"
#include "log/env/random.h"
#include "understudy/node.h"

namespace understudy {

class NodeImpl : public Node {
 public:
  NodeImpl(NodeOptions options, std::string node_name, std::string agent, StateMachine* state_machine,
           RoleListener* listener);
  ~NodeImpl() override;
  void Start();

  AppendFuture Append(std::string_view payload, uint64_t key) override;
  Result<Lsn> Append(std::string_view payload, uint64_t key, AppendCallback callback) override;
  void WhenCommitted(std::function<void(Status)> callback) override;
  Status ReadBarrier() override;
  void ReadBarrier(std::function<void(Status)> callback) override;
  bool MayServe() const override;
  Role role() const override { return role_.load(std::memory_order_acquire); }
  Lsn applied() const override;
  std::string owner_endpoint() const override;
  void SetGauge(const std::string& name, double value) override;
  Result<CheckpointInfo> Checkpoint() override;

 private:
  using StatusCallback = std::function<void(const Status&)>;

  // commands.cc
  void OnCommand(const Command& command);
  void Carry(const Command& command, StatusCallback done);
  Status Connect(const Command& command);
  AppReport Report();

  // roles.cc
  void SetRole(Role role);
  ChainStore* Chains(LogId log);
  void Follow(const Command& command, StatusCallback done);
  void StartReplayer(LogId log);
  void Release(StatusCallback done);
  void StopFollowing(std::function<void()> reset_done);
  void Prepare(StatusCallback done);
  void Handover(const Command& command, StatusCallback done);
  void DrainAndMove(const Command& command, const VersionedChain& chain, StatusCallback done);
  void TakeOver(const Command& command, StatusCallback done);
  void OnTakeover(const TakeoverResult& result);
  void MoveDisks(const Command& command, StatusCallback done);
  void SetWaiting(const std::string& text);
  void FinishTakeover(const Status& status, bool keep_following);
  void RetireReplayer();
  void RetireTakeover();
  void Adopt(const VersionedChain& chain);
  void BecomePrimary(const VersionedChain& chain);
  void SealBelow(const Chain& chain);
  void MeetDisks(const EpochEntry& epoch);
  void SealDisk(const SealRequest& request);
  void OnReplayerChanged();
  void OnReplayFailed(const Status& why);
  void OnChain(const VersionedChain& chain);
  void OnNextOwner(const AttemptId& attempt);
  void OnFenced(const FencedReport& report);
  void OnApplied(Lsn lsn);
  void SetOwnerEndpoint(const std::string& endpoint);
  void PromotionBegins();
  bool EndPromotionHold();
  void PromotionHoldEnds();

  // checkpoints.cc
  using CheckpointCallback = std::function<void(Result<CheckpointInfo>)>;
  void ScheduleCheckpoints();
  void CheckpointIfDue();
  void BeginCheckpoint(CheckpointCallback done);
  Result<CheckpointInfo> TakeCheckpoint(const CheckpointTarget& target);
  Result<Lsn> FreezeState(std::unique_ptr<Snapshot>* snapshot);

  const NodeOptions options_;
  const std::string node_name_;
  StateMachine* const state_machine_;
  RoleListener* const listener_;
  Runtime runtime_;
  SerialThread listener_thread_;    // role callbacks, in order
  SerialThread checkpoint_thread_;  // one checkpoint at a time
  std::atomic<Role> role_{Role::kWarm};
  std::atomic<LogWriter*> writer_view_{nullptr};  // writer_, once there; for any thread
  std::atomic<bool> closing_{false};

  mutable std::mutex shared_mutex_;  // guards what follows, for any thread
  std::map<std::string, double> gauges_;
  std::string owner_endpoint_;
  std::condition_variable frozen_;  // FreezeState waits; woken by the application's thread and by the end

  // Strand.
  std::unique_ptr<AgentLink> agent_;
  std::unique_ptr<Cluster> cluster_;  // from the first command that names one
  std::map<LogId, std::unique_ptr<ChainStore>> chains_;
  std::unique_ptr<LogWriter> writer_;
  std::unique_ptr<MirrorPort> mirror_port_;
  std::unique_ptr<ReplayQueue> queue_;
  std::unique_ptr<Replayer> replayer_;
  std::unique_ptr<TakeoverRunner> takeover_;
  std::vector<std::unique_ptr<Replayer>> old_replayers_;  // freed from a handler of their own
  std::vector<std::unique_ptr<TakeoverRunner>> old_takeovers_;
  std::string service_;
  LogId log_;
  AttemptId attempt_;                // drawn by PREPARE
  Epoch met_epoch_;                  // whose disks were looked up and connected to
  std::optional<EpochEntry> epoch_;  // ours, when primary
  StatusCallback follow_done_;       // a FOLLOW that is still loading
  StatusCallback takeover_done_;
  bool adopting_ = false;
  bool replay_for_takeover_ = false;  // it followed nothing when TAKE_OVER came
  bool handing_over_ = false;
  bool promotion_told_ = false;  // OnPromotionBegins was called, and nothing since
  EventLoop::TimerId promotion_timer_ = 0;
  std::string waiting_;                      // what the takeover, or our sealed epoch, waits for
  std::optional<std::pair<Lsn, Lsn>> lost_;  // in the last takeover
  uint64_t replayed_ = 0;
  int64_t serving_since_unix_ms_ = 0;
  int64_t append_p50_us_ = -1;
  int64_t append_p99_us_ = -1;
  Instant latency_taken_at_;

  int64_t checkpoint_interval_ms_;
  bool checkpoint_running_ = false;
  bool checkpoint_timer_set_ = false;
  Instant checkpoint_at_;          // when the last one began
  uint64_t checkpoint_bytes_ = 0;  // LogWriter::sent_bytes() then
  Lsn checkpoint_lsn_;             // of the last one listed
  Lsn older_checkpoint_lsn_;       // of the one before
};

}  // namespace understudy

// The inside of LogNode: what its .cc files, one a verb, share.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "log/epoch/replica.h"
#include "log/rpc/clients.h"
#include "log/rpc/rpc_server.h"
#include "log/store/log_store.h"
#include "server/lognode/disk_registration.h"
#include "server/lognode/io_budget.h"
#include "server/lognode/log_node.h"
#include "server/lognode/log_quota.h"
#include "server/lognode/reply_table.h"
#include "server/lognode/work_pool.h"

namespace understudy {

// What a look at the metadata takes in. More logs than that on one cluster are looked at in part, and the status says
// so.
inline constexpr size_t kRepairChainsMax = 4096;
inline constexpr size_t kRepairDisksMax = 1024;

// Calls for one checkpoint file come one after the other on the pool.
inline uint64_t CheckpointAffinity(LogId log, uint64_t id) { return log.value() * 31 + id; }

// All members but the commit's middle part need the strand.
class LogNodeImpl final : public LogNode, public LogServiceHandler {
 public:
  LogNodeImpl(EventLoop* loop, MetadataStore* metadata, Random* random, LogNodeOptions options,
              std::unique_ptr<LogStore> store, const RecoveredState& recovered);
  ~LogNodeImpl() override;

  void Start(std::function<void(Status)> done) override;
  void SetOnFatal(std::function<void(Status)> fn) override { on_fatal_ = std::move(fn); }
  void SetOnReplaceable(std::function<void()> fn) override { on_replaceable_ = std::move(fn); }
  void Close() override;
  const std::string& address() const override { return address_; }
  DiskId disk() const override { return store_->disk_id(); }

  void Append(AppendRequest request, Reply<AppendResponse> reply) override;
  void Seal(SealRequest request, Reply<SealResponse> reply) override;
  void Barrier(BarrierRequest request, Reply<BarrierResponse> reply) override;
  void Read(ReadRequest request, Reply<ReadResponse> reply) override;
  void Fetch(FetchRequest request, Reply<FetchResponse> reply) override;
  void Trim(TrimRequest request, Reply<TrimResponse> reply) override;
  void ReplicaStatus(ReplicaStatusRequest request, Reply<ReplicaStatusResponse> reply) override;
  void CheckpointWrite(CheckpointChunk chunk, Reply<CheckpointWriteResponse> reply) override;
  void CheckpointRead(CheckpointReadRequest request, Reply<CheckpointReadResponse> reply) override;
  void CheckpointDelete(CheckpointDeleteRequest request, Reply<CheckpointWriteResponse> reply) override;
  void LogServerStatus(LogServerStatusRequest request, Reply<LogServerStatusResponse> reply) override;

 private:
  // log_node.cc: its life
  void Listen(std::function<void(Status)> done);
  void RaiseBootCountLater();
  void RaiseBootCount();
  void Fatal(const Status& why);
  void RegisterRetirement();
  const std::string& advertised() const { return options_.advertise.empty() ? address_ : options_.advertise; }
  // Gives `job` to the pool; `then` runs afterwards with the strand held, unless the node is gone. False: pool is full.
  bool OnPool(uint64_t affinity, std::function<void()> job, std::function<void()> then);

  // effects.cc: one step of the core, and what it asks for
  void Step(const ReplicaInput& input);
  int64_t OpenEpochs();
  void Perform();
  void PerformOnce(ReplicaEffects* effects);
  void Persist(const PersistEntry& entry);
  static JournalEntry ToJournal(const PersistEntry& entry);
  void Compare(const CompareStored& compare);
  void ArmTimer();
  Instant Now() const { return loop_->clock()->Now(); }

  // append_handlers.cc
  Status AdmitAppend(const AppendRequest& request);
  Reply<AppendResponse> Delayed(int64_t delay_ms, Reply<AppendResponse> reply);

  // commit.cc: the committer role, on whichever thread dispatched
  void CommitPending();
  void Finished(GroupOutcome outcome);

  // read_handler.cc
  void Serve(const ServeRead& serve);
  void AnswerRead(const ServeRead& serve, Result<std::string> batches);
  void NoticeRetirement();

  // fetch_handler.cc
  struct Source {
    std::unique_ptr<LogServiceClient> client;
    size_t running = 0;
  };
  void StartFetchReadsSoon();
  void StartFetchReads();
  void StartFetchRead(FetchRead read);
  Source* SourceAt(const std::string& address);
  // Soon, gives `call` the client of the log server there, and what to call once its answer has come.
  using UseClient = std::function<void(LogServiceClient*, const std::function<void()>& used)>;
  void Use(const std::string& address, UseClient call);

  // repair.h
  class Repair;

  // checkpoint_handlers.cc
  Status CheckpointAllowed(DiskId disk, bool writes) const;

  EventLoop* loop_;
  LogNodeOptions options_;
  std::unique_ptr<LogStore> store_;
  Replica replica_;
  std::unique_ptr<RpcServer> server_;  // until Close
  DiskRegistration registration_;
  std::string address_;
  uint64_t boot_count_;
  std::function<void(Status)> on_fatal_;
  std::function<void()> on_replaceable_;
  bool closed_ = false;
  bool dead_ = false;  // the disk failed

  ReplyTable<AppendResponse> appends_{1};
  ReplyTable<SealResponse> seals_{2};
  ReplyTable<BarrierResponse> barriers_{3};
  ReplyTable<ReadResponse> reads_{4};
  ReplyTable<FetchResponse> fetches_{5};
  ReplyTable<TrimResponse> trims_{6};
  ReplyTable<ReplicaStatusResponse> statuses_{7};
  int64_t open_epochs_ = 0;  // as counted last
  Instant open_epochs_at_;

  ReplicaEffects effects_;      // asked for, not yet performed
  ReplicaEffects performing_;   // being performed
  std::vector<LogId> refused_;  // logs of which this round refused a batch: their later ones go with it
  bool effects_waiting_ = false;
  bool in_perform_ = false;
  Instant wake_at_ = Instant::Never();
  Instant armed_at_ = Instant::Never();
  EventLoop::TimerId timer_ = 0;

  // The core counts its journal entries, and so does the store, which has entries of its own between them.
  struct Queued {
    uint64_t store_seq;
    uint64_t core_seq;
  };
  std::deque<Queued> queued_;

  // Copies from other disks. Few at a time: appends share the disk and the network with them. Those that a takeover
  // waits for first; those of repair only while there are none, and under the budget.
  std::deque<FetchRead> fetch_waiting_;
  std::deque<FetchRead> background_waiting_;
  size_t fetch_running_ = 0;
  size_t background_running_ = 0;
  bool background_timer_ = false;
  IoBudget budget_;
  LogQuota quota_;
  Token sample_ = 0;  // the core's number of an append on its way to the disk that is timed; 0: none
  Instant sample_at_;
  std::map<std::string, Source> sources_;  // by address

  std::unique_ptr<Repair> repair_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  WorkPool pool_;  // last: its threads use what stands above
};

}  // namespace understudy

// A log server with one disk, in memory: a Replica with a journal that can lose what is not synced, crash, restart,
// be wiped or retired.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log/epoch/replica.h"
#include "log/epoch/testing/sim_network.h"

namespace understudy::testing {

class SimDisk {
 public:
  template <class Response>
  using Reply = std::function<void(Response)>;
  // Finds another disk by id; null when there is none.
  using Finder = std::function<SimDisk*(const DiskId&)>;

  SimDisk(SimNetwork* network, std::string name, Finder find);

  const std::string& name() const { return name_; }
  DiskId id() const { return id_; }
  ReplicaRef ref() const { return {id_, "n" + name_.substr(1)}; }
  bool up() const { return replica_ != nullptr; }

  // A request from `from` over the network, answered exactly once: by the disk, or with kUnavailable or kOutcomeUnknown
  // when it is down, or a message is lost.
  void Call(const std::string& from, const AppendRequest& request, Reply<AppendResponse> reply);
  void Call(const std::string& from, const SealRequest& request, Reply<SealResponse> reply);
  void Call(const std::string& from, const BarrierRequest& request, Reply<BarrierResponse> reply);
  void Call(const std::string& from, const ReadRequest& request, Reply<ReadResponse> reply);
  void Call(const std::string& from, const FetchRequest& request, Reply<FetchResponse> reply);
  void Call(const std::string& from, const TrimRequest& request, Reply<TrimResponse> reply);

  // Loses what is not on the disk; of the journal entries on their way the first `entries_kept` had reached it.
  void Crash(size_t entries_kept = 0);
  void Restart();
  void Retire();                             // at once; survives restarts
  void StopSync() { sync_stopped_ = true; }  // the disk hangs: nothing becomes durable
  void ResumeSync();
  void RefuseAppends(bool full) { full_ = full; }

  std::function<int64_t()> sync_ns = [] { return kNsPerMs; };

  struct Stored {
    Lsn last;
    BatchRef batch;
  };
  // What is durable here of (log, epoch), by first LSN.
  const std::map<Lsn, Stored>& Batches(LogId log, Epoch epoch) { return batches_[{log, epoch}]; }
  std::string Summary(LogId log);  // "sealed=e1 e1 up to 3"
  bool retired() const { return retired_; }

 private:
  template <class Response>
  struct Waiter {
    Reply<Response> reply;         // over the network
    std::function<void()> broken;  // the disk crashed instead
  };
  template <class Response>
  using Waiting = std::map<Token, Waiter<Response>>;

  template <class Input, class Request, class Response>
  void CallAs(const std::string& from, const Request& request, Waiting<Response>* waiting, Reply<Response> reply);
  template <class Response>
  void Break(Waiting<Response>* waiting);
  void Step(const ReplicaInput& input);
  void Perform();
  template <class Response>
  void Answer(Waiting<Response>* waiting, Token token, Response response);
  void StartSync();
  void FinishSync();
  void MakeDurable(const PersistEntry& entry);
  ReadResponse ReadStored(const ServeRead& read);

  SimNetwork* network_;
  std::string name_;
  DiskId id_;
  Finder find_;
  std::unique_ptr<Replica> replica_;
  ReplicaEffects effects_;
  bool stepping_ = false;
  bool retired_ = false;
  bool full_ = false;
  bool sync_stopped_ = false;
  bool syncing_ = false;
  uint64_t incarnation_ = 0;
  Token next_token_ = 1;
  std::vector<PersistEntry> queue_;  // given out by the replica, not yet durable
  size_t group_ = 0;                 // of them, in the sync under way

  Waiting<AppendResponse> appends_;
  Waiting<SealResponse> seals_;
  Waiting<BarrierResponse> barriers_;
  Waiting<ReadResponse> reads_;
  Waiting<FetchResponse> fetches_;
  Waiting<TrimResponse> trims_;

  // The disk itself.
  std::map<std::pair<LogId, Epoch>, std::map<Lsn, Stored>> batches_;
  std::map<LogId, ReplicaLogState> logs_;
};

}  // namespace understudy::testing

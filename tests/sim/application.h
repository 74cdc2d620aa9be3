// One program of a log: it may take the log over, write, follow, save checkpoints, hand over. Runs the real cores
// Takeover, Writer and Follower, as the client library does, and tells the Oracle what it saw.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/epoch/follower.h"
#include "log/epoch/takeover.h"
#include "log/epoch/writer.h"
#include "tests/sim/disk.h"
#include "tests/sim/oracle.h"

namespace understudy::sim {

class Application;

// What a program finds around it.
struct Surroundings {
  World* world = nullptr;
  Metadata* metadata = nullptr;
  Oracle* oracle = nullptr;
  Coverage* coverage = nullptr;
  std::function<Disk*(const DiskId&)> find;        // the server at the address that is known for a disk
  std::function<std::vector<Disk*>()> registry;    // all of them
  std::function<bool()> calm;                      // the faults have stopped
  std::function<void(const DiskId&)> copied_from;  // a takeover has just asked for a copy; may be empty
};

struct Workload {
  int64_t append_us = 1500;  // mean pause between appends of a writer
  int records_max = 3;       // a batch
  int64_t barrier_us = 8000;
  int64_t unacked_bytes_max = 4000;
  int unseen_permille = 0;   // of disks that live and do not answer whoever looks for candidates
  bool repair_width = true;  // a writer whose epoch lost a disk, or is narrow, moves to others by itself
};

class Application {
 public:
  Application(const Surroundings& around, std::string name, int number, LogId log, const Workload& workload);

  const std::string& name() const { return name_; }
  NodeId node() const { return node_; }
  LogId log() const { return log_; }

  // ---- what a coordinator tells it ----
  void TakeOver(Epoch expected_epoch, std::optional<AttemptId> attempt = std::nullopt);
  AttemptId DrawAttempt() { return {0xA00 + static_cast<uint64_t>(number_), next_attempt_++}; }
  bool HandOver(Application* to, const AttemptId& attempt, int64_t deadline_ns);
  bool ChangeReplicas(uint64_t pick, int64_t deadline_ns);
  void Follow();                      // from the newest checkpoint, under a pin
  void MirrorTo(Application* spare);  // null: stop
  void SaveCheckpoint();
  void Kill();
  void Release();  // a spare: drops the state
  void Burst(int batches);
  void AcceptLoss();  // an operator's word, while it takes over
  void SetQuiet(bool quiet) { quiet_ = quiet; }

  // ---- what is seen of it ----
  bool writing() const { return writer_ != nullptr && !writer_->over(); }
  bool serving() const { return writing() && serving_; }
  bool accepting() const { return serving() && writer_->accepting(); }
  bool taking_over() const { return takeover_ != nullptr; }
  bool following() const { return follower_ != nullptr || loading_; }
  bool moving() const { return moving_; }
  bool saving() const { return saving_; }                                  // a checkpoint
  uint64_t newest_checkpoint() const { return newest_checkpoint_; }        // of those that it listed itself; 0: none
  const std::vector<ReplicaRef>& moving_to() const { return moving_to_; }  // empty unless moving
  const Writer* writer() const { return writer_.get(); }
  const Follower* follower() const { return follower_.get(); }
  Lsn next() const { return next_; }
  uint64_t acked() const { return acked_; }
  uint64_t barriers_done() const { return barriers_done_; }
  uint64_t Fingerprint() const;
  // Reads the log from its beginning as a program that has just been started.
  void ReadFresh();

 private:
  struct Edit;
  // application_takeover.cc
  void Step(const TakeoverInput& input);
  void Perform(TakeoverEffects& effects);
  TakeoverCandidates LookForCandidates();
  void RefreshCandidates();
  void StartWriter(const EpochEntry& entry);
  void CheckProposal(const ChainOp& cas);
  void CheckPlacement(const EpochEntry& old, const EpochEntry& opened, int target);
  void CountZones(const std::vector<PlacedDisk>& chosen);
  // application_writer.cc
  void Step(const WriterInput& input);
  void Perform(WriterEffects& effects);
  void ReportMove(const MoveDone& move);
  void ScheduleAppend();
  void Append(int records);
  void ScheduleBarrier();
  void Barrier();
  void Degraded();
  bool Move(WriterMove move);
  bool Owns(const Chain& chain) const;
  std::vector<ReplicaRef> PickDisks(uint64_t pick);
  // application_follow.cc
  void Step(const FollowerInput& input);
  void Perform(FollowerEffects& effects);
  void StartFollower(Lsn from, uint64_t state);
  void Load(int tries);
  void LoadFrom(const CheckpointEntry& entry, size_t disk, int tries);
  void Unpin();
  void MaybeServe();
  // application_checkpoint.cc
  void EditChain(std::function<bool(Chain*)> change, std::function<void(bool)> done, int tries = 8);
  void StoreCheckpoint(uint64_t id);
  void ListCheckpoint(uint64_t id, SimCheckpoint checkpoint, std::vector<DiskId> disks);

  template <class F>
  void Later(int64_t ns, F f) {
    around_.world->AfterOn(node_, ns, [this, life = life_, f = std::move(f)]() mutable {
      if (life == life_) f();
    });
  }
  Instant Now() const { return around_.world->Local(node_); }
  int64_t WallMs() const { return around_.world->now().ns() / kNsPerMs; }
  template <class Text>
  void Note(const Text& text) {
    around_.world->Note(node_, text);
  }
  void PerformChainOp(const ChainOp& op, std::function<void(ChainReadDone)> read,
                      std::function<void(ChainCasDone)> cas);

  Surroundings around_;
  std::string name_;
  int number_;
  LogId log_;
  Workload workload_;
  NodeId node_;
  Stream stream_;
  Stream looks_;       // of what was not seen; apart, so that it disturbs nothing else
  uint64_t life_ = 0;  // late completions of an earlier one are dropped; of cores likewise (addresses come again)
  uint64_t takeover_life_ = 0;
  uint64_t writer_life_ = 0;
  uint64_t follower_life_ = 0;

  std::unique_ptr<Takeover> takeover_;
  Timer takeover_timer_;
  std::optional<TakeoverResult> result_;
  bool takeover_cas_out_ = false;
  std::map<DiskId, Lsn> vouched_;  // who has answered the takeover and not failed since, and holds the epoch how far
  std::map<DiskId, PlacedDisk> listed_;  // as the takeover was told last

  std::unique_ptr<Writer> writer_;
  Timer writer_timer_;
  std::deque<std::pair<Lsn, uint64_t>> unacked_;
  Lsn commit_;
  bool serving_ = false;
  bool was_frozen_ = false;
  bool may_serve_ = true;
  bool moving_ = false;
  std::vector<ReplicaRef> moving_to_;
  bool move_is_handover_ = false;
  bool degraded_ = false;
  bool quiet_ = false;
  struct BarrierCall {
    bool deposed = false;
    Lsn need;
  };
  std::map<Token, BarrierCall> barriers_;
  Token next_barrier_ = 1;
  Application* mirror_to_ = nullptr;
  Application* mirrored_by_ = nullptr;

  std::unique_ptr<Follower> follower_;
  Timer follower_timer_;
  bool loading_ = false;
  uint64_t pin_ = 0;  // of this life's loading; 0: none
  int64_t pin_expires_ms_ = 0;
  Lsn next_ = Lsn(1);  // first LSN not applied
  uint64_t state_ = 0;

  bool saving_ = false;
  uint64_t newest_checkpoint_ = 0;
  uint64_t acked_ = 0;
  uint64_t barriers_done_ = 0;
  uint64_t next_attempt_ = 1;
  uint64_t next_payload_ = 1;
};

}  // namespace understudy::sim

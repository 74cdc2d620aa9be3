// A cluster in memory: disks, the metadata of one log, and programs that take the log over, append, hand over and
// follow. Drives the real cores; the simulator's and the golden conversations' stage.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/epoch/follower.h"
#include "log/epoch/takeover.h"
#include "log/epoch/testing/sim_disk.h"
#include "log/epoch/testing/sim_network.h"
#include "log/epoch/writer.h"

namespace understudy::testing {

inline const LogId kLog = LogId(1);

// The metadata store as far as one log needs it: one versioned value, compare-and-swap, lost replies.
class SimMetadata {
 public:
  explicit SimMetadata(SimNetwork* network) : network_(network) {}
  VersionedChain value;
  // What happens to the next CAS: its reply is lost after it took effect; or it hangs: the reply is lost, and it takes
  // effect only at LandLate (if it still can).
  enum class Fault { kNone, kReplyLost, kLate };
  Fault next_cas = Fault::kNone;
  void LandLate();
  std::function<void(const VersionedChain&)> on_change;

  void Perform(const std::string& who, const ChainOp& op, std::function<void(ChainReadDone)> read,
               std::function<void(ChainCasDone)> cas);

 private:
  bool Apply(const ChainOp& op);
  SimNetwork* network_;
  std::optional<ChainOp> late_;
};

// What one program appended, for the checkers.
struct Acked {
  Lsn lsn;
  Epoch epoch;
  std::string payload;
  std::string by;
};

class SimCluster;

// A program: may run a Takeover, a Writer and a Follower.
class SimProgram {
 public:
  SimProgram(SimCluster* cluster, std::string name);
  const std::string& name() const { return name_; }

  void TakeOver(Epoch expected_epoch, std::optional<AttemptId> attempt = std::nullopt);
  void AcceptLoss();  // of the takeover under way
  bool taking_over() const { return takeover_ != nullptr; }
  const std::optional<TakeoverResult>& result() const { return result_; }
  Takeover* takeover() { return takeover_.get(); }

  Writer* writer() { return writer_ ? writer_.get() : nullptr; }
  // Appends `count` records of fresh payloads in one batch; false when there is no writer that accepts.
  bool Append(int count);
  void Barrier();
  int barriers_done() const { return barriers_done_; }
  int barriers_failed() const { return barriers_failed_; }
  const std::string& last_barrier() const { return last_barrier_; }
  void Move(WriterMove move);
  AttemptId DrawAttempt();
  void MirrorTo(SimProgram* spare);  // null: stop

  void Follow(Lsn from);
  Follower* follower() { return follower_.get(); }
  const std::vector<std::pair<Lsn, std::string>>& applied() const { return applied_; }
  uint64_t losses() const { return losses_; }

  void Crash();  // loses takeover, writer and follower

  WriterOptions writer_options;
  FollowerOptions follower_options;

 private:
  friend class SimCluster;
  void Step(const TakeoverInput& input);
  void Step(const WriterInput& input);
  void Step(const FollowerInput& input);
  void Perform(TakeoverEffects& effects);
  void Perform(WriterEffects& effects);
  void Perform(FollowerEffects& effects);
  void StartWriter(const EpochEntry& entry);
  void StopFollowing();  // once everything up to the takeover's end is applied

  SimCluster* cluster_;
  std::string name_;
  uint64_t life_ = 0;  // of takeover, writer, follower: late completions of an earlier life are dropped
  std::unique_ptr<Takeover> takeover_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Follower> follower_;
  Instant takeover_wake_ = Instant::Never();
  Instant writer_wake_ = Instant::Never();
  Instant follower_wake_ = Instant::Never();
  std::optional<TakeoverResult> result_;
  std::map<Lsn, std::string> unacked_;
  SimProgram* mirror_to_ = nullptr;
  int appended_ = 0;
  int barriers_done_ = 0;
  int barriers_failed_ = 0;
  Token next_barrier_ = 1;
  std::map<Token, bool> barrier_deposed_;  // whether the chain had passed the writer when the barrier was called
  Lsn last_commit_;
  std::string last_barrier_;
  std::vector<std::pair<Lsn, std::string>> applied_;
  uint64_t losses_ = 0;
};

class SimCluster {
 public:
  // `disks` named d1, d2, ...; the log is created with E = replicas_target and A = ack_quorum, without an epoch.
  SimCluster(int disks, int replicas_target, int ack_quorum);

  SimNetwork network;
  SimMetadata metadata;

  SimDisk& disk(const std::string& name);
  SimDisk* Find(const DiskId& id);
  std::vector<std::unique_ptr<SimDisk>>& disks() { return disks_; }
  SimProgram& program(const std::string& name);  // made at its first use
  std::vector<CandidateDisk> Candidates();       // those that are up and not retired
  AttemptId DrawAttempt() { return {0xA, next_attempt_++}; }

  std::vector<Acked> acked;  // by every program, in the order of acknowledgement
  // The first rule that was seen broken while it ran: a read barrier of a writer that was deposed when it was called, a
  // commit that went back, a closed epoch that changed. Check() looks at what is stored.
  std::string violation;
  void Violated(const std::string& what) {
    if (violation.empty()) violation = what;
  }

  // The content at `lsn` of the log according to the chain, from any disk of the epoch that holds it; nullopt: none
  // does.
  std::optional<std::string> ContentAt(Lsn lsn);
  // Every acknowledged record is in the log, at its LSN, once; every closed epoch is complete on some disk that is not
  // retired; no two disks differ at one (epoch, LSN). The first violation, or empty.
  std::string Check();

 private:
  void Watch(const VersionedChain& now);

  Chain last_chain_;
  std::vector<std::unique_ptr<SimDisk>> disks_;
  std::map<std::string, std::unique_ptr<SimProgram>> programs_;
  uint64_t next_attempt_ = 1;
};

}  // namespace understudy::testing

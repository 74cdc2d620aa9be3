// A log server with one disk: a Replica, a journal with groups and syncs, checkpoints, and every way in which a disk
// can fail. What the journal promises is DESIGN 5: group n + 1 is written only after group n is synced, so only the
// last group may be torn, and damage before it retires the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "log/epoch/repairer.h"
#include "log/epoch/replica.h"
#include "tests/sim/call.h"
#include "tests/sim/coverage.h"
#include "tests/sim/metadata.h"
#include "tests/sim/oracle.h"
#include "tests/sim/world.h"

namespace understudy::sim {

using AppendCall = Call<AppendRequest, AppendResponse>;
using SealCall = Call<SealRequest, SealResponse>;
using BarrierCall = Call<BarrierRequest, BarrierResponse>;
using ReadCall = Call<ReadRequest, ReadResponse>;
using FetchCall = Call<FetchRequest, FetchResponse>;
using TrimCall = Call<TrimRequest, TrimResponse>;
using StatusCall = Call<ReplicaStatusRequest, ReplicaStatusResponse>;

// A checkpoint in one piece: the state is one number.
struct SimCheckpoint {
  Lsn lsn;
  uint64_t state = 0;
};
struct CheckpointRequest {
  enum class Kind : uint8_t { kWrite, kRead, kDelete } kind = Kind::kWrite;
  LogId log;
  DiskId disk;
  uint64_t id = 0;
  SimCheckpoint checkpoint;  // kWrite
};
struct CheckpointResponse {
  StatusCode code = StatusCode::kOk;
  SimCheckpoint checkpoint;  // kRead
};
std::string Describe(const CheckpointRequest& request);
std::string Describe(const CheckpointResponse& response);
using CheckpointCall = Call<CheckpointRequest, CheckpointResponse>;

struct DiskSpeed {
  int64_t write_us = 30;
  int64_t sync_us_min = 50;
  int64_t sync_us_max = 1500;
  int64_t answer_us = 20;
};

// Where a crash strikes: the next time the journal gets there.
enum class CrashPoint : uint8_t { kNow, kBeforeWrite, kAfterWrite, kPartlySynced, kAfterSync };

class Disk {
 public:
  using Finder = std::function<Disk*(const DiskId&)>;  // by id, to fetch from

  Disk(World* world, Metadata* metadata, Oracle* oracle, Coverage* coverage, int number, const DiskSpeed& speed,
       Finder find);

  NodeId node() const { return node_; }
  DiskId id() const { return media_.id; }
  const std::string& name() const { return world_->name(node_); }
  ReplicaRef ref() const { return {media_.id, name()}; }
  void SetZone(std::string zone);
  bool up() const { return replica_ != nullptr; }
  bool retired() const { return media_.retired; }
  static int NumberOf(const DiskId& id) { return static_cast<int>(id.hi >> 56) - 0xD0; }

  void Receive(std::shared_ptr<AppendCall> call);
  void Receive(std::shared_ptr<SealCall> call);
  void Receive(std::shared_ptr<BarrierCall> call);
  void Receive(std::shared_ptr<ReadCall> call);
  void Receive(std::shared_ptr<FetchCall> call);
  void Receive(std::shared_ptr<TrimCall> call);
  void Receive(std::shared_ptr<StatusCall> call);
  void Receive(const std::shared_ptr<CheckpointCall>& call);

  // What the disk `id` knows of a log, as replica_status answers; nullopt: this server is down.
  std::optional<ReplicaStatusResponse> StatusOf(const DiskId& id, LogId log) const;

  // ---- faults ----
  // Crashes at `point`, or after 20 ms when the journal does not get there. `power`: what was not synced is lost, but
  // for the first `kept` entries of a group on its way. Restarts after down_ns.
  void Crash(CrashPoint point, bool power, size_t kept, int64_t down_ns);
  void Restart();              // waits for the metadata: a boot count is raised before anything is answered
  void Wipe(int64_t down_ns);  // a new directory with a new id
  void KeepCopy();             // of the directory, for RollBack
  bool has_copy() const { return copy_.has_value() && copy_->id == media_.id; }
  void RollBack(int64_t down_ns);  // the copy comes back
  void FlipBit(uint64_t where);    // in a batch before the last group; found by a read, or the next start
  void FailNextSync(int64_t down_ns) { fail_sync_down_ns_ = down_ns; }
  void SetSlow(int factor) { slow_ = factor; }
  void SetHung(bool hung);  // nothing becomes durable meanwhile
  void SetFull(bool full);
  void Scrub();  // reads everything: damage that lay hidden is found
  void ForgetFaults();

  // ---- for the checkers ----
  // Lost as far as the table of survivable faults goes, whether the server knows it yet or not.
  bool trusted(const DiskId& id) const { return id == media_.id && !media_.retired && !damaged_; }
  const std::vector<Stored>* Find(LogId log, Epoch epoch) const;
  bool HoldsCheckpoint(LogId log, uint64_t id) const { return media_.checkpoints.contains({log, id}); }
  uint64_t Fingerprint(LogId log) const;

 private:
  struct JournalEntry {
    PersistEntry entry;
    uint64_t group = 0;
    bool corrupt = false;
  };
  struct Media {  // what survives a loss of power
    DiskId id;
    uint64_t boot_count = 0;
    bool retired = false;
    std::vector<JournalEntry> journal;
    std::map<std::pair<LogId, uint64_t>, SimCheckpoint> checkpoints;
  };

  template <class Input, class CallType>
  void Take(std::unordered_map<Token, std::shared_ptr<CallType>>* waiting, std::shared_ptr<CallType> call);
  template <class CallType>
  void Break(std::unordered_map<Token, std::shared_ptr<CallType>>* waiting);
  template <class CallType>
  void Answer(Asked what, std::unordered_map<Token, std::shared_ptr<CallType>>* waiting, Token token,
              typename CallType::Response response);
  template <class F>
  void Later(int64_t ns, F f);  // on this node, in this life

  // disk.cc
  void Step(const ReplicaInput& input);
  void Perform();
  ReadResponse ReadStored(const ServeRead& read);
  // disk_journal.cc
  void StartGroup();
  void Reach(CrashPoint point);
  void Sync();
  void FinishSync();
  void Durable(const PersistEntry& entry);
  void Die(bool power, size_t kept, int64_t down_ns);
  void Boot();
  void Recover();
  void Index(const PersistEntry& entry, bool corrupt);
  void Retire(const char* why);
  // disk_repair.cc
  void StartRepairer();
  void Look();
  void Repair(const RepairerInput& input);
  void Perform(RepairerEffects& effects);
  void CopyCheckpointFrom(const CopyCheckpoint& copy, size_t source, size_t denials);

  World* world_;
  Metadata* metadata_;
  Oracle* oracle_;
  Coverage* coverage_;
  NodeId node_;
  DiskSpeed speed_;
  std::string zone_;
  Finder find_;
  Stream stream_;
  Media media_;
  std::optional<Media> copy_;
  uint64_t generation_ = 1;  // of ids on this node

  std::unique_ptr<Replica> replica_;
  ReplicaEffects effects_;
  Timer timer_;
  std::unique_ptr<Repairer> repairer_;
  Timer repair_timer_;
  std::unordered_map<Token, Token> own_fetches_;  // of the replica's token, the repairer's
  uint64_t life_ = 0;
  bool booting_ = false;
  Token next_token_ = 1;

  // The journal.
  std::vector<PersistEntry> queue_;  // given out by the replica, not yet durable
  size_t group_ = 0;                 // of them, on their way to the disk
  bool written_ = false;             // that group is in the page cache
  bool busy_ = false;
  uint64_t group_number_ = 0;
  struct Armed {
    CrashPoint point;
    bool power;
    size_t kept;
    int64_t down_ns;
  };
  std::optional<Armed> armed_;
  int64_t fail_sync_down_ns_ = 0;
  int slow_ = 1;
  bool hung_ = false;
  bool full_ = false;
  bool damaged_ = false;
  bool silent_ = false;  // retired, and the core knows it: it may answer no append, seal or barrier any more

  // What is durable, for serving and recovery.
  std::map<LogId, ReplicaLogState> logs_;
  std::map<std::pair<LogId, Epoch>, std::vector<Stored>> batches_;

  std::unordered_map<Token, std::shared_ptr<AppendCall>> appends_;
  std::unordered_map<Token, std::shared_ptr<SealCall>> seals_;
  std::unordered_map<Token, std::shared_ptr<BarrierCall>> barriers_;
  std::unordered_map<Token, std::shared_ptr<ReadCall>> reads_;
  std::unordered_map<Token, std::shared_ptr<FetchCall>> fetches_;
  std::unordered_map<Token, std::shared_ptr<TrimCall>> trims_;
  std::unordered_map<Token, std::shared_ptr<StatusCall>> statuses_;
};

template <class F>
void Disk::Later(int64_t ns, F f) {
  world_->AfterOn(node_, ns, [this, life = life_, f = std::move(f)]() mutable {
    if (life == life_ && up()) f();
  });
}

}  // namespace understudy::sim

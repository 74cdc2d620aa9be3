// The inside of Writer, shared by the files that implement it: writer.cc (append, send, commit), writer_barrier.cc
// (rounds, self-fence, heartbeat), writer_move.cc (moves, fencing, the chain).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "log/epoch/chain_client.h"
#include "log/epoch/ring.h"
#include "log/epoch/writer.h"

namespace understudy {

struct Writer::Impl {
  struct Slot {
    BatchRef batch;
    Lsn first;
    Lsn last;
  };
  struct ReplicaState {
    ReplicaRef ref;
    Lsn durable;                // as acknowledged
    uint64_t next = 0;          // absolute index of the slot to send next
    uint64_t acked = 0;         // absolute index of the first slot not durable there
    size_t inflight_bytes = 0;  // of slots [acked, next)
    uint32_t round = 0;
    Lsn commit_sent;
    bool dropped = false;
    bool sealed = false;
    bool reachable = true;
    bool probing = false;     // sends wait until an empty append has told the durable tail
    bool probe_sent = false;  // that append is out
    bool empty_sent = false;  // an empty append (commit, heartbeat) is out
    Instant retry_at;         // probing and not probe_sent: when to probe
    int64_t backoff_ms = 0;   // 0: none yet
    Instant last_answer;      // or the first send after silence
    Instant well_at;          // see ReplicaView
    bool usable() const { return !dropped && !sealed; }
  };
  struct BarrierCaller {
    Token token = 0;
    Lsn need;  // commit must reach this
  };
  enum class MovePhase : uint8_t { kNone, kPreparing, kCas };

  Impl(WriterOptions o, LogId log, const EpochEntry& entry, Instant now);

  // writer.cc
  void Append(BatchRef batch, Instant now, WriterEffects* out);
  void Answer(const AppendAnswered& input, Instant now, WriterEffects* out);
  void OnAcked(ReplicaState& replica, Lsn durable, Instant now, WriterEffects* out);
  void OnGap(ReplicaState& replica, const AppendAnswered& input, Instant now, WriterEffects* out);
  void SendMore(ReplicaState& replica, Instant now, WriterEffects* out);
  void SendEmpty(ReplicaState& replica, WriterEffects* out);
  void ProbeLater(ReplicaState& replica, Instant now);
  void RewindToDurable(ReplicaState& replica);
  void Drop(ReplicaState& replica, Status reason, Instant now, WriterEffects* out);
  void DropLaggards(Instant now, WriterEffects* out);
  void AdvanceCommit(Instant now, WriterEffects* out);
  void ReleaseBuffer();
  void TellCommit(Instant now, WriterEffects* out);
  void TickReplicas(Instant now, WriterEffects* out);
  void PushMirror(BatchRef batch, WriterEffects* out);
  void StartMirror(bool on, WriterEffects* out);
  size_t Undropped() const;
  uint64_t EndIndex() const { return base_index + buffer.size(); }
  uint64_t IndexOf(Lsn first) const;  // of the slot that begins there; EndIndex() for next_lsn; UINT64_MAX: none
  SendTag Tag(const ReplicaState& replica) const;
  AppendRequest Request(const ReplicaState& replica, BatchRef batch) const;

  // writer_barrier.cc
  void Barrier(Token token, Instant now, WriterEffects* out);
  void StartRound(Instant now, WriterEffects* out);
  void EndRound(bool reached, Instant now, WriterEffects* out);  // by word of A disks, or given up
  void OnBarrier(const BarrierAnswered& input, Instant now, WriterEffects* out);
  void CompleteBarriers(WriterEffects* out);
  void FailBarriers(StatusCode code, WriterEffects* out);
  void TickBarriers(Instant now, WriterEffects* out);

  // writer_move.cc
  void Move(const WriterMove& input, Instant now, WriterEffects* out);
  void ContinueMove(Instant now, WriterEffects* out);
  void EndMove(Status status, WriterEffects* out);
  void OnChain(ChainClient::Outcome outcome, Instant now, WriterEffects* out);
  void OnMoved(const VersionedChain& chain, Instant now, WriterEffects* out);
  void EnterEpoch(const EpochEntry& entry, Instant now);
  void Freeze(Instant now);
  void Thaw(Instant now, WriterEffects* out);
  void Fence(Status reason, const EpochEntry* owner, WriterEffects* out);
  void OnSealed(ReplicaState& replica, Instant now, WriterEffects* out);
  void TickMove(Instant now, WriterEffects* out);
  // Whether `chain` still shows our epoch as the open one.
  bool StillOurs(const Chain& chain) const;

  Instant WakeAt() const;

  WriterOptions options;
  LogId log;
  Epoch epoch;
  AttemptId attempt;
  Lsn epoch_first;
  int ack_quorum = 1;
  std::vector<ReplicaRef> disks;
  std::vector<ReplicaState> replicas;

  Ring<Slot> buffer;        // every batch that is unacknowledged, or that an undropped replica lacks
  uint64_t base_index = 0;  // of buffer.front()
  size_t buffer_bytes = 0;
  size_t unacked_bytes = 0;
  uint64_t unacked_index = 0;  // first slot above commit
  Lsn next_lsn;
  Lsn commit;
  Instant commit_alone_at = Instant::Never();
  bool announced = false;  // the replicas have been told of this epoch
  std::vector<Lsn> tails;  // scratch

  bool over = false;
  bool frozen = false;

  // Barrier rounds.
  std::vector<BarrierCaller> waiting;   // for the next round
  std::vector<BarrierCaller> in_round;  // for the one under way
  std::vector<BarrierCaller> heard;     // A disks have spoken; commit must follow
  bool round_active = false;
  uint64_t round = 0;
  Instant round_began;
  Instant round_retry_at = Instant::Never();  // callers wait and no round could be begun
  std::vector<uint8_t> round_answers;         // per replica: 0 open, 1 not sealed, 2 no word
  Instant last_word;                          // beginning of the last round that reached A
  Instant next_heartbeat;

  // Moves and the chain.
  ChainClient chain;
  MovePhase move_phase = MovePhase::kNone;
  WriterMove move;
  std::optional<VersionedChain> base;  // what the CAS will name
  Instant check_at = Instant::Never();
  int64_t check_ms = 0;
  bool seal_reported = false;

  bool mirror_on = false;
  Lsn mirror_commit;
};

}  // namespace understudy

// Move (handover and replica change), fencing, and what a Writer learns from the chain.
#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/writer_impl.h"
#include "understudy/check.h"

namespace understudy {
namespace {
constexpr int64_t kChainCheckMs = 50;  // first pause between looks at the chain while a seal has no owner yet
constexpr int64_t kChainCheckMsMax = 1000;
}  // namespace

void Writer::Impl::EnterEpoch(const EpochEntry& entry, Instant now) {
  epoch = entry.epoch;
  attempt = entry.attempt;
  epoch_first = entry.first_lsn;
  ack_quorum = entry.ack_quorum;
  disks = entry.disks;
  commit = entry.first_lsn - 1;
  commit_alone_at = now;
  announced = false;
  // What is acknowledged belongs to the closed epoch; copying it to who lacks it is Fetch's work, not ours.
  while (!buffer.empty() && buffer.front().last <= commit) {
    buffer.pop_front();
    ++base_index;
  }
  UNDERSTUDY_CHECK(buffer.empty() ? next_lsn == epoch_first : buffer.front().first == epoch_first);
  buffer_bytes = 0;
  for (size_t i = 0; i < buffer.size(); ++i) {
    buffer[i].batch = std::make_shared<const std::string>(RestampBatch(*buffer[i].batch, epoch));
    buffer_bytes += buffer[i].batch->size();
  }
  unacked_bytes = buffer_bytes;
  unacked_index = base_index;
  replicas.clear();
  for (const ReplicaRef& disk : disks) {
    ReplicaState replica;
    replica.ref = disk;
    replica.durable = replica.commit_sent = commit;
    replica.next = replica.acked = base_index;
    replica.last_answer = replica.well_at = now;
    replicas.push_back(std::move(replica));
  }
}

// ---- move ----

void Writer::Impl::Move(const WriterMove& input, Instant now, WriterEffects* out) {
  const auto refuse = [&](StatusCode code, std::string why) { out->move = MoveDone{{code, std::move(why)}, {}}; };
  if (over || move_phase != MovePhase::kNone) {
    return refuse(StatusCode::kFailedPrecondition, over ? "this writer is over" : "another move is under way");
  }
  if (input.attempt.none() || input.attempt == attempt || input.ack_quorum < 1 ||
      input.ack_quorum > static_cast<int>(input.disks.size())) {
    return refuse(StatusCode::kInvalidArgument, "a move needs a fresh attempt id and at least ack_quorum disks");
  }
  move = input;
  move_phase = MovePhase::kPreparing;
  base.reset();
  if (input.base.has_value() && !chain.busy()) return OnChain({ChainClient::Verdict::kLost, *input.base}, now, out);
  // The chain is read while appends go on (or drain): the freeze lasts one CAS, not a read and a CAS.
  if (!chain.busy()) chain.Read(now, &out->chain_ops);
}

void Writer::Impl::ContinueMove(Instant now, WriterEffects* out) {
  if (over || move_phase != MovePhase::kPreparing || !base.has_value()) return;
  if (move.handover && commit + 1 != next_lsn) return;  // draining
  if (chain.busy()) return;  // a disk was sealed meanwhile and we look who did it: the answer is a newer base
  EpochEntry next;
  next.epoch = epoch + 1;
  next.attempt = move.attempt;
  next.owner = move.owner;
  next.first_lsn = commit + 1;
  next.disks = move.disks;
  next.ack_quorum = move.ack_quorum;
  Chain desired = CloseAndOpen(base->chain, commit, std::move(next));
  const Status valid = ValidateChain(desired);
  if (!valid.ok()) return EndMove({StatusCode::kInvalidArgument, valid.message()}, out);
  // From here on the chain may say at any moment that this epoch ended at `commit`: nothing above may be acknowledged.
  Freeze(now);
  move_phase = MovePhase::kCas;
  chain.Propose(*base, std::move(desired), move.attempt, now, &out->chain_ops);
}

void Writer::Impl::Freeze(Instant) {
  if (MutantOn(Mutant::kNoFreeze)) return;
  frozen = true;
  if (MutantOn(Mutant::kBarrierWhileFrozen)) return;
  round_retry_at = Instant::Never();
  if (!round_active) return;
  round_active = false;
  waiting.insert(waiting.begin(), in_round.begin(), in_round.end());
  in_round.clear();
}

void Writer::Impl::Thaw(Instant now, WriterEffects* out) {
  frozen = false;
  AdvanceCommit(now, out);
  CompleteBarriers(out);
  if (!waiting.empty()) StartRound(now, out);
}

void Writer::Impl::EndMove(Status status, WriterEffects* out) {
  move_phase = MovePhase::kNone;
  base.reset();
  out->move = MoveDone{std::move(status), {}};
}

bool Writer::Impl::StillOurs(const Chain& current) const {
  const EpochEntry* last = current.last();
  return last != nullptr && last->epoch == epoch && last->attempt == attempt && !last->closed();
}

void Writer::Impl::OnChain(ChainClient::Outcome outcome, Instant now, WriterEffects* out) {
  if (move_phase == MovePhase::kCas && outcome.verdict == ChainClient::Verdict::kWon) {
    return OnMoved(outcome.current, now, out);
  }
  const VersionedChain& current = outcome.current;
  if (!StillOurs(current.chain)) {
    if (move_phase != MovePhase::kNone) EndMove({StatusCode::kConflict, "the chain moved under us"}, out);
    return Fence({StatusCode::kFenced, "another writer owns the log"}, current.chain.last(), out);
  }
  if (move_phase == MovePhase::kCas) {
    const bool never_sent = base.has_value() && current.version == base->version;
    if (never_sent) {
      EndMove({StatusCode::kUnavailable, "the metadata cannot be reached"}, out);
      return Thaw(now, out);
    }
    // The chain changed for another reason (a checkpoint, a pin). Our CAS is dead; the next one is sent at once, and
    // the writer stays frozen in between.
    base = current;
    move_phase = MovePhase::kPreparing;
    return ContinueMove(now, out);
  }
  if (move_phase == MovePhase::kPreparing) {
    base = current;
    return ContinueMove(now, out);
  }
  if (std::none_of(replicas.begin(), replicas.end(), [](const ReplicaState& r) { return r.sealed; })) {
    return;  // read for a move that has been given up meanwhile
  }
  // A seal without an owner: a takeover is under way, or has died. Look again after a while.
  check_at = now + check_ms * kNsPerMs;
  check_ms = std::min(check_ms * 2, kChainCheckMsMax);
  if (seal_reported) return;
  seal_reported = true;
  out->seal_without_owner =
      "epoch " + std::to_string(epoch.value()) + " is sealed on some disks, the chain is unchanged";
}

void Writer::Impl::OnMoved(const VersionedChain& current, Instant now, WriterEffects* out) {
  const EpochEntry entry = *current.chain.FindAttempt(move.attempt);
  out->move = MoveDone{Status::Ok(), current};
  move_phase = MovePhase::kNone;
  base.reset();
  if (move.handover) {
    if (mirror_on) out->mirror.push_back({log, epoch, attempt, commit, nullptr, move.attempt});
    FailBarriers(StatusCode::kCancelled, out);
    return Fence({StatusCode::kFenced, "handed over to " + entry.owner.node}, &entry, out);
  }
  UNDERSTUDY_CHECK(entry.first_lsn == commit + 1 || MutantOn(Mutant::kNoFreeze));
  EnterEpoch(entry, now);
  frozen = false;
  seal_reported = false;
  check_at = Instant::Never();
  if (!StillOurs(current.chain)) {  // and lost again since
    return Fence({StatusCode::kFenced, "another writer owns the log"}, current.chain.last(), out);
  }
  for (ReplicaState& replica : replicas) SendMore(replica, now, out);
  if (mirror_on) StartMirror(true, out);
  CompleteBarriers(out);
  StartRound(now, out);
}

void Writer::Impl::TickMove(Instant now, WriterEffects* out) {
  if (over) return;
  if (move_phase == MovePhase::kPreparing && !frozen && now >= move.deadline) {
    EndMove({StatusCode::kDeadlineExceeded, "appends did not drain, or the metadata did not answer, in time"}, out);
    if (!waiting.empty() && !round_active) StartRound(now, out);
  }
  if (now >= check_at && !chain.busy()) {
    check_at = Instant::Never();
    chain.Read(now, &out->chain_ops);
  }
}

// ---- fencing ----

void Writer::Impl::OnSealed(ReplicaState& replica, Instant now, WriterEffects* out) {
  if (replica.sealed) return;
  replica.sealed = true;
  replica.reachable = true;
  replica.probing = false;
  // Its durable tail still counts: what it holds, a takeover that counts on it will find. Who sealed it?
  check_ms = kChainCheckMs;
  seal_reported = false;
  if (chain.busy()) {
    check_at = now;
  } else {
    chain.Read(now, &out->chain_ops);
  }
}

void Writer::Impl::Fence(Status reason, const EpochEntry* owner, WriterEffects* out) {
  over = true;
  frozen = false;
  mirror_on = false;
  FailBarriers(StatusCode::kFenced, out);
  FencedReport report{std::move(reason), std::nullopt};
  if (owner != nullptr && owner->epoch >= epoch && owner->attempt != attempt) report.owner = *owner;
  out->fenced = std::move(report);
}

}  // namespace understudy

#include "log/epoch/writer.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "log/epoch/writer_impl.h"
#include "understudy/check.h"

namespace understudy {

void WriterEffects::Clear() {
  appends.clear();
  barrier_sends.clear();
  mirror.clear();
  chain_ops.clear();
  barriers.clear();
  dropped.clear();
  commit.reset();
  move.reset();
  fenced.reset();
  seal_without_owner.reset();
  wake_at = Instant::Never();
}

Writer::Impl::Impl(WriterOptions o, LogId log_id, const EpochEntry& entry, Instant now)
    : options(o), log(log_id), last_word(now), next_heartbeat(now), chain(1, options.retry_ms) {
  UNDERSTUDY_CHECK(!entry.closed() && !entry.attempt.none());
  next_lsn = entry.first_lsn;
  EnterEpoch(entry, now);
}

size_t Writer::Impl::Undropped() const {
  return std::count_if(replicas.begin(), replicas.end(), [](const ReplicaState& r) { return !r.dropped; });
}

uint64_t Writer::Impl::IndexOf(Lsn first) const {
  if (first == next_lsn) return EndIndex();
  size_t low = 0;
  size_t high = buffer.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (buffer[middle].first < first) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < buffer.size() && buffer[low].first == first ? base_index + low : UINT64_MAX;
}

SendTag Writer::Impl::Tag(const ReplicaState& replica) const {
  return {static_cast<uint32_t>(&replica - replicas.data()), replica.round, epoch, replica.durable};
}

AppendRequest Writer::Impl::Request(const ReplicaState& replica, BatchRef batch) const {
  return {log, replica.ref.disk, epoch, attempt, epoch_first, commit, std::move(batch)};
}

// ---- append and send ----

void Writer::Impl::Append(BatchRef batch, Instant now, WriterEffects* out) {
  UNDERSTUDY_CHECK(batch != nullptr && !over && (move_phase == MovePhase::kNone || !move.handover));
  const Result<BatchHeader> header = PeekBatch(*batch);
  UNDERSTUDY_CHECK(header.ok() && header->length == batch->size() && header->log == log && header->epoch == epoch &&
                   header->first_lsn == next_lsn);
  const size_t bytes = batch->size();
  buffer.push_back({batch, header->first_lsn, header->last_lsn()});
  next_lsn = header->last_lsn() + 1;
  buffer_bytes += bytes;
  unacked_bytes += bytes;
  for (ReplicaState& replica : replicas) SendMore(replica, now, out);
  if (mirror_on) PushMirror(std::move(batch), out);
  if (buffer_bytes > options.buffer_bytes_max) DropLaggards(now, out);
}

void Writer::Impl::SendMore(ReplicaState& replica, Instant now, WriterEffects* out) {
  if (!replica.usable() || replica.probing) return;
  while (replica.next < EndIndex()) {
    const Slot& slot = buffer[replica.next - base_index];
    const size_t bytes = slot.batch->size();
    if (replica.inflight_bytes != 0 && replica.inflight_bytes + bytes > options.replica_inflight_bytes_max) return;
    if (replica.inflight_bytes == 0) replica.last_answer = now;  // the wait begins
    out->appends.push_back({Tag(replica), Request(replica, slot.batch)});
    replica.inflight_bytes += bytes;
    replica.commit_sent = commit;
    ++replica.next;
  }
}

void Writer::Impl::SendEmpty(ReplicaState& replica, WriterEffects* out) {
  out->appends.push_back({Tag(replica), Request(replica, nullptr)});
  replica.commit_sent = commit;
  replica.empty_sent = true;
}

void Writer::Impl::RewindToDurable(ReplicaState& replica) {
  ++replica.round;  // what is still on its way of the old round says nothing about the new one
  replica.next = replica.acked;
  replica.inflight_bytes = 0;
}

void Writer::Impl::ProbeLater(ReplicaState& replica, Instant now) {
  RewindToDurable(replica);
  replica.reachable = false;
  replica.probing = true;
  replica.probe_sent = false;
  replica.empty_sent = false;
  replica.backoff_ms =
      replica.backoff_ms == 0 ? options.retry_ms : std::min(replica.backoff_ms * 2, options.retry_ms_max);
  replica.retry_at = now + replica.backoff_ms * kNsPerMs;
}

void Writer::Impl::Answer(const AppendAnswered& input, Instant now, WriterEffects* out) {
  if (over || input.tag.epoch != epoch || input.tag.replica >= replicas.size()) return;
  ReplicaState& replica = replicas[input.tag.replica];
  if (replica.dropped) return;
  const AppendResponse& response = input.response;
  const bool current = input.tag.round == replica.round;
  switch (response.code) {
    case StatusCode::kOk:
      if (response.durable_tail < input.tag.acked) {
        return Drop(replica, {StatusCode::kDataUnknown, "its tail went back below what it had acknowledged"}, now, out);
      }
      replica.reachable = true;
      replica.last_answer = now;
      if (current) replica.empty_sent = replica.probe_sent = false;
      OnAcked(replica, response.durable_tail, now, out);
      if (current && replica.probing) {
        replica.probing = false;
        RewindToDurable(replica);
      }
      return SendMore(replica, now, out);
    case StatusCode::kGap:
      return OnGap(replica, input, now, out);
    case StatusCode::kFenced:
      return OnSealed(replica, now, out);
    case StatusCode::kConflict:
    case StatusCode::kDataUnknown:
    case StatusCode::kInvalidArgument:
      return Drop(replica, {response.code, response.detail}, now, out);
    default:  // unreachable, at another address, full, damaged on the way: ask for its tail after a while and go on
              // from there
      if (current) ProbeLater(replica, now);
  }
}

void Writer::Impl::OnAcked(ReplicaState& replica, Lsn durable, Instant now, WriterEffects* out) {
  if (durable >= next_lsn) {
    return Drop(replica, {StatusCode::kConflict, "it acknowledges what was never sent"}, now, out);
  }
  if (durable <= replica.durable) return;
  replica.durable = durable;
  replica.well_at = now;
  replica.backoff_ms = 0;
  while (replica.acked < EndIndex() && buffer[replica.acked - base_index].last <= durable) {
    if (replica.acked < replica.next) replica.inflight_bytes -= buffer[replica.acked - base_index].batch->size();
    ++replica.acked;
  }
  replica.next = std::max(replica.next, replica.acked);
  AdvanceCommit(now, out);
}

void Writer::Impl::OnGap(ReplicaState& replica, const AppendAnswered& input, Instant now, WriterEffects* out) {
  if (input.response.durable_tail < input.tag.acked) {
    return Drop(replica, {StatusCode::kDataUnknown, "its tail went back below what it had acknowledged"}, now, out);
  }
  if (input.tag.round != replica.round) return;
  replica.reachable = true;
  replica.last_answer = now;
  const Lsn from = std::max(input.response.durable_tail, replica.durable) + 1;
  const uint64_t index = from <= next_lsn ? IndexOf(from) : UINT64_MAX;
  if (index == UINT64_MAX) {
    return Drop(replica, {StatusCode::kConflict, "its tail lies where no batch of ours ends"}, now, out);
  }
  RewindToDurable(replica);
  // What it has taken but not yet synced is not sent again; it is counted as on its way.
  for (; replica.next < index; ++replica.next)
    replica.inflight_bytes += buffer[replica.next - base_index].batch->size();
  SendMore(replica, now, out);
}

// ---- commit ----

void Writer::Impl::AdvanceCommit(Instant now, WriterEffects* out) {
  if (!frozen && !over) {
    tails.clear();
    for (const ReplicaState& replica : replicas) {
      if (!replica.dropped) tails.push_back(replica.durable);
    }
    if (tails.size() >= static_cast<size_t>(ack_quorum)) {
      std::nth_element(tails.begin(), tails.begin() + (ack_quorum - 1), tails.end(), std::greater<>());
      const Lsn reached = tails[ack_quorum - 1];
      if (reached > commit) {
        commit = reached;
        out->commit = commit;
        while (unacked_index < EndIndex() && buffer[unacked_index - base_index].last <= commit) {
          unacked_bytes -= buffer[unacked_index - base_index].batch->size();
          ++unacked_index;
        }
        if (commit_alone_at == Instant::Never()) commit_alone_at = now + options.commit_quiet_us * 1000;
        CompleteBarriers(out);
      }
    }
  }
  ReleaseBuffer();
}

void Writer::Impl::ReleaseBuffer() {
  uint64_t keep = unacked_index;
  for (const ReplicaState& replica : replicas) {
    if (!replica.dropped) keep = std::min(keep, replica.acked);
  }
  for (; base_index < keep; ++base_index) {
    buffer_bytes -= buffer.front().batch->size();
    buffer.pop_front();
  }
}

void Writer::Impl::Drop(ReplicaState& replica, Status reason, Instant now, WriterEffects* out) {
  if (replica.dropped) return;
  replica.dropped = true;
  replica.reachable = false;
  out->dropped.push_back({static_cast<uint32_t>(&replica - replicas.data()), replica.ref, std::move(reason)});
  AdvanceCommit(now, out);
}

// A replica that others go on without must not make the buffer grow for ever. Never below A: what all of them need is
// the caller's window, bounded there.
void Writer::Impl::DropLaggards(Instant now, WriterEffects* out) {
  while (buffer_bytes > options.buffer_bytes_max && base_index < unacked_index) {
    const Lsn front = buffer.front().last;
    const uint64_t before = base_index;
    for (ReplicaState& replica : replicas) {
      if (replica.dropped || replica.durable >= front) continue;
      if (Undropped() <= static_cast<size_t>(ack_quorum)) return;
      Drop(replica, {StatusCode::kResourceExhausted, "too far behind: the buffer kept for it is full"}, now, out);
    }
    if (base_index == before) return;
  }
}

// After a while without appends the commit travels alone. An epoch begins with such a message: replicas know of it
// then, count their writer's age, and let readers wait for its first append.
void Writer::Impl::TellCommit(Instant now, WriterEffects* out) {
  if (now < commit_alone_at) return;
  commit_alone_at = Instant::Never();
  for (ReplicaState& replica : replicas) {
    if (replica.usable() && !replica.probing && (replica.commit_sent < commit || !announced)) {
      SendEmpty(replica, out);
    }
  }
  announced = true;
  if (mirror_on && mirror_commit < commit) PushMirror(nullptr, out);
}

void Writer::Impl::TickReplicas(Instant now, WriterEffects* out) {
  for (ReplicaState& replica : replicas) {
    if (!replica.usable()) continue;
    const bool waits = replica.inflight_bytes != 0 || replica.probe_sent;
    if (waits && now - replica.last_answer >= options.stall_ms * kNsPerMs) {
      ProbeLater(replica, now);
      replica.retry_at = now;
    }
    if (replica.probing && !replica.probe_sent && now >= replica.retry_at) {
      SendEmpty(replica, out);
      replica.probe_sent = true;
      replica.last_answer = now;
    }
  }
}

// ---- mirror ----

void Writer::Impl::PushMirror(BatchRef batch, WriterEffects* out) {
  out->mirror.push_back({log, epoch, attempt, commit, std::move(batch), {}});
  mirror_commit = commit;
}

void Writer::Impl::StartMirror(bool on, WriterEffects* out) {
  mirror_on = on && !over;
  if (!mirror_on) return;
  for (size_t i = 0; i < buffer.size(); ++i) PushMirror(buffer[i].batch, out);
  if (buffer.empty()) PushMirror(nullptr, out);
}

Instant Writer::Impl::WakeAt() const {
  if (over) return Instant::Never();
  Instant at = std::min({commit_alone_at, next_heartbeat, round_retry_at, chain.wake_at()});
  if (!chain.busy()) at = std::min(at, check_at);
  if (move_phase == MovePhase::kPreparing && !frozen) at = std::min(at, move.deadline);
  if (round_active) at = std::min(at, round_began + options.self_fence_ms * kNsPerMs / 2);
  for (const ReplicaState& replica : replicas) {
    if (!replica.usable()) continue;
    if (replica.probing && !replica.probe_sent) at = std::min(at, replica.retry_at);
    if (replica.inflight_bytes != 0 || replica.probe_sent) {
      at = std::min(at, replica.last_answer + options.stall_ms * kNsPerMs);
    }
  }
  return at;
}

// ---- the class ----

Writer::Writer(WriterOptions options, LogId log, const EpochEntry& epoch, Instant now)
    : impl_(std::make_unique<Impl>(options, log, epoch, now)) {}
Writer::~Writer() = default;

void Writer::Append(BatchRef batch, Instant now, WriterEffects* out) {
  impl_->Append(std::move(batch), now, out);
  out->wake_at = impl_->WakeAt();
}

void Writer::Answer(const AppendAnswered& input, Instant now, WriterEffects* out) {
  impl_->Answer(input, now, out);
  if (impl_->move_phase != Impl::MovePhase::kNone) impl_->ContinueMove(now, out);  // drained now?
  out->wake_at = impl_->WakeAt();
}

void Writer::Step(const WriterInput& input, Instant now, WriterEffects* out) {
  struct Visitor {
    Impl& impl;
    Instant now;
    WriterEffects* out;
    void operator()(const WriterAppend& in) { impl.Append(in.batch, now, out); }
    void operator()(const AppendAnswered& in) { impl.Answer(in, now, out); }
    void operator()(const BarrierAnswered& in) { impl.OnBarrier(in, now, out); }
    void operator()(const WriterBarrier& in) { impl.Barrier(in.token, now, out); }
    void operator()(const WriterMove& in) { impl.Move(in, now, out); }
    void operator()(const WriterMirror& in) { impl.StartMirror(in.on, out); }
    void operator()(const MirrorBroken&) { impl.mirror_on = false; }
    void operator()(const ChainReadDone& in) {
      if (impl.over) return;
      if (auto outcome = impl.chain.Step(in, now, &out->chain_ops)) impl.OnChain(std::move(*outcome), now, out);
    }
    void operator()(const ChainCasDone& in) {
      if (impl.over) return;
      if (auto outcome = impl.chain.Step(in, now, &out->chain_ops)) impl.OnChain(std::move(*outcome), now, out);
    }
    void operator()(const Tick& in) {
      if (impl.over) return;
      impl.chain.Step(in, now, &out->chain_ops);
      impl.TellCommit(now, out);
      impl.TickReplicas(now, out);
      impl.TickBarriers(now, out);
      impl.TickMove(now, out);
    }
  };
  std::visit(Visitor{*impl_, now, out}, input);
  if (impl_->move_phase != Impl::MovePhase::kNone) impl_->ContinueMove(now, out);
  out->wake_at = impl_->WakeAt();
}

Epoch Writer::epoch() const { return impl_->epoch; }
const AttemptId& Writer::attempt() const { return impl_->attempt; }
Lsn Writer::next_lsn() const { return impl_->next_lsn; }
Lsn Writer::commit() const { return impl_->commit; }
const std::vector<ReplicaRef>& Writer::disks() const { return impl_->disks; }
bool Writer::accepting() const {
  return !impl_->over && (impl_->move_phase == Impl::MovePhase::kNone || !impl_->move.handover);
}
bool Writer::over() const { return impl_->over; }
bool Writer::frozen() const { return impl_->frozen; }
bool Writer::mirroring() const { return impl_->mirror_on; }
size_t Writer::buffered_bytes() const { return impl_->buffer_bytes; }
size_t Writer::unacknowledged_bytes() const { return impl_->unacked_bytes; }

Instant Writer::serve_until() const {
  if (impl_->over || (impl_->frozen && impl_->move.handover)) return Instant(INT64_MIN);
  return impl_->last_word + impl_->options.self_fence_ms * kNsPerMs;
}

std::vector<Writer::ReplicaView> Writer::Replicas() const {
  std::vector<ReplicaView> views;
  for (const Impl::ReplicaState& replica : impl_->replicas) {
    views.push_back(
        {replica.ref, replica.durable, replica.dropped, replica.sealed, replica.reachable, replica.well_at});
  }
  return views;
}

}  // namespace understudy

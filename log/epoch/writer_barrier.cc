// ReadBarrier rounds, the self-fencing clock and the heartbeat of a Writer.
#include <algorithm>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/writer_impl.h"
#include "understudy/check.h"

namespace understudy {

void Writer::Impl::Barrier(Token token, Instant now, WriterEffects* out) {
  if (over) {
    out->barriers.push_back({token, StatusCode::kFenced});
    return;
  }
  if (waiting.size() + in_round.size() + heard.size() >= options.barriers_max) {
    out->barriers.push_back({token, StatusCode::kResourceExhausted});
    return;
  }
  // A round under way began before this call: its words are too old. All callers meanwhile share the next.
  waiting.push_back({token, next_lsn - 1});
  const bool held = frozen && !MutantOn(Mutant::kBarrierWhileFrozen);
  if (!round_active && !held && round_retry_at == Instant::Never()) StartRound(now, out);
}

void Writer::Impl::StartRound(Instant now, WriterEffects* out) {
  round_retry_at = Instant::Never();
  next_heartbeat = now + options.heartbeat_ms * kNsPerMs;
  in_round.insert(in_round.end(), waiting.begin(), waiting.end());
  waiting.clear();
  round_active = true;
  round_began = now;
  ++round;
  round_answers.assign(replicas.size(), 0);
  for (uint32_t i = 0; i < replicas.size(); ++i) {
    if (!replicas[i].usable()) {
      round_answers[i] = 2;
      continue;
    }
    out->barrier_sends.push_back({{i, epoch, round}, {log, replicas[i].ref.disk, epoch}});
  }
  if (std::count(round_answers.begin(), round_answers.end(), 0) < ack_quorum) EndRound(false, now, out);
}

void Writer::Impl::EndRound(bool reached, Instant now, WriterEffects* out) {
  round_active = false;
  if (reached) {
    last_word = std::max(last_word, round_began);
    heard.insert(heard.end(), in_round.begin(), in_round.end());
    in_round.clear();
    CompleteBarriers(out);
    if (!waiting.empty()) StartRound(now, out);
    return;
  }
  waiting.insert(waiting.begin(), in_round.begin(), in_round.end());
  in_round.clear();
  round_retry_at = now + options.retry_ms * kNsPerMs;
}

void Writer::Impl::OnBarrier(const BarrierAnswered& input, Instant now, WriterEffects* out) {
  if (over || input.tag.epoch != epoch || input.tag.replica >= replicas.size()) return;
  ReplicaState& replica = replicas[input.tag.replica];
  if (input.response.code == StatusCode::kFenced) OnSealed(replica, now, out);
  if (input.response.code == StatusCode::kDataUnknown) {
    Drop(replica, {input.response.code, input.response.detail}, now, out);
  }
  if (input.response.code == StatusCode::kOk && replica.durable >= commit) replica.well_at = now;
  if (input.response.code != StatusCode::kOk && replica.usable() && !replica.probing && replica.inflight_bytes == 0) {
    // It may have been restarted, and does not know the commit any more: tell it as soon as it answers again.
    ProbeLater(replica, now);
  }
  if (over || !round_active || input.tag.round != round || round_answers[input.tag.replica] != 0) return;
  round_answers[input.tag.replica] = input.response.code == StatusCode::kOk ? 1 : 2;
  const auto count = [&](uint8_t answer) { return std::count(round_answers.begin(), round_answers.end(), answer); };
  if (count(1) >= ack_quorum) {
    EndRound(true, now, out);
  } else if (count(1) + count(0) < ack_quorum) {
    EndRound(false, now, out);
  }
}

void Writer::Impl::CompleteBarriers(WriterEffects* out) {
  UNDERSTUDY_CHECK(!frozen || MutantOn(Mutant::kBarrierWhileFrozen));  // another may own the log by then
  std::erase_if(heard, [&](const BarrierCaller& caller) {
    if (caller.need > commit) return false;
    out->barriers.push_back({caller.token, StatusCode::kOk});
    return true;
  });
}

void Writer::Impl::FailBarriers(StatusCode code, WriterEffects* out) {
  for (auto* callers : {&heard, &in_round, &waiting}) {
    for (const BarrierCaller& caller : *callers) out->barriers.push_back({caller.token, code});
    callers->clear();
  }
  round_active = false;
  round_retry_at = Instant::Never();
}

void Writer::Impl::TickBarriers(Instant now, WriterEffects* out) {
  if (over) return;
  if (round_active && now - round_began >= options.self_fence_ms * kNsPerMs / 2) EndRound(false, now, out);
  const bool heartbeat = now >= next_heartbeat;
  if (heartbeat) {
    next_heartbeat = now + options.heartbeat_ms * kNsPerMs;
    if (mirror_on) PushMirror(nullptr, out);
  }
  if (frozen && !MutantOn(Mutant::kBarrierWhileFrozen)) {
    // A round's word would be worthless, but the replicas must know that their writer lives.
    for (ReplicaState& replica : replicas) {
      if (heartbeat && replica.usable() && !replica.probing && !replica.empty_sent) SendEmpty(replica, out);
    }
  } else if (!round_active && (heartbeat || now >= round_retry_at)) {
    StartRound(now, out);
  }
  if (heartbeat && !frozen && next_lsn == epoch_first) {
    // Nothing was appended yet: replicas must hear of the epoch all the same, or a spare that follows it would never
    // learn that there is nothing to apply.
    for (ReplicaState& replica : replicas) {
      if (replica.usable() && !replica.probing && !replica.empty_sent) SendEmpty(replica, out);
    }
  }
}

}  // namespace understudy

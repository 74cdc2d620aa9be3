#include "log/epoch/follower.h"

#include <algorithm>
#include <utility>

#include "log/epoch/follower_impl.h"
#include "log/epoch/mutant.h"
#include "understudy/check.h"

namespace understudy {

void FollowerEffects::Clear() {
  released.clear();
  reads.clear();
  chain_ops.clear();
  trimmed.reset();
  mirror_lost.reset();
  next_owner_hint.reset();
  wake_at = Instant::Never();
}

// ---- the chain and the commit ----

void Follower::Impl::OnChain(const VersionedChain& newer, Instant now, FollowerEffects* out) {
  if (have_chain && newer.version <= chain.version) return;
  chain = newer;
  have_chain = true;
  for (const EpochEntry& entry : chain.chain.epochs) {
    if (entry.closed()) known = std::max(known, *entry.last_lsn);
  }
  read_at = std::min(read_at, now);  // other disks, or another epoch
  const EpochEntry* mirrored = chain.chain.Find(mirror_epoch);
  if (mirrored != nullptr && mirrored->attempt != mirror_attempt) {  // pushed ahead of our chain, and not by its writer
    if (commit_epoch == mirror_epoch) commit = Lsn();
    LoseMirror({StatusCode::kFenced, "the stream comes from a writer that the chain does not know"}, true, out);
  }
}

void Follower::Impl::OnChainRead(const ChainReadDone& input, Instant now, FollowerEffects* out) {
  if (input.token == 0 || input.token != chain_token) return;
  chain_token = 0;
  if (!input.status.ok()) {
    chain_wanted = true;
    chain_at = now + options.retry_ms * kNsPerMs;
    return;
  }
  if (input.value.version != 0) OnChain(input.value, now, out);
}

// A commit speaks for its own epoch. For lower ones the chain does.
void Follower::Impl::HearCommit(Epoch epoch, Lsn lsn, Instant now) {
  if (epoch < commit_epoch) return;
  if (epoch > commit_epoch) {
    commit_epoch = epoch;
    commit = Lsn();
  }
  commit = std::max(commit, lsn);
  const EpochEntry* entry = have_chain ? chain.chain.Find(epoch) : nullptr;
  if (entry == nullptr || entry->closed()) return;
  known = std::max(known, commit);
  commit_heard = now;
}

// ---- the mirror stream ----

void Follower::Impl::LoseMirror(Status why, bool forget, FollowerEffects* out) {
  if (forget) {
    mirror.clear();
    mirror_bytes = 0;
  }
  mirror_on = false;
  mirror_epoch = Epoch();
  mirror_tail.reset();
  out->mirror_lost = std::move(why);
}

void Follower::Impl::OnMirror(const MirrorPush& push, Instant now, FollowerEffects* out) {
  if (push.log != options.log || push.epoch < mirror_epoch) return;
  if (push.epoch == mirror_epoch && push.attempt != mirror_attempt) return;
  const EpochEntry* entry = have_chain ? chain.chain.Find(push.epoch) : nullptr;
  if (entry != nullptr && entry->attempt != push.attempt) {
    return LoseMirror({StatusCode::kFenced, "the stream comes from a writer that the chain does not know"}, true, out);
  }
  if (entry == nullptr) {  // newer than our chain (or trimmed away): look before anything of it is believed
    chain_wanted = true;
    chain_at = std::min(chain_at, now);
  }
  mirror_heard = now;
  mirror_on = true;
  if (push.epoch > mirror_epoch) {
    mirror_epoch = push.epoch;
    mirror_attempt = push.attempt;
    mirror_tail.reset();
  }
  if (push.batch != nullptr) {
    const Result<BatchHeader> header = VerifyBatch(*push.batch);
    if (!header.ok() || header->log != push.log || header->epoch != push.epoch) {
      return LoseMirror({StatusCode::kCorruption, header.ok() ? "a batch of another epoch" : header.status().message()},
                        true, out);
    }
    const bool first = !mirror_tail.has_value();
    if (!first && header->last_lsn() <= *mirror_tail) {
      // pushed again after the stream began anew
    } else if (!first && header->first_lsn != *mirror_tail + 1) {
      return LoseMirror({StatusCode::kGap, "a batch is missing in the stream"}, true, out);
    } else {
      mirror_tail = header->last_lsn();
      if (header->last_lsn() >= next) {
        mirror.push_back({push.epoch, header->first_lsn, header->last_lsn(), push.batch, 0, push.batch->size()});
        mirror_bytes += push.batch->size();
      }
    }
  }
  if (push.batch == nullptr) {
    // The stream is in order: everything up to its commit was pushed before, or the stream begins behind it.
    if (!mirror_tail.has_value()) {
      mirror_tail = push.commit;
    } else if (push.commit > *mirror_tail) {
      return LoseMirror({StatusCode::kGap, "a batch is missing in the stream"}, true, out);
    }
  }
  HearCommit(push.epoch, push.commit, now);
  if (!push.next_owner.none()) {
    out->next_owner_hint = push.next_owner;
    chain_wanted = true;
    chain_at = std::min(chain_at, now);
  }
  Release(out);
  if (mirror_bytes > options.hold_bytes_max) {
    LoseMirror({StatusCode::kResourceExhausted, "more is held than may be"}, true, out);
  }
}

// ---- releasing ----

void Follower::Impl::OnApplied(Lsn lsn) {
  while (!unapplied.empty() && unapplied.front().last <= lsn) {
    unapplied_bytes -= unapplied.front().bytes;
    unapplied.pop_front();
  }
}

// Releases what `stream` has at `next`, up to `limit`. True when that was something.
bool Follower::Impl::ReleaseFrom(std::deque<Held>* stream, const EpochEntry& entry, Lsn limit, bool mirrored,
                                 FollowerEffects* out) {
  const auto drop = [&] {
    if (mirrored) mirror_bytes -= stream->front().length;
    stream->pop_front();
  };
  // Lower epochs are settled: what is left of them lies above their last_lsn, or was released from the other stream.
  while (!stream->empty() && (stream->front().epoch < entry.epoch ||
                              (stream->front().epoch == entry.epoch && stream->front().last < next))) {
    drop();
  }
  if (stream->empty() || stream->front().epoch != entry.epoch || stream->front().first > next || limit < next) {
    return false;
  }
  const Held& held = stream->front();
  const Lsn to = std::min(held.last, limit);
  Released released;
  released.batch = {held.buffer, held.offset, held.length, held.epoch, next, to};
  unapplied.push_back({to, held.length});
  unapplied_bytes += held.length;
  next = to + 1;
  if (to == held.last) drop();
  out->released.push_back(std::move(released));
  return true;
}

void Follower::Impl::Release(FollowerEffects* out) {
  if (!have_chain || trimmed) return;
  while (unapplied_bytes < options.unapplied_bytes_max) {
    if (next <= chain.chain.trim_lsn) {
      trimmed = true;
      out->trimmed = chain.chain.trim_lsn;
      return;
    }
    const EpochEntry* entry = chain.chain.Covering(next);
    if (entry == nullptr) {
      // Between two epochs: LSNs that were given up. (Above the last one: a chain older than we are.)
      const auto above = std::find_if(chain.chain.epochs.begin(), chain.chain.epochs.end(),
                                      [&](const EpochEntry& e) { return e.first_lsn > next; });
      if (above == chain.chain.epochs.end()) return;
      Released released;
      released.loss = LossGap{next, above->first_lsn - 1};
      next = above->first_lsn;
      out->released.push_back(std::move(released));
      continue;
    }
    Lsn limit = entry->closed() ? *entry->last_lsn : commit_epoch == entry->epoch ? commit : Lsn(0);
    if (MutantOn(Mutant::kApplyAboveCommit) && !entry->closed()) limit = Lsn(UINT64_MAX - 1);
    if (!ReleaseFrom(&read, *entry, limit, false, out) && !ReleaseFrom(&mirror, *entry, limit, true, out)) return;
  }
}

// ---- time ----

void Follower::Impl::Tick(Instant now, FollowerEffects* out) {
  if (mirror_on && now - mirror_heard >= options.mirror_silence_ms * kNsPerMs) {
    LoseMirror({StatusCode::kUnavailable, "the primary has said nothing for too long"}, false, out);
    chain_wanted = true;
    chain_at = std::min(chain_at, now);
  }
}

void Follower::Impl::Proceed(Instant now, FollowerEffects* out) {
  Release(out);
  IssueChainRead(now, out);
  IssueRead(now, out);
}

Instant Follower::Impl::WakeAt(Instant now) const {
  if (trimmed || !have_chain) return chain_wanted && chain_token == 0 ? chain_at : Instant::Never();
  Instant at = Instant::Never();
  if (mirror_on) at = std::min(at, mirror_heard + options.mirror_silence_ms * kNsPerMs);
  if (chain_wanted && chain_token == 0) at = std::min(at, chain_at);
  if (read_token == 0 && read_at > now) at = std::min(at, read_at);
  return at;
}

// ---- the class ----

Follower::Follower(FollowerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  UNDERSTUDY_CHECK(impl_->options.from.value() != 0);
}
Follower::~Follower() = default;

void Follower::Step(const FollowerInput& input, Instant now, FollowerEffects* out) {
  struct Visitor {
    Impl& impl;
    Instant now;
    FollowerEffects* out;
    void operator()(const FollowerChain& in) { impl.OnChain(in.chain, now, out); }
    void operator()(const ReadAnswered& in) { impl.OnRead(in, now, out); }
    void operator()(const FollowerMirror& in) { impl.OnMirror(in.push, now, out); }
    void operator()(const FollowerMirrorBroken&) {
      impl.mirror_on = false;  // what is held stays good
      impl.mirror_epoch = Epoch();
      impl.mirror_tail.reset();
    }
    void operator()(const Applied& in) { impl.OnApplied(in.lsn); }
    void operator()(const ChainReadDone& in) { impl.OnChainRead(in, now, out); }
    void operator()(const understudy::Tick&) { impl.Tick(now, out); }
  };
  std::visit(Visitor{*impl_, now, out}, input);
  impl_->Proceed(now, out);
  out->wake_at = impl_->WakeAt(now);
}

Lsn Follower::next() const { return impl_->next; }
Lsn Follower::commit() const { return impl_->known; }
Instant Follower::commit_heard_at() const { return impl_->commit_heard; }
const VersionedChain& Follower::chain() const { return impl_->chain; }
bool Follower::mirror_live() const {
  const EpochEntry* entry = impl_->have_chain ? impl_->chain.chain.Covering(impl_->next) : nullptr;
  return entry != nullptr && impl_->MirrorCovers(*entry);
}
size_t Follower::held_bytes() const { return impl_->mirror_bytes; }

}  // namespace understudy

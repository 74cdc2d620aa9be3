// Which read a Follower issues next, and what it makes of the answer.
#include <algorithm>
#include <utility>

#include "log/epoch/follower_impl.h"

namespace understudy {

// Whether the mirror stream brings everything from `next` on, so that the log need not be read.
bool Follower::Impl::MirrorCovers(const EpochEntry& entry) const {
  for (const Held& held : mirror) {  // what a lower epoch left is in front
    if (held.epoch < entry.epoch) continue;
    return (mirror_on || entry.closed()) && held.epoch == entry.epoch && held.first <= next;
  }
  return mirror_on && !entry.closed() && mirror_epoch == entry.epoch && mirror_tail.has_value() &&
         *mirror_tail + 1 == next;
}

void Follower::Impl::IssueRead(Instant now, FollowerEffects* out) {
  if (read_token != 0) {
    // A poll at the tail of an epoch that has ended since brings nothing, and its disk may be dead: do not wait for it.
    const EpochEntry* entry = chain.chain.Covering(next);
    const bool outdated =
        entry != nullptr && (entry->epoch != read_request.epoch || (entry->closed() && read_request.to == Lsn(0)));
    if (outdated) read_token = 0;
  }
  if (!have_chain || trimmed || read_token != 0 || now < read_at || !read.empty() ||
      unapplied_bytes >= options.unapplied_bytes_max) {
    return;
  }
  const EpochEntry* entry = chain.chain.Covering(next);
  if (entry == nullptr) {  // no epoch yet: look again
    chain_wanted = true;
    read_at = chain_at = now + options.poll_wait_ms * kNsPerMs;
    return;
  }
  if (MirrorCovers(*entry)) return;
  read_request.log = options.log;
  read_request.disk = entry->disks[disk_cursor % entry->disks.size()].disk;
  read_request.epoch = entry->epoch;
  read_request.from = next;
  read_request.to = entry->closed() ? *entry->last_lsn : Lsn(0);
  read_request.bytes_max = options.read_bytes;
  read_request.wait_ms = entry->closed() ? 0 : options.poll_wait_ms;
  read_token = next_token++;
  read_began = now;
  read_at = Instant();
  out->reads.push_back({read_token, read_request});
}

void Follower::Impl::IssueChainRead(Instant now, FollowerEffects* out) {
  if (!chain_wanted || chain_token != 0 || now < chain_at) return;
  chain_wanted = false;
  chain_token = next_token++;
  out->chain_ops.push_back({chain_token, ChainOp::Kind::kRead, 0, {}});
}

// Another disk; after all of them a pause, and a look at the chain, whose list of disks may have changed.
void Follower::Impl::ReadFailed(Instant now) {
  ++disk_cursor;
  ++read_failures;
  const EpochEntry* entry = chain.chain.Find(read_request.epoch);
  if (entry != nullptr && read_failures < static_cast<int>(entry->disks.size())) return;
  read_failures = 0;
  backoff_ms = backoff_ms == 0 ? options.retry_ms : std::min(backoff_ms * 2, options.retry_ms_max);
  read_at = now + backoff_ms * kNsPerMs;
  chain_wanted = true;
  chain_at = now;
}

bool Follower::Impl::TakeRead(const BatchRef& batches) {
  std::string_view rest = *batches;
  Lsn expected;
  while (!rest.empty()) {
    const Result<BatchHeader> peeked = PeekBatch(rest);
    if (!peeked.ok()) return false;
    const std::string_view bytes = rest.substr(0, peeked->length);
    rest.remove_prefix(peeked->length);
    const Result<BatchHeader> header = VerifyBatch(bytes);
    if (!header.ok() || header->log != options.log || header->epoch != read_request.epoch) return false;
    if (expected == Lsn() ? header->first_lsn > read_request.from : header->first_lsn != expected) return false;
    expected = header->last_lsn() + 1;
    const size_t offset = static_cast<size_t>(bytes.data() - batches->data());
    read.push_back({header->epoch, header->first_lsn, header->last_lsn(), batches, offset, bytes.size()});
  }
  return true;
}

void Follower::Impl::OnRead(const ReadAnswered& input, Instant now, FollowerEffects* out) {
  if (input.token == 0 || input.token != read_token) return;
  read_token = 0;
  const ReadResponse& response = input.response;
  if (response.code == StatusCode::kTrimmed && response.trim >= next) {
    trimmed = true;
    out->trimmed = response.trim;
    return;
  }
  if (response.code != StatusCode::kOk) return ReadFailed(now);
  const bool open = read_request.to == Lsn(0);
  if (open) HearCommit(read_request.epoch, response.commit, now);
  if (input.batches == nullptr || input.batches->empty()) {
    if (!open) return ReadFailed(now);
    // Nothing new. Perhaps the epoch has ended, perhaps this disk gets no appends any more.
    chain_wanted = true;
    chain_at = std::min(chain_at, now);
    // Cut short: sealed by a takeover that may have died, while the writer goes on with the others.
    const bool cut_short = now - read_began < options.poll_wait_ms * kNsPerMs / 2;
    if (next <= known || cut_short) ++disk_cursor;
    if (cut_short) read_at = now + options.retry_ms * kNsPerMs;
    return;
  }
  if (!TakeRead(input.batches)) {
    read.clear();
    return ReadFailed(now);
  }
  read_failures = 0;
  backoff_ms = 0;
}

}  // namespace understudy

#include "log/store/tail_cache.h"

#include <algorithm>

namespace understudy {
namespace {

constexpr uint64_t kOverheadBytes = 160;  // of a cached batch: control block, string, deque slots

}  // namespace

uint64_t TailCache::Cost(const Cached& cached) { return cached.batch->size() + kOverheadBytes; }

std::deque<TailCache::Cached>::const_iterator TailCache::Holding(const Tail& tail, Lsn lsn) {
  const auto at = std::partition_point(tail.batches.begin(), tail.batches.end(),
                                       [lsn](const Cached& cached) { return cached.identity.last_lsn < lsn; });
  return at != tail.batches.end() && at->identity.first_lsn <= lsn ? at : tail.batches.end();
}

void TailCache::Add(const LogEpoch& of, const BatchHeader& header, BatchRef batch) {
  Tail& tail = tails_[of];
  // After a jump (a fetched batch above a trim) the older ones would leave a hole.
  while (!tail.batches.empty() && tail.batches.back().identity.last_lsn + 1 != header.first_lsn) PopFront(&tail);
  tail.batches.push_back({{header.first_lsn, header.last_lsn(), header.crc}, std::move(batch)});
  bytes_ += Cost(tail.batches.back());
  ++count_;
  ages_.push_back({of, header.first_lsn});
  Evict();
  // Trims and drops leave ages without a batch behind.
  if (ages_.size() > 2 * count_ + 1024) ForgetStaleAges();
}

void TailCache::PopFront(Tail* tail) {
  bytes_ -= Cost(tail->batches.front());
  tail->batches.pop_front();
  --count_;
}

void TailCache::ForgetStaleAges() {
  std::erase_if(ages_, [this](const Age& age) {
    const auto at = tails_.find(age.of);
    return at == tails_.end() || age.first < at->second.batches.front().identity.first_lsn;
  });
}

void TailCache::Evict() {
  while (bytes_ > bytes_max_ && !ages_.empty()) {
    const Age oldest = ages_.front();
    const auto at = tails_.find(oldest.of);
    if (at != tails_.end() && !at->second.batches.empty()) {
      Tail& tail = at->second;
      if (tail.batches.front().identity.first_lsn == oldest.first) {
        if (tail.batches.front().identity.last_lsn > tail.durable) return;  // queued, and so is all that is younger
        PopFront(&tail);
      }
      if (tail.batches.empty()) tails_.erase(at);
    }
    ages_.pop_front();
  }
}

void TailCache::Durable(const LogEpoch& of, Lsn through) {
  const auto at = tails_.find(of);
  if (at == tails_.end()) return;
  at->second.durable = std::max(at->second.durable, through);
  Evict();
}

void TailCache::Drop(const LogEpoch& of) {
  const auto at = tails_.find(of);
  if (at == tails_.end()) return;
  std::deque<Cached>& batches = at->second.batches;
  while (!batches.empty() && batches.back().identity.last_lsn > at->second.durable) {
    bytes_ -= Cost(batches.back());
    batches.pop_back();
    --count_;
  }
  if (batches.empty()) tails_.erase(at);
}

void TailCache::Trim(LogId log, Lsn through) {
  for (auto at = tails_.lower_bound({log, Epoch(0)}); at != tails_.end() && at->first.log == log;) {
    Tail& tail = at->second;
    while (!tail.batches.empty() && tail.batches.front().identity.last_lsn <= through &&
           tail.batches.front().identity.last_lsn <= tail.durable) {
      PopFront(&tail);
    }
    at = tail.batches.empty() ? tails_.erase(at) : std::next(at);
  }
}

std::vector<BatchRef> TailCache::Find(const LogEpoch& of, Lsn from, Lsn to, size_t bytes_max) const {
  std::vector<BatchRef> found;
  const auto at = tails_.find(of);
  if (at == tails_.end()) return found;
  size_t bytes = 0;
  for (auto it = Holding(at->second, from); it != at->second.batches.end(); ++it) {
    if (it->identity.first_lsn > to || it->identity.last_lsn > at->second.durable) break;
    bytes += it->batch->size();
    if (!found.empty() && bytes > bytes_max) break;
    found.push_back(it->batch);
  }
  return found;
}

std::optional<BatchIdentity> TailCache::Identity(const LogEpoch& of, Lsn lsn) const {
  const auto at = tails_.find(of);
  if (at == tails_.end()) return std::nullopt;
  const auto it = Holding(at->second, lsn);
  if (it == at->second.batches.end()) return std::nullopt;
  return it->identity;
}

}  // namespace understudy

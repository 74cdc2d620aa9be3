// The newest batches of every (log, epoch), in memory: for readers at the tail and for telling duplicates from
// conflicts. Bounded in bytes over all logs; the oldest go first, queued ones never. Not thread-safe: the store's mutex
// guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "log/format/batch.h"
#include "log/store/index.h"

namespace understudy {

class TailCache {
 public:
  explicit TailCache(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // In LSN order within an epoch. A batch stays queued until Durable or Drop.
  void Add(const LogEpoch& of, const BatchHeader& header, BatchRef batch);
  void Durable(const LogEpoch& of, Lsn through);
  void Drop(const LogEpoch& of);  // the queued ones: they failed
  void Trim(LogId log, Lsn through);

  // Durable batches that end at or above `from` and begin at or below `to`, about `bytes_max` of them, at least one;
  // nothing unless the first one holds `from`.
  std::vector<BatchRef> Find(const LogEpoch& of, Lsn from, Lsn to, size_t bytes_max) const;
  std::optional<BatchIdentity> Identity(const LogEpoch& of, Lsn lsn) const;  // queued ones included

  uint64_t bytes() const { return bytes_; }

 private:
  struct Cached {
    BatchIdentity identity;
    BatchRef batch;
  };
  struct Tail {
    std::deque<Cached> batches;  // ascending
    Lsn durable;
  };
  struct Age {
    LogEpoch of;
    Lsn first;
  };
  static std::deque<Cached>::const_iterator Holding(const Tail& tail, Lsn lsn);
  static uint64_t Cost(const Cached& cached);
  void PopFront(Tail* tail);
  void Evict();
  void ForgetStaleAges();

  const uint64_t bytes_max_;
  std::map<LogEpoch, Tail> tails_;
  std::deque<Age> ages_;  // oldest first, over all logs; may name batches that are gone
  uint64_t bytes_ = 0;
  size_t count_ = 0;
};

}  // namespace understudy

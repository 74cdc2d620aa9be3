// Where appends of any thread wait to be sent: gathered into batches under a short lock, so that producers never wait
// for the network's thread nor it for them. Records get their LSNs here, in the order of the lock.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "client/writer/append_state.h"
#include "log/env/clock.h"
#include "log/format/batch.h"
#include "understudy/log.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Who hears of one append: nobody, a callback, or a future.
using AppendWaiter = std::variant<std::monostate, AppendCallback, std::shared_ptr<AppendFuture::State>>;

// Records gathered but not yet stamped with an epoch, and who waits for them. One allocation a batch, not a record.
struct StagedBatch {
  BatchBuilder records;
  std::vector<AppendWaiter> waiters;  // one a record
  Lsn first;
  Instant since;     // when its first record was staged
  size_t bytes = 0;  // that it counts against the bound
};

struct StagingLimits {
  size_t outstanding_bytes_max = 64u << 20;  // staged or sent, not yet answered
  size_t batch_bytes_max = 1u << 20;         // a larger record makes a batch of its own
};

// Thread-safe.
class Staging {
 public:
  Staging(Clock* clock, StagingLimits limits);

  // Accepts records, the next one with LSN `next`. Nothing is staged or outstanding.
  void Open(Lsn next);
  // Refuses new records with `why`, those that wait for room too. What is staged stays to be taken.
  void Refuse(Status why);
  // Takes Refuse back.
  void Readmit();
  // Refuses new records for the time being; Ok: no more. Goes beside Refuse, and ends with the next Open.
  void RefuseForNow(Status why);
  // Hands over everything staged and not taken, to be answered by the caller.
  std::vector<StagedBatch> Drop();

  // Stages one record. kResourceExhausted at the bound, unless `block`: then waits for room. kInvalidArgument for a
  // payload above kRecordBytesMax. What is refused for now is refused with `block` as well: it may last. On success
  // returns the record's LSN.
  Result<Lsn> Add(std::string_view payload, uint64_t key, AppendWaiter waiter, bool block);

  // Takes the oldest batch if it holds at least `bytes_min` or another one has been begun behind it.
  bool Take(size_t bytes_min, StagedBatch* batch);

  // Room again: `bytes` of taken batches were answered.
  void Release(size_t bytes);

  // Sequentially consistent with Add: who adds and then finds the strand taken may rely on its holder to look here
  // after letting go.
  bool empty() const { return staged_records_.load(std::memory_order_seq_cst) == 0; }
  size_t staged_bytes() const { return staged_bytes_.load(std::memory_order_seq_cst); }
  size_t outstanding_bytes() const { return outstanding_bytes_.load(std::memory_order_relaxed); }
  Lsn last_appended() const { return Lsn(next_.load(std::memory_order_acquire) - 1); }

 private:
  Clock* const clock_;
  const StagingLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  Status closed_;                    // why Add refuses; Ok: open
  Status refused_for_now_;
  std::deque<StagedBatch> batches_;  // the last one gathers
  size_t blocked_ = 0;               // threads in Add that wait for room
  size_t batch_bytes_hint_ = 4096;   // what to reserve for the next batch
  size_t batch_records_hint_ = 16;
  std::atomic<uint64_t> staged_records_{0};
  std::atomic<size_t> staged_bytes_{0};
  std::atomic<size_t> outstanding_bytes_{0};
  std::atomic<uint64_t> next_{1};
};

}  // namespace understudy

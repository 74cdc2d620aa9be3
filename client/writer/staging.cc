#include "client/writer/staging.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "understudy/check.h"

namespace understudy {

Staging::Staging(Clock* clock, StagingLimits limits)
    : clock_(clock), limits_(limits), closed_(StatusCode::kFailedPrecondition, "not the writer of the log") {
  UNDERSTUDY_CHECK(limits_.batch_bytes_max <= kBatchBytesMax);
}

void Staging::Open(Lsn next) {
  const std::lock_guard<std::mutex> lock(mutex_);
  UNDERSTUDY_CHECK(batches_.empty() && outstanding_bytes_ == 0);
  closed_ = Status::Ok();
  refused_for_now_ = Status::Ok();
  next_ = next.value();
}

void Staging::Refuse(Status why) {
  UNDERSTUDY_CHECK(!why.ok());
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = std::move(why);
  room_.notify_all();
}

void Staging::Readmit() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = Status::Ok();
}

void Staging::RefuseForNow(Status why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  refused_for_now_ = std::move(why);
  room_.notify_all();
}

std::vector<StagedBatch> Staging::Drop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<StagedBatch> dropped(std::make_move_iterator(batches_.begin()), std::make_move_iterator(batches_.end()));
  batches_.clear();
  staged_records_ = 0;
  staged_bytes_ = 0;
  return dropped;
}

Result<Lsn> Staging::Add(std::string_view payload, uint64_t key, AppendWaiter waiter, bool block) {
  if (payload.size() > kRecordBytesMax) {
    return Status(StatusCode::kInvalidArgument, "a record of " + std::to_string(payload.size()) + " bytes; at most " +
                                                    std::to_string(kRecordBytesMax) + " are allowed");
  }
  const size_t bytes = payload.size() + kRecordHeaderBytes;
  std::unique_lock<std::mutex> lock(mutex_);
  // A record larger than the bound passes alone.
  auto full = [&] { return outstanding_bytes_ > 0 && outstanding_bytes_ + bytes > limits_.outstanding_bytes_max; };
  const auto refused = [&] { return !closed_.ok() || !refused_for_now_.ok(); };
  if (!refused() && full()) {
    if (!block) {
      return Status(StatusCode::kResourceExhausted, "inflight_bytes_max reached: wait for acknowledgements");
    }
    ++blocked_;
    room_.wait(lock, [&] { return refused() || !full(); });
    --blocked_;
  }
  if (!closed_.ok()) return closed_;
  if (!refused_for_now_.ok()) return refused_for_now_;
  if (batches_.empty() || batches_.back().records.bytes() + bytes > limits_.batch_bytes_max) {
    StagedBatch& batch = batches_.emplace_back();
    batch.records.Reserve(batch_bytes_hint_);
    batch.waiters.reserve(batch_records_hint_);
    batch.first = Lsn(next_.load(std::memory_order_relaxed));
    batch.since = clock_->Now();
  }
  StagedBatch& batch = batches_.back();
  batch.records.Add(payload, key);
  batch.waiters.push_back(std::move(waiter));
  batch.bytes += bytes;
  // Only this lock's holder writes these, so plain increments of atomics will do.
  outstanding_bytes_.store(outstanding_bytes_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  const uint64_t lsn = next_.load(std::memory_order_relaxed);
  next_.store(lsn + 1, std::memory_order_release);
  staged_bytes_.store(staged_bytes_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  staged_records_.store(staged_records_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  return Lsn(lsn);
}

bool Staging::Take(size_t bytes_min, StagedBatch* batch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (batches_.empty()) return false;
  if (batches_.size() == 1 && batches_.front().records.bytes() < bytes_min) return false;
  *batch = std::move(batches_.front());
  batches_.pop_front();
  staged_records_ -= batch->waiters.size();
  staged_bytes_ -= batch->bytes;
  batch_bytes_hint_ = std::min(limits_.batch_bytes_max, batch->records.bytes() + batch->records.bytes() / 4);
  batch_records_hint_ = batch->waiters.size() + batch->waiters.size() / 4 + 1;
  return true;
}

void Staging::Release(size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  UNDERSTUDY_CHECK(bytes <= outstanding_bytes_);
  outstanding_bytes_ -= bytes;
  if (blocked_ > 0) room_.notify_all();
}

}  // namespace understudy

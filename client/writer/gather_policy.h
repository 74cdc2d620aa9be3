// When what is staged is worth a batch. A lone writer's record goes at once; a window goes out in a handful of batches
// rather than record by record, with one waiting at the server while another is being synced. Decides only: batches and
// timers are the caller's.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace understudy {

// "Any thread" or "strand" as said; what any thread may read is written under the strand.
class GatherPolicy {
 public:
  // A batch of this size goes in any case, bytes.
  static constexpr size_t kBytesMax = 64u << 10;
  // With nothing in flight, so long is waited for a batch to be worth sending. Less than an fsync, a thread's wake-up
  // long.
  static constexpr int64_t kWaitNs = 50'000;
  static constexpr uint32_t kBatchesInFlightMax = 64;

  // Any thread: `staged_bytes` (0: none) would be sent now. Sequentially consistent with Sent, Answered and TimeUp: who
  // stages and then finds the strand taken relies on its holder to ask again after letting go.
  bool WorthSending(size_t staged_bytes) const {
    if (staged_bytes == 0) return false;
    const uint32_t in_flight = batches_.load(std::memory_order_seq_cst);
    if (staged_bytes >= BytesMin()) return in_flight < kBatchesInFlightMax;
    return in_flight == 0 && !waiting_.load(std::memory_order_seq_cst);
  }

  // Any thread: a batch behind others holds so much at least: a quarter of the most that was in flight lately. When
  // a lone writer's record is all there ever is, that is less than the record.
  size_t BytesMin() const {
    const size_t most = std::max(bytes_.load(std::memory_order_relaxed), peak_.load(std::memory_order_relaxed));
    return std::min(kBytesMax, most / 4);
  }

  bool Full() const { return batches_in_flight() >= kBatchesInFlightMax; }
  uint32_t batches_in_flight() const { return batches_.load(std::memory_order_relaxed); }

  // Strand: what to do with what is staged. kWait: more is likely to come, and a timer runs; kWaitFromNow: the caller
  // sets it, to call TimeUp in kWaitNs.
  enum class Verdict { kSend, kWait, kWaitFromNow };
  Verdict Judge(size_t staged_bytes) {
    if (batches_in_flight() > 0 || time_up_ || staged_bytes == 0 || staged_bytes >= BytesMin()) return Verdict::kSend;
    return waiting_.exchange(true, std::memory_order_seq_cst) ? Verdict::kWait : Verdict::kWaitFromNow;
  }

  // Strand: from TimeUp until TimeUsed whatever is staged is sent.
  void TimeUp() {
    waiting_.store(false, std::memory_order_seq_cst);
    time_up_ = true;
  }
  void TimeUsed() { time_up_ = false; }

  // Strand.
  void Sent(size_t bytes) {
    const uint32_t before = batches_in_flight();
    if (before == 0) peak_.store(std::exchange(rising_, 0), std::memory_order_relaxed);
    rising_ = std::max(rising_, bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes);
    batches_.store(before + 1, std::memory_order_seq_cst);
  }
  void Answered(size_t bytes) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    batches_.store(batches_in_flight() - 1, std::memory_order_seq_cst);
  }
  // Nothing is in flight any more, answered or not.
  void Dropped() {
    batches_ = 0;
    bytes_ = 0;
  }

 private:
  std::atomic<uint32_t> batches_{0};  // in flight
  std::atomic<size_t> bytes_{0};      // in flight
  std::atomic<size_t> peak_{0};       // in flight at most, before nothing was the last time
  std::atomic<bool> waiting_{false};  // for the timer
  size_t rising_ = 0;                 // in flight at most, since nothing was
  bool time_up_ = false;
};

}  // namespace understudy

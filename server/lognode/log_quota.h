// How much one log may keep on a disk, so that a log which is never trimmed cannot fill it for the others. From the
// soft mark on, acknowledgements of its appends are delayed, more and more; above the quota its appends are refused.
// Seals, trims, reads and copies from other disks are never measured against it: a takeover of a log that is over its
// quota goes through, and so does the trim that ends the trouble.
//
// The server has one quota for every log; a log may have a smaller one of its own, from its chain. That one slows here
// in the same way, but what refuses is its writer, which asks its disks how much they keep (client/writer/
// log_writer_quota.cc): an append that a replica refuses may be in the state that the next checkpoint saves, which
// would then wait for it.
//
// Bytes are counted by the store now and then, and what is admitted in between is added to them. What is on its way to
// the disk may be missed by a count: the quota is exceeded by at most what a writer has under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "log/env/clock.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

enum class QuotaWord : uint8_t { kBelow, kSlowed, kRefused };
const char* QuotaWordName(QuotaWord word);  // "below", "slowed", "refused"

struct QuotaStatus {
  LogId log;
  uint64_t bytes = 0;
  QuotaWord word = QuotaWord::kBelow;
  std::string text;  // for people: which log, how much, and what to do
};

// One thread at a time.
class LogQuota {
 public:
  static constexpr uint64_t kSoftPercent = 80;
  // Well below what a writer takes for a stall, and below its self-fence: slow, not broken.
  static constexpr int64_t kDelayMsMax = 200;
  static constexpr int64_t kCountMs = 1000;   // bytes are counted anew so often
  static constexpr int64_t kSayMs = 60'000;   // an alert of one log is repeated so often at most
  static constexpr size_t kLogsMax = 16'384;  // remembered; beyond it all are forgotten, and counted anew

  // `count`: bytes of a log above its trim LSN. `quota_bytes`: of every log; 0: no quota.
  LogQuota(uint64_t quota_bytes, std::function<uint64_t(LogId)> count);

  // The quotas that logs have of their own, from now on; none of them 0.
  void UseOwn(std::unordered_map<LogId, uint64_t> quotas) { own_ = std::move(quotas); }

  // Whether a batch of `bytes` may be added; kResourceExhausted: the log is over its quota, and the message says what
  // to do. Counts it when it may.
  Status Admit(LogId log, uint64_t bytes, Instant now);
  // By how much an acknowledgement to this log is to be delayed, as of its last Admit; 0: not at all.
  int64_t DelayMs(LogId log) const;
  // Its trim LSN went up: counted anew at the next Admit.
  void Trimmed(LogId log);
  // Those that appended lately, or have a quota of their own, and are slowed or refused, as they are now; those that
  // keep most first, at most `max`.
  std::vector<QuotaStatus> Over(size_t max, Instant now);

  uint64_t quota_bytes() const { return quota_bytes_; }

 private:
  struct Use {
    uint64_t bytes = 0;
    Instant counted_at;
    bool stale = true;
    QuotaWord word = QuotaWord::kBelow;  // of the last Admit
    bool refused = false;                // by it
    QuotaWord said = QuotaWord::kBelow;
    Instant said_at;
  };
  struct Limit {
    uint64_t bytes = 0;  // 0: none
    bool own = false;
    uint64_t soft_bytes() const { return bytes / 100 * kSoftPercent; }
    QuotaWord WordOf(uint64_t kept) const;
  };
  Limit LimitOf(LogId log) const;
  void Count(LogId log, Use* use, Instant now) const;
  std::string Text(LogId log, const Use& use, QuotaWord word) const;
  void Say(LogId log, Use* use, Instant now) const;

  const uint64_t quota_bytes_;
  const std::function<uint64_t(LogId)> count_;
  std::unordered_map<LogId, uint64_t> own_;
  std::unordered_map<LogId, Use> logs_;
};

}  // namespace understudy

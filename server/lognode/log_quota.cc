#include "server/lognode/log_quota.h"

#include <algorithm>
#include <utility>

#include "log/env/logging.h"

namespace understudy {

const char* QuotaWordName(QuotaWord word) {
  switch (word) {
    case QuotaWord::kBelow:
      return "below";
    case QuotaWord::kSlowed:
      return "slowed";
    case QuotaWord::kRefused:
      return "refused";
  }
  return "?";
}

LogQuota::LogQuota(uint64_t quota_bytes, std::function<uint64_t(LogId)> count)
    : quota_bytes_(quota_bytes), count_(std::move(count)) {}

void LogQuota::Count(LogId log, Use* use, Instant now) const {
  use->bytes = count_(log);
  use->counted_at = now;
  use->stale = false;
}

QuotaWord LogQuota::WordOf(uint64_t bytes) const {
  if (bytes >= quota_bytes_) return QuotaWord::kRefused;
  return bytes >= soft_bytes() ? QuotaWord::kSlowed : QuotaWord::kBelow;
}

std::string LogQuota::Text(LogId log, uint64_t bytes, QuotaWord word) const {
  const std::string state = word == QuotaWord::kRefused ? "is over its quota, its appends are refused: "
                                                        : "nears its quota, its appends are slowed: ";
  return "log " + std::to_string(log.value()) + " " + state + std::to_string(bytes) + " bytes of " +
         std::to_string(quota_bytes_) +
         " are kept on this disk. Let its application save checkpoints, so that the log is trimmed, or raise "
         "--log-quota-bytes";
}

void LogQuota::Say(LogId log, Use* use, Instant now) const {
  const QuotaWord word = use->word;
  const bool worse = word > use->said;
  const bool due = use->said_at == Instant() || now - use->said_at >= kSayMs * kNsPerMs;
  if (word == QuotaWord::kBelow) {
    if (use->said == QuotaWord::kBelow || !due) return;  // a log that swings about the mark is not said all the time
    LogInfo("lognode", "log " + std::to_string(log.value()) + " is below its quota again: " +
                           std::to_string(use->bytes) + " bytes of " + std::to_string(quota_bytes_));
    use->said = word;
    use->said_at = Instant();
    return;
  }
  if (!worse && !due) return;
  use->said = word;
  use->said_at = now;
  const std::string text = Text(log, use->bytes, word);
  word == QuotaWord::kRefused ? LogError("lognode", text) : LogWarning("lognode", text);
}

Status LogQuota::Admit(LogId log, uint64_t bytes, Instant now) {
  if (quota_bytes_ == 0) return Status::Ok();
  if (logs_.size() >= kLogsMax && !logs_.contains(log)) logs_.clear();
  Use& use = logs_[log];
  if (use.stale || now - use.counted_at >= kCountMs * kNsPerMs) Count(log, &use, now);
  // What was added may have been sent twice: nobody is refused without a count. Once a log is over its quota nothing
  // is added, so that this does not happen for every append of it.
  if (use.bytes + bytes > quota_bytes_ && use.counted_at != now && use.word != QuotaWord::kRefused) {
    Count(log, &use, now);
  }
  const bool refused = use.bytes + bytes > quota_bytes_;
  use.word = refused ? QuotaWord::kRefused : WordOf(use.bytes);
  Say(log, &use, now);
  if (refused) return {StatusCode::kResourceExhausted, Text(log, use.bytes, QuotaWord::kRefused)};
  use.bytes += bytes;
  return Status::Ok();
}

int64_t LogQuota::DelayMs(LogId log) const {
  const auto found = logs_.find(log);
  if (found == logs_.end() || found->second.bytes < soft_bytes()) return 0;
  const double over = static_cast<double>(found->second.bytes - soft_bytes());
  const double range = static_cast<double>(std::max<uint64_t>(1, quota_bytes_ - soft_bytes()));
  return 1 + static_cast<int64_t>(std::min(1.0, over / range) * static_cast<double>(kDelayMsMax - 1));
}

void LogQuota::Trimmed(LogId log) {
  if (const auto found = logs_.find(log); found != logs_.end()) found->second.stale = true;
}

std::vector<QuotaStatus> LogQuota::Over(size_t max, Instant now) {
  std::vector<QuotaStatus> over;
  for (auto& [log, use] : logs_) {
    if (use.word == QuotaWord::kBelow && WordOf(use.bytes) == QuotaWord::kBelow) continue;
    const uint64_t before = use.bytes;
    Count(log, &use, now);
    // A batch that does not fit is refused before the last byte is taken.
    const bool still_refused = use.word == QuotaWord::kRefused && use.bytes >= before;
    const QuotaWord word = still_refused ? QuotaWord::kRefused : WordOf(use.bytes);
    if (word != QuotaWord::kBelow) over.push_back({log, use.bytes, word, Text(log, use.bytes, word)});
  }
  std::sort(over.begin(), over.end(), [](const QuotaStatus& a, const QuotaStatus& b) { return a.bytes > b.bytes; });
  if (over.size() > max) over.resize(max);
  return over;
}

}  // namespace understudy

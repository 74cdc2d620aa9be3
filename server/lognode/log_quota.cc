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

LogQuota::Limit LogQuota::LimitOf(LogId log) const {
  const auto own = own_.find(log);
  const bool smaller = own != own_.end() && (quota_bytes_ == 0 || own->second < quota_bytes_);
  return smaller ? Limit{own->second, true} : Limit{quota_bytes_, false};
}

QuotaWord LogQuota::Limit::WordOf(uint64_t kept) const {
  if (bytes == 0 || kept < soft_bytes()) return QuotaWord::kBelow;
  return kept >= bytes ? QuotaWord::kRefused : QuotaWord::kSlowed;
}

void LogQuota::Count(LogId log, Use* use, Instant now) const {
  use->bytes = count_(log);
  use->counted_at = now;
  use->stale = false;
}

std::string LogQuota::Text(LogId log, const Use& use, QuotaWord word) const {
  const Limit limit = use.refused ? Limit{quota_bytes_, false} : LimitOf(log);
  const std::string quota = limit.own ? "log_quota_bytes" : "quota";
  const std::string state = word == QuotaWord::kRefused ? "is over its " + quota + ", its appends are refused: "
                                                        : "nears its " + quota + ", its appends are slowed: ";
  return "log " + std::to_string(log.value()) + " " + state + std::to_string(use.bytes) + " bytes of " +
         std::to_string(limit.bytes) +
         " are kept on this disk. Let its application save checkpoints, so that the log is trimmed, or raise " +
         (limit.own ? "the log_quota_bytes of its service" : "--log-quota-bytes");
}

void LogQuota::Say(LogId log, Use* use, Instant now) const {
  const QuotaWord word = use->word;
  const bool worse = word > use->said;
  const bool due = use->said_at == Instant() || now - use->said_at >= kSayMs * kNsPerMs;
  if (word == QuotaWord::kBelow) {
    if (use->said == QuotaWord::kBelow || !due) return;  // a log that swings about the mark is not said all the time
    LogInfo("lognode", "log " + std::to_string(log.value()) + " is below its quota again: " +
                           std::to_string(use->bytes) + " bytes of " + std::to_string(LimitOf(log).bytes));
    use->said = word;
    use->said_at = Instant();
    return;
  }
  if (!worse && !due) return;
  use->said = word;
  use->said_at = now;
  const std::string text = Text(log, *use, word);
  word == QuotaWord::kRefused ? LogError("lognode", text) : LogWarning("lognode", text);
}

Status LogQuota::Admit(LogId log, uint64_t bytes, Instant now) {
  const Limit limit = LimitOf(log);
  if (limit.bytes == 0) return Status::Ok();
  if (logs_.size() >= kLogsMax && !logs_.contains(log)) logs_.clear();
  Use& use = logs_[log];
  if (use.stale || now - use.counted_at >= kCountMs * kNsPerMs) Count(log, &use, now);
  // What was added may have been sent twice: nobody is refused without a count. Once a log is over its quota nothing
  // is added, so that this does not happen for every append of it.
  const auto fits = [&] { return quota_bytes_ == 0 || use.bytes + bytes <= quota_bytes_; };
  if (!fits() && use.counted_at != now && !use.refused) Count(log, &use, now);
  use.refused = !fits();
  use.word = use.refused ? QuotaWord::kRefused : limit.WordOf(use.bytes);
  Say(log, &use, now);
  if (use.refused) return {StatusCode::kResourceExhausted, Text(log, use, QuotaWord::kRefused)};
  use.bytes += bytes;
  return Status::Ok();
}

int64_t LogQuota::DelayMs(LogId log) const {
  const auto found = logs_.find(log);
  const Limit limit = LimitOf(log);
  if (found == logs_.end() || limit.bytes == 0 || found->second.bytes < limit.soft_bytes()) return 0;
  const double over = static_cast<double>(found->second.bytes - limit.soft_bytes());
  const double range = static_cast<double>(std::max<uint64_t>(1, limit.bytes - limit.soft_bytes()));
  return 1 + static_cast<int64_t>(std::min(1.0, over / range) * static_cast<double>(kDelayMsMax - 1));
}

void LogQuota::Trimmed(LogId log) {
  if (const auto found = logs_.find(log); found != logs_.end()) found->second.stale = true;
}

std::vector<QuotaStatus> LogQuota::Over(size_t max, Instant now) {
  std::vector<QuotaStatus> over;
  // Their appends may be refused before they get here.
  for (const auto& [log, quota] : own_) logs_.try_emplace(log);
  for (auto& [log, use] : logs_) {
    const Limit limit = LimitOf(log);
    const bool below = use.word == QuotaWord::kBelow && limit.WordOf(use.bytes) == QuotaWord::kBelow;
    if (below && !own_.contains(log)) continue;
    const uint64_t before = use.bytes;
    Count(log, &use, now);
    // A batch that does not fit is refused before the last byte is taken.
    use.refused = use.refused && use.bytes >= before;
    const QuotaWord word = use.refused ? QuotaWord::kRefused : limit.WordOf(use.bytes);
    if (word != QuotaWord::kBelow) over.push_back({log, use.bytes, word, Text(log, use, word)});
  }
  std::sort(over.begin(), over.end(), [](const QuotaStatus& a, const QuotaStatus& b) { return a.bytes > b.bytes; });
  if (over.size() > max) over.resize(max);
  return over;
}

}  // namespace understudy

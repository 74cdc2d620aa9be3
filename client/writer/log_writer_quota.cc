// What the log may keep on a disk above its trim LSN (Chain::quota_bytes) is held by its writer, which refuses the next
// append, and not by the replicas. What was appended may be in the state of the next checkpoint, which counts once all
// of it is acknowledged: a replica that refused it would stand in the way of the very trim that makes room. So whatever
// was let in goes through, and the log exceeds its quota by what was under way.
#include <algorithm>
#include <string>
#include <utility>

#include "client/writer/log_writer_impl.h"
#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr int64_t kSayNs = 60 * kNsPerSecond;  // a log that swings about its quota is not said all the time

}  // namespace

void LogWriter::Impl::UseQuota(uint64_t bytes) {
  if (bytes == quota.bytes) return;
  if (quota.bytes == 0) {  // nobody has counted so far
    quota.kept = 0;
    quota.sent_before = sent_bytes;
  }
  quota.bytes = bytes;
  JudgeQuota();
  CountKept();
}

// Asks the disks, once at a time.
void LogWriter::Impl::CountKept() {
  if (quota.bytes == 0 || quota.asked > 0 || replicas.empty()) return;
  quota.asked = replicas.size();
  quota.answered = 0;
  quota.any_answered = false;
  quota.sent_when_asked = sent_bytes;
  for (uint32_t i = 0; i < replicas.size(); ++i) {
    const auto answer = [this, generation = this->generation](const Result<ReplicaStatusResponse>& response) {
      if (generation != this->generation) return;
      if (response.ok() && response->code == StatusCode::kOk) {
        quota.any_answered = true;
        quota.answered = std::max(quota.answered, response->bytes);
      }
      if (--quota.asked == 0) KeptCounted();
    };
    WithClient(i, [this, request = ReplicaStatusRequest{chains->log(), replicas[i].disk.disk},
                   answer](Result<LogServiceClient*> client) {
      if (!client.ok()) return answer(client.status());
      (*client)->ReplicaStatus(request, cluster->rpc_timeout_ms(), answer);
    });
  }
}

// Nobody answered: what was counted before, and what was sent since, stands.
void LogWriter::Impl::KeptCounted() {
  if (!quota.any_answered) return;
  quota.kept = quota.answered;
  quota.sent_before = quota.sent_when_asked;
  JudgeQuota();
}

void LogWriter::Impl::JudgeQuota() {
  const uint64_t kept = quota.kept + (sent_bytes - quota.sent_before);
  const bool over = quota.bytes != 0 && kept >= quota.bytes;
  if (over == quota.over || !open) return;
  quota.over = over;
  if (!over) return staging.RefuseForNow(Status::Ok());
  const std::string text = "log " + std::to_string(chains->log().value()) +
                           " is over its log_quota_bytes: " + std::to_string(kept) + " bytes of " +
                           std::to_string(quota.bytes) + " are kept; appends are refused until a checkpoint trims it";
  const Instant now = runtime->Now();
  if (quota.said_at == Instant() || now - quota.said_at >= kSayNs) {
    quota.said_at = now;
    LogWarning("writer", text);
  }
  staging.RefuseForNow(Status(StatusCode::kResourceExhausted, text));
}

}  // namespace understudy

#include "log/metadata/etcd/etcd_client.h"

#include <algorithm>

namespace understudy::etcd {
namespace {

constexpr size_t kPageEntries = 512;

// Of a request that etcd refused before it began, or that only reads.
StatusCode CodeOf(Refusal::Kind kind) {
  switch (kind) {
    case Refusal::Kind::kNoSpace:
    case Refusal::Kind::kBusy:
    case Refusal::Kind::kTooLarge:
      return StatusCode::kResourceExhausted;
    case Refusal::Kind::kCompacted:
      return StatusCode::kTrimmed;
    case Refusal::Kind::kInvalid:
      return StatusCode::kInvalidArgument;
    case Refusal::Kind::kDenied:
      return StatusCode::kFailedPrecondition;
    case Refusal::Kind::kNoGateway:
      return StatusCode::kUnsupported;
    case Refusal::Kind::kNoLeader:
    case Refusal::Kind::kFuture:
    case Refusal::Kind::kOther:
      return StatusCode::kUnavailable;
  }
  return StatusCode::kInternal;
}

// Another member may answer otherwise.
bool IsOfTheMember(Refusal::Kind kind) {
  return kind == Refusal::Kind::kNoLeader || kind == Refusal::Kind::kFuture || kind == Refusal::Kind::kOther ||
         kind == Refusal::Kind::kNoGateway;
}

Status Explain(const Refusal& refusal) {
  std::string message = "etcd: " + refusal.message;
  if (refusal.kind == Refusal::Kind::kNoSpace) message += " (NOSPACE alarm: compact, defragment, disarm)";
  if (refusal.kind == Refusal::Kind::kDenied) message += " (users and passwords of etcd are not supported)";
  if (refusal.kind == Refusal::Kind::kNoGateway) message += " (no v3 JSON gateway: etcd 3.4 or later has it)";
  return {CodeOf(refusal.kind), std::move(message)};
}

}  // namespace

struct EtcdClient::Answer {
  Status status;  // kOk: `body`
  std::string body;
  Refusal::Kind refused = Refusal::Kind::kOther;
  size_t endpoint = 0;  // that answered
  bool begun = false;   // unless kOk: it may have been carried out, or may yet be
  bool too_large = false;
};

EtcdClient::Answer EtcdClient::Ask(const char* path, const std::string& body, Instant deadline, bool repeatable) {
  Answer answer;
  answer.status = Status(StatusCode::kUnavailable, "etcd: not asked in time");
  const size_t tries = std::max<size_t>(endpoints_->names().size(), 2);
  for (size_t i = 0; i < tries; ++i) {
    if (stopping_->load()) {
      answer.status = Status(StatusCode::kCancelled, "the metadata store is closing");
      return answer;
    }
    const int64_t left_ms = (deadline - clock_->Now()) / kNsPerMs;
    if (left_ms <= 0) return answer;
    answer.endpoint = endpoints_->current();
    const std::string& name = endpoints_->names()[answer.endpoint];
    const int64_t timeout_ms = std::min(options_.attempt_timeout_ms, left_ms);
    HttpReply reply = connection_.Post(answer.endpoint, path, body, timeout_ms, options_.body_bytes_max);
    if (reply.outcome == HttpReply::Outcome::kTooLarge) {
      answer.status = Status(StatusCode::kResourceExhausted, "etcd at " + name + ": " + reply.error);
      answer.too_large = true;
      answer.begun = true;
      return answer;
    }
    if (reply.outcome != HttpReply::Outcome::kAnswered) {
      if (!stopping_->load()) endpoints_->Failed(answer.endpoint, reply.error);  // else our own doing
      answer.status = Status(StatusCode::kUnavailable, "etcd at " + name + ": " + reply.error);
      answer.begun = reply.outcome == HttpReply::Outcome::kLost;
      if (answer.begun && !repeatable) return answer;
      continue;
    }
    if (reply.status == 200) {
      endpoints_->Answered(answer.endpoint);
      answer.status = Status::Ok();
      answer.body = std::move(reply.body);
      return answer;
    }
    const Refusal refusal = DecodeRefusal(reply.status, reply.body);
    answer.status = Explain(refusal);
    answer.refused = refusal.kind;
    answer.too_large = refusal.kind == Refusal::Kind::kTooLarge;
    answer.begun = refusal.kind == Refusal::Kind::kOther || refusal.kind == Refusal::Kind::kNoSpace;
    if (!IsOfTheMember(refusal.kind)) {
      endpoints_->Answered(answer.endpoint);
      return answer;
    }
    endpoints_->Failed(answer.endpoint, refusal.message);
    if (answer.begun && !repeatable) return answer;
  }
  return answer;
}

Result<RangeReply> EtcdClient::Range(const RangeQuery& query, Instant deadline) {
  Answer answer = Ask(kRangePath, EncodeRange(query), deadline, true);
  if (!answer.status.ok()) return answer.status;
  Result<RangeReply> range = DecodeRange(answer.body);
  if (!range.ok()) endpoints_->Failed(answer.endpoint, range.status().message());  // the next call asks another
  return range;
}

Result<RangeReply> EtcdClient::RangeAll(RangeQuery query, int64_t timeout_ms) {
  const size_t wanted = query.limit == 0 ? SIZE_MAX : query.limit;
  size_t page_entries = kPageEntries;
  size_t bytes = 0;
  RangeReply all;
  while (true) {
    query.limit = std::min(page_entries, wanted - all.entries.size());
    Answer answer = Ask(kRangePath, EncodeRange(query), clock_->Now() + timeout_ms * kNsPerMs, true);
    if (answer.too_large && query.limit > 1) {  // 512 entries may be 512 MiB, and the gateway carries 4
      page_entries = std::max<size_t>(query.limit / 8, 1);
      continue;
    }
    if (!answer.status.ok()) return answer.status;
    Result<RangeReply> page = DecodeRange(answer.body);
    if (!page.ok()) {
      endpoints_->Failed(answer.endpoint, page.status().message());
      return page.status();
    }
    if (query.revision == 0) query.revision = page->revision;  // the rest as the store was at the first page
    all.revision = query.revision;
    for (MetadataEntry& entry : page.value().entries) {
      bytes += entry.key.size() + entry.value.size();
      all.entries.push_back(std::move(entry));
    }
    if (bytes > options_.list_bytes_max) {
      return Status(StatusCode::kResourceExhausted,
                    "listing " + query.key + ": more than " + std::to_string(options_.list_bytes_max) + " bytes");
    }
    if (!page->more || page->entries.empty() || all.entries.size() >= wanted) return all;
    query.after = all.entries.back().key;
  }
}

Result<TxnReply> EtcdClient::Txn(const std::string& key, uint64_t expected, const std::string& body, Instant deadline) {
  Answer answer = Ask(kTxnPath, body, deadline, false);
  if (answer.status.ok()) {
    Result<TxnReply> txn = DecodeTxn(answer.body);
    if (txn.ok()) return txn;
    endpoints_->Failed(answer.endpoint, txn.status().message());
    return Status(StatusCode::kOutcomeUnknown, txn.status().message());
  }
  if (answer.refused == Refusal::Kind::kNoSpace) return AfterNoSpace(key, expected, answer.status.message());
  if (answer.begun) return Status(StatusCode::kOutcomeUnknown, answer.status.message());
  return answer.status;
}

// The change that raises the alarm is made, and refused all the same. It has been made or will never be, now that it is
// answered: so a look at the key settles it when the key is as it was.
Status EtcdClient::AfterNoSpace(const std::string& key, uint64_t expected, const std::string& message) {
  RangeQuery query;
  query.key = key;
  query.keys_only = true;
  const Result<RangeReply> range = Range(query, clock_->Now() + options_.attempt_timeout_ms * kNsPerMs);
  const bool unchanged = range.ok() && (range->entries.empty() ? 0 : range->entries.front().version) == expected;
  return {unchanged ? StatusCode::kResourceExhausted : StatusCode::kOutcomeUnknown, message};
}

}  // namespace understudy::etcd

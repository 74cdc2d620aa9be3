// Asks etcd and knows what an error leaves certain: one request, at as many members as it may be sent to.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "log/env/clock.h"
#include "log/metadata/etcd/etcd_connection.h"
#include "log/metadata/etcd/etcd_messages.h"
#include "understudy/status.h"

namespace understudy::etcd {

struct ClientOptions {
  int64_t connect_timeout_ms = 500;
  int64_t attempt_timeout_ms = 1000;   // then a read is tried at another member, and a change is in doubt
  size_t body_bytes_max = 16u << 20;   // of one answer; the gateway itself stops at 4 MiB before Base64
  size_t list_bytes_max = 256u << 20;  // of keys and values of one List
};

// One thread, but for Abort.
class EtcdClient {
 public:
  // All must outlive it. `stopping`: no request begins once it is true.
  EtcdClient(Clock* clock, Endpoints* endpoints, const ClientOptions& options, const std::atomic<bool>* stopping)
      : clock_(clock),
        endpoints_(endpoints),
        options_(options),
        stopping_(stopping),
        connection_(clock, endpoints->names(), options.connect_timeout_ms) {}

  // Errors: kUnavailable, kTrimmed (the revision is compacted), kResourceExhausted (too large an answer, or too many
  // requests), kFailedPrecondition (etcd wants a user), kInvalidArgument, kUnsupported, kCorruption.
  Result<RangeReply> Range(const RangeQuery& query, Instant deadline);

  // All entries of a prefix at one revision (`query.revision`, or now), in pages. `timeout_ms` is for each page.
  Result<RangeReply> RangeAll(RangeQuery query, int64_t timeout_ms);

  // `body` is a change of `key` made by EncodeSwap or EncodeDelete. kOutcomeUnknown when it may have been made or may
  // still be made; any other error: it has not been made and will not be.
  Result<TxnReply> Txn(const std::string& key, uint64_t expected, const std::string& body, Instant deadline);

  EtcdConnection* connection() { return &connection_; }
  void Abort() { connection_.Abort(); }

 private:
  struct Answer;
  Answer Ask(const char* path, const std::string& body, Instant deadline, bool repeatable);
  Status AfterNoSpace(const std::string& key, uint64_t expected, const std::string& message);

  Clock* const clock_;
  Endpoints* const endpoints_;
  const ClientOptions options_;
  const std::atomic<bool>* const stopping_;
  EtcdConnection connection_;
};

}  // namespace understudy::etcd

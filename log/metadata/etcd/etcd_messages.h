// What is said to etcd's v3 JSON gateway and what it answers, as JSON text. Bytes are Base64 there, 64-bit numbers are
// strings, and fields of value zero are left out. Pure functions; replies are not trusted: whatever is not as it should
// be is kCorruption with the reason.
// https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and the field names of etcd's rpc.proto.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "understudy/status.h"

namespace understudy::etcd {

inline constexpr char kRangePath[] = "/v3/kv/range";
inline constexpr char kTxnPath[] = "/v3/kv/txn";
inline constexpr char kWatchPath[] = "/v3/watch";

struct RangeQuery {
  std::string key;        // or prefix
  bool prefix = false;    //
  std::string after;      // with prefix: only keys behind this one; empty: from the first
  size_t limit = 0;       // 0: none
  uint64_t revision = 0;  // the store as it was at that revision; 0: now, linearizable
  bool keys_only = false;
  bool count_only = false;
};
std::string EncodeRange(const RangeQuery& query);
std::string EncodeSwap(const std::string& key, uint64_t expected, std::string_view value);
std::string EncodeDelete(const std::string& key, uint64_t expected);
std::string EncodeWatch(const std::string& prefix, uint64_t start_revision);

struct RangeReply {
  uint64_t revision = 0;  // of the whole store
  std::vector<MetadataEntry> entries;
  bool more = false;
};
Result<RangeReply> DecodeRange(std::string_view body);

struct TxnReply {
  bool succeeded = false;
  uint64_t revision = 0;  // when it succeeded: of the change
  uint64_t deleted = 0;
  uint64_t found = 0;  // when it did not succeed: the key's version; 0: no such key
};
Result<TxnReply> DecodeTxn(std::string_view body);

struct WatchEvent {
  MetadataEntry entry;
  bool deleted = false;
};
struct WatchReply {
  bool created = false;
  bool canceled = false;
  bool fragment = false;  // more of the same revision may follow
  uint64_t compact_revision = 0;
  uint64_t revision = 0;
  std::string cancel_reason;
  std::vector<WatchEvent> events;  // ascending
};
// One line of the stream. kUnavailable: the line is an error of etcd's.
Result<WatchReply> DecodeWatch(std::string_view line);

// Why etcd refused.
struct Refusal {
  enum class Kind {
    kNoSpace,    // the NOSPACE alarm. A change may have been made all the same: etcd 3.4 applies, then says so
    kBusy,       // too many requests: nothing was done
    kTooLarge,   // the answer, or the request, is above a bound of etcd's: nothing was done
    kNoLeader,   // this member knows no leader, and nothing was begun: another member may
    kCompacted,  // the revision asked for is gone
    kFuture,     // the revision asked for has not been
    kInvalid,    // it does not take this request, nor would another member
    kDenied,     // it wants a user
    kNoGateway,  // no v3 JSON gateway there
    kOther,      // timeouts, leader changes, a member that stops: a change may have been made
  };
  Kind kind = Kind::kOther;
  std::string message;
};
Refusal DecodeRefusal(int http_status, std::string_view body);

// The smallest key above all that begin with `prefix`; "\0" (etcd's word for "to the end") when there is none.
std::string PrefixEnd(const std::string& prefix);

}  // namespace understudy::etcd

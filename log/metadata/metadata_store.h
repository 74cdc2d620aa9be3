// Cluster metadata: small versioned values under path-like keys, changed by compare-and-swap.
// Keys: /understudy/<cluster>/{logs/<id>, services/<name>, nodes/<name>, disks/<id>, plans/<service>, leader,
// settings, coordinators/<name>, events/<seq>, predictors/<name>}.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "understudy/status.h"

namespace understudy {

inline constexpr size_t kMetadataValueBytesMax = 1u << 20;
inline constexpr size_t kMetadataKeyBytesMax = 1024;

struct MetadataEntry {
  std::string key;
  std::string value;
  uint64_t version = 0;  // of the store, at the key's last change; grows with every change of any key
};

// Completion-based, so that no thread of a caller waits. Callbacks may run before the call returns, or on a thread
// of the store's. All calls are thread-safe.
class MetadataStore {
 public:
  virtual ~MetadataStore() = default;

  using GetCallback = std::function<void(Result<std::optional<MetadataEntry>>)>;
  // Linearizable: never from a cache.
  virtual void Get(const std::string& key, GetCallback done) = 0;

  using ListCallback = std::function<void(Result<std::vector<MetadataEntry>>)>;
  // Entries whose key begins with `prefix`, ascending, at most `limit`.
  virtual void List(const std::string& prefix, size_t limit, ListCallback done) = 0;

  // kOk with the new version; kConflict when the key's version is not `expected` (0: must not exist);
  // kOutcomeUnknown when the reply was lost: it may still land. Never retried by the store or by a proxy.
  using CasCallback = std::function<void(Result<uint64_t>)>;
  virtual void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) = 0;

  // As CompareAndSwap, but removes the key.
  virtual void CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) = 0;

  // Calls `changed` with every later change below `prefix` (a deletion has an empty value and its version) until
  // the returned id is passed to Unwatch. Order of versions; no gap.
  using WatchCallback = std::function<void(const MetadataEntry&)>;
  virtual uint64_t Watch(const std::string& prefix, WatchCallback changed) = 0;
  virtual void Unwatch(uint64_t id) = 0;
};

std::string LogKey(std::string_view cluster, uint64_t log_id);
std::string ServiceKey(std::string_view cluster, std::string_view service);
std::string NodeKey(std::string_view cluster, std::string_view node);
std::string DiskKey(std::string_view cluster, std::string_view disk_hex);
std::string PlanKey(std::string_view cluster, std::string_view service);
std::string EventKey(std::string_view cluster, uint64_t seq);  // zero-padded, so that keys sort by number
std::string PredictorKey(std::string_view cluster, std::string_view name);

}  // namespace understudy

// One watch: a thread that reads a stream of changes, takes it up again where it broke, and lists the prefix when the
// changes in between can no longer be had.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "log/metadata/etcd/etcd_client.h"
#include "log/metadata/metadata_store.h"

namespace understudy::etcd {

struct WatchOptions {
  int64_t idle_ms = 5000;  // a stream that is silent for so long is opened anew: its member may have frozen
  int64_t timeout_ms = 3000;
  size_t line_bytes_max = 16u << 20;
  size_t keys_max = 1u << 20;
};

class EtcdWatch {
 public:
  // Tells `changed`, on its own thread, every change after `known_revision`; 0, when no revision is known yet: all
  // there is, then every change. `clock` and `endpoints` must outlive it.
  EtcdWatch(Clock* clock, Endpoints* endpoints, const ClientOptions& client, const WatchOptions& options,
            std::string prefix, uint64_t known_revision, MetadataStore::WatchCallback changed);
  ~EtcdWatch();  // waits for the thread, and so for a callback under way

  // Any thread. Does not wait: `changed` may be in the middle of a call, but none begins later.
  void Stop();
  bool finished() const { return finished_.load(); }

 private:
  void Run();
  Status Follow();  // as long as one connection lasts
  Status Begin();   // what was there at known_revision
  Status Resync();  // lists, tells what differs
  Status OnLine(std::string_view line);
  void Tell(const MetadataEntry& entry, bool deleted);
  void Pause(int64_t ms);

  Clock* const clock_;
  Endpoints* const endpoints_;
  const WatchOptions options_;
  const std::string prefix_;
  const MetadataStore::WatchCallback changed_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> finished_{false};
  EtcdClient client_;

  // Of the thread alone.
  uint64_t next_;                          // everything below this revision has been told
  std::map<std::string, uint64_t> known_;  // key -> version, as told; without it deletions could not be found by a list
  bool begun_ = false;                     // known_ is right
  bool resync_ = false;                    // etcd has forgotten revisions that were not told
  size_t endpoint_ = 0;                    // that streams
  bool streamed_ = false;                  // the last connection was accepted

  std::mutex mutex_;
  std::condition_variable stop_changed_;
  std::thread thread_;
};

}  // namespace understudy::etcd

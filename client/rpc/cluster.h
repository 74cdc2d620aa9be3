// The way from an application into the cluster: metadata through whichever coordinator answers, the addresses of
// disks, and one connection to each log server and purpose.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

struct ClusterOptions {
  std::string cluster;
  std::vector<std::string> coordinators;  // at least one; tried in order, the one that answered last comes first
  std::string name;                       // of this program, for the servers' logs
  int64_t rpc_timeout_ms = 2000;
};

// Appends and barriers have a connection of their own, so that bulk reads and checkpoints never delay them.
enum class Traffic { kAppend, kBulk };

// Strand held for every call but the constructor and destructor; callbacks come with it held, or before the call
// returns.
class Cluster {
 public:
  Cluster(EventLoop* loop, ClusterOptions options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  const std::string& name() const { return options_.cluster; }
  // Another list of coordinators from now on.
  void UseCoordinators(const std::vector<std::string>& coordinators);
  int64_t rpc_timeout_ms() const { return options_.rpc_timeout_ms; }
  EventLoop* loop() { return loop_; }

  // As in MetadataStore. A read is asked of the next coordinator as well when one has not answered for kHedgeMs, and
  // the first answer counts; a CAS goes on to the next only when it certainly was not sent. What answered last comes
  // first.
  static constexpr int64_t kHedgeMs = 100;
  void Get(const std::string& key, MetadataStore::GetCallback done);
  void List(const std::string& prefix, size_t limit, MetadataStore::ListCallback done);
  void CompareAndSwap(const std::string& key, uint64_t expected, const std::string& value,
                      MetadataStore::CasCallback done);

  // Where the server of `disk` listens. Cached until Forget; kNotFound when no such disk was ever registered.
  using AddressCallback = std::function<void(Result<std::string>)>;
  void AddressOf(const DiskId& disk, AddressCallback done);
  // As the metadata just said.
  void Learn(const DiskId& disk, const std::string& address);
  // The address did not work, or another disk answered there: ask the metadata again next time.
  void Forget(const DiskId& disk);

  // The shared connection to a log server; opened at its first call. Valid for the life of the Cluster.
  LogServiceClient* LogServer(const std::string& address, Traffic traffic);

  // Fails what is outstanding, and every later call, with kCancelled.
  void Close();

 private:
  template <class Value>
  struct Race;
  template <class Value>
  void AskNext(const std::shared_ptr<Race<Value>>& race);
  template <class Value>
  void Answered(const std::shared_ptr<Race<Value>>& race, MetadataServiceClient* client, Result<Value> result);
  template <class Value>
  void Start(std::function<void(MetadataServiceClient*, std::function<void(Result<Value>)>)> ask,
             std::function<void(Result<Value>)> done, bool changes);

  EventLoop* const loop_;
  const ClusterOptions options_;
  std::vector<MetadataServiceClient*> coordinators_;
  std::map<std::string, std::unique_ptr<MetadataServiceClient>> metadata_clients_;  // every coordinator ever named
  bool closed_ = false;
  size_t preferred_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // timers hold it weakly
  std::map<DiskId, std::string> addresses_;
  std::map<DiskId, std::vector<AddressCallback>> resolving_;
  std::map<std::pair<std::string, Traffic>, std::unique_ptr<LogServiceClient>> log_servers_;
};

}  // namespace understudy

// A command's connection to the cluster: an event loop that the calling thread drives while it waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/leader_call.h"
#include "client/rpc/cluster.h"
#include "log/format/chain.h"
#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"

namespace understudy::cli {

// One thread.
class Session {
 public:
  explicit Session(const Arguments& arguments);
  // `coordinators`: "HOST:PORT,..."
  Session(const std::string& coordinators, const std::string& cluster);
  ~Session();

  // Calls the coordinator that leads and waits. An answer other than kOk becomes the Status. kUnavailable names the
  // address. `repeatable`: it does no harm to ask two coordinators the same, one after the other or at once.
  using Call = LeaderCall::Call;
  Result<std::string> Document(const Call& call, bool repeatable = true);

  Result<std::vector<MetadataEntry>> List(const std::string& folder);  // "logs/"
  Result<std::vector<Chain>> Chains();                                 // of all logs, by id

  // The log server that holds a disk, from the metadata; kept open. kNotFound.
  Result<LogServiceClient*> LogServer(const DiskId& disk);
  Result<ReplicaStatusResponse> Replica(LogId log, const DiskId& disk);
  // What its log server says of itself, JSON (docs/rpc.md).
  Result<std::string> LogServerStatus(const DiskId& disk);
  Result<BarrierResponse> Barrier(LogId log, const DiskId& disk, Epoch epoch);
  Result<TrimResponse> Trim(LogId log, const DiskId& disk, Lsn lsn);

  // The one that answered last, or the first of the list.
  const std::string& coordinator() const { return coordinator_; }

 private:
  RpcClientOptions ClientOptions() const;
  CoordinatorServiceClient* Control(const std::string& address);
  Status Unreachable(const Status& status) const;

  std::vector<std::string> coordinators_;
  std::string coordinator_, cluster_;
  std::unique_ptr<EventLoop> loop_;
  std::map<std::string, std::unique_ptr<CoordinatorServiceClient>> control_;  // by address
  std::unique_ptr<Cluster> metadata_;
  std::map<std::string, std::unique_ptr<LogServiceClient>> servers_;  // by address
  std::map<std::string, std::string> addresses_;                      // by disk
};

}  // namespace understudy::cli

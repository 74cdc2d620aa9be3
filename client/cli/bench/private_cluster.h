// An understudy cluster of a benchmark's own: its processes are started in a folder of its own, and ended and removed
// with it. Should the benchmark be killed, they end too (the folder stays then).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/env/process.h"
#include "understudy/status.h"

namespace understudy::cli {

struct PrivateClusterOptions {
  std::string program_path;  // of this program; understudyd lies beside it
  std::string parent;        // the folder on whose disk to measure
  bool separate = false;     // each role is a process of its own; so it is anyway unless there is one of each
  int log_servers = 1;
  int coordinators = 1;            // more than one needs etcd
  int etcds = 0;                   // members of an etcd for the metadata; 0: the embedded store
  std::vector<std::string> nodes;  // agents, each with a port of its own for its application
  int64_t node_timeout_ms = 1000;
};

// One thread, which lives as long as the cluster: the processes end with it.
class PrivateCluster {
 public:
  // Waits until it answers and all log servers have registered their disks.
  static Result<std::unique_ptr<PrivateCluster>> Start(PrivateClusterOptions options);
  ~PrivateCluster();
  PrivateCluster(const PrivateCluster&) = delete;
  PrivateCluster& operator=(const PrivateCluster&) = delete;

  const std::vector<std::string>& coordinators() const { return coordinators_; }
  // Of the applications of the nodes, in their order: "127.0.0.1:PORT".
  const std::vector<std::string>& endpoints() const { return endpoints_; }
  // Peak resident memory of the log servers together, bytes.
  uint64_t LogServersPeakMemory() const;

  // Where each role has a process of its own: the agent of node "n1", the log server "log1" (its node's name as well)
  // dies at once (kill -9), as with its machine.
  Status Kill(const std::string& name);
  // Starts it again, with what it left on the disk.
  Status Restart(const std::string& name);
  // What one that was killed left on the disk is gone.
  Status Wipe(const std::string& name);

 private:
  struct Server {
    std::string name;  // of its log file
    SpawnOptions spawn;
    std::unique_ptr<Process> process;
  };

  explicit PrivateCluster(PrivateClusterOptions options) : options_(std::move(options)) {}
  bool embedded() const {
    return !options_.separate && options_.log_servers == 1 && options_.coordinators == 1 && options_.etcds == 0;
  }
  Status StartAll();
  void Plan(const std::string& name, const std::string& program, std::vector<std::string> arguments);
  std::vector<std::string> PlanEtcd(const std::vector<int>& ports);
  Status Spawn(Server* server);
  Status WaitUntilReady();
  Status Unready(const std::string& what);
  Server* Find(const std::string& name);

  const PrivateClusterOptions options_;
  std::string program_, folder_;
  std::vector<std::string> coordinators_, endpoints_;
  std::vector<Server> servers_;
};

// Peak resident memory of a process (VmHWM), bytes; 0 when it is not known.
uint64_t PeakMemory(int64_t pid);

}  // namespace understudy::cli

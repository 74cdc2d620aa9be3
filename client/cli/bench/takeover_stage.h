// One service on a private cluster of two nodes, under load: what bench takeover moves, kills and measures.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/bench/private_cluster.h"
#include "client/cli/bench/resp_load.h"
#include "client/cli/session.h"
#include "understudy/status.h"

namespace understudy::cli {

struct StageOptions {
  PrivateClusterOptions cluster;       // its nodes are set here
  int clients = 2;                     // that write all the while
  bool standby = true;                 // a spare mirrors the primary; otherwise it stays WARM and unassigned
  int64_t checkpoint_interval_ms = 0;  // 0: the coordinator's own choice
};

// One thread.
class TakeoverStage {
 public:
  static Result<std::unique_ptr<TakeoverStage>> Build(StageOptions options);
  ~TakeoverStage();
  TakeoverStage(const TakeoverStage&) = delete;
  TakeoverStage& operator=(const TakeoverStage&) = delete;

  // Each waits until everything is ready, then gives the longest time without a successful write around the event, ms.
  Result<double> Move();                  // a planned one
  Result<double> Kill();                  // the primary's process
  Result<double> KillBehindCheckpoint();  // the same, once a checkpoint covers all that had been written so far
  Result<double> KillNode();  // the primary's process and its agent at once; the agent is started again afterwards

  // Stops the load, writes `records` over `keys` keys and begins the load again.
  Status Fill(uint64_t records, uint64_t keys);

  // Acknowledged writes that are gone. Ends the load.
  Result<int> CountLost();
  uint64_t acknowledged() const { return load_->acknowledged(); }

 private:
  explicit TakeoverStage(StageOptions options) : options_(std::move(options)) {}

  // The document of whichever coordinator leads.
  Result<std::string> Ask(const Session::Call& call);
  // Looks at the status until `done` likes it.
  Status WaitUntil(const std::string& what, const std::function<bool(const std::string& status)>& done);
  bool Ready(const std::string& status);
  Status WaitForCheckpoint();
  Status Begin();
  Result<double> Gap();

  const StageOptions options_;
  std::unique_ptr<PrivateCluster> cluster_;
  std::vector<std::unique_ptr<Session>> sessions_;  // one a coordinator; the first answered last
  std::unique_ptr<RespLoad> load_;
  int64_t primary_pid_ = 0;
  std::string primary_node_;
  uint64_t filled_ = 0;
};

}  // namespace understudy::cli

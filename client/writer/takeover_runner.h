// The shell around the Takeover core: finds disks that are alive, carries the seals, copies and chain operations out.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "log/epoch/takeover.h"

namespace understudy {

// Strand held for every call; callbacks come with it held.
class TakeoverRunner {
 public:
  // `done` is called once; `waiting` when the takeover has to wait for something, with what.
  TakeoverRunner(Cluster* cluster, ChainStore* chains, TakeoverOptions options,
                 std::function<void(const TakeoverResult&)> done, std::function<void(const std::string&)> waiting);
  ~TakeoverRunner();  // gives up: `done` is not called any more
  TakeoverRunner(const TakeoverRunner&) = delete;
  TakeoverRunner& operator=(const TakeoverRunner&) = delete;

  void Start();
  // See TakeoverAcceptLoss; what the disks that answer know of a commit is added.
  void AcceptLoss(Lsn known_commit);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with callbacks under way, which find it closed
};

}  // namespace understudy

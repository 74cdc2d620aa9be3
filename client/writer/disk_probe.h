// Which of the cluster's disks are alive: every registered one is asked. Those that serve fewer open epochs come first;
// equals in an order that each log draws for itself, so that many logs spread over many disks.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "client/rpc/cluster.h"
#include "log/epoch/takeover.h"

namespace understudy {

// Strand held for every call; callbacks come with it held. One object is one round.
class DiskProbe {
 public:
  // `found` is called after each answer with all disks that are alive so far, and whether it was the last answer;
  // once with none when nothing could be asked. A retired disk is not alive.
  using Found = std::function<void(const std::vector<CandidateDisk>& alive, bool complete)>;
  DiskProbe(Cluster* cluster, LogId log, Found found);
  ~DiskProbe();  // `found` is not called any more
  // Every disk that has an entry, alive or not; a retired one as one that drains. Empty until the first `found`.
  const std::vector<CandidateDisk>& listed() const;
  // The highest commit of the log that a disk has spoken of so far.
  Lsn commit() const;
  DiskProbe(const DiskProbe&) = delete;
  DiskProbe& operator=(const DiskProbe&) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with answers under way, which find it closed
};

}  // namespace understudy

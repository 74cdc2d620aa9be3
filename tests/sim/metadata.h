// The metadata store as the logs need it: versioned chains changed by compare-and-swap, and the boot counts of disks.
// Its faults: replies get lost after a CAS took effect; a CAS hangs and takes effect later, if it still can; the store
// refuses or stays silent for a while.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/epoch/core.h"
#include "log/format/disk_entry.h"
#include "tests/sim/coverage.h"
#include "tests/sim/oracle.h"
#include "tests/sim/world.h"

namespace understudy::sim {

class Metadata {
 public:
  Metadata(World* world, Oracle* oracle, Coverage* coverage);
  NodeId node() const { return node_; }

  void AddLog(const Chain& chain);
  bool Knows(LogId log) const { return logs_.contains(log); }
  const VersionedChain& value(LogId log) const { return logs_.at(log).value; }

  // An operation from a program on `from`: answered at most once, by one of the two. No answer is a silent store or a
  // lost message: the caller's timeout turns it into an error.
  void Perform(NodeId from, LogId log, const ChainOp& op, std::function<void(ChainReadDone)> read,
               std::function<void(ChainCasDone)> cas);

  // ---- faults ----
  void LoseNextReply(LogId log) { logs_.at(log).lose_reply = true; }
  void HoldNextCas(LogId log, int64_t for_ns) { logs_.at(log).hold_ns = for_ns; }
  enum class Outage { kNone, kRefuses, kSilent };
  void SetOutage(Outage outage) { outage_ = outage; }
  bool available() const { return outage_ == Outage::kNone; }
  // A compare-and-swap of `log` is on its way and may land yet.
  bool CasUnderWay(LogId log);
  void ForgetFaults();  // what is armed; a CAS that hangs still lands

  // ---- boot counts ----
  // Raises the count of `disk` from `seen`, which its directory says, to seen + 1. False: the directory is older than
  // that. To be called only while available().
  bool RaiseBootCount(const DiskId& disk, uint64_t seen);

  // ---- entries of disks ----
  void Register(const DiskId& disk, const std::string& node, const std::string& zone);
  void SetState(const DiskId& disk, DiskState state);
  DiskState StateOf(const DiskId& disk) const;
  const std::map<DiskId, DiskEntry>& disks() const { return disks_; }
  // Every chain and every entry, as a log server's repair looks at them; no answer when the store is away.
  void Look(NodeId from, std::function<void(std::vector<VersionedChain>, std::vector<DiskEntry>)> done);

 private:
  struct Request;
  struct Log {
    VersionedChain value;
    bool lose_reply = false;
    int64_t hold_ns = 0;
    std::vector<std::weak_ptr<Request>> under_way;
  };
  void Receive(const std::shared_ptr<Request>& request);
  void Reply(const std::shared_ptr<Request>& request, Status status, uint64_t version, bool lost);
  bool Apply(LogId log, const ChainOp& op);

  World* world_;
  Oracle* oracle_;
  Coverage* coverage_;
  NodeId node_;
  Outage outage_ = Outage::kNone;
  std::map<LogId, Log> logs_;
  std::map<DiskId, uint64_t> boot_counts_;
  std::map<DiskId, DiskEntry> disks_;
};

}  // namespace understudy::sim

// The cluster of one run, and what the events of a plan do to it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/application.h"
#include "tests/sim/coverage.h"
#include "tests/sim/disk.h"
#include "tests/sim/metadata.h"
#include "tests/sim/oracle.h"
#include "tests/sim/plan.h"
#include "tests/sim/world.h"

namespace understudy::sim {

class Stage : public Holdings {
 public:
  Stage(const Plan& plan, Coverage* coverage);

  World& world() { return world_; }
  Oracle& oracle() { return oracle_; }

  void Play();    // the plan's events
  void Settle();  // the faults stop: everything must come back
  void Count();   // what only the end tells

  const std::vector<Stored>* Find(const DiskId& disk, LogId log, Epoch epoch) const override;
  bool HoldsCheckpoint(const DiskId& disk, LogId log, uint64_t id) const override;

 private:
  void Do(const Event& event);
  void DoToDisk(const Event& event);
  void DoToProgram(const Event& event);
  // Runs `task` when the window ends, at the latest with the plan.
  void AtEndOf(int64_t for_us, Task task);
  Disk& disk(int64_t index) { return *disks_[static_cast<size_t>(index) % disks_.size()]; }
  Application& program(int64_t index) { return *programs_[static_cast<size_t>(index) % programs_.size()]; }
  NodeId node(int64_t index) const { return static_cast<NodeId>(static_cast<size_t>(index) % nodes_); }
  LogId log(int64_t index) const { return LogId(1 + static_cast<uint64_t>(index) % static_cast<uint64_t>(plan_.logs)); }
  Application* WriterOf(LogId log);  // that accepts; null: none
  Epoch LastEpoch(LogId log) const;
  bool MayLose(const Disk& disk) const;
  void GiveUp(const Event& event, int tries);
  void OnCopyFrom(const DiskId& source);
  void Sample();

  // stage_settle.cc
  bool RunWhile(int64_t limit_ms, const std::function<bool()>& busy);  // false: still busy at the limit
  void SettleTakeovers();
  void SettleWrites(LogId log);
  void SettleReaders(LogId log);
  void SettleRepair(LogId log);

  const Plan& plan_;
  Coverage* coverage_;
  World world_;
  Oracle oracle_;
  Metadata metadata_;
  std::vector<std::unique_ptr<Disk>> disks_;
  std::vector<std::unique_ptr<Application>> programs_;
  std::vector<std::unique_ptr<Application>> readers_;  // one a log, for the end
  size_t nodes_ = 0;                                   // that the plan knows of
  Instant end_;
  bool calm_ = false;
  const Event* lose_source_ = nullptr;  // armed
  std::deque<Instant> losses_;          // of disks, lately
};

}  // namespace understudy::sim

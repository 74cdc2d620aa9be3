// Background repair's shell: looks at the metadata now and then, gives what it finds to the Repairer core, and does
// what that asks for. Also keeps house by the same looks: quotas that logs have of their own, trims and checkpoint
// files that this disk missed while it was away, entries of disks that were replaced at this address.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "log/env/random.h"
#include "log/epoch/repairer.h"
#include "server/lognode/log_node_impl.h"
#include "server/lognode/metadata_calls.h"

namespace understudy {

// Strand held for every call.
class LogNodeImpl::Repair {
 public:
  Repair(LogNodeImpl* node, MetadataStore* metadata, Random* random);

  void Begin();  // the server listens: looks from now on
  void Stop();   // the disk is retired or has failed
  void Close();  // nothing comes back afterwards

  RepairStatus status(size_t worst_max) const { return core_.StatusNow(node_->Now(), worst_max); }
  std::optional<uint64_t> references() const { return core_.References(node_->disk()); }

 private:
  struct Lists {
    std::vector<MetadataEntry> chains;
    std::vector<MetadataEntry> disks;
    bool complete = true;  // no chain was left out
    RepairLook look;       // decoded from them
    std::map<DiskId, uint64_t> disk_versions;
  };
  struct Copy {  // of a checkpoint
    CopyCheckpoint order;
    size_t source = 0;
    uint64_t offset = 0;
    size_t denials = 0;  // by sources
  };

  // repair.cc
  void Step(const RepairerInput& input);
  void Perform();
  void PerformOnce(RepairerEffects* effects);
  void ArmTimer();
  void Ask(const AskDisk& ask);
  void Ask(const AskHeld& ask);
  void Fetch(RepairFetch fetch);
  void Perform(const RepairChainOp& op);

  // repair_look.cc
  void LookLater();
  void LookFailed(const Status& why);
  void Look();
  void Decode(const std::shared_ptr<Lists>& lists);
  void Looked(const std::shared_ptr<Lists>& lists);
  void UseQuotas(const std::vector<VersionedChain>& chains);
  void Trim(const std::vector<VersionedChain>& chains);
  void SweepCheckpoints(const std::vector<VersionedChain>& chains);
  void ForgetReplacedDisks(const Lists& lists);
  void OfferReplacement(const Lists& lists);

  // checkpoint_copy.cc
  void StartCopy(const CopyCheckpoint& order);
  void ReadPiece(const std::shared_ptr<Copy>& copy);
  void WritePiece(const std::shared_ptr<Copy>& copy, const std::shared_ptr<CheckpointReadResponse>& piece);
  void NextSource(const std::shared_ptr<Copy>& copy, const std::string& why, bool denied);
  void EndCopy(const std::shared_ptr<Copy>& copy, Status status);

  LogNodeImpl* node_;
  MetadataCalls metadata_;
  Random* random_;
  Repairer core_;
  RepairerEffects effects_;
  RepairerEffects performing_;
  bool effects_waiting_ = false;
  bool in_perform_ = false;
  bool closed_ = false;
  Instant wake_at_ = Instant::Never();
  Instant armed_at_ = Instant::Never();
  EventLoop::TimerId timer_ = 0;
  size_t chains_seen_ = 0;
  uint64_t looks_ = 0;
  std::map<LogId, Lsn> trimmed_;    // what this disk was told to trim
  std::set<DiskId> unreferenced_;   // by the look before: other disks' entries at our address
  bool ours_unreferenced_ = false;  // by the look before
  bool look_failed_ = false;        // and it was said
};

}  // namespace understudy

#include "log/epoch/testing/mutants.h"

#include "understudy/check.h"

namespace understudy {
#ifdef UNDERSTUDY_MUTANTS
Mutant active_mutant = Mutant::kNone;
#endif

namespace testing {

const std::vector<MutantInfo>& Mutants() {
  static const std::vector<MutantInfo> kMutants = {
      {Mutant::kAckBeforeFsync, "ack-before-fsync", "a replica acknowledges before fsync"},
      {Mutant::kSealBeforeDurable, "seal-before-durable", "a replica answers a seal before it is durable"},
      {Mutant::kAppendAfterSealAnswer, "append-after-seal-answer",
       "an append in flight finishes after the seal answer"},
      {Mutant::kWipedIsEmpty, "wiped-is-empty", "a wiped disk counts as empty"},
      {Mutant::kCorruptIsAbsent, "corrupt-is-absent", "a takeover treats corrupt as absent"},
      {Mutant::kSmallestTail, "smallest-tail", "a takeover takes the smallest tail"},
      {Mutant::kSkipCopies, "skip-copies", "a takeover skips step 4"},
      {Mutant::kAckBeforeCas, "ack-before-cas", "a takeover acknowledges in e+1 before the CAS"},
      {Mutant::kTrimPastCheckpoint, "trim-past-checkpoint",
       "trimming goes past the oldest retained checkpoint and pins"},
      {Mutant::kResumeAfterFsyncError, "resume-after-fsync-error", "a replica resumes after an fsync failure"},
      {Mutant::kNoFreeze, "no-freeze", "a writer does not freeze before its own CAS"},
      {Mutant::kThawAfterRead, "thaw-after-read", "a writer thaws after merely reading the chain"},
      {Mutant::kBarrierWhileFrozen, "barrier-while-frozen", "a read barrier completes while the writer is frozen"},
      {Mutant::kAppendToRetired, "append-to-retired", "a retired disk takes appends"},
      {Mutant::kApplyAboveCommit, "apply-above-commit", "a spare applies above the commit before the CAS"},
      {Mutant::kCommitPerLog, "commit-per-log", "the commit is kept per log instead of per epoch"},
      {Mutant::kKeepEnd, "keep-end", "a takeover keeps T when a disk left coverage"},
      {Mutant::kRepairFromShort, "repair-from-short", "a copy ends at a short source and counts as complete"},
      {Mutant::kLossDespiteCoverage, "loss-despite-coverage", "an accepted loss is taken while enough disks answer"},
      {Mutant::kLossWithoutGap, "loss-without-gap", "an accepted loss leaves no gap: lost LSNs come again"},
      {Mutant::kIgnoreZones, "ignore-zones", "an epoch is placed without a look at zones"},
  };
  return kMutants;
}

const MutantInfo* FindMutant(std::string_view name) {
  for (const MutantInfo& info : Mutants()) {
    if (name == info.name) return &info;
  }
  return nullptr;
}

#ifdef UNDERSTUDY_MUTANTS
bool MutantsBuiltIn() { return true; }
void SetMutant(Mutant mutant) { active_mutant = mutant; }
#else
bool MutantsBuiltIn() { return false; }
void SetMutant(Mutant mutant) { UNDERSTUDY_CHECK(mutant == Mutant::kNone); }
#endif

}  // namespace testing
}  // namespace understudy

// Known bugs of the protocol, one a rule of DESIGN 4, to be put back one at a time: the simulator must catch each of
// them (docs/testing.md). In every build but the simulator's own they are the constant false.
#pragma once

#include <cstdint>

namespace understudy {

enum class Mutant : uint8_t {
  kNone,
  kAckBeforeFsync,
  kSealBeforeDurable,
  kAppendAfterSealAnswer,
  kWipedIsEmpty,
  kCorruptIsAbsent,
  kSmallestTail,
  kSkipCopies,
  kAckBeforeCas,
  kTrimPastCheckpoint,
  kResumeAfterFsyncError,
  kNoFreeze,
  kThawAfterRead,
  kBarrierWhileFrozen,
  kAppendToRetired,
  kApplyAboveCommit,
  kCommitPerLog,
  kKeepEnd,
  kRepairFromShort,
  kLossDespiteCoverage,
  kLossWithoutGap,
  kIgnoreZones,
};

#ifdef UNDERSTUDY_MUTANTS
extern Mutant active_mutant;  // log/epoch/testing/mutants.h
inline bool MutantOn(Mutant mutant) { return active_mutant == mutant; }
#else
constexpr bool MutantOn(Mutant) { return false; }
#endif

}  // namespace understudy

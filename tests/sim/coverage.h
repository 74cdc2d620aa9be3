// Counts what a run reached: states and transitions of the protocol, answers by code, faults that really happened.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "understudy/status.h"

namespace understudy::sim {

#define UNDERSTUDY_SIM_REACHED(X)                                                                                      \
  /* writer */                                                                                                         \
  X(writer_opened)                                                                                                     \
  X(writer_acked)                                                                                                      \
  X(writer_frozen)                                                                                                     \
  X(writer_thawed)                                                                                                     \
  X(writer_moved_disks)                                                                                                \
  X(writer_handed_over)                                                                                                \
  X(writer_move_refused)                                                                                               \
  X(writer_move_deadline)                                                                                              \
  X(writer_move_no_metadata)                                                                                           \
  X(writer_move_conflict) X(writer_fenced) X(writer_fenced_with_unacked) X(writer_dropped_unknown)                     \
      X(writer_dropped_behind) X(writer_disk_sealed) X(writer_seal_without_owner) X(writer_self_fenced)                \
          X(writer_serves_again) X(writer_narrow_epoch) X(writer_widened) X(barrier_ok) X(barrier_fenced)              \
              X(barrier_cancelled) /* takeover */                                                                      \
      X(takeover_started) X(takeover_waits) X(takeover_fetches) X(takeover_cas) X(takeover_cas_settling)               \
          X(takeover_cas_again) X(takeover_won) X(takeover_adopted) X(takeover_beaten) X(takeover_died)                \
              X(takeover_died_in_doubt) X(takeover_against_living_writer) X(takeover_two_at_once)                      \
                  X(takeover_first_epoch) X(takeover_keeps_unseen) X(placed_over_zones) X(placed_in_one_zone)          \
                      X(takeover_loss_accepted) X(takeover_lost_records) /* replica */                                 \
      X(seal_races_append) X(append_after_seal) X(fetch_done) X(fetch_failed) X(fetch_after_trim)                      \
          X(disk_retired_corrupt) X(disk_retired_rolled_back) X(disk_recovered_torn) X(disk_recovered_synced)          \
              X(persist_failed) /* readers */                                                                          \
      X(reader_applied) X(reader_mirror_on) X(reader_mirror_lost) X(reader_promoted) X(reader_loaded_checkpoint)       \
          X(reader_trimmed) X(reader_loss) X(next_owner_hint) /* checkpoints and the chain */                          \
      X(checkpoint_listed) X(checkpoint_abandoned) X(checkpoint_removed) X(pin_set) X(trim_raised) X(epoch_left_chain) \
          X(cas_won) X(cas_conflict) X(cas_noop) X(repaired_epoch) X(repaired_checkpoint) X(repair_fetches)            \
              X(repair_copies_checkpoint) X(repair_asks_held)

#define UNDERSTUDY_SIM_FAULTS(X)                                                                                     \
  X(message_dropped)                                                                                                 \
  X(message_cut)                                                                                                     \
  X(message_duplicated)                                                                                              \
  X(message_late)                                                                                                    \
  X(node_frozen)                                                                                                     \
  X(event_parked)                                                                                                    \
  X(clock_jump)                                                                                                      \
  X(program_killed)                                                                                                  \
  X(crash_before_write)                                                                                              \
  X(crash_after_write) X(crash_partly_synced) X(crash_after_sync) X(crash_idle) X(power_loss) X(torn_group)          \
      X(bit_flip) X(disk_wiped) X(disk_rolled_back) X(disk_full) X(disk_slow) X(disk_hung) X(fsync_error)            \
          X(cas_reply_lost) X(cas_landed_late) X(cas_late_failed) X(metadata_refuses) X(metadata_silent) X(link_cut) \
              X(node_isolated) X(disk_drained) X(epoch_given_up) X(source_lost)

enum class Reached : uint8_t {
#define X(name) name,
  UNDERSTUDY_SIM_REACHED(X)
#undef X
      kCount
};
enum class Fault : uint8_t {
#define X(name) name,
  UNDERSTUDY_SIM_FAULTS(X)
#undef X
      kCount
};
const char* Name(Reached what);
const char* Name(Fault what);

// Messages whose answers are counted by code.
enum class Asked : uint8_t { append, seal, barrier, read, fetch, trim, checkpoint, status, kCount };
const char* Name(Asked what);

class Coverage {
 public:
  static constexpr int kCodes = static_cast<int>(StatusCode::kInternal) + 1;
  void Hit(Reached what, uint64_t times = 1) { reached_[static_cast<size_t>(what)] += times; }
  void Hit(Fault what, uint64_t times = 1) { faults_[static_cast<size_t>(what)] += times; }
  void Answered(Asked what, StatusCode code) { ++answers_[static_cast<size_t>(what)][static_cast<size_t>(code)]; }
  void State(uint64_t fingerprint) { states_.insert(fingerprint); }
  void Add(const Coverage& other);

  uint64_t count(Reached what) const { return reached_[static_cast<size_t>(what)]; }
  uint64_t count(Fault what) const { return faults_[static_cast<size_t>(what)]; }
  size_t states() const { return states_.size(); }
  // Kinds reached, of all; those never reached.
  size_t kinds_reached() const;
  static size_t kinds();
  std::vector<std::string> missing() const;
  struct Line {
    std::string name;
    uint64_t count = 0;
  };
  std::vector<Line> reached() const;
  std::vector<Line> faults() const;
  std::vector<Line> answers() const;  // "append kFenced"; those that occurred

 private:
  std::array<uint64_t, static_cast<size_t>(Reached::kCount)> reached_{};
  std::array<uint64_t, static_cast<size_t>(Fault::kCount)> faults_{};
  std::array<std::array<uint64_t, kCodes>, static_cast<size_t>(Asked::kCount)> answers_{};
  std::unordered_set<uint64_t> states_;
};

}  // namespace understudy::sim

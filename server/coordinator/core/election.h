// Which of several coordinators leads: a lease under the metadata's `leader` key, renewed by compare-and-swap
// (docs/decisions/0006-leader-lease-by-cas.md). Pure: no clock, thread, socket or randomness. Its word is advice, as
// everything the coordinator does: two that lead at once cost time, never a record.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy::coordinator {

// The value of the `leader` key.
struct Lease {
  uint64_t term = 0;
  std::string coordinator;   // its name
  std::string address;       // where agents and operators reach it
  uint64_t incarnation = 0;  // drawn at its start
  uint64_t beat = 0;         // grows with every write of this incarnation
  int64_t lease_ms = 0;      // 0: never runs out
  bool released = false;     // given up in order: the next may lead at once
  bool operator==(const Lease&) const = default;
};
std::string EncodeLease(const Lease& lease);
// kCorruption with the reason. Fields that an older version did not write are as in Lease().
Result<Lease> DecodeLease(std::string_view json);

struct ElectionOptions {
  std::string name;
  std::string address;
  uint64_t incarnation = 0;  // another one at every start
  int64_t lease_ms = 1500;   // 0: the only coordinator there can be; leads at once and renews nothing
};

// What the shell is to do, filled by one call of Election. Answers are handed in with the id of their question.
struct ElectionEffects {
  struct Cas {
    uint64_t id = 0;
    uint64_t expected = 0;
    std::string value;
  };
  std::optional<Cas> cas;
  uint64_t read = 0;  // id of a read of the leader key; 0: none is wanted
  // The role changed: leads() says into what, `why` for people.
  bool changed = false;
  std::string why;
  Instant wake_at = Instant::Never();  // Tick is wanted then
};

// `now` never goes back. Every call may change the role.
class Election {
 public:
  explicit Election(ElectionOptions options) : options_(std::move(options)) {}

  void Tick(Instant now, ElectionEffects* out);
  // Absent: an empty value with version 0.
  void ReadDone(uint64_t id, const Status& status, const std::string& value, uint64_t version, Instant now,
                ElectionEffects* out);
  void CasDone(uint64_t id, StatusCode code, uint64_t version, Instant now, ElectionEffects* out);
  // The watch's word; deleted: an empty value with the deletion's version.
  void Changed(const std::string& value, uint64_t version, Instant now, ElectionEffects* out);
  // The process ends in order: stops to lead at once, hands the lease over, and never leads again. settled() becomes
  // true when there is nothing left to hand over.
  void Resign(Instant now, ElectionEffects* out);

  // Whether this coordinator may act now. Look again before every action: a process may have been stopped in between.
  bool Leads(Instant now) const { return leads_ && now < lease_until_; }
  uint64_t term() const { return term_; }        // of the last time it led; 0: never
  uint64_t version() const { return version_; }  // of the lease as last seen
  const Lease& lease() const { return lease_; }  // as last seen
  std::string Leader(Instant now) const;         // address of another one that leads, as far as is known; or empty
  bool settled() const { return resigned_ && cas_id_ == 0 && !HoldsLease(); }

 private:
  void Observe(const Lease& lease, uint64_t version, Instant now, ElectionEffects* out);
  void Gone(ElectionEffects* out);
  void Act(Instant now, ElectionEffects* out);
  void Write(bool released, uint64_t term, Instant now, ElectionEffects* out);
  void StepDown(std::string why, ElectionEffects* out);
  bool Mine(const Lease& lease) const;
  bool HoldsLease() const { return version_ != 0 && Mine(lease_) && !lease_.released; }
  Instant ClaimableAt() const;
  int64_t RetryNs() const;
  // Nothing was heard of the call for so long: it is taken for lost. Its late answer is good all the same.
  int64_t PatienceNs() const;

  const ElectionOptions options_;
  bool known_ = false;  // the key was looked at
  uint64_t version_ = 0;
  Lease lease_;
  Instant seen_at_;
  uint64_t term_max_ = 0;  // seen or tried
  uint64_t beat_ = 0;

  bool leads_ = false;
  bool resigned_ = false;
  uint64_t term_ = 0;
  Instant lease_until_;
  Instant renew_at_;
  Instant retry_at_;  // of a claim, a release or a read that failed

  struct Sent {
    Lease lease;
    Instant at;
  };
  std::map<uint64_t, Sent> sent_;  // by beat, which is the Cas's id; the last kSentMax of them
  bool look_ = false;              // the key is to be read before anything else
  uint64_t cas_id_ = 0;            // waited for; 0: none
  Instant cas_sent_at_;
  uint64_t read_id_ = 0;  // waited for; 0: none
  uint64_t last_read_id_ = 0;
  Instant read_sent_at_;
  uint64_t read_version_ = 0;  // known when it was sent
};

}  // namespace understudy::coordinator

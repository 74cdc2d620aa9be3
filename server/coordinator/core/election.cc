#include "server/coordinator/core/election.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace understudy::coordinator {
namespace {

using nlohmann::json;

constexpr size_t kSentMax = 64;
constexpr int64_t kRetryMsMin = 20;
constexpr int64_t kRetryMsMax = 200;
constexpr int64_t kPatienceMsMin = 100;
constexpr int64_t kPatienceMsForever = 5000;  // with a lease that never runs out

}  // namespace

std::string EncodeLease(const Lease& lease) {
  return json({{"term", lease.term},
               {"coordinator", lease.coordinator},
               {"address", lease.address},
               {"incarnation", lease.incarnation},
               {"beat", lease.beat},
               {"lease_ms", lease.lease_ms},
               {"released", lease.released}})
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Lease> DecodeLease(std::string_view text) {
  try {
    const json in = json::parse(text);
    Lease lease;
    lease.term = in.at("term").get<uint64_t>();
    lease.coordinator = in.at("coordinator").get<std::string>();
    lease.address = in.value("address", "");
    lease.incarnation = in.value("incarnation", uint64_t{0});
    lease.beat = in.value("beat", uint64_t{0});
    lease.lease_ms = in.value("lease_ms", int64_t{0});
    lease.released = in.value("released", false);
    return lease;
  } catch (const json::exception& error) {
    return Status(StatusCode::kCorruption, std::string("leader: ") + error.what());
  }
}

namespace {

// What cannot be read holds nobody back for longer than a lease.
Lease ReadLease(const std::string& value) {
  Result<Lease> lease = DecodeLease(value);
  return lease.ok() ? *std::move(lease) : Lease();
}

}  // namespace

int64_t Election::RetryNs() const {
  return (options_.lease_ms == 0 ? kRetryMsMax : std::clamp(options_.lease_ms / 10, kRetryMsMin, kRetryMsMax)) *
         kNsPerMs;
}

int64_t Election::PatienceNs() const {
  return (options_.lease_ms == 0 ? kPatienceMsForever : std::max(kPatienceMsMin, options_.lease_ms / 3)) * kNsPerMs;
}

bool Election::Mine(const Lease& lease) const {
  return lease.incarnation == options_.incarnation && lease.coordinator == options_.name;
}

// When the lease that was seen last stands in nobody's way any more.
Instant Election::ClaimableAt() const {
  if (version_ == 0 || lease_.released || options_.lease_ms == 0 || Mine(lease_)) return Instant();
  // An earlier run of this coordinator: it cannot be there any more, since this one listens on its address.
  if (lease_.coordinator == options_.name && lease_.address == options_.address) return Instant();
  return seen_at_ + std::max(options_.lease_ms, lease_.lease_ms) * kNsPerMs;
}

std::string Election::Leader(Instant now) const {
  if (!known_ || version_ == 0 || lease_.released || Mine(lease_) || now >= ClaimableAt()) return "";
  return lease_.address;
}

void Election::StepDown(std::string why, ElectionEffects* out) {
  if (!leads_) return;
  leads_ = false;
  out->changed = true;
  out->why = std::move(why);
}

void Election::Write(bool released, uint64_t term, Instant now, ElectionEffects* out) {
  Lease lease;
  lease.term = term;
  lease.coordinator = options_.name;
  lease.address = options_.address;
  lease.incarnation = options_.incarnation;
  lease.beat = ++beat_;
  lease.lease_ms = options_.lease_ms;
  lease.released = released;
  term_max_ = std::max(term_max_, term);
  cas_id_ = beat_;
  cas_sent_at_ = now;
  out->cas = {cas_id_, version_, EncodeLease(lease)};
  sent_[beat_] = {std::move(lease), now};
  if (sent_.size() > kSentMax) sent_.erase(sent_.begin());
}

// Somebody deleted it.
void Election::Gone(ElectionEffects* out) {
  known_ = true;
  version_ = 0;
  lease_ = Lease();
  StepDown("the lease was deleted", out);
}

// What is under the key, from whichever source; older versions than the one known say nothing.
void Election::Observe(const Lease& lease, uint64_t version, Instant now, ElectionEffects* out) {
  if (known_ && version <= version_) return;
  known_ = true;
  version_ = version;
  seen_at_ = now;
  lease_ = lease;
  term_max_ = std::max(term_max_, lease_.term);
  if (!Mine(lease_)) {
    StepDown("'" + lease_.coordinator + "' leads with term " + std::to_string(lease_.term), out);
    return;
  }
  const auto sent = sent_.find(lease_.beat);
  if (lease_.released || sent == sent_.end()) return;
  const int64_t lease_ns = options_.lease_ms * kNsPerMs;
  const Instant until = lease_ns == 0 ? Instant::Never() : sent->second.at + lease_ns;
  if (leads_ && lease_.term == term_) {
    lease_until_ = std::max(lease_until_, until);
  } else if (!leads_ && !resigned_ && now < until && lease_.term > term_) {
    leads_ = true;
    term_ = lease_.term;
    lease_until_ = until;
    renew_at_ = lease_ns == 0 ? Instant::Never() : sent->second.at + lease_ns / 3;
    out->changed = true;
    out->why = "won the lease";
  }
}

void Election::Act(Instant now, ElectionEffects* out) {
  const auto wake = [&](Instant at) { out->wake_at = std::min(out->wake_at, at); };
  if (leads_ && now >= lease_until_) {
    StepDown("its lease ran out: the metadata did not answer for " + std::to_string(options_.lease_ms) + " ms", out);
  }
  if (leads_) wake(lease_until_);
  // Calls that nobody answers: what became of them is found under the key.
  bool look = !known_ && !resigned_;
  if (cas_id_ != 0 && now >= cas_sent_at_ + PatienceNs()) {
    cas_id_ = 0;
    renew_at_ = std::min(renew_at_, now);
    look = true;
  }
  if (read_id_ != 0 && now >= read_sent_at_ + PatienceNs()) read_id_ = 0;
  look |= look_;
  if (look && read_id_ == 0 && cas_id_ == 0) {
    if (now < retry_at_) {
      look_ = true;
      wake(retry_at_);
      return;
    }
    look_ = false;
    read_id_ = out->read = ++last_read_id_;
    read_sent_at_ = now;
    read_version_ = version_;
  }
  if (read_id_ != 0) wake(read_sent_at_ + PatienceNs());
  if (cas_id_ == 0 && read_id_ == 0 && known_) {
    if (now < retry_at_) {
      wake(retry_at_);
    } else if (leads_) {
      if (now < renew_at_) {
        wake(renew_at_);
      } else {
        renew_at_ = now + options_.lease_ms * kNsPerMs / 3;
        Write(false, term_, now, out);
      }
    } else if (resigned_) {
      if (HoldsLease()) Write(true, lease_.term, now, out);
    } else if (now >= ClaimableAt()) {
      Write(false, term_max_ + 1, now, out);
    } else {
      wake(ClaimableAt());
    }
  }
  if (cas_id_ != 0) wake(cas_sent_at_ + PatienceNs());
}

void Election::Tick(Instant now, ElectionEffects* out) { Act(now, out); }

void Election::ReadDone(uint64_t id, const Status& status, const std::string& value, uint64_t version, Instant now,
                        ElectionEffects* out) {
  const bool awaited = id == read_id_;
  if (awaited) read_id_ = 0;
  if (!status.ok()) {
    if (awaited) {
      look_ = true;
      retry_at_ = now + RetryNs();
    }
  } else if (!value.empty()) {
    Observe(ReadLease(value), version, now, out);
  } else if (awaited && version_ == read_version_) {  // else it is of before what has been seen since
    if (version_ != 0 || !known_) Gone(out);
  }
  Act(now, out);
}

void Election::CasDone(uint64_t id, StatusCode code, uint64_t version, Instant now, ElectionEffects* out) {
  const bool awaited = id == cas_id_;
  if (awaited) cas_id_ = 0;
  const auto sent = sent_.find(id);
  if (code == StatusCode::kOk && sent != sent_.end()) {
    Observe(Lease(sent->second.lease), version, now, out);
  } else if (awaited) {
    renew_at_ = std::min(renew_at_, now);
    look_ = code != StatusCode::kUnavailable;  // that one was certainly not sent
    if (code != StatusCode::kConflict) retry_at_ = now + RetryNs();
  }
  Act(now, out);
}

void Election::Changed(const std::string& value, uint64_t version, Instant now, ElectionEffects* out) {
  if (!value.empty()) {
    Observe(ReadLease(value), version, now, out);
  } else if (version > version_ && version_ != 0) {
    Gone(out);
  }
  Act(now, out);
}

void Election::Resign(Instant now, ElectionEffects* out) {
  resigned_ = true;
  retry_at_ = now;
  StepDown("it ends in order", out);
  Act(now, out);
}

}  // namespace understudy::coordinator

// Where the old epoch ends: coverage, T, copies to A disks, and the compare-and-swap that makes it so.
#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/placement.h"
#include "log/epoch/takeover_impl.h"

namespace understudy {
namespace {

std::string Names(const std::vector<ReplicaRef>& disks) {
  std::string names;
  for (const ReplicaRef& disk : disks) {
    if (!names.empty()) names += ", ";
    names += ToHex(disk.disk).substr(0, 8) + " (" + disk.node + ")";
  }
  return names.empty() ? "none is known" : names;
}

}  // namespace

// Said once until it changes, and not while the first answers are still on their way.
void Takeover::Impl::Wait(std::string text, std::vector<ReplicaRef> waited_for, TakeoverEffects* out) {
  const bool coming =
      std::any_of(disks.begin(), disks.end(), [](const Disk& d) { return d.word == Word::kNone && d.seal_token != 0; });
  if (coming || text == last_wait) return;
  last_wait = text;
  out->waiting = TakeoverWait{std::move(text), std::move(waited_for)};
}

// Step 2 and 3. E' - A + 1 trustworthy answers meet every ack quorum, so T covers everything acknowledged.
bool Takeover::Impl::Covered(TakeoverEffects* out) {
  int answers = 0;
  Lsn largest = old.first_lsn - 1;
  std::vector<ReplicaRef> silent;
  for (const Disk& disk : disks) {
    if (!disk.member) continue;
    if (!disk.trusted()) {
      silent.push_back(disk.ref);
      continue;
    }
    ++answers;
    if (MutantOn(Mutant::kSmallestTail)) {
      const Lsn held = std::max(disk.held, old.first_lsn - 1);
      largest = answers == 1 ? held : std::min(largest, held);
      continue;
    }
    largest = std::max(largest, disk.held);
  }
  const int missing = static_cast<int>(old.disks.size()) - old.ack_quorum + 1 - answers;
  const bool all_tried = std::none_of(disks.begin(), disks.end(), [](const Disk& disk) {
    return disk.member && !disk.gone && disk.word == Word::kNone;
  });
  const bool provisional = lossy;  // `end` stood without coverage: whoever answers since then raises it
  lossy = (missing > 0 || MutantOn(Mutant::kLossDespiteCoverage)) && accept_loss && all_tried;
  if (missing > 0 && !lossy) {
    const std::string text = "log " + std::to_string(options.log.value()) + " epoch " +
                             std::to_string(old.epoch.value()) + " needs " + std::to_string(missing) +
                             " more of disks " + Names(silent);
    Wait(text, std::move(silent), out);
    return false;
  }
  // Kept over a lost CAS; computed again when a disk has left.
  if (!end.has_value() || provisional) end = largest;
  return true;
}

bool Takeover::Impl::Holds(const Disk& disk) const {
  if (!disk.trusted()) return false;
  return disk.held >= *end || *end < old.first_lsn || *end <= current.chain.trim_lsn;
}

// Step 4. Any disk counts, one that copies now included.
bool Takeover::Impl::CopiedToQuorum(Instant now, TakeoverEffects* out) {
  int ready = 0;
  int copying = 0;
  for (const Disk& disk : disks) {
    ready += Holds(disk);
    copying += disk.fetch_token != 0;
  }
  if (ready >= old.ack_quorum || MutantOn(Mutant::kSkipCopies)) return true;
  std::vector<ReplicaRef> silent;
  for (Disk& disk : disks) {
    if (!disk.trusted()) {
      if (!disk.gone) silent.push_back(disk.ref);
      continue;
    }
    if (ready + copying >= old.ack_quorum) break;
    if (Holds(disk) || disk.fetch_token != 0 || now < disk.fetch_retry_at) continue;
    FetchRequest request{options.log, disk.ref.disk, old.epoch, old.first_lsn, *end, current.chain.trim_lsn, {}};
    std::vector<const Disk*> sources;
    for (const Disk& source : disks) {
      if (&source != &disk && source.trusted() && source.held > disk.held) sources.push_back(&source);
    }
    std::stable_sort(sources.begin(), sources.end(), [](const Disk* a, const Disk* b) { return a->held > b->held; });
    if (sources.size() > 16) sources.resize(16);
    if (sources.empty()) continue;
    for (const Disk* source : sources) request.sources.push_back({source->ref.disk, source->address});
    disk.fetch_retry_at = Instant();
    disk.fetch_token = next_token++;
    ++copying;
    out->fetches.push_back({disk.fetch_token, disk.ref, std::move(request)});
  }
  if (ready + copying < old.ack_quorum) {
    const std::string text = "log " + std::to_string(options.log.value()) + " epoch " +
                             std::to_string(old.epoch.value()) + " up to LSN " + std::to_string(end->value()) +
                             " must be on " + std::to_string(old.ack_quorum) + " disks and is on " +
                             std::to_string(ready) + "; more disks are needed to copy it to: " + Names(silent);
    Wait(text, std::move(silent), out);
  }
  return false;
}

// Members stand first: they stay where zones allow it.
std::vector<ReplicaRef> Takeover::Impl::NextDisks(const std::function<bool(const Disk&)>& counts) const {
  std::vector<PlacementDisk> candidates;
  for (const Disk& disk : disks) {
    if ((disk.member || disk.candidate) && counts(disk)) candidates.push_back({disk.ref, disk.zone, disk.draining});
  }
  return PlaceReplicas(candidates, static_cast<size_t>(current.chain.replicas_target));
}

// What the next epoch would have if every disk answered that has not failed.
std::vector<ReplicaRef> Takeover::Impl::HopedFor() const {
  return NextDisks([](const Disk& disk) { return !disk.gone && disk.word != Word::kFailed; });
}

void Takeover::Impl::Settle(Instant now, TakeoverEffects* out) {
  if (phase != Phase::kSettling || now < cas_retry_at) return;
  if (old_open && (!Covered(out) || !CopiedToQuorum(now, out))) return;
  std::vector<ReplicaRef> next = NextDisks([](const Disk& disk) { return disk.trusted(); });
  if (static_cast<int>(next.size()) < current.chain.ack_quorum) {
    std::vector<ReplicaRef> silent;
    for (const Disk& disk : disks) {
      if (!disk.trusted() && !disk.gone) silent.push_back(disk.ref);
    }
    const std::string text = "log " + std::to_string(options.log.value()) + " needs " +
                             std::to_string(current.chain.ack_quorum) + " live disks for its next epoch and has " +
                             std::to_string(next.size()) + "; not answering: " + Names(silent);
    return Wait(text, std::move(silent), out);
  }
  if (next != HopedFor()) {
    if (gather_until == Instant::Never()) gather_until = now + options.gather_ms * kNsPerMs;
    if (now < gather_until) return;
  }
  Propose(std::move(next), now, out);
}

// Step 5.
void Takeover::Impl::Propose(std::vector<ReplicaRef> next_disks, Instant now, TakeoverEffects* out) {
  Chain base = current.chain;
  if (old_open) {
    EpochEntry& closing = base.epochs.back();
    for (const Disk& disk : disks) {  // who copied it is one of its disks from now on
      if (!disk.member && *end >= old.first_lsn && disk.trusted() && disk.held >= *end) {
        closing.disks.push_back(disk.ref);
      }
    }
  }
  EpochEntry next;
  next.epoch = old.epoch + 1;
  next.attempt = options.attempt;
  next.owner = options.owner;
  next.first_lsn = *end + 1;
  if (lossy && !MutantOn(Mutant::kLossWithoutGap)) {
    Lsn existed = std::max(*end, known_commit);
    for (const CheckpointEntry& checkpoint : base.checkpoints) existed = std::max(existed, checkpoint.lsn);
    next.first_lsn = existed + kLossGap;
  }
  next.disks = std::move(next_disks);
  next.ack_quorum = current.chain.ack_quorum;
  Chain desired = CloseAndOpen(base, *end, std::move(next));
  const Status valid = ValidateChain(desired);
  if (!valid.ok()) return Finish(StatusCode::kInvalidArgument, valid.message(), out);
  phase = Phase::kCas;
  gather_until = Instant::Never();
  cas_retry_at = Instant();
  if (MutantOn(Mutant::kAckBeforeCas)) {
    out->chain_ops.push_back({1u << 30, ChainOp::Kind::kCas, current.version, desired});
    return FinishOk({current.version, desired}, *desired.FindAttempt(options.attempt), false, out);
  }
  chain.Propose(current, std::move(desired), options.attempt, now, &out->chain_ops);
}

}  // namespace understudy

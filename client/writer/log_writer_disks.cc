// How an epoch keeps the disks that its log wants: when it opened with fewer, when one of them was lost, is draining or
// retired, or shares a zone though others do not, and better ones are alive, the writer Moves to a next epoch with
// them. Appends go on meanwhile. Nothing begins while the metadata cannot be reached: the list of disks comes from
// there.
#include <algorithm>
#include <memory>
#include <utility>

#include "client/writer/log_writer_impl.h"
#include "log/env/logging.h"
#include "log/env/random.h"

namespace understudy {
namespace {

constexpr size_t kDisksMax = 10'000;
constexpr int64_t kLookNs = kNsPerSecond;      // between two looks at our own replicas; costs nothing
constexpr int64_t kListNs = 4 * kNsPerSecond;  // between two looks at the list, when no replica is missing
constexpr int64_t kMoveDeadlineNs = 5 * kNsPerSecond;
// After a Move; doubled while Moves follow each other within the longest. A disk that comes and goes costs a Move a
// minute at most.
constexpr int64_t kMovePauseNsMin = 5 * kNsPerSecond;
constexpr int64_t kMovePauseNsMax = 60 * kNsPerSecond;

// Many writers must not all ask at once.
int64_t WithJitter(int64_t ns) {
  return ns + static_cast<int64_t>(SystemRandom()->Below(static_cast<uint64_t>(ns) / 4));
}

PlacementDisk Placement(const CandidateDisk& candidate) { return {candidate.disk, candidate.zone, candidate.draining}; }

}  // namespace

void LogWriter::Impl::LookAtDisksLater() {
  if (looking || !open) return;
  looking = true;
  runtime->loop()->At(runtime->Now() + WithJitter(kLookNs), [this] {
    looking = false;
    LookAtDisks();
  });
}

std::vector<CurrentReplica> LogWriter::Impl::Current(Instant now) const {
  std::vector<CurrentReplica> current;
  for (const Writer::ReplicaView& view : writer->Replicas()) {
    CurrentReplica& replica = current.emplace_back();
    replica.disk.disk = view.disk;
    replica.lost = view.dropped || now - view.well_at >= options.replace_after_ms * kNsPerMs;
    const auto listed = disks.find(view.disk.disk);
    if (listed != disks.end()) {
      replica.disk.zone = listed->second.zone;
      replica.disk.draining = listed->second.state == DiskState::kDraining;
      replica.lost |= listed->second.state == DiskState::kRetired;
    }
  }
  return current;
}

void LogWriter::Impl::LookAtDisks() {
  if (!open) return;
  LookAtDisksLater();
  CountKept();
  const Instant now = runtime->Now();
  if (listing || probe || moving || handover_done || !writer->accepting() || writer->frozen()) return;
  if (now < move_not_before) return;
  const std::vector<CurrentReplica> current = Current(now);
  const auto well = std::count_if(current.begin(), current.end(), [](const auto& replica) { return !replica.lost; });
  if (well >= replicas_target && now < list_at) return;
  list_at = now + WithJitter(kListNs);
  listing = true;
  cluster->List(DiskKey(cluster->name(), ""), kDisksMax,
                [this, generation = this->generation](Result<std::vector<MetadataEntry>> listed) {
                  listing = false;
                  if (listed.ok() && open && generation == this->generation) LookAtList(*listed);
                });
}

// The log's own numbers may have been changed, too; then is there anything better, if all that are listed live?
void LogWriter::Impl::LookAtList(const std::vector<MetadataEntry>& listed) {
  disks.clear();
  std::vector<PlacementDisk> others;
  for (const MetadataEntry& item : listed) {
    const Result<DiskEntry> disk = DecodeDiskEntry(item.value);
    if (!disk.ok()) continue;
    disks[disk->disk] = *disk;
    if (disk->state == DiskState::kRetired || shunned.contains(disk->disk)) continue;
    others.push_back({{disk->disk, disk->node}, disk->zone, disk->state == DiskState::kDraining});
  }
  listing = true;
  chains->Read([this, others, generation = this->generation](Result<VersionedChain> chain) {
    listing = false;
    if (!chain.ok() || !open || generation != this->generation) return;
    replicas_target = chain->chain.replicas_target;
    ack_quorum_target = chain->chain.ack_quorum;
    UseQuota(chain->chain.quota_bytes);
    const std::vector<CurrentReplica> current = Current(runtime->Now());
    std::vector<PlacementDisk> takeable = others;
    std::erase_if(takeable, [&](const PlacementDisk& disk) {  // one that is silent is not its own replacement
      return std::any_of(current.begin(), current.end(),
                         [&](const CurrentReplica& replica) { return replica.disk.disk.disk == disk.disk.disk; });
    });
    const std::vector<Writer::ReplicaView> views = writer->Replicas();
    const bool dropped = std::any_of(views.begin(), views.end(), [](const auto& view) { return view.dropped; });
    const bool better =
        BetterDisks(current, takeable, static_cast<size_t>(replicas_target), static_cast<size_t>(ack_quorum_target))
            .has_value();
    if (!better && !dropped) return;
    Probe([this](const auto& alive, const auto& listed) { MoveTo(alive, listed, {}); });
  });
}

void LogWriter::Impl::Probe(ProbedCallback then) {
  probe = std::make_unique<DiskProbe>(
      cluster, chains->log(), [this, then = std::move(then)](const std::vector<CandidateDisk>& alive, bool complete) {
        if (!complete) return;
        runtime->loop()->Post([this, alive, then, generation = this->generation] {
          if (generation != this->generation || !probe) return;
          const std::vector<CandidateDisk> listed = probe->listed();
          probe.reset();
          then(alive, listed);
        });
      });
}

// To the best of what is alive; with `wanted`, to those of them that are, if that is no step back.
void LogWriter::Impl::MoveTo(const std::vector<CandidateDisk>& alive, const std::vector<CandidateDisk>& listed,
                             const std::vector<DiskId>& wanted) {
  if (!open || moving || handover_done || !writer->accepting()) {
    return MoveEnded({StatusCode::kFailedPrecondition, "not the writer, or moving already"});
  }
  std::vector<CurrentReplica> current = Current(runtime->Now());
  for (const CandidateDisk& known : listed) {  // what Current() has is older, or nothing yet
    for (CurrentReplica& replica : current) {
      if (replica.disk.disk.disk == known.disk.disk) replica.disk = Placement(known);
    }
  }
  const std::vector<Writer::ReplicaView> views = writer->Replicas();
  std::vector<PlacementDisk> others;
  for (const CandidateDisk& candidate : alive) {
    // Of its own replicas only a dropped one can be taken afresh: one that is merely silent would be silent again.
    const auto own = std::find_if(views.begin(), views.end(),
                                  [&](const auto& view) { return view.disk.disk == candidate.disk.disk; });
    if ((own == views.end() || own->dropped) && !shunned.contains(candidate.disk.disk)) {
      others.push_back(Placement(candidate));
    }
  }
  const auto target = static_cast<size_t>(replicas_target);
  std::optional<std::vector<ReplicaRef>> next =
      BetterDisks(current, others, target, static_cast<size_t>(ack_quorum_target));
  if (!wanted.empty()) {
    std::vector<PlacementDisk> candidates;
    for (const CurrentReplica& replica : current) {
      if (!replica.lost) candidates.push_back(replica.disk);
    }
    candidates.insert(candidates.end(), others.begin(), others.end());
    std::stable_partition(candidates.begin(), candidates.end(), [&](const PlacementDisk& disk) {
      return std::find(wanted.begin(), wanted.end(), disk.disk.disk) != wanted.end();
    });
    next = PlaceReplicas(candidates, target);
  }
  const auto in_epoch = [&](const ReplicaRef& disk) {
    return std::any_of(views.begin(), views.end(),
                       [&](const auto& view) { return !view.dropped && view.disk.disk == disk.disk; });
  };
  if (!next || next->size() < static_cast<size_t>(ack_quorum_target) ||
      (next->size() == views.size() && std::all_of(next->begin(), next->end(), in_epoch))) {
    return MoveEnded(Status::Ok());  // it is where it should be, as far as can be
  }
  WriterMove move;
  move.disks = *std::move(next);
  move.owner = entry.owner;
  move.attempt = SystemRandom()->NewAttemptId();
  move.ack_quorum = ack_quorum_target;
  move.deadline = runtime->Now() + kMoveDeadlineNs;
  moving = true;
  Step(std::move(move));
}

void LogWriter::Impl::MoveEnded(const Status& status) {
  if (!status.ok()) {
    move_not_before = runtime->Now() + kMovePauseNsMin;
    LogWarning("writer", "log " + std::to_string(chains->log().value()) + " stays on its disks: " + status.ToString());
  }
  if (moved_done) std::exchange(moved_done, nullptr)(status);
}

void LogWriter::Impl::Moved(const EpochEntry& next) {
  entry = next;
  const Instant now = runtime->Now();
  const bool again = move_pause_ns != 0 && now - moved_at < kMovePauseNsMax;
  move_pause_ns = again ? std::min(2 * move_pause_ns, kMovePauseNsMax) : kMovePauseNsMin;
  moved_at = now;
  move_not_before = now + move_pause_ns;
  LogInfo("writer", "log " + std::to_string(chains->log().value()) + " goes on in epoch " +
                        std::to_string(next.epoch.value()) + " with " + std::to_string(next.disks.size()) + " disks");
  if (events.moved) events.moved(next);
}

void LogWriter::MoveDisks(const std::vector<DiskId>& wanted, std::function<void(Status)> done) {
  Impl& impl = *impl_;
  if (!impl.open || impl.moving || impl.probe || impl.moved_done || impl.handover_done || !impl.writer->accepting()) {
    return done(Status(StatusCode::kFailedPrecondition, "not the writer, or moving already"));
  }
  impl.moved_done = std::move(done);
  impl.Probe([&impl, wanted](const auto& alive, const auto& listed) { impl.MoveTo(alive, listed, wanted); });
}

}  // namespace understudy

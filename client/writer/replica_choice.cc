#include "client/writer/replica_choice.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace understudy {
namespace {

auto Score(std::span<const PlacementDisk> disks, size_t target) {
  const auto size = static_cast<int64_t>(disks.size());
  const auto wanted = static_cast<int64_t>(target);
  return std::pair(size < wanted ? wanted - size : size - wanted, PlacementFaults(disks));
}

}  // namespace

std::optional<std::vector<ReplicaRef>> BetterDisks(std::span<const CurrentReplica> current,
                                                   std::span<const PlacementDisk> others, size_t target,
                                                   size_t ack_quorum) {
  std::vector<PlacementDisk> kept;
  for (const CurrentReplica& replica : current) {
    if (!replica.lost) kept.push_back(replica.disk);
  }
  std::vector<PlacementDisk> candidates = kept;
  for (const PlacementDisk& other : others) {
    const bool listed = std::any_of(candidates.begin(), candidates.end(),
                                    [&](const PlacementDisk& one) { return one.disk.disk == other.disk.disk; });
    if (!listed) candidates.push_back(other);
  }
  std::vector<ReplicaRef> next = PlaceReplicas(candidates, target);
  if (next.size() < ack_quorum) return std::nullopt;
  std::vector<PlacementDisk> chosen;
  for (const ReplicaRef& disk : next) {
    chosen.push_back(*std::find_if(candidates.begin(), candidates.end(),
                                   [&](const PlacementDisk& one) { return one.disk.disk == disk.disk; }));
  }
  if (Score(chosen, target) >= Score(kept, target)) return std::nullopt;
  return next;
}

}  // namespace understudy

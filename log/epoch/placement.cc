#include "log/epoch/placement.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace understudy {

std::vector<ReplicaRef> PlaceReplicas(std::span<const PlacementDisk> candidates, size_t count) {
  std::vector<ReplicaRef> chosen;
  std::map<std::string, int> in_zone;
  std::map<std::string, int> on_node;
  const auto zone_of = [](const PlacementDisk& disk) {
    return disk.zone.empty() ? "node " + disk.disk.node : "zone " + disk.zone;
  };
  const auto cost = [&](const PlacementDisk& disk) {
    return std::tuple(disk.draining, in_zone[zone_of(disk)], on_node[disk.disk.node]);
  };
  while (chosen.size() < count) {
    const PlacementDisk* best = nullptr;
    for (const PlacementDisk& disk : candidates) {
      const bool taken = std::any_of(chosen.begin(), chosen.end(),
                                     [&](const ReplicaRef& other) { return other.disk == disk.disk.disk; });
      if (!taken && (best == nullptr || cost(disk) < cost(*best))) best = &disk;
    }
    if (best == nullptr) break;
    ++in_zone[zone_of(*best)];
    ++on_node[best->disk.node];
    chosen.push_back(best->disk);
  }
  return chosen;
}

}  // namespace understudy

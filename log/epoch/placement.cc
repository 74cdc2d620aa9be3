#include "log/epoch/placement.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "log/epoch/mutant.h"

namespace understudy {
namespace {

std::string ZoneOf(const PlacementDisk& disk) {
  return disk.zone.empty() || MutantOn(Mutant::kIgnoreZones) ? "node " + disk.disk.node : "zone " + disk.zone;
}

}  // namespace

std::vector<ReplicaRef> PlaceReplicas(std::span<const PlacementDisk> candidates, size_t count) {
  std::vector<ReplicaRef> chosen;
  std::map<std::string, int> in_zone;
  std::map<std::string, int> on_node;
  const auto cost = [&](const PlacementDisk& disk) {
    return std::tuple(disk.draining, in_zone[ZoneOf(disk)], on_node[disk.disk.node]);
  };
  while (chosen.size() < count) {
    const PlacementDisk* best = nullptr;
    for (const PlacementDisk& disk : candidates) {
      const bool taken = std::any_of(chosen.begin(), chosen.end(),
                                     [&](const ReplicaRef& other) { return other.disk == disk.disk.disk; });
      if (!taken && (best == nullptr || cost(disk) < cost(*best))) best = &disk;
    }
    if (best == nullptr) break;
    ++in_zone[ZoneOf(*best)];
    ++on_node[best->disk.node];
    chosen.push_back(best->disk);
  }
  return chosen;
}

std::array<int, 3> PlacementFaults(std::span<const PlacementDisk> disks) {
  std::set<std::string> zones;
  std::set<std::string> nodes;
  int draining = 0;
  for (const PlacementDisk& disk : disks) {
    draining += disk.draining;
    zones.insert(ZoneOf(disk));
    nodes.insert(disk.disk.node);
  }
  const int count = static_cast<int>(disks.size());
  return {draining, count - static_cast<int>(zones.size()), count - static_cast<int>(nodes.size())};
}

}  // namespace understudy

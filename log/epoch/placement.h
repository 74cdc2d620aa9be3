// Which disks an epoch goes to. Pure; used by takeovers, by writers that change replicas, and by repair.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "log/format/chain.h"

namespace understudy {

struct PlacementDisk {
  ReplicaRef disk;
  std::string zone;       // what fails together; empty: the node alone
  bool draining = false;  // only when there is nothing else
};

// Up to `count` of `candidates`, best first. Of two, the one that is not draining is better, then the one in the zone
// that holds fewer of those already chosen, then the one on the node that does, then the one that stands first. So no
// two are in one zone when there are enough zones; who is to be kept stands first. Disks listed twice count once.
std::vector<ReplicaRef> PlaceReplicas(std::span<const PlacementDisk> candidates, size_t count);

// What placement would rather not have of these disks: how many are draining, share a zone with another, share a node.
// Less, compared in this order, is better.
std::array<int, 3> PlacementFaults(std::span<const PlacementDisk> disks);

}  // namespace understudy

// Whether an open epoch should go on on other disks, and on which. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "log/epoch/placement.h"

namespace understudy {

struct CurrentReplica {
  PlacementDisk disk;
  bool lost = false;  // dropped, silent for too long, or retired
};

// `others`: disks that could be taken besides, best first. Nullopt: stay, since nothing would be strictly better: more
// of the disks that are wanted, fewer draining ones, fewer that share a zone. So a replica that is lost is kept for as
// long as there is nobody in its place, and equals never take turns.
std::optional<std::vector<ReplicaRef>> BetterDisks(std::span<const CurrentReplica> current,
                                                   std::span<const PlacementDisk> others, size_t target,
                                                   size_t ack_quorum);

}  // namespace understudy

// Which checkpoints a log keeps, and how far it may be trimmed: the edit of the chain that goes with listing a new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "log/format/chain.h"

namespace understudy {

inline constexpr size_t kCheckpointsRetained = 2;

// Drops pins that have expired and checkpoints that are neither among the newest kCheckpointsRetained nor pinned (moved
// to `removed`), raises the trim LSN to what the rest allows, and lets epochs wholly below it leave the chain.
void RetainNewest(Chain* chain, int64_t now_unix_ms, std::vector<CheckpointEntry>* removed);

}  // namespace understudy

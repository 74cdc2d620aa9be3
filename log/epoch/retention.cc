#include "log/epoch/retention.h"

#include <algorithm>
#include <utility>

#include "log/epoch/mutant.h"

namespace understudy {

void RetainNewest(Chain* chain, int64_t now_unix_ms, std::vector<CheckpointEntry>* removed) {
  std::erase_if(chain->pins, [&](const Pin& pin) { return pin.expires_unix_ms < now_unix_ms; });
  size_t surplus =
      chain->checkpoints.size() > kCheckpointsRetained ? chain->checkpoints.size() - kCheckpointsRetained : 0;
  std::vector<CheckpointEntry> kept;
  for (CheckpointEntry& entry : chain->checkpoints) {
    const bool pinned = std::any_of(chain->pins.begin(), chain->pins.end(),
                                    [&](const Pin& pin) { return pin.checkpoint_id == entry.id; });
    if (surplus > 0 && !pinned) {
      removed->push_back(std::move(entry));
      --surplus;
    } else {
      kept.push_back(std::move(entry));
    }
  }
  chain->checkpoints = std::move(kept);
  // One checkpoint alone keeps the whole log: should it be unreadable, replay from the start is left.
  if (chain->checkpoints.size() >= kCheckpointsRetained) {
    const Lsn bound = MutantOn(Mutant::kTrimPastCheckpoint) ? chain->checkpoints.back().lsn : chain->TrimBound();
    chain->trim_lsn = std::max(chain->trim_lsn, bound);
  }
  while (chain->epochs.size() > 1 && chain->epochs.front().closed() &&
         *chain->epochs.front().last_lsn <= chain->trim_lsn) {
    chain->epochs.erase(chain->epochs.begin());
  }
}

}  // namespace understudy

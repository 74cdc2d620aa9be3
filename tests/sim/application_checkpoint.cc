// Checkpoints of a simulated primary, in the order of client/replay: an id by a compare-and-swap of its own, A copies
// durable, the commit there, listed; then what it makes superfluous is trimmed and deleted.
#include <algorithm>
#include <utility>

#include "log/epoch/retention.h"
#include "tests/sim/application.h"

namespace understudy::sim {

// Read, change, compare-and-swap, and again after a conflict or any doubt: only for changes that may be repeated.
void Application::EditChain(std::function<bool(Chain*)> change, std::function<void(bool)> done, int tries) {
  const auto again = [this, change, done, tries] {
    if (tries == 0) return done(false);
    Later(10 * kNsPerMs, [this, change, done, tries] { EditChain(change, done, tries - 1); });
  };
  ChainOp read;
  read.token = 1;
  PerformChainOp(
      read,
      [this, change, done, again, life = life_](ChainReadDone current) {
        if (life != life_) return;
        if (!current.status.ok()) return again();
        ChainOp cas{2, ChainOp::Kind::kCas, current.value.version, current.value.chain};
        if (!change(&cas.chain)) return done(false);
        PerformChainOp(
            cas, [](ChainReadDone) {},
            [this, done, again, life](ChainCasDone result) {
              if (life != life_) return;
              if (!result.status.ok()) return again();
              done(true);
            });
      },
      [](ChainCasDone) {});
}

void Application::SaveCheckpoint() {
  if (!serving() || saving_ || next_ == Lsn(1)) return;
  saving_ = true;
  auto id = std::make_shared<uint64_t>(0);
  EditChain(
      [this, id](Chain* chain) {
        if (!serving() || !Owns(*chain)) return false;
        *id = chain->next_checkpoint_id++;
        return true;
      },
      [this, id](bool done) {
        if (done && serving()) return StoreCheckpoint(*id);
        saving_ = false;
        around_.coverage->Hit(Reached::checkpoint_abandoned);
      });
}

void Application::StoreCheckpoint(uint64_t id) {
  const SimCheckpoint checkpoint{next_ - 1, state_};  // a snapshot between two records
  auto copies = std::make_shared<std::vector<DiskId>>();
  auto left = std::make_shared<size_t>(writer_->disks().size());
  for (const ReplicaRef& replica : writer_->disks()) {
    CheckpointRequest request;
    request.log = log_;
    request.disk = replica.disk;
    request.id = id;
    request.checkpoint = checkpoint;
    Disk* disk = around_.find(replica.disk);
    Ask<CheckpointResponse>(
        around_.world, node_, disk->node(), disk, request,
        [this, id, checkpoint, copies, left, disk = replica.disk, life = life_](CheckpointResponse response) {
          if (life != life_) return;
          around_.coverage->Answered(Asked::checkpoint, response.code);
          if (response.code == StatusCode::kOk) copies->push_back(disk);
          if (--*left > 0) return;
          ListCheckpoint(id, checkpoint, *copies);
        });
  }
}

void Application::ListCheckpoint(uint64_t id, SimCheckpoint checkpoint, std::vector<DiskId> disks) {
  const size_t quorum = static_cast<size_t>(around_.metadata->value(log_).chain.ack_quorum);
  if (!serving() || disks.size() < quorum || writer_->commit() < checkpoint.lsn) {
    saving_ = false;
    return around_.coverage->Hit(Reached::checkpoint_abandoned);
  }
  auto removed = std::make_shared<std::vector<CheckpointEntry>>();
  auto trim = std::make_shared<Lsn>();
  EditChain(
      [this, id, checkpoint, disks, removed, trim](Chain* chain) {
        removed->clear();
        const bool listed = std::any_of(chain->checkpoints.begin(), chain->checkpoints.end(),
                                        [&](const CheckpointEntry& entry) { return entry.id == id; });
        if (listed || !serving() || !Owns(*chain)) return false;
        if (!chain->checkpoints.empty() &&
            (chain->checkpoints.back().lsn > checkpoint.lsn || chain->checkpoints.back().id > id)) {
          return false;
        }
        chain->checkpoints.push_back({id, checkpoint.lsn, 8, disks});
        RetainNewest(chain, WallMs(), removed.get());
        *trim = chain->trim_lsn;
        return true;
      },
      [this, id, removed, trim](bool done) {
        saving_ = false;
        if (done) newest_checkpoint_ = id;
        around_.coverage->Hit(done ? Reached::checkpoint_listed : Reached::checkpoint_abandoned);
        if (!done) return;
        if (*trim > Lsn(0)) {
          for (Disk* disk : around_.registry()) {
            Ask<TrimResponse>(around_.world, node_, disk->node(), disk, TrimRequest{log_, disk->id(), *trim},
                              [](TrimResponse) {});
          }
        }
        for (const CheckpointEntry& entry : *removed) {
          around_.coverage->Hit(Reached::checkpoint_removed);
          for (const DiskId& id : entry.disks) {
            CheckpointRequest request;
            request.kind = CheckpointRequest::Kind::kDelete;
            request.log = log_;
            request.disk = id;
            request.id = entry.id;
            Disk* disk = around_.find(id);
            Ask<CheckpointResponse>(around_.world, node_, disk->node(), disk, request, [](CheckpointResponse) {});
          }
        }
      });
}

}  // namespace understudy::sim

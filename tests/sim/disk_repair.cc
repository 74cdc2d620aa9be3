// The repair of closed epochs and checkpoints on a simulated log server: the real Repairer, its looks and its copies.
#include <utility>

#include "tests/sim/disk.h"

namespace understudy::sim {
namespace {
constexpr int64_t kLookNs = 20 * kNsPerMs;
}

// The bounds are those of a cluster, a thousand times shorter.
void Disk::StartRepairer() {
  if (media_.retired) return;
  RepairerOptions options;
  options.disk = ref();
  options.repair_after_ms = 90;
  options.gone_after_ms = 15;
  options.complete_after_ms = 25;
  options.turn_ms = 20;
  options.ask_ms = 10;
  options.retry_ms = 10;
  options.retry_ms_max = 80;
  options.own_tail = [this](LogId log, Epoch epoch) { return replica_->DurableTail(log, epoch); };
  repairer_ = std::make_unique<Repairer>(options);
  Look();
}

void Disk::Look() {
  metadata_->Look(node_, [this, life = life_](std::vector<VersionedChain> chains, std::vector<DiskEntry> disks) {
    if (life == life_ && repairer_ != nullptr) Repair(RepairLook{std::move(chains), std::move(disks)});
  });
  Later(kLookNs, [this] {
    if (repairer_ != nullptr) Look();
  });
}

void Disk::Repair(const RepairerInput& input) {
  RepairerEffects effects;
  repairer_->Step(input, world_->Local(node_), &effects);
  repair_timer_.Set(effects.wake_at);
  Perform(effects);
}

void Disk::Perform(RepairerEffects& effects) {
  const auto alive = [this, life = life_] { return life == life_ && repairer_ != nullptr; };
  for (const AskDisk& ask : effects.asks) {
    Disk* other = find_(ask.disk);
    ReplicaStatusRequest request{LogId(1), ask.disk};
    Ask<ReplicaStatusResponse>(world_, node_, other->node(), other, request,
                               [this, alive, token = ask.token](ReplicaStatusResponse response) {
                                 if (!alive()) return;
                                 // A log never heard of is an answer of a disk that lives.
                                 const bool lives = response.code == StatusCode::kNotFound;
                                 Repair(RepairDiskAnswered{token, lives ? StatusCode::kOk : response.code});
                               });
  }
  for (const AskHeld& ask : effects.held) {
    coverage_->Hit(Reached::repair_asks_held);
    Disk* other = find_(ask.request.disk);
    Ask<SealResponse>(world_, node_, other->node(), other, ask.request,
                      [this, alive, token = ask.token](SealResponse response) {
                        if (alive()) Repair(RepairHeldAnswered{token, std::move(response)});
                      });
  }
  for (const RepairFetch& fetch : effects.fetches) {
    coverage_->Hit(Reached::repair_fetches);
    Later(0, [this, fetch] {
      ReplicaFetch input;
      input.token = next_token_++;
      input.request = fetch.request;
      input.background = true;
      own_fetches_[input.token] = fetch.token;
      Step(std::move(input));
    });
  }
  for (const CopyCheckpoint& copy : effects.copies) {
    coverage_->Hit(Reached::repair_copies_checkpoint);
    CopyCheckpointFrom(copy, 0, 0);
  }
  for (const RepairChainOp& op : effects.chain_ops) {
    metadata_->Perform(
        node_, op.log, op.op,
        [this, alive](ChainReadDone done) {
          if (alive()) Repair(std::move(done));
        },
        [this, alive](ChainCasDone done) {
          if (alive()) Repair(std::move(done));
        });
  }
  for (const RepairEvent& event : effects.events) {
    world_->Note(node_, [&] { return event.text; });
    if (event.alarm) {
      oracle_->OnLostAlarm(event.log, event.epoch, event.checkpoint, name() + ": " + event.text);
      continue;
    }
    coverage_->Hit(event.checkpoint == 0 ? Reached::repaired_epoch : Reached::repaired_checkpoint);
  }
}

void Disk::CopyCheckpointFrom(const CopyCheckpoint& copy, size_t source, size_t denials) {
  const auto done = [this, token = copy.token](Status status) {
    Later(0, [this, token, status] {
      if (repairer_ != nullptr) Repair(RepairCheckpointCopied{token, status});
    });
  };
  if (media_.checkpoints.contains({copy.log, copy.id})) return done(Status::Ok());
  if (source == copy.sources.size()) {
    return done({denials == source ? StatusCode::kNotFound : StatusCode::kUnavailable, "no source gave it"});
  }
  Disk* from = find_(copy.sources[source].disk);
  CheckpointRequest request;
  request.kind = CheckpointRequest::Kind::kRead;
  request.log = copy.log;
  request.disk = copy.sources[source].disk;
  request.id = copy.id;
  Ask<CheckpointResponse>(world_, node_, from->node(), from, request,
                          [this, copy, source, denials, done, life = life_](CheckpointResponse response) {
                            if (life != life_ || !up()) return;
                            if (response.code != StatusCode::kOk) {
                              const bool denied = response.code == StatusCode::kNotFound ||
                                                  response.code == StatusCode::kDataUnknown ||
                                                  response.code == StatusCode::kWrongDisk;
                              return CopyCheckpointFrom(copy, source + 1, denials + denied);
                            }
                            Later(speed_.sync_us_max * 1000 * slow_, [this, copy, done, saved = response.checkpoint] {
                              media_.checkpoints[{copy.log, copy.id}] = saved;
                              done(Status::Ok());
                            });
                          });
}

}  // namespace understudy::sim

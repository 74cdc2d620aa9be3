#include <algorithm>
#include <utility>

#include "log/epoch/testing/describe.h"
#include "log/epoch/testing/sim_cluster.h"
#include "understudy/check.h"

namespace understudy::testing {

SimProgram::SimProgram(SimCluster* cluster, std::string name) : cluster_(cluster), name_(std::move(name)) {
  writer_options.heartbeat_ms = 60'000;  // conversations without small talk; tests that want heartbeats set it
  writer_options.self_fence_ms = 240'000;
  const auto timer = [this](Instant* wake, auto core, auto tick) {
    cluster_->network.AddTimer([wake, core] { return *core == nullptr ? Instant::Never() : *wake; }, tick);
  };
  timer(&takeover_wake_, &takeover_, [this] { Step(TakeoverInput(Tick{})); });
  timer(&writer_wake_, &writer_, [this] { Step(WriterInput(Tick{})); });
  timer(&follower_wake_, &follower_, [this] { Step(FollowerInput(Tick{})); });
}

void SimProgram::Crash() {
  ++life_;
  takeover_.reset();
  writer_.reset();
  follower_.reset();
  unacked_.clear();
  mirror_to_ = nullptr;
}

// ---- takeover ----

void SimProgram::TakeOver(Epoch expected_epoch, std::optional<AttemptId> attempt) {
  result_.reset();
  TakeoverOptions options;
  options.log = kLog;
  options.attempt = attempt.value_or(cluster_->DrawAttempt());
  options.owner = {name_, ""};
  options.expected_epoch = expected_epoch;
  takeover_ = std::make_unique<Takeover>(options);
  Step(TakeoverInput(TakeoverStart{cluster_->Candidates()}));
}

void SimProgram::AcceptLoss() {
  if (takeover_ != nullptr) Step(TakeoverInput(TakeoverAcceptLoss{}));
}

void SimProgram::Step(const TakeoverInput& input) {
  TakeoverEffects effects;
  takeover_->Step(input, cluster_->network.now(), &effects);
  takeover_wake_ = effects.wake_at;
  Perform(effects);
}

void SimProgram::Perform(TakeoverEffects& effects) {
  const auto alive = [this, life = life_, core = takeover_.get()] { return life == life_ && takeover_.get() == core; };
  for (const SendSeal& send : effects.seals) {
    cluster_->Find(send.disk.disk)->Call(name_, send.request, [this, alive, token = send.token](SealResponse response) {
      if (alive() && token != 0) Step(TakeoverInput(SealAnswered{token, std::move(response)}));
    });
  }
  for (const SendFetch& send : effects.fetches) {
    cluster_->Find(send.disk.disk)
        ->Call(name_, send.request, [this, alive, token = send.token](FetchResponse response) {
          if (alive()) Step(TakeoverInput(FetchAnswered{token, std::move(response)}));
        });
  }
  for (const ChainOp& op : effects.chain_ops) {
    cluster_->metadata.Perform(
        name_, op,
        [this, alive](ChainReadDone done) {
          if (alive()) Step(TakeoverInput(std::move(done)));
        },
        [this, alive](ChainCasDone done) {
          if (alive()) Step(TakeoverInput(std::move(done)));
        });
  }
  if (effects.waiting.has_value()) cluster_->network.Note(name_, "waits: " + effects.waiting->text);
  if (!effects.result.has_value()) return;
  result_ = std::move(effects.result);
  takeover_.reset();
  if (!result_->status.ok()) {
    return cluster_->network.Note(name_, "takeover ends: " + result_->status.ToString());
  }
  cluster_->network.Note(name_, std::string(result_->adopted ? "adopts " : "owns ") + Describe(result_->epoch));
  StartWriter(result_->epoch);
  if (follower_ != nullptr) Step(FollowerInput(FollowerChain{result_->chain}));
}

void SimProgram::StopFollowing() {
  if (follower_ == nullptr || writer_ == nullptr || !result_ || follower_->next() <= result_->last_lsn) return;
  cluster_->network.Note(name_,
                         "has applied everything up to " + std::to_string(result_->last_lsn.value()) + ": serves");
  follower_.reset();
}

// ---- writer ----

void SimProgram::StartWriter(const EpochEntry& entry) {
  unacked_.clear();
  barrier_deposed_.clear();
  last_commit_ = entry.first_lsn - 1;
  writer_ = std::make_unique<Writer>(writer_options, kLog, entry, cluster_->network.now());
  Step(WriterInput(Tick{}));
}

bool SimProgram::Append(int count) {
  if (writer_ == nullptr || !writer_->accepting()) return false;
  BatchBuilder batch;
  Lsn lsn = writer_->next_lsn();
  for (int i = 0; i < count; ++i, lsn = lsn + 1) {
    const std::string payload = name_ + "#" + std::to_string(++appended_);
    batch.Add(payload, 0);
    unacked_[lsn] = payload;
  }
  auto bytes = std::make_shared<const std::string>(batch.Finish(kLog, writer_->epoch(), writer_->next_lsn()));
  Step(WriterInput(WriterAppend{std::move(bytes)}));
  return true;
}

void SimProgram::Barrier() {
  const EpochEntry* last = cluster_->metadata.value.chain.last();
  barrier_deposed_[next_barrier_] = last == nullptr || last->owner.node != name_;
  Step(WriterInput(WriterBarrier{next_barrier_++}));
}
void SimProgram::Move(WriterMove move) { Step(WriterInput(std::move(move))); }
AttemptId SimProgram::DrawAttempt() { return cluster_->DrawAttempt(); }

void SimProgram::MirrorTo(SimProgram* spare) {
  mirror_to_ = spare;
  Step(WriterInput(WriterMirror{spare != nullptr}));
}

void SimProgram::Step(const WriterInput& input) {
  WriterEffects effects;
  writer_->Step(input, cluster_->network.now(), &effects);
  writer_wake_ = effects.wake_at;
  Perform(effects);
}

void SimProgram::Perform(WriterEffects& effects) {
  SimNetwork& network = cluster_->network;
  const auto alive = [this, life = life_, core = writer_.get()] { return life == life_ && writer_.get() == core; };
  for (const SendAppend& send : effects.appends) {
    cluster_->Find(send.request.disk)
        ->Call(name_, send.request, [this, alive, tag = send.tag](AppendResponse response) {
          if (alive()) Step(WriterInput(AppendAnswered{tag, std::move(response)}));
        });
  }
  for (const SendBarrier& send : effects.barrier_sends) {
    cluster_->Find(send.request.disk)
        ->Call(name_, send.request, [this, alive, tag = send.tag](BarrierResponse response) {
          if (alive()) Step(WriterInput(BarrierAnswered{tag, std::move(response)}));
        });
  }
  for (const ChainOp& op : effects.chain_ops) {
    cluster_->metadata.Perform(
        name_, op,
        [this, alive](ChainReadDone done) {
          if (alive()) Step(WriterInput(std::move(done)));
        },
        [this, alive](ChainCasDone done) {
          if (alive()) Step(WriterInput(std::move(done)));
        });
  }
  for (const MirrorPush& push : effects.mirror) {
    if (mirror_to_ == nullptr) break;
    const auto lost = [this, alive] {
      if (alive()) Step(WriterInput(MirrorBroken{}));
    };
    network.Send(
        name_, mirror_to_->name_, Describe(push),
        [spare = mirror_to_, push] {
          if (spare->follower_ != nullptr) spare->Step(FollowerInput(FollowerMirror{push}));
        },
        lost);
  }
  for (const ReplicaDropped& dropped : effects.dropped) {
    network.Note(name_, "drops " + DiskName(dropped.disk.disk) + ": " + dropped.reason.ToString());
  }
  if (effects.commit.has_value()) {
    network.Note(name_, "commit " + std::to_string(effects.commit->value()));
    if (*effects.commit <= last_commit_) cluster_->Violated("the commit of " + name_ + " went back");
    last_commit_ = *effects.commit;
    // In a replica change the new epoch is in force already; what is acknowledged here belongs to the chain's word.
    while (!unacked_.empty() && unacked_.begin()->first <= *effects.commit) {
      cluster_->acked.push_back({unacked_.begin()->first, writer_->epoch(), unacked_.begin()->second, name_});
      unacked_.erase(unacked_.begin());
    }
  }
  for (const BarrierDone& done : effects.barriers) {
    last_barrier_ = std::string(StatusCodeName(done.code));
    network.Note(name_, "read barrier: " + last_barrier_);
    ++(done.code == StatusCode::kOk ? barriers_done_ : barriers_failed_);
    if (done.code == StatusCode::kOk && barrier_deposed_[done.token]) {
      cluster_->Violated("a read barrier of " + name_ + ", deposed when it was called, completed");
    }
    barrier_deposed_.erase(done.token);
  }
  if (effects.seal_without_owner.has_value()) network.Note(name_, *effects.seal_without_owner);
  if (effects.move.has_value()) {
    network.Note(name_, "move: " + (effects.move->status.ok() ? "done" : effects.move->status.ToString()));
  }
  if (effects.fenced.has_value()) {
    network.Note(name_, "is over: " + effects.fenced->reason.ToString() +
                            (unacked_.empty() ? "" : "; outcome unknown of " + std::to_string(unacked_.size())));
    unacked_.clear();
  }
}

// ---- follower ----

void SimProgram::Follow(Lsn from) {
  FollowerOptions options = follower_options;
  options.log = kLog;
  options.from = from;
  follower_ = std::make_unique<Follower>(options);
  applied_.clear();
  Step(FollowerInput(FollowerChain{cluster_->metadata.value}));
}

void SimProgram::Step(const FollowerInput& input) {
  FollowerEffects effects;
  follower_->Step(input, cluster_->network.now(), &effects);
  follower_wake_ = effects.wake_at;
  Perform(effects);
}

void SimProgram::Perform(FollowerEffects& effects) {
  const auto alive = [this, life = life_, core = follower_.get()] { return life == life_ && follower_.get() == core; };
  SimNetwork& network = cluster_->network;
  Lsn applied;
  for (const Released& released : effects.released) {
    if (released.loss.has_value()) {
      network.Note(name_, "LOSS " + std::to_string(released.loss->from.value()) + ".." +
                              std::to_string(released.loss->to.value()));
      losses_ += released.loss->to - released.loss->from + 1;
      continue;
    }
    network.Note(name_, "applies " + std::to_string(released.batch.from.value()) + ".." +
                            std::to_string(released.batch.to.value()));
    BatchIterator records(released.batch.bytes());
    Record record;
    while (records.Next(&record)) {
      if (record.lsn < released.batch.from || record.lsn > released.batch.to) continue;
      applied_.emplace_back(record.lsn, std::string(record.payload));
    }
    applied = released.batch.to;
  }
  for (const FollowerRead& read : effects.reads) {
    cluster_->Find(read.request.disk)
        ->Call(name_, read.request, [this, alive, token = read.token](ReadResponse response) {
          if (!alive()) return;
          ReadAnswered answered{token, {}, std::make_shared<const std::string>(std::move(response.batches))};
          response.batches.clear();
          answered.response = std::move(response);
          Step(FollowerInput(std::move(answered)));
        });
  }
  for (const ChainOp& op : effects.chain_ops) {
    cluster_->metadata.Perform(
        name_, op,
        [this, alive](ChainReadDone done) {
          if (alive()) Step(FollowerInput(std::move(done)));
        },
        [](ChainCasDone) {});
  }
  if (effects.mirror_lost.has_value()) network.Note(name_, "gives the stream up: " + effects.mirror_lost->ToString());
  if (effects.next_owner_hint.has_value()) network.Note(name_, "is told that it is the next owner");
  if (effects.trimmed.has_value()) {
    network.Note(name_, "needs a checkpoint that covers " + std::to_string(effects.trimmed->value()));
  }
  if (applied != Lsn()) Step(FollowerInput(Applied{applied}));
  StopFollowing();
}

}  // namespace understudy::testing

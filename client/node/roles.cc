// Spare to primary and back.
#include <algorithm>
#include <utility>

#include "client/node/node_impl.h"
#include "log/env/logging.h"

namespace understudy {
namespace {

// A handover that cannot drain in this time is given up; the epoch goes on.
constexpr int64_t kDrainNsMax = 2 * kNsPerSecond;
constexpr int64_t kSealBelowNs = 20 * kNsPerMs;

Status WrongRole(const char* needed) { return {StatusCode::kFailedPrecondition, std::string("only a ") + needed}; }

}  // namespace

void NodeImpl::SetRole(Role role) {
  role_.store(role, std::memory_order_release);
  agent_->ReportNow();
}

void NodeImpl::SetOwnerEndpoint(const std::string& endpoint) {
  const std::lock_guard<std::mutex> lock(shared_mutex_);
  owner_endpoint_ = endpoint;
}

ChainStore* NodeImpl::Chains(LogId log) {
  std::unique_ptr<ChainStore>& store = chains_[log];
  if (!store) store = std::make_unique<ChainStore>(cluster_.get(), log);
  return store.get();
}

// ---- a spare follows

void NodeImpl::Follow(const Command& command, StatusCallback done) {
  if (role() == Role::kPrimary || role() == Role::kPromoting || handing_over_) {
    return done(WrongRole("spare follows; this instance is the primary or becomes it"));
  }
  if (replayer_ && log_ == command.log) {
    if (replayer_->phase() != Replayer::Phase::kLoading) return done(Status::Ok());
  } else {
    service_ = command.service;
    StartReplayer(command.log);
  }
  if (follow_done_) follow_done_(Status(StatusCode::kCancelled, "superseded by another FOLLOW"));
  follow_done_ = std::move(done);
}

void NodeImpl::StartReplayer(LogId log) {
  RetireReplayer();
  queue_->DropRecords();
  log_ = log;
  attempt_ = AttemptId();
  met_epoch_ = Epoch();
  ReplayerOptions options;
  options.holder = node_name_;
  options.hold_bytes_max = options_.mirror_hold_bytes_max;
  ReplayerEvents events;
  events.changed = [this] { OnReplayerChanged(); };
  events.failed = [this](const Status& why) { OnReplayFailed(why); };
  events.chain = [this](const VersionedChain& chain) { OnChain(chain); };
  events.next_owner = [this](const AttemptId& attempt) { OnNextOwner(attempt); };
  events.mirror_lost = [this](const Status& why) { mirror_port_->EndStream(why); };
  replayer_ = std::make_unique<Replayer>(&runtime_, cluster_.get(), Chains(log), queue_.get(), state_machine_,
                                         std::move(options), std::move(events));
  if (role() != Role::kPromoting) SetRole(Role::kLoading);
  replayer_->Start();
}

void NodeImpl::OnReplayerChanged() {
  if (!replayer_) return;
  const Replayer::Phase phase = replayer_->phase();
  if (phase != Replayer::Phase::kLoading && follow_done_) std::exchange(follow_done_, nullptr)(Status::Ok());
  if (role() == Role::kPromoting) return agent_->ReportNow();
  switch (phase) {
    case Replayer::Phase::kLoading:
      return SetRole(Role::kLoading);
    case Replayer::Phase::kReplaying:
      return SetRole(Role::kReplaying);
    case Replayer::Phase::kMirroring:
      return SetRole(Role::kMirroring);
  }
}

void NodeImpl::OnReplayFailed(const Status& why) {
  if (follow_done_) std::exchange(follow_done_, nullptr)(why);
  if (role() == Role::kPromoting) return FinishTakeover(why, /*keep_following=*/false);
  StopFollowing([this] { SetRole(Role::kWarm); });
}

// We may be inside one of its events: silenced now, freed soon.
void NodeImpl::RetireReplayer() {
  if (!replayer_) return;
  replayed_ = replayer_->replayed();
  replayer_->Stop();
  old_replayers_.push_back(std::move(replayer_));
  runtime_.loop()->Post([this] { old_replayers_.clear(); });
}

void NodeImpl::RetireTakeover() {
  if (!takeover_) return;
  old_takeovers_.push_back(std::move(takeover_));
  runtime_.loop()->Post([this] { old_takeovers_.clear(); });
}

// Ends the replay and drops the state; `reset_done` runs (strand held) when that is done.
void NodeImpl::StopFollowing(std::function<void()> reset_done) {
  RetireReplayer();
  attempt_ = AttemptId();
  queue_->DropRecords();
  queue_->Run([this, reset_done = std::move(reset_done)] {
    state_machine_->Reset();
    queue_->SetApplied(Lsn(0));
    runtime_.Run(reset_done);
  });
}

void NodeImpl::Release(StatusCallback done) {
  if (role() == Role::kPrimary || role() == Role::kPromoting) return done(WrongRole("spare can be released"));
  if (follow_done_) std::exchange(follow_done_, nullptr)(Status(StatusCode::kCancelled, "released"));
  StopFollowing([this, done = std::move(done)] {
    if (!replayer_ && role() != Role::kPromoting && role() != Role::kPrimary) SetRole(Role::kWarm);
    done(Status::Ok());
  });
}

void NodeImpl::OnChain(const VersionedChain& chain) {
  const EpochEntry* last = chain.chain.last();
  if (last == nullptr) return;
  if (role() != Role::kPrimary) SetOwnerEndpoint(last->owner.endpoint);
  if (last->epoch != met_epoch_) MeetDisks(*last);
  if (!attempt_.none() && last->attempt == attempt_ && !last->closed()) Adopt(chain);
}

// A takeover will seal them, and the next epoch most likely go on with them: their addresses and connections are had
// before clients wait for it. Epoch 0: seals nothing.
void NodeImpl::MeetDisks(const EpochEntry& epoch) {
  met_epoch_ = epoch.epoch;
  for (const ReplicaRef& replica : epoch.disks) SealDisk({log_, replica.disk, Epoch(0)});
}

// Whatever it answers.
void NodeImpl::SealDisk(const SealRequest& request) {
  cluster_->AddressOf(request.disk, [this, request](const Result<std::string>& address) {
    if (!address.ok()) return;
    cluster_->LogServer(*address, Traffic::kAppend)
        ->Seal(request, cluster_->rpc_timeout_ms(), [](const Result<SealResponse>&) {});
  });
}

// ---- clients that come too early

void NodeImpl::PromotionBegins() {
  if (std::exchange(promotion_told_, true)) return;
  listener_thread_.Run([this] { listener_->OnPromotionBegins(); });
  promotion_timer_ = runtime_.loop()->At(runtime_.Now() + RoleListener::kPromotionHoldMs * kNsPerMs, [this] {
    promotion_timer_ = 0;
    PromotionHoldEnds();
  });
}

// What the application is told next ends it; false: it was told something since.
bool NodeImpl::EndPromotionHold() {
  runtime_.loop()->Cancel(promotion_timer_);
  promotion_timer_ = 0;
  return std::exchange(promotion_told_, false);
}

// Without a role: whoever was held is sent on, or told that there is no primary.
void NodeImpl::PromotionHoldEnds() {
  if (!EndPromotionHold()) return;
  listener_thread_.Run([this, endpoint = owner_endpoint()] { listener_->OnNotPrimary(endpoint, /*drained=*/true); });
}

// ---- a planned move

void NodeImpl::Prepare(StatusCallback done) {
  if (!replayer_ || role() == Role::kPromoting) return done(WrongRole("spare that follows prepares for a handover"));
  attempt_ = SystemRandom()->NewAttemptId();
  done(Status::Ok());  // the report that carries this carries the attempt
}

void NodeImpl::Handover(const Command& command, StatusCallback done) {
  if (role() != Role::kPrimary || handing_over_) return done(WrongRole("primary that is not moving hands over"));
  if (command.attempt.none()) return done(Status(StatusCode::kInvalidArgument, "no attempt id to hand over to"));
  handing_over_ = true;
  // Before anybody holds a write back: without metadata there is no handover, and the epoch goes on as if none had been
  // asked for.
  const Instant give_up = runtime_.Now() + kDrainNsMax;
  Chains(log_)->Read([this, command, give_up, done = std::move(done)](const Result<VersionedChain>& chain) {
    if (chain.ok() && runtime_.Now() < give_up && role() == Role::kPrimary) return DrainAndMove(command, *chain, done);
    handing_over_ = false;
    done(Status(StatusCode::kUnavailable, "the metadata cannot be read in time: " + chain.status().message()));
  });
}

void NodeImpl::DrainAndMove(const Command& command, const VersionedChain& chain, StatusCallback done) {
  listener_thread_.Run([this, command, chain, done = std::move(done)] {
    listener_->OnHandoverBegins();
    runtime_.Run([this, command, chain, done] {
      writer_->Handover(
          {command.node, command.endpoint}, command.attempt, chain, runtime_.Now() + kDrainNsMax,
          [this, command, done](const Status& status) {
            handing_over_ = false;
            if (status.ok()) {
              epoch_.reset();
              SetOwnerEndpoint(command.endpoint);
              SetRole(Role::kWarm);
              listener_thread_.Run([this, command] { listener_->OnNotPrimary(command.endpoint, /*drained=*/true); });
            } else if (writer_->writing()) {
              listener_thread_.Run([this, applied = writer_->commit()] { listener_->OnPrimary(service_, applied); });
            }
            done(status);
          });
    });
  });
}

// A word from the old writer that the next epoch is ours. The chain decides, which the follower reads now.
void NodeImpl::OnNextOwner(const AttemptId& attempt) {
  if (!attempt_.none() && attempt == attempt_) PromotionBegins();
}

// The chain's last epoch is ours, handed over: apply all that lies below it, then serve.
void NodeImpl::Adopt(const VersionedChain& chain) {
  if (adopting_ || role() == Role::kPrimary || !replayer_) return;
  adopting_ = true;
  lost_.reset();
  role_.store(Role::kPromoting, std::memory_order_release);
  PromotionBegins();
  SealBelow(chain.chain);
  replayer_->WhenApplied(chain.chain.last()->first_lsn - 1, [this, chain] { BecomePrimary(chain); });
}

// The closed epoch's disks are told so; nobody waits for it. A moment later: clients wait for the first append, whose
// sync would come behind that of the seal.
void NodeImpl::SealBelow(const Chain& chain) {
  if (chain.epochs.size() < 2) return;
  runtime_.loop()->At(runtime_.Now() + kSealBelowNs,
                      [this, log = chain.log, closed = chain.epochs[chain.epochs.size() - 2]] {
                        for (const ReplicaRef& replica : closed.disks) SealDisk({log, replica.disk, closed.epoch});
                      });
}

void NodeImpl::BecomePrimary(const VersionedChain& chain) {
  const EpochEntry& epoch = *chain.chain.last();
  epoch_ = epoch;
  RetireReplayer();
  RetireTakeover();
  adopting_ = false;
  attempt_ = AttemptId();
  writer_->Begin(Chains(log_), chain);
  serving_since_unix_ms_ = runtime_.loop()->clock()->WallUnixMs();
  latency_taken_at_ = runtime_.Now();
  checkpoint_at_ = runtime_.Now();
  checkpoint_bytes_ = writer_->sent_bytes();
  const std::vector<CheckpointEntry>& listed = chain.chain.checkpoints;
  checkpoint_lsn_ = listed.empty() ? Lsn(0) : listed.back().lsn;
  older_checkpoint_lsn_ = listed.size() < 2 ? Lsn(0) : listed.front().lsn;
  SetOwnerEndpoint(options_.endpoint);
  role_.store(Role::kPrimary, std::memory_order_release);
  const auto serve = [this, service = service_, applied = epoch.first_lsn - 1] {
    EndPromotionHold();
    listener_thread_.Run([this, service, applied] { listener_->OnPrimary(service, applied); });
  };
  if (writer_->MayServe()) {
    serve();
  } else {  // the chain was read long ago; without an answer MayServe stays false, and says so
    writer_->ReadBarrier([this, serve](const Status& heard) {
      if (heard.code() != StatusCode::kFenced && !closing_) serve();
    });
  }
  ScheduleCheckpoints();
  // Our state may hold some of what the log has lost: from the checkpoint others get it, too.
  if (lost_) BeginCheckpoint([](const Result<CheckpointInfo>&) {});
  if (takeover_done_) {
    std::exchange(takeover_done_, nullptr)(Status::Ok());
  } else {
    agent_->ReportNow();
  }
}

// ---- a takeover

void NodeImpl::TakeOver(const Command& command, StatusCallback done) {
  if (role() == Role::kPrimary) {
    return done(log_ == command.log ? Status::Ok() : WrongRole("spare takes over another log"));
  }
  if (command.accept_data_loss && takeover_ && log_ == command.log) {  // it waits; it is told to go on
    takeover_->AcceptLoss(std::max(replayer_->commit(), replayer_->applied()));
    return done(Status::Ok());
  }
  if (takeover_done_ || handing_over_) {
    return done(Status(StatusCode::kFailedPrecondition, "a takeover or handover is under way"));
  }
  if (adopting_) {  // the handover it asks for is already on its way
    takeover_done_ = std::move(done);
    return;
  }
  takeover_done_ = std::move(done);
  service_ = command.service;
  const AttemptId prepared = replayer_ && log_ == command.log ? attempt_ : AttemptId();
  role_.store(Role::kPromoting, std::memory_order_release);
  PromotionBegins();
  replay_for_takeover_ = !replayer_ || log_ != command.log;
  if (replay_for_takeover_) StartReplayer(command.log);  // loads while the takeover runs
  agent_->ReportNow();
  TakeoverOptions options;
  options.log = command.log;
  options.attempt = prepared.none() ? SystemRandom()->NewAttemptId() : prepared;
  options.owner = {node_name_, options_.endpoint};
  options.expected_epoch = command.epoch;
  attempt_ = AttemptId();  // from here on the takeover alone decides whether the epoch is ours
  takeover_ = std::make_unique<TakeoverRunner>(
      cluster_.get(), Chains(command.log), options, [this](const TakeoverResult& result) { OnTakeover(result); },
      [this](const std::string& text) { SetWaiting(text); });
  if (command.accept_data_loss) takeover_->AcceptLoss(std::max(replayer_->commit(), replayer_->applied()));
  takeover_->Start();
}

void NodeImpl::OnTakeover(const TakeoverResult& result) {
  if (!result.status.ok()) {
    if (const EpochEntry* last = result.chain.chain.last()) SetOwnerEndpoint(last->owner.endpoint);
    return FinishTakeover(result.status, /*keep_following=*/true);
  }
  waiting_.clear();
  lost_ = result.loss;
  if (lost_) {
    LogWarning("node", "log " + std::to_string(log_.value()) + ": records " + std::to_string(lost_->first.value()) +
                           " to " + std::to_string(lost_->second.value()) + " were given up");
  }
  replayer_->UseChain(result.chain);
  replayer_->WhenApplied(result.last_lsn, [this, chain = result.chain] { BecomePrimary(chain); });
}

void NodeImpl::SetWaiting(const std::string& text) {
  LogWarning("node", text);
  waiting_ = text;
  agent_->ReportNow();
}

void NodeImpl::MoveDisks(const Command& command, StatusCallback done) {
  if (role() != Role::kPrimary || log_ != command.log || handing_over_) {
    return done(WrongRole("primary that is not moving changes its disks"));
  }
  writer_->MoveDisks(command.disks, std::move(done));
}

// It failed: a spare that followed before goes on following, if its replay is well.
void NodeImpl::FinishTakeover(const Status& status, bool keep_following) {
  RetireTakeover();
  PromotionHoldEnds();
  adopting_ = false;
  waiting_.clear();
  if (keep_following && !replay_for_takeover_) {
    role_.store(Role::kReplaying, std::memory_order_release);
    OnReplayerChanged();
  } else {
    StopFollowing([this] { SetRole(Role::kWarm); });
  }
  if (takeover_done_) std::exchange(takeover_done_, nullptr)(status);
}

// ---- deposed

void NodeImpl::OnFenced(const FencedReport& report) {
  const std::string endpoint = report.owner ? report.owner->owner.endpoint : "";
  SetOwnerEndpoint(endpoint);
  epoch_.reset();
  waiting_.clear();
  attempt_ = AttemptId();
  role_.store(Role::kWarm, std::memory_order_release);
  listener_thread_.Run([this, endpoint] {
    listener_->OnNotPrimary(endpoint, /*drained=*/false);
    queue_->Run([this] {
      state_machine_->Reset();
      queue_->SetApplied(Lsn(0));
    });
  });
  agent_->ReportNow();
}

void NodeImpl::OnApplied(Lsn lsn) {
  if (replayer_) {
    replayer_->OnApplied(lsn);
  } else if (writer_->writing()) {
    writer_->Applied(lsn);
  }
}

}  // namespace understudy

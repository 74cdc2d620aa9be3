#include "client/replay/replayer.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "client/replay/checkpoint_io.h"
#include "client/replay/tailer.h"

namespace understudy {
namespace {

constexpr int64_t kPinMs = 60'000;
constexpr int64_t kPinRenewNs = 20'000 * kNsPerMs;
constexpr int64_t kCommitFreshNs = kNsPerSecond;

}  // namespace

struct Replayer::Impl : std::enable_shared_from_this<Replayer::Impl> {
  Impl(Runtime* runtime, Cluster* cluster, ChainStore* chains, ReplayQueue* queue, StateMachine* state_machine,
       ReplayerOptions options, ReplayerEvents events)
      : runtime(runtime),
        cluster(cluster),
        chains(chains),
        queue(queue),
        state_machine(state_machine),
        options(std::move(options)),
        events(std::move(events)),
        records_before(queue->records_applied()) {}

  // Pins the newest checkpoint (or the empty state) in the chain and loads it.
  void PinAndLoad() {
    tailer.reset();
    SetPhase(Phase::kLoading);
    chains->Edit(
        [self = shared_from_this()](Chain* chain) -> Result<bool> {
          Pin pin;
          pin.holder = self->options.holder;
          if (!chain->checkpoints.empty()) {
            pin.checkpoint_id = chain->checkpoints.back().id;
            pin.lsn = chain->checkpoints.back().lsn;
          }
          pin.expires_unix_ms = self->runtime->loop()->clock()->WallUnixMs() + kPinMs;
          std::erase_if(chain->pins, [&](const Pin& other) { return other.holder == pin.holder; });
          chain->pins.push_back(pin);
          return true;
        },
        [self = shared_from_this()](Result<VersionedChain> chain) {
          if (self->closed) return;
          if (!chain.ok()) return self->Fail(chain.status());
          self->pinned = true;
          self->RenewPinLater();
          self->queue->Run([self, chain = std::move(chain).value()] { self->Load(chain); });
        });
  }

  // On the queue's thread.
  void Load(const VersionedChain& chain) {
    if (closed) return;
    Lsn loaded(0);
    Status status;
    if (chain.chain.checkpoints.empty()) {
      state_machine->Reset();
    } else {
      for (size_t i = chain.chain.checkpoints.size(); i-- > 0;) {
        const CheckpointEntry& checkpoint = chain.chain.checkpoints[i];
        const std::unique_ptr<CheckpointReader> reader = OpenCheckpoint(runtime, cluster, chains->log(), checkpoint);
        status = state_machine->Load(*reader);
        if (status.ok()) {
          char extra;
          const Result<size_t> rest = reader->Read(&extra, 1);
          status = rest.ok() && *rest > 0
                       ? Status(StatusCode::kCorruption, "the checkpoint is longer than what was loaded of it")
                       : rest.status();
        }
        if (status.ok()) {
          loaded = checkpoint.lsn;
          break;
        }
        state_machine->Reset();
      }
      if (!status.ok() && chain.chain.trim_lsn == Lsn(0)) status = Status::Ok();  // replay it all, from the empty state
    }
    queue->SetApplied(loaded);
    runtime->Run([self = shared_from_this(), chain, loaded, status] {
      if (self->closed) return;
      if (!status.ok()) return self->Fail(status.WithContext("loading a checkpoint"));
      self->Follow(chain, loaded);
    });
  }

  void Follow(const VersionedChain& chain, Lsn loaded) {
    FollowerOptions follow;
    follow.log = chains->log();
    follow.from = loaded + 1;
    follow.hold_bytes_max = options.hold_bytes_max;
    TailerSink sink;
    sink.released = [this](std::vector<Released> released) { queue->Push(std::move(released)); };
    sink.trimmed = [self = weak_from_this()](Lsn) {
      // A checkpoint that covers it has been listed since. From a callback of the tailer's own: after it returns.
      if (const auto impl = self.lock()) {
        impl->runtime->loop()->Post([impl] {
          if (!impl->closed) impl->PinAndLoad();
        });
      }
    };
    sink.chain = [this](const VersionedChain& newer) { events.chain(newer); };
    sink.next_owner = [this](const AttemptId& attempt) { events.next_owner(attempt); };
    sink.mirror_lost = [this](const Status& why) { events.mirror_lost(why); };
    sink.stepped = [this] { AfterStep(); };
    ready_at = loaded;
    tailer = std::make_unique<Tailer>(cluster, chains, follow, std::move(sink));
    SetPhase(Phase::kReplaying);
    tailer->UseChain(chain);
    if (newest && newest->version > chain.version) tailer->UseChain(*newest);
    CheckWaiters();
  }

  void RenewPinLater() {
    if (pin_timer_set) return;
    pin_timer_set = true;
    pin_timer = runtime->loop()->At(runtime->Now() + kPinRenewNs, [self = shared_from_this()] {
      self->pin_timer_set = false;
      if (self->closed || !self->pinned) return;
      self->EditPin(/*keep=*/true);
      self->RenewPinLater();
    });
  }

  void EditPin(bool keep) {
    const int64_t expires = runtime->loop()->clock()->WallUnixMs() + kPinMs;
    chains->Edit(
        [holder = options.holder, keep, expires](Chain* chain) -> Result<bool> {
          const auto pin = std::find_if(chain->pins.begin(), chain->pins.end(),
                                        [&](const Pin& other) { return other.holder == holder; });
          if (pin == chain->pins.end()) return false;
          if (keep) {
            pin->expires_unix_ms = expires;
          } else {
            chain->pins.erase(pin);
          }
          return true;
        },
        [](Result<VersionedChain>) {});  // best effort: it expires
  }

  void SetPhase(Phase next) {
    if (phase == next) return;
    phase = next;
    if (!closed) events.changed();
  }

  void Fail(const Status& why) {
    closed = true;
    events.failed(why);
  }

  void AfterStep() {
    if (!tailer) return;
    SetPhase(tailer->follower().mirror_live() ? Phase::kMirroring : Phase::kReplaying);
    const bool caught = CaughtUp();
    if (caught && pinned) {  // nothing that we need can be trimmed any more
      pinned = false;
      EditPin(/*keep=*/false);
    }
    if (caught != was_caught_up) {
      was_caught_up = caught;
      if (!closed) events.changed();
    }
  }

  bool CaughtUp() const {
    if (!tailer) return false;
    const Follower& follower = tailer->follower();
    return applied >= follower.commit() && follower.commit_heard_at() != Instant() &&
           runtime->Now() - follower.commit_heard_at() <= kCommitFreshNs;
  }

  void CheckWaiters() {
    const Lsn at = std::max(applied, ready_at);
    while (tailer && !waiters.empty() && waiters.begin()->first <= at) {
      auto ready = waiters.extract(waiters.begin());
      ready.mapped()();
    }
  }

  Runtime* const runtime;
  Cluster* const cluster;
  ChainStore* const chains;
  ReplayQueue* const queue;
  StateMachine* const state_machine;
  const ReplayerOptions options;
  const ReplayerEvents events;
  const uint64_t records_before;
  std::unique_ptr<Tailer> tailer;  // null while loading
  std::optional<VersionedChain> newest;
  std::multimap<Lsn, std::function<void()>> waiters;
  Phase phase = Phase::kLoading;
  Lsn applied;
  Lsn ready_at;  // what the loaded state covers
  bool was_caught_up = false;
  bool pinned = false;
  bool pin_timer_set = false;
  EventLoop::TimerId pin_timer = 0;
  std::atomic<bool> closed{false};
};

Replayer::Replayer(Runtime* runtime, Cluster* cluster, ChainStore* chains, ReplayQueue* queue,
                   StateMachine* state_machine, ReplayerOptions options, ReplayerEvents events)
    : impl_(std::make_shared<Impl>(runtime, cluster, chains, queue, state_machine, std::move(options),
                                   std::move(events))) {}

Replayer::~Replayer() { Stop(); }

void Replayer::Stop() {
  if (impl_->closed.exchange(true)) return;
  impl_->tailer.reset();
  impl_->waiters.clear();
  if (impl_->pin_timer_set) impl_->runtime->loop()->Cancel(impl_->pin_timer);
  if (impl_->pinned) impl_->EditPin(/*keep=*/false);
}

void Replayer::Start() { impl_->PinAndLoad(); }

void Replayer::Mirror(MirrorPush push) {
  if (!impl_->tailer) return;  // loading: the log has it
  impl_->tailer->Mirror(std::move(push));
}

void Replayer::MirrorBroken() {
  if (impl_->tailer) impl_->tailer->MirrorBroken();
}

void Replayer::UseChain(const VersionedChain& chain) {
  if (!impl_->newest || chain.version > impl_->newest->version) impl_->newest = chain;
  if (impl_->tailer) impl_->tailer->UseChain(chain);
}

void Replayer::WhenApplied(Lsn lsn, std::function<void()> fn) {
  impl_->waiters.emplace(lsn, std::move(fn));
  impl_->CheckWaiters();
}

void Replayer::OnApplied(Lsn lsn) {
  if (!impl_->tailer || lsn <= impl_->applied) return;  // no tailer: of what came before the load
  impl_->applied = lsn;
  impl_->tailer->Applied(lsn);
  impl_->CheckWaiters();
}

Replayer::Phase Replayer::phase() const { return impl_->phase; }
bool Replayer::caught_up() const { return impl_->CaughtUp(); }
Lsn Replayer::applied() const { return std::max(impl_->applied, impl_->ready_at); }
Lsn Replayer::commit() const { return impl_->tailer ? impl_->tailer->follower().commit() : Lsn(0); }
uint64_t Replayer::replayed() const { return impl_->queue->records_applied() - impl_->records_before; }

}  // namespace understudy

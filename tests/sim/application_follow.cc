// A simulated program as a spare or reader: loads a checkpoint under a pin, replays, mirrors.
#include <algorithm>
#include <utility>

#include "log/epoch/testing/describe.h"
#include "tests/sim/application.h"

namespace understudy::sim {
namespace {
constexpr int64_t kPinMs = 1500;
constexpr int64_t kPinSlackMs = 50;
constexpr int kLoadTries = 20;
}  // namespace

void Application::Follow() {
  ++follower_life_;
  follower_.reset();
  loading_ = true;
  next_ = Lsn(1);
  state_ = 0;
  Load(kLoadTries);
}

// The newest checkpoint, pinned first so that neither it nor what follows it goes while it is read.
void Application::Load(int tries) {
  auto pinned = std::make_shared<CheckpointEntry>();
  const auto again = [this, tries] {
    if (tries == 0) {
      loading_ = false;
      return;
    }
    Later(stream_.Between(5, 40) * kNsPerMs, [this, tries] {
      if (loading_) Load(tries - 1);
    });
  };
  EditChain(
      [this, pinned](Chain* chain) {
        *pinned = chain->checkpoints.empty() ? CheckpointEntry{} : chain->checkpoints.back();
        std::erase_if(chain->pins, [&](const Pin& pin) { return pin.holder == name_; });
        pin_expires_ms_ = WallMs() + kPinMs;
        chain->pins.push_back({name_, pinned->id, pinned->lsn, pin_expires_ms_});
        return true;
      },
      [this, pinned, again, tries](bool done) {
        if (!loading_) return;
        if (!done) return again();
        around_.coverage->Hit(Reached::pin_set);
        pin_ = pinned->id + 1;
        if (pinned->id == 0) return StartFollower(Lsn(1), 0);
        LoadFrom(*pinned, 0, tries);
      });
}

void Application::LoadFrom(const CheckpointEntry& entry, size_t cursor, int tries) {
  if (cursor == entry.disks.size()) {
    Later(20 * kNsPerMs, [this, tries] {
      if (loading_ && tries > 0) Load(tries - 1);
    });
    return;
  }
  Disk* disk = around_.find(entry.disks[cursor]);
  CheckpointRequest request;
  request.kind = CheckpointRequest::Kind::kRead;
  request.log = log_;
  request.disk = entry.disks[cursor];
  request.id = entry.id;
  Ask<CheckpointResponse>(around_.world, node_, disk->node(), disk, request,
                          [this, entry, cursor, tries, life = life_](CheckpointResponse response) {
                            if (life != life_ || !loading_) return;
                            if (response.code != StatusCode::kOk) return LoadFrom(entry, cursor + 1, tries);
                            around_.coverage->Hit(Reached::reader_loaded_checkpoint);
                            StartFollower(response.checkpoint.lsn + 1, response.checkpoint.state);
                          });
}

void Application::StartFollower(Lsn from, uint64_t state) {
  FollowerOptions options;
  options.log = log_;
  options.from = from;
  options.hold_bytes_max = 3000;
  options.unapplied_bytes_max = 4000;
  options.read_bytes = 600;
  options.poll_wait_ms = 60;
  options.retry_ms = 5;
  options.retry_ms_max = 50;
  options.mirror_silence_ms = 150;
  loading_ = false;
  next_ = from;
  state_ = state;
  Note([&] { return "follows from LSN " + std::to_string(from.value()); });
  ++follower_life_;
  follower_ = std::make_unique<Follower>(options);
  Step(FollowerInput(FollowerChain{around_.metadata->value(log_)}));
}

void Application::ReadFresh() {
  const Lsn trim = around_.metadata->value(log_).chain.trim_lsn;
  pin_ = 0;
  StartFollower(trim + 1, around_.oracle->state(log_, trim));
}

void Application::Unpin() {
  if (pin_ == 0) return;
  pin_ = 0;
  EditChain(
      [this, mine = pin_expires_ms_](Chain* chain) {  // not the one that a later loading has set meanwhile
        return std::erase_if(chain->pins,
                             [&](const Pin& pin) { return pin.holder == name_ && pin.expires_unix_ms == mine; }) > 0;
      },
      [](bool) {});
}

void Application::MirrorTo(Application* spare) {
  if (!writing()) return;
  mirror_to_ = spare;
  if (spare != nullptr) {
    spare->mirrored_by_ = this;
    around_.coverage->Hit(Reached::reader_mirror_on);
  }
  Note([&] { return spare == nullptr ? std::string("mirrors no more") : "mirrors to " + spare->name(); });
  Step(WriterInput(WriterMirror{spare != nullptr}));
}

void Application::Step(const FollowerInput& input) {
  FollowerEffects effects;
  follower_->Step(input, Now(), &effects);
  follower_timer_.Set(effects.wake_at);
  Perform(effects);
}

void Application::Perform(FollowerEffects& effects) {
  Coverage* coverage = around_.coverage;
  const auto alive = [this, life = life_, core = follower_life_] { return life == life_ && follower_life_ == core; };
  Lsn applied;
  for (const Released& released : effects.released) {
    if (released.loss.has_value()) {
      const auto [from, to] = *released.loss;
      Note([&, from = from, to = to] {
        return "learns that " + std::to_string(from.value()) + ".." + std::to_string(to.value()) + " are lost";
      });
      around_.oracle->OnLoss(log_, next_, from, to, state_, name_);
      coverage->Hit(Reached::reader_loss);
      state_ = StateAfterLoss(to);
      next_ = to + 1;
      applied = to;
      continue;
    }
    Note([&] {
      return "applies " + std::to_string(released.batch.from.value()) + ".." +
             std::to_string(released.batch.to.value());
    });
    BatchIterator records(released.batch.bytes());
    Record record;
    while (records.Next(&record)) {
      if (record.lsn < released.batch.from || record.lsn > released.batch.to) continue;
      const uint64_t payload = DecodePayload(record.payload);
      state_ = NextState(state_, record.lsn, payload);
      around_.oracle->OnApplied(log_, next_, record.lsn, payload, state_, name_);
      coverage->Hit(Reached::reader_applied);
      next_ = record.lsn + 1;
    }
    applied = released.batch.to;
  }
  for (const FollowerRead& read : effects.reads) {
    Disk* disk = around_.find(read.request.disk);
    Ask<ReadResponse>(
        around_.world, node_, disk->node(), disk, read.request,
        [this, alive, token = read.token](ReadResponse response) {
          if (!alive()) return;
          ReadAnswered answered{token, {}, std::make_shared<const std::string>(std::move(response.batches))};
          response.batches.clear();
          answered.response = std::move(response);
          Step(FollowerInput(std::move(answered)));
        });
  }
  for (const ChainOp& op : effects.chain_ops) {
    PerformChainOp(
        op,
        [this, alive](ChainReadDone done) {
          if (alive()) Step(FollowerInput(std::move(done)));
        },
        [](ChainCasDone) {});
  }
  if (effects.next_owner_hint.has_value()) coverage->Hit(Reached::next_owner_hint);
  if (effects.mirror_lost.has_value()) {
    coverage->Hit(Reached::reader_mirror_lost);
    Note([&] { return "gives the stream up: " + effects.mirror_lost->ToString(); });
    // Asks the primary to begin again.
    if (mirrored_by_ != nullptr && mirrored_by_->mirror_to_ == this && stream_.Below(2) == 0) {
      around_.world->Send(
          node_, mirrored_by_->node_,
          [from = mirrored_by_, this] {
            if (from->writing() && from->mirror_to_ == this) from->MirrorTo(this);
          },
          [] { return std::string("mirror to me again"); });
    }
  }
  if (effects.trimmed.has_value()) {
    coverage->Hit(Reached::reader_trimmed);
    Note([&] { return "needs a checkpoint that covers " + std::to_string(effects.trimmed->value()); });
    if (pin_ != 0 && WallMs() + kPinSlackMs < pin_expires_ms_) around_.oracle->OnTrimmedAway(log_, next_, name_);
    return Later(0, [this] {
      if (follower_ != nullptr) Follow();
    });
  }
  if (applied != Lsn()) Step(FollowerInput(Applied{applied}));
  // Under way, a spare needs its pin no more.
  if (pin_ != 0 && follower_ != nullptr && follower_->caught_up()) Unpin();
  MaybeServe();
}

}  // namespace understudy::sim

// The writer of a simulated program: appends, barriers, moves.
#include <algorithm>
#include <utility>

#include "log/epoch/placement.h"
#include "log/epoch/testing/describe.h"
#include "tests/sim/application.h"

namespace understudy::sim {

using understudy::testing::DiskName;

void Application::StartWriter(const EpochEntry& entry) {
  unacked_.clear();
  barriers_.clear();
  commit_ = entry.first_lsn - 1;
  serving_ = was_frozen_ = moving_ = degraded_ = false;
  moving_to_.clear();
  may_serve_ = true;
  mirror_to_ = nullptr;
  WriterOptions options;
  options.heartbeat_ms = 50;
  options.self_fence_ms = 200;
  options.stall_ms = 100;
  options.buffer_bytes_max = 4000;
  options.replica_inflight_bytes_max = 1500;
  around_.coverage->Hit(Reached::writer_opened);
  if (static_cast<int>(entry.disks.size()) < around_.metadata->value(log_).chain.replicas_target) {
    around_.coverage->Hit(Reached::writer_narrow_epoch);
  }
  ++writer_life_;
  writer_ = std::make_unique<Writer>(options, log_, entry, Now());
  Step(WriterInput(Tick{}));
  if (follower_ != nullptr) {
    around_.coverage->Hit(Reached::reader_promoted);
    Step(FollowerInput(FollowerChain{result_->chain}));
  } else if (next_ <= result_->last_lsn && !loading_) {
    Follow();
  }
  MaybeServe();
}

// Serves once everything up to the end of the old epoch is applied.
void Application::MaybeServe() {
  if (!writing() || serving_ || !result_.has_value() || next_ <= result_->last_lsn) return;
  serving_ = true;
  loading_ = false;
  ++follower_life_;
  follower_.reset();
  Unpin();
  Note([&] { return "has applied everything up to " + std::to_string(result_->last_lsn.value()) + ": serves"; });
  ScheduleAppend();
  ScheduleBarrier();
  if (static_cast<int>(writer_->disks().size()) < around_.metadata->value(log_).chain.replicas_target) Degraded();
}

// ---- the workload ----

void Application::ScheduleAppend() {
  Later(stream_.Between(1, 2 * workload_.append_us) * 1000, [this, core = writer_life_] {
    if (writer_life_ != core || !serving()) return;
    const int records = 1 + static_cast<int>(stream_.Below(static_cast<uint64_t>(workload_.records_max)));
    if (!quiet_) Append(records);
    ScheduleAppend();
  });
}

void Application::Burst(int batches) {
  for (int i = 0; i < batches; ++i) Append(1 + i % 3);
}

void Application::Append(int records) {
  if (!accepting() || writer_->unacknowledged_bytes() > static_cast<size_t>(workload_.unacked_bytes_max)) return;
  BatchBuilder batch;
  Lsn lsn = writer_->next_lsn();
  for (int i = 0; i < records; ++i, lsn = lsn + 1) {
    const uint64_t payload = static_cast<uint64_t>(number_) << 32 | next_payload_++;
    batch.Add(EncodePayload(payload, payload % 7 == 0 ? 120 : 0), 0);
    unacked_.emplace_back(lsn, payload);
  }
  auto bytes = std::make_shared<const std::string>(batch.Finish(log_, writer_->epoch(), writer_->next_lsn()));
  Step(WriterInput(WriterAppend{std::move(bytes)}));
}

void Application::ScheduleBarrier() {
  Later(stream_.Between(1, 2 * workload_.barrier_us) * 1000, [this, core = writer_life_] {
    if (writer_life_ != core || !writing()) return;
    Barrier();
    ScheduleBarrier();
  });
}

// Whether the chain gives the log to this life of this program.
bool Application::Owns(const Chain& chain) const {
  const EpochEntry* last = chain.last();
  if (last == nullptr || writer_ == nullptr) return false;
  return last->attempt == writer_->attempt() || last->owner.node == name_;
}

void Application::Barrier() {
  if (barriers_.size() > 50) return;
  barriers_[next_barrier_] = {!Owns(around_.metadata->value(log_).chain), writer_->next_lsn() - 1};
  Step(WriterInput(WriterBarrier{next_barrier_++}));
}

// ---- moves ----

// Disks of the next epoch, as the coordinator knows them: alive and not retired, draining ones only for want of others.
std::vector<ReplicaRef> Application::PickDisks(uint64_t pick) {
  std::vector<PlacementDisk> disks;
  std::map<DiskId, PlacedDisk> fit;
  for (Disk* disk : around_.registry()) {
    if (!disk->up() || disk->retired()) continue;
    const DiskEntry& entry = around_.metadata->disks().at(disk->id());
    disks.push_back({disk->ref(), entry.zone, entry.state == DiskState::kDraining});
    fit[disk->id()] = {entry.node, entry.zone, disks.back().draining, true};
  }
  Stream choice(pick);
  for (size_t i = disks.size(); i > 1; --i) std::swap(disks[i - 1], disks[choice.Below(i)]);
  const auto target = static_cast<size_t>(around_.metadata->value(log_).chain.replicas_target);
  std::vector<ReplicaRef> picked = PlaceReplicas(disks, target);
  std::vector<PlacedDisk> chosen, all;
  for (const ReplicaRef& ref : picked) chosen.push_back(fit.at(ref.disk));
  for (const auto& [id, disk] : fit) all.push_back(disk);
  CountZones(chosen);
  around_.oracle->OnPlaced(log_, chosen, all, target, name_);
  return picked;
}

bool Application::Move(WriterMove move) {
  const Chain& chain = around_.metadata->value(log_).chain;
  if (!accepting() || moving_) return false;
  move.ack_quorum = chain.ack_quorum;
  moving_ = true;
  moving_to_ = move.disks;
  move_is_handover_ = move.handover;
  Note([&] {
    std::string text = move.handover ? "hands over to " + move.owner.node + " on" : std::string("moves to");
    for (const ReplicaRef& disk : move.disks) text += " " + DiskName(disk.disk);
    return text;
  });
  Step(WriterInput(std::move(move)));
  return moving_;  // false: refused
}

bool Application::HandOver(Application* to, const AttemptId& attempt, int64_t deadline_ns) {
  WriterMove move;
  move.handover = true;
  move.owner = {to->name(), ""};
  move.attempt = attempt;
  move.disks = PickDisks(stream_.Next());
  move.deadline = Now() + deadline_ns;
  return Move(std::move(move));
}

bool Application::ChangeReplicas(uint64_t pick, int64_t deadline_ns) {
  WriterMove move;
  move.owner = {name_, ""};
  move.attempt = DrawAttempt();
  move.disks = PickDisks(pick);
  move.deadline = Now() + deadline_ns;
  return Move(std::move(move));
}

// A disk was dropped, or was missing from the beginning: moves to E others when there are as many.
void Application::Degraded() {
  if (degraded_ || !workload_.repair_width) return;
  degraded_ = true;
  Later(stream_.Between(10, 60) * kNsPerMs, [this, core = writer_life_] {
    if (writer_life_ != core || !writing()) return;
    degraded_ = false;
    const std::vector<Writer::ReplicaView> now = writer_->Replicas();
    const auto usable = static_cast<size_t>(
        std::count_if(now.begin(), now.end(), [](const auto& view) { return !view.dropped && !view.sealed; }));
    const size_t target = static_cast<size_t>(around_.metadata->value(log_).chain.replicas_target);
    if (usable >= target) return;
    const uint64_t pick = stream_.Next();
    if (PickDisks(pick).size() > usable) ChangeReplicas(pick, 80 * kNsPerMs);
    Degraded();
  });
}

void Application::ReportMove(const MoveDone& move) {
  moving_ = false;
  moving_to_.clear();
  Coverage* coverage = around_.coverage;
  Note([&] { return "move: " + (move.status.ok() ? std::string("done") : move.status.ToString()); });
  switch (move.status.code()) {
    case StatusCode::kOk:
      coverage->Hit(move_is_handover_ ? Reached::writer_handed_over : Reached::writer_moved_disks);
      if (!move_is_handover_ && writer_->disks().size() >= static_cast<size_t>(move.chain.chain.replicas_target)) {
        coverage->Hit(Reached::writer_widened);
      }
      return;
    case StatusCode::kDeadlineExceeded:
      return coverage->Hit(Reached::writer_move_deadline);
    case StatusCode::kUnavailable:
      return coverage->Hit(Reached::writer_move_no_metadata);
    case StatusCode::kConflict:
      return coverage->Hit(Reached::writer_move_conflict);
    default:
      return coverage->Hit(Reached::writer_move_refused);
  }
}

// ---- the shell around the core ----

void Application::Step(const WriterInput& input) {
  WriterEffects effects;
  writer_->Step(input, Now(), &effects);
  writer_timer_.Set(effects.wake_at);
  if (writer_->frozen() != was_frozen_) {
    was_frozen_ = !was_frozen_;
    if (was_frozen_) {
      around_.coverage->Hit(Reached::writer_frozen);
    } else if (!effects.move.has_value() || !effects.move->status.ok()) {
      around_.coverage->Hit(Reached::writer_thawed);
    }
  }
  if (!writer_->over() && writer_->MayServe(Now()) != may_serve_) {
    may_serve_ = !may_serve_;
    around_.coverage->Hit(may_serve_ ? Reached::writer_serves_again : Reached::writer_self_fenced);
  }
  Perform(effects);
}

void Application::Perform(WriterEffects& effects) {
  Coverage* coverage = around_.coverage;
  const auto alive = [this, life = life_, core = writer_life_] { return life == life_ && writer_life_ == core; };
  for (SendAppend& send : effects.appends) {
    Disk* disk = around_.find(send.request.disk);
    Ask<AppendResponse>(around_.world, node_, disk->node(), disk, std::move(send.request),
                        [this, alive, tag = send.tag](AppendResponse response) {
                          if (alive()) Step(WriterInput(AppendAnswered{tag, std::move(response)}));
                        });
  }
  for (const SendBarrier& send : effects.barrier_sends) {
    Disk* disk = around_.find(send.request.disk);
    Ask<BarrierResponse>(around_.world, node_, disk->node(), disk, send.request,
                         [this, alive, tag = send.tag](BarrierResponse response) {
                           if (alive()) Step(WriterInput(BarrierAnswered{tag, std::move(response)}));
                         });
  }
  for (const ChainOp& op : effects.chain_ops) {
    PerformChainOp(
        op,
        [this, alive](ChainReadDone done) {
          if (alive()) Step(WriterInput(std::move(done)));
        },
        [this, alive](ChainCasDone done) {
          if (alive()) Step(WriterInput(std::move(done)));
        });
  }
  for (const MirrorPush& push : effects.mirror) {
    if (mirror_to_ == nullptr) break;
    auto shared = std::make_shared<const MirrorPush>(push);
    around_.world->Send(
        node_, mirror_to_->node_,
        [spare = mirror_to_, shared] {
          if (spare->follower_ != nullptr) spare->Step(FollowerInput(FollowerMirror{*shared}));
        },
        [&] { return testing::Describe(push); });
  }
  for (const ReplicaDropped& dropped : effects.dropped) {
    coverage->Hit(dropped.reason.code() == StatusCode::kDataUnknown ? Reached::writer_dropped_unknown
                                                                    : Reached::writer_dropped_behind);
    if (dropped.reason.code() == StatusCode::kConflict) {  // only a bug makes one
      around_.oracle->OnConflict(log_,
                                 name_ + " drops " + DiskName(dropped.disk.disk) + ": " + dropped.reason.message());
    }
    Note([&] { return "drops " + DiskName(dropped.disk.disk) + ": " + dropped.reason.ToString(); });
  }
  if (effects.commit.has_value()) {
    Note([&] { return "commit " + std::to_string(effects.commit->value()); });
    coverage->Hit(Reached::writer_acked);
    around_.oracle->OnCommit(log_, writer_->epoch(), commit_, *effects.commit, name_);
    commit_ = *effects.commit;
    for (; !unacked_.empty() && unacked_.front().first <= commit_; unacked_.pop_front()) {
      const auto [lsn, payload] = unacked_.front();
      ++acked_;
      around_.oracle->OnAcked(log_, writer_->epoch(), writer_->attempt(), lsn, payload, name_);
      state_ = NextState(state_, lsn, payload);
      around_.oracle->OnApplied(log_, next_, lsn, payload, state_, name_ + ", the primary,");
      next_ = lsn + 1;
    }
  }
  for (const BarrierDone& done : effects.barriers) {
    const BarrierCall call = barriers_[done.token];
    barriers_.erase(done.token);
    Note([&] { return "read barrier: " + std::string(StatusCodeName(done.code)); });
    coverage->Hit(done.code == StatusCode::kOk          ? Reached::barrier_ok
                  : done.code == StatusCode::kCancelled ? Reached::barrier_cancelled
                                                        : Reached::barrier_fenced);
    if (done.code != StatusCode::kOk) continue;
    ++barriers_done_;
    around_.oracle->OnBarrier(log_, call.deposed, call.need, writer_->commit(), name_);
  }
  if (effects.seal_without_owner.has_value()) {
    coverage->Hit(Reached::writer_seal_without_owner);
    Note([&] { return *effects.seal_without_owner; });
  }
  if (effects.move.has_value()) ReportMove(*effects.move);
  if (effects.fenced.has_value()) {
    coverage->Hit(unacked_.empty() ? Reached::writer_fenced : Reached::writer_fenced_with_unacked);
    Note([&] {
      return "is over: " + effects.fenced->reason.ToString() +
             (unacked_.empty() ? "" : "; outcome unknown of " + std::to_string(unacked_.size()));
    });
    unacked_.clear();
    moving_ = false;
    moving_to_.clear();
    if (!std::exchange(serving_, false)) return;  // what it has followed so far stays good
    next_ = Lsn(1);                               // a deposed primary discards its state and loads anew
    state_ = 0;
    return;
  }
  for (const Writer::ReplicaView& view : writer_->Replicas()) {
    if (view.sealed) coverage->Hit(Reached::writer_disk_sealed);
    if (view.sealed || view.dropped) Degraded();
  }
}

}  // namespace understudy::sim

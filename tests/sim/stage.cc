#include "tests/sim/stage.h"

#include <algorithm>
#include <utility>

#include "tests/sim/random.h"
#include "understudy/check.h"

namespace understudy::sim {
namespace {

// Disks lost within this time count as lost at once: a compare-and-swap that names one of them may still be on its way.
constexpr int64_t kLossWindowNs = 250 * kNsPerMs;

}  // namespace

Stage::Stage(const Plan& plan, Coverage* coverage)
    : plan_(plan),
      coverage_(coverage),
      world_(plan.seed, plan.network),
      oracle_(this),
      metadata_(&world_, &oracle_, coverage) {
  oracle_.now = [this] { return world_.now(); };
  oracle_.on_finding = [this](const Finding& finding) {
    if (world_.trace) world_.Say(std::string("BROKEN  ") + RuleName(finding.rule) + ": " + finding.text);
    world_.Stop();
  };
  end_ = world_.now() + plan.run_us * 1000;
  const auto find = [this](const DiskId& id) {
    const auto number = static_cast<size_t>(Disk::NumberOf(id));
    return number >= 1 && number <= disks_.size() ? disks_[number - 1].get() : nullptr;
  };
  for (int i = 1; i <= plan.disks; ++i) {
    disks_.push_back(std::make_unique<Disk>(&world_, &metadata_, &oracle_, coverage, i, plan.speed, find));
  }
  Stream zones(Mix(plan.seed, 0x20E5));
  for (auto& disk : disks_) {
    const uint64_t zone = zones.Below(static_cast<uint64_t>(6 * plan.zones));
    if (plan.zones > 0 && zone >= static_cast<uint64_t>(plan.zones)) {
      disk->SetZone("z" + std::to_string(zone % static_cast<uint64_t>(plan.zones)));
    }
  }
  Surroundings around;
  around.world = &world_;
  around.metadata = &metadata_;
  around.oracle = &oracle_;
  around.coverage = coverage;
  around.find = find;
  around.registry = [this] {
    std::vector<Disk*> all;
    for (auto& disk : disks_) all.push_back(disk.get());
    return all;
  };
  around.calm = [this] { return calm_; };
  around.copied_from = [this](const DiskId& source) { OnCopyFrom(source); };
  int number = 0;
  for (int l = 1; l <= plan.logs; ++l) {
    Chain chain;
    chain.log = LogId(static_cast<uint64_t>(l));
    chain.name = "log";
    chain.replicas_target = plan.replicas;
    chain.ack_quorum = plan.quorum;
    metadata_.AddLog(chain);
    for (int i = 1; i <= plan.programs; ++i) {
      const std::string name = std::string(1, static_cast<char>('a' + l - 1)) + std::to_string(i);
      programs_.push_back(std::make_unique<Application>(around, name, ++number, chain.log, plan.workload));
    }
  }
  nodes_ = world_.nodes();
  for (int l = 1; l <= plan.logs; ++l) {
    readers_.push_back(std::make_unique<Application>(around, "reader" + std::to_string(l), ++number,
                                                     LogId(static_cast<uint64_t>(l)), plan.workload));
  }
  Stream drift = world_.StreamFor(0xD21F7);
  for (NodeId node = 0; node < nodes_; ++node) {
    world_.SetDrift(node, static_cast<int>(drift.Between(-plan.drift_ppm, plan.drift_ppm)));
  }
}

const std::vector<Stored>* Stage::Find(const DiskId& id, LogId log, Epoch epoch) const {
  const Disk& disk = *disks_[static_cast<size_t>(Disk::NumberOf(id)) - 1];
  return disk.trusted(id) ? disk.Find(log, epoch) : nullptr;
}

bool Stage::HoldsCheckpoint(const DiskId& id, LogId log, uint64_t checkpoint) const {
  const Disk& disk = *disks_[static_cast<size_t>(Disk::NumberOf(id)) - 1];
  return disk.trusted(id) && disk.HoldsCheckpoint(log, checkpoint);
}

Application* Stage::WriterOf(LogId log) {
  for (auto& program : programs_) {
    if (program->log() == log && program->accepting()) return program.get();
  }
  return nullptr;
}

Epoch Stage::LastEpoch(LogId log) const {
  const EpochEntry* last = metadata_.value(log).chain.last();
  return last == nullptr ? Epoch(0) : last->epoch;
}

// The table of survivable faults: at most A - 1 disks lost at a time, at least A left, and nothing on the last copy.
bool Stage::MayLose(const Disk& disk) const {
  if (!disk.trusted(disk.id())) return true;
  const auto recently =
      std::count_if(losses_.begin(), losses_.end(), [&](Instant at) { return world_.now() - at < kLossWindowNs; });
  // Damage that nobody has found yet: new copies still go to such a disk.
  const auto hidden = std::count_if(disks_.begin(), disks_.end(), [](const auto& other) {
    return !other->trusted(other->id()) && !other->retired();
  });
  if (std::max(recently, hidden) + 1 >= plan_.quorum) return false;
  const auto left = std::count_if(disks_.begin(), disks_.end(), [&](const auto& other) {
    return other.get() != &disk && other->trusted(other->id());
  });
  // An epoch that is about to begin on disks chosen a while ago needs A of them, too.
  const auto needed = [&](const auto& program) {
    const std::vector<ReplicaRef>& next = program->moving_to();
    const auto gone = std::count_if(next.begin(), next.end(), [&](const ReplicaRef& ref) {
      return ref.disk == disk.id() || !disks_[static_cast<size_t>(Disk::NumberOf(ref.disk)) - 1]->trusted(ref.disk);
    });
    return gone >= plan_.quorum;
  };
  if (std::any_of(programs_.begin(), programs_.end(), needed)) return false;
  return left >= plan_.replicas && oracle_.MayLose(disk.id());
}

void Stage::AtEndOf(int64_t for_us, Task task) {
  world_.At(std::min(world_.now() + for_us * 1000, end_), std::move(task));
}

void Stage::Play() {
  const Instant begin = world_.now();
  for (const Event& event : plan_.events) {
    if (event.at_us >= plan_.run_us) continue;  // the faults have stopped by then
    world_.At(begin + event.at_us * 1000, [this, &event] { Do(event); });
  }
  Sample();
  world_.RunUntil(end_);
}

// What state the cluster is in, roughly: for the estimate of how many different ones a hunt has seen.
void Stage::Sample() {
  uint64_t print = 0;
  for (const auto& program : programs_) print = Mix(print, program->Fingerprint());
  for (int l = 1; l <= plan_.logs; ++l) {
    const Chain& chain = metadata_.value(LogId(static_cast<uint64_t>(l))).chain;
    print =
        Mix(print, std::min<uint64_t>(chain.epochs.size(), 4) | std::min<uint64_t>(chain.checkpoints.size(), 2) << 3 |
                       (chain.pins.empty() ? 0u : 32u) | (chain.trim_lsn > Lsn(0) ? 64u : 0u));
    for (const auto& disk : disks_) print = Mix(print, disk->Fingerprint(LogId(static_cast<uint64_t>(l))));
  }
  coverage_->State(print);
  world_.After(kNsPerMs, [this] { Sample(); });
}

void Stage::Do(const Event& event) {
  if (world_.trace) world_.Say("PLAN  " + ToText(event));
  const auto& args = event.args;
  switch (event.action) {
    case Action::kCut: {
      const NodeId from = node(args[0]), to = node(args[1]);
      if (from == to) return;
      coverage_->Hit(Fault::link_cut);
      world_.Cut(from, to, true);
      return AtEndOf(args[2], [this, from, to] { world_.Cut(from, to, false); });
    }
    case Action::kIsolate: {
      coverage_->Hit(Fault::node_isolated);
      const NodeId alone = node(args[0]);
      const auto cut = [this, alone](bool yes) {
        for (NodeId other = 0; other < nodes_; ++other) {
          if (other == alone) continue;
          world_.Cut(alone, other, yes);
          world_.Cut(other, alone, yes);
        }
      };
      cut(true);
      return AtEndOf(args[1], [cut] { cut(false); });
    }
    case Action::kFreeze: {
      coverage_->Hit(Fault::node_frozen);
      const NodeId frozen = node(args[0]);
      world_.Freeze(frozen, true);
      return AtEndOf(args[1], [this, frozen] { world_.Freeze(frozen, false); });
    }
    case Action::kJump:
      coverage_->Hit(Fault::clock_jump);
      return world_.JumpClock(node(args[0]), args[1] * 1000);
    case Action::kCasReplyLost:
      return metadata_.LoseNextReply(log(args[0]));
    case Action::kCasLate:
      return metadata_.HoldNextCas(log(args[0]), args[1] * 1000);
    case Action::kOutage:
      metadata_.SetOutage(args[0] == 1 ? Metadata::Outage::kRefuses : Metadata::Outage::kSilent);
      return AtEndOf(args[1], [this] { metadata_.SetOutage(Metadata::Outage::kNone); });
    case Action::kLoseSource:
      lose_source_ = &event;
      return;
    case Action::kCrash:
    case Action::kFsyncError:
    case Action::kFull:
    case Action::kSlow:
    case Action::kHang:
    case Action::kFlip:
    case Action::kWipe:
    case Action::kCopy:
    case Action::kRollBack:
    case Action::kDrain:
      return DoToDisk(event);
    default:
      return DoToProgram(event);
  }
}

void Stage::OnCopyFrom(const DiskId& source) {
  const Event* event = std::exchange(lose_source_, nullptr);
  if (event == nullptr) return;
  world_.After(event->args[0] * 1000, [this, event, source] {
    Disk& lost = *disks_[static_cast<size_t>(Disk::NumberOf(source)) - 1];
    if (calm_ || !lost.trusted(source) || !MayLose(lost)) return;
    coverage_->Hit(Fault::source_lost);
    losses_.push_back(world_.now());
    lost.Wipe(event->args[1] * 1000);
    oracle_.Audit();
  });
}

void Stage::DoToDisk(const Event& event) {
  const auto& args = event.args;
  Disk& target = disk(args[0]);
  const auto lose = [&] {
    if (!MayLose(target)) return false;
    if (!target.retired()) losses_.push_back(world_.now());
    return true;
  };
  switch (event.action) {
    case Action::kCrash:
      return target.Crash(static_cast<CrashPoint>(args[1] % 5), args[2] != 0, static_cast<size_t>(args[3]),
                          args[4] * 1000);
    case Action::kFsyncError:
      return target.FailNextSync(args[1] * 1000);
    case Action::kFull:
      coverage_->Hit(Fault::disk_full);
      target.SetFull(true);
      return AtEndOf(args[1], [&target] { target.SetFull(false); });
    case Action::kSlow:
      coverage_->Hit(Fault::disk_slow);
      target.SetSlow(static_cast<int>(args[1]));
      return AtEndOf(args[2], [&target] { target.SetSlow(1); });
    case Action::kHang:
      coverage_->Hit(Fault::disk_hung);
      target.SetHung(true);
      return AtEndOf(args[1], [&target] { target.SetHung(false); });
    case Action::kFlip:
      if (target.trusted(target.id()) && lose()) target.FlipBit(static_cast<uint64_t>(args[1]));
      break;
    case Action::kWipe:
      if (lose()) target.Wipe(args[1] * 1000);
      break;
    case Action::kDrain: {
      coverage_->Hit(Fault::disk_drained);
      const DiskId id = target.id();
      metadata_.SetState(id, DiskState::kDraining);
      return AtEndOf(args[1], [this, id] { metadata_.SetState(id, DiskState::kActive); });
    }
    case Action::kCopy:
      return target.KeepCopy();
    case Action::kRollBack:
      if (target.has_copy() && target.trusted(target.id()) && lose()) target.RollBack(args[1] * 1000);
      break;
    default:
      UNDERSTUDY_CHECK(false);
  }
  oracle_.Audit();
}

void Stage::DoToProgram(const Event& event) {
  const auto& args = event.args;
  if (event.action == Action::kCheckpoint || event.action == Action::kBurst || event.action == Action::kQuiet) {
    const LogId of = log(args[0]);
    if (event.action == Action::kQuiet) {
      const auto quiet = [this, of](bool yes) {
        for (auto& program : programs_) {
          if (program->log() == of) program->SetQuiet(yes);
        }
      };
      quiet(true);
      return AtEndOf(args[1], [quiet] { quiet(false); });
    }
    Application* writer = WriterOf(of);
    if (writer == nullptr) return;
    return event.action == Action::kBurst ? writer->Burst(static_cast<int>(args[1])) : writer->SaveCheckpoint();
  }
  Application& target = program(args[0]);
  Application* writer = WriterOf(target.log());
  switch (event.action) {
    case Action::kKill:
      return target.Kill();
    case Action::kTakeOver: {
      if (target.writing()) return;
      if (writer != nullptr) coverage_->Hit(Reached::takeover_against_living_writer);
      const bool other = std::any_of(programs_.begin(), programs_.end(), [&](const auto& program) {
        return program.get() != &target && program->log() == target.log() && program->taking_over();
      });
      if (other) coverage_->Hit(Reached::takeover_two_at_once);
      return target.TakeOver(LastEpoch(target.log()));
    }
    case Action::kRecover: {
      if (writer != nullptr || target.taking_over() || target.writing()) return;
      return target.TakeOver(LastEpoch(target.log()));
    }
    case Action::kHandOver: {
      Application& to = program((args[0] / plan_.programs) * plan_.programs + args[1]);
      if (writer == nullptr || &to == writer || to.writing()) return;
      const AttemptId attempt = to.DrawAttempt();
      if (!writer->HandOver(&to, attempt, args[2] * 1000)) return;
      return world_.AfterOn(to.node(), args[3] * 1000, [this, &to, attempt] {
        // A node that an operator has switched off adopts nothing.
        if (!to.writing() && !oracle_.given_up(to.log())) to.TakeOver(LastEpoch(to.log()), attempt);
      });
    }
    case Action::kChangeReplicas:
      if (writer != nullptr) writer->ChangeReplicas(static_cast<uint64_t>(args[1]), args[2] * 1000);
      return;
    case Action::kGiveUp:
      return GiveUp(event, 50);
    case Action::kFollow:
      if (!target.writing() && !target.following()) target.Follow();
      return;
    case Action::kMirror:
      if (writer == nullptr || &target == writer || target.writing()) return;
      if (args[1] != 0 && !target.following()) target.Follow();
      return writer->MirrorTo(args[1] != 0 ? &target : nullptr);
    default:
      UNDERSTUDY_CHECK(false);
  }
}

// Too many disks of the open epoch are gone, and its writer: no takeover finds coverage, and an operator gives up what
// only they hold. Nothing that was settled before may hang on them, nor may be about to: a closed epoch that is on no
// disk is beyond help. Of the disks one may be merely away.
void Stage::GiveUp(const Event& event, int tries) {
  Application& target = program(event.args[0]);
  const LogId of = target.log();
  const EpochEntry* last = metadata_.value(of).chain.last();
  if (plan_.logs > 1 || last == nullptr || last->closed() || oracle_.given_up(of).has_value() || calm_) return;
  if (metadata_.CasUnderWay(of)) {
    if (tries > 0) world_.After(kNsPerMs, [this, &event, tries] { GiveUp(event, tries - 1); });
    return;
  }
  Stream pick(static_cast<uint64_t>(event.args[1]));
  std::vector<Disk*> members;
  int lost = 0;
  for (const ReplicaRef& ref : last->disks) {
    Disk* member = disks_[static_cast<size_t>(Disk::NumberOf(ref.disk)) - 1].get();
    if (member->trusted(ref.disk)) {
      members.insert(members.begin() + static_cast<std::ptrdiff_t>(pick.Below(members.size() + 1)), member);
    } else {
      ++lost;
    }
  }
  const int most = static_cast<int>(pick.Between(last->ack_quorum, static_cast<int64_t>(last->disks.size())));
  std::vector<DiskId> victims;
  for (const Disk* member : members) {
    if (lost == most) break;
    victims.push_back(member->id());
    const bool outlived = oracle_.SettledOutlives(victims);
    if (!outlived) victims.pop_back();
    lost += outlived;
  }
  if (lost < last->ack_quorum) return;
  coverage_->Hit(Fault::epoch_given_up);
  for (auto& program : programs_) {  // the old writer's node is off; who takes over may count on what is lost now
    if (program->writing() || program->taking_over()) program->Kill();
  }
  oracle_.GiveUp(of, last->epoch);
  bool silent = event.args[2] != 0;
  for (const DiskId& victim : victims) {
    Disk& gone = *disks_[static_cast<size_t>(Disk::NumberOf(victim)) - 1];
    losses_.push_back(world_.now());
    if (std::exchange(silent, false)) {
      gone.Crash(CrashPoint::kNow, true, 0, event.args[3] * 1000);
    } else {
      gone.Wipe(event.args[3] * 1000);
    }
  }
  world_.After(event.args[4] * 1000, [this, &target, of, epoch = last->epoch] {
    if (oracle_.given_up(of) != epoch || target.writing()) return;
    if (!target.taking_over()) target.TakeOver(epoch);
    target.AcceptLoss();
  });
  oracle_.Audit();
}

}  // namespace understudy::sim

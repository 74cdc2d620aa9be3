// What needs repair, how urgently, and whose turn it is. Looked at afresh at every look at the metadata.
#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "log/epoch/placement.h"
#include "log/epoch/repairer_impl.h"

namespace understudy {
namespace {

constexpr size_t kTurnsMax = 4;  // who comes later still acts in the last of them

// Spreads equal work over equal disks, the same on every server (the finaliser of splitmix64).
uint64_t Mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}
template <class Key>
uint64_t Weight(const Key& key, const DiskId& disk) {
  return Mix(Mix(Mix(Mix(key.log.value()) + key.epoch.value()) + key.checkpoint) + Mix(disk.hi) + disk.lo);
}

}  // namespace

// ---- the metadata ----

void Repairer::Impl::TakeEntries(const RepairLook& look, Instant now) {
  for (auto& [id, disk] : disks) {
    disk.listed = false;
    disk.epochs = disk.checkpoints = 0;
  }
  for (const DiskEntry& entry : look.disks) {
    const auto found = disks.find(entry.disk);
    if (found == disks.end() && disks.size() >= options.disks_max) continue;
    Disk& disk = disks[entry.disk];
    if (disk.entry.address != entry.address) disk.wrong_since.reset();  // it has moved: ask it there
    disk.entry = entry;
    disk.listed = true;
    disk.unlisted_since.reset();
  }
  for (auto& [id, disk] : disks) {
    if (!disk.listed && !disk.unlisted_since) disk.unlisted_since = now;
  }
}

void Repairer::Impl::CountReferences(const RepairLook& look, Instant now) {
  const auto known = [&](const DiskId& id, const std::string& node) -> Disk* {
    const auto found = disks.find(id);
    if (found != disks.end()) return &found->second;
    if (disks.size() >= 2 * options.disks_max) return nullptr;
    Disk& disk = disks[id];
    disk.entry.disk = id;
    disk.entry.node = node;
    disk.unlisted_since = now;
    return &disk;
  };
  for (const VersionedChain& chain : look.chains) {
    for (const EpochEntry& entry : chain.chain.epochs) {
      for (const ReplicaRef& replica : entry.disks) {
        if (Disk* disk = known(replica.disk, replica.node)) ++disk->epochs;
      }
    }
    for (const CheckpointEntry& saved : chain.chain.checkpoints) {
      for (const DiskId& id : saved.disks) {
        if (Disk* disk = known(id, "")) ++disk->checkpoints;
      }
    }
  }
  std::erase_if(disks, [](const auto& entry) {
    return !entry.second.listed && entry.second.epochs + entry.second.checkpoints == 0;
  });
}

void Repairer::Impl::OnLook(const RepairLook& look, Instant now, RepairerEffects* out) {
  ++looks;
  TakeEntries(look, now);
  CountReferences(look, now);
  chains_seen = std::min(look.chains.size(), options.chains_max);
  chains_ignored = look.chains.size() - chains_seen;
  needs_seen = needs_below_quorum = 0;
  if (stopped) return;
  std::vector<Need> found;
  const auto shrink = [&](size_t to) {
    if (found.size() <= to) return;
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(to), found.end(), MoreUrgent);
    found.resize(to);
  };
  for (size_t i = 0; i < chains_seen; ++i) {
    const VersionedChain& chain = look.chains[i];
    for (const EpochEntry& entry : chain.chain.epochs) {
      if (entry.closed()) Judge(chain, entry, now, &found);
    }
    for (const CheckpointEntry& saved : chain.chain.checkpoints) JudgeCheckpoint(chain, saved, now, &found);
    if (found.size() >= 2 * options.needs_max) shrink(options.needs_max);
  }
  shrink(options.needs_max);
  Keep(std::move(found), now, out);
}

int Repairer::Impl::FitOf(const std::vector<ReplicaRef>& members, Instant now) const {
  return static_cast<int>(
      std::count_if(members.begin(), members.end(), [&](const ReplicaRef& member) { return !Lost(member.disk, now); }));
}

bool Repairer::Impl::Held(const Need& need, Lsn trim) const {
  return need.empty(trim) || options.own_tail(need.key.log, need.key.epoch) >= *need.entry.last_lsn;
}

void Repairer::Impl::Judge(const VersionedChain& chain, const EpochEntry& entry, Instant now,
                           std::vector<Need>* found) {
  Need need;
  need.key = {chain.chain.log, entry.epoch, 0};
  need.fit = FitOf(entry.disks, now);
  need.quorum = entry.ack_quorum;
  need.wanted = std::max(chain.chain.replicas_target, entry.ack_quorum);
  const bool lost_some = need.fit < static_cast<int>(entry.disks.size());
  if (need.fit < need.wanted || lost_some) ++needs_seen;
  if (need.below_quorum()) ++needs_below_quorum;
  const bool member = std::any_of(entry.disks.begin(), entry.disks.end(),
                                  [&](const ReplicaRef& replica) { return replica.disk == options.disk.disk; });
  if (Lost(options.disk.disk, now)) return;
  need.entry = entry;
  need.members = entry.disks;
  need.trim = chain.chain.trim_lsn;
  if (member) {
    if (!Held(need, need.trim)) {
      need.kind = Kind::kComplete;
    } else if (need.fit >= need.wanted && lost_some) {
      need.kind = Kind::kDrop;
    } else {
      return;
    }
  } else if (need.fit < need.wanted) {
    need.kind = Kind::kReplace;
  } else {
    return;
  }
  Rank(&need, now);
  if (need.ours) found->push_back(std::move(need));
}

void Repairer::Impl::JudgeCheckpoint(const VersionedChain& chain, const CheckpointEntry& saved, Instant now,
                                     std::vector<Need>* found) {
  Need need;
  need.key = {chain.chain.log, Epoch(), saved.id};
  for (const DiskId& id : saved.disks) {
    const auto disk = disks.find(id);
    need.members.push_back({id, disk == disks.end() ? "" : disk->second.entry.node});
  }
  need.fit = FitOf(need.members, now);
  need.quorum = chain.chain.ack_quorum;
  need.wanted = chain.chain.replicas_target;
  const bool lost_some = need.fit < static_cast<int>(need.members.size());
  if (need.fit < need.wanted || lost_some) ++needs_seen;
  if (need.below_quorum()) ++needs_below_quorum;
  if (Lost(options.disk.disk, now)) return;
  const bool member = std::find(saved.disks.begin(), saved.disks.end(), options.disk.disk) != saved.disks.end();
  if (member && need.fit >= need.wanted && lost_some) {
    need.kind = Kind::kDrop;
  } else if (!member && need.fit < need.wanted) {
    need.kind = Kind::kCheckpoint;
  } else {
    return;
  }
  need.saved = saved;
  Rank(&need, now);
  if (need.ours) found->push_back(std::move(need));
}

// ---- whose turn it is ----

void Repairer::Impl::Rank(Need* need, Instant now) const {
  if (need->kind == Kind::kComplete) {
    need->ours = true;
    return;
  }
  const auto by_weight = [&](const PlacementDisk& a, const PlacementDisk& b) {
    return Weight(need->key, a.disk.disk) < Weight(need->key, b.disk.disk);
  };
  const auto zone_of = [&](const DiskId& id) {
    const auto found = disks.find(id);
    return found == disks.end() ? std::string() : found->second.entry.zone;
  };
  const auto is_member = [&](const DiskId& id) {
    return std::any_of(need->members.begin(), need->members.end(),
                       [&](const ReplicaRef& member) { return member.disk == id; });
  };
  std::vector<PlacementDisk> fit;
  for (const ReplicaRef& member : need->members) {
    if (!Lost(member.disk, now)) fit.push_back({member, zone_of(member.disk), false});
  }
  std::vector<ReplicaRef> order;
  size_t at_once = 1;
  if (need->kind == Kind::kDrop) {
    std::sort(fit.begin(), fit.end(), by_weight);
    for (const PlacementDisk& disk : fit) order.push_back(disk.disk);
  } else {
    at_once = static_cast<size_t>(need->wanted - need->fit);
    std::vector<PlacementDisk> others;
    for (const auto& [id, disk] : disks) {
      if (disk.listed && WordOf(id, now) == Word::kFit && !is_member(id)) {
        others.push_back({{id, disk.entry.node}, disk.entry.zone, false});
      }
    }
    std::sort(others.begin(), others.end(), by_weight);
    std::vector<PlacementDisk> all = fit;
    all.insert(all.end(), others.begin(), others.end());
    for (const ReplicaRef& chosen : PlaceReplicas(all, fit.size() + at_once * kTurnsMax)) {
      if (!is_member(chosen.disk)) order.push_back(chosen);
    }
    need->ours = std::any_of(others.begin(), others.end(),
                             [&](const PlacementDisk& disk) { return disk.disk.disk == options.disk.disk; });
  }
  const auto us =
      std::find_if(order.begin(), order.end(), [&](const ReplicaRef& ref) { return ref.disk == options.disk.disk; });
  if (us != order.end()) need->ours = true;
  need->turn = us == order.end() ? kTurnsMax : static_cast<size_t>(us - order.begin()) / at_once;
  need->before.assign(order.begin(), us);
}

// What the loss of one more disk could end goes first.
bool Repairer::Impl::MoreUrgent(const Need& a, const Need& b) {
  const auto rank = [](const Need& need) {
    return std::tuple(!need.below_quorum(), need.kind == Kind::kDrop, need.kind == Kind::kComplete, need.fit, need.turn,
                      need.since, need.key);
  };
  return rank(a) < rank(b);
}

Instant Repairer::Impl::ReadyAt(const Need& need) const {
  const int64_t patience_ms =
      need.kind == Kind::kComplete ? options.complete_after_ms : static_cast<int64_t>(need.turn) * options.turn_ms;
  return std::max(need.retry_at, need.since + patience_ms * kNsPerMs);
}

void Repairer::Impl::Keep(std::vector<Need> found, Instant now, RepairerEffects* out) {
  for (Need& fresh : found) {
    const auto known = needs.find(fresh.key);
    if (known == needs.end()) {
      fresh.looked = looks;
      fresh.since = now;
      needs.emplace(fresh.key, std::move(fresh));
      continue;
    }
    Need& need = known->second;
    need.looked = looks;
    if (need.running()) continue;  // its own look at the chain decides
    fresh.looked = looks;
    fresh.since = fresh.kind == need.kind ? need.since : now;
    fresh.retry_at = need.retry_at;
    fresh.backoff_ms = need.backoff_ms;
    fresh.failures = need.failures;
    fresh.lost = need.lost;
    fresh.text = std::move(need.text);
    fresh.progress = need.progress;
    need = std::move(fresh);
  }
  std::erase_if(needs, [&](const auto& entry) {
    const Need& need = entry.second;
    if (need.looked == looks || need.running()) return false;
    if (need.lost) {
      out->events.push_back(
          {false, need.key.log, need.key.epoch, need.key.checkpoint, Title(need) + " is whole again, or gone"});
    }
    return true;
  });
}

}  // namespace understudy

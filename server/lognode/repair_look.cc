// What the metadata say, a few times a minute: for the Repairer, and for the housekeeping of this disk.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "log/env/logging.h"
#include "log/store/checkpoint_files.h"
#include "server/lognode/repair.h"

namespace understudy {
namespace {

constexpr uint64_t kSweepEveryLooks = 16;
constexpr size_t kChainsPerPace = 512;  // so many more chains make the pause longer by its length once more

std::string LogsPrefix(const std::string& cluster) {
  std::string key = LogKey(cluster, 0);
  key.pop_back();
  return key;
}

}  // namespace

// Never all servers at once.
void LogNodeImpl::Repair::LookLater() {
  const int64_t pause_ms = node_->options_.repair_look_ms * static_cast<int64_t>(1 + chains_seen_ / kChainsPerPace);
  const int64_t jitter_ms = static_cast<int64_t>(random_->Below(static_cast<uint64_t>(pause_ms) / 2 + 1));
  node_->loop_->At(node_->Now() + (pause_ms * 3 / 4 + jitter_ms) * kNsPerMs, [this] {
    if (!closed_) Look();
  });
}

// Nothing is decided without the metadata; repair waits for them.
void LogNodeImpl::Repair::LookFailed(const Status& why) {
  if (!look_failed_) LogWarning("repair", "the metadata cannot be looked at: " + why.ToString() + "; trying again");
  look_failed_ = true;
  LookLater();
}

// Chains before disks: whoever is named by a chain had an entry by then.
void LogNodeImpl::Repair::Look() {
  if (node_->dead_) return;
  const std::string& cluster = node_->options_.cluster;
  const auto lists = std::make_shared<Lists>();
  metadata_.List(LogsPrefix(cluster), kRepairChainsMax + 1, [this, lists](Result<std::vector<MetadataEntry>> chains) {
    if (!chains.ok()) return LookFailed(chains.status());
    lists->complete = chains->size() <= kRepairChainsMax;
    lists->chains = std::move(chains).value();
    metadata_.List(DiskKey(node_->options_.cluster, ""), kRepairDisksMax,
                   [this, lists](Result<std::vector<MetadataEntry>> disks) {
                     if (!disks.ok()) return LookFailed(disks.status());
                     look_failed_ = false;
                     lists->disks = std::move(disks).value();
                     const bool posted = node_->OnPool(
                         0, [this, lists] { Decode(lists); }, [this, lists] { Looked(lists); });
                     if (!posted) LookLater();
                   });
  });
}

// On the pool: thousands of chains take a while.
void LogNodeImpl::Repair::Decode(const std::shared_ptr<Lists>& lists) {
  for (const MetadataEntry& entry : lists->chains) {
    Result<Chain> chain = DecodeChain(entry.value);
    if (chain.ok()) {
      lists->look.chains.push_back({entry.version, std::move(chain).value()});
    } else {
      lists->complete = false;
      LogWarning("repair", entry.key + ": " + chain.status().ToString());
    }
  }
  for (const MetadataEntry& entry : lists->disks) {
    Result<DiskEntry> disk = DecodeDiskEntry(entry.value);
    if (disk.ok()) {
      lists->disk_versions[disk->disk] = entry.version;
      lists->look.disks.push_back(std::move(disk).value());
    } else {
      LogWarning("repair", entry.key + ": " + disk.status().ToString());
    }
  }
}

void LogNodeImpl::Repair::Looked(const std::shared_ptr<Lists>& lists) {
  if (node_->dead_) return;
  chains_seen_ = lists->look.chains.size();
  UseQuotas(lists->look.chains);
  Step(lists->look);
  Perform();
  if (!node_->replica_.retired()) {
    Trim(lists->look.chains);
    if (looks_++ % kSweepEveryLooks == 0) SweepCheckpoints(lists->look.chains);
  }
  if (lists->complete) {
    ForgetReplacedDisks(*lists);
    OfferReplacement(*lists);
  }
  LookLater();
}

void LogNodeImpl::Repair::UseQuotas(const std::vector<VersionedChain>& chains) {
  std::unordered_map<LogId, uint64_t> quotas;
  for (const VersionedChain& chain : chains) {
    if (chain.chain.quota_bytes != 0) quotas[chain.chain.log] = chain.chain.quota_bytes;
  }
  node_->quota_.UseOwn(std::move(quotas));
}

// Trims are told to the disks that a chain lists at that time. Who was away, or was replaced, learns of them here.
void LogNodeImpl::Repair::Trim(const std::vector<VersionedChain>& chains) {
  std::map<LogId, Lsn> told;
  for (const VersionedChain& chain : chains) {
    const LogId log = chain.chain.log;
    const Lsn trim = chain.chain.trim_lsn;
    if (trim == Lsn(0) || node_->replica_.StatusOf(log, node_->Now()).code != StatusCode::kOk) continue;
    told[log] = trim;
    const auto before = trimmed_.find(log);
    if (before != trimmed_.end() && before->second >= trim) continue;
    node_->Step(ReplicaTrim{node_->trims_.Add([](const TrimResponse&) {}), {log, node_->disk(), trim}});
  }
  trimmed_ = std::move(told);
  node_->Perform();
}

// Ids grow, and below the newest that is listed none is listed any more: what is there and not listed is of a writer
// that died or was deposed, of a disk that was left behind or away, or of a delete that was lost.
void LogNodeImpl::Repair::SweepCheckpoints(const std::vector<VersionedChain>& chains) {
  const auto listed = std::make_shared<std::map<LogId, std::set<uint64_t>>>();
  for (const VersionedChain& chain : chains) {
    for (const CheckpointEntry& entry : chain.chain.checkpoints) (*listed)[chain.chain.log].insert(entry.id);
  }
  const auto garbage = std::make_shared<std::vector<CheckpointName>>();
  CheckpointFiles* files = &node_->store_->checkpoints();
  const auto look = [files, listed, garbage] {
    std::vector<CheckpointName> names = files->ListUnfinished();
    for (const StoredCheckpoint& stored : files->List()) names.push_back({stored.log, stored.id});
    for (const CheckpointName& name : names) {
      const auto ids = listed->find(name.log);
      if (ids != listed->end() && name.id < *ids->second.rbegin() && !ids->second.contains(name.id)) {
        garbage->push_back(name);
      }
    }
  };
  const auto sweep = [this, files, garbage] {
    for (const CheckpointName& name : *garbage) {
      const auto remove = [files, name] {
        const Status deleted = files->Delete(name.log, name.id);
        if (!deleted.ok()) LogWarning("repair", "deleting an old checkpoint: " + deleted.ToString());
      };
      // In turn with other calls for the same file. A full pool: the next time.
      (void)node_->OnPool(CheckpointAffinity(name.log, name.id), remove, [] {});
    }
  };
  (void)node_->OnPool(0, look, sweep);
}

// We are who listens here; a disk that was served at this address and is not ours will not come back to it. Seen twice
// without anybody who refers to it, it leaves the metadata.
void LogNodeImpl::Repair::ForgetReplacedDisks(const Lists& lists) {
  std::set<DiskId> now;
  const std::string& ours = node_->advertised();
  for (const DiskEntry& entry : lists.look.disks) {
    if (entry.disk == node_->disk() || entry.address != ours || entry.node != node_->options_.node) continue;
    if (core_.References(entry.disk).value_or(1) != 0) continue;
    now.insert(entry.disk);
    if (!unreferenced_.contains(entry.disk)) continue;
    LogInfo("repair", "disk " + ToHex(entry.disk) + " was served here before, and nothing refers to it any more");
    metadata_.CompareAndDelete(DiskKey(node_->options_.cluster, ToHex(entry.disk)), lists.disk_versions.at(entry.disk),
                               [](const Result<uint64_t>&) {});
  }
  unreferenced_ = std::move(now);
}

// Our own disk is retired, and all that it held is elsewhere: its entry goes first, then a new disk may take its place.
void LogNodeImpl::Repair::OfferReplacement(const Lists& lists) {
  const DiskId disk = node_->disk();
  const bool unreferenced = node_->replica_.retired() && core_.References(disk).value_or(1) == 0;
  const bool before = std::exchange(ours_unreferenced_, unreferenced);
  if (!unreferenced || !before || node_->on_replaceable_ == nullptr) return;
  const auto version = lists.disk_versions.find(disk);
  const auto replace = [this, disk](const Result<uint64_t>& forgotten) {
    if (!forgotten.ok() || node_->on_replaceable_ == nullptr) return;
    LogInfo("repair", "disk " + ToHex(disk) + " is retired and nothing refers to it any more");
    std::exchange(node_->on_replaceable_, nullptr)();
  };
  if (version == lists.disk_versions.end()) return replace(uint64_t{0});
  metadata_.CompareAndDelete(DiskKey(node_->options_.cluster, ToHex(disk)), version->second, replace);
}

}  // namespace understudy

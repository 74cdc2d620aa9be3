#include "client/writer/disk_probe.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "log/format/disk_entry.h"

namespace understudy {
namespace {

constexpr size_t kDisksMax = 10'000;
constexpr int64_t kProbeTimeoutMs = 500;

// Different for each log and disk, the same every time (a step of splitmix64).
uint64_t Draw(LogId log, const DiskId& disk) {
  uint64_t x = log.value() * 0x9E3779B97F4A7C15 + disk.hi * 0xBF58476D1CE4E5B9 + disk.lo;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

}  // namespace

struct DiskProbe::Impl : std::enable_shared_from_this<DiskProbe::Impl> {
  using Rank = std::tuple<int64_t, uint64_t>;

  void Start(Cluster* cluster, LogId log) {
    cluster->List(
        DiskKey(cluster->name(), ""), kDisksMax,
        [self = shared_from_this(), cluster, log](Result<std::vector<MetadataEntry>> entries) {
          if (self->closed) return;
          std::vector<CandidateDisk> disks;
          if (entries.ok()) {
            for (const MetadataEntry& item : *entries) {
              const Result<DiskEntry> entry = DecodeDiskEntry(item.value);
              if (!entry.ok()) continue;
              self->listed.push_back(
                  {{entry->disk, entry->node}, entry->address, entry->zone, entry->state != DiskState::kActive});
              cluster->Learn(entry->disk, entry->address);
              // What is retired cannot take a new epoch.
              if (entry->state != DiskState::kRetired) disks.push_back(self->listed.back());
            }
          }
          self->unanswered = disks.size();
          if (disks.empty()) self->found({}, true);
          for (const CandidateDisk& disk : disks) self->Ask(cluster, log, disk);
        });
  }

  void Ask(Cluster* cluster, LogId log, const CandidateDisk& disk) {
    cluster->LogServer(disk.address, Traffic::kAppend)
        ->ReplicaStatus(
            {log, disk.disk.disk}, kProbeTimeoutMs,
            [self = shared_from_this(), log, disk](Result<ReplicaStatusResponse> answer) {
              if (self->closed) return;
              --self->unanswered;
              if (answer.ok() && answer->code != StatusCode::kWrongDisk && answer->code != StatusCode::kDataUnknown) {
                if (answer->code == StatusCode::kOk) self->commit = std::max(self->commit, answer->commit);
                self->Add(disk, std::tuple(answer->open_epochs, Draw(log, disk.disk.disk)));
              }
              self->found(self->alive, self->unanswered == 0);
            });
  }

  void Add(const CandidateDisk& disk, Rank rank) {
    const auto at = std::upper_bound(ranks.begin(), ranks.end(), rank);
    alive.insert(alive.begin() + (at - ranks.begin()), disk);
    ranks.insert(at, rank);
  }

  Found found;
  std::vector<CandidateDisk> listed;
  std::vector<CandidateDisk> alive;
  std::vector<Rank> ranks;  // of `alive`, ascending
  Lsn commit;
  size_t unanswered = 0;
  bool closed = false;
};

DiskProbe::DiskProbe(Cluster* cluster, LogId log, Found found) : impl_(std::make_shared<Impl>()) {
  impl_->found = std::move(found);
  impl_->Start(cluster, log);
}

DiskProbe::~DiskProbe() { impl_->closed = true; }

const std::vector<CandidateDisk>& DiskProbe::listed() const { return impl_->listed; }
Lsn DiskProbe::commit() const { return impl_->commit; }

}  // namespace understudy

#include "client/writer/disk_probe.h"

#include <optional>
#include <utility>

#include "log/format/disk_entry.h"

namespace understudy {
namespace {

constexpr size_t kDisksMax = 10'000;
constexpr int64_t kProbeTimeoutMs = 500;

// Nullopt for what cannot take a new epoch.
std::optional<CandidateDisk> ParseDisk(const MetadataEntry& listed) {
  Result<DiskEntry> entry = DecodeDiskEntry(listed.value);
  if (!entry.ok() || entry->state == DiskState::kRetired) return std::nullopt;
  return CandidateDisk{{entry->disk, entry->node}, entry->address, entry->zone, entry->state == DiskState::kDraining};
}

}  // namespace

struct DiskProbe::Impl : std::enable_shared_from_this<DiskProbe::Impl> {
  void Start(Cluster* cluster, LogId log) {
    cluster->List(DiskKey(cluster->name(), ""), kDisksMax,
                  [self = shared_from_this(), cluster, log](Result<std::vector<MetadataEntry>> entries) {
                    if (self->closed) return;
                    std::vector<CandidateDisk> disks;
                    if (entries.ok()) {
                      for (const MetadataEntry& entry : *entries) {
                        if (const std::optional<CandidateDisk> disk = ParseDisk(entry)) disks.push_back(*disk);
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
            [self = shared_from_this(), disk](Result<ReplicaStatusResponse> answer) {
              if (self->closed) return;
              --self->unanswered;
              if (answer.ok() && answer->code != StatusCode::kWrongDisk && answer->code != StatusCode::kDataUnknown) {
                self->alive.push_back(disk);
              }
              self->found(self->alive, self->unanswered == 0);
            });
  }

  Found found;
  std::vector<CandidateDisk> alive;
  size_t unanswered = 0;
  bool closed = false;
};

DiskProbe::DiskProbe(Cluster* cluster, LogId log, Found found) : impl_(std::make_shared<Impl>()) {
  impl_->found = std::move(found);
  impl_->Start(cluster, log);
}

DiskProbe::~DiskProbe() { impl_->closed = true; }

}  // namespace understudy

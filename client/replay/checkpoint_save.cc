#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "client/replay/checkpoint_io.h"
#include "log/env/logging.h"
#include "log/epoch/retention.h"
#include "log/format/crc32c.h"

namespace understudy {
namespace {

constexpr size_t kChunkBytes = 1u << 20;
constexpr size_t kChunksInFlight = 4;  // per disk
constexpr int64_t kChunkTimeoutMs = 30'000;

// One disk's copy. A disk that fails once, or is left behind, gets nothing more: repair makes its copy good.
struct Copy {
  DiskId disk;
  size_t in_flight = 0;
  Status failed;
};

// Shared with answers that may come after the writer has given up.
struct Copies {
  std::mutex mutex;
  std::condition_variable answered;
  std::vector<Copy> disks;
};

class ChunkedWriter : public CheckpointWriter {
 public:
  ChunkedWriter(const CheckpointTarget& target, uint64_t id) : target_(target), id_(id), began_(Now()) {
    for (const ReplicaRef& replica : target.epoch.disks) copies_->disks.push_back({replica.disk, 0, {}});
  }

  Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const size_t count = std::min(bytes.size(), kChunkBytes - buffer_.size());
      buffer_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (buffer_.size() == kChunkBytes) UNDERSTUDY_RETURN_IF_ERROR(Flush(false));
    }
    return Status::Ok();
  }

  // Waits until every disk that still counts has made its copy durable.
  Result<std::vector<DiskId>> Finish() {
    UNDERSTUDY_RETURN_IF_ERROR(Flush(true));
    std::unique_lock<std::mutex> lock(copies_->mutex);
    WaitForAll(&lock, [](const Copy& copy) { return copy.in_flight == 0; });
    UNDERSTUDY_RETURN_IF_ERROR(EnoughLeft());
    std::vector<DiskId> durable;
    for (const Copy& copy : copies_->disks) {
      if (copy.failed.ok()) {
        durable.push_back(copy.disk);
      } else {
        LogWarning("checkpoint", "checkpoint " + std::to_string(id_) + " of log " +
                                     std::to_string(target_.chains->log().value()) + " has no copy on disk " +
                                     ToHex(copy.disk) + " until repair makes one: " + copy.failed.ToString());
      }
    }
    return durable;
  }

  uint64_t bytes() const { return offset_; }

 private:
  Status EnoughLeft() const {
    int left = 0;
    Status why;
    for (const Copy& copy : copies_->disks) {
      left += copy.failed.ok() ? 1 : 0;
      if (!copy.failed.ok()) why = copy.failed.WithContext("disk " + ToHex(copy.disk));
    }
    return left >= target_.epoch.ack_quorum ? Status::Ok() : why;
  }

  Status Flush(bool last) {
    CheckpointChunk chunk;
    chunk.log = target_.chains->log();
    chunk.id = id_;
    chunk.offset = offset_;
    chunk.bytes = std::move(buffer_);
    chunk.crc32c = Crc32c(chunk.bytes);
    chunk.last = last;
    offset_ += chunk.bytes.size();
    buffer_.clear();
    std::vector<size_t> to;
    {
      std::unique_lock<std::mutex> lock(copies_->mutex);
      WaitForAll(&lock, [](const Copy& copy) { return copy.in_flight < kChunksInFlight; });
      UNDERSTUDY_RETURN_IF_ERROR(EnoughLeft());
      for (size_t i = 0; i < copies_->disks.size(); ++i) {
        if (!copies_->disks[i].failed.ok()) continue;
        ++copies_->disks[i].in_flight;
        to.push_back(i);
      }
    }
    for (const size_t i : to) {
      chunk.disk = copies_->disks[i].disk;
      Send(i, chunk);
    }
    return Status::Ok();
  }

  // Until all that still count are `ready`. Those that are not when a quorum is are waited for only so long, and then
  // left behind: a disk that hardly works must not keep the log from being trimmed.
  void WaitForAll(std::unique_lock<std::mutex>* lock, const std::function<bool(const Copy&)>& ready) {
    const auto count = [&](bool wanted) {
      return std::count_if(copies_->disks.begin(), copies_->disks.end(),
                           [&](const Copy& copy) { return copy.failed.ok() && ready(copy) == wanted; });
    };
    const auto all = [&] { return count(false) == 0; };
    const auto quorum = [&] { return count(true) >= target_.epoch.ack_quorum; };
    while (!all()) {
      copies_->answered.wait(*lock, [&] { return all() || quorum(); });
      const Instant now = Now();
      // As long again as the work itself has taken, and the patience on top.
      const int64_t left_ns = target_.patience_ms * kNsPerMs + (now - began_) - 2 * waited_ns_;
      copies_->answered.wait_for(*lock, std::chrono::nanoseconds(std::max<int64_t>(0, left_ns)),
                                 [&] { return all() || !quorum(); });
      waited_ns_ += Now() - now;
      if (Now() - now < left_ns || !quorum()) continue;
      for (Copy& copy : copies_->disks) {
        if (copy.failed.ok() && !ready(copy)) copy.failed = {StatusCode::kDeadlineExceeded, "far behind the others"};
      }
    }
  }

  void Send(size_t index, const CheckpointChunk& chunk) {
    auto answer = [copies = copies_, index](Result<CheckpointWriteResponse> response) {
      const std::lock_guard<std::mutex> lock(copies->mutex);
      Copy& copy = copies->disks[index];
      --copy.in_flight;
      if (!response.ok()) {
        copy.failed = response.status();
      } else if (response->code != StatusCode::kOk) {
        copy.failed = Status(response->code, response->detail);
      }
      copies->answered.notify_all();
    };
    target_.runtime->Run([cluster = target_.cluster, chunk, answer] {
      cluster->AddressOf(chunk.disk, [cluster, chunk, answer](Result<std::string> address) {
        if (!address.ok()) return answer(address.status());
        cluster->LogServer(*address, Traffic::kBulk)->CheckpointWrite(chunk, kChunkTimeoutMs, answer);
      });
    });
  }

  Instant Now() const { return target_.runtime->loop()->clock()->Now(); }

  const CheckpointTarget& target_;
  const uint64_t id_;
  const Instant began_;
  int64_t waited_ns_ = 0;  // for disks that are slower than a quorum
  const std::shared_ptr<Copies> copies_ = std::make_shared<Copies>();
  std::string buffer_;
  uint64_t offset_ = 0;
};

Result<VersionedChain> EditChain(const CheckpointTarget& target, ChainStore::Change change) {
  return target.runtime->CallFromBackground<Result<VersionedChain>>(
      [&target, &change](std::function<void(Result<VersionedChain>)> done) {
        target.chains->Edit(change, std::move(done));
      });
}

Status StillOurs(const CheckpointTarget& target, const Chain& chain) {
  const EpochEntry* last = chain.last();
  if (last != nullptr && last->epoch == target.epoch.epoch && last->attempt == target.epoch.attempt) {
    return Status::Ok();
  }
  return {StatusCode::kFenced, "the epoch is no longer ours"};
}

// Best effort: what fails here is done by the next checkpoint.
void DeleteOnDisks(const CheckpointTarget& target, Lsn trim_lsn, const std::vector<DiskId>& disks,
                   const std::vector<CheckpointEntry>& removed) {
  target.runtime->Run([cluster = target.cluster, log = target.chains->log(), trim_lsn, disks, removed] {
    const int64_t timeout_ms = cluster->rpc_timeout_ms();
    for (const DiskId& disk : disks) {
      if (trim_lsn == Lsn(0)) break;
      cluster->AddressOf(
          disk, [cluster, timeout_ms, request = TrimRequest{log, disk, trim_lsn}](Result<std::string> address) {
            if (address.ok()) {
              cluster->LogServer(*address, Traffic::kBulk)->Trim(request, timeout_ms, [](Result<TrimResponse>) {});
            }
          });
    }
    for (const CheckpointEntry& entry : removed) {
      for (const DiskId& disk : entry.disks) {
        cluster->AddressOf(disk, [cluster, timeout_ms,
                                  request = CheckpointDeleteRequest{log, disk, entry.id}](Result<std::string> address) {
          if (address.ok()) {
            cluster->LogServer(*address, Traffic::kBulk)
                ->CheckpointDelete(request, timeout_ms, [](Result<CheckpointWriteResponse>) {});
          }
        });
      }
    }
  });
}

}  // namespace

Result<CheckpointInfo> SaveCheckpoint(const CheckpointTarget& target, Snapshot* snapshot, Lsn lsn) {
  // The id first, by a compare-and-swap of its own: a deposed primary and its heir never write to the same file.
  CheckpointEntry entry;
  const Result<VersionedChain> numbered = EditChain(target, [&](Chain* chain) -> Result<bool> {
    UNDERSTUDY_RETURN_IF_ERROR(StillOurs(target, *chain));
    entry.id = chain->next_checkpoint_id++;
    return true;
  });
  if (!numbered.ok()) return numbered.status();

  ChunkedWriter writer(target, entry.id);
  const Status written = snapshot->Write(writer).WithContext("writing the snapshot");
  Result<std::vector<DiskId>> disks = written.ok() ? writer.Finish() : Result<std::vector<DiskId>>(written);
  if (!disks.ok()) {
    for (const ReplicaRef& replica : target.epoch.disks) entry.disks.push_back(replica.disk);
    DeleteOnDisks(target, Lsn(0), {}, {entry});
    return disks.status();
  }
  entry.lsn = lsn;
  entry.bytes = writer.bytes();
  entry.disks = std::move(disks).value();

  const Status committed = target.runtime->CallFromBackground<Status>(
      [&](std::function<void(Status)> done) { target.when_committed(lsn, std::move(done)); });
  UNDERSTUDY_RETURN_IF_ERROR(committed);

  std::vector<DiskId> all_disks;
  std::vector<CheckpointEntry> removed;
  const Result<VersionedChain> listed = EditChain(target, [&](Chain* chain) -> Result<bool> {
    all_disks.clear();
    removed.clear();
    for (const CheckpointEntry& known : chain->checkpoints) {
      if (known.id == entry.id) return false;  // an earlier try of ours has landed
    }
    UNDERSTUDY_RETURN_IF_ERROR(StillOurs(target, *chain));
    // A newer one of the same LSN, too: ours may have been listed, replaced and deleted while we tried again.
    if (!chain->checkpoints.empty() &&
        (chain->checkpoints.back().lsn > entry.lsn || chain->checkpoints.back().id > entry.id)) {
      return Status(StatusCode::kFailedPrecondition, "a newer checkpoint is listed already");
    }
    chain->checkpoints.push_back(entry);
    for (const EpochEntry& epoch : chain->epochs) {
      for (const ReplicaRef& replica : epoch.disks) all_disks.push_back(replica.disk);
    }
    std::sort(all_disks.begin(), all_disks.end());
    all_disks.erase(std::unique(all_disks.begin(), all_disks.end()), all_disks.end());
    RetainNewest(chain, target.runtime->loop()->clock()->WallUnixMs(), &removed);
    return true;
  });
  if (!listed.ok()) return listed.status();
  DeleteOnDisks(target, listed->chain.trim_lsn, all_disks, removed);
  return CheckpointInfo{entry.id, entry.lsn, entry.bytes};
}

}  // namespace understudy

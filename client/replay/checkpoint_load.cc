#include <algorithm>
#include <cstring>
#include <deque>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "client/replay/checkpoint_io.h"
#include "log/format/crc32c.h"

namespace understudy {
namespace {

constexpr uint32_t kChunkBytes = 1u << 20;
constexpr size_t kChunksAhead = 4;
// A disk that hangs is left soon for another one. When none answers so fast, all of them get longer.
constexpr int64_t kChunkTimeoutMs = 2'000;
constexpr int64_t kChunkTimeoutMsMax = 10'000;

class RemoteCheckpointReader : public CheckpointReader {
 public:
  RemoteCheckpointReader(Runtime* runtime, Cluster* cluster, LogId log, CheckpointEntry checkpoint)
      : runtime_(runtime), cluster_(cluster), log_(log), checkpoint_(std::move(checkpoint)) {}

  Result<size_t> Read(char* buffer, size_t size) override {
    if (!failed_.ok()) return failed_;
    while (at_ == current_.size()) {
      if (offset_ == checkpoint_.bytes) return size_t{0};
      const Status next = NextChunk();
      if (!next.ok()) {
        failed_ = next;
        return next;
      }
    }
    const size_t count = std::min(size, current_.size() - at_);
    std::memcpy(buffer, current_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  struct Ask {
    uint64_t offset = 0;
    std::promise<Result<CheckpointReadResponse>> promise;
    std::future<Result<CheckpointReadResponse>> response = promise.get_future();
  };

  std::shared_ptr<Ask> Begin(uint64_t offset, const DiskId& disk) {
    auto ask = std::make_shared<Ask>();
    ask->offset = offset;
    CheckpointReadRequest request;
    request.log = log_;
    request.disk = disk;
    request.id = checkpoint_.id;
    request.offset = offset;
    request.bytes_max = static_cast<uint32_t>(std::min<uint64_t>(kChunkBytes, checkpoint_.bytes - offset));
    runtime_->Run([cluster = cluster_, ask, request, timeout_ms = timeout_ms_] {
      cluster->AddressOf(request.disk, [cluster, ask, request, timeout_ms](Result<std::string> address) {
        auto finish = [ask](Result<CheckpointReadResponse> response) { ask->promise.set_value(std::move(response)); };
        if (!address.ok()) return finish(address.status());
        cluster->LogServer(*address, Traffic::kBulk)->CheckpointRead(request, timeout_ms, finish);
      });
    });
    return ask;
  }

  Status Check(const Result<CheckpointReadResponse>& answer) const {
    if (!answer.ok()) return answer.status();
    const CheckpointReadResponse& response = *answer;
    if (response.code != StatusCode::kOk) return {response.code, response.detail};
    if (response.bytes.empty() || response.bytes.size() > kChunkBytes || response.total_bytes != checkpoint_.bytes) {
      return {StatusCode::kCorruption, "checkpoint " + std::to_string(checkpoint_.id) + " is of another length"};
    }
    if (Crc32c(response.bytes) != response.crc32c) {
      return {StatusCode::kCorruption, "checkpoint " + std::to_string(checkpoint_.id) + ": checksum mismatch"};
    }
    return Status::Ok();
  }

  // A disk that fails is left for the next one; when all have failed twice, the last one's reason is the answer.
  Status NextChunk() {
    Status why(StatusCode::kNotFound, "the checkpoint is on no disk");
    for (size_t tries = 0; tries < 2 * checkpoint_.disks.size(); ++tries) {
      if (tries == checkpoint_.disks.size()) timeout_ms_ = kChunkTimeoutMsMax;
      for (uint64_t next = ahead_.empty() ? offset_ : ahead_.back()->offset + kChunkBytes;
           ahead_.size() < kChunksAhead && next < checkpoint_.bytes; next += kChunkBytes) {
        ahead_.push_back(Begin(next, checkpoint_.disks[disk_]));
      }
      const std::shared_ptr<Ask> ask = ahead_.front();
      ahead_.pop_front();
      Result<CheckpointReadResponse> answer = ask->response.get();
      why = Check(answer);
      if (why.ok() && answer->bytes.size() != std::min<uint64_t>(kChunkBytes, checkpoint_.bytes - offset_)) {
        why = {StatusCode::kCorruption, "checkpoint " + std::to_string(checkpoint_.id) + ": a short chunk"};
      }
      if (why.ok()) {
        current_ = std::move(answer).value().bytes;
        at_ = 0;
        offset_ += current_.size();
        return why;
      }
      disk_ = (disk_ + 1) % checkpoint_.disks.size();
      ahead_.clear();
    }
    return why;
  }

  Runtime* const runtime_;
  Cluster* const cluster_;
  const LogId log_;
  const CheckpointEntry checkpoint_;
  size_t disk_ = 0;
  int64_t timeout_ms_ = kChunkTimeoutMs;
  std::deque<std::shared_ptr<Ask>> ahead_;
  uint64_t offset_ = 0;  // of what comes after current_
  std::string current_;
  size_t at_ = 0;
  Status failed_;
};

}  // namespace

std::unique_ptr<CheckpointReader> OpenCheckpoint(Runtime* runtime, Cluster* cluster, LogId log,
                                                 const CheckpointEntry& checkpoint) {
  return std::make_unique<RemoteCheckpointReader>(runtime, cluster, log, checkpoint);
}

}  // namespace understudy

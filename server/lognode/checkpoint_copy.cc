// Copies a checkpoint from another disk to this one, a piece at a time, under the budget.
#include <algorithm>
#include <utility>

#include "log/format/crc32c.h"
#include "log/store/checkpoint_files.h"
#include "server/lognode/repair.h"

namespace understudy {
namespace {

constexpr uint32_t kPieceBytes = 256u << 10;
constexpr int64_t kReadTimeoutMs = 10'000;

}  // namespace

void LogNodeImpl::Repair::StartCopy(const CopyCheckpoint& order) {
  auto copy = std::make_shared<Copy>();
  copy->order = order;
  ReadPiece(copy);
}

void LogNodeImpl::Repair::EndCopy(const std::shared_ptr<Copy>& copy, Status status) {
  Step(RepairCheckpointCopied{copy->order.token, std::move(status)});
  Perform();
}

// `denied`: the source has no such checkpoint, and said so itself.
void LogNodeImpl::Repair::NextSource(const std::shared_ptr<Copy>& copy, const std::string& why, bool denied) {
  copy->offset = 0;
  copy->denials += denied;
  if (++copy->source >= copy->order.sources.size()) {
    const bool nobody = copy->denials == copy->order.sources.size();
    return EndCopy(copy, {nobody ? StatusCode::kNotFound : StatusCode::kUnavailable, why});
  }
  ReadPiece(copy);
}

void LogNodeImpl::Repair::ReadPiece(const std::shared_ptr<Copy>& copy) {
  const Instant now = node_->Now();
  const Instant at = node_->budget_.ReadyAt(now);
  if (at > now) {
    node_->loop_->At(at, [this, copy] {
      if (!closed_) ReadPiece(copy);
    });
    return;
  }
  node_->budget_.Spend(kPieceBytes, now);
  const FetchSource& source = copy->order.sources[copy->source];
  CheckpointReadRequest request;
  request.log = copy->order.log;
  request.disk = source.disk;
  request.id = copy->order.id;
  request.offset = copy->offset;
  request.bytes_max = kPieceBytes;
  node_->Use(source.address, [this, request, copy](LogServiceClient* client, const std::function<void()>& used) {
    client->CheckpointRead(
        request, kReadTimeoutMs,
        [this, alive = std::weak_ptr<bool>(node_->alive_), copy, used](Result<CheckpointReadResponse> answer) {
          if (alive.expired()) return;
          used();
          if (!answer.ok()) return NextSource(copy, answer.status().ToString(), false);
          if (answer->code != StatusCode::kOk) {
            const bool denied = answer->code == StatusCode::kNotFound || answer->code == StatusCode::kDataUnknown ||
                                answer->code == StatusCode::kWrongDisk;
            return NextSource(copy, std::string(StatusCodeName(answer->code)) + ": " + answer->detail, denied);
          }
          const uint64_t end = copy->offset + answer->bytes.size();
          const bool whole = answer->total_bytes == copy->order.bytes && end <= answer->total_bytes &&
                             (!answer->bytes.empty() || end == answer->total_bytes);
          if (!whole || Crc32c(answer->bytes) != answer->crc32c) {
            const bool another = answer->total_bytes != copy->order.bytes;
            return NextSource(copy, another ? "a source has another checkpoint" : "a source sent damaged bytes",
                              another);
          }
          WritePiece(copy, std::make_shared<CheckpointReadResponse>(std::move(answer).value()));
        });
  });
}

void LogNodeImpl::Repair::WritePiece(const std::shared_ptr<Copy>& copy,
                                     const std::shared_ptr<CheckpointReadResponse>& piece) {
  const LogId log = copy->order.log;
  const uint64_t id = copy->order.id;
  const bool last = copy->offset + piece->bytes.size() == copy->order.bytes;
  CheckpointFiles* files = &node_->store_->checkpoints();
  const auto written = std::make_shared<Status>();
  const auto write = [=, offset = copy->offset, bytes = copy->order.bytes] {
    *written = files->WriteChunk(log, id, offset, piece->bytes, piece->crc32c, last);
    if (written->code() != StatusCode::kAlreadyExists) return;
    const Result<CheckpointBytes> there = files->Read(log, id, 0, 1);
    if (there.ok() && there->total_bytes == bytes) return;
    // Not the one that is listed, or not readable: it is nobody's.
    if (const Status deleted = files->Delete(log, id); !deleted.ok())
      *written = deleted;
    else
      *written = {StatusCode::kUnavailable, "another file had its name"};
  };
  const auto then = [this, copy, piece, written, last] {
    if (written->code() == StatusCode::kAlreadyExists) return EndCopy(copy, Status::Ok());
    if (!written->ok() || last) return EndCopy(copy, *written);
    copy->offset += piece->bytes.size();
    ReadPiece(copy);
  };
  if (!node_->OnPool(CheckpointAffinity(log, id), write, then)) {
    EndCopy(copy, {StatusCode::kResourceExhausted, "too many calls wait for the disk"});
  }
}

}  // namespace understudy

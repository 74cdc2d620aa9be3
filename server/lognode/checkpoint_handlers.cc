// Checkpoint files. All of it waits for the disk, so all of it runs on the pool; chunks of one checkpoint in order.
#include "log/store/checkpoint_files.h"
#include "server/lognode/log_node_impl.h"

namespace understudy {
namespace {

const Status& PoolIsFull() {
  static const Status status(StatusCode::kResourceExhausted, "too many checkpoint calls wait for the disk");
  return status;
}

}  // namespace

Status LogNodeImpl::CheckpointAllowed(DiskId disk, bool writes) const {
  if (disk != store_->disk_id()) {
    return {StatusCode::kWrongDisk, "this server holds disk " + ToHex(store_->disk_id())};
  }
  if (closed_) return {StatusCode::kUnavailable, "the log server is stopping"};
  if (writes && dead_) return {StatusCode::kIoError, "the disk failed; the log server is stopping"};
  if (writes && replica_.retired())
    return {StatusCode::kDataUnknown, "the disk is retired: " + store_->retired_reason()};
  return Status::Ok();
}

void LogNodeImpl::CheckpointWrite(CheckpointChunk chunk, Reply<CheckpointWriteResponse> reply) {
  Status refused = CheckpointAllowed(chunk.disk, true);
  if (refused.ok() && chunk.bytes.size() > kCheckpointChunkBytesMax) {
    refused = {StatusCode::kInvalidArgument,
               "chunk longer than " + std::to_string(kCheckpointChunkBytesMax) + " bytes"};
  }
  if (!refused.ok()) return reply({refused.code(), refused.message()});
  const auto call = std::make_shared<CheckpointChunk>(std::move(chunk));
  const auto outcome = std::make_shared<Status>();
  const bool posted = OnPool(
      CheckpointAffinity(call->log, call->id),
      [this, call, outcome] {
        *outcome =
            store_->checkpoints().WriteChunk(call->log, call->id, call->offset, call->bytes, call->crc32c, call->last);
      },
      [reply, outcome] {
        reply({outcome->code(), outcome->message()});
      });
  if (!posted) reply({PoolIsFull().code(), PoolIsFull().message()});
}

void LogNodeImpl::CheckpointRead(CheckpointReadRequest request, Reply<CheckpointReadResponse> reply) {
  CheckpointReadResponse refusal;
  Status refused = CheckpointAllowed(request.disk, false);
  const uint32_t bytes_max = std::min(request.bytes_max, kCheckpointChunkBytesMax);
  const auto read = std::make_shared<Result<CheckpointBytes>>(Status(StatusCode::kUnavailable, "not read"));
  const auto answer = [reply, read] {
    CheckpointReadResponse response;
    if (read->ok()) {
      CheckpointBytes& found = read->value();
      response.bytes = std::move(found.bytes);
      response.crc32c = found.crc32c;
      response.total_bytes = found.total_bytes;
    } else {
      response.code = read->status().code();
      response.detail = read->status().message();
    }
    reply(std::move(response));
  };
  if (refused.ok() && !OnPool(
                          CheckpointAffinity(request.log, request.id),
                          [this, request, bytes_max, read] {
                            *read = store_->checkpoints().Read(request.log, request.id, request.offset, bytes_max);
                          },
                          answer)) {
    refused = PoolIsFull();
  }
  if (!refused.ok()) {
    refusal.code = refused.code();
    refusal.detail = refused.message();
    reply(std::move(refusal));
  }
}

void LogNodeImpl::CheckpointDelete(CheckpointDeleteRequest request, Reply<CheckpointWriteResponse> reply) {
  Status refused = CheckpointAllowed(request.disk, true);
  const auto outcome = std::make_shared<Status>();
  if (refused.ok() &&
      !OnPool(
          CheckpointAffinity(request.log, request.id),
          [this, request, outcome] { *outcome = store_->checkpoints().Delete(request.log, request.id); },
          [reply, outcome] {
            reply({outcome->code(), outcome->message()});
          })) {
    refused = PoolIsFull();
  }
  if (!refused.ok()) reply({refused.code(), refused.message()});
}

}  // namespace understudy

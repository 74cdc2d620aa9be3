#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "log/rpc/convert.h"

namespace understudy::rpc_internal {

namespace {

template <class Strong>
int64_t Signed(Strong value) {
  return static_cast<int64_t>(value.value());
}

template <class Strong>
void Take(int64_t from, Strong* to) {
  *to = Strong(static_cast<uint64_t>(from));
}

BatchRef TakeBatch(std::string&& bytes) {
  return bytes.empty() ? nullptr : std::make_shared<const std::string>(std::move(bytes));
}

Status Negative(const char* field) { return {StatusCode::kInvalidArgument, std::string(field) + " is negative"}; }

// What every request to a disk begins with.
template <class Wire, class Plain>
Status TakeLogAndDisk(const Wire& from, Plain* to) {
  Take(from.log, &to->log);
  return IdFromWire(from.disk, &to->disk).WithContext("disk");
}

template <class Wire, class Plain>
Wire LogAndDisk(const Plain& from) {
  Wire to;
  to.log = Signed(from.log);
  to.disk = IdToWire(from.disk);
  return to;
}

template <class Wire, class Plain>
Wire CodeAndDetail(Plain* from) {
  Wire to;
  to.code = static_cast<int32_t>(from->code);
  to.detail = std::move(from->detail);
  return to;
}

template <class Wire, class Plain>
void TakeCodeAndDetail(Wire* from, Plain* to) {
  to->code = CodeFromWire(from->code);
  to->detail = std::move(from->detail);
}

}  // namespace

StatusCode CodeFromWire(int32_t code) {
  constexpr auto kLast = static_cast<int32_t>(StatusCode::kInternal);
  return code >= 0 && code <= kLast ? static_cast<StatusCode>(code) : StatusCode::kInternal;
}

template <class Tag>
std::string IdToWire(const internal::Id128<Tag>& id) {
  if (id.none()) {
    return {};
  }
  std::string bytes(16, '\0');
  for (size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<char>(id.hi >> (56 - 8 * i));
    bytes[8 + i] = static_cast<char>(id.lo >> (56 - 8 * i));
  }
  return bytes;
}

template <class Tag>
Status IdFromWire(const std::string& bytes, internal::Id128<Tag>* id) {
  *id = {};
  if (bytes.empty()) {
    return Status::Ok();
  }
  if (bytes.size() != 16) {
    return {StatusCode::kInvalidArgument, "an id has 16 bytes, not " + std::to_string(bytes.size())};
  }
  for (size_t i = 0; i < 8; ++i) {
    id->hi = id->hi << 8 | static_cast<unsigned char>(bytes[i]);
    id->lo = id->lo << 8 | static_cast<unsigned char>(bytes[8 + i]);
  }
  return Status::Ok();
}

template std::string IdToWire(const AttemptId&);
template std::string IdToWire(const DiskId&);
template Status IdFromWire(const std::string&, AttemptId*);
template Status IdFromWire(const std::string&, DiskId*);

wire::AppendRequest ToWire(const AppendRequest& from) {
  auto to = LogAndDisk<wire::AppendRequest>(from);
  to.epoch = Signed(from.epoch);
  to.attempt = IdToWire(from.attempt);
  to.epoch_first_lsn = Signed(from.epoch_first_lsn);
  to.commit = Signed(from.commit);
  if (from.batch != nullptr) {
    to.batch = *from.batch;
  }
  return to;
}

Status FromWire(wire::AppendRequest&& from, AppendRequest* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeLogAndDisk(from, to));
  UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(from.attempt, &to->attempt).WithContext("attempt"));
  Take(from.epoch, &to->epoch);
  Take(from.epoch_first_lsn, &to->epoch_first_lsn);
  Take(from.commit, &to->commit);
  to->batch = TakeBatch(std::move(from.batch));
  return Status::Ok();
}

wire::AppendReply ToWire(AppendResponse&& from) {
  auto to = CodeAndDetail<wire::AppendReply>(&from);
  to.durable_tail = Signed(from.durable_tail);
  return to;
}

Status FromWire(wire::AppendReply&& from, AppendResponse* to) {
  TakeCodeAndDetail(&from, to);
  Take(from.durable_tail, &to->durable_tail);
  return Status::Ok();
}

wire::SealRequest ToWire(const SealRequest& from) {
  auto to = LogAndDisk<wire::SealRequest>(from);
  to.epoch = Signed(from.epoch);
  return to;
}

Status FromWire(wire::SealRequest&& from, SealRequest* to) {
  Take(from.epoch, &to->epoch);
  return TakeLogAndDisk(from, to);
}

wire::SealReply ToWire(SealResponse&& from) {
  auto to = CodeAndDetail<wire::SealReply>(&from);
  to.tail = Signed(from.tail);
  to.highest_epoch = Signed(from.highest_epoch);
  return to;
}

Status FromWire(wire::SealReply&& from, SealResponse* to) {
  TakeCodeAndDetail(&from, to);
  Take(from.tail, &to->tail);
  Take(from.highest_epoch, &to->highest_epoch);
  return Status::Ok();
}

wire::BarrierRequest ToWire(const BarrierRequest& from) {
  auto to = LogAndDisk<wire::BarrierRequest>(from);
  to.epoch = Signed(from.epoch);
  return to;
}

Status FromWire(wire::BarrierRequest&& from, BarrierRequest* to) {
  Take(from.epoch, &to->epoch);
  return TakeLogAndDisk(from, to);
}

wire::BarrierReply ToWire(BarrierResponse&& from) { return CodeAndDetail<wire::BarrierReply>(&from); }

Status FromWire(wire::BarrierReply&& from, BarrierResponse* to) {
  TakeCodeAndDetail(&from, to);
  return Status::Ok();
}

wire::ReadRequest ToWire(const ReadRequest& from) {
  auto to = LogAndDisk<wire::ReadRequest>(from);
  to.epoch = Signed(from.epoch);
  to.from_lsn = Signed(from.from);
  to.to_lsn = Signed(from.to);
  to.bytes_max = static_cast<int32_t>(from.bytes_max);
  to.wait_ms = static_cast<int32_t>(from.wait_ms);
  return to;
}

Status FromWire(wire::ReadRequest&& from, ReadRequest* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeLogAndDisk(from, to));
  if (from.bytes_max < 0 || from.wait_ms < 0) {
    return Negative(from.bytes_max < 0 ? "bytes_max" : "wait_ms");
  }
  Take(from.epoch, &to->epoch);
  Take(from.from_lsn, &to->from);
  Take(from.to_lsn, &to->to);
  to->bytes_max = std::min(static_cast<uint32_t>(from.bytes_max), kReadBytesMax);
  to->wait_ms = std::min(static_cast<uint32_t>(from.wait_ms), kReadWaitMsMax);
  return Status::Ok();
}

wire::ReadReply ToWire(ReadResponse&& from) {
  auto to = CodeAndDetail<wire::ReadReply>(&from);
  to.batches = std::move(from.batches);
  to.commit = Signed(from.commit);
  to.trim = Signed(from.trim);
  return to;
}

Status FromWire(wire::ReadReply&& from, ReadResponse* to) {
  TakeCodeAndDetail(&from, to);
  to->batches = std::move(from.batches);
  Take(from.commit, &to->commit);
  Take(from.trim, &to->trim);
  return Status::Ok();
}

wire::FetchRequest ToWire(const FetchRequest& from) {
  auto to = LogAndDisk<wire::FetchRequest>(from);
  to.epoch = Signed(from.epoch);
  to.from_lsn = Signed(from.from);
  to.to_lsn = Signed(from.to);
  to.trim = Signed(from.trim);
  for (const FetchSource& source : from.sources) {
    auto& item = to.sources.emplace_back();
    item.disk = IdToWire(source.disk);
    item.address = source.address;
  }
  return to;
}

Status FromWire(wire::FetchRequest&& from, FetchRequest* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeLogAndDisk(from, to));
  Take(from.epoch, &to->epoch);
  Take(from.from_lsn, &to->from);
  Take(from.to_lsn, &to->to);
  Take(from.trim, &to->trim);
  for (auto& source : from.sources) {
    FetchSource& item = to->sources.emplace_back();
    UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(source.disk, &item.disk).WithContext("source"));
    item.address = std::move(source.address);
  }
  return Status::Ok();
}

wire::FetchReply ToWire(FetchResponse&& from) {
  auto to = CodeAndDetail<wire::FetchReply>(&from);
  to.tail = Signed(from.tail);
  return to;
}

Status FromWire(wire::FetchReply&& from, FetchResponse* to) {
  TakeCodeAndDetail(&from, to);
  Take(from.tail, &to->tail);
  return Status::Ok();
}

wire::TrimRequest ToWire(const TrimRequest& from) {
  auto to = LogAndDisk<wire::TrimRequest>(from);
  to.lsn = Signed(from.lsn);
  return to;
}

Status FromWire(wire::TrimRequest&& from, TrimRequest* to) {
  Take(from.lsn, &to->lsn);
  return TakeLogAndDisk(from, to);
}

wire::TrimReply ToWire(TrimResponse&& from) { return CodeAndDetail<wire::TrimReply>(&from); }

Status FromWire(wire::TrimReply&& from, TrimResponse* to) {
  TakeCodeAndDetail(&from, to);
  return Status::Ok();
}

wire::ReplicaStatusRequest ToWire(const ReplicaStatusRequest& from) {
  return LogAndDisk<wire::ReplicaStatusRequest>(from);
}

Status FromWire(wire::ReplicaStatusRequest&& from, ReplicaStatusRequest* to) { return TakeLogAndDisk(from, to); }

wire::ReplicaStatusReply ToWire(ReplicaStatusResponse&& from) {
  auto to = CodeAndDetail<wire::ReplicaStatusReply>(&from);
  to.sealed = Signed(from.sealed);
  to.highest_epoch = Signed(from.highest_epoch);
  to.tail = Signed(from.tail);
  to.commit = Signed(from.commit);
  to.writer_age_ms = from.writer_age_ms;
  to.bytes = static_cast<int64_t>(from.bytes);
  to.open_epochs = from.open_epochs;
  return to;
}

Status FromWire(wire::ReplicaStatusReply&& from, ReplicaStatusResponse* to) {
  TakeCodeAndDetail(&from, to);
  Take(from.sealed, &to->sealed);
  Take(from.highest_epoch, &to->highest_epoch);
  Take(from.tail, &to->tail);
  Take(from.commit, &to->commit);
  to->writer_age_ms = from.writer_age_ms;
  to->bytes = static_cast<uint64_t>(from.bytes);
  to->open_epochs = from.open_epochs;
  return Status::Ok();
}

wire::CheckpointChunk ToWire(const CheckpointChunk& from) {
  auto to = LogAndDisk<wire::CheckpointChunk>(from);
  to.id = static_cast<int64_t>(from.id);
  to.offset = static_cast<int64_t>(from.offset);
  to.bytes = from.bytes;
  to.crc32c = static_cast<int32_t>(from.crc32c);
  to.last = from.last;
  return to;
}

Status FromWire(wire::CheckpointChunk&& from, CheckpointChunk* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeLogAndDisk(from, to));
  if (from.bytes.size() > kCheckpointChunkBytesMax) {
    return {StatusCode::kInvalidArgument, "a chunk of " + std::to_string(from.bytes.size()) + " bytes; at most " +
                                              std::to_string(kCheckpointChunkBytesMax)};
  }
  to->id = static_cast<uint64_t>(from.id);
  to->offset = static_cast<uint64_t>(from.offset);
  to->bytes = std::move(from.bytes);
  to->crc32c = static_cast<uint32_t>(from.crc32c);
  to->last = from.last;
  return Status::Ok();
}

wire::CheckpointWriteReply ToWire(CheckpointWriteResponse&& from) {
  return CodeAndDetail<wire::CheckpointWriteReply>(&from);
}

Status FromWire(wire::CheckpointWriteReply&& from, CheckpointWriteResponse* to) {
  TakeCodeAndDetail(&from, to);
  return Status::Ok();
}

wire::CheckpointReadRequest ToWire(const CheckpointReadRequest& from) {
  auto to = LogAndDisk<wire::CheckpointReadRequest>(from);
  to.id = static_cast<int64_t>(from.id);
  to.offset = static_cast<int64_t>(from.offset);
  to.bytes_max = static_cast<int32_t>(from.bytes_max);
  return to;
}

Status FromWire(wire::CheckpointReadRequest&& from, CheckpointReadRequest* to) {
  UNDERSTUDY_RETURN_IF_ERROR(TakeLogAndDisk(from, to));
  if (from.bytes_max < 0) {
    return Negative("bytes_max");
  }
  to->id = static_cast<uint64_t>(from.id);
  to->offset = static_cast<uint64_t>(from.offset);
  to->bytes_max = std::min(static_cast<uint32_t>(from.bytes_max), kCheckpointChunkBytesMax);
  return Status::Ok();
}

wire::CheckpointReadReply ToWire(CheckpointReadResponse&& from) {
  auto to = CodeAndDetail<wire::CheckpointReadReply>(&from);
  to.bytes = std::move(from.bytes);
  to.crc32c = static_cast<int32_t>(from.crc32c);
  to.total_bytes = static_cast<int64_t>(from.total_bytes);
  return to;
}

Status FromWire(wire::CheckpointReadReply&& from, CheckpointReadResponse* to) {
  TakeCodeAndDetail(&from, to);
  to->bytes = std::move(from.bytes);
  to->crc32c = static_cast<uint32_t>(from.crc32c);
  to->total_bytes = static_cast<uint64_t>(from.total_bytes);
  return Status::Ok();
}

wire::CheckpointDeleteRequest ToWire(const CheckpointDeleteRequest& from) {
  auto to = LogAndDisk<wire::CheckpointDeleteRequest>(from);
  to.id = static_cast<int64_t>(from.id);
  return to;
}

Status FromWire(wire::CheckpointDeleteRequest&& from, CheckpointDeleteRequest* to) {
  to->id = static_cast<uint64_t>(from.id);
  return TakeLogAndDisk(from, to);
}

wire::LogServerStatusRequest ToWire(const LogServerStatusRequest& from) {
  wire::LogServerStatusRequest to;
  to.needs_max = static_cast<int32_t>(std::min(from.needs_max, kStatusNeedsMax));
  return to;
}

Status FromWire(wire::LogServerStatusRequest&& from, LogServerStatusRequest* to) {
  if (from.needs_max < 0) return {StatusCode::kInvalidArgument, "needs_max is negative"};
  to->needs_max = std::min(static_cast<uint32_t>(from.needs_max), kStatusNeedsMax);
  return Status::Ok();
}

wire::LogServerStatusReply ToWire(LogServerStatusResponse&& from) {
  wire::LogServerStatusReply to;
  to.code = static_cast<int32_t>(from.code);
  to.detail = std::move(from.detail);
  to.document = std::move(from.document);
  return to;
}

Status FromWire(wire::LogServerStatusReply&& from, LogServerStatusResponse* to) {
  to->code = CodeFromWire(from.code);
  to->detail = std::move(from.detail);
  to->document = std::move(from.document);
  return Status::Ok();
}

wire::MirrorPush ToWire(const MirrorPush& from) {
  wire::MirrorPush to;
  to.log = Signed(from.log);
  to.epoch = Signed(from.epoch);
  to.attempt = IdToWire(from.attempt);
  to.commit = Signed(from.commit);
  if (from.batch != nullptr) {
    to.batch = *from.batch;
  }
  to.next_owner = IdToWire(from.next_owner);
  return to;
}

Status FromWire(wire::MirrorPush&& from, MirrorPush* to) {
  Take(from.log, &to->log);
  Take(from.epoch, &to->epoch);
  UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(from.attempt, &to->attempt).WithContext("attempt"));
  UNDERSTUDY_RETURN_IF_ERROR(IdFromWire(from.next_owner, &to->next_owner).WithContext("next_owner"));
  Take(from.commit, &to->commit);
  to->batch = TakeBatch(std::move(from.batch));
  return Status::Ok();
}

}  // namespace understudy::rpc_internal

// Plain messages to Thrift's structs and back. For the .cc files of log/rpc only. FromWire refuses (kInvalidArgument)
// what no value of ours can hold; whether a value makes sense is the handler's to say.
#pragma once

#include "gen/understudy_types.h"
#include "log/epoch/messages.h"
#include "log/metadata/metadata_store.h"
#include "log/protocol/control_messages.h"
#include "understudy/status.h"

namespace understudy::rpc_internal {

// What a code on the wire means here; codes of later versions become kInternal.
StatusCode CodeFromWire(int32_t code);

// 16 bytes big-endian; empty for "none".
template <class Tag>
std::string IdToWire(const internal::Id128<Tag>& id);
template <class Tag>
Status IdFromWire(const std::string& bytes, internal::Id128<Tag>* id);

wire::AppendRequest ToWire(const AppendRequest& from);  // copies the batch; the client's own way does not
wire::SealRequest ToWire(const SealRequest& from);
wire::BarrierRequest ToWire(const BarrierRequest& from);
wire::ReadRequest ToWire(const ReadRequest& from);
wire::FetchRequest ToWire(const FetchRequest& from);
wire::TrimRequest ToWire(const TrimRequest& from);
wire::ReplicaStatusRequest ToWire(const ReplicaStatusRequest& from);
wire::CheckpointChunk ToWire(const CheckpointChunk& from);
wire::CheckpointReadRequest ToWire(const CheckpointReadRequest& from);
wire::CheckpointDeleteRequest ToWire(const CheckpointDeleteRequest& from);
wire::LogServerStatusRequest ToWire(const LogServerStatusRequest& from);
wire::MirrorPush ToWire(const MirrorPush& from);
wire::AppReport ToWire(const AppReport& from);
wire::AgentReport ToWire(const AgentReport& from);

wire::AppendReply ToWire(AppendResponse&& from);
wire::SealReply ToWire(SealResponse&& from);
wire::BarrierReply ToWire(BarrierResponse&& from);
wire::ReadReply ToWire(ReadResponse&& from);
wire::FetchReply ToWire(FetchResponse&& from);
wire::TrimReply ToWire(TrimResponse&& from);
wire::ReplicaStatusReply ToWire(ReplicaStatusResponse&& from);
wire::CheckpointWriteReply ToWire(CheckpointWriteResponse&& from);
wire::CheckpointReadReply ToWire(CheckpointReadResponse&& from);
wire::LogServerStatusReply ToWire(LogServerStatusResponse&& from);
wire::NextCommandReply ToWire(NextCommandResponse&& from);
wire::DocumentReply ToWire(DocumentResponse&& from);

Status FromWire(wire::AppendRequest&& from, AppendRequest* to);
Status FromWire(wire::SealRequest&& from, SealRequest* to);
Status FromWire(wire::BarrierRequest&& from, BarrierRequest* to);
Status FromWire(wire::ReadRequest&& from, ReadRequest* to);
Status FromWire(wire::FetchRequest&& from, FetchRequest* to);
Status FromWire(wire::TrimRequest&& from, TrimRequest* to);
Status FromWire(wire::ReplicaStatusRequest&& from, ReplicaStatusRequest* to);
Status FromWire(wire::CheckpointChunk&& from, CheckpointChunk* to);
Status FromWire(wire::CheckpointReadRequest&& from, CheckpointReadRequest* to);
Status FromWire(wire::CheckpointDeleteRequest&& from, CheckpointDeleteRequest* to);
Status FromWire(wire::LogServerStatusRequest&& from, LogServerStatusRequest* to);
Status FromWire(wire::LogServerStatusReply&& from, LogServerStatusResponse* to);
Status FromWire(wire::MirrorPush&& from, MirrorPush* to);
Status FromWire(wire::AppReport&& from, AppReport* to);
Status FromWire(wire::AgentReport&& from, AgentReport* to);

Status FromWire(wire::AppendReply&& from, AppendResponse* to);
Status FromWire(wire::SealReply&& from, SealResponse* to);
Status FromWire(wire::BarrierReply&& from, BarrierResponse* to);
Status FromWire(wire::ReadReply&& from, ReadResponse* to);
Status FromWire(wire::FetchReply&& from, FetchResponse* to);
Status FromWire(wire::TrimReply&& from, TrimResponse* to);
Status FromWire(wire::ReplicaStatusReply&& from, ReplicaStatusResponse* to);
Status FromWire(wire::CheckpointWriteReply&& from, CheckpointWriteResponse* to);
Status FromWire(wire::CheckpointReadReply&& from, CheckpointReadResponse* to);
Status FromWire(wire::NextCommandReply&& from, NextCommandResponse* to);
Status FromWire(wire::DocumentReply&& from, DocumentResponse* to);

}  // namespace understudy::rpc_internal

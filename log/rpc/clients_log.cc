// The clients of log servers and of spares that mirror.
#include <string>
#include <utility>

#include "gen/LogService.h"
#include "gen/MirrorService.h"
#include "log/rpc/client_base.h"

namespace understudy {

namespace rpc_internal {

namespace {

void WriteI64(tp::TProtocol* out, int16_t id, uint64_t value) {
  out->writeFieldBegin("", tp::T_I64, id);
  out->writeI64(static_cast<int64_t>(value));
  out->writeFieldEnd();
}

void WriteBytes(tp::TProtocol* out, int16_t id, const std::string& bytes) {
  out->writeFieldBegin("", tp::T_STRING, id);
  out->writeBinary(bytes);
  out->writeFieldEnd();
}

const std::string& BytesOf(const BatchRef& batch) {
  static const std::string kNone;
  return batch != nullptr ? *batch : kNone;
}

// The arguments of a method with one struct, whose fields `fields` writes.
template <class Fields>
void WriteArgs(tp::TProtocol* out, const Fields& fields) {
  out->writeStructBegin("args");
  out->writeFieldBegin("", tp::T_STRUCT, 1);
  out->writeStructBegin("request");
  fields();
  out->writeFieldStop();
  out->writeStructEnd();
  out->writeFieldEnd();
  out->writeFieldStop();
  out->writeStructEnd();
}

// As the generated code writes them (clients_test.cc compares), but the batch is not copied into a struct of Thrift's.
void WriteAppend(tp::TProtocol* out, const AppendRequest& request) {
  WriteArgs(out, [&] {
    WriteI64(out, 1, request.log.value());
    WriteBytes(out, 2, IdToWire(request.disk));
    WriteI64(out, 3, request.epoch.value());
    WriteBytes(out, 4, IdToWire(request.attempt));
    WriteI64(out, 5, request.epoch_first_lsn.value());
    WriteI64(out, 6, request.commit.value());
    WriteBytes(out, 7, BytesOf(request.batch));
  });
}

void WriteMirror(tp::TProtocol* out, const MirrorPush& push) {
  WriteArgs(out, [&] {
    WriteI64(out, 1, push.log.value());
    WriteI64(out, 2, push.epoch.value());
    WriteBytes(out, 3, IdToWire(push.attempt));
    WriteI64(out, 4, push.commit.value());
    WriteBytes(out, 5, BytesOf(push.batch));
    WriteBytes(out, 6, IdToWire(push.next_owner));
  });
}

class LogClient final : public ClientBase<LogServiceClient> {
 public:
  using ClientBase::ClientBase;

  void Append(const AppendRequest& request, int64_t timeout_ms, Done<AppendResponse> done) override {
    static const std::string kName = "append";
    channel_->Call(
        kName, timeout_ms, request.batch, [&request](tp::TProtocol* out) { WriteAppend(out, request); },
        std::make_shared<TypedCall<wire::LogService_append_result, AppendResponse>>(std::move(done)));
  }
  void Seal(const SealRequest& request, int64_t timeout_ms, Done<SealResponse> done) override {
    CallWith<wire::LogService_seal_pargs, wire::LogService_seal_result>("seal", request, timeout_ms, std::move(done));
  }
  void Barrier(const BarrierRequest& request, int64_t timeout_ms, Done<BarrierResponse> done) override {
    CallWith<wire::LogService_barrier_pargs, wire::LogService_barrier_result>("barrier", request, timeout_ms,
                                                                              std::move(done));
  }
  void Read(const ReadRequest& request, int64_t timeout_ms, Done<ReadResponse> done) override {
    CallWith<wire::LogService_read_pargs, wire::LogService_read_result>("read", request, timeout_ms, std::move(done));
  }
  void Fetch(const FetchRequest& request, int64_t timeout_ms, Done<FetchResponse> done) override {
    CallWith<wire::LogService_fetch_pargs, wire::LogService_fetch_result>("fetch", request, timeout_ms,
                                                                          std::move(done));
  }
  void Trim(const TrimRequest& request, int64_t timeout_ms, Done<TrimResponse> done) override {
    CallWith<wire::LogService_trim_pargs, wire::LogService_trim_result>("trim", request, timeout_ms, std::move(done));
  }
  void ReplicaStatus(const ReplicaStatusRequest& request, int64_t timeout_ms,
                     Done<ReplicaStatusResponse> done) override {
    CallWith<wire::LogService_replica_status_pargs, wire::LogService_replica_status_result>(
        "replica_status", request, timeout_ms, std::move(done));
  }
  void CheckpointWrite(const CheckpointChunk& chunk, int64_t timeout_ms, Done<CheckpointWriteResponse> done) override {
    // The chunk's bytes are copied once, into memory that the connection keeps.
    auto args = std::make_shared<wire::LogService_checkpoint_write_args>();
    args->request = ToWire(chunk);
    channel_->Call(
        "checkpoint_write", timeout_ms, args, [&args](tp::TProtocol* out) { args->write(out); },
        std::make_shared<TypedCall<wire::LogService_checkpoint_write_result, CheckpointWriteResponse>>(
            std::move(done)));
  }
  void CheckpointRead(const CheckpointReadRequest& request, int64_t timeout_ms,
                      Done<CheckpointReadResponse> done) override {
    CallWith<wire::LogService_checkpoint_read_pargs, wire::LogService_checkpoint_read_result>(
        "checkpoint_read", request, timeout_ms, std::move(done));
  }
  void CheckpointDelete(const CheckpointDeleteRequest& request, int64_t timeout_ms,
                        Done<CheckpointWriteResponse> done) override {
    CallWith<wire::LogService_checkpoint_delete_pargs, wire::LogService_checkpoint_delete_result>(
        "checkpoint_delete", request, timeout_ms, std::move(done));
  }
  void LogServerStatus(const LogServerStatusRequest& request, int64_t timeout_ms,
                       Done<LogServerStatusResponse> done) override {
    CallWith<wire::LogService_log_server_status_pargs, wire::LogService_log_server_status_result>(
        "log_server_status", request, timeout_ms, std::move(done));
  }
};

class MirrorClient final : public ClientBase<MirrorServiceClient> {
 public:
  using ClientBase::ClientBase;
  bool Mirror(const MirrorPush& push) override {
    static const std::string kName = "mirror";
    return channel_->SendOneWay(kName, push.batch, [&push](tp::TProtocol* out) { WriteMirror(out, push); });
  }
};

}  // namespace

}  // namespace rpc_internal

std::unique_ptr<LogServiceClient> LogServiceClient::Create(EventLoop* loop, RpcClientOptions options,
                                                           std::string address) {
  return std::make_unique<rpc_internal::LogClient>(loop, std::move(options), std::move(address));
}

std::unique_ptr<MirrorServiceClient> MirrorServiceClient::Create(EventLoop* loop, RpcClientOptions options,
                                                                 std::string address) {
  return std::make_unique<rpc_internal::MirrorClient>(loop, std::move(options), std::move(address));
}

}  // namespace understudy

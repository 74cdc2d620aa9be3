// LogService and MirrorService on an RpcServer.
#include <utility>

#include "gen/LogService.h"
#include "gen/MirrorService.h"
#include "log/rpc/server_impl.h"

namespace understudy::rpc_internal {

namespace {

// How much of an answer's size a request fixes in advance; 0 for the small ones.
template <class Request>
size_t AnswerBytes(const Request&) {
  return 0;
}
size_t AnswerBytes(const ReadRequest& request) { return request.bytes_max; }
size_t AnswerBytes(const CheckpointReadRequest& request) { return request.bytes_max; }

template <class Response>
constexpr bool kBulk = std::is_same_v<Response, ReadResponse> || std::is_same_v<Response, CheckpointReadResponse>;

template <class Args, class Result, class Request, class Response>
Method Make(const char* name, size_t bytes_max, LogServiceHandler* handler,
            void (LogServiceHandler::*start)(Request, Reply<Response>)) {
  return {name, bytes_max,
          [handler, start](Call call, tp::TProtocol* in) {
            Request request;
            if (Status status = ReadRequestOf<Args>(in, &request); !status.ok()) {
              ReplyError(call, status);
              return;
            }
            ChargeMore(&call, AnswerBytes(request));
            (handler->*start)(std::move(request), [call = std::move(call)](Response response) {
              const bool bulk = kBulk<Response> && response.code == StatusCode::kOk;
              ReplyResult<Result>(call, ToWire(std::move(response)), bulk);
            });
          },
          handler};
}

}  // namespace

std::vector<Method> LogServiceMethods(LogServiceHandler* h) {
  using H = LogServiceHandler;
  constexpr size_t kAny = SIZE_MAX;
  constexpr size_t kSmall = kSmallFrameBytesMax;
  std::vector<Method> methods;
  methods.push_back(Make<wire::LogService_append_args, wire::LogService_append_result>("append", kAny, h, &H::Append));
  methods.push_back(Make<wire::LogService_seal_args, wire::LogService_seal_result>("seal", kSmall, h, &H::Seal));
  methods.push_back(
      Make<wire::LogService_barrier_args, wire::LogService_barrier_result>("barrier", kSmall, h, &H::Barrier));
  methods.push_back(Make<wire::LogService_read_args, wire::LogService_read_result>("read", kSmall, h, &H::Read));
  methods.push_back(Make<wire::LogService_fetch_args, wire::LogService_fetch_result>("fetch", kSmall, h, &H::Fetch));
  methods.push_back(Make<wire::LogService_trim_args, wire::LogService_trim_result>("trim", kSmall, h, &H::Trim));
  methods.push_back(Make<wire::LogService_replica_status_args, wire::LogService_replica_status_result>(
      "replica_status", kSmall, h, &H::ReplicaStatus));
  methods.push_back(Make<wire::LogService_checkpoint_write_args, wire::LogService_checkpoint_write_result>(
      "checkpoint_write", kAny, h, &H::CheckpointWrite));
  methods.push_back(Make<wire::LogService_checkpoint_read_args, wire::LogService_checkpoint_read_result>(
      "checkpoint_read", kSmall, h, &H::CheckpointRead));
  methods.push_back(Make<wire::LogService_checkpoint_delete_args, wire::LogService_checkpoint_delete_result>(
      "checkpoint_delete", kSmall, h, &H::CheckpointDelete));
  methods.push_back(Make<wire::LogService_log_server_status_args, wire::LogService_log_server_status_result>(
      "log_server_status", kSmall, h, &H::LogServerStatus));
  return methods;
}

std::vector<Method> MirrorServiceMethods(MirrorServiceHandler* handler) {
  std::vector<Method> methods;
  methods.push_back({"mirror", SIZE_MAX,
                     [handler](Call call, tp::TProtocol* in) {
                       wire::MirrorService_mirror_args args;
                       args.read(in);
                       in->readMessageEnd();
                       MirrorPush push;
                       const Status status = FromWire(std::move(args.push), &push);
                       ReplyError(call, status);  // one way: says nothing, but ends the call
                       if (status.ok()) {
                         handler->Mirror(ConnectionId(call), std::move(push));
                       }
                     },
                     handler});
  return methods;
}

}  // namespace understudy::rpc_internal

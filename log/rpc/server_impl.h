// The inside of RpcServer, shared by the files that register methods. For the .cc files of log/rpc only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gen/understudy_types.h"
#include "log/rpc/connection.h"
#include "log/rpc/convert.h"
#include "log/rpc/rpc_server.h"
#include "log/rpc/thrift_codec.h"

namespace understudy::rpc_internal {

class ServerConnection;
struct Method;

// Held by a request's Reply. What is answered after the connection or the server is gone goes nowhere.
struct Call {
  std::shared_ptr<ServerConnection> connection;
  std::shared_ptr<const Method> method;
  int32_t seqid = 0;
  Encoding encoding = Encoding::kBinary;
  bool oneway = false;  // nothing is answered
  size_t charge = 0;    // what the request counts for in its connection's inflight_bytes_max
};

// `in` stands behind the message's head. Throws what Thrift throws for a malformed message.
struct Method {
  std::string name;
  size_t bytes_max = 0;  // of the frame
  std::function<void(Call call, tp::TProtocol* in)> run;
  const void* service = nullptr;  // to be taken out again
};

// Frames of methods that carry no bulk; also bounds what small elements can swell to in memory.
inline constexpr size_t kSmallFrameBytesMax = 1u << 20;

// Adds to what the request counts for: the size of the answer it asks for.
void ChargeMore(Call* call, size_t bytes);

// Answers with `code` and `detail`, which every answer of the contract has as its fields 1 and 2.
void ReplyError(const Call& call, const Status& status);

// Answers. `write` appends the result struct; `owner` as in Codec::Write.
using WriteBody = std::function<void(tp::TProtocol*)>;
void ReplyWith(const Call& call, std::shared_ptr<const void> owner, const WriteBody& write);

uint64_t ConnectionId(const Call& call);

// Answers with Thrift's `Result` struct. Large strings in it are sent from where they are.
template <class Result, class Wire>
void ReplyResult(const Call& call, Wire&& reply, bool bulk) {
  const auto fill = [&reply](Result* result) {
    result->success = std::forward<Wire>(reply);
    result->__isset.success = true;
  };
  if (bulk) {
    auto result = std::make_shared<Result>();
    fill(result.get());
    ReplyWith(call, result, [&result](tp::TProtocol* out) { result->write(out); });
  } else {
    Result result;
    fill(&result);
    ReplyWith(call, nullptr, [&result](tp::TProtocol* out) { result.write(out); });
  }
}

// Reads the arguments of a method whose only one is `request`.
template <class Args, class Request>
Status ReadRequestOf(tp::TProtocol* in, Request* request) {
  Args args;
  args.read(in);
  in->readMessageEnd();
  return FromWire(std::move(args.request), request);
}

std::vector<Method> LogServiceMethods(LogServiceHandler* handler);
std::vector<Method> MetadataServiceMethods(MetadataStore* store, EventLoop* loop);
std::vector<Method> AgentServiceMethods(AgentServiceHandler* handler);
std::vector<Method> CoordinatorServiceMethods(CoordinatorServiceHandler* handler);
std::vector<Method> MirrorServiceMethods(MirrorServiceHandler* handler);

}  // namespace understudy::rpc_internal

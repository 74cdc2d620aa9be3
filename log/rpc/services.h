// The server side of every service, without Thrift in sight: implement a handler, give it to an RpcServer.
// Calls come with the loop's strand held. A Reply is called exactly once, now or later, also with the strand held;
// answers leave in the order in which replies are called, whatever the order of the requests.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "log/epoch/messages.h"
#include "log/metadata/metadata_store.h"
#include "log/protocol/control_messages.h"

namespace understudy {

template <class Response>
using Reply = std::function<void(Response)>;

class LogServiceHandler {
 public:
  virtual ~LogServiceHandler() = default;
  virtual void Append(AppendRequest request, Reply<AppendResponse> reply) = 0;
  virtual void Seal(SealRequest request, Reply<SealResponse> reply) = 0;
  virtual void Barrier(BarrierRequest request, Reply<BarrierResponse> reply) = 0;
  virtual void Read(ReadRequest request, Reply<ReadResponse> reply) = 0;
  virtual void Fetch(FetchRequest request, Reply<FetchResponse> reply) = 0;
  virtual void Trim(TrimRequest request, Reply<TrimResponse> reply) = 0;
  virtual void ReplicaStatus(ReplicaStatusRequest request, Reply<ReplicaStatusResponse> reply) = 0;
  virtual void CheckpointWrite(CheckpointChunk chunk, Reply<CheckpointWriteResponse> reply) = 0;
  virtual void CheckpointRead(CheckpointReadRequest request, Reply<CheckpointReadResponse> reply) = 0;
  virtual void CheckpointDelete(CheckpointDeleteRequest request, Reply<CheckpointWriteResponse> reply) = 0;
  virtual void LogServerStatus(LogServerStatusRequest /*request*/, Reply<LogServerStatusResponse> reply) {
    reply({StatusCode::kUnsupported, "this log server has no status to show", {}});
  }
};

class AgentServiceHandler {
 public:
  virtual ~AgentServiceHandler() = default;
  // `connection` tells the applications of one agent apart while they are connected.
  virtual void AppNextCommand(uint64_t connection, AppReport report, uint32_t wait_ms,
                              Reply<NextCommandResponse> reply) = 0;
  virtual void AppReported(uint64_t connection, AppReport report, Reply<NextCommandResponse> reply) = 0;
  virtual void OnDisconnect(uint64_t connection) = 0;
};

class CoordinatorServiceHandler {
 public:
  virtual ~CoordinatorServiceHandler() = default;
  virtual void AgentNextCommand(AgentReport report, uint32_t wait_ms, Reply<NextCommandResponse> reply) = 0;
  virtual void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) = 0;
  virtual void ServiceApply(std::string document, Reply<DocumentResponse> reply) = 0;
  virtual void ServiceRemove(std::string service, Reply<DocumentResponse> reply) = 0;
  virtual void GetStatus(Reply<DocumentResponse> reply) = 0;
  virtual void Events(uint64_t after, uint32_t limit, uint32_t wait_ms, Reply<DocumentResponse> reply) = 0;
  virtual void Switchover(std::string service, std::string to_node, Reply<DocumentResponse> reply) = 0;
  virtual void SetPaused(bool paused, Reply<DocumentResponse> reply) = 0;
  virtual void LogsRequest(std::string document, Reply<DocumentResponse> reply) = 0;
  virtual void PolicyRequest(std::string document, Reply<DocumentResponse> reply) = 0;
};

class MirrorServiceHandler {
 public:
  virtual ~MirrorServiceHandler() = default;
  // One way: nothing is answered. `connection` tells streams apart while they are connected.
  virtual void Mirror(uint64_t connection, MirrorPush push) = 0;
  virtual void OnDisconnect(uint64_t connection) = 0;
};

}  // namespace understudy

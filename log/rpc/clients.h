// The client side of every service: pipelined, completion-based, one connection each, opened at the first call and
// again (with growing pauses, 5 to 500 ms, in which calls wait) after it broke. All calls need the loop's strand;
// callbacks come with it held, exactly once, and never from within the call that takes them. Destroying a client fails
// what is outstanding with kCancelled, within the destructor. Errors of transport: kUnavailable (never sent),
// kOutcomeUnknown (sent, the answer is lost), kDeadlineExceeded (sent or queued on a live connection, not answered in
// time), kForeignCluster, kUnsupported (version or method), kResourceExhausted (output_bytes_max), kInvalidArgument
// (longer than a frame). Errors of the service travel in the response's own `code`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "log/epoch/messages.h"
#include "log/metadata/metadata_store.h"
#include "log/protocol/control_messages.h"
#include "log/rpc/event_loop.h"
#include "log/rpc/resolver.h"
#include "understudy/status.h"

namespace understudy {

template <class Response>
using Done = std::function<void(Result<Response>)>;

struct RpcClientOptions {
  std::string cluster;
  std::string role;  // "application", "agent", "log", "coordinator", "operator"
  std::string name;
  size_t output_bytes_max = 64u << 20;  // queued, not yet in the socket; beyond it calls fail with kResourceExhausted
  int64_t connect_timeout_ms = 1000;    // name lookup and hello included
  LookUpFunction look_up = nullptr;     // finds hosts that are names; none: the system's resolver. May wait
};

inline constexpr int64_t kNoTimeout = 0;

// What all clients share.
class RpcClient {
 public:
  virtual ~RpcClient() = default;
  virtual const std::string& address() const = 0;
  virtual bool connected() const = 0;
  // Called (strand held) each time the connection breaks or cannot be opened, after the callbacks of the calls it took
  // with it. Not after Close.
  virtual void SetOnBroken(std::function<void()> fn) = 0;
  virtual void Close() = 0;  // fails what is outstanding with kCancelled
};

class LogServiceClient : public virtual RpcClient {
 public:
  static std::unique_ptr<LogServiceClient> Create(EventLoop* loop, RpcClientOptions options, std::string address);
  virtual void Append(const AppendRequest& request, int64_t timeout_ms, Done<AppendResponse> done) = 0;
  virtual void Seal(const SealRequest& request, int64_t timeout_ms, Done<SealResponse> done) = 0;
  virtual void Barrier(const BarrierRequest& request, int64_t timeout_ms, Done<BarrierResponse> done) = 0;
  virtual void Read(const ReadRequest& request, int64_t timeout_ms, Done<ReadResponse> done) = 0;
  virtual void Fetch(const FetchRequest& request, int64_t timeout_ms, Done<FetchResponse> done) = 0;
  virtual void Trim(const TrimRequest& request, int64_t timeout_ms, Done<TrimResponse> done) = 0;
  virtual void ReplicaStatus(const ReplicaStatusRequest& request, int64_t timeout_ms,
                             Done<ReplicaStatusResponse> done) = 0;
  virtual void CheckpointWrite(const CheckpointChunk& chunk, int64_t timeout_ms,
                               Done<CheckpointWriteResponse> done) = 0;
  virtual void CheckpointRead(const CheckpointReadRequest& request, int64_t timeout_ms,
                              Done<CheckpointReadResponse> done) = 0;
  virtual void CheckpointDelete(const CheckpointDeleteRequest& request, int64_t timeout_ms,
                                Done<CheckpointWriteResponse> done) = 0;
  virtual void LogServerStatus(const LogServerStatusRequest& request, int64_t timeout_ms,
                               Done<LogServerStatusResponse> done) = 0;
};

class MetadataServiceClient : public virtual RpcClient {
 public:
  static std::unique_ptr<MetadataServiceClient> Create(EventLoop* loop, RpcClientOptions options, std::string address);
  virtual void Get(const std::string& key, int64_t timeout_ms, MetadataStore::GetCallback done) = 0;
  virtual void List(const std::string& prefix, size_t limit, int64_t timeout_ms, MetadataStore::ListCallback done) = 0;
  // kOutcomeUnknown also when the connection broke or the time ran out after the request was sent.
  virtual void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, int64_t timeout_ms,
                              MetadataStore::CasCallback done) = 0;
  virtual void CompareAndDelete(const std::string& key, uint64_t expected, int64_t timeout_ms,
                                MetadataStore::CasCallback done) = 0;
};

class AgentServiceClient : public virtual RpcClient {
 public:
  static std::unique_ptr<AgentServiceClient> Create(EventLoop* loop, RpcClientOptions options, std::string address);
  virtual void AppNextCommand(const AppReport& report, uint32_t wait_ms, Done<NextCommandResponse> done) = 0;
  virtual void AppReported(const AppReport& report, int64_t timeout_ms, Done<NextCommandResponse> done) = 0;
};

class CoordinatorServiceClient : public virtual RpcClient {
 public:
  static std::unique_ptr<CoordinatorServiceClient> Create(EventLoop* loop, RpcClientOptions options,
                                                          std::string address);
  virtual void AgentNextCommand(const AgentReport& report, uint32_t wait_ms, Done<NextCommandResponse> done) = 0;
  virtual void AgentReported(const AgentReport& report, int64_t timeout_ms, Done<NextCommandResponse> done) = 0;
  virtual void ServiceApply(const std::string& document, int64_t timeout_ms, Done<DocumentResponse> done) = 0;
  virtual void ServiceRemove(const std::string& service, int64_t timeout_ms, Done<DocumentResponse> done) = 0;
  virtual void GetStatus(int64_t timeout_ms, Done<DocumentResponse> done) = 0;
  virtual void Events(uint64_t after, uint32_t limit, uint32_t wait_ms, Done<DocumentResponse> done) = 0;
  virtual void Switchover(const std::string& service, const std::string& to_node, int64_t timeout_ms,
                          Done<DocumentResponse> done) = 0;
  virtual void SetPaused(bool paused, int64_t timeout_ms, Done<DocumentResponse> done) = 0;
  virtual void LogsRequest(const std::string& document, int64_t timeout_ms, Done<DocumentResponse> done) = 0;
  virtual void PolicyRequest(const std::string& document, int64_t timeout_ms, Done<DocumentResponse> done) = 0;
};

class MirrorServiceClient : public virtual RpcClient {
 public:
  static std::unique_ptr<MirrorServiceClient> Create(EventLoop* loop, RpcClientOptions options, std::string address);
  // False when it could not be queued within the bound: the stream is broken then, and SetOnBroken's function runs.
  virtual bool Mirror(const MirrorPush& push) = 0;
};

}  // namespace understudy

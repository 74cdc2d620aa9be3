// A log service for the tests of log/rpc and of who uses it: answers at once where the test says how, and holds
// every other append until the test answers it.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "log/rpc/clients.h"
#include "log/rpc/services.h"

namespace understudy::rpc_test {

inline constexpr int64_t kLongNs = 20 * kNsPerSecond;

inline RpcClientOptions Options(const std::string& cluster) {
  RpcClientOptions options;
  options.cluster = cluster;
  options.role = "application";
  options.name = "test";
  return options;
}

class HoldingLogService : public LogServiceHandler {
 public:
  struct Held {
    AppendRequest request;
    Reply<AppendResponse> reply;
  };

  void AnswerHeld(size_t index) {
    Held held = std::move(this->held[index]);
    this->held.erase(this->held.begin() + static_cast<ptrdiff_t>(index));
    AppendResponse response;
    response.durable_tail = held.request.commit + 1;
    held.reply(std::move(response));
  }

  void Append(AppendRequest request, Reply<AppendResponse> reply) override {
    ++calls;
    if (on_append) {
      reply(on_append(request));
    } else {
      held.push_back({std::move(request), std::move(reply)});
    }
  }
  void Seal(SealRequest request, Reply<SealResponse> reply) override { Answer(on_seal, request, reply); }
  void Barrier(BarrierRequest request, Reply<BarrierResponse> reply) override { Answer(on_barrier, request, reply); }
  void Read(ReadRequest request, Reply<ReadResponse> reply) override { Answer(on_read, request, reply); }
  void Fetch(FetchRequest request, Reply<FetchResponse> reply) override { Answer(on_fetch, request, reply); }
  void Trim(TrimRequest request, Reply<TrimResponse> reply) override { Answer(on_trim, request, reply); }
  void ReplicaStatus(ReplicaStatusRequest request, Reply<ReplicaStatusResponse> reply) override {
    Answer(on_replica_status, request, reply);
  }
  void CheckpointWrite(CheckpointChunk chunk, Reply<CheckpointWriteResponse> reply) override {
    Answer(on_checkpoint_write, chunk, reply);
  }
  void CheckpointRead(CheckpointReadRequest request, Reply<CheckpointReadResponse> reply) override {
    Answer(on_checkpoint_read, request, reply);
  }
  void CheckpointDelete(CheckpointDeleteRequest request, Reply<CheckpointWriteResponse> reply) override {
    Answer(on_checkpoint_delete, request, reply);
  }

  int calls = 0;
  std::deque<Held> held;
  std::function<AppendResponse(const AppendRequest&)> on_append;
  std::function<SealResponse(const SealRequest&)> on_seal;
  std::function<BarrierResponse(const BarrierRequest&)> on_barrier;
  std::function<ReadResponse(const ReadRequest&)> on_read;
  std::function<FetchResponse(const FetchRequest&)> on_fetch;
  std::function<TrimResponse(const TrimRequest&)> on_trim;
  std::function<ReplicaStatusResponse(const ReplicaStatusRequest&)> on_replica_status;
  std::function<CheckpointWriteResponse(const CheckpointChunk&)> on_checkpoint_write;
  std::function<CheckpointReadResponse(const CheckpointReadRequest&)> on_checkpoint_read;
  std::function<CheckpointWriteResponse(const CheckpointDeleteRequest&)> on_checkpoint_delete;

 private:
  template <class Request, class Response>
  void Answer(const std::function<Response(const Request&)>& how, const Request& request,
              const Reply<Response>& reply) {
    ++calls;
    reply(how ? how(request) : Response());
  }
};

}  // namespace understudy::rpc_test

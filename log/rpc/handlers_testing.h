// Services for the tests of log/rpc.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

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

// Answers at once where the test says how, and holds every other append until the test answers it.
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
  void LogServerStatus(LogServerStatusRequest request, Reply<LogServerStatusResponse> reply) override {
    Answer(on_log_server_status, request, reply);
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
  std::function<LogServerStatusResponse(const LogServerStatusRequest&)> on_log_server_status;

 private:
  template <class Request, class Response>
  void Answer(const std::function<Response(const Request&)>& how, const Request& request,
              const Reply<Response>& reply) {
    ++calls;
    reply(how ? how(request) : Response());
  }
};

// Answers with what it was asked, so that nothing can get lost on the way unseen.
class EchoingControl : public AgentServiceHandler, public CoordinatorServiceHandler {
 public:
  static NextCommandResponse Answer(const std::string& what) {
    NextCommandResponse response;
    response.detail = what;
    response.command.arguments = {"x", what};
    return response;
  }
  static DocumentResponse Document(const std::string& what) { return {StatusCode::kNotFound, "detail", what}; }

  void AppNextCommand(uint64_t connection, AppReport report, uint32_t wait_ms,
                      Reply<NextCommandResponse> reply) override {
    app = std::move(report);
    connections.insert(connection);
    reply(Answer("app_next " + std::to_string(wait_ms)));
  }
  void AppReported(uint64_t connection, AppReport report, Reply<NextCommandResponse> reply) override {
    app = std::move(report);
    connections.insert(connection);
    reply(Answer("app_reported"));
  }
  void OnDisconnect(uint64_t connection) override { connections.erase(connection); }
  void AgentNextCommand(AgentReport report, uint32_t wait_ms, Reply<NextCommandResponse> reply) override {
    agent = std::move(report);
    reply(Answer("agent_next " + std::to_string(wait_ms)));
  }
  void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) override {
    agent = std::move(report);
    reply(Answer("agent_reported"));
  }
  void ServiceApply(std::string document, Reply<DocumentResponse> reply) override {
    reply(Document("apply " + document));
  }
  void ServiceRemove(std::string service, Reply<DocumentResponse> reply) override {
    reply(Document("remove " + service));
  }
  void GetStatus(Reply<DocumentResponse> reply) override { reply(Document("status")); }
  void Events(uint64_t after, uint32_t limit, uint32_t wait_ms, Reply<DocumentResponse> reply) override {
    reply(Document("events " + std::to_string(after) + " " + std::to_string(limit) + " " + std::to_string(wait_ms)));
  }
  void Switchover(std::string service, std::string to_node, Reply<DocumentResponse> reply) override {
    reply(Document("switchover " + service + " " + to_node));
  }
  void SetPaused(bool paused, Reply<DocumentResponse> reply) override {
    reply(Document(paused ? "paused" : "not paused"));
  }
  void LogsRequest(std::string document, Reply<DocumentResponse> reply) override {
    reply(Document("logs " + document));
  }
  void PolicyRequest(std::string document, Reply<DocumentResponse> reply) override {
    reply(Document("policy " + document));
  }

  AppReport app;
  AgentReport agent;
  std::set<uint64_t> connections;
};

class MapStore : public MetadataStore {
 public:
  void Get(const std::string& key, GetCallback done) override {
    const auto found = entries.find(key);
    done(found == entries.end() ? std::optional<MetadataEntry>() : std::optional(found->second));
  }
  void List(const std::string& prefix, size_t limit, ListCallback done) override {
    std::vector<MetadataEntry> result;
    for (auto it = entries.lower_bound(prefix); it != entries.end() && it->first.starts_with(prefix); ++it) {
      if (result.size() < limit) {
        result.push_back(it->second);
      }
    }
    done(std::move(result));
  }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override {
    if (hold) {
      held.push_back(std::move(done));
      return;
    }
    if (entries[key].version != expected) {
      done(Status(StatusCode::kConflict, "other version"));
      return;
    }
    entries[key] = {key, std::move(value), ++version};
    done(version);
  }
  void CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) override {
    const bool same = entries.contains(key) && entries[key].version == expected;
    if (same) {
      entries.erase(key);
      done(++version);
    } else {
      done(Status(StatusCode::kConflict, "other version"));
    }
  }
  uint64_t Watch(const std::string&, WatchCallback) override { return 0; }
  void Unwatch(uint64_t) override {}

  std::map<std::string, MetadataEntry> entries;
  uint64_t version = 0;
  bool hold = false;
  std::vector<CasCallback> held;
};

class Mirrors : public MirrorServiceHandler {
 public:
  void Mirror(uint64_t connection, MirrorPush push) override {
    connections.insert(connection);
    pushes.push_back(std::move(push));
  }
  void OnDisconnect(uint64_t connection) override { connections.erase(connection); }
  std::vector<MirrorPush> pushes;
  std::set<uint64_t> connections;
};

}  // namespace understudy::rpc_test

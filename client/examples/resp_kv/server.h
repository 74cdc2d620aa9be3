// The server: listens, keeps the connections, executes the commands that need no primary, and passes the others on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "client/examples/resp_kv/command.h"
#include "client/examples/resp_kv/connection.h"
#include "client/examples/resp_kv/data_service.h"
#include "client/examples/resp_kv/debug_faults.h"
#include "client/examples/resp_kv/executor.h"
#include "client/examples/resp_kv/latency.h"
#include "understudy/node.h"
#include "understudy/status.h"

struct evconnlistener;

namespace understudy::resp_kv {

struct ServerOptions {
  std::string bind = "127.0.0.1";
  int port = 6379;       // 0: the kernel's choice
  std::string announce;  // "host:port" for clients; empty: bind and port
  size_t clients_max = 10'000;
  size_t memory_bytes_max = 0;
  enum class Debug { kNo, kLocal, kYes } debug = Debug::kLocal;  // who may use DEBUG: nobody, loopback, everyone
  bool linearizable_reads = true;
};

// All on the executing thread, or before Executor::Run.
class Server : private ConnectionHost {
 public:
  Server(ServerOptions options, Executor* executor, KvStateMachine* state);
  ~Server() override;

  // Opens the port. kIoError names the address and the reason.
  Status Listen();
  // Where clients reach it: "host:port". After Listen.
  const std::string& endpoint() const { return endpoint_; }
  int port() const { return port_; }
  // Makes the service that the Node's listener is. After Listen.
  DataService* data();
  // Before Executor::Run; `node` must outlive that.
  void SetNode(Node* node);
  // Ends Executor::Run: at once when this is the primary or nobody is connected, else when the clients have been told
  // where to go, or after kLingerMs. A request that arrives at a closed socket would leave its client in doubt.
  void Stop();

  static constexpr int64_t kLingerMs = 500;

 private:
  Answer Handle(Connection* connection, const std::vector<std::string_view>& args, std::string* reply) override;
  uint64_t committed() const override { return data_->committed(); }
  uint64_t barriers_done() const override { return data_->barriers_done(); }
  int64_t MonotonicUs() override { return executor_->MonotonicUs(); }
  void Replied(int64_t latency_us) override { latencies_.Add(latency_us); }
  void Watch(Connection* connection) override;
  void Died(Connection* connection) override;

  void Accept(int fd, const std::string& address);
  void OnProgress();
  void EverySecond();

  // server_commands.cc
  void HandleOwn(Connection* connection, std::string_view name, const std::vector<std::string_view>& args,
                 std::string* reply, Answer* answer);
  void HandleClient(Connection* connection, const std::vector<std::string_view>& args, std::string* reply);
  void HandleCluster(const std::vector<std::string_view>& args, std::string* reply);
  void HandleCommand(const std::vector<std::string_view>& args, std::string* reply);
  void HandleConfig(const std::vector<std::string_view>& args, std::string* reply);
  void HandleDebug(Connection* connection, const std::vector<std::string_view>& args, std::string* reply);
  std::string Info() const;
  std::string NodeId() const;  // 40 hexadecimal digits of the endpoint, as Redis Cluster has them

  ServerOptions options_;
  Executor* executor_;
  KvStateMachine* state_;
  Node* node_ = nullptr;
  std::unique_ptr<DataService> data_;
  evconnlistener* listener_ = nullptr;
  std::string endpoint_;
  int port_ = 0;

  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> watched_;
  std::vector<Connection*> dead_;
  uint64_t next_id_ = 1;
  int64_t started_us_ = 0;
  bool stopping_ = false;

  DebugFaults faults_;
  // The executor's own pulse: how long nobody was served at a stretch, which no client's latency shows that came later.
  static constexpr int64_t kBeatMs = 20;
  LatencyHistogram latencies_;  // of this second
  uint64_t commands_ = 0;
  uint64_t commands_at_second_ = 0;
  uint64_t commands_per_second_ = 0;
  int64_t p99_us_ = 0;
  int64_t last_beat_us_ = 0;
  int64_t longest_stall_us_ = 0;  // of this second
};

}  // namespace understudy::resp_kv

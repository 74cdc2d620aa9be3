// A cluster in the test's own process: metadata in LevelDB, log servers on real files, both behind real sockets; and an
// agent whose commands the test gives.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/format/chain.h"
#include "log/format/disk_entry.h"
#include "log/metadata/embedded_metadata_store.h"
#include "log/metadata/metadata_store.h"
#include "log/protocol/control_messages.h"
#include "log/rpc/event_loop.h"
#include "log/rpc/rpc_server.h"
#include "log/rpc/services.h"
#include "server/lognode/log_node.h"
#include "understudy/log.h"

namespace understudy::testing {

inline constexpr char kClusterName[] = "test";

// A fresh directory, removed with all its content at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// An event loop and the threads that run it.
class LoopThreads {
 public:
  explicit LoopThreads(int threads) : loop_(SystemClock()) { Start(threads); }
  ~LoopThreads() { Stop(); }
  void Start(int threads);
  void Stop();  // for good
  EventLoop* loop() { return &loop_; }

 private:
  EventLoop loop_;
  std::vector<std::thread> threads_;
};

class TestCluster {
 public:
  explicit TestCluster(int log_servers = 1, std::vector<std::string> zones = {});
  ~TestCluster();

  LogOptions log_options(const std::string& node) const;
  const std::string& coordinator() const { return metadata_address_; }
  // What the metadata say of a log now.
  Chain ChainOf(LogId log) const;

  // Ends a log server without a word (its clients' connections break) and starts it again on the same data and port.
  void StopLogServer(int index);
  void StartLogServer(int index);
  // Stops it and loses its disk; started again it has a new one.
  void DestroyLogServer(int index);
  int AddLogServer();  // its index
  // For log servers that are started from now on.
  void SetLogServerOptions(std::function<void(LogNodeOptions*)> change) { change_ = std::move(change); }
  // Where a log server has its disk.
  std::string data_dir(int index) const { return directory_.path() + "/" + node_of(index); }
  const std::string& log_server_address(int index) const { return log_servers_[static_cast<size_t>(index)].address; }
  std::string node_of(int index) const { return "log" + std::to_string(index); }
  // Of the server that runs, or ran last.
  DiskId disk_of(int index) const { return log_servers_[static_cast<size_t>(index)].disk; }

  // As an operator's command, or the coordinator, would.
  void EditChain(LogId log, const std::function<void(Chain*)>& change);
  // Changes the entry of the disk on a server.
  void EditDisk(int index, const std::function<void(DiskEntry*)>& change);

  // Nobody answers for the metadata until it is started again.
  void StopMetadata();
  void StartMetadata();

 private:
  struct LogServer {
    std::unique_ptr<LoopThreads> loop;
    std::unique_ptr<LogNode> node;
    std::string address;
    DiskId disk;
  };
  const std::vector<std::string> zones_;
  std::function<void(LogNodeOptions*)> change_;
  TemporaryDirectory directory_;
  std::unique_ptr<MetadataStore> store_;
  std::unique_ptr<LoopThreads> metadata_loop_;
  std::unique_ptr<RpcServer> metadata_server_;
  std::string metadata_address_;
  std::vector<LogServer> log_servers_;
  std::vector<std::unique_ptr<LoopThreads>> old_loops_;  // stopped; they outlive the store, which answers into them
};

// Plays the agent of one application.
class FakeAgent : private AgentServiceHandler {
 public:
  explicit FakeAgent(const TestCluster& cluster);
  ~FakeAgent() override;

  const std::string& address() const { return address_; }
  // Queues a command (id, cluster and coordinators are filled in) and waits for its result.
  Status Carry(Command command);
  // Queues it and returns its id.
  int64_t Send(Command command);
  Status ResultOf(int64_t id);
  // Waits until a report satisfies `condition`, which it returns; an empty report after half a minute.
  AppReport WaitFor(const std::function<bool(const AppReport&)>& condition);
  AppReport last_report();
  // Breaks the connection and, at Return(), listens again.
  void GoAway();
  void Return();

 private:
  void AppNextCommand(uint64_t connection, AppReport report, uint32_t wait_ms,
                      Reply<NextCommandResponse> reply) override;
  void AppReported(uint64_t connection, AppReport report, Reply<NextCommandResponse> reply) override;
  void OnDisconnect(uint64_t connection) override;
  void Take(const AppReport& report);
  void Answer();

  const std::string coordinator_;
  TemporaryDirectory directory_;
  std::string address_;
  LoopThreads loop_;
  std::unique_ptr<RpcServer> server_;  // strand
  std::deque<Command> commands_;       // strand
  Reply<NextCommandResponse> poll_;    // strand; waits for a command
  EventLoop::TimerId poll_timer_ = 0;  // strand
  int64_t next_id_ = 1;                // strand

  std::mutex mutex_;
  std::condition_variable changed_;
  AppReport report_;
  std::map<int64_t, Status> results_;
};

}  // namespace understudy::testing

// One node of the fleet: its agent, the one process it may run, and in that process the applications of whichever
// service the process is told to follow or to serve. The agent and the process live and die apart; the process does
// what client/node does with commands, the agent what server/agent does, shortened to what the coordinator can see of
// them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/protocol/control_messages.h"
#include "tests/sim/application.h"
#include "tests/sim/world.h"

namespace understudy::sim {

class FleetNode {
 public:
  struct Service {
    std::string name;
    LogId log;
  };
  // What a node needs from the fleet.
  struct Fleet {
    World* world = nullptr;
    std::vector<Service> services;
    std::function<Application*(const std::string& node, LogId log)> application;
    std::function<void(NodeId from, const AgentReport& report)> report;  // to every coordinator, over the network
  };

  FleetNode(const Fleet& fleet, const Surroundings& around, std::string name, int* number, const Workload& workload);

  std::vector<std::string> labels;  // as its agent was given them

  const std::string& name() const { return name_; }
  NodeId node() const { return node_; }
  std::vector<NodeId> nodes() const;  // the agent's and the process's: what a fault of the machine hits
  // Null: no program of this log can run here.
  Application* application(LogId log) const {
    const auto found = applications_.find(log);
    return found == applications_.end() ? nullptr : found->second.get();
  }
  void AddLog(const Surroundings& around, LogId log, int* number, const Workload& workload);
  bool up() const { return agent_up_; }
  bool runs() const { return process_ == ProcessState::kRunning; }

  // The coordinator's word has arrived at this node.
  void Command(const understudy::Command& command);

  // ---- faults ----
  void KillProcess(const std::string& why);
  void FreezeProcess(bool frozen);
  void KillAgent();  // the process lives on
  void StartAgent();
  void PowerOff() {
    KillProcess("power loss");
    KillAgent();
  }

 private:
  struct Result {
    int64_t id = 0;
    StatusCode code = StatusCode::kOk;
    std::string detail;
  };
  // The process's side. `life`: of the process it was meant for.
  void InProcess(const understudy::Command& command);
  StatusCode Carry(const understudy::Command& command, std::string* detail, bool* pending);
  void LookAtProcess();  // what it reports to its agent, every few ms
  AppReport ReportOfProcess();
  Application* Current() const { return log_ == LogId() ? nullptr : applications_.at(log_).get(); }
  void Leave();  // the service it follows
  void Finish(int64_t id, StatusCode code, std::string detail);
  // The agent's.
  void Start(const understudy::Command& command);
  void Heartbeat();
  void Report();

  const Fleet fleet_;
  const std::string name_;
  NodeId node_;
  Stream stream_;
  std::map<LogId, std::unique_ptr<Application>> applications_;

  // The process.
  ProcessState process_ = ProcessState::kNone;
  std::string process_service_;
  std::string exit_reason_;
  int64_t pid_ = 0;
  int64_t starts_ = 0;
  int64_t last_command_ = 0;
  LogId log_;  // it follows or serves
  std::string service_;
  AttemptId attempt_;                   // drawn for a handover
  std::optional<int64_t> taking_over_;  // the command's id
  std::optional<int64_t> handing_over_;
  std::optional<int64_t> saving_;  // CHECKPOINT
  uint64_t saved_ = 0;             // the newest checkpoint that was listed when it came
  std::deque<CommandResult> done_;

  // The agent.
  bool agent_up_ = false;
  uint64_t agent_life_ = 0;
  int64_t incarnation_ = 0;
  ProcessState known_process_ = ProcessState::kNone;
  bool has_app_ = false;
  AppReport app_;
  Instant app_heard_;
  std::deque<CommandResult> agent_done_;
};

}  // namespace understudy::sim

// The agent's side of the conversation with the coordinator: a long poll for commands, and reports in between: at once
// when something happened, and at least every heartbeat. Coordinators are tried in order; while none answers,
// everything local goes on, results wait, and samples are kept up to a bound.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "log/protocol/control_messages.h"
#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"

namespace understudy {

struct CoordinatorLinkOptions {
  std::string cluster;
  std::string node;
  std::vector<std::string> coordinators;  // at least one
  int64_t heartbeat_ms = 250;
  size_t samples_max = 120;   // not yet heard by a coordinator; the oldest go first
  size_t results_max = 1024;  // likewise
};

// Strand of the loop held for every call and callback.
class CoordinatorLink {
 public:
  // `report`: how things stand, without samples and results. `command`: one came; the same may come more than once.
  CoordinatorLink(EventLoop* loop, CoordinatorLinkOptions options, std::function<AgentReport()> report,
                  std::function<void(const Command&)> command);
  ~CoordinatorLink();

  void Start();
  // Something happened: tell it now. Calls within one turn of the loop make one report.
  void ReportSoon();
  void AddResult(CommandResult result);  // told until an answer shows that it was heard
  void AddSample(NodeSample sample);

 private:
  void Connect();
  void Poll();
  void Report();
  void Heartbeat();
  AgentReport MakeReport();
  void Heard(const std::vector<CommandResult>& results);
  // Whether the answer counts; otherwise what it says of the coordinator has been acted upon.
  bool Accept(const Result<NextCommandResponse>& answer);
  void PollLater();

  EventLoop* loop_;
  CoordinatorLinkOptions options_;
  std::function<AgentReport()> report_;
  std::function<void(const Command&)> command_;

  std::unique_ptr<CoordinatorServiceClient> client_;
  size_t current_ = 0;    // of options_.coordinators
  uint64_t session_ = 0;  // answers of earlier connections' calls are ignored
  int64_t pause_ms_ = 0;
  bool heard_ = false;                // the last call was answered well
  std::set<std::string> complaints_;  // made since then; each is worth one line
  bool reporting_ = false;
  bool report_again_ = false;
  bool report_posted_ = false;
  Instant reported_at_;
  std::deque<NodeSample> samples_;
  std::deque<CommandResult> results_;
  EventLoop::TimerId heartbeat_timer_ = 0;
  EventLoop::TimerId poll_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace understudy

// The agent's side of the conversation with the coordinator that leads: a long poll for commands, and reports in
// between: at once when something happened, and at least every heartbeat. When the leader falls silent or says that
// another leads, the coordinators are asked in turn, one every kTryMs, until one takes the reports; the poll at the
// silent one stays. All the while everything local goes on, results wait, and samples are kept up to a bound.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
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
  static constexpr int64_t kTryMs = 100;     // between two coordinators that are asked
  static constexpr int64_t kSilentMs = 300;  // a report not answered for so long: another one is asked
  static constexpr size_t kPeersMax = 64;    // coordinators, those learnt of included

  // `report`: how things stand, without samples and results. `command`: one came; the same may come more than once, but
  // none of a leader that a later one has taken over from.
  CoordinatorLink(EventLoop* loop, CoordinatorLinkOptions options, std::function<AgentReport()> report,
                  std::function<void(const Command&)> command);
  ~CoordinatorLink();

  void Start();
  // Something happened: tell it now. Calls within one turn of the loop make one report.
  void ReportSoon();
  void AddResult(CommandResult result);  // told until an answer shows that it was heard
  void AddSample(NodeSample sample);

 private:
  struct Peer {
    std::string address;
    std::unique_ptr<CoordinatorServiceClient> client;
    bool polling = false;
    bool reporting = false;
    Instant asked_at;  // a report was sent last
  };
  Peer* Find(const std::string& address);  // opened when it is called; null beyond kPeersMax
  AgentReport MakeReport();
  void Poll(Peer* peer);
  void Report(Peer* peer);
  void Answered(Peer* peer, const Result<NextCommandResponse>& answer);
  void Take(const Peer& peer, const Command& command);
  void Complain(const Peer& peer, const Result<NextCommandResponse>& answer);
  void Heard(const std::vector<CommandResult>& results);
  void Seek();  // not in touch: asks the next one when it is time to
  void Heartbeat();

  EventLoop* loop_;
  CoordinatorLinkOptions options_;
  std::function<AgentReport()> report_;
  std::function<void(const Command&)> command_;

  std::map<std::string, std::unique_ptr<Peer>> peers_;
  Peer* leader_ = nullptr;  // the one that took the last report
  bool in_touch_ = false;   // and there is no reason to doubt it
  size_t next_ = 0;         // of options_.coordinators, to be asked next
  int64_t term_ = 0;        // the highest of a command
  Instant tried_at_;
  std::set<std::string> complaints_;  // made since it was in touch; each is worth one line
  bool report_again_ = false;
  bool report_posted_ = false;
  Instant reported_at_;
  std::deque<NodeSample> samples_;
  std::deque<CommandResult> results_;
  EventLoop::TimerId heartbeat_timer_ = 0;
  EventLoop::TimerId seek_timer_ = 0;
  EventLoop::TimerId silence_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace understudy

// The conversation with the agent: a long poll for commands that carries reports up, and reports in between when
// something changes. When the agent dies the application goes on, and the link tries again for ever.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/rpc/runtime.h"
#include "log/protocol/control_messages.h"
#include "log/rpc/clients.h"

namespace understudy {

// Strand held for every call.
class AgentLink {
 public:
  // `report` tells how things stand (without results of commands); `command` is called for each new command.
  AgentLink(Runtime* runtime, const std::string& cluster, const std::string& address, std::function<AppReport()> report,
            std::function<void(const Command&)> command);
  ~AgentLink();  // the loop is stopped
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  void Start();
  // Something changed that the agent should hear of now. Reports that pile up are merged.
  void ReportNow();
  // The outcome of a command; told until an answer shows that it was heard.
  void Done(const Command& command, const Status& status);
  void Close();

 private:
  void Poll();
  void Report();
  void Take(const NextCommandResponse& response);
  AppReport MakeReport();
  void Heard(const AppReport& report);

  Runtime* const runtime_;
  const std::function<AppReport()> report_;
  const std::function<void(const Command&)> command_;
  std::unique_ptr<AgentServiceClient> client_;
  std::vector<CommandResult> unheard_;
  int64_t last_command_ = 0;
  int64_t pause_ns_ = 0;
  bool reporting_ = false;
  bool report_again_ = false;
  bool closed_ = false;
};

}  // namespace understudy

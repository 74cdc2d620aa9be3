// How an application is started on a node: its arguments and its environment.
#pragma once

#include <cstdint>
#include <string>

#include "log/env/process.h"
#include "log/protocol/control_messages.h"
#include "understudy/status.h"

namespace understudy {

struct LaunchSite {
  std::string cluster;
  std::string node;
  std::string host;
  uint16_t port = 0;          // 0: none
  std::string agent_address;  // "unix:/path" of the agent's socket
  std::string output_path;
  std::string endpoint() const;  // "host:port"; empty without a port
};

// ${port}, ${node}, ${endpoint} and ${agent} in the arguments and the environment's values are replaced; other ${...}
// stay as they are. Adds UNDERSTUDY_AGENT, _CLUSTER, _NODE, _PORT and _SERVICE to the environment. kInvalidArgument: no
// program, or ${port} or ${endpoint} on a node that has none.
Result<SpawnOptions> MakeLaunch(const Command& start, const LaunchSite& site);

}  // namespace understudy

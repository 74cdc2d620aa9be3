// The JSON document behind `understudy status`; docs/cli.md describes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/coordinator/core/core.h"
#include "server/coordinator/presence.h"

namespace understudy::coordinator {

// Not yet over.
struct Alert {
  int64_t unix_ms = 0;
  std::string plugin;  // the predictor whose it is; empty: of a log
  std::string service;
  std::string text;
};

// Of the coordinators.
struct LeaderView {
  uint64_t term = 0;
  std::vector<SeenCoordinator> coordinators;  // this one leads
};

// `unsafe`: flags of this process that endanger data; those of log servers are found with their disks.
std::string StatusDocument(const Core& core, Instant now, int64_t unix_ms, const std::vector<std::string>& unsafe,
                           const std::vector<Alert>& alerts, const LeaderView& leader);

// "SERVING", "STARTING", "MOVING", "RECOVERING", "RESTARTING", "SUSPECT", "UNHEARD", "DOWN", "REMOVING" or "FOREIGN".
std::string ServiceStateName(const Core& core, const ServiceState& service);

}  // namespace understudy::coordinator

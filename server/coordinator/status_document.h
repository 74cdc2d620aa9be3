// The JSON document behind `understudy status`; docs/cli.md describes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {

std::string StatusDocument(const Core& core, Instant now, int64_t unix_ms, const std::vector<std::string>& unsafe);

// "SERVING", "MOVING", "RECOVERING", "STARTING", "WAITING", "SUSPECT", "FAILED", "REMOVING" or "FOREIGN".
std::string ServiceStateName(const Core& core, const ServiceState& service);

}  // namespace understudy::coordinator

// The policy's settings as JSON: `policy` of a service file, and the settings of the whole cluster (docs/cli.md).
#pragma once

#include <string>
#include <string_view>

#include "predictors/policy/types.h"
#include "understudy/status.h"

namespace understudy::policy {

inline constexpr size_t kWindowsMax = 64;

// kInvalidArgument names the field: "field 'policy.assign_at': must be a number from 0 to 1". Unknown fields are
// refused.
Result<ServicePolicy> ParseServicePolicy(std::string_view json);
std::string EncodeServicePolicy(const ServicePolicy& policy);

// `rejuvenation` of a service file.
Result<Rejuvenation> ParseRejuvenation(std::string_view json);
std::string EncodeRejuvenation(const Rejuvenation& rejuvenation);

std::string UtcText(int64_t unix_ms);  // "2026-12-24T18:00:00Z"

// `base` with the fields that are given in `json`; the others stay.
Result<FleetSettings> ParseFleetSettings(std::string_view json, const FleetSettings& base);
std::string EncodeFleetSettings(const FleetSettings& settings);

}  // namespace understudy::policy

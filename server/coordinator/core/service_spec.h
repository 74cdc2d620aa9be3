// What an operator declares of a service (docs/cli.md, "Service file"), kept as JSON under services/<name>.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "predictors/host/predictor_host.h"
#include "predictors/policy/types.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy::coordinator {

using PolicySpec = policy::ServicePolicy;

struct ServiceSpec {
  std::string name;
  std::string program;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  bool warm = true;            // "spare": "WARM" (its program runs on free nodes beforehand) or "COLD"
  bool standby = false;        // a spare mirrors it also without a forecast
  int replicas = 1;            // E
  int ack_quorum = 1;          // A
  bool replicas_given = true;  // in the file; otherwise the coordinator chooses both when it is applied
  LogId log;                   // given by the coordinator
  std::vector<PredictorSpec> predictors;
  std::map<std::string, std::string> labels;  // a node must carry them all to host the service
  int64_t checkpoint_interval_ms = 0;         // 0: the application's own
  int64_t memory_limit_bytes = 0;             // 0: none
  int64_t log_quota_bytes = 0;                // what its log may keep above the trim LSN, on each disk; 0: no bound
  int64_t stop_grace_ms = 5000;
  PolicySpec policy;
  policy::Rejuvenation rejuvenation;
  bool removed = false;  // asked to be removed; its processes are being stopped
  bool operator==(const ServiceSpec&) const = default;
};

inline constexpr size_t kServiceFileBytesMax = 256 << 10;
// A writer of the library has as much under way at most (inflight_bytes_max), and takes a checkpoint each quarter.
inline constexpr int64_t kLogQuotaBytesMin = 64 << 20;

// kInvalidArgument, naming the field: "service: field 'replicas': must be an integer from 1 to 9". A field nobody knows
// is an error too: it is a misspelt one.
Result<ServiceSpec> ParseServiceSpec(std::string_view json);
std::string EncodeServiceSpec(const ServiceSpec& spec);

// A WARM process started for one serves the other: same program, arguments and environment.
bool SameProgram(const ServiceSpec& a, const ServiceSpec& b);

// Letters, digits, '-', '_' and '.', at most 128, not beginning with a dot.
bool IsName(std::string_view name);

}  // namespace understudy::coordinator

// What understudyd is told on its command line and in its configuration file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "log/env/logging.h"
#include "understudy/status.h"

namespace understudy {

enum class DaemonRole : int { kEmbedded, kLog, kCoordinator, kAgent };

// Where a coordinator keeps the cluster's metadata.
enum class MetadataEngine : int { kEmbedded, kEtcd };

struct NodeSpec {
  std::string name;
  uint16_t port = 0;  // 0: its application serves no port
  bool operator==(const NodeSpec&) const = default;
};

struct DaemonOptions {
  DaemonRole role = DaemonRole::kEmbedded;
  std::string data_dir;
  std::string cluster;
  std::string node;
  std::string listen;
  std::string advertise;
  std::string log_listen;
  std::string log_advertise;
  MetadataEngine metadata = MetadataEngine::kEmbedded;
  std::vector<std::string> etcd_endpoints;  // "http://HOST:PORT"
  std::vector<NodeSpec> nodes;
  std::string app_host;
  std::vector<std::string> coordinators;
  std::vector<std::string> labels;
  std::vector<std::string> plugin_folders;
  std::string record_dir;  // empty: agents record nothing
  int64_t heartbeat_ms = 0;
  int64_t node_timeout_ms = 0;
  int64_t takeover_timeout_ms = 0;
  int64_t lease_ms = 0;
  int64_t sample_interval_ms = 0;
  uint64_t segment_bytes = 0;
  int64_t log_quota_bytes = 0;  // what one log may keep on a disk; 0: no bound, -1: half of the file system
  int64_t repair_after_ms = 0;
  uint64_t repair_bytes_per_s = 0;
  bool unsafe_no_fsync = false;
  bool insecure = false;
  bool allow_in_process_predictors = false;
  bool stop_applications = false;
  int64_t grace_ms = 0;
  LogLevel log_level = LogLevel::kInfo;

  // The text of --help or --version, when that is all that was asked; empty otherwise.
  std::string answer;
};

// `arguments` without the program's name. kInvalidArgument names the flag and what it takes.
Result<DaemonOptions> ParseDaemonOptions(const std::vector<std::string>& arguments);

// "n1:7001" or "n1". kInvalidArgument.
Result<NodeSpec> ParseNodeSpec(const std::string& text);

// Whether "HOST:PORT" names this machine's loopback only.
bool IsLoopbackAddress(const std::string& address);

}  // namespace understudy

#include "server/understudyd/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <set>
#include <sstream>

#include "log/env/small_files.h"
#include "log/format/batch.h"
#include "server/agent/agent.h"

namespace understudy {
namespace {

namespace po = boost::program_options;

constexpr char kUsage[] =
    "understudyd: redo logs, coordinator and agents of an understudy cluster.\n"
    "\n"
    "  understudyd [flags]              everything in one process: log server, coordinator, one agent for each of\n"
    "                                   --nodes, metadata in DATA_DIR/metadata or in etcd\n"
    "  understudyd log [flags]          a log server; its disk is DATA_DIR/log\n"
    "  understudyd coordinator [flags]  a coordinator, with the metadata in DATA_DIR/metadata (then it is the only\n"
    "                                   one) or in etcd\n"
    "  understudyd agent [flags]        the agents of --nodes\n"
    "\n"
    "SIGTERM and SIGINT end it; applications run on and are adopted by the next start, unless --stop-applications.\n";

// A number with bounds. The check names the flag, which Boost's own messages do only for what is no number at all.
struct Bounded {
  const char* name;
  int64_t value_default;
  int64_t min;
  int64_t max;
  const char* unit;
  const char* what;
};
constexpr Bounded kHeartbeat = {"heartbeat-ms", 250, 20, 60'000, "ms", "agents report at least so often"};
constexpr Bounded kNodeTimeout = {"node-timeout-ms", 1000, 100,
                                  600'000,           "ms", "a node not heard for so long is missing"};
constexpr Bounded kTakeoverTimeout = {"takeover-timeout-ms",
                                      10'000,
                                      1000,
                                      600'000,
                                      "ms",
                                      "a plan of a higher term that stands still for so long is taken over"};
constexpr Bounded kLease = {"lease-ms", 1500, 200, 60'000, "ms", "several coordinators: the leader's lease"};
constexpr Bounded kSampleInterval = {"sample-interval-ms", 1000, kSampleIntervalMsMin,
                                     kSampleIntervalMsMax, "ms", "between two samples of a node's health"};
// A batch goes into one segment whole: a segment that the largest does not fit in would refuse it for ever, and its
// writer would wait.
constexpr int64_t kSegmentMin = 16 << 20;
static_assert(kSegmentMin >= 3 * static_cast<int64_t>(kBatchBytesMax) / 2);
constexpr Bounded kSegment = {"segment-bytes", 64 << 20, kSegmentMin, 1 << 30, "bytes", "of one journal file"};
constexpr Bounded kLogQuota = {
    "log-quota-bytes",
    -1,
    -1,
    int64_t{1} << 50,
    "bytes",
    "log servers: what one log may keep on a disk; 0: no bound, -1: half of the file system"};
constexpr Bounded kRepairAfter = {
    "repair-after-ms", 300'000, 100, 604'800'000, "ms", "log servers: a disk not reached for so long is replaced"};
constexpr Bounded kRepairBytes = {
    "repair-bytes-per-second", 64 << 20, 1 << 20,
    int64_t{16} << 30,         "bytes",  "log servers: copied by repair at most; less while appends suffer"};
constexpr Bounded kGrace = {"grace-ms", 5000, 0, 600'000, "ms", "from SIGTERM to SIGKILL for --stop-applications"};
const Bounded* const kBounded[] = {&kHeartbeat, &kNodeTimeout, &kTakeoverTimeout, &kLease,       &kSampleInterval,
                                   &kSegment,   &kLogQuota,    &kRepairAfter,     &kRepairBytes, &kGrace};

std::string Describe(const Bounded& flag) {
  return std::string(flag.what) + ", " + std::to_string(flag.min) + " to " + std::to_string(flag.max) + " " + flag.unit;
}

po::options_description Flags() {
  po::options_description flags("Flags (in a configuration file: one 'flag = value' a line)", 110, 60);
  const auto text = [](const char* value) { return po::value<std::string>()->default_value(value); };
  flags.add_options()                                                                                      //
      ("help,h", "says this and ends")                                                                     //
      ("version", "says the version and ends")                                                             //
      ("config", po::value<std::string>(), "configuration file; the command line wins over it")            //
      ("data-dir", text("understudy-data"), "where everything is kept; made if absent; one process each")  //
      ("cluster", text("understudy"), "name of the cluster; peers of another are refused")                 //
      ("node", text("local"), "name of this log server or coordinator; no other has it")                   //
      ("listen", text("127.0.0.1:7400"), "coordinator and metadata: host:port")                            //
      ("advertise", text(""), "what others reach --listen by; empty: as it is")                            //
      ("log-listen", text("127.0.0.1:7401"), "log server: host:port")                                      //
      ("log-advertise", text(""), "what others reach --log-listen by; empty: as it is")                    //
      ("metadata", text("embedded"), "embedded: in DATA_DIR/metadata, for one coordinator; or etcd")       //
      ("etcd-endpoints", text(""), "members of etcd (3.4 or later): http://host:port,... tried in order")  //
      ("nodes", text(""), "agents to run: NAME[:PORT],...; PORT is what the node's application serves")    //
      ("app-host", text("127.0.0.1"), "host by which clients reach the applications of --nodes")           //
      ("labels", text(""), "of nodes and disks: KEY=VALUE,...; disks in one zone=Z fail together")         //
      ("coordinators", text("127.0.0.1:7400"), "roles log and agent: host:port,... tried in order")        //
      ("plugin-folder", po::value<std::vector<std::string>>()->composing(),
       "one more folder with predictor plugins; may be given several times")  //
      ("allow-in-process-predictors", po::bool_switch(),
       "coordinators: services may have predictors run as threads of this process, which a crash of theirs ends")  //
      ("record-dir", text(""), "agents write what they sample there, as traces; empty: they do not");
  for (const Bounded* flag : kBounded) {
    flags.add_options()(flag->name, po::value<int64_t>()->default_value(flag->value_default), Describe(*flag).c_str());
  }
  flags.add_options()                                                                                 //
      ("unsafe-no-fsync", po::bool_switch(), "acknowledge what is not on the disk; benchmarks only")  //
      ("insecure", po::bool_switch(), "allow addresses other than the loopback without TLS")          //
      ("stop-applications", po::bool_switch(), "end the applications, too, when asked to end")        //
      ("log-level", text("info"), "debug, info, warning or error");
  return flags;
}

Status Invalid(const std::string& flag, const std::string& what) {
  return {StatusCode::kInvalidArgument, "--" + flag + ": " + what};
}

std::vector<std::string> SplitList(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

bool IsName(const std::string& text) {
  return !text.empty() && text.size() <= 64 && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; });
}

bool ParsePort(const std::string& text, uint16_t* port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *port);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Status CheckAddress(const std::string& flag, const std::string& address, bool port_zero_allowed) {
  const size_t colon = address.rfind(':');
  uint16_t port = 0;
  if (colon == std::string::npos || colon == 0 || !ParsePort(address.substr(colon + 1), &port) ||
      (port == 0 && !port_zero_allowed)) {
    return Invalid(flag, "'" + address + "' is not host:port");
  }
  return Status::Ok();
}

Status ReadNodes(const po::variables_map& values, DaemonOptions* options) {
  std::set<std::string> names;
  std::set<uint16_t> ports;
  for (const std::string& text : SplitList(values["nodes"].as<std::string>())) {
    const Result<NodeSpec> node = ParseNodeSpec(text);
    if (!node.ok()) return Invalid("nodes", node.status().message());
    if (!names.insert(node->name).second) return Invalid("nodes", "'" + node->name + "' is named twice");
    if (node->port != 0 && !ports.insert(node->port).second) {
      return Invalid("nodes", "port " + std::to_string(node->port) + " is given twice");
    }
    options->nodes.push_back(*node);
  }
  if (options->nodes.empty() && options->role == DaemonRole::kAgent) {
    return Invalid("nodes", "the agent role needs at least one node, NAME[:PORT]");
  }
  options->labels = SplitList(values["labels"].as<std::string>());
  for (const std::string& label : options->labels) {
    if (label.find('=') == std::string::npos || label.front() == '=') {
      return Invalid("labels", "'" + label + "' is not KEY=VALUE");
    }
  }
  return Status::Ok();
}

Status ReadAddresses(const po::variables_map& values, DaemonOptions* options) {
  options->listen = values["listen"].as<std::string>();
  options->advertise = values["advertise"].as<std::string>();
  options->log_listen = values["log-listen"].as<std::string>();
  options->log_advertise = values["log-advertise"].as<std::string>();
  options->coordinators = SplitList(values["coordinators"].as<std::string>());
  UNDERSTUDY_RETURN_IF_ERROR(CheckAddress("listen", options->listen, true));
  UNDERSTUDY_RETURN_IF_ERROR(CheckAddress("log-listen", options->log_listen, true));
  if (!options->advertise.empty()) UNDERSTUDY_RETURN_IF_ERROR(CheckAddress("advertise", options->advertise, false));
  if (!options->log_advertise.empty()) {
    UNDERSTUDY_RETURN_IF_ERROR(CheckAddress("log-advertise", options->log_advertise, false));
  }
  for (const std::string& address : options->coordinators) {
    UNDERSTUDY_RETURN_IF_ERROR(CheckAddress("coordinators", address, false));
  }
  for (const auto& [flag, address, advertised] :
       {std::tuple("advertise", options->listen, options->advertise),
        std::tuple("log-advertise", options->log_listen, options->log_advertise)}) {
    if (advertised.empty() && (address.starts_with("0.0.0.0:") || address.starts_with("[::]:"))) {
      return Invalid(flag, "needed with " + address + ": the address by which others reach it");
    }
  }
  if (options->coordinators.empty()) return Invalid("coordinators", "at least one host:port is needed");
  if (options->insecure) return Status::Ok();
  const bool coordinates = options->role == DaemonRole::kEmbedded || options->role == DaemonRole::kCoordinator;
  const bool logs = options->role == DaemonRole::kEmbedded || options->role == DaemonRole::kLog;
  const char* const why =
      " is not the loopback, and there is no TLS yet: anybody who reaches it could read and write; "
      "--insecure allows it";
  if (coordinates && !IsLoopbackAddress(options->listen)) return Invalid("listen", options->listen + why);
  if (logs && !IsLoopbackAddress(options->log_listen)) return Invalid("log-listen", options->log_listen + why);
  return Status::Ok();
}

Status ReadMetadata(const po::variables_map& values, DaemonOptions* options) {
  const std::string engine = values["metadata"].as<std::string>();
  if (engine != "embedded" && engine != "etcd") return Invalid("metadata", "'" + engine + "' is not embedded or etcd");
  options->metadata = engine == "etcd" ? MetadataEngine::kEtcd : MetadataEngine::kEmbedded;
  options->etcd_endpoints = SplitList(values["etcd-endpoints"].as<std::string>());
  const bool coordinates = options->role == DaemonRole::kEmbedded || options->role == DaemonRole::kCoordinator;
  if (options->etcd_endpoints.empty() && options->metadata == MetadataEngine::kEtcd) {
    return Invalid("etcd-endpoints", "--metadata etcd needs at least one http://host:port");
  }
  if (!options->etcd_endpoints.empty() && options->metadata != MetadataEngine::kEtcd && coordinates) {
    return Invalid("etcd-endpoints", "given without --metadata etcd");
  }
  constexpr std::string_view kScheme = "http://";
  for (const std::string& endpoint : options->etcd_endpoints) {
    if (endpoint.starts_with("https://")) {
      return Invalid("etcd-endpoints", "'" + endpoint + "': there is no TLS yet; http://host:port");
    }
    const std::string address = endpoint.starts_with(kScheme) ? endpoint.substr(kScheme.size()) : "";
    if (address.find_first_of("/?#@ ") != std::string::npos || !CheckAddress("", address, false).ok()) {
      return Invalid("etcd-endpoints", "'" + endpoint + "' is not http://host:port");
    }
    if (coordinates && !options->insecure && !IsLoopbackAddress(address)) {
      return Invalid("etcd-endpoints", endpoint +
                                           " is not the loopback, and there is no TLS yet: anybody on the way could "
                                           "read and write; --insecure allows it");
    }
  }
  return Status::Ok();
}

Status ReadNumbers(const po::variables_map& values, DaemonOptions* options) {
  for (const Bounded* flag : kBounded) {
    const int64_t value = values[flag->name].as<int64_t>();
    if (value < flag->min || value > flag->max) {
      return Invalid(flag->name, std::to_string(value) + " is out of bounds: " + Describe(*flag));
    }
  }
  options->heartbeat_ms = values[kHeartbeat.name].as<int64_t>();
  options->node_timeout_ms = values[kNodeTimeout.name].as<int64_t>();
  options->takeover_timeout_ms = values[kTakeoverTimeout.name].as<int64_t>();
  options->lease_ms = values[kLease.name].as<int64_t>();
  options->sample_interval_ms = values[kSampleInterval.name].as<int64_t>();
  options->segment_bytes = static_cast<uint64_t>(values[kSegment.name].as<int64_t>());
  options->log_quota_bytes = values[kLogQuota.name].as<int64_t>();
  options->repair_after_ms = values[kRepairAfter.name].as<int64_t>();
  options->repair_bytes_per_s = static_cast<uint64_t>(values[kRepairBytes.name].as<int64_t>());
  options->grace_ms = values[kGrace.name].as<int64_t>();
  if (options->node_timeout_ms < 2 * options->heartbeat_ms) {
    return Invalid(kNodeTimeout.name, std::to_string(options->node_timeout_ms) +
                                          " is less than two heartbeats (--heartbeat-ms " +
                                          std::to_string(options->heartbeat_ms) + ")");
  }
  return Status::Ok();
}

Status ReadLevel(const std::string& text, LogLevel* level) {
  const std::pair<const char*, LogLevel> levels[] = {{"debug", LogLevel::kDebug},
                                                     {"info", LogLevel::kInfo},
                                                     {"warning", LogLevel::kWarning},
                                                     {"error", LogLevel::kError}};
  for (const auto& [name, value] : levels) {
    if (text == name) {
      *level = value;
      return Status::Ok();
    }
  }
  return Invalid("log-level", "'" + text + "' is none of debug, info, warning, error");
}

Status ReadRole(const po::variables_map& values, DaemonRole* role) {
  if (values.count("role") == 0) return Status::Ok();
  const std::string text = values["role"].as<std::string>();
  if (text == "log") {
    *role = DaemonRole::kLog;
  } else if (text == "coordinator") {
    *role = DaemonRole::kCoordinator;
  } else if (text == "agent") {
    *role = DaemonRole::kAgent;
  } else {
    return {StatusCode::kInvalidArgument, "'" + text + "' is no role; roles are log, coordinator and agent"};
  }
  return Status::Ok();
}

Result<po::variables_map> Parse(const std::vector<std::string>& arguments, const po::options_description& flags) {
  po::options_description all;
  all.add(flags).add_options()("role", po::value<std::string>());
  po::positional_options_description positional;
  positional.add("role", 1);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  po::store(po::command_line_parser(arguments).options(all).positional(positional).style(style).run(), values);
  if (values.count("config") != 0) {
    const std::string path = values["config"].as<std::string>();
    const Result<std::string> content = ReadSmallFile(path);
    if (!content.ok()) return Invalid("config", content.status().message());
    std::istringstream stream(*content);
    try {
      po::store(po::parse_config_file(stream, flags), values);
    } catch (const po::error& error) {
      return Invalid("config", path + ": " + error.what());
    }
  }
  po::notify(values);
  return values;
}

}  // namespace

Result<DaemonOptions> ParseDaemonOptions(const std::vector<std::string>& arguments) {
  const po::options_description flags = Flags();
  po::variables_map values;
  try {  // Boost speaks in exceptions; they end here
    Result<po::variables_map> parsed = Parse(arguments, flags);
    if (!parsed.ok()) return parsed.status();
    values = std::move(parsed).value();
  } catch (const std::exception& error) {
    return Status(StatusCode::kInvalidArgument, error.what());
  }
  DaemonOptions options;
  if (values.count("help") != 0) {
    std::ostringstream text;
    text << kUsage << "\n" << flags;
    options.answer = text.str();
    return options;
  }
  if (values.count("version") != 0) {
    options.answer = "understudyd " UNDERSTUDY_VERSION "\n";
    return options;
  }
  UNDERSTUDY_RETURN_IF_ERROR(ReadRole(values, &options.role));
  options.data_dir = values["data-dir"].as<std::string>();
  if (options.data_dir.empty()) return Invalid("data-dir", "must name a directory");
  options.cluster = values["cluster"].as<std::string>();
  options.node = values["node"].as<std::string>();
  options.app_host = values["app-host"].as<std::string>();
  if (!IsName(options.cluster)) return Invalid("cluster", "1 to 64 letters, digits, '-', '_' or '.'");
  if (!IsName(options.node)) return Invalid("node", "1 to 64 letters, digits, '-', '_' or '.'");
  if (options.app_host.empty()) return Invalid("app-host", "must name a host");
  options.record_dir = values["record-dir"].as<std::string>();
  if (values.count("plugin-folder") != 0)
    options.plugin_folders = values["plugin-folder"].as<std::vector<std::string>>();
  options.unsafe_no_fsync = values["unsafe-no-fsync"].as<bool>();
  options.insecure = values["insecure"].as<bool>();
  options.allow_in_process_predictors = values["allow-in-process-predictors"].as<bool>();
  options.stop_applications = values["stop-applications"].as<bool>();
  UNDERSTUDY_RETURN_IF_ERROR(ReadLevel(values["log-level"].as<std::string>(), &options.log_level));
  UNDERSTUDY_RETURN_IF_ERROR(ReadNodes(values, &options));
  UNDERSTUDY_RETURN_IF_ERROR(ReadAddresses(values, &options));
  UNDERSTUDY_RETURN_IF_ERROR(ReadMetadata(values, &options));
  UNDERSTUDY_RETURN_IF_ERROR(ReadNumbers(values, &options));
  return options;
}

Result<NodeSpec> ParseNodeSpec(const std::string& text) {
  NodeSpec node;
  const size_t colon = text.find(':');
  node.name = text.substr(0, colon);
  if (!IsName(node.name)) {
    return Status(StatusCode::kInvalidArgument,
                  "'" + text + "' is not NAME[:PORT] with a name of 1 to 64 letters, digits, '-', '_' or '.'");
  }
  if (colon != std::string::npos && (!ParsePort(text.substr(colon + 1), &node.port) || node.port == 0)) {
    return Status(StatusCode::kInvalidArgument, "'" + text + "': the port is a number from 1 to 65535");
  }
  return node;
}

bool IsLoopbackAddress(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.");
}

}  // namespace understudy

#include "server/agent/launch.h"

#include <utility>

namespace understudy {
namespace {

Result<std::string> Expand(const std::string& text, const LaunchSite& site) {
  const std::pair<std::string, std::string> variables[] = {
      {"${port}", site.port == 0 ? std::string() : std::to_string(site.port)},
      {"${endpoint}", site.endpoint()},
      {"${node}", site.node},
      {"${agent}", site.agent_address}};
  std::string expanded;
  size_t at = 0;
  while (at < text.size()) {
    const size_t begin = text.find("${", at);
    expanded.append(text, at, begin == std::string::npos ? begin : begin - at);
    if (begin == std::string::npos) break;
    at = begin + 2;
    bool known = false;
    for (const auto& [name, value] : variables) {
      if (text.compare(begin, name.size(), name) != 0) continue;
      if (value.empty()) {
        return Status(StatusCode::kInvalidArgument, "'" + text + "' wants a port, and node " + site.node +
                                                        " has none (understudyd --nodes " + site.node + ":PORT)");
      }
      expanded += value;
      at = begin + name.size();
      known = true;
    }
    if (!known) expanded += "${";
  }
  return expanded;
}

}  // namespace

std::string LaunchSite::endpoint() const { return port == 0 ? std::string() : host + ":" + std::to_string(port); }

Result<SpawnOptions> MakeLaunch(const Command& start, const LaunchSite& site) {
  if (start.program.empty()) return Status(StatusCode::kInvalidArgument, "the service names no program");
  SpawnOptions launch;
  launch.program = start.program;
  launch.output_path = site.output_path;
  for (const std::string& argument : start.arguments) {
    Result<std::string> expanded = Expand(argument, site);
    if (!expanded.ok()) return expanded.status();
    launch.arguments.push_back(std::move(expanded).value());
  }
  for (const auto& [name, value] : start.environment) {
    Result<std::string> expanded = Expand(value, site);
    if (!expanded.ok()) return expanded.status();
    launch.environment[name] = std::move(expanded).value();
  }
  launch.environment["UNDERSTUDY_AGENT"] = site.agent_address;
  launch.environment["UNDERSTUDY_CLUSTER"] = site.cluster;
  launch.environment["UNDERSTUDY_NODE"] = site.node;
  launch.environment["UNDERSTUDY_SERVICE"] = start.service;
  if (site.port != 0) launch.environment["UNDERSTUDY_PORT"] = std::to_string(site.port);
  return launch;
}

}  // namespace understudy

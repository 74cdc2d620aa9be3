#include "server/coordinator/status_document.h"

#include <nlohmann/json.hpp>
#include <string_view>

namespace understudy::coordinator {
namespace {

using nlohmann::json;

std::string_view RoleText(AppRole role) {
  switch (role) {
    case AppRole::kWarm:
      return "WARM";
    case AppRole::kLoading:
      return "LOADING";
    case AppRole::kReplaying:
      return "REPLAYING";
    case AppRole::kMirroring:
      return "MIRRORING";
    case AppRole::kPromoting:
      return "PROMOTING";
    case AppRole::kPrimary:
      return "PRIMARY";
  }
  return "WARM";
}

std::string_view ProcessText(ProcessState process) {
  switch (process) {
    case ProcessState::kNone:
      return "NONE";
    case ProcessState::kStarting:
      return "STARTING";
    case ProcessState::kRunning:
      return "RUNNING";
    case ProcessState::kExited:
      return "EXITED";
    case ProcessState::kFailed:
      return "FAILED";
  }
  return "NONE";
}

std::string_view RiskText(RiskLevel level) {
  switch (level) {
    case RiskLevel::kNone:
      return "none";
    case RiskLevel::kAssign:
      return "elevated";
    case RiskLevel::kSwitch:
      return "high";
  }
  return "none";
}

const NodeState* Find(const Core& core, const std::string& name) {
  auto it = core.nodes().find(name);
  return it == core.nodes().end() ? nullptr : &it->second;
}

// What the node is in its service; what its process is, when it has none.
std::string NodeRole(const NodeState& node) {
  if (!node.HasProcess()) return "COLD";
  if (!node.report.has_app) return "STARTING";
  return std::string(RoleText(node.report.app.role));
}

json ForecastJson(const Forecast& forecast) {
  json out = {{"status", ForecastStatusName(forecast.status)},
              {"predictor", forecast.predictor},
              {"version", forecast.version},
              {"reason", forecast.reason},
              {"horizon_s", static_cast<double>(forecast.horizon_ms) / 1000}};
  out["probability"] = forecast.status == ForecastStatus::kOk ? json(forecast.probability) : json(nullptr);
  out["confidence"] = forecast.status == ForecastStatus::kOk ? json(forecast.confidence) : json(nullptr);
  out["ttf_s"] = nullptr;
  if (forecast.status == ForecastStatus::kOk && forecast.has_ttf) {
    out["ttf_s"] = {{"p10", forecast.ttf_p10_s}, {"p50", forecast.ttf_p50_s}, {"p90", forecast.ttf_p90_s}};
  }
  return out;
}

json ServiceJson(const Core& core, const ServiceState& service) {
  const ServiceSpec& spec = service.spec;
  const NodeState* primary = Find(core, service.owner);
  const bool serving = primary != nullptr && primary->AppIs(AppRole::kPrimary, spec.name);
  json out = {{"name", spec.name},
              {"state", ServiceStateName(core, service)},
              {"why", !service.trouble.empty() ? service.trouble : service.suspicion},
              {"program", spec.program},
              {"log_id", spec.log.value()},
              {"primary", service.owner},
              {"endpoint", service.owner_endpoint},
              {"epoch", service.epoch.value()},
              {"replicas", spec.replicas},
              {"ack_quorum", spec.ack_quorum},
              {"disks", service.disks},
              {"standby", spec.standby},
              {"spare_kind", spec.warm ? "WARM" : "COLD"},
              {"checkpoint_lsn", service.checkpoint_lsn.value()},
              {"checkpoints", service.checkpoints},
              {"risk", RiskText(service.risk.level())},
              {"moves", service.plan.moves},
              {"coordinator", service.plan.coordinator}};
  out["checkpoint_interval_ms"] = service.interval_ms;
  out["committed"] = serving ? json(primary->report.app.applied.value()) : json(nullptr);
  const bool measured = serving && primary->report.app.append_p50_us >= 0;
  out["append_p50_us"] = measured ? json(primary->report.app.append_p50_us) : json(nullptr);
  out["append_p99_us"] = measured ? json(primary->report.app.append_p99_us) : json(nullptr);
  out["may_serve"] = serving && primary->report.app.may_serve;
  const Forecast& forecast = service.risk.forecast();
  out["forecast"] = forecast.predictor.empty() ? json(nullptr) : ForecastJson(forecast);
  out["spare"] = nullptr;
  if (!service.plan.spare.empty()) {
    json spare = {{"node", service.plan.spare}, {"reason", service.plan.spare_reason}, {"state", "COLD"}};
    spare["lag"] = nullptr;
    spare["caught_up"] = false;
    if (const NodeState* node = Find(core, service.plan.spare)) {
      spare["state"] = node->alive ? NodeRole(*node) : "MISSING";
      const AppReport& app = node->report.app;
      if (node->AppUp() && app.service == spec.name && app.role != AppRole::kWarm) {
        const Lsn head = serving && primary->report.app.applied > app.commit ? primary->report.app.applied : app.commit;
        spare["lag"] = head > app.applied ? head - app.applied : 0;
        spare["caught_up"] = app.caught_up;
      }
    }
    out["spare"] = std::move(spare);
  }
  out["move"] = nullptr;
  if (const Move& move = service.plan.move; move.kind != MoveKind::kNone) {
    out["move"] = {{"kind", MoveKindName(move.kind)},
                   {"step", MoveStepName(move.step)},
                   {"from", move.from},
                   {"to", move.to},
                   {"reason", move.reason},
                   {"started_unix_ms", move.started_unix_ms}};
  }
  return out;
}

json NodeJson(const Core& core, const NodeState& node, Instant now) {
  const AgentReport& report = node.report;
  json out = {{"name", node.name},
              {"state", !node.heard  ? "UNKNOWN"
                        : node.alive ? "ALIVE"
                                     : "MISSING"},
              {"address", report.address},
              {"labels", report.labels},
              {"process", ProcessText(report.process)},
              {"role", NodeRole(node)},
              {"service", report.has_app ? report.app.service : std::string()},
              {"program_of", report.process_service},
              {"pid", report.has_app ? report.app.pid : 0},
              {"endpoint", report.has_app ? report.app.endpoint : std::string()},
              {"exit_reason", report.exit_reason},
              {"starts", report.starts}};
  out["heard_ms_ago"] = node.heard ? json((now - node.last_heard) / kNsPerMs) : json(nullptr);
  json owns = json::array();
  for (const auto& [name, service] : core.services()) {
    if (service.owner == node.name) owns.push_back(name);
  }
  out["primary_of"] = std::move(owns);
  return out;
}

}  // namespace

std::string ServiceStateName(const Core& core, const ServiceState& service) {
  if (service.spec.removed) return "REMOVING";
  if (service.failed) return "FAILED";
  if (service.plan_foreign) return "FOREIGN";
  const Move& move = service.plan.move;
  bool gave_up = false;
  for (const auto& [name, node] : core.nodes()) {
    auto it = node.tries.find(service.spec.program);
    gave_up |= it != node.tries.end() && it->second.gave_up;
  }
  if (move.kind != MoveKind::kNone && move.to.empty()) return gave_up ? "FAILED" : "WAITING";
  switch (move.kind) {
    case MoveKind::kFirst:
      return "STARTING";
    case MoveKind::kPlanned:
      return "MOVING";
    case MoveKind::kUnplanned:
      return "RECOVERING";
    case MoveKind::kNone:
      break;
  }
  const NodeState* primary = Find(core, service.owner);
  if (primary != nullptr && primary->AppIs(AppRole::kPrimary, service.spec.name) && service.suspicion.empty()) {
    return "SERVING";
  }
  return "SUSPECT";
}

std::string StatusDocument(const Core& core, Instant now, int64_t unix_ms, const std::vector<std::string>& unsafe) {
  json services = json::array();
  for (const auto& [name, service] : core.services()) services.push_back(ServiceJson(core, service));
  json nodes = json::array();
  for (const auto& [name, node] : core.nodes()) nodes.push_back(NodeJson(core, node, now));
  json disks = json::array();
  json red = unsafe;
  for (const auto& [name, disk] : core.disks()) {
    json entry = json::parse(disk.value, nullptr, false);
    if (!entry.is_object()) entry = json::object();
    entry["disk"] = name;
    const auto flag = entry.find("unsafe_no_fsync");
    if (flag != entry.end() && flag->is_boolean() && flag->get<bool>()) {
      red.push_back("disk " + name + ": --unsafe-no-fsync: what it acknowledges may be lost");
    }
    disks.push_back(std::move(entry));
  }
  json moves = json::array();
  for (const MoveRecord& move : core.moves()) {
    json entry = {{"kind", MoveKindName(move.kind)},
                  {"service", move.service},
                  {"from", move.from},
                  {"to", move.to},
                  {"reason", move.reason},
                  {"epoch", move.epoch.value()},
                  {"started_unix_ms", move.started_unix_ms},
                  {"ended_unix_ms", move.ended_unix_ms},
                  {"replayed", move.replayed},
                  {"gap_ms", move.gap_ms}};
    entry["lead_s"] = move.lead_s < 0 ? json(nullptr) : json(move.lead_s);
    moves.push_back(std::move(entry));
  }
  const json out = {{"cluster", core.options().cluster},
                    {"coordinator", core.options().name},
                    {"unix_ms", unix_ms},
                    {"paused", core.paused()},
                    {"brake", core.braked()},
                    {"unsafe", std::move(red)},
                    {"services", std::move(services)},
                    {"nodes", std::move(nodes)},
                    {"disks", std::move(disks)},
                    {"moves", std::move(moves)}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace understudy::coordinator

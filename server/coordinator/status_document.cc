#include "server/coordinator/status_document.h"

#include <algorithm>
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
      return "NONE";
    case RiskLevel::kAssign:
      return "ASSIGN";
    case RiskLevel::kSwitch:
      return "SWITCH";
  }
  return "NONE";
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
  json out = {{"predictor", forecast.predictor},
              {"version", forecast.version},
              {"status", ForecastStatusName(forecast.status)},
              {"horizon_ms", forecast.horizon_ms},
              {"probability", forecast.probability},
              {"confidence", forecast.confidence},
              {"reason", forecast.reason}};
  const bool known = forecast.status == ForecastStatus::kOk && forecast.has_ttf;
  out["ttf_p10_s"] = known ? json(forecast.ttf_p10_s) : json(nullptr);
  out["ttf_p50_s"] = known ? json(forecast.ttf_p50_s) : json(nullptr);
  out["ttf_p90_s"] = known ? json(forecast.ttf_p90_s) : json(nullptr);
  return out;
}

json PrimaryJson(const ServiceState& service, const NodeState* node) {
  const bool heard = node != nullptr && node->AppIs(AppRole::kPrimary, service.spec.name);
  const AppReport app = heard ? node->report.app : AppReport();
  json out = {{"node", service.owner},
              {"endpoint", service.owner_endpoint},
              {"pid", app.pid},
              {"may_serve", heard ? json(app.may_serve) : json(nullptr)},
              {"serving_since_unix_ms", app.serving_since_unix_ms}};
  out["append_p50_us"] = app.append_p50_us >= 0 ? json(app.append_p50_us) : json(nullptr);
  out["append_p99_us"] = app.append_p99_us >= 0 ? json(app.append_p99_us) : json(nullptr);
  return out;
}

json SpareJson(const ServiceState& service, const NodeState* node, Lsn committed) {
  json out = {{"node", service.plan.spare},
              {"reason", service.plan.spare_reason},
              {"state", "COLD"},
              {"applied", 0},
              {"lag", nullptr},
              {"caught_up", false}};
  if (node == nullptr) return out;
  out["state"] = node->alive ? NodeRole(*node) : "MISSING";
  const AppReport& app = node->report.app;
  if (!node->AppUp() || app.service != service.spec.name || app.role == AppRole::kWarm) return out;
  const Lsn head = std::max(committed, app.commit);
  out["applied"] = app.applied.value();
  out["lag"] = head > app.applied ? head - app.applied : 0;
  out["caught_up"] = app.caught_up;
  return out;
}

// What its takeover, or its sealed epoch, waits for; in the words of who waits.
std::string WaitingFor(const Core& core, const ServiceState& service) {
  for (const std::string& name : {service.plan.move.to, service.owner}) {
    const NodeState* node = Find(core, name);
    if (node != nullptr && node->AppUp() && node->report.app.service == service.spec.name) {
      if (!node->report.app.waiting.empty()) return node->report.app.waiting;
    }
  }
  return "";
}

json ServiceJson(const Core& core, const ServiceState& service) {
  const ServiceSpec& spec = service.spec;
  const NodeState* primary = Find(core, service.owner);
  const bool heard = primary != nullptr && primary->AppIs(AppRole::kPrimary, spec.name);
  const Lsn committed = heard ? primary->report.app.applied : Lsn(0);
  json out = {{"name", spec.name},
              {"program", spec.program},
              {"log_id", spec.log.value()},
              {"state", ServiceStateName(core, service)},
              {"trouble", !service.trouble.empty() ? service.trouble : service.suspicion},
              {"epoch", service.epoch.value()},
              {"commit", committed.value()},
              {"last_appended", heard ? primary->report.app.last_appended.value() : 0},
              {"checkpoint_lsn", service.checkpoint_lsn.value()},
              {"checkpoints", service.checkpoints},
              {"checkpoint_interval_ms", service.interval_ms},
              {"replicas", spec.replicas},
              {"log_quota_bytes", spec.log_quota_bytes},
              {"disks", service.disks},
              {"ack_quorum", service.ack_quorum},
              {"standby", spec.standby},
              {"spare_kind", spec.warm ? "WARM" : "COLD"},
              {"risk", RiskText(service.risk.level())},
              {"wanted", policy::RungName(service.risk.rung())},
              {"moves", service.plan.moves},
              {"coordinator", service.plan.coordinator}};
  const Forecast& forecast = service.risk.forecast();
  out["primary"] = service.owner.empty() ? json(nullptr) : PrimaryJson(service, primary);
  out["spare"] =
      service.plan.spare.empty() ? json(nullptr) : SpareJson(service, Find(core, service.plan.spare), committed);
  out["forecast"] = forecast.predictor.empty() ? json(nullptr) : ForecastJson(forecast);
  out["waiting"] = WaitingFor(core, service);
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

json NodeJson(const NodeState& node, Instant now) {
  const AgentReport& report = node.report;
  json out = {{"name", node.name},
              {"alive", node.alive},
              {"address", report.address},
              {"labels", report.labels},
              {"process", ProcessText(report.process)},
              {"program_of", report.process_service},
              {"state", NodeRole(node)},
              {"service", report.has_app ? report.app.service : std::string()},
              {"pid", report.has_app ? report.app.pid : 0},
              {"endpoint", report.has_app ? report.app.endpoint : std::string()},
              {"exit_reason", report.exit_reason},
              {"starts", report.starts}};
  out["last_heard_ms"] = node.heard ? json((now - node.last_heard) / kNsPerMs) : json(nullptr);
  return out;
}

}  // namespace

std::string ServiceStateName(const Core& core, const ServiceState& service) {
  if (service.spec.removed) return "REMOVING";
  if (service.failed) return "DOWN";
  if (service.plan_foreign) return "FOREIGN";
  const Move& move = service.plan.move;
  if (move.kind != MoveKind::kNone && move.to.empty()) {
    for (const auto& [name, node] : core.nodes()) {
      auto it = node.tries.find(service.spec.program);
      if (it != node.tries.end() && it->second.gave_up) return "DOWN";
    }
  }
  switch (move.kind) {
    case MoveKind::kFirst:
      return "STARTING";
    case MoveKind::kPlanned:
      return "MOVING";
    case MoveKind::kUnplanned:
      return "RECOVERING";
    case MoveKind::kRestart:
      return "RESTARTING";
    case MoveKind::kNone:
      break;
  }
  const NodeState* primary = Find(core, service.owner);
  if (primary != nullptr && primary->AppIs(AppRole::kPrimary, service.spec.name) && service.suspicion.empty()) {
    return "SERVING";
  }
  if (service.owner.empty()) return "STARTING";
  const bool asked = primary != nullptr && primary->heard;
  return asked || !service.suspicion.empty() ? "SUSPECT" : "UNHEARD";
}

std::string StatusDocument(const Core& core, Instant now, int64_t unix_ms, const std::vector<std::string>& unsafe,
                           const std::vector<Alert>& alerts, const LeaderView& leader) {
  json services = json::array();
  for (const auto& [name, service] : core.services()) services.push_back(ServiceJson(core, service));
  json nodes = json::array();
  for (const auto& [name, node] : core.nodes()) nodes.push_back(NodeJson(node, now));
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
  json open_alerts = json::array();
  for (const Alert& alert : alerts) {
    open_alerts.push_back(
        {{"unix_ms", alert.unix_ms}, {"plugin", alert.plugin}, {"service", alert.service}, {"text", alert.text}});
  }
  json coordinators = json::array();
  for (const SeenCoordinator& one : leader.coordinators) {
    coordinators.push_back(
        {{"name", one.name}, {"address", one.address}, {"leads", one.self}, {"seen_ms", one.seen_ms}});
  }
  const json out = {{"cluster", core.options().cluster},
                    {"coordinator", core.options().name},
                    {"term", leader.term},
                    {"coordinators", std::move(coordinators)},
                    {"unix_ms", unix_ms},
                    {"paused", core.paused()},
                    {"braked", core.braked()},
                    {"dry_run", core.settings().dry_run},
                    {"unsafe", std::move(red)},
                    {"services", std::move(services)},
                    {"nodes", std::move(nodes)},
                    {"disks", std::move(disks)},
                    {"moves", std::move(moves)},
                    {"alerts", std::move(open_alerts)}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace understudy::coordinator

// What operators ask of the policy: the settings that hold for the whole cluster, and why a service was or was not
// moved.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "predictors/policy/policy_json.h"
#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

using nlohmann::json;

const char* StatusText(ForecastStatus status) {
  return status == ForecastStatus::kOk ? "OK" : status == ForecastStatus::kWarming ? "WARMING" : "ABSTAIN";
}

json ForecastJson(const Forecast& forecast, bool obeyed) {
  json out = {{"predictor", forecast.predictor},
              {"version", forecast.version},
              {"status", StatusText(forecast.status)},
              {"horizon_ms", forecast.horizon_ms},
              {"probability", forecast.probability},
              {"confidence", forecast.confidence},
              {"shadow", forecast.shadow},
              {"obeyed", obeyed},
              {"restart_cures", forecast.restart_cures},
              {"reason", forecast.reason}};
  const bool known = forecast.status == ForecastStatus::kOk && forecast.has_ttf;
  out["ttf_p10_s"] = known ? json(forecast.ttf_p10_s) : json(nullptr);
  out["ttf_p50_s"] = known ? json(forecast.ttf_p50_s) : json(nullptr);
  out["ttf_p90_s"] = known ? json(forecast.ttf_p90_s) : json(nullptr);
  return out;
}

}  // namespace

void Core::PolicyRequest(const OperatorRequest& in) {
  const json request = json::parse(in.document, nullptr, false);
  const auto text = [&](const char* field) {
    const bool there = request.is_object() && request.contains(field) && request[field].is_string();
    return there ? request[field].get<std::string>() : std::string();
  };
  const std::string what = text("request");
  if (what == "settings") {
    if (!request.contains("settings")) return Reply(in.token, StatusCode::kOk, "", SettingsDocument());
    Result<policy::FleetSettings> settings = policy::ParseFleetSettings(request["settings"].dump(), settings_);
    if (!settings.ok()) return Reply(in.token, settings.status().code(), settings.status().message());
    return ChangeSettings(in.token, *std::move(settings));
  }
  if (what == "explain") {
    const ServiceState* service = FindService(text("service"));
    if (service == nullptr) return Reply(in.token, StatusCode::kNotFound, "no service '" + text("service") + "'");
    return Reply(in.token, StatusCode::kOk, "", ExplainDocument(*service));
  }
  Reply(in.token, StatusCode::kInvalidArgument, "policy request: field 'request': must be \"settings\" or \"explain\"");
}

void Core::ChangeSettings(uint64_t token, policy::FleetSettings settings) {
  if (settings != settings_) Record("settings_changed", "", "", policy::EncodeFleetSettings(settings));
  settings_ = std::move(settings);
  pending_settings_.push_back({token, false});
  out_->writes.push_back({MetadataKind::kSettings, "", settings_version_, policy::EncodeFleetSettings(settings_)});
}

std::string Core::SettingsDocument() const {
  json out = json::parse(policy::EncodeFleetSettings(settings_));
  out["braked"] = braked_;
  return out.dump();
}

// Has a spare gone to another service at risk that gains more by it?
bool Core::Outranked(const ServiceState& service) const {
  return std::any_of(services_.begin(), services_.end(), [&](const auto& entry) {
    const ServiceState& other = entry.second;
    return &other != &service && !other.plan.spare.empty() && other.risk.level() != RiskLevel::kNone &&
           policy::RanksBefore(other.risk.assessment(), entry.first, service.risk.assessment(), service.spec.name);
  });
}

std::string Core::ExplainDocument(const ServiceState& service) const {
  const int64_t now_ms = now_.ns() / kNsPerMs;
  const policy::ServiceInput& input = service.risk.input();
  const policy::Assessment& assessed = service.risk.assessment();
  const policy::Memory& memory = assessed.memory;
  policy::Permit permit = Allowed(service);
  if (permit.assign && fleet_.spares_free > 0 && fleet_.spares_free <= policy::SparesReserved(fleet_, settings_)) {
    permit.holds.insert(permit.holds.begin(), policy::Hold::kReserve);
  }
  const auto none = std::find(permit.holds.begin(), permit.holds.end(), policy::Hold::kNoSpare);
  if (none != permit.holds.end() && Outranked(service)) *none = policy::Hold::kRank;
  json forecasts = json::array();
  for (size_t i = 0; i < service.risk.forecasts().size(); ++i) {
    forecasts.push_back(ForecastJson(service.risk.forecasts()[i], input.forecasts[i].obeyed));
  }
  json rungs = json::array();
  for (int r = 1; r < policy::kRungs; ++r) {
    const policy::RungGain& gain = assessed.rungs[static_cast<size_t>(r)];
    rungs.push_back({{"rung", policy::RungName(static_cast<policy::Rung>(r))},
                     {"floor", gain.floor},
                     {"probability", gain.probability},
                     {"ready", gain.ready},
                     {"benefit", gain.benefit},
                     {"cost", gain.cost},
                     {"lambda", gain.lambda},
                     {"gain", gain.gain}});
  }
  const policy::RestartPermit restart = AllowedRestart(service);
  std::vector<std::string> why = policy::Explain(input, assessed, permit, fleet_, settings_, now_ms);
  for (std::string& line : policy::ExplainRestart(input, assessed, restart, fleet_, settings_, now_ms)) {
    why.push_back(std::move(line));
  }
  const policy::RejuvenationInput ages = RejuvenationView(service);
  const policy::RejuvenationPermit exchange = policy::AllowRejuvenation(ages, fleet_, settings_, unix_ms_);
  for (std::string& line : policy::ExplainRejuvenation(ages, exchange, settings_, unix_ms_)) {
    why.push_back(std::move(line));
  }
  json rejuvenation;
  if (exchange.due_unix_ms > 0) {
    const int64_t next = policy::NextRejuvenation(ages, exchange, settings_, unix_ms_);
    rejuvenation = {{"every_s", ages.rejuvenation.every_s},
                    {"fresh_unix_ms", ages.fresh_unix_ms},
                    {"due_unix_ms", exchange.due_unix_ms},
                    {"next_unix_ms", next < 0 ? json(nullptr) : json(next)},
                    {"holds", json::array()}};
    for (const policy::Hold hold : exchange.holds) rejuvenation["holds"].push_back(policy::HoldName(hold));
  }
  json restart_holds = json::array();
  for (const policy::Hold hold : restart.holds) restart_holds.push_back(policy::HoldName(hold));
  json holds = json::array();
  for (const policy::Hold hold : permit.holds) holds.push_back(policy::HoldName(hold));
  json decisions = json::array();
  for (const Decision& decision : service.decisions) {
    decisions.push_back(
        {{"unix_ms", decision.unix_ms}, {"kind", decision.kind}, {"node", decision.node}, {"text", decision.text}});
  }
  const auto measured = [](double value) { return value < 0 ? json(nullptr) : json(value); };
  const json out = {
      {"service", service.spec.name},
      {"node", service.owner},
      {"spare", service.plan.spare.empty() ? json(nullptr) : json(service.plan.spare)},
      {"wanted", policy::RungName(memory.rung)},
      {"wanted_for_ms", memory.rung == policy::Rung::kNormal ? json(nullptr) : json(now_ms - memory.rung_since_ms)},
      {"allowed", policy::RungName(permit.rung)},
      {"moves_now", permit.switch_over},
      {"holds", std::move(holds)},
      {"why", std::move(why)},
      {"restart",
       {{"allowed", restart.restart},
        {"holds", std::move(restart_holds)},
        {"probability", assessed.restart.gain.probability},
        {"ready", assessed.restart.gain.ready},
        {"cost", assessed.restart.gain.cost},
        {"gain", assessed.restart.gain.gain},
        {"cooldown_ms", std::max<int64_t>(0, input.restart_cooldown_until_ms - now_ms)}}},
      {"rejuvenation", std::move(rejuvenation)},
      {"known", assessed.known},
      {"stale", assessed.stale},
      {"probability", assessed.probability},
      {"feasible", assessed.feasible},
      {"gain_per_spare_s", assessed.gain_per_spare_s},
      {"forecasts", std::move(forecasts)},
      {"forecasts_age_ms", service.risk.forecasts().empty() ? json(nullptr) : json(input.age_ms)},
      {"rungs", std::move(rungs)},
      {"ready",
       {{"measured", input.ready.measured},
        {"follow_ms", input.ready.follow_ms},
        {"mirror_ms", input.ready.mirror_ms},
        {"switch_ms", input.ready.switch_ms},
        {"start_ms", measured(service.measured.start_ms)},
        {"load_ms", measured(service.measured.load_ms)},
        {"replay_per_s", measured(service.measured.replay_per_s)},
        {"append_per_s", service.measured.append_per_s}}},
      {"cooldown_ms", std::max<int64_t>(0, input.cooldown_until_ms - now_ms)},
      {"policy", json::parse(policy::EncodeServicePolicy(service.spec.policy))},
      {"settings", json::parse(SettingsDocument())},
      {"fleet",
       {{"services", fleet_.services},
        {"at_risk", fleet_.at_risk},
        {"spares", fleet_.spares},
        {"spares_free", fleet_.spares_free},
        {"spares_reserved", policy::SparesReserved(fleet_, settings_)}}},
      {"decisions", std::move(decisions)}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace understudy::coordinator

// explain, policy, policy set: why a service was or was not moved, and the settings that decide it for the whole
// cluster.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "predictors/policy/policy_json.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kTimeoutMs = 5000;
constexpr size_t kFileBytesMax = 256u << 10;

Result<Json> Ask(const Arguments& arguments, const Json& request) {
  Session session(arguments);
  const Result<std::string> document = session.Document(
      [&](auto* client, auto done) { client->PolicyRequest(request.dump(), kTimeoutMs, std::move(done)); });
  if (!document.ok()) return document.status();
  Json json = Json::parse(*document, nullptr, false);
  if (!json.is_object()) return Status(StatusCode::kInternal, "the coordinator's answer is no JSON object");
  return json;
}

std::string Number(const Json& value, const char* format = "%.2f") {
  if (!value.is_number()) return "-";
  char text[48];
  std::snprintf(text, sizeof text, format, value.get<double>());
  return text;
}

std::string Ttf(const Json& forecast) {
  if (!forecast.value("ttf_p50_s", Json()).is_number()) return "-";
  return HumanMs(forecast["ttf_p50_s"].get<double>() * 1000) + " (" +
         HumanMs(forecast["ttf_p10_s"].get<double>() * 1000) + " to " +
         HumanMs(forecast["ttf_p90_s"].get<double>() * 1000) + ")";
}

void PrintSettings(const Json& settings) {
  Table table({"SETTING", "VALUE"});
  for (const auto& [key, value] : settings.items()) {
    if (key == "windows") continue;
    table.Add({key, value.dump()});
  }
  std::printf("%s", table.Render(false).c_str());
  for (const Json& window : settings.value("windows", Json::array())) {
    std::printf("window: %s\n", window.dump().c_str());
  }
}

// What is wrong with the service's predictors or samples: alerts that are not over, of the status document.
Json AlertsOf(const Arguments& arguments, const Json& explained) {
  Json out = Json::array();
  Session session(arguments);
  const Result<std::string> document =
      session.Document([](auto* client, auto done) { client->GetStatus(kTimeoutMs, std::move(done)); });
  const Json status = document.ok() ? Json::parse(*document, nullptr, false) : Json();
  if (!status.is_object() || !status.value("alerts", Json()).is_array()) return out;
  for (const Json& alert : status["alerts"]) {
    const std::string service = alert.value("service", ""), plugin = alert.value("plugin", "");
    bool concerns = service == explained.value("service", "");
    for (const Json& forecast : explained.value("forecasts", Json::array())) {
      concerns = concerns || (service.empty() && !plugin.empty() && forecast.value("predictor", "") == plugin);
    }
    if (concerns) out.push_back(alert);
  }
  return out;
}

Result<std::string> ReadFile(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return Status(StatusCode::kNotFound, path + ": " + error.message());
  if (size > kFileBytesMax) return Status(StatusCode::kInvalidArgument, path + ": longer than 256 KiB");
  std::ifstream in(path);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) return Status(StatusCode::kIoError, path + ": cannot be read");
  return text;
}

}  // namespace

int RunExplain(const Arguments& arguments) {
  Result<Json> answer = Ask(arguments, {{"request", "explain"}, {"service", arguments.Text("SERVICE")}});
  if (!answer.ok()) return Fail(answer.status());
  (*answer)["alerts"] = AlertsOf(arguments, *answer);
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
    return kExitOk;
  }
  const Json& json = *answer;
  const bool color = arguments.color;
  const Json spare = json.value("spare", Json());
  std::printf("%s on %s, spare: %s\n\n", Paint(json.at("service").get<std::string>(), Color::kBold, color).c_str(),
              json.value("node", "").empty() ? "no node" : json.value("node", "").c_str(),
              spare.is_string() ? spare.get<std::string>().c_str() : "none");
  for (const Json& line : json.at("why")) std::printf("%s\n", line.get<std::string>().c_str());

  for (const Json& alert : json.at("alerts")) {
    const std::string plugin = alert.value("plugin", "");
    const std::string of = plugin.empty() ? "" : plugin == "samples" ? "samples: " : "predictor " + plugin + ": ";
    std::printf("%s\n", Paint("ALERT: " + of + alert.value("text", ""), Color::kYellow, color).c_str());
  }

  Table forecasts({"PREDICTOR", "STATUS", "WITHIN>", "P>", "TIME TO FAILURE", "REASON"});
  for (const Json& one : json.at("forecasts")) {
    const bool known = one.value("status", "") == "OK";
    std::string status = one.value("status", "");
    if (one.value("shadow", false))
      status += ", in shadow";
    else if (!one.value("obeyed", true))
      status += ", in the ensemble";
    forecasts.Add({one.value("predictor", ""), status, HumanMs(one.value("horizon_ms", 0.0)),
                   known ? Number(one.value("probability", Json())) : "-", Ttf(one), one.value("reason", "")});
  }
  if (!forecasts.empty()) std::printf("\n%s", forecasts.Render(color).c_str());

  Table rungs({"RUNG", "FROM P>", "P>", "S>", "BENEFIT>", "COST>", "LAMBDA>", "GAIN>"});
  for (const Json& one : json.at("rungs")) {
    const bool wanted = one.value("rung", "") == json.value("wanted", "");
    rungs.Add({{one.value("rung", "") + (wanted ? " *" : ""), wanted ? Color::kBold : Color::kNone},
               Number(one.value("floor", Json())),
               Number(one.value("probability", Json())),
               Number(one.value("ready", Json())),
               Number(one.value("benefit", Json()), "%.1f"),
               Number(one.value("cost", Json())),
               Number(one.value("lambda", Json()), "%.3f"),
               Number(one.value("gain", Json()))});
  }
  std::printf("\n%s", rungs.Render(color).c_str());

  const Json& ready = json.at("ready");
  std::printf("\nA spare would mirror in %s (%s). Spares: %d of %d free, %d kept for failures.\n",
              HumanMs(ready.value("mirror_ms", 0.0)).c_str(),
              ready.value("measured", false) ? "measured" : "assumed: nothing was measured yet",
              json.at("fleet").value("spares_free", 0), json.at("fleet").value("spares", 0),
              json.at("fleet").value("spares_reserved", 0));
  if (!json.at("decisions").empty()) std::printf("\nLast decisions:\n");
  for (const Json& one : json.at("decisions")) {
    std::printf("  %s  %-16s %-8s %s\n", LocalTime(one.value("unix_ms", int64_t{0})).c_str(),
                one.value("kind", "").c_str(), one.value("node", "").c_str(), one.value("text", "").c_str());
  }
  return kExitOk;
}

int RunPolicy(const Arguments& arguments) {
  const Result<Json> answer = Ask(arguments, {{"request", "settings"}});
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
  } else {
    PrintSettings(*answer);
  }
  return kExitOk;
}

int RunPolicySet(const Arguments& arguments) {
  const std::string path = arguments.Text("FILE");
  const Result<std::string> file = ReadFile(path);
  if (!file.ok()) return Fail(file.status());
  const auto checked = policy::ParseFleetSettings(*file, {});
  if (!checked.ok()) return Fail(checked.status().WithContext(path));
  const Result<Json> answer = Ask(arguments, {{"request", "settings"}, {"settings", Json::parse(*file)}});
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
  } else {
    PrintSettings(*answer);
  }
  return kExitOk;
}

}  // namespace understudy::cli

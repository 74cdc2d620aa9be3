// doctor: the cluster as its coordinator and its log servers see it.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "client/cli/check.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/format/disk_entry.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kTimeoutMs = 5000;
constexpr double kSkewMaxMs = 1000;

Json List(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_array() ? json[key] : Json::array();
}

void CheckService(Session* session, const Json& service, const std::vector<Chain>& chains, size_t free_nodes,
                  Findings* out) {
  const std::string name = service.value("name", "?"), check = "service " + name;
  const Json primary = service.value("primary", Json());
  if (!primary.is_object()) {
    const std::string trouble = service.value("trouble", "");
    out->push_back({check, Verdict::kFailed, "has no primary" + (trouble.empty() ? "" : ": " + trouble),
                    "`understudy events` says what was tried; the agent's output of the program says why it ended."});
  } else if (!primary.contains("may_serve") || !primary["may_serve"].is_boolean()) {
    out->push_back({check, Verdict::kWarning,
                    "its primary on " + primary.value("node", "?") + " is not heard: " + service.value("state", "?"),
                    "Ask again; `understudy events` says what is being done."});
  } else if (!primary["may_serve"].get<bool>()) {
    out->push_back({check, Verdict::kFailed, "its primary has stopped serving by itself: log servers do not confirm it",
                    "See the log check: too few of its disks answer."});
  } else {
    out->push_back({check, Verdict::kOk, "served by " + primary.value("node", "?"), ""});
  }

  const auto chain = std::find_if(chains.begin(), chains.end(), [&](const Chain& c) { return c.name == name; });
  if (chain == chains.end() || chain->last() == nullptr) {
    out->push_back({"log " + name, Verdict::kFailed, "has no epoch yet", "It gets one when the service first starts."});
  } else {
    const EpochEntry& last = *chain->last();
    int good = 0;
    std::string bad;
    for (const ReplicaRef& replica : last.disks) {
      const Result<BarrierResponse> answer = session->Barrier(chain->log, replica.disk, last.epoch);
      const Status status = answer.ok() ? Status(answer->code, answer->detail) : answer.status();
      if (status.ok()) {
        ++good;
      } else {
        bad += (bad.empty() ? "" : "; ") + replica.node + ": " + status.message();
      }
    }
    const std::string of = std::to_string(good) + " of " + std::to_string(last.disks.size()) + " disks accept epoch " +
                           std::to_string(last.epoch.value());
    if (last.closed()) {
      out->push_back({"log " + name, Verdict::kFailed, "its last epoch is closed: nobody may append",
                      "A takeover should open the next one at once; if it stays so, `understudy events`."});
    } else if (good < last.ack_quorum) {
      out->push_back({"log " + name, Verdict::kFailed,
                      of + ", " + std::to_string(last.ack_quorum) + " are needed: " + bad,
                      "Start the log servers of those disks."});
    } else {
      out->push_back({"log " + name, bad.empty() ? Verdict::kOk : Verdict::kWarning,
                      of + (bad.empty() ? "" : ": " + bad),
                      bad.empty() ? "" : "Acknowledged writes are safe, but one more loss stops the service."});
    }
  }

  const Json spare = service.value("spare", Json());
  if (spare.is_object()) {
    out->push_back({"spare " + name, Verdict::kOk,
                    spare.value("node", "?") + " is " + spare.value("state", "?") + ", " +
                        WithCommas(static_cast<uint64_t>(std::max<int64_t>(0, spare.value("lag", int64_t{0})))) +
                        " records behind",
                    ""});
  } else if (free_nodes > 0) {
    out->push_back({"spare " + name, Verdict::kOk, std::to_string(free_nodes) + " free nodes can take it over", ""});
  } else {
    out->push_back(
        {"spare " + name, Verdict::kFailed, "no spare, and no free node", "Start an agent on one more node."});
  }

  const Json forecast = service.value("forecast", Json());
  if (forecast.is_object() && forecast.value("status", "") == "ABSTAIN") {
    out->push_back({"forecast " + name, Verdict::kWarning,
                    forecast.value("predictor", "?") + " abstains: " + forecast.value("reason", ""),
                    "Unplanned failures are still recovered from, but nothing is foreseen."});
  }
}

// Logs that are slowed or refused because they are never trimmed, as each disk that answers says.
void CheckQuotas(Session* session, const std::vector<Chain>& chains, Findings* out) {
  const Result<std::vector<MetadataEntry>> entries = session->List("disks/");
  if (!entries.ok()) return;  // the logs' own checks have said it
  for (const MetadataEntry& entry : *entries) {
    const Result<DiskEntry> disk = DecodeDiskEntry(entry.value);
    if (!disk.ok()) continue;
    const Result<std::string> document = session->LogServerStatus(disk->disk);
    if (!document.ok()) continue;
    const Json json = Json::parse(*document, nullptr, false);
    if (!json.is_object() || !json.contains("quota") || !json["quota"].is_object()) continue;
    for (const Json& log : List(json["quota"], "over")) {
      const LogId id(log.value("log", uint64_t{0}));
      const auto chain = std::find_if(chains.begin(), chains.end(), [&](const Chain& c) { return c.log == id; });
      const bool refused = log.value("word", "") == "refused";
      out->push_back({"log " + (chain == chains.end() ? std::to_string(id.value()) : chain->name),
                      refused ? Verdict::kFailed : Verdict::kWarning, disk->node + ": " + log.value("text", ""),
                      "docs/understudyd.md, \"The log server\": Quota."});
    }
  }
}

}  // namespace

bool CheckCluster(const Arguments& arguments, Findings* out) {
  Session session(arguments);
  const Instant began = SystemClock()->Now();
  const Result<std::string> document =
      session.Document([&](auto* client, auto done) { client->GetStatus(kTimeoutMs, std::move(done)); });
  const double took_ms = static_cast<double>(SystemClock()->Now() - began) / kNsPerMs;
  if (!document.ok()) {
    out->push_back({"coordinator", Verdict::kFailed, document.status().message(),
                    "Start understudyd, or name it with --coordinator."});
    return false;
  }
  const Json json = Json::parse(*document, nullptr, false);
  if (!json.is_object()) {
    out->push_back(
        {"coordinator", Verdict::kFailed, "its answer is not a status document", "Its version may be too different."});
    return false;
  }
  out->push_back({"coordinator", Verdict::kOk, session.coordinator() + " answers in " + HumanMs(took_ms), ""});
  const double skew_ms = std::abs(static_cast<double>(SystemClock()->WallUnixMs() - json.value("unix_ms", int64_t{0})));
  if (skew_ms > kSkewMaxMs + took_ms) {
    out->push_back({"clock skew", Verdict::kWarning, "the coordinator's wall clock differs by " + HumanMs(skew_ms),
                    "Synchronise both."});
  }
  for (const Json& option : List(json, "unsafe")) {
    out->push_back({"safety", Verdict::kFailed, option.get<std::string>() + ": acknowledged records can be lost",
                    "For benchmarks only: restart without it."});
  }
  if (json.value("paused", false))
    out->push_back({"policy", Verdict::kWarning, "predicted moves are paused", "understudy resume"});
  if (json.value("braked", false)) {
    out->push_back({"policy", Verdict::kWarning, "predicted moves are held: too many services look at risk at once",
                    "A common cause, or a bad predictor: compare their forecasts in `understudy status`."});
  }
  for (const Json& alert : List(json, "alerts")) {
    out->push_back({"predictor " + alert.value("plugin", "?"), Verdict::kWarning, alert.value("text", ""),
                    "See docs/predictors.md, \"The host\"."});
  }
  size_t free_nodes = 0;
  for (const Json& node : List(json, "nodes")) {
    const std::string state = node.value("state", "");
    if (!node.value("alive", false)) {
      out->push_back(
          {"node " + node.value("name", "?"), Verdict::kWarning, "is not heard", "Start its agent, or its machine."});
    } else if (state == "WARM" || state == "COLD") {
      ++free_nodes;
    }
  }
  const Json services = List(json, "services");
  if (services.empty()) {
    out->push_back({"services", Verdict::kWarning, "none is declared", "understudy service apply FILE"});
    return true;
  }
  const Result<std::vector<Chain>> chains = session.Chains();
  if (!chains.ok()) {
    out->push_back({"metadata", Verdict::kFailed, chains.status().message(), "The logs cannot be checked without it."});
    return true;
  }
  for (const Json& service : services) CheckService(&session, service, *chains, free_nodes, out);
  CheckQuotas(&session, *chains, out);
  return true;
}

}  // namespace understudy::cli

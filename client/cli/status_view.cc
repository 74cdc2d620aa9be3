#include "client/cli/status_view.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/text.h"

namespace understudy::cli {
namespace {

constexpr double kCoordinatorSilentMs = 10'000;  // they say every 2 s that they are there

using Json = nlohmann::json;

// Fields that may be absent, null or of another type: a newer coordinator must not break an older command.
std::string Text(const Json& json, const char* key, const char* otherwise = "") {
  if (!json.is_object() || !json.contains(key) || !json[key].is_string()) return otherwise;
  return json[key].get<std::string>();
}
double Number(const Json& json, const char* key, double otherwise = 0) {
  if (!json.is_object() || !json.contains(key) || !json[key].is_number()) return otherwise;
  return json[key].get<double>();
}
bool Flag(const Json& json, const char* key, bool otherwise = false) {
  if (!json.is_object() || !json.contains(key) || !json[key].is_boolean()) return otherwise;
  return json[key].get<bool>();
}
const Json& Child(const Json& json, const char* key) {
  static const Json none;
  return json.is_object() && json.contains(key) ? json[key] : none;
}
std::string Whole(const Json& json, const char* key) {
  const double value = Number(json, key, -1);
  return value < 0 ? "-" : WithCommas(static_cast<uint64_t>(value));
}

Color ColorOfState(const std::string& state) {
  if (state == "SERVING" || state == "PRIMARY") return Color::kGreen;
  if (state == "DOWN" || state == "RECOVERING" || state == "GONE") return Color::kRed;
  if (state == "MOVING" || state == "STARTING" || state == "PROMOTING") return Color::kYellow;
  return Color::kNone;
}

Table::Cell RiskCell(const Json& service) {
  const std::string risk = Text(service, "risk", "NONE");
  if (risk == "NONE") return "-";
  return {risk, risk == "SWITCH" ? Color::kRed : Color::kYellow};
}

std::string ForecastText(const Json& forecast) {
  if (!forecast.is_object()) return "-";
  const std::string status = Text(forecast, "status"), reason = Text(forecast, "reason");
  if (status != "OK") return status + (reason.empty() ? "" : ": " + reason);
  char text[96];
  std::snprintf(text, sizeof text, "%.0f %% in %s", 100 * Number(forecast, "probability"),
                HumanMs(Number(forecast, "horizon_ms")).c_str());
  std::string out = text;
  if (Child(forecast, "ttf_p50_s").is_number())
    out += ", about " + HumanMs(1000 * Number(forecast, "ttf_p50_s")) + " left";
  return out + (reason.empty() ? "" : ": " + reason);
}

std::string SpareText(const Json& spare) {
  if (!spare.is_object()) return "-";
  std::string out = Text(spare, "node") + " " + Text(spare, "state");
  if (!Flag(spare, "caught_up", true)) out += " (catching up)";
  return out;
}

std::string MoveText(const Json& move) {
  return Text(move, "kind") + " " + Text(move, "from") + " -> " + Text(move, "to");
}

std::string Services(const Json& all, bool color) {
  Table table({"SERVICE", "STATE", "PRIMARY", "EPOCH>", "COMMIT>", "APPEND P99>", "SPARE", "LAG>", "RISK", "FORECAST"});
  std::string notes;
  for (const Json& service : all) {
    const Json &primary = Child(service, "primary"), &spare = Child(service, "spare"), &move = Child(service, "move");
    std::string where = "-";
    if (primary.is_object()) where = Text(primary, "node") + " " + Text(primary, "endpoint");
    const double p99 = Number(primary, "append_p99_us", -1);
    const std::string state = Text(service, "state");
    const bool fenced = primary.is_object() && !Flag(primary, "may_serve", true);
    table.Add({Text(service, "name"),
               {state, ColorOfState(state)},
               {where, fenced ? Color::kRed : Color::kNone},
               Whole(service, "epoch"),
               Whole(service, "commit"),
               p99 < 0 ? "-" : HumanMs(p99 / 1000),
               SpareText(spare),
               Whole(spare, "lag"),
               RiskCell(service),
               ForecastText(Child(service, "forecast"))});
    const std::string name = Text(service, "name") + ": ";
    if (!Text(service, "trouble").empty()) notes += Paint(name + Text(service, "trouble"), Color::kRed, color) + "\n";
    if (!Text(service, "waiting").empty()) {
      notes += Paint(name + "waits: " + Text(service, "waiting"), Color::kRed, color) + "\n";
    }
    if (fenced) notes += Paint(name + "its primary has stopped serving by itself", Color::kRed, color) + "\n";
    if (move.is_object()) notes += name + MoveText(move) + ", at step " + Text(move, "step") + "\n";
  }
  if (table.empty()) return "No services. `understudy service apply FILE` declares one.\n";
  return table.Render(color) + notes;
}

std::string Nodes(const Json& all, bool color) {
  Table table({"NODE", "STATE", "SERVICE", "ENDPOINT", "PROCESS", "HEARD>"});
  for (const Json& node : all) {
    const bool alive = Flag(node, "alive");
    const double heard = Number(node, "last_heard_ms", -1);
    const std::string state = alive ? Text(node, "state") : heard < 0 ? "UNHEARD" : "GONE";
    std::string process = Text(node, "process");
    if (process == "RUNNING") process = "pid " + std::to_string(static_cast<int64_t>(Number(node, "pid")));
    if (!Text(node, "exit_reason").empty() && process.rfind("pid", 0) != 0) process += ", " + Text(node, "exit_reason");
    table.Add({Text(node, "name"),
               {state, ColorOfState(state)},
               Text(node, "service").empty() ? "-" : Text(node, "service"),
               Text(node, "endpoint").empty() ? "-" : Text(node, "endpoint"),
               process,
               heard < 0 ? "never" : HumanMs(heard) + " ago"});
  }
  return table.empty() ? "" : "\n" + table.Render(color);
}

std::string Moves(const Json& all, bool color) {
  Table table({"MOVE", "SERVICE", "FROM", "TO", "WHEN", "TOOK>", "GAP>", "LEAD>", "REPLAYED>", "WHY"});
  const size_t shown = 5, first = all.size() > shown ? all.size() - shown : 0;
  for (size_t i = first; i < all.size(); ++i) {
    const Json& move = all[i];
    const double lead = Number(move, "lead_s", -1), began = Number(move, "started_unix_ms");
    table.Add({Text(move, "kind"), Text(move, "service"), Text(move, "from"), Text(move, "to"),
               LocalTime(static_cast<int64_t>(began)), HumanMs(Number(move, "ended_unix_ms") - began),
               HumanMs(Number(move, "gap_ms")), lead < 0 ? "-" : HumanMs(lead * 1000), Whole(move, "replayed"),
               Text(move, "reason")});
  }
  return table.empty() ? "" : "\n" + table.Render(color);
}

}  // namespace

std::string RenderStatus(const std::string& document, const std::string& coordinator, bool color) {
  const Json json = Json::parse(document, nullptr, false);
  if (!json.is_object()) return "The coordinator's answer is not JSON.\n";
  static const Json none = Json::array();
  const auto list = [&](const char* key) -> const Json& {
    const Json& child = Child(json, key);
    return child.is_array() ? child : none;
  };
  size_t free = 0;
  for (const Json& node : list("nodes")) {
    const std::string state = Text(node, "state");
    if (Flag(node, "alive") && (state == "WARM" || state == "COLD")) ++free;
  }
  const auto count = [](size_t n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); };
  std::string out = "cluster " + Text(json, "cluster") + ", coordinator " + Text(json, "coordinator") + " at " +
                    coordinator + ": " + count(list("services").size(), "service") + ", " +
                    count(list("nodes").size(), "node") + ", " + std::to_string(free) + " free\n";
  if (const Json& coordinators = list("coordinators"); coordinators.size() > 1) {
    out += "coordinators:";
    for (const Json& one : coordinators) {
      out += (&one == &coordinators.front() ? " " : ", ") + Text(one, "name") + " at " + Text(one, "address");
      const double seen_ms = Number(one, "seen_ms");
      if (Flag(one, "leads")) {
        out += " leads with term " + std::to_string(static_cast<uint64_t>(Number(json, "term")));
      } else if (seen_ms < kCoordinatorSilentMs) {
        out += " stands by";
      } else {
        out += Paint(" not seen for " + HumanMs(seen_ms), Color::kYellow, color);
      }
    }
    out += "\n";
  }
  for (const Json& option : list("unsafe")) {
    if (!option.is_string()) continue;
    out +=
        Paint("UNSAFE: " + option.get<std::string>() + ": acknowledged records can be lost", Color::kRed, color) + "\n";
  }
  if (Flag(json, "paused"))
    out += Paint("PAUSED: no predicted moves until `understudy resume`", Color::kYellow, color) + "\n";
  if (Flag(json, "braked")) {
    out += Paint("HELD: too many services look at risk at once; predicted moves wait", Color::kYellow, color) + "\n";
  }
  for (const Json& alert : list("alerts")) {
    const std::string service = Text(alert, "service"), plugin = Text(alert, "plugin");
    const std::string whose = plugin.empty() ? service : "predictor " + plugin + (service.empty() ? "" : " of " + service);
    out += Paint("ALERT: " + (whose.empty() ? "" : whose + ": ") + Text(alert, "text"), Color::kYellow, color) + "\n";
  }
  return out + "\n" + Services(list("services"), color) + Nodes(list("nodes"), color) + Moves(list("moves"), color);
}

std::string RenderEvents(const std::string& document, bool color) {
  const Json json = Json::parse(document, nullptr, false);
  std::string out;
  for (const Json& event : Child(json, "events")) {
    const std::string service = Text(event, "service"), node = Text(event, "node");
    std::string line = LocalTime(static_cast<int64_t>(Number(event, "unix_ms"))) + "  #" +
                       std::to_string(static_cast<uint64_t>(Number(event, "seq"))) + "  " +
                       Paint(Text(event, "kind"), Color::kBold, color);
    if (!service.empty()) line += "  " + service;
    if (!node.empty()) line += "  on " + node;
    if (!Text(event, "text").empty()) line += "  " + Text(event, "text");
    out += line + "\n";
  }
  return out;
}

}  // namespace understudy::cli

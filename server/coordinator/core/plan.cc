#include "server/coordinator/core/plan.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace understudy::coordinator {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> kKinds = {"none", "first", "planned", "unplanned", "restart"};
constexpr std::array<std::string_view, 7> kSteps = {"start", "take_over", "prepare", "handover", "adopt", "checkpoint", "stop"};

constexpr std::pair<const char*, double Timings::*> kTimings[] = {{"start_ms", &Timings::start_ms},
                                                                  {"load_ms", &Timings::load_ms},
                                                                  {"replay_per_s", &Timings::replay_per_s},
                                                                  {"switch_ms", &Timings::switch_ms},
                                                                  {"checkpoint_ms", &Timings::checkpoint_ms}};

template <class Enum, size_t N>
Enum Parse(const std::array<std::string_view, N>& names, const std::string& text) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  throw std::invalid_argument("unknown word '" + text + "'");
}

}  // namespace

std::string_view MoveKindName(MoveKind kind) { return kKinds[static_cast<size_t>(kind)]; }
std::string_view MoveStepName(MoveStep step) { return kSteps[static_cast<size_t>(step)]; }

std::string EncodePlan(const Plan& plan) {
  json restarts = json::array();
  for (const Restart& restart : plan.restarts) {
    restarts.push_back({{"node", restart.node}, {"pid", restart.pid}, {"start_ticks", restart.start_ticks}});
  }
  json out = {{"service", plan.service},
              {"coordinator", plan.coordinator},
              {"term", plan.term},
              {"spare", plan.spare},
              {"spare_reason", plan.spare_reason},
              {"restarts", std::move(restarts)},
              {"predicted_moves", plan.predicted_moves},
              {"moves", plan.moves}};
  json timings = json::object();
  for (const auto& [name, field] : kTimings) {
    if (plan.timings.*field >= 0) timings[name] = plan.timings.*field;
  }
  if (!timings.empty()) out["timings"] = std::move(timings);
  if (plan.fresh_unix_ms != 0) out["fresh_unix_ms"] = plan.fresh_unix_ms;
  if (plan.restarted_unix_ms != 0) out["restarted_unix_ms"] = plan.restarted_unix_ms;
  if (const Move& move = plan.move; move.kind != MoveKind::kNone) {
    out["move"] = {{"kind", MoveKindName(move.kind)},
                   {"step", MoveStepName(move.step)},
                   {"from", move.from},
                   {"to", move.to},
                   {"epoch", move.epoch.value()},
                   {"attempt", ToHex(move.attempt)},
                   {"reason", move.reason},
                   {"predicted", move.predicted},
                   {"started_unix_ms", move.started_unix_ms},
                   {"lead_ms", move.lead_ms}};
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Plan> DecodePlan(std::string_view text) {
  try {
    const json in = json::parse(text);
    Plan plan;
    plan.service = in.at("service").get<std::string>();
    plan.coordinator = in.at("coordinator").get<std::string>();
    plan.term = in.at("term").get<uint64_t>();
    plan.spare = in.at("spare").get<std::string>();
    plan.spare_reason = in.at("spare_reason").get<std::string>();
    for (const json& item : in.at("restarts")) {
      plan.restarts.push_back(
          {item.at("node").get<std::string>(), item.at("pid").get<int64_t>(), item.at("start_ticks").get<int64_t>()});
    }
    plan.predicted_moves = in.at("predicted_moves").get<uint64_t>();
    plan.moves = in.at("moves").get<uint64_t>();
    const json timings = in.value("timings", json::object());
    for (const auto& [name, field] : kTimings) plan.timings.*field = timings.value(name, -1.0);
    plan.fresh_unix_ms = in.value("fresh_unix_ms", int64_t{0});
    plan.restarted_unix_ms = in.value("restarted_unix_ms", int64_t{0});
    if (in.contains("move")) {
      const json& from = in.at("move");
      Move& move = plan.move;
      move.kind = Parse<MoveKind>(kKinds, from.at("kind").get<std::string>());
      move.step = Parse<MoveStep>(kSteps, from.at("step").get<std::string>());
      move.from = from.at("from").get<std::string>();
      move.to = from.at("to").get<std::string>();
      move.epoch = Epoch(from.at("epoch").get<uint64_t>());
      if (!FromHex(from.at("attempt").get<std::string>(), &move.attempt)) throw std::invalid_argument("bad attempt");
      move.reason = from.at("reason").get<std::string>();
      move.predicted = from.at("predicted").get<bool>();
      move.started_unix_ms = from.at("started_unix_ms").get<int64_t>();
      move.lead_ms = from.at("lead_ms").get<int64_t>();
    }
    return plan;
  } catch (const std::exception& error) {
    return Status(StatusCode::kCorruption, std::string("plan: ") + error.what());
  }
}

}  // namespace understudy::coordinator

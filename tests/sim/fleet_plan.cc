// Plans of the fleet: made from a seed, as text, and cut down.
#include <algorithm>
#include <iterator>
#include <sstream>
#include <utility>

#include "tests/sim/fleet_stage.h"

namespace understudy::sim {
namespace {

constexpr const char* kNames[] = {"outage",
                                  "coordinator-crash",
                                  "coordinator-freeze",
                                  "coordinator-jump",
                                  "coordinator-cut",
                                  "kill",
                                  "freeze",
                                  "kill-agent",
                                  "freeze-agent",
                                  "power-off",
                                  "isolate",
                                  "jump",
                                  "disk-crash",
                                  "disk-hang",
                                  "disk-slow",
                                  "cas-lost",
                                  "cas-late",
                                  "forecast",
                                  "common-cause",
                                  "switchover",
                                  "pause",
                                  "apply",
                                  "remove",
                                  "drain",
                                  "undrain",
                                  "rebalance",
                                  "settings",
                                  "wipe"};
static_assert(std::size(kNames) == static_cast<size_t>(FleetAction::kCount));

// From a stream of their own, so that the rest of the plan does not depend on them.
void MakeOperators(FleetPlan* plan) {
  Stream stream(Mix(plan->seed, 0x0BE7A705));
  plan->operators = !plan->quiet && stream.Below(2) == 0;
  if (!plan->operators) return;
  plan->labels = stream.Below(3) == 0;
  const int64_t count = stream.Between(1, 10);
  const auto first = static_cast<uint64_t>(kFirstOfOperators);
  for (int64_t i = 0; i < count; ++i) {
    FleetEvent event;
    event.at_us = stream.Between(0, plan->run_us);
    event.action = static_cast<FleetAction>(first + stream.Below(static_cast<uint64_t>(FleetAction::kCount) - first));
    event.which = stream.Between(0, 11);
    event.for_us = stream.Between(1000, 300'000);
    event.value = stream.Between(0, 1000);
    plan->events.push_back(event);
  }
}

// The numbers of a plan by their names in its text.
struct Field {
  const char* name;
  int64_t (*get)(const FleetPlan& plan);
  void (*set)(FleetPlan* plan, int64_t value);
  int64_t most;
};
#define UNDERSTUDY_FLEET_FIELD(name, member, type, most)                                      \
  {                                                                                           \
    name, [](const FleetPlan& plan) -> int64_t { return static_cast<int64_t>(plan.member); }, \
        [](FleetPlan* plan, int64_t value) { plan->member = static_cast<type>(value); }, most \
  }
constexpr Field kFields[] = {
    UNDERSTUDY_FLEET_FIELD("seed", seed, uint64_t, INT64_MAX),
    UNDERSTUDY_FLEET_FIELD("quiet", quiet, bool, 1),
    UNDERSTUDY_FLEET_FIELD("operators", operators, bool, 1),
    UNDERSTUDY_FLEET_FIELD("labels", labels, bool, 1),
    UNDERSTUDY_FLEET_FIELD("restarts", restarts, bool, 1),
    UNDERSTUDY_FLEET_FIELD("services", services, int, 3),
    UNDERSTUDY_FLEET_FIELD("nodes", nodes, int, 4),
    UNDERSTUDY_FLEET_FIELD("disks", disks, int, 4),
    UNDERSTUDY_FLEET_FIELD("coordinators", coordinators, int, 2),
    UNDERSTUDY_FLEET_FIELD("run_us", run_us, int64_t, 60'000'000),
    UNDERSTUDY_FLEET_FIELD("standby", standby, bool, 1),
    UNDERSTUDY_FLEET_FIELD("drop_permille", network.drop_permille, int, 1000),
    UNDERSTUDY_FLEET_FIELD("duplicate_permille", network.duplicate_permille, int, 1000),
    UNDERSTUDY_FLEET_FIELD("late_permille", network.late_permille, int, 1000),
};
#undef UNDERSTUDY_FLEET_FIELD

// "name=value" with a value from 0 to `most`.
bool Read(const std::string& word, const std::string& name, int64_t most, int64_t* value) {
  if (!word.starts_with(name + "=")) return false;
  const std::string digits = word.substr(name.size() + 1);
  if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos) return false;
  *value = std::stoll(digits);
  return *value <= most;
}

bool ReadPlan(std::istringstream* words, FleetPlan* plan) {
  for (std::string word; *words >> word;) {
    bool known = false;
    for (const Field& field : kFields) {
      int64_t value = 0;
      if (!Read(word, field.name, field.most, &value)) continue;
      field.set(plan, value);
      known = true;
    }
    if (!known) return false;
  }
  return true;
}

bool ReadEvent(std::istringstream* words, FleetEvent* event) {
  std::string at, action, which, for_us, value, more;
  if (!(*words >> at >> action >> which >> for_us >> value) || *words >> more) return false;
  const auto name = std::find(std::begin(kNames), std::end(kNames), action);
  if (name == std::end(kNames)) return false;
  event->action = static_cast<FleetAction>(name - std::begin(kNames));
  return Read(at, "us", 60'000'000, &event->at_us) && Read(which, "which", 1000, &event->which) &&
         Read(for_us, "for_us", 60'000'000, &event->for_us) && Read(value, "value", 1'000'000, &event->value);
}

}  // namespace

const char* Name(FleetAction action) { return kNames[static_cast<size_t>(action)]; }

FleetPlan MakeFleetPlan(uint64_t seed) {
  FleetPlan plan;
  plan.seed = seed;
  Stream stream(Mix(seed, 0xF1EE7BAD));
  plan.quiet = stream.Below(3) == 0;
  plan.services = stream.Below(4) == 0 ? 3 : static_cast<int>(stream.Between(1, 2));
  plan.nodes =
      stream.Below(6) == 0 ? plan.services : std::min(4, plan.services + static_cast<int>(stream.Between(1, 2)));
  plan.restarts = stream.Below(3) == 0;
  plan.disks = static_cast<int>(stream.Between(3, 4));
  plan.standby = stream.Below(2) == 0;
  plan.run_us = stream.Between(1000, 4000) * 1000;
  if (!plan.quiet && stream.Below(2) == 0) {
    plan.network.drop_permille = static_cast<int>(stream.Between(0, 60));
    plan.network.duplicate_permille = static_cast<int>(stream.Between(0, 100));
    plan.network.late_permille = static_cast<int>(stream.Between(0, 60));
  }
  const int64_t kinds =
      plan.quiet ? static_cast<int64_t>(FleetAction::kKillProcess) : static_cast<int64_t>(kFirstOfOperators);
  const int64_t count = stream.Between(1, plan.quiet ? 12 : 24);
  for (int64_t i = 0; i < count; ++i) {
    FleetEvent event;
    event.at_us = stream.Between(0, plan.run_us);
    event.action = static_cast<FleetAction>(stream.Below(static_cast<uint64_t>(kinds)));
    event.which = stream.Between(0, 11);
    event.for_us = stream.Between(1000, stream.Below(3) == 0 ? 1'500'000 : 300'000);
    event.value = stream.Between(0, 1000);
    plan.events.push_back(event);
    // A forecast that nobody repeats is soon forgotten.
    const bool foretold = event.action == FleetAction::kForecast || event.action == FleetAction::kCommonCause;
    for (int64_t k = 1; foretold && k <= 8; ++k) {
      FleetEvent again = event;
      again.at_us += k * 30'000;
      plan.events.push_back(again);
    }
  }
  MakeOperators(&plan);
  std::stable_sort(plan.events.begin(), plan.events.end(),
                   [](const FleetEvent& a, const FleetEvent& b) { return a.at_us < b.at_us; });
  return plan;
}

std::string ToText(const FleetPlan& plan) {
  std::string text = "fleet";
  for (const Field& field : kFields) text += " " + std::string(field.name) + "=" + std::to_string(field.get(plan));
  text += "\n";
  for (const FleetEvent& event : plan.events) {
    text += "at us=" + std::to_string(event.at_us) + " " + Name(event.action) +
            " which=" + std::to_string(event.which) + " for_us=" + std::to_string(event.for_us) +
            " value=" + std::to_string(event.value) + "\n";
  }
  return text;
}

Result<FleetPlan> FleetPlanFromText(const std::string& text) {
  FleetPlan plan;
  bool begun = false;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line);
    std::string verb;
    if (!(words >> verb) || verb[0] == '#') continue;
    FleetEvent event;
    const bool understood = verb == "fleet" ? !std::exchange(begun, true) && ReadPlan(&words, &plan)
                                            : verb == "at" && begun && ReadEvent(&words, &event);
    if (!understood) {
      return Status(StatusCode::kInvalidArgument, "line " + std::to_string(number) + ": '" + line + "'");
    }
    if (verb == "at") plan.events.push_back(event);
  }
  if (!begun || plan.services < 1 || plan.nodes < plan.services || plan.disks < 3 || plan.coordinators < 1) {
    return Status(StatusCode::kInvalidArgument, "the plan needs a line 'fleet', and room for what it names");
  }
  return plan;
}

FleetPlan ShrinkFleet(const FleetPlan& plan, Rule rule) {
  FleetPlan shortest = plan;
  const auto still_breaks = [&](const FleetPlan& candidate) {
    Coverage coverage;
    const FleetResult result = RunFleet(candidate, &coverage);
    return result.run.finding.has_value() && result.run.finding->rule == rule;
  };
  FleetPlan calm = shortest;
  calm.network = NetworkRates();
  if (still_breaks(calm)) shortest = calm;
  for (size_t stretch = std::max<size_t>(shortest.events.size() / 2, 1); stretch > 0; stretch /= 2) {
    for (size_t i = 0; i < shortest.events.size();) {
      FleetPlan without = shortest;
      const auto from = without.events.begin() + static_cast<int64_t>(i);
      without.events.erase(from, from + static_cast<int64_t>(std::min(stretch, without.events.size() - i)));
      if (still_breaks(without)) {
        shortest = std::move(without);
      } else {
        i += stretch;
      }
    }
  }
  return shortest;
}

}  // namespace understudy::sim

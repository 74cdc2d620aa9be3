#include "tests/sim/plan.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace understudy::sim {
namespace {

struct ActionInfo {
  const char* name;
  std::vector<const char*> args;
};

const std::vector<ActionInfo>& Actions() {
  // Nodes: 0 is the metadata, then the disks, then the programs. Disks and programs count from 0 where they stand
  // alone.
  static const std::vector<ActionInfo> kActions = {
      {"cut", {"from", "to", "for_us"}},
      {"isolate", {"node", "for_us"}},
      {"freeze", {"node", "for_us"}},
      {"jump", {"node", "by_us"}},
      {"crash", {"disk", "point", "power", "kept", "down_us"}},
      {"fsync-error", {"disk", "down_us"}},
      {"full", {"disk", "for_us"}},
      {"slow", {"disk", "factor", "for_us"}},
      {"hang", {"disk", "for_us"}},
      {"flip", {"disk", "where"}},
      {"wipe", {"disk", "down_us"}},
      {"copy", {"disk"}},
      {"roll-back", {"disk", "down_us"}},
      {"drain", {"disk", "for_us"}},
      {"cas-reply-lost", {"log"}},
      {"cas-late", {"log", "after_us"}},
      {"outage", {"kind", "for_us"}},
      {"kill", {"program"}},
      {"take-over", {"program"}},
      {"recover", {"program"}},
      {"hand-over", {"program", "to", "deadline_us", "adopt_us"}},
      {"change-replicas", {"program", "pick", "deadline_us"}},
      {"follow", {"program"}},
      {"mirror", {"program", "on"}},
      {"checkpoint", {"log"}},
      {"burst", {"log", "batches"}},
      {"quiet", {"log", "for_us"}},
      {"give-up", {"program", "pick", "silent", "down_us", "accept_us"}},
      {"lose-source", {"after_us", "down_us"}},
  };
  return kActions;
}

}  // namespace

const char* ActionName(Action action) { return Actions()[static_cast<size_t>(action)].name; }
const std::vector<const char*>& ArgNames(Action action) { return Actions()[static_cast<size_t>(action)].args; }

const std::vector<PlanKnob>& PlanKnobs() {
#define KNOB(name, field, harmless)                                            \
  PlanKnob {                                                                   \
    name, [](const Plan& p) -> int64_t { return p.field; },                    \
        [](Plan* p, int64_t v) { p->field = decltype(p->field)(v); }, harmless \
  }
  static const std::vector<PlanKnob> kKnobs = {
      KNOB("replicas", replicas, -1),
      KNOB("quorum", quorum, -1),
      KNOB("disks", disks, -1),
      KNOB("logs", logs, 1),
      KNOB("programs", programs, -1),
      KNOB("run_us", run_us, -1),
      KNOB("zones", zones, 0),
      KNOB("drift_ppm", drift_ppm, 0),
      KNOB("drop_permille", network.drop_permille, 0),
      KNOB("duplicate_permille", network.duplicate_permille, 0),
      KNOB("late_permille", network.late_permille, 0),
      KNOB("delay_us_min", network.delay_us_min, -1),
      KNOB("delay_us_max", network.delay_us_max, 200),
      KNOB("late_us_max", network.late_us_max, -1),
      KNOB("fifo", network.fifo, 1),
      KNOB("write_us", speed.write_us, -1),
      KNOB("sync_us_min", speed.sync_us_min, -1),
      KNOB("sync_us_max", speed.sync_us_max, 300),
      KNOB("answer_us", speed.answer_us, -1),
      KNOB("append_us", workload.append_us, -1),
      KNOB("records_max", workload.records_max, 1),
      KNOB("barrier_us", workload.barrier_us, -1),
      KNOB("unacked_bytes_max", workload.unacked_bytes_max, -1),
      KNOB("repair_width", workload.repair_width, 0),
      KNOB("unseen_permille", workload.unseen_permille, 0),
  };
#undef KNOB
  return kKnobs;
}

std::string ToText(const Event& event) {
  char at[48];
  std::snprintf(at, sizeof at, "at %.3fms ", static_cast<double>(event.at_us) / 1000);
  std::string text = std::string(at) + ActionName(event.action);
  const std::vector<const char*>& names = ArgNames(event.action);
  for (size_t i = 0; i < names.size(); ++i) {
    text += std::string(" ") + names[i] + "=" + std::to_string(event.args[i]);
  }
  return text;
}

std::string ToText(const Plan& plan) {
  std::string text = "seed " + std::to_string(plan.seed) + "\nset";
  for (const PlanKnob& knob : PlanKnobs()) text += std::string(" ") + knob.name + "=" + std::to_string(knob.get(plan));
  text += "\n";
  for (const Event& event : plan.events) text += ToText(event) + "\n";
  return text;
}

namespace {

// "key=value" with a whole number.
bool ParsePair(const std::string& word, std::string* key, int64_t* value) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals + 1 == word.size()) return false;
  *key = word.substr(0, equals);
  char* end = nullptr;
  *value = std::strtoll(word.c_str() + equals + 1, &end, 10);
  return *end == '\0';
}

Status ParseEvent(std::istringstream& words, Plan* plan) {
  std::string at, name, word, key;
  words >> at >> name;
  char* end = nullptr;
  Event event;
  event.at_us = static_cast<int64_t>(std::strtod(at.c_str(), &end) * 1000 + 0.5);
  if (std::string(end) != "ms") return {StatusCode::kInvalidArgument, "a time ends in ms: " + at};
  const auto found =
      std::find_if(Actions().begin(), Actions().end(), [&](const ActionInfo& info) { return name == info.name; });
  if (found == Actions().end()) return {StatusCode::kInvalidArgument, "no action is called " + name};
  event.action = static_cast<Action>(found - Actions().begin());
  while (words >> word) {
    int64_t value = 0;
    if (!ParsePair(word, &key, &value)) return {StatusCode::kInvalidArgument, "not a name=number: " + word};
    const auto arg = std::find(found->args.begin(), found->args.end(), key);
    if (arg == found->args.end()) return {StatusCode::kInvalidArgument, name + " has no " + key};
    event.args[static_cast<size_t>(arg - found->args.begin())] = value;
  }
  plan->events.push_back(event);
  return Status::Ok();
}

}  // namespace

Result<Plan> PlanFromText(const std::string& text) {
  Plan plan;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string verb, word, key;
    if (!(words >> verb) || verb[0] == '#') continue;
    if (verb == "seed") {
      if (!(words >> plan.seed)) return Status(StatusCode::kInvalidArgument, "seed wants a number");
    } else if (verb == "set") {
      while (words >> word) {
        int64_t value = 0;
        const auto named = [&](const PlanKnob& knob) { return key == knob.name; };
        if (!ParsePair(word, &key, &value)) return Status(StatusCode::kInvalidArgument, "not a name=number: " + word);
        const auto knob = std::find_if(PlanKnobs().begin(), PlanKnobs().end(), named);
        if (knob == PlanKnobs().end()) return Status(StatusCode::kInvalidArgument, "nothing is called " + key);
        knob->set(&plan, value);
      }
    } else if (verb == "at") {
      UNDERSTUDY_RETURN_IF_ERROR(ParseEvent(words, &plan));
    } else {
      return Status(StatusCode::kInvalidArgument, "a line begins with seed, set or at, not " + verb);
    }
  }
  if (plan.quorum < 1 || plan.replicas < plan.quorum || plan.disks < plan.replicas || plan.disks > 15 ||
      plan.logs < 1 || plan.programs < 1 ||
      plan.disks + plan.logs * (plan.programs + 1) + 1 > static_cast<int>(World::kNodesMax)) {
    return Status(StatusCode::kInvalidArgument, "a cluster of that size cannot be");
  }
  std::stable_sort(plan.events.begin(), plan.events.end(),
                   [](const Event& a, const Event& b) { return a.at_us < b.at_us; });
  return plan;
}

}  // namespace understudy::sim

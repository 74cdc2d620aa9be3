// simulate-fleet: what a policy would do to a large fleet, in simulated time.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/text.h"
#include "predictors/policy/fleet_simulation.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;
using policy::FleetOutcome;
using policy::FleetPolicy;

std::string Hours(double seconds) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  return text;
}

Json Document(const policy::FleetOptions& options, const std::vector<FleetOutcome>& outcomes) {
  Json list = Json::array();
  for (const FleetOutcome& one : outcomes) {
    const double lived_s = options.days * 86'400 * options.primaries;
    list.push_back({{"policy", policy::FleetPolicyName(one.policy)},
                    {"faults", one.faults},
                    {"failures", one.failures},
                    {"failures_with_spare_ready", one.failures_ready},
                    {"missed", one.missed},
                    {"moves", one.moves},
                    {"false_moves", one.false_moves},
                    {"failures_without_spare", one.without_spare},
                    {"braked_s", one.braked_s},
                    {"downtime_s", one.downtime_s},
                    {"downtime_max_s", one.downtime_max_s},
                    {"availability", 1 - one.downtime_s / lived_s},
                    {"spare_hours", one.spare_hours},
                    {"cost", one.cost}});
  }
  return {{"primaries", options.primaries},
          {"spares", options.spares},
          {"days", options.days},
          {"seed", options.seed},
          {"policies", std::move(list)}};
}

}  // namespace

int RunSimulateFleet(const Arguments& arguments) {
  policy::FleetOptions options;
  options.primaries = static_cast<int>(arguments.Number("primaries"));
  options.spares = static_cast<int>(arguments.Number("spares"));
  options.days = static_cast<double>(arguments.Number("days"));
  options.seed = static_cast<uint64_t>(arguments.Number("seed"));
  if (const std::string path = arguments.Text("policy"); !path.empty()) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) return Fail({StatusCode::kNotFound, path + ": " + error.message()});
    if (size > (256u << 10)) return Fail({StatusCode::kInvalidArgument, path + ": longer than 256 KiB"});
    std::ifstream in(path);
    const Status read = policy::ReadFleetFile(std::string(std::istreambuf_iterator<char>(in), {}), &options);
    if (!read.ok()) return Fail(read.WithContext(path));
  }
  const bool bar = isatty(STDERR_FILENO) != 0;
  std::vector<FleetOutcome> outcomes;
  for (const FleetPolicy one : {FleetPolicy::kNone, FleetPolicy::kThreshold90, FleetPolicy::kUnderstudy}) {
    outcomes.push_back(policy::SimulateFleet(options, one, [&](double share) {
      if (bar) std::fprintf(stderr, "\r%-20s %3d %%", policy::FleetPolicyName(one), static_cast<int>(share * 100));
    }));
    if (bar) std::fprintf(stderr, "\r%30s\r", "");
  }
  if (arguments.json()) {
    std::printf("%s\n", Document(options, outcomes).dump(1).c_str());
    return kExitOk;
  }
  std::printf("%s primaries, %s spares, %g days, seed %llu\n\n",
              WithCommas(static_cast<uint64_t>(options.primaries)).c_str(),
              WithCommas(static_cast<uint64_t>(options.spares)).c_str(), options.days,
              static_cast<unsigned long long>(options.seed));
  Table table({"POLICY", "FAULTS>", "FAILURES>", "MISSED>", "MOVES>", "FALSE>", "NO SPARE>", "DOWNTIME>", "LONGEST>",
               "SPARE HOURS>", "BRAKED>"});
  const auto count = [](int64_t n) { return WithCommas(static_cast<uint64_t>(n)); };
  for (const FleetOutcome& one : outcomes) {
    char hours[32];
    std::snprintf(hours, sizeof hours, "%.1f", one.spare_hours);
    table.Add({policy::FleetPolicyName(one.policy), count(one.faults), count(one.failures), count(one.missed),
               count(one.moves), count(one.false_moves), count(one.without_spare), Hours(one.downtime_s),
               HumanMs(one.downtime_max_s * 1000), hours, HumanMs(static_cast<double>(one.braked_s) * 1000)});
  }
  std::printf("%s", table.Render(arguments.color).c_str());
  return kExitOk;
}

}  // namespace understudy::cli

// understudy-sim --fleet: hunts for broken rules with coordinators, agents and processes in the simulation, replays a
// seed, shrinks its plan.
#include <algorithm>
#include <atomic>
#include <boost/program_options.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "log/env/clock.h"
#include "tests/sim/fleet.h"

namespace understudy::sim {
namespace {

namespace po = boost::program_options;

void Print(const std::string& text) { std::printf("%s\n", text.c_str()); }

std::string Say(const Finding& finding) { return std::string(RuleName(finding.rule)) + ": " + finding.text; }

int Replay(FleetPlan plan, bool trace, bool shrink) {
  Coverage coverage;
  std::fputs(ToText(plan).c_str(), stdout);
  const FleetResult result = RunFleet(plan, &coverage, trace ? Print : std::function<void(const std::string&)>());
  std::printf("%llu records acknowledged, %.3f s simulated\n", static_cast<unsigned long long>(result.run.acked),
              static_cast<double>(result.run.simulated_ns) / kNsPerSecond);
  if (!result.run.finding.has_value()) {
    std::printf("nothing broken\n");
    return 0;
  }
  std::printf("BROKEN %s\n", Say(*result.run.finding).c_str());
  if (!shrink) return 1;
  plan = ShrinkFleet(plan, result.run.finding->rule);
  std::printf("\nshortest plan found:\n%s\nits trace:\n", ToText(plan).c_str());
  RunFleet(plan, &coverage, Print);
  return 1;
}

// A plan that was written down: what a seed means changes with the simulator.
int ReplayFile(const std::string& path, bool trace, bool shrink) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) {
    std::cerr << "understudy-sim: cannot read " << path << "\n";
    return 2;
  }
  const Result<FleetPlan> plan = FleetPlanFromText(text.str());
  if (!plan.ok()) {
    std::cerr << "understudy-sim: " << path << ": " << plan.status().message() << "\n";
    return 2;
  }
  return Replay(*plan, trace, shrink);
}

void PrintReached(const FleetCoverage& reached) {
  const std::vector<std::string> missing = reached.missing();
  std::printf("reached %zu of %zu kinds; how often:\n", FleetCoverage::wanted() - missing.size(),
              FleetCoverage::wanted());
  for (const auto& [what, times] : reached.counts()) {
    std::printf("  %-44s %llu\n", what.c_str(), static_cast<unsigned long long>(times));
  }
  for (const std::string& what : missing) std::printf("  never: %s\n", what.c_str());
}

int Hunt(uint64_t first_seed, uint64_t seeds, double minutes, int jobs) {
  const Instant began = SystemClock()->Now();
  const Instant until = seeds > 0 ? Instant::Never() : began + static_cast<int64_t>(minutes * 60 * kNsPerSecond);
  std::atomic<uint64_t> next{first_seed};
  std::mutex mutex;
  uint64_t runs = 0, bad = 0, acked = 0, barriers = 0, steps = 0;
  FleetCoverage reached;
  const auto work = [&] {
    while (SystemClock()->Now() < until) {
      const uint64_t seed = next++;
      if (seeds > 0 && seed >= first_seed + seeds) return;
      Coverage nobody_looks;
      const FleetResult result = RunFleet(MakeFleetPlan(seed), &nobody_looks);
      const std::lock_guard<std::mutex> lock(mutex);
      ++runs;
      acked += result.run.acked;
      steps += result.run.steps;
      reached.Add(result.reached);
      barriers += result.barriers;
      if (!result.run.finding.has_value()) continue;
      ++bad;
      std::printf("seed %llu  BROKEN %s\n", static_cast<unsigned long long>(seed), Say(*result.run.finding).c_str());
      std::fflush(stdout);
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < jobs; ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  const double seconds = static_cast<double>(SystemClock()->Now() - began) / kNsPerSecond;
  std::printf("%llu seeds in %.1f s, %.1f a second; %.1f M events, %.1f k records acknowledged, %llu barriers\n",
              static_cast<unsigned long long>(runs), seconds, static_cast<double>(runs) / seconds,
              static_cast<double>(steps) / 1e6, static_cast<double>(acked) / 1e3,
              static_cast<unsigned long long>(barriers));
  PrintReached(reached);
  std::printf("%llu findings\n", static_cast<unsigned long long>(bad));
  return bad == 0 && runs > 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  po::options_description options("Usage: understudy-sim --fleet [options]\n\nOptions");
  options.add_options()("help,h", "this text")("fleet", "coordinators, agents and processes as well")(
      "minutes,m", po::value<double>()->default_value(1), "how long to hunt")(
      "jobs,j", po::value<int>()->default_value(1), "threads")("first-seed", po::value<uint64_t>()->default_value(1),
                                                               "where a hunt begins")(
      "seeds", po::value<uint64_t>()->default_value(0), "hunt so many seeds, whatever the time")(
      "seed,s", po::value<uint64_t>(), "replay this seed")("plan", po::value<std::string>(),
                                                           "replay the plan in this file")(
      "trace", "print every message and what came of it")("shrink", "cut a failing plan down, and print its trace");
  po::variables_map given;
  try {
    po::store(po::parse_command_line(argc, argv, options), given);
    po::notify(given);
  } catch (const po::error& error) {
    std::cerr << "understudy-sim: " << error.what() << "\n";
    return 2;
  }
  if (given.contains("help")) {
    std::cout << options;
    return 0;
  }
  if (given.contains("plan"))
    return ReplayFile(given["plan"].as<std::string>(), given.contains("trace"), given.contains("shrink"));
  if (given.contains("seed"))
    return Replay(MakeFleetPlan(given["seed"].as<uint64_t>()), given.contains("trace"), given.contains("shrink"));
  return Hunt(given["first-seed"].as<uint64_t>(), given["seeds"].as<uint64_t>(), given["minutes"].as<double>(),
              std::max(1, given["jobs"].as<int>()));
}

}  // namespace
}  // namespace understudy::sim

int main(int argc, char** argv) { return understudy::sim::Main(argc, argv); }

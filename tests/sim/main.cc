// understudy-sim: hunts for broken rules, replays a seed, shrinks a failing plan, and hunts mutants.
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "log/epoch/testing/mutants.h"
#include "tests/sim/hunt.h"
#include "tests/sim/plan.h"
#include "tests/sim/run.h"
#include "tests/sim/shrink.h"

namespace understudy::sim {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr int kHunts = 5;  // a mutant

void Print(const std::string& text) { std::printf("%s\n", text.c_str()); }

json ToJson(const HuntFinding& finding) {
  return {{"seed", finding.seed}, {"rule", RuleName(finding.finding.rule)}, {"text", finding.finding.text}};
}

json ToJson(const std::vector<Coverage::Line>& lines) {
  json out = json::object();
  for (const Coverage::Line& line : lines) out[line.name] = line.count;
  return out;
}

void PrintLines(const char* title, const std::vector<Coverage::Line>& lines) {
  std::printf("%s\n", title);
  int column = 0;
  for (const Coverage::Line& line : lines) {
    std::printf("  %-32s %10llu%s", line.name.c_str(), static_cast<unsigned long long>(line.count),
                ++column % 2 == 0 ? "\n" : "");
  }
  if (column % 2 != 0) std::printf("\n");
}

// ---- one run ----

// Shrinks the plan and shows what is left: as a plan to be replayed, and message by message.
void ShowShortest(const Plan& plan, const Finding& finding, const std::string& save_as) {
  const Shrunk shrunk = Shrink(plan, finding.rule);
  std::printf("\nshortest plan found (%d runs, %zu of %zu events):\n%s\n", shrunk.runs, shrunk.plan.events.size(),
              plan.events.size(), ToText(shrunk.plan).c_str());
  if (!save_as.empty()) {
    std::ofstream out(save_as);
    out << ToText(shrunk.plan);
    std::printf("saved as %s\n", save_as.c_str());
  }
  std::printf("its trace:\n");
  Coverage coverage;
  Run(shrunk.plan, &coverage, Print);
}

int Replay(const Plan& plan, bool trace, bool shrink, const std::string& save_as) {
  Coverage coverage;
  const RunResult result = Run(plan, &coverage, trace ? Print : std::function<void(const std::string&)>());
  std::printf("seed %llu: %llu records acknowledged, %.3f s simulated, %llu events\n",
              static_cast<unsigned long long>(plan.seed), static_cast<unsigned long long>(result.acked),
              static_cast<double>(result.simulated_ns) / kNsPerSecond, static_cast<unsigned long long>(result.steps));
  if (!result.finding.has_value()) {
    std::printf("nothing broken\n");
    return 0;
  }
  std::printf("BROKEN %s at %.3f ms: %s\n", RuleName(result.finding->rule),
              static_cast<double>(result.finding->at.ns() - kNsPerSecond) / 1e6, result.finding->text.c_str());
  if (shrink) ShowShortest(plan, *result.finding, save_as);
  return 1;
}

// ---- hunts ----

int ReportHunt(const HuntResult& result, bool as_json) {
  const Coverage& coverage = result.coverage;
  const double rate = result.seconds > 0 ? static_cast<double>(result.seeds) / result.seconds : 0;
  if (as_json) {
    json findings = json::array();
    for (const HuntFinding& finding : result.findings) findings.push_back(ToJson(finding));
    std::cout << json{{"seeds", result.seeds},
                      {"seconds", result.seconds},
                      {"seeds_per_second", rate},
                      {"simulated_seconds", result.simulated_seconds},
                      {"events", result.steps},
                      {"acknowledged_records", result.acked},
                      {"distinct_states", coverage.states()},
                      {"kinds_reached", coverage.kinds_reached()},
                      {"kinds", Coverage::kinds()},
                      {"never_reached", coverage.missing()},
                      {"reached", ToJson(coverage.reached())},
                      {"faults", ToJson(coverage.faults())},
                      {"answers", ToJson(coverage.answers())},
                      {"findings", findings}}
                     .dump(2)
              << "\n";
    return result.findings.empty() ? 0 : 1;
  }
  PrintLines("protocol states and transitions reached", coverage.reached());
  PrintLines("answers", coverage.answers());
  PrintLines("faults injected", coverage.faults());
  std::printf("%llu seeds in %.1f s, %.0f a second; %.0f s simulated, %.1f M events, %.1f k records acknowledged\n",
              static_cast<unsigned long long>(result.seeds), result.seconds, rate, result.simulated_seconds,
              static_cast<double>(result.steps) / 1e6, static_cast<double>(result.acked) / 1e3);
  std::printf("%zu of %zu kinds of states and faults reached, about %zu distinct states of the cluster\n",
              coverage.kinds_reached(), Coverage::kinds(), coverage.states());
  for (const std::string& name : coverage.missing()) std::printf("never reached: %s\n", name.c_str());
  std::printf("%zu findings\n", result.findings.size());
  for (const HuntFinding& finding : result.findings) {
    std::printf("  seed %llu  %s: %s\n", static_cast<unsigned long long>(finding.seed), RuleName(finding.finding.rule),
                finding.finding.text.c_str());
  }
  return result.findings.empty() ? 0 : 1;
}

int RunHunt(const HuntOptions& options, const std::string& failures, bool as_json, bool shrink) {
  const auto found = [&](const HuntFinding& finding) {
    std::fprintf(stderr, "seed %llu  BROKEN %s: %s\n", static_cast<unsigned long long>(finding.seed),
                 RuleName(finding.finding.rule), finding.finding.text.c_str());
    if (failures.empty()) return;
    std::ofstream out(failures, std::ios::app);
    out << finding.seed << " " << RuleName(finding.finding.rule) << ": " << finding.finding.text << "\n";
  };
  const HuntResult result = Hunt(options, found);
  const int status = ReportHunt(result, as_json);
  if (shrink && !as_json && !result.findings.empty()) {
    ShowShortest(MakePlan(result.findings[0].seed), result.findings[0].finding, {});
  }
  return status;
}

int HuntMutants(uint64_t first_seed, uint64_t seeds_max, bool as_json) {
  bool all = true;
  json rows = json::array();
  if (!as_json) std::printf("%-26s %8s  %-28s  %s\n", "mutant", "median", "five hunts", "caught by");
  for (const testing::MutantInfo& info : testing::Mutants()) {
    testing::SetMutant(info.mutant);
    std::vector<uint64_t> seeds;
    std::vector<std::string> rules;
    for (int hunt = 0; hunt < kHunts; ++hunt) {
      Finding finding;
      const auto taken = SeedsUntilFinding(first_seed + static_cast<uint64_t>(hunt) * 1'000'000, seeds_max, &finding);
      seeds.push_back(taken.value_or(UINT64_MAX));
      const std::string rule = taken.has_value() ? RuleName(finding.rule) : "(not caught)";
      if (std::find(rules.begin(), rules.end(), rule) == rules.end()) rules.push_back(rule);
      all &= taken.has_value();
    }
    testing::SetMutant(Mutant::kNone);
    std::sort(seeds.begin(), seeds.end());
    std::string list, by;
    for (const uint64_t count : seeds)
      list += (list.empty() ? "" : " ") + (count == UINT64_MAX ? "-" : std::to_string(count));
    for (const std::string& rule : rules) by += (by.empty() ? "" : ", ") + rule;
    const uint64_t median = seeds[kHunts / 2];
    rows.push_back({{"mutant", info.name},
                    {"median", median == UINT64_MAX ? json() : json(median)},
                    {"hunts", list},
                    {"rules", rules}});
    if (as_json) continue;
    std::printf("%-26s %8s  %-28s  %s\n", info.name, median == UINT64_MAX ? "-" : std::to_string(median).c_str(),
                list.c_str(), by.c_str());
    std::fflush(stdout);
  }
  if (as_json) std::cout << rows.dump(2) << "\n";
  return all ? 0 : 1;
}

// Mutants, and the fleet, are built into programs of their own, beside this one.
int RunBeside(const char* suffix, char** argv) {
  std::string path(4096, '\0');
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return 2;
  path.resize(static_cast<size_t>(length));
  path += suffix;
  execv(path.c_str(), argv);
  std::fprintf(stderr, "understudy-sim: cannot start %s\n", path.c_str());
  return 2;
}

Result<Plan> ReadPlan(const std::string& path) {
  std::ifstream in(path);
  if (!in) return Status(StatusCode::kNotFound, "cannot read " + path);
  std::stringstream text;
  text << in.rdbuf();
  return PlanFromText(text.str());
}

int Main(int argc, char** argv) {
  po::options_description options(
      "Usage: understudy-sim [--minutes M] [--jobs J]      hunt: new seeds until the time is over\n"
      "       understudy-sim --seed S [--trace] [--shrink] replay one\n"
      "       understudy-sim --plan FILE [--trace]         replay a plan, as --shrink prints it\n"
      "       understudy-sim --mutants                     five hunts for each known bug\n"
      "       understudy-sim --fleet [options]             the same with coordinators and agents\n\n"
      "Runs the real cores of the log in a simulated cluster full of faults and checks what must hold. Exit status 1 "
      "when\n"
      "something was broken (with --mutants: when one was not caught), 2 for a wrong command line.\n\nOptions");
  options.add_options()("help,h", "this text")("minutes,m", po::value<double>()->default_value(1), "how long to hunt")(
      "jobs,j", po::value<int>()->default_value(1), "threads")("first-seed", po::value<uint64_t>()->default_value(1),
                                                               "where a hunt begins")(
      "seeds", po::value<uint64_t>()->default_value(0),
      "hunt so many seeds, whatever the time; for mutants: give up after so many")(
      "seed,s", po::value<uint64_t>(), "replay this seed")("plan", po::value<std::string>(), "replay this file")(
      "print-plan", "print the plan of the seed and do nothing")("trace", "print every message and what came of it")(
      "shrink", "cut a failing plan down to the shortest that still breaks the same rule, and print its trace")(
      "save-plan", po::value<std::string>()->default_value(""), "where --shrink puts the shortest plan")(
      "failures", po::value<std::string>()->default_value("understudy-sim-failures.txt"),
      "a hunt appends the seeds that broke something to this file; empty: to none")("mutant", po::value<std::string>(),
                                                                                    "with this known bug built in")(
      "fleet", "with coordinators, agents and processes; knows --minutes, --jobs, --seed, --seeds, --trace, --shrink")(
      "mutants", "hunt every known bug five times")("json", "print JSON");
  po::variables_map given;
  try {
    po::store(po::parse_command_line(argc, argv, options), given);
    po::notify(given);
  } catch (const po::error& error) {
    std::cerr << "understudy-sim: " << error.what() << "\n";
    return 2;
  }
  if (given.contains("help")) {
    std::cout << options << "\nKnown bugs:\n";
    for (const testing::MutantInfo& info : testing::Mutants()) std::printf("  %-26s %s\n", info.name, info.what);
    return 0;
  }
  if (given.contains("fleet")) return RunBeside("-fleet", argv);
  const bool as_json = given.contains("json");
  const auto seeds_max = given["seeds"].as<uint64_t>();
  const auto first_seed = given["first-seed"].as<uint64_t>();
  if (given.contains("mutants") || given.contains("mutant")) {
    if (!testing::MutantsBuiltIn()) return RunBeside("-mutants", argv);
    if (given.contains("mutants")) return HuntMutants(first_seed, seeds_max == 0 ? 20'000 : seeds_max, as_json);
    const testing::MutantInfo* mutant = testing::FindMutant(given["mutant"].as<std::string>());
    if (mutant == nullptr) {
      std::cerr << "understudy-sim: no known bug is called " << given["mutant"].as<std::string>() << " (see --help)\n";
      return 2;
    }
    testing::SetMutant(mutant->mutant);
  }
  if (given.contains("seed") || given.contains("plan")) {
    Result<Plan> plan = given.contains("plan") ? ReadPlan(given["plan"].as<std::string>())
                                               : Result<Plan>(MakePlan(given["seed"].as<uint64_t>()));
    if (!plan.ok()) {
      std::cerr << "understudy-sim: " << plan.status().ToString() << "\n";
      return 2;
    }
    if (given.contains("print-plan")) {
      std::cout << ToText(*plan);
      return 0;
    }
    return Replay(*plan, given.contains("trace"), given.contains("shrink"), given["save-plan"].as<std::string>());
  }
  HuntOptions hunt;
  hunt.first_seed = first_seed;
  hunt.seeds_max = seeds_max;
  hunt.seconds = seeds_max > 0 ? 0 : given["minutes"].as<double>() * 60;
  hunt.jobs = std::max(1, given["jobs"].as<int>());
  if (given.contains("mutant")) hunt.findings_max = 1;
  return RunHunt(hunt, given.contains("mutant") ? "" : given["failures"].as<std::string>(), as_json,
                 given.contains("shrink"));
}

}  // namespace
}  // namespace understudy::sim

int main(int argc, char** argv) { return understudy::sim::Main(argc, argv); }

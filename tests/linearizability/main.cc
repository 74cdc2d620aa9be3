// check_history: is a history linearizable? Exit status 0 yes, 1 no, 3 unknown, 2 not a history. docs/testing.md.
#include <boost/program_options.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "log/env/clock.h"
#include "tests/linearizability/check.h"

namespace understudy::linearizability {
namespace {

namespace po = boost::program_options;

constexpr int kExitInvalid = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnknown = 3;

int Main(int argc, char** argv) {
  CheckLimits limits;
  double seconds = 120;
  std::string file;
  po::options_description options("check_history [options] FILE: a history as JSON lines; '-' for standard input", 100);
  options.add_options()("help,h", "print this and exit")("json", "one line of JSON instead of text")(
      "max-configurations", po::value(&limits.configurations_max)->default_value(limits.configurations_max),
      "visited for one register before it counts as unknown")("seconds", po::value(&seconds)->default_value(seconds),
                                                              "for all registers, before the rest counts as unknown");
  po::options_description hidden;
  hidden.add_options()("file", po::value(&file));
  po::options_description all;
  all.add(options).add(hidden);
  bool json = false;
  try {
    po::variables_map values;
    const po::positional_options_description positional = po::positional_options_description().add("file", 1);
    po::store(po::command_line_parser(argc, argv).options(all).positional(positional).run(), values);
    po::notify(values);
    if (values.count("help") != 0) {
      std::cout << options;
      return 0;
    }
    json = values.count("json") != 0;
  } catch (const po::error& error) {
    std::fprintf(stderr, "check_history: %s (see --help)\n", error.what());
    return kExitUsage;
  }
  std::ifstream opened(file);
  if (file.empty() || (file != "-" && !opened)) {
    std::fprintf(stderr, "check_history: cannot read '%s' (see --help)\n", file.c_str());
    return kExitUsage;
  }
  const Result<History> history = ReadHistory(file == "-" ? std::cin : opened);
  if (!history.ok()) {
    std::fprintf(stderr, "check_history: %s\n", history.status().message().c_str());
    return kExitUsage;
  }
  Clock* clock = SystemClock();
  const Instant deadline = clock->Now() + static_cast<int64_t>(seconds * static_cast<double>(kNsPerSecond));
  limits.give_up = [clock, deadline] { return clock->Now() > deadline; };
  const Summary summary = CheckHistory(*history, limits);
  if (json) {
    const nlohmann::json line = {{"verdict", VerdictName(summary.verdict)},
                                 {"operations", history->operations},
                                 {"open", history->open},
                                 {"registers", summary.registers},
                                 {"transactions", history->transactions.size()},
                                 {"invalid_registers", summary.invalid_registers},
                                 {"anomalies", summary.anomalies},
                                 {"problems", summary.problems},
                                 {"unknown", summary.unknown}};
    std::cout << line.dump() << std::endl;
  } else {
    for (const std::string& text : summary.problems) {
      std::cout << text << "\n";
    }
    for (const std::string& text : summary.unknown) {
      std::cout << "not checked: " << text << "\n";
    }
    std::cout << VerdictName(summary.verdict) << ": " << history->operations << " operations, " << history->open
              << " of unknown outcome; " << summary.registers << " registers, " << summary.invalid_registers
              << " not linearizable; " << history->transactions.size() << " transactions on lists, "
              << summary.anomalies << " anomalies" << std::endl;
  }
  switch (summary.verdict) {
    case Verdict::kValid:
      return 0;
    case Verdict::kInvalid:
      return kExitInvalid;
    case Verdict::kUnknown:
      return kExitUnknown;
  }
  return kExitUsage;
}

}  // namespace
}  // namespace understudy::linearizability

int main(int argc, char** argv) { return understudy::linearizability::Main(argc, argv); }

// resp_check: writes to services through the Redis protocol, remembers what was acknowledged, and reads it all back.
// Commands come on standard input, one a line; each is answered by one line of JSON. docs/examples.md describes both.
#include <signal.h>

#include <boost/program_options.hpp>
#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "tests/e2e/resp_check/service_load.h"

namespace understudy::resp_check {
namespace {

namespace po = boost::program_options;
using Json = nlohmann::json;

double Ms(int64_t ns) { return static_cast<double>(ns / 1000) / 1000.0; }

class Checker {
 public:
  Checker(Clock* clock, std::vector<LoadOptions> services) : clock_(clock) {
    for (LoadOptions& options : services) {
      loads_.push_back(std::make_unique<ServiceLoad>(std::move(options), clock));
    }
    for (const auto& load : loads_) {
      load->Start();
    }
  }

  // False: the end.
  bool Carry(const std::string& line) {
    const std::string verb = line.substr(0, line.find(' '));
    const std::string argument = verb.size() < line.size() ? line.substr(verb.size() + 1) : std::string();
    if (verb == "mark") {
      Say({{"mark", argument}, {"services", Services(true)}});
    } else if (verb == "status") {
      Say({{"services", Services(false)}});
    } else if (verb == "pause" || verb == "resume") {
      for (const auto& load : loads_) {
        verb == "pause" ? load->Pause() : load->Resume();
      }
      Say({{verb, true}});
    } else if (verb == "verify") {
      Say(Verify());
    } else if (verb == "quit") {
      return false;
    } else {
      Say({{"error", "unknown command '" + verb + "': mark NAME, status, pause, resume, verify, quit"}});
    }
    return true;
  }

  // Stops the load, reads everything back; `ok` is true when nothing acknowledged is lost and all could be read.
  Json Verify() {
    Json report = {{"acked", 0}, {"maybe", 0}, {"refused", 0}, {"keys", 0},
                   {"lost", 0},  {"wrong", 0}, {"unread", 0},  {"services", Json::object()}};
    bool ok = true;
    for (const auto& load : loads_) {
      load->Stop();
      const CheckResult result = load->Check(10'000);
      const Json one = {{"acked", load->acknowledged()},
                        {"maybe", load->unknown()},
                        {"refused", load->refused()},
                        {"keys", result.keys},
                        {"lost", result.lost},
                        {"wrong", result.wrong},
                        {"unread", result.unread},
                        {"longest_gap_ms", Ms(load->gaps().LongestEverNs())},
                        {"maybe_reasons", load->unknown_reasons()},
                        {"complaints", result.complaints}};
      for (const char* field : {"acked", "maybe", "refused", "keys", "lost", "wrong", "unread"}) {
        report[field] = report[field].get<uint64_t>() + one[field].get<uint64_t>();
      }
      report["services"][load->service()] = one;
      // A service that never took a write proves nothing.
      ok = ok && result.lost == 0 && result.wrong == 0 && result.unread == 0 && load->acknowledged() > 0;
    }
    report["ok"] = ok;
    return report;
  }

 private:
  Json Services(bool next_window) {
    Json services = Json::object();
    const Instant now = clock_->Now();
    for (const auto& load : loads_) {
      const auto window = next_window ? load->gaps().NextWindow(now) : load->gaps().Peek(now);
      Json one = {{"gap_ms", Ms(window.longest_ns)},  {"since_success_ms", Ms(window.running_ns)},
                  {"window_acked", window.successes}, {"acked", load->acknowledged()},
                  {"maybe", load->unknown()},         {"refused", load->refused()},
                  {"endpoint", load->endpoint()}};
      if (window.longest_ns > 0) {
        one["gap_began_unix_ms"] = clock_->WallUnixMs() - (now - window.longest_began) / kNsPerMs;
      }
      services[load->service()] = std::move(one);
    }
    return services;
  }

  static void Say(const Json& json) { std::cout << json.dump() << std::endl; }

  Clock* clock_;
  std::vector<std::unique_ptr<ServiceLoad>> loads_;
};

// "kv1=127.0.0.1:7001,127.0.0.1:7002"
bool ParseService(const std::string& text, LoadOptions* options) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return false;
  }
  options->service = text.substr(0, equals);
  for (size_t at = equals + 1; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end == at) {
      return false;
    }
    options->endpoints.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return true;
}

int Main(int argc, char** argv) {
  LoadOptions common;
  std::vector<std::string> services;
  double seconds = 0;
  po::options_description options("resp_check: checking load for resp_kv", 100);
  options.add_options()("help,h", "print this and exit")(
      "service", po::value(&services)->composing()->value_name("NAME=HOST:PORT,..."),
      "a service and every endpoint that may serve it; once for each service")(
      "connections", po::value(&common.connections)->default_value(common.connections), "per service, 1 to 256")(
      "rate", po::value(&common.rate)->default_value(common.rate),
      "writes per second and connection; 0: as fast as replies come")(
      "keys", po::value(&common.keys)->default_value(common.keys), "per connection")(
      "value-bytes", po::value(&common.value_bytes)->default_value(common.value_bytes), "at least so many")(
      "timeout-ms", po::value(&common.timeout_ms)->default_value(common.timeout_ms), "of a connect or a reply")(
      "seconds", po::value(&seconds), "run for so long, verify, print the report and exit, reading no commands");
  try {
    po::variables_map values;
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), values);
    po::notify(values);
    if (values.count("help") != 0) {
      std::cout << options;
      return 0;
    }
  } catch (const po::error& error) {
    std::fprintf(stderr, "resp_check: %s (see --help)\n", error.what());
    return 2;
  }
  if (services.empty() || common.connections < 1 || common.connections > 256 || common.rate < 0 || common.keys < 1 ||
      common.timeout_ms < 1 || common.value_bytes > (1u << 20)) {
    std::fprintf(stderr, "resp_check: wants at least one --service, and numbers within their bounds (see --help)\n");
    return 2;
  }
  std::vector<LoadOptions> loads;
  for (const std::string& text : services) {
    loads.push_back(common);
    if (!ParseService(text, &loads.back())) {
      std::fprintf(stderr, "resp_check: --service '%s' is not NAME=HOST:PORT,...\n", text.c_str());
      return 2;
    }
  }
  Checker checker(SystemClock(), std::move(loads));
  if (seconds > 0) {
    // tidy: allow(sleep): the time for which load is wanted.
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    const Json report = checker.Verify();
    std::cout << report.dump(2) << std::endl;
    return report["ok"].get<bool>() ? 0 : 1;
  }
  for (std::string line; std::getline(std::cin, line) && checker.Carry(line);) {
  }
  return 0;
}

}  // namespace
}  // namespace understudy::resp_check

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  return understudy::resp_check::Main(argc, argv);
}

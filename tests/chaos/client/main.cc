// chaos_client: reads and writes through the Redis protocol while the harness injects faults, and records what it asked
// and was told. Commands come on standard input, one a line; each is answered by one line of JSON:
//   status        how far it is, and the longest gap between two answers in this window
//   mark NAME     the same, and a new window begins
//   finish MS     ends the load, reads every key once more (each may take so long) and closes the history
#include <signal.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "tests/chaos/client/service_client.h"

namespace understudy::chaos {
namespace {

namespace po = boost::program_options;
using Json = nlohmann::json;

double Ms(int64_t ns) { return static_cast<double>(ns / 1000) / 1000.0; }

class Client {
 public:
  Client(Clock* clock, std::vector<ClientOptions> services, const std::string& folder, bool* opened)
      : clock_(clock), histories_(services.size()) {
    *opened = true;
    for (size_t i = 0; i < services.size(); ++i) {
      const std::string path = folder + "/history-" + services[i].service + ".jsonl";
      if (const Status status = histories_[i].Open(path); !status.ok()) {
        std::fprintf(stderr, "chaos_client: %s\n", status.message().c_str());
        *opened = false;
        return;
      }
      clients_.push_back(std::make_unique<ServiceClient>(std::move(services[i]), clock, &histories_[i]));
    }
    for (const auto& client : clients_) {
      client->Start();
    }
  }

  Json Carry(const std::string& verb, const std::string& argument) {
    if (verb == "status" || verb == "mark") {
      return {{"services", Services(verb == "mark")}};
    }
    if (verb == "finish") {
      return Finish(std::atoi(argument.c_str()));
    }
    return {{"error", "commands are status, mark NAME and finish MS, not '" + verb + "'"}};
  }

 private:
  Json Services(bool next_window) {
    Json services = Json::object();
    const Instant now = clock_->Now();
    for (const auto& client : clients_) {
      const auto window = next_window ? client->gaps().NextWindow(now) : client->gaps().Peek(now);
      services[client->service()] = {{"acked", client->writes_acked()},
                                     {"reads", client->reads()},
                                     {"unknown", client->unknown()},
                                     {"refused", client->refused()},
                                     {"keys", client->keys()},
                                     {"gap_ms", Ms(window.longest_ns)},
                                     {"since_answer_ms", Ms(window.running_ns)},
                                     {"window_answers", window.successes},
                                     {"longest_gap_ms", Ms(client->gaps().LongestEverNs())},
                                     {"reasons", client->reasons()}};
    }
    return services;
  }

  Json Finish(int give_up_after_ms) {
    Json unread = Json::object();
    for (const auto& client : clients_) {
      client->Stop();
    }
    Json services = Services(false);  // before the last reads, which are no load
    for (size_t i = 0; i < clients_.size(); ++i) {
      unread[clients_[i]->service()] = clients_[i]->ReadAll(give_up_after_ms);
    }
    Json answer = {{"services", services}, {"unread", unread}};
    for (HistoryLog& history : histories_) {
      if (const Status status = history.Flush(); !status.ok()) {
        answer["error"] = status.message();
      }
    }
    return answer;
  }

  Clock* clock_;
  std::vector<HistoryLog> histories_;
  std::vector<std::unique_ptr<ServiceClient>> clients_;
};

// "kv1=10.0.0.1:7001,10.0.0.2:7001"
bool ParseService(const std::string& text, ClientOptions* options) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return false;
  }
  options->service = text.substr(0, equals);
  for (size_t at = equals + 1; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    options->endpoints.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return !options->endpoints.empty();
}

int Main(int argc, char** argv) {
  ClientOptions common;
  std::vector<std::string> services;
  std::string folder = ".";
  po::options_description options("chaos_client: load whose history can be checked", 100);
  options.add_options()("help,h", "print this and exit")(
      "service", po::value(&services)->composing()->value_name("NAME=HOST:PORT,..."), "once for each service")(
      "folder", po::value(&folder)->default_value(folder), "where history-NAME.jsonl goes")(
      "connections", po::value(&common.connections)->default_value(common.connections), "per service, 1 to 32")(
      "rate", po::value(&common.rate)->default_value(common.rate), "operations per second and connection")(
      "timeout-ms", po::value(&common.timeout_ms)->default_value(common.timeout_ms), "of an answer")(
      "seed", po::value(&common.seed)->default_value(common.seed), "of what is asked");
  try {
    po::variables_map values;
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), values);
    po::notify(values);
    if (values.count("help") != 0) {
      std::cout << options;
      return 0;
    }
  } catch (const po::error& error) {
    std::fprintf(stderr, "chaos_client: %s (see --help)\n", error.what());
    return 2;
  }
  std::vector<ClientOptions> clients;
  bool good = !services.empty() && common.connections >= 1 && common.connections <= 32 && common.rate >= 1 &&
              common.timeout_ms >= 1;
  for (const std::string& text : services) {
    clients.push_back(common);
    clients.back().first_process = static_cast<int64_t>(clients.size() - 1) * (common.connections + 1);
    clients.back().seed = common.seed * 100 + clients.size();
    good = good && ParseService(text, &clients.back());
  }
  if (!good) {
    std::fprintf(stderr, "chaos_client: wants --service NAME=HOST:PORT,... and numbers within bounds (see --help)\n");
    return 2;
  }
  bool opened = false;
  Client client(SystemClock(), std::move(clients), folder, &opened);
  if (!opened) {
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const std::string verb = line.substr(0, line.find(' '));
    const std::string argument = verb.size() < line.size() ? line.substr(verb.size() + 1) : std::string();
    std::cout << client.Carry(verb, argument).dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace understudy::chaos

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  return understudy::chaos::Main(argc, argv);
}

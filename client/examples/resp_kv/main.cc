// resp_kv: a key-value server for redis-cli and redis-benchmark whose state lives on in a redo log. docs/examples.md.
#include <event2/event.h>
#include <signal.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "client/examples/resp_kv/server.h"
#include "understudy/understudy.h"

namespace understudy::resp_kv {
namespace {

namespace po = boost::program_options;

struct Flags {
  ServerOptions server;
  NodeOptions node;
};

// False: `*exit_status` is what to end with, and the user has been told why.
bool ReadFlags(int argc, char** argv, Flags* flags, int* exit_status) {
  const char* port_of_node = std::getenv("UNDERSTUDY_PORT");
  std::string port = port_of_node == nullptr || *port_of_node == '\0' ? "6379" : port_of_node;
  std::string debug = "local";
  size_t memory_mib_max = 0;
  std::string reads = "linearizable";
  po::options_description options("resp_kv [options]: a key-value server on the understudy client library", 100);
  options.add_options()("help,h", "print this and exit");
  options.add_options()("port", po::value(&port)->value_name("PORT"),
                        "TCP port for clients, 0 for any (default: $UNDERSTUDY_PORT, else 6379)");
  options.add_options()("bind", po::value(&flags->server.bind)->default_value(flags->server.bind)->value_name("IP"),
                        "address to listen on");
  options.add_options()("announce", po::value(&flags->server.announce)->value_name("HOST:PORT"),
                        "where clients reach this server (default: --bind and --port)");
  options.add_options()("agent", po::value(&flags->node.agent)->value_name("SOCKET"),
                        "Unix socket of the node's agent (default: $UNDERSTUDY_AGENT)");
  options.add_options()("max-clients", po::value(&flags->server.clients_max)->default_value(flags->server.clients_max),
                        "connections at the same time");
  options.add_options()("max-memory-mib", po::value(&memory_mib_max)->default_value(0)->value_name("MIB"),
                        "refuse commands that add data beyond so much of it; 0: no bound");
  options.add_options()("replay-lanes", po::value(&flags->node.replay_lanes)->default_value(2),
                        "threads that replay records on a spare, 1 to 64");
  options.add_options()("reads", po::value(&reads)->default_value(reads)->value_name("linearizable|local"),
                        "linearizable: each read is behind a round to the log servers, shared with others; local: no "
                        "round, but a primary that was cut off and replaced may answer stale reads for a second");
  options.add_options()("enable-debug-command", po::value(&debug)->default_value(debug)->value_name("no|local|yes"),
                        "who may use DEBUG LEAK, FDLEAK, THREADLEAK, IOCREEP, STALL");
  try {
    po::variables_map values;
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), values);
    po::notify(values);
    if (values.count("help") != 0) {
      std::cout << options;
      *exit_status = EXIT_SUCCESS;
      return false;
    }
  } catch (const po::error& error) {
    std::fprintf(stderr, "resp_kv: %s (see --help)\n", error.what());
    *exit_status = 2;
    return false;
  }
  const auto refuse = [exit_status](const std::string& text) {
    std::fprintf(stderr, "resp_kv: %s\n", text.c_str());
    *exit_status = 2;
    return false;
  };
  int64_t port_number = 0;
  if (!ParseInteger(port, &port_number) || port_number < 0 || port_number > 65535) {
    return refuse("--port (or $UNDERSTUDY_PORT): '" + port + "' is not a port, 0 to 65535");
  }
  flags->server.port = static_cast<int>(port_number);
  if (debug != "no" && debug != "local" && debug != "yes") {
    return refuse("--enable-debug-command: '" + debug + "' is none of no, local, yes");
  }
  flags->server.debug = debug == "no"    ? ServerOptions::Debug::kNo
                        : debug == "yes" ? ServerOptions::Debug::kYes
                                         : ServerOptions::Debug::kLocal;
  if (reads != "linearizable" && reads != "local") {
    return refuse("--reads: '" + reads + "' is none of linearizable, local");
  }
  flags->server.linearizable_reads = reads == "linearizable";
  if (flags->node.replay_lanes < 1 || flags->node.replay_lanes > 64) {
    return refuse("--replay-lanes: " + std::to_string(flags->node.replay_lanes) + " is not 1 to 64");
  }
  if (memory_mib_max > (SIZE_MAX >> 20)) {
    return refuse("--max-memory-mib: too large");
  }
  flags->server.memory_bytes_max = memory_mib_max << 20;
  if (flags->server.clients_max == 0) {
    return refuse("--max-clients: 0 would refuse everyone");
  }
  return true;
}

// Stops the server on SIGTERM and SIGINT.
class StopSignals {
 public:
  StopSignals(Executor* executor, Server* server) {
    const auto stop = [](evutil_socket_t, short, void* self) { static_cast<Server*>(self)->Stop(); };
    terminate_ = evsignal_new(executor->base(), SIGTERM, stop, server);
    interrupt_ = evsignal_new(executor->base(), SIGINT, stop, server);
    evsignal_add(terminate_, nullptr);
    evsignal_add(interrupt_, nullptr);
  }
  ~StopSignals() {
    event_free(terminate_);
    event_free(interrupt_);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  event* terminate_;
  event* interrupt_;
};

int Run(Flags flags) {
  Executor executor;
  KvStateMachine state;
  Server server(flags.server, &executor, &state);
  if (const Status listening = server.Listen(); !listening.ok()) {
    std::fprintf(stderr, "resp_kv: %s\n", listening.ToString().c_str());
    return EXIT_FAILURE;
  }
  const StopSignals signals(&executor, &server);
  flags.node.endpoint = server.endpoint();
  flags.node.parallel_apply = flags.node.replay_lanes > 1;
  flags.node.run_between_records = [&executor](std::function<void()> fn) { executor.RunAndWait(std::move(fn)); };
  // Declared last, so that it goes first: no call of the library's comes after that.
  Result<std::unique_ptr<Node>> node = Node::Start(flags.node, &state, server.data());
  if (!node.ok()) {
    std::fprintf(stderr, "resp_kv: %s\n", node.status().ToString().c_str());
    return EXIT_FAILURE;
  }
  server.SetNode(node->get());
  std::printf("resp_kv: listening on %s\n", server.endpoint().c_str());
  std::fflush(stdout);
  executor.Run();
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace understudy::resp_kv

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  understudy::resp_kv::Flags flags;
  int exit_status = EXIT_SUCCESS;
  if (!understudy::resp_kv::ReadFlags(argc, argv, &flags, &exit_status)) {
    return exit_status;
  }
  return understudy::resp_kv::Run(std::move(flags));
}

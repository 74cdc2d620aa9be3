#include "client/cli/bench/private_cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "client/cli/session.h"
#include "log/env/clock.h"
#include "log/env/random.h"
#include "log/env/small_files.h"

namespace understudy::cli {
namespace {

constexpr int64_t kReadyNs = 30 * kNsPerSecond;
constexpr int kEndMs = 15'000;

// Ports nobody listens on now, below those that the kernel gives to outgoing connections. They are let go again before
// they are used: somebody else could take one in between, and then understudyd says so.
Result<std::vector<int>> FreePorts(size_t count) {
  constexpr int kFirst = 20000, kCount = 10000, kTriesMax = 1000;
  std::vector<int> ports, sockets;
  for (int tries = 0; ports.size() < count && tries < kTriesMax; ++tries) {
    const int port = kFirst + static_cast<int>(SystemRandom()->Below(kCount));
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (fd >= 0) sockets.push_back(fd);
    if (fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) ports.push_back(port);
  }
  for (int fd : sockets) close(fd);
  if (ports.size() < count) return Status(StatusCode::kIoError, "no free port on the loopback");
  return ports;
}

std::string Local(int port) { return "127.0.0.1:" + std::to_string(port); }

bool Ended(const Process& process, int wait_ms) {
  pollfd entry = {process.pidfd(), POLLIN, 0};
  while (true) {
    const int ready = poll(&entry, 1, wait_ms);
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ",") + word;
  return out;
}

}  // namespace

Result<std::unique_ptr<PrivateCluster>> PrivateCluster::Start(PrivateClusterOptions options) {
  std::unique_ptr<PrivateCluster> cluster(new PrivateCluster(std::move(options)));
  UNDERSTUDY_RETURN_IF_ERROR(cluster->StartAll());
  return cluster;
}

void PrivateCluster::Plan(const std::string& name, const std::string& program, std::vector<std::string> arguments) {
  Server& server = servers_.emplace_back();
  server.name = name;
  // The kernel tells it when this program dies, however that comes about.
  server.spawn.program = "setpriv";
  server.spawn.arguments = {"--pdeathsig", "TERM", program};
  server.spawn.arguments.insert(server.spawn.arguments.end(), arguments.begin(), arguments.end());
  server.spawn.output_path = folder_ + "/" + name + ".log";
}

Status PrivateCluster::StartAll() {
  const std::filesystem::path program = std::filesystem::path(options_.program_path).parent_path() / "understudyd";
  if (!std::filesystem::exists(program)) return {StatusCode::kNotFound, program.string() + " is missing"};
  program_ = program.string();
  if (options_.coordinators > 1 && options_.etcds == 0) {
    return {StatusCode::kInvalidArgument, "more than one coordinator needs metadata in etcd"};
  }
  const Result<std::vector<int>> ports = FreePorts(
      static_cast<size_t>(options_.coordinators + options_.log_servers + 2 * options_.etcds) + options_.nodes.size());
  if (!ports.ok()) return ports.status();
  auto port = ports->begin();
  folder_ = options_.parent + "/understudy-bench-XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) {
    folder_.clear();
    return {StatusCode::kIoError, "--data-dir: no folder can be made in " + options_.parent};
  }
  for (int i = 0; i < options_.coordinators; ++i) coordinators_.push_back(Local(*port++));
  std::vector<std::string> log_addresses, node_list;
  for (int i = 0; i < options_.log_servers; ++i) log_addresses.push_back(Local(*port++));
  for (const std::string& node : options_.nodes) {
    endpoints_.push_back(Local(*port));
    node_list.push_back(node + ":" + std::to_string(*port++));
  }
  std::vector<std::string> metadata;
  if (options_.etcds > 0) {
    const std::vector<std::string> etcds = PlanEtcd({port, port + 2 * options_.etcds});
    metadata = {"--metadata", "etcd", "--etcd-endpoints", Join(etcds)};
  }
  const std::vector<std::string> common = {"--log-level", "warning", "--node-timeout-ms",
                                           std::to_string(options_.node_timeout_ms)};
  const auto plan = [&](const std::string& role, const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--data-dir", folder_ + "/" + name});
    arguments.insert(arguments.end(), common.begin(), common.end());
    if (!role.empty()) arguments.insert(arguments.begin(), role);
    Plan(name, program_, std::move(arguments));
  };
  if (embedded()) {
    std::vector<std::string> arguments = {"--listen", coordinators_[0], "--log-listen", log_addresses[0],
                                          "--stop-applications"};
    if (!node_list.empty()) arguments.insert(arguments.end(), {"--nodes", Join(node_list)});
    plan("", "understudyd", std::move(arguments));
  } else {
    for (size_t i = 0; i < coordinators_.size(); ++i) {
      const std::string name = "coordinator" + std::to_string(i + 1);
      std::vector<std::string> arguments = {"--node", name, "--listen", coordinators_[i]};
      arguments.insert(arguments.end(), metadata.begin(), metadata.end());
      plan("coordinator", name, std::move(arguments));
    }
    for (size_t i = 0; i < log_addresses.size(); ++i) {
      const std::string name = "log" + std::to_string(i + 1);
      plan("log", name, {"--node", name, "--log-listen", log_addresses[i], "--coordinators", Join(coordinators_)});
    }
    for (size_t i = 0; i < node_list.size(); ++i) {
      plan("agent", options_.nodes[i],
           {"--nodes", node_list[i], "--coordinators", Join(coordinators_), "--stop-applications"});
    }
  }
  for (Server& server : servers_) UNDERSTUDY_RETURN_IF_ERROR(Spawn(&server));
  return WaitUntilReady();
}

// Two ports a member. Returns what clients call.
std::vector<std::string> PrivateCluster::PlanEtcd(const std::vector<int>& ports) {
  std::vector<std::string> clients, peers, members;
  for (size_t i = 0; i < ports.size(); i += 2) {
    clients.push_back("http://" + Local(ports[i]));
    peers.push_back("http://" + Local(ports[i + 1]));
    members.push_back("etcd" + std::to_string(i / 2 + 1) + "=" + peers.back());
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    const std::string name = "etcd" + std::to_string(i + 1);
    Plan(name, "etcd",
         {"--name", name, "--data-dir", folder_ + "/" + name, "--listen-client-urls", clients[i],
          "--advertise-client-urls", clients[i], "--listen-peer-urls", peers[i], "--initial-advertise-peer-urls",
          peers[i], "--initial-cluster", Join(members), "--log-level", "error"});
  }
  return clients;
}

Status PrivateCluster::Spawn(Server* server) {
  Result<std::unique_ptr<Process>> process = Process::Spawn(server->spawn);
  if (!process.ok()) return process.status();
  server->process = std::move(process).value();
  return {};
}

// What the processes said explains it best.
Status PrivateCluster::Unready(const std::string& what) {
  std::string said;
  for (const Server& server : servers_) {
    const Result<std::string> output = ReadSmallFile(server.spawn.output_path);
    if (output.ok() && !output->empty()) said += "\n" + server.name + ": " + *output;
  }
  return {StatusCode::kInternal, what + (said.empty() ? "; they said nothing" : said)};
}

Status PrivateCluster::WaitUntilReady() {
  const Instant deadline = SystemClock()->Now() + kReadyNs;
  while (true) {
    for (const Server& server : servers_) {
      if (Ended(*server.process, 0)) return Unready(server.name + " ended");
    }
    for (const std::string& coordinator : coordinators_) {
      Session session(coordinator, "understudy");  // one that does not lead refuses
      if (!session.Document([](auto* client, auto done) { client->GetStatus(2000, std::move(done)); }).ok()) continue;
      const Result<std::vector<MetadataEntry>> disks = session.List("disks/");
      if (disks.ok() && disks->size() >= static_cast<size_t>(options_.log_servers)) return {};
    }
    if (SystemClock()->Now() > deadline) return Unready("the cluster did not get ready");
    poll(nullptr, 0, 50);
  }
}

PrivateCluster::~PrivateCluster() {
  // Applications are ended by their agents, which need nobody else for it.
  for (auto server = servers_.rbegin(); server != servers_.rend(); ++server) {
    if (server->process == nullptr) continue;
    if (server->process->Signal(SIGTERM, false).ok() && !Ended(*server->process, kEndMs)) {
      if (server->process->Signal(SIGKILL, true).ok()) Ended(*server->process, kEndMs);
    }
    server->process->Reap();
  }
  std::error_code error;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, error);
}

PrivateCluster::Server* PrivateCluster::Find(const std::string& name) {
  const auto found = std::find_if(servers_.begin(), servers_.end(), [&](const Server& s) { return s.name == name; });
  return found == servers_.end() ? nullptr : &*found;
}

Status PrivateCluster::Kill(const std::string& name) {
  Server* server = Find(name);
  if (server == nullptr || server->process == nullptr) return {StatusCode::kNotFound, "no process " + name};
  UNDERSTUDY_RETURN_IF_ERROR(server->process->Signal(SIGKILL, false));
  Ended(*server->process, kEndMs);
  server->process->Reap();
  server->process.reset();
  return {};
}

Status PrivateCluster::Restart(const std::string& name) {
  Server* server = Find(name);
  if (server == nullptr || server->process != nullptr) return {StatusCode::kNotFound, "no dead process " + name};
  return Spawn(server);
}

Status PrivateCluster::Wipe(const std::string& name) {
  const Server* server = Find(name);
  if (server == nullptr || server->process != nullptr) return {StatusCode::kNotFound, "no dead process " + name};
  std::error_code error;
  std::filesystem::remove_all(folder_ + "/" + name, error);
  return error ? Status(StatusCode::kIoError, "removing the data of " + name + ": " + error.message()) : Status();
}

uint64_t PrivateCluster::LogServersPeakMemory() const {
  uint64_t bytes = 0;
  for (const Server& server : servers_) {
    const bool log = embedded() || server.name.rfind("log", 0) == 0;
    if (log && server.process != nullptr) bytes += PeakMemory(server.process->pid());
  }
  return bytes;
}

uint64_t PeakMemory(int64_t pid) {
  const Result<std::string> status = ReadSmallFile("/proc/" + std::to_string(pid) + "/status");
  if (!status.ok()) return 0;
  const size_t at = status->find("VmHWM:");
  return at == std::string::npos ? 0 : std::strtoull(status->c_str() + at + 6, nullptr, 10) * 1024;
}

}  // namespace understudy::cli

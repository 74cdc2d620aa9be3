#include "client/cli/bench/private_daemon.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "client/cli/session.h"
#include "log/env/clock.h"
#include "log/env/random.h"
#include "log/env/small_files.h"

namespace understudy::cli {
namespace {

constexpr int64_t kReadyNs = 20 * kNsPerSecond;
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

bool Ended(const Process& process, int wait_ms) {
  pollfd entry = {process.pidfd(), POLLIN, 0};
  while (true) {
    const int ready = poll(&entry, 1, wait_ms);
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

}  // namespace

Result<std::unique_ptr<PrivateDaemon>> PrivateDaemon::Start(const std::string& program_path, const std::string& parent,
                                                            const std::vector<std::string>& nodes) {
  const std::filesystem::path program = std::filesystem::path(program_path).parent_path() / "understudyd";
  if (!std::filesystem::exists(program)) return Status(StatusCode::kNotFound, program.string() + " is missing");
  const Result<std::vector<int>> ports = FreePorts(2 + nodes.size());
  if (!ports.ok()) return ports.status();
  std::unique_ptr<PrivateDaemon> daemon(new PrivateDaemon());
  std::string folder = parent + "/understudy-bench-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    return Status(StatusCode::kIoError, "--data-dir: no folder can be made in " + parent);
  }
  daemon->folder_ = folder;
  daemon->coordinator_ = "127.0.0.1:" + std::to_string((*ports)[0]);
  SpawnOptions options;
  options.program = program.string();
  options.output_path = folder + "/understudyd.log";
  options.arguments = {"--data-dir",          folder + "/data", "--listen",
                       daemon->coordinator_,  "--log-listen",   "127.0.0.1:" + std::to_string((*ports)[1]),
                       "--stop-applications", "--log-level",    "warning"};
  std::string list;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::string port = std::to_string((*ports)[2 + i]);
    list += (i > 0 ? "," : "") + nodes[i] + ":" + port;
    daemon->endpoints_.push_back("127.0.0.1:" + port);
  }
  if (!list.empty()) options.arguments.insert(options.arguments.end(), {"--nodes", list});
  Result<std::unique_ptr<Process>> process = Process::Spawn(options);
  if (!process.ok()) return process.status();
  daemon->process_ = std::move(process).value();

  const Instant deadline = SystemClock()->Now() + kReadyNs;
  while (true) {
    Session session(daemon->coordinator_, "understudy");
    if (session.Document([](auto* client, auto done) { client->GetStatus(2000, std::move(done)); }).ok()) return daemon;
    const bool ended = Ended(*daemon->process_, 50);
    if (ended || SystemClock()->Now() > deadline) {
      const Result<std::string> output = ReadSmallFile(options.output_path);
      return Status(StatusCode::kInternal,
                    "understudyd did not get ready: " + (output.ok() ? *output : "it said nothing"));
    }
  }
}

PrivateDaemon::~PrivateDaemon() {
  if (process_) {
    if (process_->Signal(SIGTERM, false).ok() && !Ended(*process_, kEndMs)) {
      if (process_->Signal(SIGKILL, true).ok()) Ended(*process_, kEndMs);
    }
    process_->Reap();
  }
  std::error_code error;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, error);
}

bool PrivateDaemon::running() const { return !Ended(*process_, 0); }

uint64_t PeakMemory(int64_t pid) {
  const Result<std::string> status = ReadSmallFile("/proc/" + std::to_string(pid) + "/status");
  if (!status.ok()) return 0;
  const size_t at = status->find("VmHWM:");
  return at == std::string::npos ? 0 : std::strtoull(status->c_str() + at + 6, nullptr, 10) * 1024;
}

}  // namespace understudy::cli

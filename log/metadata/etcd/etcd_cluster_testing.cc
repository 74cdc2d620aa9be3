#include "log/metadata/etcd/etcd_cluster_testing.h"

#include <httplib.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "log/env/clock.h"
#include "log/env/random.h"
#include "log/env/small_files.h"
#include "understudy/check.h"

namespace understudy::etcd {
namespace {

constexpr int64_t kWaitMs = 30'000;

// Outside of the range from which outgoing connections get theirs.
uint16_t FreePort() {
  static std::set<uint16_t> given;
  while (true) {
    const auto port = static_cast<uint16_t>(10'000 + SystemRandom()->Below(10'000));
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (is_free && given.insert(port).second) return port;
  }
}

// Until `done` or the deadline.
template <class Done>
bool WaitFor(const Done& done) {
  const Instant deadline = SystemClock()->Now() + kWaitMs * kNsPerMs;
  while (!done()) {
    if (SystemClock()->Now() > deadline) return false;
    poll(nullptr, 0, 20);
  }
  return true;
}

}  // namespace

EtcdCluster::EtcdCluster(EtcdClusterOptions options) : options_(std::move(options)) {
  char folder[] = "/tmp/understudy_etcd_XXXXXX";
  UNDERSTUDY_CHECK(mkdtemp(folder) != nullptr);
  folder_ = folder;
  for (size_t i = 0; i < options_.members; ++i) {
    members_.push_back({"m" + std::to_string(i), "http://127.0.0.1:" + std::to_string(FreePort()),
                        "http://127.0.0.1:" + std::to_string(FreePort()), nullptr});
  }
  for (size_t i = 0; i < size(); ++i) Start(i);
  for (size_t i = 0; i < size(); ++i) {
    if (!WaitUntilServing(i)) {
      std::fprintf(stderr, "etcd does not serve:\n%s\n",
                   ReadSmallFile(folder_ + "/" + members_[i].name + ".output").value().c_str());
      std::abort();
    }
  }
}

EtcdCluster::~EtcdCluster() {
  for (size_t i = 0; i < size(); ++i) Kill(i);
  UNDERSTUDY_CHECK(std::system(("rm -rf '" + folder_ + "'").c_str()) == 0);
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> all;
  for (const Member& member : members_) all.push_back(member.endpoint);
  return all;
}

std::string EtcdCluster::endpoints_list() const {
  std::string list;
  for (const Member& member : members_) list += (list.empty() ? "" : ",") + member.endpoint;
  return list;
}

std::string EtcdCluster::data_dir(size_t member) const { return folder_ + "/" + members_[member].name; }

std::string EtcdCluster::MembersList() const {
  std::string list;
  for (const Member& member : members_) list += (list.empty() ? "" : ",") + member.name + "=" + member.peer;
  return list;
}

void EtcdCluster::Restore(size_t index, const std::string& snapshot) {
  const Member& member = members_[index];
  UNDERSTUDY_CHECK(member.process == nullptr);
  UNDERSTUDY_CHECK(std::system(("rm -rf '" + data_dir(index) + "'").c_str()) == 0);
  Etcdctl("snapshot restore " + snapshot + " --name " + member.name + " --data-dir " + data_dir(index) +
          " --initial-cluster " + MembersList() + " --initial-advertise-peer-urls " + member.peer);
}

void EtcdCluster::Start(size_t index) {
  Member& member = members_[index];
  UNDERSTUDY_CHECK(member.process == nullptr);
  std::vector<std::string> flags = {"--name",
                                    member.name,
                                    "--data-dir",
                                    data_dir(index),
                                    "--listen-client-urls",
                                    member.endpoint,
                                    "--advertise-client-urls",
                                    member.endpoint,
                                    "--listen-peer-urls",
                                    member.peer,
                                    "--initial-advertise-peer-urls",
                                    member.peer,
                                    "--initial-cluster",
                                    MembersList(),
                                    "--heartbeat-interval",
                                    std::to_string(options_.heartbeat_ms),
                                    "--election-timeout",
                                    std::to_string(options_.election_ms),
                                    "--logger",
                                    "zap"};
  flags.insert(flags.end(), options_.more_flags.begin(), options_.more_flags.end());
  auto process = Process::Spawn({"etcd", std::move(flags), {}, folder_ + "/" + member.name + ".output"});
  if (!process.ok()) {
    std::fprintf(stderr, "etcd cannot be started (Debian package etcd-server): %s\n",
                 process.status().ToString().c_str());
    std::abort();
  }
  member.process = std::move(process).value();
}

void EtcdCluster::Kill(size_t index) {
  std::unique_ptr<Process> process = std::move(members_[index].process);
  if (process == nullptr) return;
  (void)process->Signal(SIGKILL, false).ok();
  pollfd ended{process->pidfd(), POLLIN, 0};
  UNDERSTUDY_CHECK(poll(&ended, 1, kWaitMs) == 1);
  (void)process->Reap();
}

void EtcdCluster::Freeze(size_t member) { UNDERSTUDY_CHECK(members_[member].process->Signal(SIGSTOP, false).ok()); }
void EtcdCluster::Thaw(size_t member) { UNDERSTUDY_CHECK(members_[member].process->Signal(SIGCONT, false).ok()); }
void EtcdCluster::FreezeAll() {
  for (size_t i = 0; i < size(); ++i) Freeze(i);
}
void EtcdCluster::ThawAll() {
  for (size_t i = 0; i < size(); ++i) Thaw(i);
}

std::optional<std::string> EtcdCluster::Post(size_t member, const std::string& path, const std::string& json) {
  httplib::Client client(members_[member].endpoint);
  client.set_connection_timeout(1);
  client.set_read_timeout(2);
  const auto reply = client.Post(path, json, "application/json");
  if (!reply || reply->status != 200) return std::nullopt;
  return reply->body;
}

bool EtcdCluster::WaitUntilServing(std::optional<size_t> member) {
  return WaitFor([&] {
    for (size_t i = 0; i < size(); ++i) {
      if (member.has_value() && i != *member) continue;
      if (members_[i].process != nullptr && Post(i, "/v3/kv/range", R"({"key":"eA==","count_only":true})")) return true;
    }
    return false;
  });
}

size_t EtcdCluster::Leader() {
  size_t leader = 0;
  const bool found = WaitFor([&] {
    for (size_t i = 0; i < size(); ++i) {
      if (members_[i].process == nullptr) continue;
      const auto body = Post(i, "/v3/maintenance/status", "{}");
      const auto status = nlohmann::json::parse(body.value_or(""), nullptr, false);
      if (!status.is_object() || !status.contains("leader")) continue;
      if (status["leader"] != status["header"]["member_id"]) continue;
      leader = i;
      return true;
    }
    return false;
  });
  UNDERSTUDY_CHECK(found);
  return leader;
}

std::string EtcdCluster::Etcdctl(const std::string& arguments) {
  const std::string output = folder_ + "/etcdctl.output";
  const std::string command =
      "ETCDCTL_API=3 etcdctl --endpoints=" + endpoints_list() + " " + arguments + " > '" + output + "' 2>&1";
  const int status = std::system(command.c_str());
  std::string printed = ReadSmallFile(output).value();
  if (status != 0) {
    std::fprintf(stderr, "etcdctl %s: %s\n", arguments.c_str(), printed.c_str());
    std::abort();
  }
  return printed;
}

}  // namespace understudy::etcd

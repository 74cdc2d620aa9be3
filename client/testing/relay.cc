#include "client/testing/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "understudy/check.h"

namespace understudy::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void NoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Relay::Relay(const std::string& target) : target_(target) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  UNDERSTUDY_CHECK(listener_ >= 0 && bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                   listen(listener_, 64) == 0 &&
                   getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0 && pipe(wake_) == 0);
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  thread_ = std::thread([this] { Run(); });
}

Relay::~Relay() {
  stop_ = true;
  Wake();
  thread_.join();
  for (const auto& [fd, peer] : peers_) close(fd);
  for (const int fd : {listener_, wake_[0], wake_[1]}) close(fd);
}

void Relay::Cut(bool cut) {
  cut_ = cut;
  Wake();
}

void Relay::Wake() { UNDERSTUDY_CHECK(write(wake_[1], "x", 1) == 1); }

void Relay::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(std::stoi(target_.substr(target_.rfind(':') + 1)));
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(client);
    close(server);
    return;
  }
  NoDelay(client);
  NoDelay(server);
  peers_[client] = server;
  peers_[server] = client;
}

bool Relay::Forward(int from, int to) {
  char buffer[64 << 10];
  const ssize_t got = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t n = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += n;
  }
  return true;
}

void Relay::Run() {
  while (!stop_) {
    std::vector<pollfd> waits = {{wake_[0], POLLIN, 0}};
    const bool cut = cut_;
    if (!cut) {
      waits.push_back({listener_, POLLIN, 0});
      for (const auto& [fd, peer] : peers_) waits.push_back({fd, POLLIN, 0});
    }
    poll(waits.data(), waits.size(), -1);
    for (const pollfd& one : waits) {
      if (one.revents == 0) continue;
      if (one.fd == wake_[0]) {
        char drained[64];
        UNDERSTUDY_CHECK(read(wake_[0], drained, sizeof drained) > 0);
      } else if (one.fd == listener_) {
        Accept();
      } else if (const auto found = peers_.find(one.fd); found != peers_.end() && !Forward(one.fd, found->second)) {
        const int peer = found->second;
        peers_.erase(found);
        peers_.erase(peer);
        close(one.fd);
        close(peer);
      }
    }
  }
}

}  // namespace understudy::testing

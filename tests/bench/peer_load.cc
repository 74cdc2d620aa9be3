// Clients of other systems, for peers.sh: each thread has a connection of its own, writes one 100-byte value, waits for
// the answer that says it was taken, and goes on. Prints one line of JSON as floor does. One tool for all of them, so
// that no system is held back by its own client.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "log/env/clock.h"

namespace understudy {
namespace {

struct Options {
  std::string protocol;
  int port = 0;
  uint64_t records = 0;
  size_t size = 100;
  size_t threads = 1;
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "peer_load: %s\n", what.c_str());
  std::_Exit(1);
}

class Connection {
 public:
  explicit Connection(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("cannot connect");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Send(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) Die("the connection broke");
      sent += static_cast<size_t>(n);
    }
  }
  std::string Line() {
    size_t end;
    while ((end = input_.find("\r\n")) == std::string::npos) Fill();
    std::string line = input_.substr(0, end);
    input_.erase(0, end + 2);
    return line;
  }
  std::string Bytes(size_t count) {
    while (input_.size() < count) Fill();
    std::string bytes = input_.substr(0, count);
    input_.erase(0, count);
    return bytes;
  }

 private:
  void Fill() {
    char chunk[16384];
    const ssize_t n = ::recv(fd_, chunk, sizeof chunk, 0);
    if (n <= 0) Die("the connection broke");
    input_.append(chunk, static_cast<size_t>(n));
  }
  int fd_;
  std::string input_;
};

// A client's writes: prepares the connection, then each call writes one value and waits until it was taken.
using Write = std::function<void()>;

Write RedisWrite(Connection* link, const std::string& key, const std::string& value) {
  const std::string command = "*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n$" +
                              std::to_string(value.size()) + "\r\n" + value + "\r\n";
  return [link, command] {
    link->Send(command);
    if (const std::string line = link->Line(); line != "+OK") Die("redis answers " + line);
  };
}

// A put through the JSON gateway, on a connection that stays; value and key in base64 ("YWFh" is "aaa").
Write EtcdWrite(Connection* link, const std::string& key, size_t size) {
  std::string value;
  while (value.size() < (size + 2) / 3 * 4) value += "YWFh";
  const std::string body = R"({"key":")" + key + R"(","value":")" + value + R"("})";
  const std::string request =
      "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  return [link, request] {
    link->Send(request);
    if (const std::string line = link->Line(); line != "HTTP/1.1 200 OK") Die("etcd answers " + line);
    size_t length = 0;
    for (std::string line = link->Line(); !line.empty(); line = link->Line()) {
      if (strncasecmp(line.c_str(), "content-length:", 15) == 0) length = std::strtoul(line.c_str() + 15, nullptr, 10);
    }
    link->Bytes(length);
  };
}

// A publication to a JetStream subject; the stream's acknowledgement comes to an inbox of the client's own.
Write NatsWrite(Connection* link, size_t index, const std::string& value) {
  const std::string inbox = "_INBOX.load" + std::to_string(index);
  link->Line();  // INFO
  link->Send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB " + inbox + " 1\r\nPING\r\n");
  while (link->Line() != "PONG") {
  }
  const std::string command = "PUB bench.x " + inbox + " " + std::to_string(value.size()) + "\r\n" + value + "\r\n";
  return [link, command] {
    link->Send(command);
    while (true) {
      const std::string line = link->Line();
      if (line == "PING") {
        link->Send("PONG\r\n");
      } else if (line.rfind("MSG ", 0) == 0) {
        const std::string answer = link->Bytes(std::strtoul(line.c_str() + line.rfind(' '), nullptr, 10) + 2);
        if (answer.find("\"error\"") != std::string::npos) Die("JetStream answers " + answer);
        return;
      } else if (line.rfind("HMSG ", 0) == 0 || line.rfind("-ERR", 0) == 0) {
        Die("nats answers " + line);
      }
    }
  };
}

int Run(const Options& options) {
  const std::string value(options.size, 'a');
  std::vector<std::vector<int64_t>> latencies(options.threads);
  std::vector<std::thread> threads;
  const Instant begun = SystemClock()->Now();
  for (size_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      Connection link(options.port);
      const std::string key = "key" + std::to_string(100 + i) + "a";  // base64 as well: its length is a multiple of 4
      Write write;
      if (options.protocol == "redis") write = RedisWrite(&link, key, value);
      if (options.protocol == "etcd") write = EtcdWrite(&link, key + "a", options.size);
      if (options.protocol == "nats") write = NatsWrite(&link, i, value);
      if (!write) Die("--protocol: redis, etcd or nats");
      for (uint64_t r = 0; r < options.records / options.threads; ++r) {
        const Instant sent = SystemClock()->Now();
        write();
        latencies[i].push_back(SystemClock()->Now() - sent);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = static_cast<double>(SystemClock()->Now() - begun) / kNsPerSecond;
  std::vector<int64_t> all;
  for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  const auto quantile = [&](double q) {
    return static_cast<double>(
               all[std::min(all.size() - 1, static_cast<size_t>(q * static_cast<double>(all.size())))]) /
           1000;
  };
  std::printf("{\"records\":%zu,\"seconds\":%.6f,\"records_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", all.size(),
              seconds, static_cast<double>(all.size()) / seconds, quantile(0.5), quantile(0.99));
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  understudy::Options options;
  po::options_description flags("peer_load: writes to another system and waits; prints one line of JSON");
  // clang-format off
  flags.add_options()
      ("help", "this text")
      ("protocol", po::value(&options.protocol)->required(), "redis, etcd (JSON gateway) or nats (JetStream, subject bench.x)")
      ("port", po::value(&options.port)->required(), "on the loopback")
      ("records", po::value(&options.records)->default_value(10000), "written in all")
      ("size", po::value(&options.size)->default_value(100), "bytes of a value")
      ("threads", po::value(&options.threads)->default_value(1), "connections, one write in flight each");
  // clang-format on
  try {
    po::variables_map values;
    po::store(po::parse_command_line(argc, argv, flags), values);
    if (values.count("help") > 0) {
      std::cout << flags;
      return 0;
    }
    po::notify(values);
  } catch (const po::error& error) {
    std::fprintf(stderr, "peer_load: %s\n", error.what());
    return 2;
  }
  if (options.size == 0 || options.size > 1u << 20 || options.threads == 0 || options.threads > 1024 ||
      options.records < options.threads) {
    std::fprintf(stderr, "peer_load: --size wants 1 to 1048576, --threads 1 to 1024, --records at least --threads\n");
    return 2;
  }
  return understudy::Run(options);
}

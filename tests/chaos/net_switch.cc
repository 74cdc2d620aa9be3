// net_switch: the network between the hosts of a chaos run. One TUN interface a host; every IP packet passes through
// here and may be dropped, delayed, doubled or overtaken, each direction of each pair of hosts by itself. Kernels
// without netem and without packet filters can do that, too; the hosts' TCP is the kernel's own.
//
//   net_switch --seed N NAME=INTERFACE=ADDRESS...
//
// Commands come on standard input, one a line, each answered by "ok" or "error: ...":
//   cut FROM TO                            nothing passes in this direction; '*': every host
//   link FROM TO DELAY_MS JITTER_MS LOSS DOUBLE   shares of packets, 0 to 1; jitter reorders
//   heal                                   all links as new
//   count                                  "ok PASSED DROPPED DELAYED DOUBLED" since the start
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <queue>
#include <sstream>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "log/env/random.h"

namespace understudy::chaos {
namespace {

constexpr size_t kPacketBytesMax = 65536;
constexpr size_t kDelayedMax = 100'000;  // packets; beyond, the network is a full queue, and drops

struct Host {
  std::string name;
  uint32_t address = 0;  // network byte order
  int fd = -1;
};

struct Link {
  bool cut = false;
  double delay_ms = 0;
  double jitter_ms = 0;
  double loss = 0;
  double doubled = 0;
};

struct Delayed {
  int64_t due_ns;
  uint64_t number;  // keeps the order of packets of the same instant
  size_t to;
  std::vector<char> packet;
  bool operator>(const Delayed& other) const {
    return due_ns != other.due_ns ? due_ns > other.due_ns : number > other.number;
  }
};

class Switch {
 public:
  Switch(std::vector<Host> hosts, uint64_t seed)
      : hosts_(std::move(hosts)), links_(hosts_.size(), std::vector<Link>(hosts_.size())), random_(seed) {
    for (size_t i = 0; i < hosts_.size(); ++i) {
      by_address_[hosts_[i].address] = i;
    }
  }

  void Run() {
    std::vector<pollfd> waiting;
    for (const Host& host : hosts_) {
      waiting.push_back({host.fd, POLLIN, 0});
    }
    waiting.push_back({STDIN_FILENO, POLLIN, 0});
    for (bool commands = true; commands;) {
      const int64_t now = clock_->Now().ns();
      int timeout_ms = -1;
      if (!delayed_.empty()) {
        // Rounded up: at most a millisecond late.
        timeout_ms =
            static_cast<int>(std::clamp<int64_t>((delayed_.top().due_ns - now + 999'999) / 1'000'000, 0, 1000));
      }
      poll(waiting.data(), waiting.size(), timeout_ms);
      for (size_t i = 0; i < hosts_.size(); ++i) {
        if ((waiting[i].revents & POLLIN) != 0) {
          Receive(i);
        }
      }
      while (!delayed_.empty() && delayed_.top().due_ns <= clock_->Now().ns()) {
        const Delayed& first = delayed_.top();
        Send(first.to, first.packet.data(), first.packet.size());
        delayed_.pop();
      }
      if (waiting.back().revents != 0) {
        commands = Commands();
      }
    }
  }

 private:
  void Receive(size_t from) {
    constexpr int kAtOnce = 64;
    char packet[kPacketBytesMax];
    for (int i = 0; i < kAtOnce; ++i) {
      const ssize_t size = read(hosts_[from].fd, packet, sizeof(packet));
      if (size < 20) {
        return;
      }
      uint32_t destination = 0;
      std::memcpy(&destination, packet + 16, sizeof(destination));  // of the IPv4 header
      const auto to = by_address_.find(destination);
      if ((packet[0] >> 4) == 4 && to != by_address_.end()) {
        Forward(from, to->second, packet, static_cast<size_t>(size));
      }
    }
  }

  double Share() { return static_cast<double>(random_.Next64() >> 11) * 0x1.0p-53; }

  void Forward(size_t from, size_t to, const char* packet, size_t size) {
    const Link& link = links_[from][to];
    if (link.cut || (link.loss > 0 && Share() < link.loss)) {
      ++dropped_;
      return;
    }
    const int copies = link.doubled > 0 && Share() < link.doubled ? 2 : 1;
    doubled_ += static_cast<uint64_t>(copies - 1);
    for (int i = 0; i < copies; ++i) {
      const double delay_ms = link.delay_ms + (link.jitter_ms > 0 ? link.jitter_ms * Share() : 0);
      if (delay_ms <= 0) {
        Send(to, packet, size);
      } else if (delayed_.size() < kDelayedMax) {
        const int64_t due = clock_->Now().ns() + static_cast<int64_t>(delay_ms * 1e6);
        delayed_.push({due, ++number_, to, std::vector<char>(packet, packet + size)});
        ++delayed_count_;
      } else {
        ++dropped_;
      }
    }
  }

  void Send(size_t to, const char* packet, size_t size) {
    ++passed_;
    if (write(hosts_[to].fd, packet, size) < 0) {
      ++dropped_;  // its interface is not up, or its queue is full: a network may lose packets
    }
  }

  // False: standard input has ended.
  bool Commands() {
    char chunk[4096];
    const ssize_t got = read(STDIN_FILENO, chunk, sizeof(chunk));
    if (got <= 0) {
      return false;
    }
    input_.append(chunk, static_cast<size_t>(got));
    for (size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      std::printf("%s\n", Carry(input_.substr(0, end)).c_str());
      std::fflush(stdout);
      input_.erase(0, end + 1);
    }
    return true;
  }

  std::string Carry(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    std::string from;
    std::string to;
    words >> verb;
    if (verb == "heal") {
      for (auto& row : links_) {
        std::fill(row.begin(), row.end(), Link());
      }
      return "ok";
    }
    if (verb == "count") {
      std::ostringstream answer;
      answer << "ok " << passed_ << " " << dropped_ << " " << delayed_count_ << " " << doubled_;
      return answer.str();
    }
    Link wanted;
    if (verb == "cut" && words >> from >> to) {
      wanted.cut = true;
    } else if (verb != "link" ||
               !(words >> from >> to >> wanted.delay_ms >> wanted.jitter_ms >> wanted.loss >> wanted.doubled)) {
      return "error: commands are cut, link, heal and count, not '" + line + "'";
    }
    bool matched = false;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      for (size_t k = 0; k < hosts_.size(); ++k) {
        if (i != k && (from == "*" || from == hosts_[i].name) && (to == "*" || to == hosts_[k].name)) {
          links_[i][k] = wanted;
          matched = true;
        }
      }
    }
    return matched ? "ok" : "error: no such hosts: '" + line + "'";
  }

  std::vector<Host> hosts_;
  std::vector<std::vector<Link>> links_;  // [from][to]
  std::map<uint32_t, size_t> by_address_;
  Clock* clock_ = SystemClock();
  SeededRandom random_;
  std::priority_queue<Delayed, std::vector<Delayed>, std::greater<>> delayed_;
  uint64_t number_ = 0;
  uint64_t passed_ = 0;
  uint64_t dropped_ = 0;
  uint64_t delayed_count_ = 0;
  uint64_t doubled_ = 0;
  std::string input_;
};

int OpenTun(const std::string& interface) {
  // tidy: allow(file): a network device.
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
    std::fprintf(stderr, "net_switch: interface %s: %s\n", interface.c_str(), std::strerror(errno));
    std::exit(EXIT_FAILURE);
  }
  return fd;
}

int Main(int argc, char** argv) {
  uint64_t seed = 1;
  std::vector<Host> hosts;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
      continue;
    }
    const size_t first = word.find('=');
    const size_t second = word.find('=', first + 1);
    Host host;
    if (second == std::string::npos || inet_pton(AF_INET, word.c_str() + second + 1, &host.address) != 1) {
      std::fprintf(stderr, "net_switch: '%s' is not NAME=INTERFACE=ADDRESS\n", word.c_str());
      return 2;
    }
    host.name = word.substr(0, first);
    host.fd = OpenTun(word.substr(first + 1, second - first - 1));
    hosts.push_back(std::move(host));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  Switch(std::move(hosts), seed).Run();
  return 0;
}

}  // namespace
}  // namespace understudy::chaos

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  return understudy::chaos::Main(argc, argv);
}

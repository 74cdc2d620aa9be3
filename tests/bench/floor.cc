// The floor our append benchmarks are judged against: raw TCP, group commit into an already written file,
// acknowledgement. Nothing else: no checksum, no Thrift, no index, no recovery. Each server is a forked process of its
// own; of several replicas, some must acknowledge. Two server designs (one thread that receives and syncs; two that
// overlap) and, for blocking threads, two client designs (one shared connection; one a thread) are offered: whoever
// compares takes the best of them.
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/program_options.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/env/clock.h"
#include "tests/bench/floor_server.h"
#include "understudy/check.h"

namespace understudy {
namespace {

struct Options {
  std::string dir;
  uint64_t records = 0;
  size_t size = 100;
  size_t window = 1;
  size_t threads = 0;  // 0: one pipelining client thread with `window`
  bool own_connections = false;
  bool overlap = false;
  size_t replicas = 1;
  size_t ack = 1;
};

struct Replica {
  sockaddr_in address{};
  pid_t server = -1;
  int ready = -1;  // a byte comes when it serves
};

// ---- client ----

// The record counts that the replicas have acknowledged. Of several, `ack` must have a record.
class AckReader {
 public:
  AckReader(std::vector<int> fds, size_t ack) : ack_(ack), links_(fds.size()), polled_(fds.size()) {
    for (size_t i = 0; i < fds.size(); ++i) {
      links_[i].fd = fds[i];
      polled_[i] = {fds[i], POLLIN, 0};
    }
  }
  // Blocks until more is acknowledged than was; returns how many records are.
  uint64_t Next() {
    while (true) {
      if (links_.size() == 1) {
        Receive(&links_[0]);
      } else {
        UNDERSTUDY_CHECK(::poll(polled_.data(), polled_.size(), -1) > 0);
        for (size_t i = 0; i < links_.size(); ++i) {
          if (polled_[i].revents != 0) Receive(&links_[i]);
        }
      }
      std::vector<uint64_t> counts;
      for (const Link& link : links_) counts.push_back(link.count);
      std::nth_element(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(ack_ - 1), counts.end(),
                       std::greater<>());
      if (counts[ack_ - 1] > acked_) return acked_ = counts[ack_ - 1];
    }
  }

 private:
  struct Link {
    int fd = -1;
    uint64_t count = 0;
    char buffer[4096];
    size_t used = 0;
  };
  static void Receive(Link* link) {
    const ssize_t got = ::recv(link->fd, link->buffer + link->used, sizeof link->buffer - link->used, 0);
    UNDERSTUDY_CHECK(got > 0);
    link->used += static_cast<size_t>(got);
    const size_t whole = link->used / 8 * 8;
    if (whole == 0) return;
    std::memcpy(&link->count, link->buffer + whole - 8, 8);
    std::memmove(link->buffer, link->buffer + whole, link->used - whole);
    link->used -= whole;
  }

  const size_t ack_;
  uint64_t acked_ = 0;
  std::vector<Link> links_;
  std::vector<pollfd> polled_;
};

void SendToAll(const std::vector<int>& fds, const char* data, size_t size) {
  for (const int fd : fds) SendAll(fd, data, size);
}

// A connection to each replica.
std::vector<int> Connect(const std::vector<Replica>& replicas) {
  std::vector<int> fds;
  for (const Replica& replica : replicas) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    UNDERSTUDY_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&replica.address), sizeof replica.address) == 0);
    NoDelay(fd);
    fds.push_back(fd);
  }
  return fds;
}

using Latencies = std::vector<int64_t>;

void RunWindow(const std::vector<int>& fds, const Options& options, Latencies* latencies) {
  const std::string records(options.size * options.window, 'r');
  AckReader acks(fds, options.ack);
  uint64_t sent = 0, acked = 0;
  Clock* clock = SystemClock();
  while (acked < options.records) {
    const uint64_t room = std::min(options.window - (sent - acked), options.records - sent);
    const Instant begun = clock->Now();
    if (room > 0) SendToAll(fds, records.data(), room * options.size);
    sent += room;
    acked = acks.Next();
    if (options.window == 1) latencies->push_back(clock->Now() - begun);
  }
}

void RunOwnConnections(const std::vector<Replica>& replicas, const Options& options,
                       std::vector<Latencies>* latencies) {
  std::vector<std::thread> threads;
  std::vector<std::vector<int>> fds;
  for (size_t i = 0; i < options.threads; ++i) fds.push_back(Connect(replicas));
  for (size_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      Options mine = options;
      mine.window = 1;
      mine.records = options.records / options.threads;
      RunWindow(fds[i], mine, &(*latencies)[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Threads that block on their own record over one connection: whoever finds nobody sending sends what has gathered.
void RunSharedConnection(const std::vector<int>& fds, const Options& options, std::vector<Latencies>* latencies) {
  std::mutex mutex;
  std::string pending;
  bool sending = false;
  uint64_t next = 0;
  std::vector<std::pair<uint64_t, size_t>> waiting;  // (record number, thread), ascending
  std::vector<std::atomic<uint32_t>> done(options.threads);
  const uint64_t per_thread = options.records / options.threads;
  const uint64_t total = per_thread * options.threads;
  std::thread reader([&] {
    AckReader acks(fds, options.ack);
    std::vector<size_t> wake;
    for (uint64_t acked = 0; acked < total;) {
      acked = acks.Next();
      wake.clear();
      {
        const std::lock_guard lock(mutex);
        size_t n = 0;
        while (n < waiting.size() && waiting[n].first < acked) wake.push_back(waiting[n++].second);
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(n));
      }
      for (const size_t thread : wake) {
        done[thread].fetch_add(1, std::memory_order_release);
        done[thread].notify_one();
      }
    }
  });
  std::vector<std::thread> threads;
  for (size_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      const std::string record(options.size, 'r');
      std::string out;
      for (uint64_t r = 0; r < per_thread; ++r) {
        const Instant begun = SystemClock()->Now();
        {
          std::unique_lock lock(mutex);
          pending += record;
          waiting.emplace_back(next++, i);
          while (!sending && !pending.empty()) {
            sending = true;
            out.swap(pending);
            lock.unlock();
            SendToAll(fds, out.data(), out.size());
            out.clear();
            lock.lock();
            sending = false;
          }
        }
        done[i].wait(static_cast<uint32_t>(r), std::memory_order_acquire);
        (*latencies)[i].push_back(SystemClock()->Now() - begun);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  reader.join();
}

int64_t Quantile(Latencies& sorted, double q) {
  return sorted.empty()
             ? 0
             : sorted[std::min(sorted.size() - 1, static_cast<size_t>(q * static_cast<double>(sorted.size())))];
}

Replica StartReplica(const Options& options) {
  Replica replica;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  replica.address.sin_family = AF_INET;
  replica.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UNDERSTUDY_CHECK(::bind(listener, reinterpret_cast<sockaddr*>(&replica.address), sizeof replica.address) == 0);
  UNDERSTUDY_CHECK(::listen(listener, 1024) == 0);
  socklen_t length = sizeof replica.address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&replica.address), &length);
  int ready[2];
  UNDERSTUDY_CHECK(::pipe(ready) == 0);
  const pid_t parent = ::getpid();
  replica.server = ::fork();
  if (replica.server == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) std::_Exit(0);
    ServeFloor({options.dir, options.size, options.own_connections ? options.threads : 1, options.overlap}, listener,
               ready[1]);
  }
  ::close(listener);
  ::close(ready[1]);
  replica.ready = ready[0];
  return replica;
}

int Run(const Options& options) {
  std::vector<Replica> replicas;
  for (size_t i = 0; i < options.replicas; ++i) replicas.push_back(StartReplica(options));
  for (const Replica& replica : replicas) {
    char byte;
    if (::read(replica.ready, &byte, 1) != 1) return 1;  // the server said why
  }

  std::vector<Latencies> latencies(std::max<size_t>(1, options.threads));
  const bool own = options.threads > 0 && options.own_connections;
  const std::vector<int> fds = own ? std::vector<int>() : Connect(replicas);
  const Instant begun = SystemClock()->Now();
  if (own) {
    RunOwnConnections(replicas, options, &latencies);
  } else if (options.threads > 0) {
    RunSharedConnection(fds, options, &latencies);
  } else {
    RunWindow(fds, options, &latencies[0]);
  }
  const double seconds = static_cast<double>(SystemClock()->Now() - begun) / kNsPerSecond;
  for (const Replica& replica : replicas) {
    ::kill(replica.server, SIGKILL);
    ::waitpid(replica.server, nullptr, 0);
  }

  Latencies all;
  for (const Latencies& some : latencies) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  std::printf("{\"records\":%llu,\"seconds\":%.6f,\"records_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
              static_cast<unsigned long long>(options.records), seconds, static_cast<double>(options.records) / seconds,
              static_cast<double>(Quantile(all, 0.5)) / 1000, static_cast<double>(Quantile(all, 0.99)) / 1000);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  understudy::Options options;
  po::options_description flags("floor: what raw TCP and group commit can do here; prints one line of JSON");
  // clang-format off
  flags.add_options()
      ("help", "this text")
      ("dir", po::value(&options.dir)->default_value("."), "where a 64 MiB file is written (removed at once)")
      ("records", po::value(&options.records)->default_value(20000), "appended in all")
      ("size", po::value(&options.size)->default_value(100), "bytes of a record")
      ("window", po::value(&options.window)->default_value(1), "records one client thread keeps in flight; 1: latency too")
      ("threads", po::value(&options.threads)->default_value(0), "blocking threads instead, one record in flight each")
      ("own-connections", po::bool_switch(&options.own_connections), "with --threads: a connection each, not one shared")
      ("replicas", po::value(&options.replicas)->default_value(1), "servers, each with a file of its own")
      ("ack", po::value(&options.ack)->default_value(1), "of them must have a record before it counts")
      ("overlap", po::bool_switch(&options.overlap), "the server receives on one thread and syncs on another");
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
    std::fprintf(stderr, "floor: %s\n", error.what());
    return 2;
  }
  if (options.size == 0 || options.size > 1u << 20 || options.window == 0 || options.window > 1u << 20 ||
      options.threads > 1024 || options.records == 0 || options.ack == 0 || options.ack > options.replicas ||
      options.replicas > 9) {
    std::fprintf(stderr,
                 "floor: --size and --window want 1 to 1048576, --threads at most 1024, --records at least 1, "
                 "--replicas 1 to 9, --ack 1 to --replicas\n");
    return 2;
  }
  return understudy::Run(options);
}

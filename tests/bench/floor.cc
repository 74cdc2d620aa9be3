// The floor our append benchmarks are judged against: raw TCP, group commit into an already written file, acknowledgement.
// Nothing else: no checksum, no Thrift, no index, no recovery. The server is a forked process of its own. Two server
// designs (one thread that receives and syncs; two that overlap) and, for blocking threads, two client designs (one shared
// connection; one a thread) are offered: whoever compares takes the best of them.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/program_options.hpp>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/env/clock.h"
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
};

constexpr size_t kFileBytes = 256u << 20;
constexpr size_t kReceiveBytes = 8u << 20;

void SendAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) std::_Exit(0);  // the other process is done
    data += sent;
    size -= static_cast<size_t>(sent);
  }
}

void NoDelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// ---- server ----

class CommitFile {
 public:
  explicit CommitFile(const std::string& dir) {
    const std::string path = dir + "/floor.journal";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd_ < 0) {
      std::perror(path.c_str());
      std::_Exit(1);
    }
    const std::string zeros(1u << 20, '\0');
    for (size_t at = 0; at < kFileBytes; at += zeros.size()) {
      UNDERSTUDY_CHECK(::pwrite(fd_, zeros.data(), zeros.size(), static_cast<off_t>(at)) ==
                       static_cast<ssize_t>(zeros.size()));
    }
    UNDERSTUDY_CHECK(::fsync(fd_) == 0);
    ::unlink(path.c_str());
  }
  void Commit(const char* data, size_t size) {
    if (at_ + size > kFileBytes) at_ = 0;
    UNDERSTUDY_CHECK(::pwrite(fd_, data, size, static_cast<off_t>(at_)) == static_cast<ssize_t>(size));
    UNDERSTUDY_CHECK(::fdatasync(fd_) == 0);
    at_ += size;
  }

 private:
  int fd_ = -1;
  size_t at_ = 0;
};

// Acknowledges whole records, by their number since the beginning.
void SendAck(int fd, uint64_t bytes, size_t record_bytes) {
  const uint64_t records = bytes / record_bytes;
  SendAll(fd, reinterpret_cast<const char*>(&records), sizeof records);
}

[[noreturn]] void ServeOneThread(int fd, CommitFile file, size_t record_bytes) {
  const std::unique_ptr<char[]> buffer(new char[kReceiveBytes]);
  uint64_t total = 0;
  while (true) {
    const ssize_t got = ::recv(fd, buffer.get(), kReceiveBytes, 0);
    if (got <= 0) std::_Exit(0);
    file.Commit(buffer.get(), static_cast<size_t>(got));
    total += static_cast<uint64_t>(got);
    SendAck(fd, total, record_bytes);
  }
}

[[noreturn]] void ServeOverlapped(int fd, CommitFile file, size_t record_bytes) {
  struct Buffer {
    std::unique_ptr<char[]> bytes{new char[kReceiveBytes]};
    size_t used = 0;
  };
  std::mutex mutex;
  std::condition_variable changed;
  Buffer filling, syncing;
  std::thread committer([&] {
    uint64_t total = 0;
    while (true) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return filling.used > 0; });
        std::swap(filling, syncing);
        filling.used = 0;
      }
      changed.notify_all();
      file.Commit(syncing.bytes.get(), syncing.used);
      total += syncing.used;
      SendAck(fd, total, record_bytes);
    }
  });
  const std::unique_ptr<char[]> received(new char[1u << 20]);
  while (true) {
    const ssize_t got = ::recv(fd, received.get(), 1u << 20, 0);
    if (got <= 0) std::_Exit(0);
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return filling.used + static_cast<size_t>(got) <= kReceiveBytes; });
      std::memcpy(filling.bytes.get() + filling.used, received.get(), static_cast<size_t>(got));
      filling.used += static_cast<size_t>(got);
    }
    changed.notify_all();
  }
}

[[noreturn]] void ServeManyConnections(int listener, size_t connections, CommitFile file, size_t record_bytes) {
  const int epoll = ::epoll_create1(0);
  std::vector<uint64_t> totals;
  for (size_t i = 0; i < connections; ++i) {
    const int fd = ::accept(listener, nullptr, nullptr);
    NoDelay(fd);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    if (totals.size() <= static_cast<size_t>(fd)) totals.resize(static_cast<size_t>(fd) + 1);
  }
  const std::unique_ptr<char[]> buffer(new char[kReceiveBytes]);
  std::vector<epoll_event> events(connections);
  std::vector<int> ready;
  size_t closed = 0;
  while (closed < connections) {
    const int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    size_t used = 0;
    ready.clear();
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      const ssize_t got = ::recv(fd, buffer.get() + used, record_bytes, 0);
      if (got <= 0) {
        ::close(fd);
        ++closed;
        continue;
      }
      used += static_cast<size_t>(got);
      totals[static_cast<size_t>(fd)] += static_cast<uint64_t>(got);
      ready.push_back(fd);
    }
    if (used == 0) continue;
    file.Commit(buffer.get(), used);
    for (const int fd : ready) SendAck(fd, totals[static_cast<size_t>(fd)], record_bytes);
  }
  std::_Exit(0);
}

// ---- client ----

class AckReader {
 public:
  explicit AckReader(int fd) : fd_(fd) {}
  // Blocks for at least one acknowledgement; returns the newest record count.
  uint64_t Next() {
    while (true) {
      const ssize_t got = ::recv(fd_, buffer_ + used_, sizeof buffer_ - used_, 0);
      UNDERSTUDY_CHECK(got > 0);
      used_ += static_cast<size_t>(got);
      const size_t whole = used_ / 8 * 8;
      if (whole == 0) continue;
      uint64_t count;
      std::memcpy(&count, buffer_ + whole - 8, 8);
      std::memmove(buffer_, buffer_ + whole, used_ - whole);
      used_ -= whole;
      return count;
    }
  }

 private:
  int fd_;
  char buffer_[4096];
  size_t used_ = 0;
};

int Connect(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  UNDERSTUDY_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  NoDelay(fd);
  return fd;
}

using Latencies = std::vector<int64_t>;

void RunWindow(int fd, const Options& options, Latencies* latencies) {
  const std::string records(options.size * options.window, 'r');
  AckReader acks(fd);
  uint64_t sent = 0, acked = 0;
  Clock* clock = SystemClock();
  while (acked < options.records) {
    const uint64_t room = std::min(options.window - (sent - acked), options.records - sent);
    const Instant begun = clock->Now();
    if (room > 0) SendAll(fd, records.data(), room * options.size);
    sent += room;
    acked = acks.Next();
    if (options.window == 1) latencies->push_back(clock->Now() - begun);
  }
}

void RunOwnConnections(const sockaddr_in& address, const Options& options, std::vector<Latencies>* latencies) {
  std::vector<std::thread> threads;
  std::vector<int> fds;
  for (size_t i = 0; i < options.threads; ++i) fds.push_back(Connect(address));
  for (size_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      Options mine = options;
      mine.window = 1;
      mine.records = options.records / options.threads;
      RunWindow(fds[i], mine, &(*latencies)[i]);
      ::close(fds[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Threads that block on their own record over one connection: whoever finds nobody sending sends what has gathered.
void RunSharedConnection(int fd, const Options& options, std::vector<Latencies>* latencies) {
  std::mutex mutex;
  std::string pending;
  bool sending = false;
  uint64_t next = 0;
  std::vector<std::pair<uint64_t, size_t>> waiting;  // (record number, thread), ascending
  std::vector<std::atomic<uint32_t>> done(options.threads);
  const uint64_t per_thread = options.records / options.threads;
  const uint64_t total = per_thread * options.threads;
  std::thread reader([&] {
    AckReader acks(fd);
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
            SendAll(fd, out.data(), out.size());
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
  return sorted.empty() ? 0 : sorted[std::min(sorted.size() - 1, static_cast<size_t>(q * static_cast<double>(sorted.size())))];
}

int Run(const Options& options) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UNDERSTUDY_CHECK(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  UNDERSTUDY_CHECK(::listen(listener, 128) == 0);
  socklen_t length = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);

  int ready[2];
  UNDERSTUDY_CHECK(::pipe(ready) == 0);
  const pid_t server = ::fork();
  if (server == 0) {
    CommitFile file(options.dir);
    UNDERSTUDY_CHECK(::write(ready[1], "r", 1) == 1);
    if (options.threads > 0 && options.own_connections) {
      ServeManyConnections(listener, options.threads, file, options.size);
    }
    const int fd = ::accept(listener, nullptr, nullptr);
    NoDelay(fd);
    if (options.overlap) ServeOverlapped(fd, file, options.size);
    ServeOneThread(fd, file, options.size);
  }
  ::close(ready[1]);
  char byte;
  if (::read(ready[0], &byte, 1) != 1) return 1;  // the server said why

  std::vector<Latencies> latencies(std::max<size_t>(1, options.threads));
  const bool own = options.threads > 0 && options.own_connections;
  const int fd = own ? -1 : Connect(address);
  const Instant begun = SystemClock()->Now();
  if (own) {
    RunOwnConnections(address, options, &latencies);
  } else if (options.threads > 0) {
    RunSharedConnection(fd, options, &latencies);
  } else {
    RunWindow(fd, options, &latencies[0]);
  }
  const double seconds = static_cast<double>(SystemClock()->Now() - begun) / kNsPerSecond;
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);

  Latencies all;
  for (const Latencies& some : latencies) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  std::printf("{\"records\":%llu,\"seconds\":%.6f,\"records_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
              static_cast<unsigned long long>(options.records), seconds,
              static_cast<double>(options.records) / seconds, static_cast<double>(Quantile(all, 0.5)) / 1000,
              static_cast<double>(Quantile(all, 0.99)) / 1000);
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
      ("dir", po::value(&options.dir)->default_value("."), "where the 256 MiB file is written (removed at once)")
      ("records", po::value(&options.records)->default_value(20000), "appended in all")
      ("size", po::value(&options.size)->default_value(100), "bytes of a record")
      ("window", po::value(&options.window)->default_value(1), "records one client thread keeps in flight; 1: latency too")
      ("threads", po::value(&options.threads)->default_value(0), "blocking threads instead, one record in flight each")
      ("own-connections", po::bool_switch(&options.own_connections), "with --threads: a connection each, not one shared")
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
      options.threads > 1024 || options.records == 0) {
    std::fprintf(stderr, "floor: --size and --window want 1 to 1048576, --threads at most 1024, --records at least 1\n");
    return 2;
  }
  return understudy::Run(options);
}

// The server of the floor: raw TCP, group commit into an already written file, acknowledgement. See floor.cc.
#include "tests/bench/floor_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "understudy/check.h"

namespace understudy {

namespace {

constexpr size_t kFileBytes = 64u << 20;
constexpr size_t kReceiveBytes = 8u << 20;

class CommitFile {
 public:
  explicit CommitFile(const std::string& dir) {
    const std::string path = dir + "/floor." + std::to_string(::getpid()) + ".journal";
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

}  // namespace

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

void ServeFloor(const FloorServerOptions& options, int listener, int ready) {
  CommitFile file(options.dir);
  UNDERSTUDY_CHECK(::write(ready, "r", 1) == 1);
  if (options.connections > 1) ServeManyConnections(listener, options.connections, file, options.record_bytes);
  const int fd = ::accept(listener, nullptr, nullptr);
  NoDelay(fd);
  if (options.overlap) ServeOverlapped(fd, file, options.record_bytes);
  ServeOneThread(fd, file, options.record_bytes);
}

}  // namespace understudy

#include "client/examples/resp_kv/debug_faults.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <system_error>

namespace understudy::resp_kv {

DebugFaults::~DebugFaults() {
  for (const int fd : fds_) {
    ::close(fd);
  }
  if (scratch_ >= 0) ::close(scratch_);
}

void DebugFaults::Stall(int64_t ms) { ::poll(nullptr, 0, static_cast<int>(ms)); }

void DebugFaults::WriteScratch() {
  io_writes_ = std::min(io_writes_ + io_creep_, kIoWritesMax);
  // tidy: allow(file): a fault made on purpose, for which the log's files are of no use
  if (scratch_ < 0) scratch_ = ::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  const std::string page(4096, '#');
  bool good = scratch_ >= 0;
  for (int64_t i = 0; good && i < io_writes_; ++i) {
    // tidy: allow(file): as above
    good = ::pwrite(scratch_, page.data(), page.size(), 0) > 0 && ::fdatasync(scratch_) == 0;
  }
  if (!good) {
    std::perror("resp_kv: DEBUG IOCREEP");
    io_creep_ = 0;
  }
}

void DebugFaults::Tick() {
  if (++ticks_ % (1000 / kTickMs) == 0 && io_creep_ > 0) WriteScratch();
  if (const auto bytes = static_cast<size_t>(leak_bytes_per_second_ * kTickMs / 1000); bytes > 0) {
    constexpr size_t kPage = 4096;
    auto block = std::make_unique<char[]>(bytes);  // zeroed, but the kernel may still share the zero page
    for (size_t at = 0; at < bytes; at += kPage) {
      block[at] = 1;
    }
    memory_.push_back(std::move(block));
    leaked_bytes_ += bytes;
  }
  fds_owed_ += leak_fds_per_second_ * kTickMs;
  for (; fds_owed_ >= 1000; fds_owed_ -= 1000) {
    const int fd = ::dup(STDERR_FILENO);
    if (fd < 0) {
      fds_owed_ = 0;
      break;
    }
    fds_.push_back(fd);
  }
  threads_owed_ += leak_threads_per_second_ * kTickMs;
  for (; threads_owed_ >= 1000; threads_owed_ -= 1000) {
    try {
      threads_.emplace_back([](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait(lock, stop, [] { return false; });
      });
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "resp_kv: DEBUG THREADLEAK: no further thread after %zu: %s\n", threads_.size(),
                   error.what());
      std::abort();
    }
  }
}

}  // namespace understudy::resp_kv

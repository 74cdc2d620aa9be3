// Faults on demand, for demonstrations and tests of the machinery around: what is leaked stays so until the process
// ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace understudy::resp_kv {

class DebugFaults {
 public:
  static constexpr int64_t kTickMs = 100;
  static constexpr int64_t kLeakBytesPerSecondMax = int64_t{16} << 30;
  static constexpr int64_t kLeakFdsPerSecondMax = 100'000;
  static constexpr int64_t kLeakThreadsPerSecondMax = 10'000;
  static constexpr int64_t kIoCreepMax = 10'000;
  static constexpr int64_t kIoWritesMax = 100'000;  // in one go
  static constexpr int64_t kStallMsMax = 3'600'000;

  ~DebugFaults();

  // Allocates, and writes to, so many bytes a second; 0 ends the leak without giving anything back.
  void SetMemoryLeak(int64_t bytes_per_second) { leak_bytes_per_second_ = bytes_per_second; }
  // Opens so many file descriptors a second, until the process may have no more.
  void SetFdLeak(int64_t fds_per_second) { leak_fds_per_second_ = fds_per_second; }
  // Starts so many threads a second, which only wait. When no more can be had the process aborts, as one does that
  // starts a thread for each request.
  void SetThreadLeak(int64_t threads_per_second) { leak_threads_per_second_ = threads_per_second; }
  // Once a second makes synced writes of a page to a scratch file in /var/tmp, each time so many more: as a store does
  // whose housekeeping grows and stands in its clients' way. Ends when the disk refuses; 0 ends it.
  void SetIoCreep(int64_t writes_per_second) { io_creep_ = writes_per_second, io_writes_ = 0; }
  // Blocks the calling thread.
  static void Stall(int64_t ms);

  // Call every kTickMs.
  void Tick();

  size_t leaked_bytes() const { return leaked_bytes_; }
  size_t leaked_fds() const { return fds_.size(); }
  size_t leaked_threads() const { return threads_.size(); }
  size_t scratch_writes() const { return static_cast<size_t>(io_writes_); }  // in the last go

 private:
  void WriteScratch();

  int64_t leak_bytes_per_second_ = 0;
  int64_t leak_fds_per_second_ = 0;
  int64_t fds_owed_ = 0;  // thousandths
  int64_t leak_threads_per_second_ = 0;
  int64_t threads_owed_ = 0;  // thousandths
  int64_t io_creep_ = 0;
  int64_t io_writes_ = 0;
  int ticks_ = 0;
  int scratch_ = -1;
  size_t leaked_bytes_ = 0;
  std::vector<std::unique_ptr<char[]>> memory_;
  std::vector<int> fds_;
  std::vector<std::jthread> threads_;
};

}  // namespace understudy::resp_kv

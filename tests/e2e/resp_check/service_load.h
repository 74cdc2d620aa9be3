// Load on one service through several connections, and the check of all its writes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/env/clock.h"
#include "tests/e2e/resp_check/gap_meter.h"
#include "tests/e2e/resp_check/key_book.h"
#include "tests/e2e/resp_check/resp_connection.h"

namespace understudy::resp_check {

struct LoadOptions {
  std::string service;                 // sent as AUTH's user, so that no other service is ever taken for it
  std::vector<std::string> endpoints;  // all that may serve it, now or later
  int connections = 4;
  int rate = 250;      // writes per second and connection; 0: as fast as replies come
  size_t keys = 1000;  // per connection
  size_t value_bytes = 100;
  int timeout_ms = 1000;  // of a connect or a reply
};

struct CheckResult {
  uint64_t keys = 0;
  uint64_t lost = 0;
  uint64_t wrong = 0;
  uint64_t unread = 0;                  // no server answered for them in time
  std::vector<std::string> complaints;  // the first few, for people
};

// Thread-safe but for the constructor, the destructor and Check.
class ServiceLoad {
 public:
  ServiceLoad(LoadOptions options, Clock* clock);
  ~ServiceLoad();  // stops
  ServiceLoad(const ServiceLoad&) = delete;
  ServiceLoad& operator=(const ServiceLoad&) = delete;

  void Start();
  // Returns when no write is on its way any more.
  void Pause();
  void Resume();
  void Stop();
  // Reads every key back. After Stop.
  CheckResult Check(int unread_after_ms);

  const std::string& service() const { return options_.service; }
  GapMeter& gaps() { return gaps_; }
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t unknown() const { return unknown_; }
  uint64_t refused() const { return refused_; }      // redirections and errors that say "not done"
  std::vector<std::string> unknown_reasons() const;  // the first few
  std::string endpoint() const;                      // where the last success came from

 private:
  struct Worker;

  void Run(Worker* worker);
  // False when nobody has to be asked: stopping.
  bool WaitForTurn(Worker* worker);
  void WriteOnce(Worker* worker);
  // Connects to the worker's current endpoint and says which service is meant.
  bool EnsureConnected(Worker* worker);
  void TryNextEndpoint(Worker* worker);
  void OutcomeUnknown(Worker* worker, const std::string& reason);
  void FollowMoved(Worker* worker, const std::string& error);

  const LoadOptions options_;
  Clock* const clock_;
  GapMeter gaps_;
  std::atomic<uint64_t> acknowledged_{0};
  std::atomic<uint64_t> unknown_{0};
  std::atomic<uint64_t> refused_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool paused_ = false;
  bool stopping_ = false;
  int busy_ = 0;  // workers between WaitForTurn and the end of their write
  std::string endpoint_;
  std::vector<std::string> unknown_reasons_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace understudy::resp_check

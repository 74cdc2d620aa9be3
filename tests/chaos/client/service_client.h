// Reads and writes of several connections on the shared keys of one service, recorded as a history.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/env/clock.h"
#include "tests/chaos/client/history_log.h"
#include "tests/chaos/client/key_pool.h"
#include "tests/e2e/resp_check/gap_meter.h"
#include "tests/e2e/resp_check/resp_connection.h"

namespace understudy::chaos {

struct ClientOptions {
  std::string service;
  std::vector<std::string> endpoints;
  int connections = 4;
  int rate = 40;  // operations per second and connection
  int timeout_ms = 1500;
  uint64_t seed = 1;
  int64_t first_process = 0;  // processes are numbered through all services
};

// Thread-safe but for the constructor, the destructor and ReadAll.
class ServiceClient {
 public:
  ServiceClient(ClientOptions options, Clock* clock, HistoryLog* history);
  ~ServiceClient();
  ServiceClient(const ServiceClient&) = delete;
  ServiceClient& operator=(const ServiceClient&) = delete;

  void Start();
  void Stop();
  // After Stop: one more read of every key ever used. The number of those that nobody answered for in time.
  size_t ReadAll(int give_up_after_ms);

  const std::string& service() const { return options_.service; }
  resp_check::GapMeter& gaps() { return gaps_; }
  uint64_t writes_acked() const { return writes_acked_; }
  uint64_t reads() const { return reads_; }
  uint64_t unknown() const { return unknown_; }
  uint64_t refused() const { return refused_; }
  size_t keys() const { return pool_.AllKeys().size(); }
  std::map<std::string, uint64_t> reasons() const;  // of refusals and unknown outcomes, by their first word

 private:
  struct Worker;
  enum class Outcome { kAnswered, kRefused, kUnknown };

  void Run(Worker* worker);
  bool WaitForTurn(Worker* worker);
  void OperateOnce(Worker* worker);
  Outcome ReadKey(Worker* worker, const KeyUse& use);
  // Asks, and adds the operation to the history; `*reply` when it was answered.
  Outcome Ask(Worker* worker, const KeyUse& use, const std::vector<std::string>& words, nlohmann::json operation,
              resp_check::Reply* reply);
  bool EnsureConnected(Worker* worker);
  void Reason(const std::string& text);

  const ClientOptions options_;
  Clock* const clock_;
  HistoryLog* const history_;
  KeyPool pool_;
  resp_check::GapMeter gaps_;
  std::atomic<uint64_t> writes_acked_{0};
  std::atomic<uint64_t> reads_{0};
  std::atomic<uint64_t> unknown_{0};
  std::atomic<uint64_t> refused_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, uint64_t> reasons_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace understudy::chaos

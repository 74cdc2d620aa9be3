// Clients of the resp_kv example, as an application's would be: each writes one key over and over, waits for each
// answer, follows MOVED and tries the next endpoint on an error. They know what was acknowledged and when.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "understudy/status.h"

namespace understudy::cli {

// A connection to one endpoint. One thread.
class RespConnection {
 public:
  explicit RespConnection(std::string endpoint) : endpoint_(std::move(endpoint)) {}
  ~RespConnection() { Close(); }
  RespConnection(const RespConnection&) = delete;
  RespConnection& operator=(const RespConnection&) = delete;

  // Connects if need be, sends commands (each a list of words) and reads as many replies: "+OK", ":1", "-MOVED ...",
  // "$value" ("$" for nil). After an error the connection is closed; what was sent may have been carried out.
  Result<std::vector<std::string>> Call(const std::vector<std::vector<std::string>>& commands, int64_t timeout_ms);
  void Close();
  const std::string& endpoint() const { return endpoint_; }

 private:
  Status Connect(int64_t timeout_ms);
  Result<std::string> Line(int64_t deadline_ns);
  Status Fill(int64_t deadline_ns);

  std::string endpoint_;
  int fd_ = -1;
  std::string input_;
};

class RespLoad {
 public:
  RespLoad(std::vector<std::string> endpoints, int clients);
  ~RespLoad();  // Stop()
  RespLoad(const RespLoad&) = delete;
  RespLoad& operator=(const RespLoad&) = delete;

  void Start();
  void Stop();

  // Begins a window: the longest gap between two acknowledged writes of any client is measured anew.
  void BeginWindow();
  // Until a write has been acknowledged that was sent after the call; false: none within `timeout_ms`.
  bool WaitForSuccess(int64_t timeout_ms);
  // Of the window, up to now, the gap that is still open included.
  double LongestGapMs() const;

  uint64_t acknowledged() const { return acknowledged_.load(); }

  // Reads every client's key and counts those whose value is older than what was acknowledged: lost writes. Call while
  // the load is stopped.
  Result<int> CountLost();

  // Writes `count` records as fast as pipelining allows, to `keys` keys in turn.
  Status Fill(uint64_t first, uint64_t count, uint64_t keys);

 private:
  struct Client {
    std::thread thread;
    std::atomic<uint64_t> acked{0};  // the highest value acknowledged
  };
  void Run(size_t index);
  void Acknowledged();
  // The connection to the present primary, after asking around; null when nobody is.
  std::unique_ptr<RespConnection> FindPrimary(int64_t timeout_ms);

  const std::vector<std::string> endpoints_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> last_success_ns_{0}, longest_gap_ns_{0};
  std::atomic<uint64_t> acknowledged_{0}, sent_after_{0};
};

}  // namespace understudy::cli

// Watches which logs their disks slow or refuse because they keep too much (docs/understudyd.md, "Quota"): asks every
// log server now and then, says what changed as events, and keeps what is so now as alerts.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"
#include "server/coordinator/core/io.h"
#include "server/coordinator/status_document.h"

namespace understudy::coordinator {

// Strand held for every call and callback; nothing is called back after Stop.
class QuotaWatch {
 public:
  static constexpr int64_t kLookMs = 5'000;
  static constexpr int64_t kTimeoutMs = 2'000;
  static constexpr uint32_t kLogsMax = 64;     // of one disk, the worst first
  static constexpr size_t kAlertsMax = 256;    // the rest is seen with `understudy logs disks`
  static constexpr size_t kDisksMax = 1024;

  struct Disk {
    DiskId disk;
    std::string node;
    std::string address;
  };
  struct Sources {
    std::function<std::vector<Disk>()> disks;
    std::function<std::string(LogId)> service_of;     // empty: of no service
    std::function<std::string(LogId)> checkpoint_of;  // how far the log can be trimmed, for people; may be empty
    std::function<void(const Event&)> event;
  };

  QuotaWatch(EventLoop* loop, std::string cluster, std::string name, Sources sources, int64_t look_ms = kLookMs);
  ~QuotaWatch() { Stop(); }

  void Start();
  void Stop();
  std::vector<Alert> alerts() const;

 private:
  using Key = std::pair<DiskId, LogId>;
  struct Over {
    std::string word;  // "slowed", "refused"
    Alert alert;
  };
  void Look();
  void LookLater();
  void Answered(const Disk& disk, const Result<LogServerStatusResponse>& response);
  LogServiceClient* Client(const std::string& address);
  void Say(const char* kind, const Disk& disk, const Over& over);

  EventLoop* const loop_;
  const std::string cluster_;
  const std::string name_;
  const Sources sources_;
  const int64_t look_ms_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);        // callbacks hold it weakly
  std::map<std::string, std::unique_ptr<LogServiceClient>> clients_;  // by address
  std::map<Key, Over> over_;
};

}  // namespace understudy::coordinator

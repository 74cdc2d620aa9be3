// Asks the disks of a log's last epoch how long ago they heard from its writer. E - A + 1 answers settle it: every
// acknowledged append was on at least one of those disks. So a log server that died together with the writer's node is
// not waited for.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "log/format/chain.h"
#include "log/rpc/clients.h"
#include "log/rpc/event_loop.h"
#include "server/coordinator/core/io.h"

namespace understudy::coordinator {

// Strand held for every call and callback. One question a service at a time; nothing is called back after Stop.
class WriterAgeProbe {
 public:
  static constexpr int64_t kTimeoutMs = 500;

  // `address_of` finds a disk's log server; empty: not known.
  WriterAgeProbe(EventLoop* loop, std::string cluster, std::string name,
                 std::function<std::string(const DiskId&)> address_of, std::function<void(const WriterAge&)> done);
  ~WriterAgeProbe() { Stop(); }

  void Ask(const std::string& service, const Chain& chain);
  void Stop();

 private:
  struct Question {
    uint64_t number = 0;
    WriterAge answer;
    size_t outstanding = 0;
  };
  LogServiceClient* Client(const std::string& address);
  // `response` null: there is none.
  void Answered(const std::string& service, uint64_t number, const ReplicaStatusResponse* response);

  EventLoop* const loop_;
  const std::string cluster_;
  const std::string name_;
  const std::function<std::string(const DiskId&)> address_of_;
  const std::function<void(const WriterAge&)> done_;
  std::shared_ptr<bool> alive_;                                       // callbacks hold it weakly
  std::map<std::string, std::unique_ptr<LogServiceClient>> clients_;  // by address
  std::map<std::string, Question> questions_;                         // by service
  uint64_t asked_ = 0;
};

}  // namespace understudy::coordinator

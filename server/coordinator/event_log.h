// The history of decisions: in memory for those who ask, in the metadata (events/<seq>) for those who ask after a
// restart, bounded in both. Written a moment later and never waited for: a move does not stand behind its own record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "log/rpc/services.h"
#include "server/coordinator/core/io.h"

namespace understudy::coordinator {

// Strand held for every call.
class EventLog : public std::enable_shared_from_this<EventLog> {
 public:
  static constexpr int64_t kWriteDelayMs = 50;
  static constexpr size_t kWaitersMax = 256;
  static constexpr uint32_t kLimitMax = 1000;
  static constexpr uint32_t kWaitMsMax = 30'000;

  // `may_write`: whether this coordinator still leads.
  EventLog(EventLoop* loop, MetadataStore* store, std::string cluster, size_t events_max,
           std::function<bool()> may_write);

  // What an earlier coordinator left, ascending. Before the first Append.
  void Restore(const std::vector<MetadataEntry>& entries);
  void Append(const Event& event, int64_t unix_ms);
  // Those after `after`, at most `limit`; none yet: as soon as there is one, or after `wait_ms`.
  void Query(uint64_t after, uint32_t limit, uint32_t wait_ms, Reply<DocumentResponse> reply);
  // Answers who waits, writes what is pending and may be written.
  void Stop();

  uint64_t last() const { return last_; }

 private:
  struct Entry {
    uint64_t seq = 0;
    uint64_t version = 0;  // 0: not (yet) in the metadata
    bool written = false;  // handed to the store
    std::string json;
  };
  struct Waiter {
    uint64_t after = 0;
    uint32_t limit = 0;
    Reply<DocumentResponse> reply;
    EventLoop::TimerId timer = 0;
  };
  DocumentResponse Document(uint64_t after, uint32_t limit) const;
  void Flush();
  void Written(uint64_t seq, uint64_t version);

  EventLoop* const loop_;
  MetadataStore* const store_;
  const std::string cluster_;
  const size_t events_max_;
  const std::function<bool()> may_write_;
  uint64_t last_ = 0;
  bool flush_armed_ = false;
  bool stopped_ = false;
  std::deque<Entry> entries_;
  std::list<Waiter> waiters_;
};

}  // namespace understudy::coordinator

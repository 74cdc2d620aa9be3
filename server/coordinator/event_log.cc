#include "server/coordinator/event_log.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace understudy::coordinator {
namespace {

using nlohmann::json;

std::string Encode(const Event& event, uint64_t seq, int64_t unix_ms) {
  json out = {{"seq", seq},         {"unix_ms", unix_ms}, {"kind", event.kind}, {"service", event.service},
              {"node", event.node}, {"text", event.text}};
  for (const auto& [name, value] : event.details) {
    std::visit([&, key = name](const auto& plain) { out[key] = plain; }, value);
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

EventLog::EventLog(EventLoop* loop, MetadataStore* store, std::string cluster, size_t events_max,
                   std::function<bool()> may_write)
    : loop_(loop),
      store_(store),
      cluster_(std::move(cluster)),
      events_max_(std::max<size_t>(events_max, 1)),
      may_write_(std::move(may_write)) {}

void EventLog::Restore(const std::vector<MetadataEntry>& entries) {
  for (const MetadataEntry& stored : entries) {
    const json event = json::parse(stored.value, nullptr, false);
    if (!event.is_object() || !event.contains("seq") || !event["seq"].is_number_unsigned()) continue;
    Entry entry;
    entry.seq = event["seq"].get<uint64_t>();
    entry.version = stored.version;
    entry.written = true;
    entry.json = stored.value;
    if (entry.seq <= last_) continue;
    last_ = entry.seq;
    entries_.push_back(std::move(entry));
  }
}

void EventLog::Append(const Event& event, int64_t unix_ms) {
  Entry entry;
  entry.seq = ++last_;
  entry.json = Encode(event, entry.seq, unix_ms);
  entries_.push_back(std::move(entry));
  if (!flush_armed_ && !stopped_) {
    flush_armed_ = true;
    loop_->At(loop_->clock()->Now() + kWriteDelayMs * kNsPerMs, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Flush();
    });
  }
  std::list<Waiter> due;  // spliced, not copied: timers hold iterators
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    auto next = std::next(it);
    if (last_ > it->after) due.splice(due.end(), waiters_, it);
    it = next;
  }
  for (Waiter& waiter : due) {
    loop_->Cancel(waiter.timer);
    waiter.reply(Document(waiter.after, waiter.limit));
  }
}

void EventLog::Flush() {
  flush_armed_ = false;
  if (!may_write_()) return;  // another leads, and numbers its own events
  for (Entry& entry : entries_) {
    if (entry.written) continue;
    entry.written = true;
    store_->CompareAndSwap(EventKey(cluster_, entry.seq), 0, entry.json,
                           [weak = weak_from_this(), loop = loop_, seq = entry.seq](Result<uint64_t> result) {
                             if (!result.ok()) return;  // history is not worth holding anything up
                             loop->Post([weak, seq, version = *result] {
                               if (auto self = weak.lock()) self->Written(seq, version);
                             });
                           });
  }
  while (entries_.size() > events_max_) {
    const Entry& oldest = entries_.front();
    if (oldest.version != 0) {
      store_->CompareAndDelete(EventKey(cluster_, oldest.seq), oldest.version, [](Result<uint64_t>) {});
    }
    entries_.pop_front();
  }
}

void EventLog::Written(uint64_t seq, uint64_t version) {
  for (auto it = entries_.rbegin(); it != entries_.rend() && it->seq >= seq; ++it) {
    if (it->seq == seq) it->version = version;
  }
  if (!entries_.empty() && entries_.front().seq > seq) {  // pushed out before its write was answered
    store_->CompareAndDelete(EventKey(cluster_, seq), version, [](Result<uint64_t>) {});
  }
}

DocumentResponse EventLog::Document(uint64_t after, uint32_t limit) const {
  DocumentResponse response;
  std::string& out = response.document;
  out = "{\"events\":[";
  auto it = std::upper_bound(entries_.begin(), entries_.end(), after,
                             [](uint64_t seq, const Entry& entry) { return seq < entry.seq; });
  uint64_t last = after;
  for (uint32_t count = 0; it != entries_.end() && count < limit; ++it, ++count) {
    if (count > 0) out += ',';
    out += it->json;
    last = it->seq;
  }
  out += "],\"last\":" + std::to_string(last) + "}";
  return response;
}

void EventLog::Query(uint64_t after, uint32_t limit, uint32_t wait_ms, Reply<DocumentResponse> reply) {
  limit = limit == 0 ? kLimitMax : std::min(limit, kLimitMax);
  if (last_ > after || wait_ms == 0 || stopped_ || waiters_.size() >= kWaitersMax) {
    reply(Document(after, limit));
    return;
  }
  waiters_.push_back({after, limit, std::move(reply), 0});
  auto it = std::prev(waiters_.end());
  const int64_t wait_ns = int64_t{std::min(wait_ms, kWaitMsMax)} * kNsPerMs;
  // A list's iterators stay good while others come and go; the timer is cancelled before its waiter goes.
  it->timer = loop_->At(loop_->clock()->Now() + wait_ns, [weak = weak_from_this(), it] {
    auto self = weak.lock();
    if (self == nullptr) return;
    Waiter waiter = std::move(*it);
    self->waiters_.erase(it);
    waiter.reply(self->Document(waiter.after, waiter.limit));
  });
}

void EventLog::Stop() {
  if (stopped_) return;
  stopped_ = true;
  Flush();
  std::list<Waiter> due;
  due.swap(waiters_);
  for (Waiter& waiter : due) {
    loop_->Cancel(waiter.timer);
    waiter.reply(Document(waiter.after, waiter.limit));
  }
}

}  // namespace understudy::coordinator

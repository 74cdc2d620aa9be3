#include "log/metadata/etcd/etcd_watch.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "log/env/logging.h"

namespace understudy::etcd {
namespace {

constexpr int64_t kPauseMsMin = 50;
constexpr int64_t kPauseMsMax = 1000;
constexpr int64_t kAbortEveryMs = 20;

}  // namespace

EtcdWatch::EtcdWatch(Clock* clock, Endpoints* endpoints, const ClientOptions& client, const WatchOptions& options,
                     std::string prefix, uint64_t known_revision, MetadataStore::WatchCallback changed)
    : clock_(clock),
      endpoints_(endpoints),
      options_(options),
      prefix_(std::move(prefix)),
      changed_(std::move(changed)),
      client_(clock, endpoints, client, &stopping_),
      next_(known_revision == 0 ? 0 : known_revision + 1),
      thread_([this] { Run(); }) {}

EtcdWatch::~EtcdWatch() {
  Stop();
  std::unique_lock lock(mutex_);
  // A request that began between Stop's two lines is not ended by its Abort; so again, until it has.
  while (!stop_changed_.wait_for(lock, std::chrono::milliseconds(kAbortEveryMs), [this] { return finished(); })) {
    client_.Abort();
  }
  lock.unlock();
  thread_.join();
}

void EtcdWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_changed_.notify_all();
  }
  client_.Abort();
}

void EtcdWatch::Pause(int64_t ms) {
  std::unique_lock lock(mutex_);
  stop_changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stopping_.load(); });
}

void EtcdWatch::Run() {
  BlockSigpipe();
  int64_t pause_ms = kPauseMsMin;
  bool said = false;
  while (!stopping_) {
    const Instant began = clock_->Now();
    streamed_ = false;
    const Status ended = Follow();
    if (stopping_) break;
    if (streamed_) {
      if (said) LogInfo("etcd", "the watch of " + prefix_ + " goes on");
      said = false;
      pause_ms = kPauseMsMin;
    }
    const bool silent = ended.ok();  // it was only idle
    if (!silent && !said && !streamed_) {
      LogWarning("etcd", "the watch of " + prefix_ + " waits: " + ended.ToString());
      said = true;
    }
    // A stream that lasted is taken up at once; one that ends as soon as it begins is not a reason to spin.
    if (streamed_ && clock_->Now() - began > kPauseMsMax * kNsPerMs) continue;
    Pause(pause_ms);
    pause_ms = std::min(pause_ms * 2, kPauseMsMax);
  }
  const std::lock_guard lock(mutex_);
  finished_ = true;
  stop_changed_.notify_all();
}

Status EtcdWatch::Follow() {
  // Linearizable: this member is with the majority, and no answer before now came from a later state than this, unless
  // the store was rolled back.
  RangeQuery look;
  look.key = prefix_;
  look.prefix = true;
  look.count_only = true;
  const Result<RangeReply> now = client_.Range(look, clock_->Now() + options_.timeout_ms * kNsPerMs);
  if (!now.ok()) return now.status();
  if (next_ > now->revision + 1) {
    LogError("etcd", "the metadata are at revision " + std::to_string(now->revision) + ", and revision " +
                         std::to_string(next_ - 1) +
                         " was seen before: they were restored from an old copy. See docs/operations.md");
    resync_ = true;
  }
  if (!begun_) UNDERSTUDY_RETURN_IF_ERROR(Begin());
  if (resync_) UNDERSTUDY_RETURN_IF_ERROR(Resync());

  const size_t endpoint = endpoints_->current();
  endpoint_ = endpoint;
  std::string buffer;
  Status broken;
  const HttpReply ended = client_.connection()->Stream(
      endpoint, kWatchPath, EncodeWatch(prefix_, next_), options_.idle_ms, [&](std::string_view bytes) {
        buffer += bytes;
        size_t from = 0;
        for (size_t end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n', from)) {
          if (end > from) broken = OnLine(std::string_view(buffer).substr(from, end - from));
          if (!broken.ok() || resync_ || stopping_) return false;
          from = end + 1;
        }
        buffer.erase(0, from);
        if (buffer.size() > options_.line_bytes_max) {
          broken = Status(StatusCode::kResourceExhausted, "a line of the watch is above its bound");
        }
        return broken.ok();
      });
  if (!broken.ok()) {
    if (!stopping_) endpoints_->Failed(endpoint, broken.message());
    return broken;
  }
  if (streamed_ || stopping_) return Status::Ok();
  endpoints_->Failed(endpoint, ended.error.empty() ? "no watch begins" : ended.error);
  return {StatusCode::kUnavailable, ended.error};
}

Status EtcdWatch::Begin() {
  if (next_ == 0) {
    UNDERSTUDY_RETURN_IF_ERROR(Resync());
    begun_ = true;
    return Status::Ok();
  }
  if (resync_) {  // rolled back already: what was there is not to be had
    begun_ = true;
    return Status::Ok();
  }
  RangeQuery query;
  query.key = prefix_;
  query.prefix = true;
  query.keys_only = true;
  query.revision = next_ - 1;
  query.limit = options_.keys_max;
  const Result<RangeReply> at_first = client_.RangeAll(query, options_.timeout_ms);
  if (!at_first.ok() && at_first.status().code() != StatusCode::kTrimmed) return at_first.status();
  if (at_first.ok()) {
    for (const MetadataEntry& entry : at_first->entries) known_[entry.key] = entry.version;
  } else {
    LogWarning("etcd", "the watch of " + prefix_ + " begins after a compaction: keys deleted before are not told");
    resync_ = true;
  }
  begun_ = true;
  return Status::Ok();
}

Status EtcdWatch::Resync() {
  RangeQuery query;
  query.key = prefix_;
  query.prefix = true;
  query.limit = options_.keys_max;
  Result<RangeReply> listed = client_.RangeAll(query, options_.timeout_ms);
  if (!listed.ok()) return listed.status();
  std::vector<MetadataEntry>& entries = listed.value().entries;
  const bool rolled_back = next_ > listed->revision + 1;
  std::map<std::string, uint64_t> gone = std::exchange(known_, {});
  std::vector<const MetadataEntry*> changes;
  for (const MetadataEntry& entry : entries) {
    known_[entry.key] = entry.version;
    const auto old = gone.find(entry.key);
    const bool same = old != gone.end() && old->second == entry.version;
    const bool told = old == gone.end() && entry.version < next_ && !rolled_back;  // before the watch began
    if (old != gone.end()) gone.erase(old);
    if (!same && !told) changes.push_back(&entry);
  }
  std::sort(changes.begin(), changes.end(), [](const auto* a, const auto* b) { return a->version < b->version; });
  for (const MetadataEntry* entry : changes) {
    if (!stopping_) changed_(*entry);
  }
  for (const auto& [key, version] : gone) {
    if (!stopping_) changed_({key, "", listed->revision});
  }
  next_ = listed->revision + 1;
  resync_ = false;
  return Status::Ok();
}

Status EtcdWatch::OnLine(std::string_view line) {
  const Result<WatchReply> reply = DecodeWatch(line);
  if (!reply.ok()) return reply.status();
  if (reply->canceled) {
    if (reply->compact_revision != 0) {
      resync_ = true;
      return Status::Ok();
    }
    return {StatusCode::kUnavailable, "etcd ended the watch: " + reply->cancel_reason};
  }
  if (reply->created) {
    streamed_ = true;
    endpoints_->Answered(endpoint_);
    return Status::Ok();
  }
  for (const WatchEvent& event : reply->events) {
    if (stopping_) return Status::Ok();
    if (event.entry.version >= next_) Tell(event.entry, event.deleted);
  }
  if (!reply->events.empty()) {
    const uint64_t last = reply->events.back().entry.version;
    next_ = std::max(next_, reply->fragment ? last : last + 1);
  } else if (!reply->fragment) {
    next_ = std::max(next_, reply->revision + 1);  // a notice of progress: nothing below is left to tell
  }
  return Status::Ok();
}

void EtcdWatch::Tell(const MetadataEntry& entry, bool deleted) {
  const auto at = known_.find(entry.key);
  if (deleted) {
    if (at == known_.end()) return;  // told already: the stream broke within one revision
    known_.erase(at);
    changed_({entry.key, "", entry.version});
    return;
  }
  if (at != known_.end() && at->second >= entry.version) return;
  known_[entry.key] = entry.version;
  changed_(entry);
}

}  // namespace understudy::etcd

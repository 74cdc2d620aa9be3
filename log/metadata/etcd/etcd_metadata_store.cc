#include "log/metadata/etcd/etcd_metadata_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "log/env/logging.h"
#include "log/metadata/etcd/call_queue.h"
#include "log/metadata/etcd/etcd_client.h"
#include "log/metadata/etcd/etcd_watch.h"

namespace understudy {
namespace {

using namespace etcd;  // NOLINT: its own internals

constexpr int64_t kAbortEveryMs = 20;

class EtcdMetadataStore final : public MetadataStore {
 public:
  EtcdMetadataStore(Clock* clock, const EtcdMetadataOptions& options)
      : clock_(clock), options_(options), endpoints_(options.endpoints), queue_(options.queue_max) {
    for (size_t i = 0; i < options.workers; ++i) {
      clients_.push_back(std::make_unique<EtcdClient>(clock, &endpoints_, client_options(), &stopping_));
    }
    for (const auto& client : clients_) threads_.emplace_back([this, client = client.get()] { Work(client); });
  }

  ~EtcdMetadataStore() override;

  void Get(const std::string& key, GetCallback done) override {
    Submit({.kind = Call::Kind::kGet, .key = key, .got = std::move(done)});
  }
  void List(const std::string& prefix, size_t limit, ListCallback done) override {
    Submit({.kind = Call::Kind::kList, .key = prefix, .limit = limit, .listed = std::move(done)});
  }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override {
    Submit({.kind = Call::Kind::kSwap,
            .key = key,
            .expected = expected,
            .value = std::move(value),
            .swapped = std::move(done)});
  }
  void CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) override {
    Submit({.kind = Call::Kind::kDelete, .key = key, .expected = expected, .swapped = std::move(done)});
  }
  uint64_t Watch(const std::string& prefix, WatchCallback changed) override;
  void Unwatch(uint64_t id) override;

 private:
  ClientOptions client_options() const {
    ClientOptions client;
    client.connect_timeout_ms = options_.connect_timeout_ms;
    client.attempt_timeout_ms = options_.attempt_timeout_ms;
    return client;
  }
  void Submit(Call call);
  void Work(EtcdClient* client);
  void ServeGet(EtcdClient* client, const Call& call);
  void ServeList(EtcdClient* client, const Call& call);
  void ServeChange(EtcdClient* client, const Call& call);
  void Saw(uint64_t revision) {
    uint64_t known = revision_.load();
    while (known < revision && !revision_.compare_exchange_weak(known, revision)) {
    }
  }

  Clock* const clock_;
  const EtcdMetadataOptions options_;
  Endpoints endpoints_;
  CallQueue queue_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> revision_{0};  // the highest the store was seen at
  std::vector<std::unique_ptr<EtcdClient>> clients_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  std::condition_variable worker_ended_;
  size_t workers_ended_ = 0;
  std::map<uint64_t, std::unique_ptr<EtcdWatch>> watches_;
  std::vector<std::unique_ptr<EtcdWatch>> ending_;  // unwatched, their threads on the way out
  uint64_t next_watch_ = 1;
};

EtcdMetadataStore::~EtcdMetadataStore() {
  stopping_ = true;
  const std::vector<Call> left = queue_.Close();
  for (const Call& call : left) call.Fail({StatusCode::kCancelled, "the metadata store is closing"});
  {
    std::unique_lock lock(mutex_);
    // A request that began as stopping_ was set is not ended by an Abort before it; so again, until all have ended.
    do {
      for (const auto& client : clients_) client->Abort();
    } while (!worker_ended_.wait_for(lock, std::chrono::milliseconds(kAbortEveryMs),
                                     [this] { return workers_ended_ == threads_.size(); }));
  }
  for (std::thread& thread : threads_) thread.join();
  for (const auto& [id, watch] : watches_) watch->Stop();  // all of them, before the first is waited for
  watches_.clear();
  ending_.clear();
}

void EtcdMetadataStore::Submit(Call call) {
  if (call.key.size() > kMetadataKeyBytesMax || (call.key.empty() && call.kind != Call::Kind::kList) ||
      call.value.size() > kMetadataValueBytesMax) {
    return call.Fail({StatusCode::kInvalidArgument, "key or value empty or too long: " + call.key.substr(0, 100)});
  }
  call.deadline = clock_->Now() + options_.call_timeout_ms * kNsPerMs;
  const Status pushed = queue_.Push(std::move(call));
  if (!pushed.ok()) call.Fail(pushed);  // NOLINT(bugprone-use-after-move): it was not taken
}

void EtcdMetadataStore::Work(EtcdClient* client) {
  BlockSigpipe();
  while (Call* call = queue_.Next()) {
    switch (call->kind) {
      case Call::Kind::kGet:
        ServeGet(client, *call);
        break;
      case Call::Kind::kList:
        ServeList(client, *call);
        break;
      case Call::Kind::kSwap:
      case Call::Kind::kDelete:
        ServeChange(client, *call);
        break;
    }
    queue_.Done(call);
  }
  const std::lock_guard lock(mutex_);
  ++workers_ended_;
  worker_ended_.notify_all();
}

void EtcdMetadataStore::ServeGet(EtcdClient* client, const Call& call) {
  RangeQuery query;
  query.key = call.key;
  Result<RangeReply> range = client->Range(query, call.deadline);
  if (!range.ok()) return call.got(range.status());
  Saw(range->revision);
  std::optional<MetadataEntry> found;
  if (!range->entries.empty()) found = std::move(range.value().entries.front());
  call.got(std::move(found));
}

void EtcdMetadataStore::ServeList(EtcdClient* client, const Call& call) {
  if (call.limit == 0) return call.listed(std::vector<MetadataEntry>());
  if (clock_->Now() > call.deadline) return call.listed(Status(StatusCode::kUnavailable, "etcd: not asked in time"));
  RangeQuery query;
  query.key = call.key;
  query.prefix = true;
  query.limit = call.limit;
  Result<RangeReply> range = client->RangeAll(query, options_.call_timeout_ms);
  // Compacted between two pages: once more. Twice would mean a List that takes longer than the history is kept.
  if (range.status().code() == StatusCode::kTrimmed) range = client->RangeAll(query, options_.call_timeout_ms);
  if (!range.ok()) return call.listed(range.status());
  Saw(range->revision);
  call.listed(std::move(range.value().entries));
}

void EtcdMetadataStore::ServeChange(EtcdClient* client, const Call& call) {
  const bool removes = call.kind == Call::Kind::kDelete;
  const std::string body =
      removes ? EncodeDelete(call.key, call.expected) : EncodeSwap(call.key, call.expected, call.value);
  const Result<TxnReply> txn = client->Txn(call.key, call.expected, body, call.deadline);
  if (!txn.ok()) return call.swapped(txn.status());
  Saw(txn->revision);
  if (!txn->succeeded) {
    return call.swapped(Status(StatusCode::kConflict, call.key + " is at version " + std::to_string(txn->found) +
                                                          ", not " + std::to_string(call.expected)));
  }
  if (removes && txn->deleted == 0) return call.swapped(Status(StatusCode::kNotFound, call.key));
  call.swapped(txn->revision);
}

uint64_t EtcdMetadataStore::Watch(const std::string& prefix, WatchCallback changed) {
  const std::lock_guard lock(mutex_);
  std::erase_if(ending_, [](const auto& watch) { return watch->finished(); });
  const uint64_t id = next_watch_++;
  if (watches_.size() + ending_.size() >= options_.watches_max) {
    LogError("etcd", "too many watches: " + prefix + " is not watched");
    return id;
  }
  WatchOptions watch;
  watch.idle_ms = options_.watch_idle_ms;
  watch.timeout_ms = options_.call_timeout_ms;
  watches_[id] = std::make_unique<EtcdWatch>(clock_, &endpoints_, client_options(), watch, prefix, revision_.load(),
                                             std::move(changed));
  return id;
}

void EtcdMetadataStore::Unwatch(uint64_t id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(ending_, [](const auto& watch) { return watch->finished(); });
  const auto at = watches_.find(id);
  if (at == watches_.end()) return;
  at->second->Stop();
  ending_.push_back(std::move(at->second));
  watches_.erase(at);
}

}  // namespace

Result<std::unique_ptr<MetadataStore>> OpenEtcdMetadataStore(Clock* clock, const EtcdMetadataOptions& options) {
  if (options.endpoints.empty()) return Status(StatusCode::kInvalidArgument, "etcd: no endpoints");
  for (const std::string& endpoint : options.endpoints) UNDERSTUDY_RETURN_IF_ERROR(etcd::CheckEndpoint(endpoint));
  return std::unique_ptr<MetadataStore>(std::make_unique<EtcdMetadataStore>(clock, options));
}

}  // namespace understudy

#include "client/rpc/cluster.h"

#include <algorithm>

#include "log/format/disk_entry.h"
#include "understudy/check.h"

namespace understudy {
namespace {

constexpr int64_t kMetadataConnectTimeoutMs = 500;

bool AnotherMayAnswer(StatusCode code, bool changes) {
  if (code == StatusCode::kUnavailable) return true;
  return !changes && (code == StatusCode::kOutcomeUnknown || code == StatusCode::kDeadlineExceeded);
}

Result<std::string> ParseDiskAddress(const DiskId& disk, const std::optional<MetadataEntry>& entry) {
  if (!entry) return Status(StatusCode::kNotFound, "disk " + ToHex(disk) + " is not registered");
  const Result<DiskEntry> parsed = DecodeDiskEntry(entry->value);
  if (!parsed.ok()) return parsed.status().WithContext(entry->key);
  return parsed->address;
}

RpcClientOptions ClientOptions(const ClusterOptions& options) {
  RpcClientOptions client;
  client.cluster = options.cluster;
  client.role = "application";
  client.name = options.name;
  return client;
}

}  // namespace

Cluster::Cluster(EventLoop* loop, ClusterOptions options) : loop_(loop), options_(std::move(options)) {
  UseCoordinators(options_.coordinators);
}

void Cluster::UseCoordinators(const std::vector<std::string>& coordinators) {
  UNDERSTUDY_CHECK(!coordinators.empty());
  std::vector<MetadataServiceClient*> next;
  for (const std::string& address : coordinators) {
    std::unique_ptr<MetadataServiceClient>& client = metadata_clients_[address];
    if (!client) {
      RpcClientOptions client_options = ClientOptions(options_);
      client_options.connect_timeout_ms = kMetadataConnectTimeoutMs;
      client = MetadataServiceClient::Create(loop_, std::move(client_options), address);
    }
    next.push_back(client.get());
  }
  if (next == coordinators_) return;
  coordinators_ = std::move(next);
  preferred_ = 0;
}

Cluster::~Cluster() { alive_.reset(); }

// One call, asked of one coordinator after the other until the first answer.
template <class Value>
struct Cluster::Race {
  std::function<void(MetadataServiceClient*, std::function<void(Result<Value>)>)> ask;
  std::function<void(Result<Value>)> done;  // empty: it has been called
  bool changes = false;
  std::vector<MetadataServiceClient*> left;  // in order
  size_t outstanding = 0;
  EventLoop::TimerId timer = 0;
};

template <class Value>
void Cluster::Start(std::function<void(MetadataServiceClient*, std::function<void(Result<Value>)>)> ask,
                    std::function<void(Result<Value>)> done, bool changes) {
  if (closed_) return done(Status(StatusCode::kCancelled, "closed"));
  auto race = std::make_shared<Race<Value>>();
  race->ask = std::move(ask);
  race->done = std::move(done);
  race->changes = changes;
  race->left.assign(coordinators_.begin() + static_cast<int64_t>(preferred_), coordinators_.end());
  race->left.insert(race->left.end(), coordinators_.begin(), coordinators_.begin() + static_cast<int64_t>(preferred_));
  AskNext(race);
}

template <class Value>
void Cluster::AskNext(const std::shared_ptr<Race<Value>>& race) {
  MetadataServiceClient* const client = race->left.front();
  race->left.erase(race->left.begin());
  ++race->outstanding;
  if (!race->changes && !race->left.empty()) {
    race->timer = loop_->At(loop_->clock()->Now() + kHedgeMs * kNsPerMs, [this, alive = std::weak_ptr(alive_), race] {
      race->timer = 0;
      if (!alive.expired() && !closed_ && race->done && !race->left.empty()) AskNext(race);
    });
  }
  race->ask(client, [this, race, client](Result<Value> result) { Answered(race, client, std::move(result)); });
}

template <class Value>
void Cluster::Answered(const std::shared_ptr<Race<Value>>& race, MetadataServiceClient* client, Result<Value> result) {
  --race->outstanding;
  if (!race->done) return;
  const bool next = !result.ok() && AnotherMayAnswer(result.status().code(), race->changes);
  const auto here = std::find(coordinators_.begin(), coordinators_.end(), client);
  if (here != coordinators_.end()) {
    const auto index = static_cast<size_t>(here - coordinators_.begin());
    if (result.ok() || !AnotherMayAnswer(result.status().code(), false)) {
      preferred_ = index;
    } else if (preferred_ == index) {
      preferred_ = (index + 1) % coordinators_.size();
    }
  }
  loop_->Cancel(race->timer);
  race->timer = 0;
  if (next && !race->left.empty() && !closed_) return AskNext(race);
  if (next && race->outstanding > 0) return;  // another may bring better news
  std::exchange(race->done, nullptr)(std::move(result));
}

void Cluster::Get(const std::string& key, MetadataStore::GetCallback done) {
  Start<std::optional<MetadataEntry>>(
      [this, key](MetadataServiceClient* client, MetadataStore::GetCallback answer) {
        client->Get(key, options_.rpc_timeout_ms, std::move(answer));
      },
      std::move(done), /*changes=*/false);
}

void Cluster::List(const std::string& prefix, size_t limit, MetadataStore::ListCallback done) {
  Start<std::vector<MetadataEntry>>(
      [this, prefix, limit](MetadataServiceClient* client, MetadataStore::ListCallback answer) {
        client->List(prefix, limit, options_.rpc_timeout_ms, std::move(answer));
      },
      std::move(done), /*changes=*/false);
}

void Cluster::CompareAndSwap(const std::string& key, uint64_t expected, const std::string& value,
                             MetadataStore::CasCallback done) {
  Start<uint64_t>(
      [this, key, expected, value](MetadataServiceClient* client, MetadataStore::CasCallback answer) {
        client->CompareAndSwap(key, expected, value, options_.rpc_timeout_ms, std::move(answer));
      },
      std::move(done), /*changes=*/true);
}

void Cluster::AddressOf(const DiskId& disk, AddressCallback done) {
  if (closed_) return done(Status(StatusCode::kCancelled, "closed"));
  const auto known = addresses_.find(disk);
  if (known != addresses_.end()) return done(known->second);
  std::vector<AddressCallback>& waiting = resolving_[disk];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  Get(DiskKey(options_.cluster, ToHex(disk)), [this, disk](Result<std::optional<MetadataEntry>> entry) {
    const Result<std::string> address =
        entry.ok() ? ParseDiskAddress(disk, *entry) : Result<std::string>(entry.status());
    if (address.ok()) addresses_[disk] = *address;
    const auto waiters = resolving_.extract(disk);
    for (const AddressCallback& waiter : waiters.mapped()) waiter(address);
  });
}

void Cluster::Learn(const DiskId& disk, const std::string& address) { addresses_[disk] = address; }

void Cluster::Forget(const DiskId& disk) { addresses_.erase(disk); }

LogServiceClient* Cluster::LogServer(const std::string& address, Traffic traffic) {
  std::unique_ptr<LogServiceClient>& client = log_servers_[{address, traffic}];
  if (!client) client = LogServiceClient::Create(loop_, ClientOptions(options_), address);
  return client.get();
}

void Cluster::Close() {
  closed_ = true;
  for (const auto& [address, client] : metadata_clients_) client->Close();
  for (const auto& [key, client] : log_servers_) client->Close();
}

}  // namespace understudy

#include "client/rpc/cluster.h"

#include <algorithm>

#include "log/format/disk_entry.h"
#include "understudy/check.h"

namespace understudy {
namespace {

bool AnotherMayAnswer(StatusCode code, bool only_if_unsent) {
  if (code == StatusCode::kUnavailable) return true;
  return !only_if_unsent && (code == StatusCode::kOutcomeUnknown || code == StatusCode::kDeadlineExceeded);
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
    if (!client) client = MetadataServiceClient::Create(loop_, ClientOptions(options_), address);
    next.push_back(client.get());
  }
  if (next == coordinators_) return;
  coordinators_ = std::move(next);
  preferred_ = 0;
}

Cluster::~Cluster() = default;

// `ask` starts one try: ask(client, callback).
template <class Value, class Ask>
void Cluster::TryCoordinators(Ask ask, std::function<void(Result<Value>)> done, size_t tries_left,
                              bool only_if_unsent) {
  if (closed_) return done(Status(StatusCode::kCancelled, "closed"));
  const size_t index = preferred_;
  ask(coordinators_[index],
      [this, ask, done = std::move(done), tries_left, only_if_unsent, index](Result<Value> result) {
        const bool next = !result.ok() && AnotherMayAnswer(result.status().code(), only_if_unsent);
        if (next && preferred_ == index && index < coordinators_.size())
          preferred_ = (index + 1) % coordinators_.size();
        if (next && tries_left > 1) {
          TryCoordinators<Value>(ask, done, tries_left - 1, only_if_unsent);
        } else {
          done(std::move(result));
        }
      });
}

void Cluster::Get(const std::string& key, MetadataStore::GetCallback done) {
  TryCoordinators<std::optional<MetadataEntry>>(
      [this, key](MetadataServiceClient* client, MetadataStore::GetCallback answer) {
        client->Get(key, options_.rpc_timeout_ms, std::move(answer));
      },
      std::move(done), coordinators_.size(), /*only_if_unsent=*/false);
}

void Cluster::List(const std::string& prefix, size_t limit, MetadataStore::ListCallback done) {
  TryCoordinators<std::vector<MetadataEntry>>(
      [this, prefix, limit](MetadataServiceClient* client, MetadataStore::ListCallback answer) {
        client->List(prefix, limit, options_.rpc_timeout_ms, std::move(answer));
      },
      std::move(done), coordinators_.size(), /*only_if_unsent=*/false);
}

void Cluster::CompareAndSwap(const std::string& key, uint64_t expected, const std::string& value,
                             MetadataStore::CasCallback done) {
  TryCoordinators<uint64_t>(
      [this, key, expected, value](MetadataServiceClient* client, MetadataStore::CasCallback answer) {
        client->CompareAndSwap(key, expected, value, options_.rpc_timeout_ms, std::move(answer));
      },
      std::move(done), coordinators_.size(), /*only_if_unsent=*/true);
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

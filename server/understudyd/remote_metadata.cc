#include "server/understudyd/remote_metadata.h"

#include <utility>

#include "understudy/check.h"

namespace understudy {
namespace {

constexpr int64_t kTimeoutMs = 5000;

bool IsTransport(StatusCode code) {
  return code == StatusCode::kUnavailable || code == StatusCode::kOutcomeUnknown ||
         code == StatusCode::kDeadlineExceeded;
}

}  // namespace

struct RemoteMetadata::State : std::enable_shared_from_this<State> {
  EventLoop* loop = nullptr;
  std::vector<std::unique_ptr<MetadataServiceClient>> clients;  // empty: the owner is gone
  size_t current = 0;

  // Runs `call` on the loop with the client to use and a callback that notices a coordinator that cannot be reached.
  template <class Value, class Call>
  void Send(std::function<void(Result<Value>)> done, Call call) {
    loop->Post([self = this->shared_from_this(), done = std::move(done), call = std::move(call)] {
      if (self->clients.empty()) return done(Status(StatusCode::kCancelled, "shutting down"));
      const size_t used = self->current;
      call(self->clients[used].get(), [self, used, done](Result<Value> answer) {
        if (!answer.ok() && IsTransport(answer.status().code()) && self->current == used && !self->clients.empty()) {
          self->current = (used + 1) % self->clients.size();
        }
        done(std::move(answer));
      });
    });
  }
};

RemoteMetadata::RemoteMetadata(EventLoop* loop, const std::string& cluster, const std::string& role,
                               const std::string& name, const std::vector<std::string>& coordinators)
    : state_(std::make_shared<State>()) {
  state_->loop = loop;
  RpcClientOptions options;
  options.cluster = cluster;
  options.role = role;
  options.name = name;
  for (const std::string& address : coordinators) {
    state_->clients.push_back(MetadataServiceClient::Create(loop, options, address));
  }
}

RemoteMetadata::~RemoteMetadata() {
  const auto clients = std::exchange(state_->clients, {});
  for (const auto& client : clients) client->Close();
}

void RemoteMetadata::Get(const std::string& key, GetCallback done) {
  state_->Send<std::optional<MetadataEntry>>(
      std::move(done), [key](auto* client, auto answered) { client->Get(key, kTimeoutMs, answered); });
}

void RemoteMetadata::List(const std::string& prefix, size_t limit, ListCallback done) {
  state_->Send<std::vector<MetadataEntry>>(std::move(done), [prefix, limit](auto* client, auto answered) {
    client->List(prefix, limit, kTimeoutMs, answered);
  });
}

void RemoteMetadata::CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) {
  state_->Send<uint64_t>(std::move(done), [key, expected, value = std::move(value)](auto* client, auto answered) {
    client->CompareAndSwap(key, expected, value, kTimeoutMs, answered);
  });
}

void RemoteMetadata::CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) {
  state_->Send<uint64_t>(std::move(done), [key, expected](auto* client, auto answered) {
    client->CompareAndDelete(key, expected, kTimeoutMs, answered);
  });
}

uint64_t RemoteMetadata::Watch(const std::string&, WatchCallback) {
  UNDERSTUDY_CHECK(!"watches are not carried over the wire");
  return 0;
}

void RemoteMetadata::Unwatch(uint64_t) {}

}  // namespace understudy

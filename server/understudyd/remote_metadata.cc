#include "server/understudyd/remote_metadata.h"

#include <utility>

#include "understudy/check.h"

namespace understudy {
namespace {

constexpr int64_t kTimeoutMs = 5000;
constexpr int64_t kConnectTimeoutMs = 500;  // hello included: a coordinator that hangs does not say it
constexpr int64_t kHedgeMs = 500;           // a question not answered for so long is put to the next one, too

// Whether another coordinator may be asked the same: a question always, a change only when it was never sent.
bool AnotherMayAnswer(StatusCode code, bool changes) {
  if (code == StatusCode::kUnavailable) return true;
  return !changes && (code == StatusCode::kOutcomeUnknown || code == StatusCode::kDeadlineExceeded);
}

}  // namespace

struct RemoteMetadata::State : std::enable_shared_from_this<State> {
  // One call, put to one coordinator after the other until the first answer.
  template <class Value>
  struct Race {
    std::function<void(MetadataServiceClient*, std::function<void(Result<Value>)>)> call;
    std::function<void(Result<Value>)> done;  // empty: it has been called
    bool changes = false;
    size_t next = 0;  // index of the coordinator to ask next
    size_t left = 0;  // coordinators not asked yet
    size_t outstanding = 0;
    EventLoop::TimerId timer = 0;
  };

  // Runs `call` on the loop with the client to use and a callback for its answer.
  template <class Value, class Call>
  void Send(bool changes, std::function<void(Result<Value>)> done, Call call) {
    loop->Post([self = this->shared_from_this(), changes, done = std::move(done), call = std::move(call)] {
      if (self->clients.empty()) return done(Status(StatusCode::kCancelled, "shutting down"));
      const auto race = std::make_shared<Race<Value>>();
      race->call = call;
      race->done = done;
      race->changes = changes;
      race->next = self->current;
      race->left = self->clients.size();
      self->AskNext(race);
    });
  }

  template <class Value>
  void AskNext(const std::shared_ptr<Race<Value>>& race) {
    const size_t asked = race->next;
    race->next = (race->next + 1) % clients.size();
    --race->left;
    ++race->outstanding;
    if (!race->changes && race->left > 0) {
      race->timer =
          loop->At(loop->clock()->Now() + kHedgeMs * kNsPerMs, [self = this->shared_from_this(), race, asked] {
            race->timer = 0;
            if (self->clients.empty() || !race->done) return;
            self->Avoid(asked);
            self->AskNext(race);
          });
    }
    race->call(clients[asked].get(), [self = this->shared_from_this(), race, asked](Result<Value> answer) {
      self->Answered(race, asked, std::move(answer));
    });
  }

  template <class Value>
  void Answered(const std::shared_ptr<Race<Value>>& race, size_t asked, Result<Value> answer) {
    --race->outstanding;
    const StatusCode code = answer.status().code();
    if (!answer.ok() && AnotherMayAnswer(code, false)) Avoid(asked);
    if (!race->done) return;
    loop->Cancel(std::exchange(race->timer, 0));
    const bool again = !answer.ok() && AnotherMayAnswer(code, race->changes) && !clients.empty();
    if (again && race->left > 0) return AskNext(race);
    if (again && race->outstanding > 0) return;  // another may bring better news
    if (answer.ok() && !clients.empty()) current = asked;
    std::exchange(race->done, nullptr)(std::move(answer));
  }

  void Avoid(size_t asked) {
    if (!clients.empty() && current == asked) current = (asked + 1) % clients.size();
  }

  EventLoop* loop = nullptr;
  std::vector<std::unique_ptr<MetadataServiceClient>> clients;  // empty: the owner is gone
  size_t current = 0;
};

RemoteMetadata::RemoteMetadata(EventLoop* loop, const std::string& cluster, const std::string& role,
                               const std::string& name, const std::vector<std::string>& coordinators)
    : state_(std::make_shared<State>()) {
  state_->loop = loop;
  RpcClientOptions options;
  options.cluster = cluster;
  options.role = role;
  options.name = name;
  options.connect_timeout_ms = kConnectTimeoutMs;
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
      false, std::move(done), [key](auto* client, auto answered) { client->Get(key, kTimeoutMs, answered); });
}

void RemoteMetadata::List(const std::string& prefix, size_t limit, ListCallback done) {
  state_->Send<std::vector<MetadataEntry>>(false, std::move(done), [prefix, limit](auto* client, auto answered) {
    client->List(prefix, limit, kTimeoutMs, answered);
  });
}

void RemoteMetadata::CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) {
  state_->Send<uint64_t>(true, std::move(done), [key, expected, value = std::move(value)](auto* client, auto answered) {
    client->CompareAndSwap(key, expected, value, kTimeoutMs, answered);
  });
}

void RemoteMetadata::CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) {
  state_->Send<uint64_t>(true, std::move(done), [key, expected](auto* client, auto answered) {
    client->CompareAndDelete(key, expected, kTimeoutMs, answered);
  });
}

uint64_t RemoteMetadata::Watch(const std::string&, WatchCallback) {
  UNDERSTUDY_CHECK(!"watches are not carried over the wire");
  return 0;
}

void RemoteMetadata::Unwatch(uint64_t) {}

}  // namespace understudy

#include "client/examples/resp_kv/server.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "client/examples/resp_kv/reply.h"

namespace understudy::resp_kv {

namespace {

std::string AddressText(const sockaddr* address) {
  char host[INET6_ADDRSTRLEN] = "?";
  int port = 0;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    evutil_inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    port = ntohs(v4->sin_port);
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    evutil_inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    port = ntohs(v6->sin6_port);
  }
  return std::string(host) + ":" + std::to_string(port);
}

}  // namespace

Server::Server(ServerOptions options, Executor* executor, KvStateMachine* state)
    : options_(std::move(options)), executor_(executor), state_(state), started_us_(executor->MonotonicUs()) {}

Server::~Server() {
  if (listener_ != nullptr) {
    evconnlistener_free(listener_);
  }
}

Status Server::Listen() {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const std::string where = options_.bind + ":" + std::to_string(options_.port);
  if (getaddrinfo(options_.bind.c_str(), std::to_string(options_.port).c_str(), &hints, &found) != 0) {
    return {StatusCode::kInvalidArgument, "--bind " + options_.bind + ": not an IP address"};
  }
  listener_ = evconnlistener_new_bind(
      executor_->base(),
      [](evconnlistener*, evutil_socket_t fd, sockaddr* address, int, void* self) {
        static_cast<Server*>(self)->Accept(fd, AddressText(address));
      },
      this, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 511, found->ai_addr,
      static_cast<int>(found->ai_addrlen));
  freeaddrinfo(found);
  if (listener_ == nullptr) {
    return {StatusCode::kIoError, "listening on " + where + ": " + std::strerror(errno)};
  }
  evconnlistener_set_error_cb(listener_, [](evconnlistener* listener, void* self) {
    // Out of file descriptors, most likely: accepting at once again would only spin.
    evconnlistener_disable(listener);
    auto* server = static_cast<Server*>(self);
    server->executor_->After(100, [server, listener] {
      if (!server->stopping_) {
        evconnlistener_enable(listener);
      }
    });
  });
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(evconnlistener_get_fd(listener_), reinterpret_cast<sockaddr*>(&bound), &size);
  const std::string text = AddressText(reinterpret_cast<const sockaddr*>(&bound));
  port_ = std::stoi(text.substr(text.rfind(':') + 1));
  endpoint_ = options_.announce.empty() ? text : options_.announce;

  DataServiceOptions data;
  data.endpoint = endpoint_;
  data.memory_bytes_max = options_.memory_bytes_max;
  data.linearizable_reads = options_.linearizable_reads;
  evutil_secure_rng_get_bytes(&data.random_seed, sizeof(data.random_seed));
  data.unix_ms = [this] { return executor_->UnixMs(); };
  data_ = std::make_unique<DataService>(std::move(data), executor_, state_);
  data_->SetOnProgress([this] { OnProgress(); });
  data_->SetOnStop([this] { executor_->Post([this] { Stop(); }); });
  executor_->Every(DebugFaults::kTickMs, [this] {
    faults_.Tick();
    data_->ExpireSome();
  });
  last_beat_us_ = executor_->MonotonicUs();
  executor_->Every(kBeatMs, [this] {
    const int64_t since_us = executor_->MonotonicUs() - std::exchange(last_beat_us_, executor_->MonotonicUs());
    longest_stall_us_ = std::max(longest_stall_us_, since_us - kBeatMs * 1000);
  });
  executor_->Every(1000, [this] { EverySecond(); });
  return Status::Ok();
}

DataService* Server::data() { return data_.get(); }

void Server::SetNode(Node* node) {
  node_ = node;
  data_->SetNode(node);
}

void Server::Stop() {
  if (data_->primary() || connections_.empty()) {
    executor_->Stop();
  } else if (!std::exchange(stopping_, true)) {
    evconnlistener_disable(listener_);
    executor_->After(kLingerMs, [this] { executor_->Stop(); });
  }
}

void Server::Accept(int fd, const std::string& address) {
  if (connections_.size() >= options_.clients_max) {
    constexpr std::string_view kRefusal = "-ERR max number of clients reached\r\n";
    evutil_make_socket_nonblocking(fd);
    if (send(fd, kRefusal.data(), kRefusal.size(), MSG_NOSIGNAL) < 0) {
      // It will see the close in any case.
    }
    evutil_closesocket(fd);
    return;
  }
  const uint64_t id = next_id_++;
  ConnectionHost* host = this;
  connections_.emplace(id, std::make_unique<Connection>(host, executor_->base(), fd, id, address));
}

Answer Server::Handle(Connection* connection, const std::vector<std::string_view>& args, std::string* reply) {
  Answer answer;
  const CommandSpec* spec = FindCommand(args[0]);
  if (spec == nullptr) {
    std::string text = "ERR unknown command '" + std::string(args[0].substr(0, 128)) + "', with args beginning with: ";
    for (size_t i = 1; i < args.size() && text.size() < 256; ++i) {
      text += "'" + std::string(args[i].substr(0, 128)) + "' ";
    }
    AppendError(text, reply);
    return answer;
  }
  if (!ArityFits(*spec, args.size())) {
    AppendError("ERR wrong number of arguments for '" + std::string(spec->name) + "' command", reply);
    return answer;
  }
  if (spec->handler == nullptr) {
    HandleOwn(connection, spec->name, args, reply, &answer);
  } else {
    const Execution execution = data_->Execute(*spec, args, connection->service, reply);
    answer.held = execution.held;
    answer.write = execution.write;
    answer.wait_for = execution.wait_for;
    answer.barrier = execution.barrier;
    answer.slot = execution.slot;
  }
  commands_ += answer.held ? 0 : 1;
  return answer;
}

void Server::Watch(Connection* connection) {
  if (!std::exchange(connection->watched, true)) {
    watched_.push_back(connection);
  }
}

void Server::Died(Connection* connection) {
  if (dead_.empty()) {
    executor_->Post([this] {
      const std::vector<Connection*> dead = std::exchange(dead_, {});
      for (Connection* one : dead) {
        std::erase(watched_, one);
        connections_.erase(one->id());
      }
      if (stopping_ && connections_.empty()) {
        executor_->Stop();
      }
    });
  }
  dead_.push_back(connection);
}

void Server::OnProgress() {
  for (Connection* connection : std::exchange(watched_, {})) {
    connection->watched = false;
    if (data_->lost()) {
      connection->FailWaiting(DataService::kOutcomeUnknown, DataService::kReadLost, data_->OwnerEndpoint());
    } else {
      connection->Release();
    }
    if (connection->held()) {
      connection->Resume();
    }
    if (connection->waiting() || connection->held()) {
      Watch(connection);
    }
  }
}

void Server::EverySecond() {
  commands_per_second_ = commands_ - std::exchange(commands_at_second_, commands_);
  p99_us_ = latencies_.Percentile(0.99);
  const bool idle = latencies_.total() == 0;
  latencies_.Clear();
  node_->SetGauge("keys", static_cast<double>(state_->store().keys()));
  node_->SetGauge("data_bytes", static_cast<double>(state_->store().bytes()));
  node_->SetGauge("clients", static_cast<double>(connections_.size()));
  node_->SetGauge("ops_per_second", static_cast<double>(commands_per_second_));
  node_->SetGauge("longest_stall_us", static_cast<double>(std::exchange(longest_stall_us_, 0)));
  // Without a request there is no latency: missing, not zero.
  node_->SetGauge("latency_p99_us", idle ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(p99_us_));
}

}  // namespace understudy::resp_kv

#include "log/metadata/etcd/etcd_connection.h"

#include <httplib.h>
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "log/env/logging.h"

namespace understudy::etcd {
namespace {

constexpr std::string_view kScheme = "http://";

}  // namespace

Status CheckEndpoint(const std::string& endpoint) {
  const auto bad = [&] { return Status(StatusCode::kInvalidArgument, "'" + endpoint + "' is not http://host:port"); };
  if (endpoint.starts_with("https://")) {
    return {StatusCode::kInvalidArgument, "'" + endpoint + "': there is no TLS yet; http://host:port"};
  }
  if (!endpoint.starts_with(kScheme)) return bad();
  const std::string rest = endpoint.substr(kScheme.size());
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos || colon == 0 || rest.find_first_of("/?#@ ") != std::string::npos) return bad();
  uint16_t port = 0;
  const char* const end = rest.data() + rest.size();
  const auto [stop, error] = std::from_chars(rest.data() + colon + 1, end, port);
  return error == std::errc() && stop == end && port != 0 ? Status::Ok() : bad();
}

Endpoints::Endpoints(std::vector<std::string> endpoints) : names_(std::move(endpoints)), failing_(names_.size()) {}

size_t Endpoints::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void Endpoints::Failed(size_t endpoint, const std::string& why) {
  std::string line;
  {
    const std::lock_guard lock(mutex_);
    if (current_ == endpoint) current_ = (endpoint + 1) % names_.size();
    if (failing_[endpoint]) return;
    failing_[endpoint] = true;
    const bool all = std::all_of(failing_.begin(), failing_.end(), [](bool failing) { return failing; });
    line = names_[endpoint] + ": " + why + (all ? "; no endpoint answers, trying on" : "; going on with another");
  }
  LogWarning("etcd", line);
}

void Endpoints::Answered(size_t endpoint) {
  {
    const std::lock_guard lock(mutex_);
    if (!failing_[endpoint]) return;
    failing_[endpoint] = false;
  }
  LogInfo("etcd", names_[endpoint] + " answers again");
}

void BlockSigpipe() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

class EtcdConnection::Impl {
 public:
  Impl(Clock* clock, const std::vector<std::string>& endpoints, int64_t connect_timeout_ms) : clock_(clock) {
    for (const std::string& endpoint : endpoints) {
      auto client = std::make_unique<httplib::Client>(endpoint);
      client->set_keep_alive(true);
      client->set_tcp_nodelay(true);  // head and body are two writes: without it the second waits for a delayed ack
      SetTimeout(connect_timeout_ms, [&](time_t s, time_t us) { client->set_connection_timeout(s, us); });
      clients_.push_back(std::move(client));
    }
  }

  HttpReply Send(size_t endpoint, const char* path, const std::string& body, int64_t silence_ms,
                 const std::function<HttpReply::Outcome(std::string_view)>& on_bytes) {
    httplib::Client& client = *clients_[endpoint];
    SetTimeout(silence_ms, [&](time_t s, time_t us) { client.set_read_timeout(s, us); });
    SetTimeout(silence_ms, [&](time_t s, time_t us) { client.set_write_timeout(s, us); });
    httplib::Request request;
    request.method = "POST";
    request.path = path;
    request.body = body;
    request.set_header("Content-Type", "application/json");
    // A member that knows no leader says so at once, and ends its watches, instead of letting us wait.
    request.set_header("Grpc-Metadata-hasleader", "true");
    HttpReply reply;
    reply.outcome = HttpReply::Outcome::kAnswered;
    request.content_receiver = [&](const char* bytes, size_t size, uint64_t, uint64_t) {
      reply.outcome = on_bytes({bytes, size});
      return reply.outcome == HttpReply::Outcome::kAnswered;
    };
    request.response_handler = [&](const httplib::Response& head) {
      reply.status = head.status;
      return true;
    };
    const httplib::Result result = client.send(request);
    if (result) return reply;
    if (reply.outcome == HttpReply::Outcome::kAnswered) {
      // Only a connection that never was is certain not to have carried the request.
      const bool never =
          result.error() == httplib::Error::Connection || result.error() == httplib::Error::ConnectionTimeout;
      reply.outcome = never ? HttpReply::Outcome::kNotSent : HttpReply::Outcome::kLost;
      reply.error = never ? "cannot be connected to" : "no answer (" + httplib::to_string(result.error()) + ")";
    }
    return reply;
  }

  Clock* clock() { return clock_; }
  void Abort() {
    for (const auto& client : clients_) client->stop();
  }

 private:
  template <class Set>
  static void SetTimeout(int64_t ms, const Set& set) {
    ms = std::max<int64_t>(ms, 1);
    set(static_cast<time_t>(ms / 1000), static_cast<time_t>(ms % 1000 * 1000));
  }

  Clock* const clock_;
  std::vector<std::unique_ptr<httplib::Client>> clients_;  // one an endpoint
};

EtcdConnection::EtcdConnection(Clock* clock, const std::vector<std::string>& endpoints, int64_t connect_timeout_ms)
    : impl_(std::make_unique<Impl>(clock, endpoints, connect_timeout_ms)) {}

EtcdConnection::~EtcdConnection() = default;

HttpReply EtcdConnection::Post(size_t endpoint, const char* path, const std::string& body, int64_t timeout_ms,
                               size_t body_bytes_max) {
  const Instant deadline = impl_->clock()->Now() + timeout_ms * kNsPerMs;
  std::string answer;
  HttpReply reply = impl_->Send(endpoint, path, body, timeout_ms, [&](std::string_view bytes) {
    if (answer.size() + bytes.size() > body_bytes_max) return HttpReply::Outcome::kTooLarge;
    if (impl_->clock()->Now() > deadline) return HttpReply::Outcome::kLost;  // it comes, but drop by drop
    answer += bytes;
    return HttpReply::Outcome::kAnswered;
  });
  if (reply.outcome == HttpReply::Outcome::kTooLarge) {
    reply.error = "an answer of more than " + std::to_string(body_bytes_max) + " bytes";
  } else if (reply.outcome == HttpReply::Outcome::kLost && reply.error.empty()) {
    reply.error = "no whole answer in " + std::to_string(timeout_ms) + " ms";
  }
  // The gateway ends a refusal with trailers, which this version of the library takes for a broken answer.
  if (reply.outcome == HttpReply::Outcome::kLost && reply.status >= 400 && nlohmann::json::accept(answer)) {
    reply.outcome = HttpReply::Outcome::kAnswered;
  }
  reply.body = std::move(answer);
  return reply;
}

HttpReply EtcdConnection::Stream(size_t endpoint, const char* path, const std::string& body, int64_t idle_ms,
                                 const std::function<bool(std::string_view)>& on_bytes) {
  return impl_->Send(endpoint, path, body, idle_ms, [&](std::string_view bytes) {
    return on_bytes(bytes) ? HttpReply::Outcome::kAnswered : HttpReply::Outcome::kLost;
  });
}

void EtcdConnection::Abort() { impl_->Abort(); }

}  // namespace understudy::etcd

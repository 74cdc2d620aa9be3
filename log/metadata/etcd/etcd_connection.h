// HTTP to the members of an etcd cluster, and which member to ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "log/env/clock.h"
#include "understudy/status.h"

namespace understudy::etcd {

// "http://HOST:PORT", without anything behind it. kInvalidArgument.
Status CheckEndpoint(const std::string& endpoint);

// Which endpoint to ask: the one that answered last, until it fails. Says in the log when one fails and when it answers
// again, not at every call. Thread-safe.
class Endpoints {
 public:
  explicit Endpoints(std::vector<std::string> endpoints);
  const std::vector<std::string>& names() const { return names_; }
  size_t current() const;
  void Failed(size_t endpoint, const std::string& why);  // the next one is asked from now on
  void Answered(size_t endpoint);

 private:
  const std::vector<std::string> names_;
  mutable std::mutex mutex_;
  size_t current_ = 0;
  std::vector<bool> failing_;
};

// For threads that use an EtcdConnection: a write to a connection that the other side closed is an error of that write,
// whatever the program makes of SIGPIPE.
void BlockSigpipe();

struct HttpReply {
  enum class Outcome {
    kAnswered,  // status and body
    kNotSent,   // no connection: the request never left
    kLost,      // it may have arrived; no whole answer came
    kTooLarge,  // the answer is longer than was asked for
  };
  Outcome outcome = Outcome::kNotSent;
  int status = 0;
  std::string body;
  std::string error;  // unless answered: why
};

// One request at a time, over a connection to each endpoint that is kept. One thread, but for Abort.
class EtcdConnection {
 public:
  EtcdConnection(Clock* clock, const std::vector<std::string>& endpoints, int64_t connect_timeout_ms);
  ~EtcdConnection();

  HttpReply Post(size_t endpoint, const char* path, const std::string& body, int64_t timeout_ms, size_t body_bytes_max);

  // Passes the body on as it comes, until `on_bytes` says false or nothing has come for `idle_ms`. The reply has no
  // body.
  HttpReply Stream(size_t endpoint, const char* path, const std::string& body, int64_t idle_ms,
                   const std::function<bool(std::string_view)>& on_bytes);

  // Any thread: what is under way ends soon, as if the connection had broken. What begins later does not.
  void Abort();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy::etcd

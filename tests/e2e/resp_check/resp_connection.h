// A blocking connection that speaks the Redis protocol, with a time limit for each step. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "understudy/status.h"

namespace understudy::resp_check {

struct Reply {
  enum class Kind { kText, kError, kInteger, kNull, kArray } kind = Kind::kNull;
  std::string text;
  std::vector<std::string> items;  // kArray: of texts; nothing in it is an array
};

class RespConnection {
 public:
  RespConnection() = default;
  ~RespConnection() { Close(); }
  RespConnection(const RespConnection&) = delete;
  RespConnection& operator=(const RespConnection&) = delete;

  // `endpoint` is "IPv4:port" or "localhost:port". kUnavailable: nobody listens; kDeadlineExceeded; kInvalidArgument.
  Status Connect(const std::string& endpoint, int timeout_ms);
  bool connected() const { return fd_ >= 0; }
  const std::string& endpoint() const { return endpoint_; }
  void Close();

  // One request, one reply. An error of kind kOutcomeUnknown: it was sent, at least in part, and no reply came within
  // the time or at all; the connection is closed then.
  Result<Reply> Ask(const std::vector<std::string>& words, int timeout_ms);

 private:
  Result<Reply> ReadReply(int timeout_ms);
  Status SendAll(const std::string& bytes, int timeout_ms);
  Result<std::string> ReadLine(int timeout_ms);
  Status Fill(int timeout_ms);

  int fd_ = -1;
  std::string endpoint_;
  std::string in_;
};

}  // namespace understudy::resp_check

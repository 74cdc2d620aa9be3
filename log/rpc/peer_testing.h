// For the tests of log/rpc: a server driven by a thread, and a peer that sends exactly the bytes a test says.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "gen/Handshake.h"
#include "log/rpc/protocol_version.h"
#include "log/rpc/rpc_server.h"
#include "log/rpc/thrift_codec.h"

namespace understudy::rpc_test {

namespace tp = apache::thrift::protocol;
using rpc_internal::Codec;
using rpc_internal::Encoding;

inline std::string TakeAll(OutputQueue* queue) {
  std::string bytes;
  while (!queue->empty()) {
    iovec part;
    queue->Fill(&part, 1);
    bytes.append(static_cast<const char*>(part.iov_base), part.iov_len);
    queue->Consume(part.iov_len);
  }
  return bytes;
}

// One message as it goes over the wire, its length in front.
template <class Body>
std::string Message(Encoding encoding, const std::string& method, tp::TMessageType type, int32_t seqid, Body&& body) {
  Codec codec;
  OutputQueue queue;
  codec.Write(encoding, &queue, nullptr, method, type, seqid, SIZE_MAX, std::forward<Body>(body));
  return TakeAll(&queue);
}

inline std::string HelloMessage(Encoding encoding, const std::string& cluster,
                                int32_t version_min = kProtocolVersionMin, int32_t version_max = kProtocolVersion) {
  wire::Handshake_hello_args args;
  args.request.cluster = cluster;
  args.request.version_min = version_min;
  args.request.version_max = version_max;
  args.request.role = "application";
  args.request.name = "peer";
  return Message(encoding, "hello", tp::T_CALL, 1, [&args](tp::TProtocol* out) { args.write(out); });
}

// A blocking TCP socket.
class Peer {
 public:
  explicit Peer(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    const timeval timeout{.tv_sec = 20, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  }
  ~Peer() { close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Without waiting: how much the kernel took.
  size_t SendSome(std::string_view bytes) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }
  void EndOutput() { shutdown(fd_, SHUT_WR); }
  // One frame's payload; nothing at the end of the stream (or after 20 s).
  std::optional<std::string> Receive() {
    unsigned char head[4];
    if (!ReceiveAll(head, 4)) {
      return std::nullopt;
    }
    std::string payload(size_t{head[0]} << 24 | size_t{head[1]} << 16 | size_t{head[2]} << 8 | head[3], '\0');
    if (!ReceiveAll(payload.data(), payload.size())) {
      return std::nullopt;
    }
    return payload;
  }
  // The stream ended, rather than more data or silence.
  bool ClosedByPeer() {
    char byte;
    const ssize_t n = recv(fd_, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }
  int fd() const { return fd_; }

 private:
  bool ReceiveAll(void* into, size_t size) {
    return size == 0 || recv(fd_, into, size, MSG_WAITALL) == static_cast<ssize_t>(size);
  }
  int fd_;
};

// Reads `payload`'s head; `result` stands for Thrift's result struct.
template <class WireResult>
tp::TMessageType Decode(const std::string& payload, int32_t* seqid, WireResult* result) {
  Codec codec;
  tp::TProtocol* in = codec.Reader(*rpc_internal::EncodingOf(payload), payload);
  std::string name;
  tp::TMessageType type;
  in->readMessageBegin(name, type, *seqid);
  result->read(in);
  in->readMessageEnd();
  return type;
}

// A server on a loop that a thread drives.
template <class Handler>
class RunningServer {
 public:
  explicit RunningServer(RpcServerOptions options = {.cluster = "test"}, const std::string& address = "127.0.0.1:0") {
    EventLoop::Section section(&loop_);
    server_.emplace(&loop_, std::move(options));
    server_->Serve(&handler_);
    const Status status = server_->Listen(address);
    EXPECT_TRUE(status.ok()) << status.ToString();
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~RunningServer() {
    loop_.Stop();
    thread_.join();
    EventLoop::Section section(&loop_);
    server_.reset();
  }
  EventLoop* loop() { return &loop_; }
  Handler* handler() { return &handler_; }
  RpcServer* server() { return &*server_; }
  const std::string& address() { return server_->address(); }
  size_t connections() {
    EventLoop::Section section(&loop_);
    return server_->connections();
  }

 private:
  EventLoop loop_{SystemClock()};
  Handler handler_;
  std::optional<RpcServer> server_;
  std::thread thread_;
};

}  // namespace understudy::rpc_test

// A pipelined Thrift server on an EventLoop: decodes a frame, starts the work, answers when the work is done, in any
// order. Framed transport; binary or compact protocol, told apart by the first byte of each message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "log/rpc/event_loop.h"
#include "log/rpc/services.h"
#include "log/rpc/transport.h"
#include "understudy/status.h"

namespace understudy {

struct RpcServerOptions {
  std::string cluster;  // `hello` of another cluster is refused by name
  size_t connections_max = 4096;
  size_t frame_bytes_max = 16'000'000;    // a longer one is refused before memory is taken, and the connection closed
  size_t inflight_bytes_max = 64u << 20;  // per connection, requests not yet answered: beyond it nothing more is read
  size_t output_bytes_max = 64u << 20;    // per connection, answers not yet sent: beyond it nothing more is read
  int64_t hello_timeout_ms = 10'000;
};

// Strand held for every call, except construction. Handlers must outlive the server.
class RpcServer {
 public:
  RpcServer(EventLoop* loop, RpcServerOptions options);
  ~RpcServer();  // closes everything; replies still outstanding become harmless

  // "host:port" (port 0: any; see address()) or "unix:/path". One address a server.
  Status Listen(const std::string& address);
  const std::string& address() const;  // with the real port

  // Serves a connection that was made elsewhere; `peer` is its name in the log.
  void Adopt(std::unique_ptr<Transport> transport, std::string peer);

  // Closes a connection that a handler was told of; what it has sent and nobody has read is dropped. No effect when it
  // has ended. The handler's OnDisconnect is called within.
  void Disconnect(uint64_t connection, const std::string& why);

  // Which services this port serves. nullptr: not served, its methods are unknown here.
  void Serve(LogServiceHandler* handler);
  void Serve(MetadataStore* store);
  void Serve(AgentServiceHandler* handler);
  void Serve(CoordinatorServiceHandler* handler);
  void Serve(MirrorServiceHandler* handler);

  size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy

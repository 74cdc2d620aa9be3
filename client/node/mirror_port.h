// Where a spare takes its primary's mirror stream: a port of its own, one service.
#pragma once

#include <functional>
#include <string>

#include "log/rpc/rpc_server.h"
#include "log/rpc/services.h"

namespace understudy {

// Strand held for every call. The stream's memory is bounded by who takes the pushes, and per connection by the server.
class MirrorPort : private MirrorServiceHandler {
 public:
  MirrorPort(EventLoop* loop, const std::string& cluster, std::function<void(MirrorPush)> push);

  // On any free port of `host`.
  Status Listen(const std::string& host);
  const std::string& address() const { return server_.address(); }

 private:
  void Mirror(MirrorPush push) override { push_(std::move(push)); }

  const std::function<void(MirrorPush)> push_;
  RpcServer server_;
};

}  // namespace understudy

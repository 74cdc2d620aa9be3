#include "client/node/mirror_port.h"

#include <utility>

namespace understudy {
namespace {

// A handful of primaries may push while a move goes on; more is somebody's mistake.
constexpr size_t kConnectionsMax = 16;

RpcServerOptions ServerOptions(const std::string& cluster) {
  RpcServerOptions options;
  options.cluster = cluster;
  options.connections_max = kConnectionsMax;
  return options;
}

}  // namespace

MirrorPort::MirrorPort(EventLoop* loop, const std::string& cluster, std::function<void(MirrorPush)> push)
    : push_(std::move(push)), server_(loop, ServerOptions(cluster)) {}

Status MirrorPort::Listen(const std::string& host) {
  server_.Serve(this);
  return server_.Listen(host + ":0");
}

}  // namespace understudy

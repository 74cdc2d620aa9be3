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

MirrorPort::MirrorPort(EventLoop* loop, const std::string& cluster, MirrorEvents events)
    : events_(std::move(events)), server_(loop, ServerOptions(cluster)) {}

Status MirrorPort::Listen(const std::string& host) {
  server_.Serve(this);
  return server_.Listen(host + ":0");
}

void MirrorPort::Mirror(uint64_t connection, MirrorPush push) {
  const uint64_t before = std::exchange(stream_, connection);
  if (!events_.push(std::move(push))) stream_ = before;
}

void MirrorPort::OnDisconnect(uint64_t connection) {
  if (connection != stream_) return;
  stream_ = 0;
  events_.broken();
}

void MirrorPort::EndStream(const Status& why) {
  if (stream_ == 0) return;
  server_.Disconnect(std::exchange(stream_, 0), "the mirror stream is given up: " + why.message());
}

}  // namespace understudy

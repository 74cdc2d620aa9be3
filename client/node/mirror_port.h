// Where a spare takes its primary's mirror stream: a port of its own, one service.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "log/rpc/rpc_server.h"
#include "log/rpc/services.h"

namespace understudy {

// Called with the strand held.
struct MirrorEvents {
  std::function<bool(MirrorPush)> push;  // false: of nothing that is followed here
  std::function<void()> broken;          // the connection of the stream has ended: no push comes until it begins anew
};

// Strand held for every call. The stream's memory is bounded by who takes the pushes, and per connection by the server.
// The stream is the connection whose push was taken last. A deposed primary that is still connected may pass for it
// until the next push of the new one; all that can come of it is a look at the log.
class MirrorPort : private MirrorServiceHandler {
 public:
  MirrorPort(EventLoop* loop, const std::string& cluster, MirrorEvents events);

  // On any free port of `host`.
  Status Listen(const std::string& host);
  const std::string& address() const { return server_.address(); }
  // It was given up: closes its connection, so that the primary notices and begins again. Also from within `push`.
  void EndStream(const Status& why);

 private:
  void Mirror(uint64_t connection, MirrorPush push) override;
  void OnDisconnect(uint64_t connection) override;

  const MirrorEvents events_;
  uint64_t stream_ = 0;  // its connection; 0: none
  RpcServer server_;
};

}  // namespace understudy

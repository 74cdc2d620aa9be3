// Looks the name of a host up without holding up an event loop: the system's resolver waits for seconds when a name
// server does not answer, and nothing can end that.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "log/rpc/event_loop.h"
#include "log/rpc/transport.h"
#include "understudy/status.h"

namespace understudy {

// At one time in this process. One that hangs takes a thread, and no more: a client begins another only when its last
// one has ended.
inline constexpr int kLookupsMax = 64;

using LookUpFunction = std::function<Result<SocketName>(const std::string& address)>;

class Lookup {
 public:
  // Runs `look_up` on a thread of its own and posts `done` to the loop. kUnavailable at once: as many run as may, or
  // there is no thread. The loop must live until Cancel or `done`.
  static Result<std::shared_ptr<Lookup>> Start(EventLoop* loop, const std::string& address, LookUpFunction look_up,
                                               std::function<void(Result<SocketName>)> done);
  // Strand held. `done` does not run afterwards, and the loop may end; the thread runs to its end by itself.
  virtual void Cancel() = 0;
  virtual ~Lookup() = default;
};

}  // namespace understudy

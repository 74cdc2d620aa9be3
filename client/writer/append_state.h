// What an AppendFuture waits for.
#pragma once

#include "client/rpc/runtime.h"
#include "understudy/log.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Written by the library before Finish(completion), read by the waiter after it.
class AppendFuture::State {
 public:
  // Answered from the start.
  explicit State(Status status) : status(std::move(status)) {}
  explicit State(Runtime* runtime) : runtime(runtime) {}

  Runtime* runtime = nullptr;  // null: nothing to wait for
  Completion completion;
  Status status;
  Lsn lsn;
};

}  // namespace understudy

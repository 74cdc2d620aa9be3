// What an AppendFuture waits for.
#pragma once

#include <utility>

#include "log/rpc/await.h"
#include "understudy/log.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Written by the library before completion.Set(), read by the waiter after it.
class AppendFuture::State {
 public:
  // Answered from the start: there is nothing to wait for.
  explicit State(Status status) : completion(nullptr), status(std::move(status)), immediate(true) {}
  explicit State(EventLoop* loop) : completion(loop) {}

  Completion completion;
  Status status;
  Lsn lsn;
  const bool immediate = false;
};

}  // namespace understudy

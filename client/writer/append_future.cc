#include <memory>
#include <utility>

#include "client/rpc/runtime.h"
#include "client/writer/append_state.h"
#include "understudy/check.h"

namespace understudy {

AppendFuture::AppendFuture() = default;
AppendFuture::AppendFuture(std::shared_ptr<State> state) : state_(std::move(state)) {}
AppendFuture::AppendFuture(AppendFuture&&) noexcept = default;
AppendFuture& AppendFuture::operator=(AppendFuture&&) noexcept = default;
AppendFuture::~AppendFuture() = default;

Result<Lsn> AppendFuture::Get() {
  UNDERSTUDY_CHECK(state_ != nullptr);
  const std::shared_ptr<State> state = std::move(state_);
  if (!state->immediate) {
    if (!state->completion.done() && Runtime::InCallback()) {
      return Status(StatusCode::kFailedPrecondition, "Get() inside a callback of the library would wait for itself");
    }
    state->completion.Wait();
  }
  if (!state->status.ok()) return state->status;
  return state->lsn;
}

}  // namespace understudy

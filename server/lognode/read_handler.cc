// Reads: the core says what may be read; the newest comes from memory at once, the rest from the disk by way of the
// pool.
#include "log/env/logging.h"
#include "server/lognode/log_node_impl.h"

namespace understudy {

void LogNodeImpl::Read(ReadRequest request, Reply<ReadResponse> reply) {
  Step(ReplicaRead{reads_.Add(std::move(reply)), std::move(request)});
  Perform();
}

void LogNodeImpl::Serve(const ServeRead& serve) {
  if (auto cached = store_->TryReadCached(serve.log, serve.epoch, serve.from, serve.to, serve.bytes_max)) {
    AnswerRead(serve, *std::move(cached));
    return;
  }
  const auto batches = std::make_shared<Result<std::string>>(Status(StatusCode::kUnavailable, "not read"));
  const bool posted = OnPool(
      serve.token,
      [this, serve, batches] {
        *batches = store_->Read(serve.log, serve.epoch, serve.from, serve.to, serve.bytes_max);
      },
      [this, serve, batches] {
        NoticeRetirement();
        AnswerRead(serve, std::move(*batches));
      });
  if (!posted) AnswerRead(serve, Status(StatusCode::kResourceExhausted, "too many reads wait for the disk"));
}

void LogNodeImpl::AnswerRead(const ServeRead& serve, Result<std::string> batches) {
  ReadResponse response;
  response.commit = serve.commit;
  if (batches.ok()) {
    response.batches = std::move(batches).value();
  } else {
    response.code = batches.status().code();
    response.detail = batches.status().message();
  }
  reads_.Answer(serve.token, std::move(response));
}

}  // namespace understudy

// A request over the simulated network and its one answer: from the server, or a failure when nothing comes back in
// time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "log/epoch/testing/describe.h"
#include "tests/sim/world.h"
#include "understudy/status.h"

namespace understudy::sim {

using understudy::testing::Describe;  // of other messages: found where they are declared

template <class RequestType, class ResponseType>
struct Call : std::enable_shared_from_this<Call<RequestType, ResponseType>> {
  using Request = RequestType;
  using Response = ResponseType;
  World* world = nullptr;
  NodeId from = 0;
  NodeId to = 0;
  Request request;
  std::function<void(Response)> reply;
  bool done = false;  // however often a message is delivered, the caller hears once

  // On the caller's node.
  void Finish(Response response) {
    if (done) return;
    done = true;
    reply(std::move(response));
    reply = nullptr;  // lets go of what it holds
  }
  // On the server's node: the answer travels back. `Describe` of the response is found where it is declared.
  void Answer(Response response) {
    auto shared = std::make_shared<Response>(std::move(response));
    world->Send(
        to, from, [self = this->shared_from_this(), shared] { self->Finish(Response(*shared)); },
        [&] { return Describe(*shared); });
  }
  void Refuse(StatusCode code) {
    Response response;
    response.code = code;
    Answer(std::move(response));
  }
};

inline constexpr int64_t kCallTimeoutNs = 60 * kNsPerMs;

// Asks `server` (which has Receive(std::shared_ptr<Call<...>>)) on node `to`.
template <class Response, class Server, class Request>
void Ask(World* world, NodeId from, NodeId to, Server* server, Request request, std::function<void(Response)> reply) {
  auto call = std::make_shared<Call<Request, Response>>();
  call->world = world;
  call->from = from;
  call->to = to;
  call->request = std::move(request);
  call->reply = std::move(reply);
  world->Send(
      from, to, [server, call] { server->Receive(call); }, [&] { return Describe(call->request); });
  world->AfterOn(from, kCallTimeoutNs, [call] {
    if (call->done) return;
    Response failure;
    failure.code = StatusCode::kOutcomeUnknown;
    call->Finish(std::move(failure));
  });
}

}  // namespace understudy::sim

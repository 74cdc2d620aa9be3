// What the clients of all services share. For the .cc files of log/rpc only.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "log/rpc/client_channel.h"
#include "log/rpc/convert.h"

namespace understudy::rpc_internal {

// A call whose answer is Thrift's `WireResult`, to be handed on as `Response`.
template <class WireResult, class Response>
class TypedCall : public PendingCall {
 public:
  explicit TypedCall(Done<Response> done) : done_(std::move(done)) {}
  void Answer(tp::TProtocol* in) override {
    WireResult result;
    result.read(in);
    in->readMessageEnd();
    Response response;
    Status status = result.__isset.success ? FromWire(std::move(result.success), &response)
                                           : Status(StatusCode::kInternal, "an answer without a result");
    if (status.ok()) {
      done_(std::move(response));
    } else {
      done_(std::move(status));
    }
  }
  void Fail(const Status& status) override { done_(status); }

 private:
  Done<Response> done_;
};

template <class Interface>
class ClientBase : public Interface {
 public:
  ClientBase(EventLoop* loop, RpcClientOptions options, std::string address)
      : channel_(std::make_shared<ClientChannel>(loop, std::move(options), std::move(address))) {}
  ~ClientBase() override { channel_->Close(); }

  const std::string& address() const override { return channel_->address(); }
  bool connected() const override { return channel_->connected(); }
  void SetOnBroken(std::function<void()> fn) override { channel_->SetOnBroken(std::move(fn)); }
  void Close() override { channel_->Close(); }

 protected:
  // `args` are Thrift's (pargs or args), already filled.
  template <class WireResult, class Args, class Response>
  void Call(const std::string& method, const Args& args, int64_t timeout_ms, Done<Response> done) {
    channel_->Call(
        method, timeout_ms, nullptr, [&args](tp::TProtocol* out) { args.write(out); },
        std::make_shared<TypedCall<WireResult, Response>>(std::move(done)));
  }
  // A method whose only argument is `request`.
  template <class Pargs, class WireResult, class Request, class Response>
  void CallWith(const std::string& method, const Request& request, int64_t timeout_ms, Done<Response> done) {
    const auto wire_request = ToWire(request);
    Pargs args;
    args.request = &wire_request;
    Call<WireResult>(method, args, timeout_ms, std::move(done));
  }

  const std::shared_ptr<ClientChannel> channel_;
};

}  // namespace understudy::rpc_internal

// The fixture of the clients' tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy::rpc_test {

// A server with every service on one port, and clients, on one loop that the test drives.
class ClientsTest : public testing::Test {
 protected:
  ClientsTest() { StartServer("127.0.0.1:0"); }
  ~ClientsTest() override {
    EventLoop::Section section(&loop_);
    server_.reset();
  }
  void StartServer(const std::string& address) {
    EventLoop::Section section(&loop_);
    server_.emplace(&loop_, RpcServerOptions{.cluster = "test"});
    server_->Serve(&logs_);
    server_->Serve(&store_);
    server_->Serve(static_cast<AgentServiceHandler*>(&control_));
    server_->Serve(static_cast<CoordinatorServiceHandler*>(&control_));
    server_->Serve(&mirrors_);
    const Status status = server_->Listen(address);
    ASSERT_TRUE(status.ok()) << status.ToString();
    address_ = server_->address();
  }
  void StopServer() {
    EventLoop::Section section(&loop_);
    server_.reset();
  }
  template <class Client>
  std::shared_ptr<Client> Make(RpcClientOptions options = Options("test")) {
    return std::shared_ptr<Client>(Client::Create(&loop_, std::move(options), address_).release(), [this](Client* c) {
      EventLoop::Section section(&loop_);
      delete c;
    });
  }
  bool Until(const std::function<bool()>& condition) { return DriveUntil(&loop_, kLongNs, condition); }

  EventLoop loop_{SystemClock()};
  HoldingLogService logs_;
  MapStore store_;
  EchoingControl control_;
  Mirrors mirrors_;
  std::optional<RpcServer> server_;
  std::string address_;
};

inline AppendRequest SomeAppend() {
  AppendRequest request;
  request.log = LogId(1);
  request.disk = {2, 3};
  request.epoch = Epoch(4);
  request.attempt = {5, 6};
  request.epoch_first_lsn = Lsn(7);
  request.commit = Lsn(8);
  request.batch = std::make_shared<const std::string>("a batch");
  return request;
}

}  // namespace understudy::rpc_test

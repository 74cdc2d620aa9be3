#include "log/rpc/rpc_server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "log/env/logging.h"
#include "log/rpc/server_connection.h"
#include "log/rpc/transport.h"
#include "understudy/check.h"

namespace understudy {

using rpc_internal::Method;
using rpc_internal::ServerConnection;
using rpc_internal::ServerCore;

namespace {

constexpr int64_t kAcceptPauseNs = 100 * kNsPerMs;  // when the process has run out of file descriptors

}  // namespace

struct RpcServer::Impl {
  ServerCore core;
  std::string address;
  int listen_fd = -1;
  uint64_t next_connection = 1;
  EventLoop::TimerId accept_timer = 0;
  const void* served[5] = {};  // by service

  void AcceptAll();
  void Adopt(std::unique_ptr<Transport> transport, std::string peer);
  void ServeMethods(int service, const void* handler, std::vector<Method> methods);
};

RpcServer::RpcServer(EventLoop* loop, RpcServerOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->core.loop = loop;
  impl_->core.options = std::move(options);
}

RpcServer::~RpcServer() {
  if (impl_->listen_fd >= 0) {
    impl_->core.loop->Cancel(impl_->accept_timer);
    impl_->core.loop->Unwatch(impl_->listen_fd);
    close(impl_->listen_fd);
    RemoveUnixSocket(impl_->address);
  }
  for (auto& [id, connection] : impl_->core.connections) {
    connection->Close();
  }
}

Status RpcServer::Listen(const std::string& address) {
  UNDERSTUDY_CHECK(impl_->listen_fd < 0);
  auto fd = ListenOn(address, &impl_->address);
  if (!fd.ok()) {
    return fd.status();
  }
  impl_->listen_fd = *fd;
  impl_->core.loop->Watch(*fd, EPOLLIN, [impl = impl_.get()](uint32_t) { impl->AcceptAll(); });
  return Status::Ok();
}

void RpcServer::Adopt(std::unique_ptr<Transport> transport, std::string peer) {
  impl_->Adopt(std::move(transport), std::move(peer));
}

void RpcServer::Disconnect(uint64_t connection, const std::string& why) {
  const auto found = impl_->core.connections.find(connection);
  if (found == impl_->core.connections.end()) {
    return;
  }
  const auto alive = found->second;  // it leaves the table
  alive->Refuse(why);
}

const std::string& RpcServer::address() const { return impl_->address; }

size_t RpcServer::connections() const { return impl_->core.connections.size(); }

void RpcServer::Impl::AcceptAll() {
  for (;;) {
    std::string peer;
    auto accepted = AcceptFrom(listen_fd, &peer);
    if (!accepted.ok()) {
      LogError("rpc", address + ": " + accepted.status().message());
      accept_timer = core.loop->At(core.loop->clock()->Now() + kAcceptPauseNs, [this] { AcceptAll(); });
      return;
    }
    if (*accepted == nullptr) {
      return;
    }
    Adopt(std::move(*accepted), std::move(peer));
  }
}

void RpcServer::Impl::Adopt(std::unique_ptr<Transport> transport, std::string peer) {
  if (core.connections.size() >= core.options.connections_max) {
    LogWarning("rpc", peer + ": refused: " + std::to_string(core.connections.size()) +
                          " connections are open, the most allowed");
    return;
  }
  const uint64_t id = next_connection++;
  auto connection = std::make_shared<ServerConnection>(&core, id, std::move(peer));
  core.connections.emplace(id, connection);
  connection->Start(std::move(transport));
}

void RpcServer::Impl::ServeMethods(int service, const void* handler, std::vector<Method> methods) {
  if (served[service] != nullptr) {
    std::erase_if(core.methods,
                  [this, service](const auto& entry) { return entry.second->service == served[service]; });
  }
  served[service] = handler;
  for (Method& method : methods) {
    std::string name = method.name;
    core.methods[std::move(name)] = std::make_shared<const Method>(std::move(method));
  }
}

void RpcServer::Serve(LogServiceHandler* handler) {
  impl_->ServeMethods(0, handler,
                      handler == nullptr ? std::vector<Method>() : rpc_internal::LogServiceMethods(handler));
}

void RpcServer::Serve(MetadataStore* store) {
  impl_->ServeMethods(
      1, store,
      store == nullptr ? std::vector<Method>() : rpc_internal::MetadataServiceMethods(store, impl_->core.loop));
}

void RpcServer::Serve(AgentServiceHandler* handler) {
  impl_->core.agent_handler = handler;
  impl_->ServeMethods(2, handler,
                      handler == nullptr ? std::vector<Method>() : rpc_internal::AgentServiceMethods(handler));
}

void RpcServer::Serve(CoordinatorServiceHandler* handler) {
  impl_->ServeMethods(3, handler,
                      handler == nullptr ? std::vector<Method>() : rpc_internal::CoordinatorServiceMethods(handler));
}

void RpcServer::Serve(MirrorServiceHandler* handler) {
  impl_->core.mirror_handler = handler;
  impl_->ServeMethods(4, handler,
                      handler == nullptr ? std::vector<Method>() : rpc_internal::MirrorServiceMethods(handler));
}

}  // namespace understudy

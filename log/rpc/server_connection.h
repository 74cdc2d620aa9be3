// One client of an RpcServer. For the .cc files of log/rpc only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "log/rpc/server_impl.h"

namespace understudy::rpc_internal {

// What the connections of a server share. Under the strand.
struct ServerCore {
  EventLoop* loop = nullptr;
  RpcServerOptions options;
  std::unordered_map<std::string, std::shared_ptr<const Method>> methods;
  std::unordered_map<uint64_t, std::shared_ptr<ServerConnection>> connections;
  std::unique_ptr<Codec> codec = std::make_unique<Codec>();
  // They want to know of connections that end.
  AgentServiceHandler* agent_handler = nullptr;
  MirrorServiceHandler* mirror_handler = nullptr;
};

class ServerConnection : public Connection::Owner, public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(ServerCore* core, uint64_t id, std::string peer) : core_(core), id_(id), peer_(std::move(peer)) {}

  void Start(std::unique_ptr<Transport> transport);
  void Close();                         // tells nobody
  void Refuse(const std::string& why);  // logs and closes

  uint64_t id() const { return id_; }
  void ChargeMore(size_t bytes) { inflight_bytes_ += bytes; }
  void Reply(const Call& call, std::shared_ptr<const void> owner, const WriteBody& write);

  void OnFrame(std::string_view frame) override;
  void OnSent() override { PauseOrResume(); }
  void OnBroken(const Status& why) override;

 private:
  void Dispatch(std::string_view frame, Encoding encoding);
  void Hello(tp::TProtocol* in, int32_t seqid, Encoding encoding);
  void RefuseUnknown(const std::string& name, int32_t seqid, Encoding encoding);
  void EndAfterAnswer(const std::string& why);
  void Forget();
  void PauseOrResume();

  ServerCore* core_;  // null when closed
  const uint64_t id_;
  std::string peer_;  // address, and what it called itself
  std::shared_ptr<Connection> link_;
  EventLoop::TimerId hello_timer_ = 0;
  bool greeted_ = false;
  size_t inflight_bytes_ = 0;
};

}  // namespace understudy::rpc_internal

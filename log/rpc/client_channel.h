// One pipelined connection of a client, opened when it is needed. For the .cc files of log/rpc only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "log/rpc/clients.h"
#include "log/rpc/connection.h"
#include "log/rpc/resolver.h"
#include "log/rpc/thrift_codec.h"

namespace understudy::rpc_internal {

// A call that is not answered yet. Exactly one of its functions is called to the end, once.
class PendingCall {
 public:
  virtual ~PendingCall() = default;
  // `in` stands behind the message's head. Throws before it has told anybody when the message is malformed.
  virtual void Answer(tp::TProtocol* in) = 0;
  virtual void Fail(const Status& status) = 0;
};

using WriteBody = std::function<void(tp::TProtocol*)>;

// Strand held for every call. Callbacks never come from within Call.
class ClientChannel : public Connection::Owner, public std::enable_shared_from_this<ClientChannel> {
 public:
  ClientChannel(EventLoop* loop, RpcClientOptions options, std::string address);
  ~ClientChannel() override;

  // `owner` as in Codec::Write. `write` is called at once.
  void Call(const std::string& method, int64_t timeout_ms, std::shared_ptr<const void> owner, const WriteBody& write,
            std::shared_ptr<PendingCall> call);
  // Nothing is answered. False when it does not fit into the bound; the connection is broken then.
  bool SendOneWay(const std::string& method, std::shared_ptr<const void> owner, const WriteBody& write);

  const std::string& address() const { return address_; }
  bool connected() const { return state_ == State::kReady; }
  void SetOnBroken(std::function<void()> fn) { on_broken_ = std::move(fn); }
  void Close();

  void OnFrame(std::string_view frame) override;
  void OnConnected() override;
  void OnSent() override { sent_offset_ = link_->output().consumed_offset(); }
  void OnBroken(const Status& why) override;

 private:
  enum class State { kIdle, kConnecting, kHello, kReady, kClosed };
  struct Pending {
    std::shared_ptr<PendingCall> call;
    EventLoop::TimerId timer = 0;
    uint64_t offset = 0;  // of its frame in the connection's output
    bool waiting = true;  // for the connection; its frame is in waiting_
  };
  struct Waiting {
    int32_t seqid = 0;
    bool oneway = false;
    OutputQueue frame;
  };

  bool HasRoom() const;
  // Encodes into the connection, or into a frame that waits for it. False when longer than a frame may be.
  bool Write(const std::string& method, tp::TMessageType type, int32_t seqid, std::shared_ptr<const void> owner,
             const WriteBody& write, uint64_t* offset, bool* waiting);
  void FailSoon(std::shared_ptr<PendingCall> call, Status status);
  void OnTimeout(int32_t seqid);
  void ConnectWhenDue();
  void Connect();
  void ConnectNow(const SocketName& to);
  void BreakSoon(Status why);
  void OnHello(std::string_view frame);
  void BecomeReady();
  void Break(const Status& why);  // fails what it takes with it; tells on_broken_
  void FailAll(const Status& never_sent, const Status& sent);
  int32_t NextSeqid();

  EventLoop* const loop_;
  const RpcClientOptions options_;
  const std::string address_;
  State state_ = State::kIdle;
  Codec codec_;
  std::shared_ptr<Connection> link_;
  uint64_t sent_offset_ = 0;
  std::unordered_map<int32_t, Pending> pending_;
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  int32_t last_seqid_ = 0;
  std::function<void()> on_broken_;
  std::shared_ptr<Lookup> lookup_;        // under way; outlives the attempt that began it
  EventLoop::TimerId connect_timer_ = 0;  // the time to connect is up, or the pause before connecting is over
  int64_t pause_ms_ = 0;
  Instant next_attempt_;
  Instant ready_since_;
};

}  // namespace understudy::rpc_internal

#include "log/rpc/server_connection.h"

#include <algorithm>
#include <utility>

#include "gen/Handshake.h"
#include "log/env/logging.h"
#include "log/rpc/protocol_version.h"

namespace understudy::rpc_internal {

namespace {

constexpr size_t kHelloFrameBytesMax = 4096;
constexpr int64_t kLingerNs = kNsPerSecond;
// What a request holds beside its bytes: its Call, its Reply, the handler's own notes.
constexpr size_t kRequestOverheadBytes = 256;

// What a peer calls itself goes into log lines: short, and nothing that could pass for another line.
std::string Printable(const std::string& text) {
  std::string result = text.substr(0, 64);
  std::replace_if(
      result.begin(), result.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return result;
}

}  // namespace

void ChargeMore(Call* call, size_t bytes) {
  call->charge += bytes;
  call->connection->ChargeMore(bytes);
}

void ReplyWith(const Call& call, std::shared_ptr<const void> owner, const WriteBody& write) {
  call.connection->Reply(call, std::move(owner), write);
}

void ReplyError(const Call& call, const Status& status) {
  ReplyWith(call, nullptr, [&status](tp::TProtocol* out) {
    out->writeStructBegin("result");
    out->writeFieldBegin("success", tp::T_STRUCT, 0);
    out->writeStructBegin("reply");
    out->writeFieldBegin("code", tp::T_I32, 1);
    out->writeI32(static_cast<int32_t>(status.code()));
    out->writeFieldEnd();
    out->writeFieldBegin("detail", tp::T_STRING, 2);
    out->writeString(status.message());
    out->writeFieldEnd();
    out->writeFieldStop();
    out->writeStructEnd();
    out->writeFieldEnd();
    out->writeFieldStop();
    out->writeStructEnd();
  });
}

uint64_t ConnectionId(const Call& call) { return call.connection->id(); }

void ServerConnection::Start(std::unique_ptr<Transport> transport) {
  link_ = std::make_shared<Connection>(core_->loop, std::move(transport), this,
                                       std::min(kHelloFrameBytesMax, core_->options.frame_bytes_max));
  hello_timer_ = core_->loop->At(core_->loop->clock()->Now() + core_->options.hello_timeout_ms * kNsPerMs,
                                 [self = shared_from_this()] {
                                   if (!self->greeted_ && self->core_ != nullptr) {
                                     self->Refuse("no hello in time");
                                   }
                                 });
  link_->Start(false);
}

void ServerConnection::Close() {
  if (core_ != nullptr) {
    core_->loop->Cancel(hello_timer_);
    core_ = nullptr;
    link_->Close();
  }
}

void ServerConnection::Forget() {
  ServerCore* core = std::exchange(core_, nullptr);
  if (core == nullptr) {
    return;
  }
  core->loop->Cancel(hello_timer_);
  const auto self = shared_from_this();
  core->connections.erase(id_);
  if (!greeted_) {
    return;
  }
  if (core->agent_handler != nullptr) {
    core->agent_handler->OnDisconnect(id_);
  }
  if (core->mirror_handler != nullptr) {
    core->mirror_handler->OnDisconnect(id_);
  }
}

void ServerConnection::OnBroken(const Status& why) {
  if (why.code() == StatusCode::kInvalidArgument) {
    LogWarning("rpc", peer_ + ": closing the connection: " + why.message());
  } else {
    LogDebug("rpc", peer_ + ": " + why.message());
  }
  Forget();
}

void ServerConnection::Refuse(const std::string& why) {
  LogWarning("rpc", peer_ + ": closing the connection: " + why);
  link_->Close();
  Forget();
}

void ServerConnection::EndAfterAnswer(const std::string& why) {
  LogWarning("rpc", peer_ + ": closing the connection: " + why);
  link_->CloseWhenSent(kLingerNs);
  Forget();
}

void ServerConnection::OnFrame(std::string_view frame) {
  const auto encoding = EncodingOf(frame);
  if (!encoding.has_value()) {
    Refuse(frame.empty() ? "an empty frame" : "a frame that is neither Thrift's binary nor its compact protocol");
    return;
  }
  const auto self = shared_from_this();
  ServerCore* core = core_;
  try {
    Dispatch(frame, *encoding);
  } catch (const apache::thrift::TException& error) {
    core->codec = std::make_unique<Codec>();  // it was left in the middle of a message
    if (core_ != nullptr) {
      Refuse(std::string("a malformed frame: ") + error.what());
    }
  }
}

void ServerConnection::Dispatch(std::string_view frame, Encoding encoding) {
  tp::TProtocol* in = core_->codec->Reader(encoding, frame);
  const MessageHead head = ReadHead(in);
  const std::string& name = head.name;
  Call call;
  call.seqid = head.seqid;
  if (head.type != tp::T_CALL && head.type != tp::T_ONEWAY) {
    Refuse("a message that is no call");
    return;
  }
  if (name == "hello") {
    Hello(in, call.seqid, encoding);
    return;
  }
  const auto found = core_->methods.find(name);
  call.encoding = encoding;
  call.connection = shared_from_this();
  call.oneway = head.type == tp::T_ONEWAY;
  call.charge = frame.size() + kRequestOverheadBytes;
  if (found == core_->methods.end()) {
    if (call.oneway) {
      Refuse("a one-way call of '" + Printable(name) + "', which is not served here");
    } else {
      RefuseUnknown(name, call.seqid, encoding);
    }
    return;
  }
  call.method = found->second;
  if (!greeted_) {
    ChargeMore(call.charge);
    ReplyError(call, Status(StatusCode::kFailedPrecondition, "a connection begins with hello"));
    EndAfterAnswer("'" + name + "' before hello");
    return;
  }
  if (frame.size() > call.method->bytes_max) {
    Refuse("a frame of " + std::to_string(frame.size()) + " bytes for '" + name + "'; at most " +
           std::to_string(call.method->bytes_max));
    return;
  }
  ChargeMore(call.charge);
  const auto method = call.method;
  method->run(std::move(call), in);
  PauseOrResume();
}

void ServerConnection::Hello(tp::TProtocol* in, int32_t seqid, Encoding encoding) {
  wire::Handshake_hello_args args;
  args.read(in);
  in->readMessageEnd();
  const wire::HelloRequest& hello = args.request;
  wire::Handshake_hello_result result;
  wire::HelloReply& reply = result.success;
  reply.cluster = core_->options.cluster;
  result.__isset.success = true;
  Status status;
  if (hello.cluster != core_->options.cluster) {
    status = Status(StatusCode::kForeignCluster, "this is cluster '" + core_->options.cluster +
                                                     "'; the caller belongs to '" + Printable(hello.cluster) + "'");
  } else if (hello.version_min > kProtocolVersion || hello.version_max < kProtocolVersionMin) {
    status = Status(StatusCode::kUnsupported,
                    "protocol versions " + std::to_string(kProtocolVersionMin) + " to " +
                        std::to_string(kProtocolVersion) + " are spoken here; the caller speaks " +
                        std::to_string(hello.version_min) + " to " + std::to_string(hello.version_max));
  }
  reply.code = static_cast<int32_t>(status.code());
  reply.detail = status.message();
  reply.version = status.ok() ? std::min(hello.version_max, kProtocolVersion) : 0;
  core_->codec->Write(encoding, &link_->output(), nullptr, "hello", tp::T_REPLY, seqid, SIZE_MAX,
                      [&result](tp::TProtocol* out) { result.write(out); });
  link_->OutputAdded();
  if (!status.ok()) {
    EndAfterAnswer(status.message());
    return;
  }
  if (!greeted_) {
    peer_ += " (" + Printable(hello.role) + " " + Printable(hello.name) + ")";
    greeted_ = true;
    link_->set_frame_bytes_max(core_->options.frame_bytes_max);
    core_->loop->Cancel(hello_timer_);
  }
}

void ServerConnection::RefuseUnknown(const std::string& name, int32_t seqid, Encoding encoding) {
  const apache::thrift::TApplicationException error(apache::thrift::TApplicationException::UNKNOWN_METHOD,
                                                    "'" + Printable(name) + "' is not served on this port");
  core_->codec->Write(encoding, &link_->output(), nullptr, name, tp::T_EXCEPTION, seqid, SIZE_MAX,
                      [&error](tp::TProtocol* out) { error.write(out); });
  link_->OutputAdded();
  PauseOrResume();
}

void ServerConnection::Reply(const Call& call, std::shared_ptr<const void> owner, const WriteBody& write) {
  if (core_ == nullptr) {
    return;
  }
  inflight_bytes_ -= call.charge;
  if (!call.oneway) {
    if (!core_->codec->Write(call.encoding, &link_->output(), std::move(owner), call.method->name, tp::T_REPLY,
                             call.seqid, core_->options.frame_bytes_max, write)) {
      inflight_bytes_ += call.charge;
      ReplyError(call,
                 Status(StatusCode::kResourceExhausted, "the answer is longer than a frame may be; ask for less"));
      return;
    }
    link_->OutputAdded();
  }
  PauseOrResume();
}

void ServerConnection::PauseOrResume() {
  if (core_ == nullptr) {
    return;
  }
  const bool full =
      inflight_bytes_ > core_->options.inflight_bytes_max || link_->output().bytes() > core_->options.output_bytes_max;
  if (full) {
    link_->Pause();
  } else if (link_->paused()) {
    link_->Resume();
  }
}

}  // namespace understudy::rpc_internal

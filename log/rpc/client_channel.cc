#include "log/rpc/client_channel.h"

#include <algorithm>
#include <utility>

#include "gen/Handshake.h"
#include "log/rpc/convert.h"
#include "log/rpc/protocol_version.h"
#include "understudy/check.h"

namespace understudy::rpc_internal {

namespace {

constexpr size_t kFrameBytesMax = 16'000'000;
constexpr int64_t kPauseMsMin = 5;
constexpr int64_t kPauseMsMax = 500;
// A connection that lasted so long was a good one: the next one is opened without a pause.
constexpr int64_t kGoodConnectionNs = kNsPerSecond;

Status ExceptionStatus(tp::TProtocol* in) {
  apache::thrift::TApplicationException error;
  error.read(in);
  in->readMessageEnd();
  const bool unknown = error.getType() == apache::thrift::TApplicationException::UNKNOWN_METHOD;
  return {unknown ? StatusCode::kUnsupported : StatusCode::kInternal, error.what()};
}

}  // namespace

ClientChannel::ClientChannel(EventLoop* loop, RpcClientOptions options, std::string address)
    : loop_(loop), options_(std::move(options)), address_(std::move(address)) {}

ClientChannel::~ClientChannel() {
  if (lookup_ != nullptr) {
    lookup_->Cancel();
  }
}

int32_t ClientChannel::NextSeqid() {
  do {
    last_seqid_ = last_seqid_ == INT32_MAX ? 1 : last_seqid_ + 1;
  } while (pending_.contains(last_seqid_));
  return last_seqid_;
}

bool ClientChannel::HasRoom() const {
  const size_t queued = link_ != nullptr ? link_->output().bytes() : 0;
  return queued + waiting_bytes_ < options_.output_bytes_max;
}

bool ClientChannel::Write(const std::string& method, tp::TMessageType type, int32_t seqid,
                          std::shared_ptr<const void> owner, const WriteBody& write, uint64_t* offset, bool* waiting) {
  *waiting = state_ != State::kReady;
  if (!*waiting) {
    *offset = link_->output().end_offset();
    return codec_.Write(Encoding::kBinary, &link_->output(), std::move(owner), method, type, seqid, kFrameBytesMax,
                        write);
  }
  Waiting entry;
  entry.seqid = seqid;
  entry.oneway = type == tp::T_ONEWAY;
  if (!codec_.Write(Encoding::kBinary, &entry.frame, std::move(owner), method, type, seqid, kFrameBytesMax, write)) {
    return false;
  }
  waiting_bytes_ += entry.frame.bytes();
  waiting_.push_back(std::move(entry));
  return true;
}

void ClientChannel::Call(const std::string& method, int64_t timeout_ms, std::shared_ptr<const void> owner,
                         const WriteBody& write, std::shared_ptr<PendingCall> call) {
  if (state_ == State::kClosed) {
    FailSoon(std::move(call), Status(StatusCode::kCancelled, "the client is closed"));
    return;
  }
  if (!HasRoom()) {
    FailSoon(std::move(call),
             Status(StatusCode::kResourceExhausted, address_ + ": " + std::to_string(options_.output_bytes_max) +
                                                        " bytes wait to be sent, the most allowed"));
    return;
  }
  const int32_t seqid = NextSeqid();
  Pending pending;
  if (!Write(method, tp::T_CALL, seqid, std::move(owner), write, &pending.offset, &pending.waiting)) {
    FailSoon(std::move(call), Status(StatusCode::kInvalidArgument, method + ": the request is longer than a frame"));
    return;
  }
  pending.call = std::move(call);
  if (timeout_ms != kNoTimeout) {
    pending.timer = loop_->At(loop_->clock()->Now() + timeout_ms * kNsPerMs, [weak = weak_from_this(), seqid] {
      if (const auto self = weak.lock()) {
        self->OnTimeout(seqid);
      }
    });
  }
  const bool waiting = pending.waiting;
  pending_.emplace(seqid, std::move(pending));
  if (waiting) {
    ConnectWhenDue();
  } else {
    link_->OutputAdded();
  }
}

bool ClientChannel::SendOneWay(const std::string& method, std::shared_ptr<const void> owner, const WriteBody& write) {
  if (state_ == State::kClosed) {
    return false;
  }
  uint64_t offset;
  bool waiting;
  if (!HasRoom() || !Write(method, tp::T_ONEWAY, NextSeqid(), std::move(owner), write, &offset, &waiting)) {
    // What was pushed must arrive without a gap or not at all.
    loop_->Post([weak = weak_from_this()] {
      if (const auto self = weak.lock(); self != nullptr && self->state_ != State::kClosed) {
        self->Break(Status(StatusCode::kResourceExhausted, self->address_ + ": too much waits to be sent"));
      }
    });
    return false;
  }
  if (waiting) {
    ConnectWhenDue();
  } else {
    link_->OutputAdded();
  }
  return true;
}

void ClientChannel::FailSoon(std::shared_ptr<PendingCall> call, Status status) {
  loop_->Post([call = std::move(call), status = std::move(status)] { call->Fail(status); });
}

void ClientChannel::OnTimeout(int32_t seqid) {
  const auto found = pending_.find(seqid);
  if (found == pending_.end()) {
    return;
  }
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  if (pending.waiting) {
    const auto frame =
        std::find_if(waiting_.begin(), waiting_.end(), [seqid](const Waiting& w) { return w.seqid == seqid; });
    UNDERSTUDY_CHECK(frame != waiting_.end());
    waiting_bytes_ -= frame->frame.bytes();
    waiting_.erase(frame);
    pending.call->Fail(Status(StatusCode::kUnavailable, address_ + ": no connection within the time allowed"));
  } else {
    pending.call->Fail(Status(StatusCode::kDeadlineExceeded, address_ + ": no answer within the time allowed"));
  }
}

void ClientChannel::ConnectWhenDue() {
  if (state_ != State::kIdle || connect_timer_ != 0) {
    return;
  }
  if (loop_->clock()->Now() >= next_attempt_) {
    Connect();
    return;
  }
  connect_timer_ = loop_->At(next_attempt_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->connect_timer_ = 0;
      if (self->state_ == State::kIdle && !self->waiting_.empty()) {
        self->Connect();
      }
    }
  });
}

void ClientChannel::BreakSoon(Status why) {
  loop_->Post([weak = weak_from_this(), why = std::move(why)] {
    if (const auto self = weak.lock(); self != nullptr && self->state_ == State::kConnecting) {
      self->Break(why);
    }
  });
}

void ClientChannel::Connect() {
  state_ = State::kConnecting;
  sent_offset_ = 0;
  connect_timer_ = loop_->At(loop_->clock()->Now() + options_.connect_timeout_ms * kNsPerMs, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->connect_timer_ = 0;
      const char* const lacks =
          self->link_ == nullptr ? ": its name was not found in time" : ": no connection and hello in time";
      self->Break(Status(StatusCode::kUnavailable, self->address_ + lacks));
    }
  });
  const auto to = SocketNameOf(address_);
  if (!to.ok()) {
    return BreakSoon(to.status());
  }
  if (to->has_value()) {
    return ConnectNow(**to);
  }
  if (lookup_ != nullptr) {
    return;  // of an attempt that was given up: its answer is as good
  }
  auto lookup = Lookup::Start(loop_, address_, options_.look_up ? options_.look_up : LookUp,
                              [weak = weak_from_this()](Result<SocketName> found) {
                                const auto self = weak.lock();
                                if (self == nullptr) {
                                  return;
                                }
                                self->lookup_ = nullptr;
                                if (self->state_ != State::kConnecting || self->link_ != nullptr) {
                                  return;  // nobody waits for it now
                                }
                                if (found.ok()) {
                                  self->ConnectNow(*found);
                                } else {
                                  self->Break(found.status());
                                }
                              });
  if (!lookup.ok()) {
    return BreakSoon(lookup.status());
  }
  lookup_ = std::move(*lookup);
}

void ClientChannel::ConnectNow(const SocketName& to) {
  auto transport = ConnectTo(address_, to);
  if (!transport.ok()) {
    return BreakSoon(transport.status());
  }
  link_ = std::make_shared<Connection>(loop_, std::move(*transport), this, kFrameBytesMax);
  link_->Start(true);
}

void ClientChannel::OnConnected() {
  state_ = State::kHello;
  wire::Handshake_hello_args args;
  args.request.cluster = options_.cluster;
  args.request.version_min = kProtocolVersionMin;
  args.request.version_max = kProtocolVersion;
  args.request.role = options_.role;
  args.request.name = options_.name;
  codec_.Write(Encoding::kBinary, &link_->output(), nullptr, "hello", tp::T_CALL, 0, kFrameBytesMax,
               [&args](tp::TProtocol* out) { args.write(out); });
  link_->OutputAdded();
}

void ClientChannel::OnHello(std::string_view frame) {
  wire::Handshake_hello_result result;
  Status status;
  try {
    tp::TProtocol* in = codec_.Reader(Encoding::kBinary, frame);
    if (ReadHead(in).type == tp::T_EXCEPTION) {
      status = ExceptionStatus(in);
    } else {
      result.read(in);
      in->readMessageEnd();
      status = Status(CodeFromWire(result.success.code), result.success.detail);
    }
  } catch (const apache::thrift::TException& error) {
    status = Status(StatusCode::kUnavailable, std::string("what answered does not speak Thrift: ") + error.what());
  }
  if (!status.ok()) {
    Break(status.WithContext(address_));
  } else if (result.success.version < kProtocolVersionMin || result.success.version > kProtocolVersion) {
    Break(Status(StatusCode::kUnsupported,
                 address_ + " chose protocol version " + std::to_string(result.success.version)));
  } else {
    BecomeReady();
  }
}

void ClientChannel::BecomeReady() {
  loop_->Cancel(connect_timer_);
  connect_timer_ = 0;
  state_ = State::kReady;
  ready_since_ = loop_->clock()->Now();
  for (Waiting& entry : waiting_) {
    if (const auto found = pending_.find(entry.seqid); found != pending_.end() && !entry.oneway) {
      found->second.waiting = false;
      found->second.offset = link_->output().end_offset();
    }
    link_->output().AppendAll(std::move(entry.frame));
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  link_->OutputAdded();
}

void ClientChannel::OnFrame(std::string_view frame) {
  const auto self = shared_from_this();
  if (state_ == State::kHello) {
    OnHello(frame);
    return;
  }
  std::shared_ptr<PendingCall> call;
  std::string malformed;
  try {
    tp::TProtocol* in = codec_.Reader(Encoding::kBinary, frame);
    const MessageHead head = ReadHead(in);
    const auto found = pending_.find(head.seqid);
    if (found == pending_.end()) {
      return;  // its time was up
    }
    loop_->Cancel(found->second.timer);
    call = std::move(found->second.call);
    pending_.erase(found);
    if (head.type == tp::T_EXCEPTION) {
      const Status status = ExceptionStatus(in);
      call->Fail(status);
    } else if (head.type == tp::T_REPLY) {
      call->Answer(in);
    } else {
      throw tp::TProtocolException(tp::TProtocolException::INVALID_DATA, "a message that is no answer");
    }
    return;
  } catch (const apache::thrift::TException& error) {
    malformed = error.what();
  }
  const Status status(StatusCode::kOutcomeUnknown, address_ + ": a malformed answer: " + malformed);
  if (call != nullptr) {
    call->Fail(status);
  }
  Break(status);
}

void ClientChannel::OnBroken(const Status& why) { Break(why.WithContext(address_)); }

void ClientChannel::Break(const Status& why) {
  if (state_ == State::kClosed) {
    return;
  }
  const auto self = shared_from_this();
  const bool was_ready = state_ == State::kReady;
  const Instant now = loop_->clock()->Now();
  const bool good = was_ready && now - ready_since_ >= kGoodConnectionNs;
  pause_ms_ = good ? 0 : std::clamp(2 * pause_ms_, kPauseMsMin, kPauseMsMax);
  next_attempt_ = now + pause_ms_ * kNsPerMs;
  loop_->Cancel(connect_timer_);
  connect_timer_ = 0;
  state_ = State::kIdle;
  if (link_ != nullptr) {
    link_->Close();
    link_ = nullptr;
  }
  const bool refused = why.code() == StatusCode::kForeignCluster || why.code() == StatusCode::kUnsupported;
  FailAll(refused ? why : Status(StatusCode::kUnavailable, why.message()),
          Status(StatusCode::kOutcomeUnknown, why.message()));
  if (on_broken_) {
    const auto on_broken = on_broken_;
    on_broken();
  }
}

void ClientChannel::FailAll(const Status& never_sent, const Status& sent) {
  auto pending = std::move(pending_);
  pending_.clear();
  waiting_.clear();
  waiting_bytes_ = 0;
  for (auto& [seqid, entry] : pending) {
    loop_->Cancel(entry.timer);
    entry.call->Fail(entry.waiting || entry.offset >= sent_offset_ ? never_sent : sent);
  }
}

void ClientChannel::Close() {
  if (state_ == State::kClosed) {
    return;
  }
  const auto self = shared_from_this();
  state_ = State::kClosed;
  loop_->Cancel(connect_timer_);
  connect_timer_ = 0;
  if (link_ != nullptr) {
    link_->Close();
    link_ = nullptr;
  }
  if (lookup_ != nullptr) {
    lookup_->Cancel();
    lookup_ = nullptr;
  }
  on_broken_ = nullptr;
  const Status cancelled(StatusCode::kCancelled, address_ + ": the client was closed");
  FailAll(cancelled, cancelled);
}

}  // namespace understudy::rpc_internal

#include "log/rpc/connection.h"

#include <sys/epoll.h>
#include <sys/uio.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "understudy/check.h"

namespace understudy {

namespace {

// Of one connection before others get their turn.
constexpr size_t kReadTurnBytes = 1u << 20;
// Queued in the middle of a dispatch, it is sent at once: the peer can work on it meanwhile.
constexpr size_t kFlushAtOnceBytes = 128u << 10;
constexpr int kPartsMax = 64;

constexpr uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP;

}  // namespace

Connection::Connection(EventLoop* loop, std::unique_ptr<Transport> transport, Owner* owner, size_t frame_bytes_max)
    : loop_(loop), transport_(std::move(transport)), owner_(owner), frame_bytes_max_(frame_bytes_max) {}

Connection::~Connection() { Close(); }

void Connection::Start(bool connecting) {
  connecting_ = connecting;
  output_watched_ = connecting;
  loop_->Watch(transport_->fd(), kReadEvents | (connecting ? EPOLLOUT : 0U),
               [self = shared_from_this()](uint32_t events) { self->OnEvents(events); });
}

void Connection::Close() {
  if (transport_ == nullptr) {
    return;
  }
  loop_->Cancel(linger_timer_);
  loop_->Unwatch(transport_->fd());
  transport_ = nullptr;
  owner_ = nullptr;
  output_ = OutputQueue();
}

void Connection::CloseWhenSent(int64_t timeout_ns) {
  if (transport_ == nullptr || closing_) {
    return;
  }
  closing_ = true;
  owner_ = nullptr;
  auto self = shared_from_this();
  linger_timer_ = loop_->At(loop_->clock()->Now() + timeout_ns, [self] { self->Close(); });
  OutputAdded();
}

void Connection::Resume() {
  paused_ = false;
  if (!read_scheduled_ && transport_ != nullptr && !delivering_) {
    read_scheduled_ = true;
    loop_->Post([self = shared_from_this()] {
      self->read_scheduled_ = false;
      self->ReadAndDeliver(self->hung_up_);
    });
  }
}

void Connection::OutputAdded() {
  if (flush_scheduled_ || output_watched_ || transport_ == nullptr) {
    return;
  }
  if (output_.bytes() >= kFlushAtOnceBytes) {
    Flush();
    return;
  }
  flush_scheduled_ = true;
  loop_->Defer([self = shared_from_this()] {
    self->flush_scheduled_ = false;
    self->Flush();
  });
}

void Connection::OnEvents(uint32_t events) {
  if (connecting_ && transport_ != nullptr && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    if (Status status = ConnectOutcome(*transport_); !status.ok()) {
      BreakSoon(std::move(status));
      return;
    }
    connecting_ = false;
    if (owner_ != nullptr) {
      owner_->OnConnected();
    }
  }
  if ((events & EPOLLOUT) != 0 && transport_ != nullptr && !connecting_) {
    WatchOutput(false);
    Flush();
  }
  hung_up_ = hung_up_ || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if ((events & ~uint32_t{EPOLLOUT}) != 0) {
    ReadAndDeliver(hung_up_);
  }
}

void Connection::ReadAndDeliver(bool hung_up) {
  auto self = shared_from_this();
  if (closing_) {
    Discard();
    return;
  }
  if (!Deliver()) {
    return;
  }
  for (size_t turn = 0; turn < kReadTurnBytes;) {
    size_t room;
    char* space = input_.Space(&room);
    const ssize_t n = transport_->Receive(space, room);
    if (n == -EINTR) {
      continue;
    }
    if (n == -EAGAIN) {
      return;
    }
    if (n <= 0) {
      if (n == 0) {
        BreakSoon(Status(StatusCode::kUnavailable, input_.bytes() == 0
                                                       ? "the peer closed the connection"
                                                       : "the peer closed the connection in the middle of a frame"));
      } else {
        BreakSoon(Status(StatusCode::kUnavailable, std::generic_category().message(static_cast<int>(-n))));
      }
      return;
    }
    input_.Received(static_cast<size_t>(n));
    turn += static_cast<size_t>(n);
    if (!Deliver()) {
      return;
    }
    if (static_cast<size_t>(n) < room && !hung_up) {
      return;  // drained; the next byte is a new edge
    }
  }
  Resume();  // others first
}

bool Connection::Deliver() {
  if (delivering_) {
    return false;
  }
  delivering_ = true;
  while (transport_ != nullptr && owner_ != nullptr && !broken_ && !paused_) {
    auto frame = input_.Next(frame_bytes_max_);
    if (!frame.ok()) {
      BreakSoon(frame.status());
    } else if (!frame->has_value()) {
      break;
    } else {
      owner_->OnFrame(**frame);
    }
  }
  delivering_ = false;
  return transport_ != nullptr && owner_ != nullptr && !broken_ && !paused_;
}

void Connection::Flush() {
  if (connecting_) {
    return;
  }
  const uint64_t before = output_.consumed_offset();
  while (transport_ != nullptr && !broken_ && !output_.empty()) {
    iovec parts[kPartsMax];
    const int count = output_.Fill(parts, kPartsMax);
    const ssize_t n = transport_->Send(parts, count);
    if (n == -EINTR) {
      continue;
    }
    if (n == -EAGAIN) {
      WatchOutput(true);
      break;
    }
    if (n < 0) {
      BreakSoon(Status(StatusCode::kUnavailable, std::generic_category().message(static_cast<int>(-n))));
      return;
    }
    output_.Consume(static_cast<size_t>(n));
  }
  if (owner_ != nullptr && output_.consumed_offset() != before) {
    owner_->OnSent();
  }
  if (closing_ && transport_ != nullptr && output_.empty()) {
    transport_->EndOutput();  // not Close: with bytes unread that would be a reset, which can overtake what was sent
  }
}

void Connection::Discard() {
  char scratch[16 << 10];
  while (transport_ != nullptr) {
    const ssize_t n = transport_->Receive(scratch, sizeof scratch);
    if (n == -EAGAIN) {
      return;
    }
    if (n <= 0 && n != -EINTR) {
      Close();
    }
  }
}

void Connection::WatchOutput(bool wanted) {
  if (output_watched_ != wanted) {
    output_watched_ = wanted;
    loop_->ChangeWatch(transport_->fd(), kReadEvents | (wanted ? EPOLLOUT : 0U));
  }
}

void Connection::BreakSoon(Status why) {
  if (broken_) {
    return;
  }
  broken_ = true;
  loop_->Post([self = shared_from_this(), why = std::move(why)] {
    Owner* owner = self->owner_;
    self->Close();
    if (owner != nullptr) {
      owner->OnBroken(why);
    }
  });
}

}  // namespace understudy

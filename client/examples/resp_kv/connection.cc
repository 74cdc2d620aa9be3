#include "client/examples/resp_kv/connection.h"

#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "client/examples/resp_kv/reply.h"
#include "understudy/check.h"

namespace understudy::resp_kv {

namespace {

constexpr size_t kReadBytes = 64u << 10;
// A client that does not read its replies is not read from either, beyond so many bytes.
constexpr size_t kUnsentBytesMax = 4u << 20;
constexpr size_t kWaitingMax = 1u << 16;  // replies waiting for the log

// Drops the part of `buffer` that is done with, when that is cheap: all of it, or more than half.
void Compact(std::string* buffer, size_t* done) {
  if (*done == buffer->size()) {
    if (buffer->capacity() > (1u << 20)) {
      *buffer = std::string();  // one large request must not hold its memory for good
    } else {
      buffer->clear();
    }
    *done = 0;
  } else if (*done > buffer->size() / 2) {
    buffer->erase(0, *done);
    *done = 0;
  }
}

}  // namespace

Connection::Connection(ConnectionHost* host, event_base* base, int fd, uint64_t id, std::string address)
    : host_(host), fd_(fd), id_(id), address_(std::move(address)) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  evutil_make_socket_nonblocking(fd);
  readable_ = event_new(
      base, fd, EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<Connection*>(self)->OnReadable(); }, this);
  writable_ = event_new(
      base, fd, EV_WRITE, [](evutil_socket_t, short, void* self) { static_cast<Connection*>(self)->OnWritable(); },
      this);
  UNDERSTUDY_CHECK(readable_ != nullptr && writable_ != nullptr);
  UpdateReading();
}

Connection::~Connection() {
  event_free(readable_);
  event_free(writable_);
  evutil_closesocket(fd_);
}

void Connection::OnReadable() {
  const size_t before = in_.size();
  in_.resize(before + kReadBytes);
  const ssize_t got = recv(fd_, in_.data() + before, kReadBytes, 0);
  in_.resize(before + static_cast<size_t>(got > 0 ? got : 0));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    Die();
    return;
  }
  if (!held_) {
    Execute();
    Flush();
  }
}

void Connection::OnWritable() {
  Flush();
  Resume();  // it may have stopped because too much was unsent
}

void Connection::Resume() {
  held_ = false;
  Execute();
  Flush();
}

void Connection::Execute() {
  const int64_t now_us = host_->MonotonicUs();
  while (!held_ && !closing_ && !dead_ && out_.size() - out_done_ + waiting_bytes_.size() < kUnsentBytesMax &&
         waiting_.size() < kWaitingMax) {
    size_t consumed = 0;
    const auto outcome = parser_.Next(std::string_view(in_).substr(in_done_), &consumed);
    if (outcome == RequestParser::Outcome::kNeedMore) {
      break;
    }
    scratch_.clear();
    Answer answer;
    if (outcome == RequestParser::Outcome::kError) {
      AppendError("ERR " + parser_.error(), &scratch_);
      answer.close = true;
    } else if (outcome == RequestParser::Outcome::kRequest) {
      answer = host_->Handle(this, parser_.args(), &scratch_);
    }
    if (answer.held) {
      held_ = true;
      break;
    }
    in_done_ += consumed;
    closing_ = answer.close;
    if (scratch_.empty()) {
      continue;
    }
    if (waiting_.empty() && Covered(answer.wait_for, answer.barrier)) {
      out_ += scratch_;
      host_->Replied(0);
    } else {
      waiting_.push_back({answer.wait_for, answer.barrier, now_us, scratch_.size(), answer.write, answer.slot});
      waiting_bytes_ += scratch_;
    }
  }
  Compact(&in_, &in_done_);
  UpdateReading();
  if (held_ || !waiting_.empty()) {
    host_->Watch(this);
  }
}

void Connection::Release() {
  const int64_t now_us = host_->MonotonicUs();
  const size_t start = waiting_done_;
  while (!waiting_.empty() && Covered(waiting_.front().lsn, waiting_.front().barrier)) {
    waiting_done_ += waiting_.front().bytes;
    host_->Replied(now_us - waiting_.front().since_us);
    waiting_.pop_front();
  }
  out_.append(waiting_bytes_, start, waiting_done_ - start);
  Compact(&waiting_bytes_, &waiting_done_);
  Flush();
  if (!reading_ && !held_) {
    Resume();
  }
}

void Connection::FailWaiting(std::string_view for_write, std::string_view for_read, const std::string& owner) {
  std::string replies;
  size_t at = waiting_done_;
  for (const Waiting& waiting : waiting_) {
    if (Covered(waiting.lsn, waiting.barrier)) {
      replies.append(waiting_bytes_, at, waiting.bytes);
    } else if (!waiting.write && !owner.empty()) {
      AppendError("MOVED " + std::to_string(waiting.slot) + " " + owner, &replies);
    } else {
      AppendError(waiting.write ? for_write : for_read, &replies);
    }
    at += waiting.bytes;
  }
  waiting_.clear();
  waiting_bytes_.clear();
  waiting_done_ = 0;
  out_ += replies;
  Flush();
}

void Connection::Flush() {
  while (!dead_ && out_done_ < out_.size()) {
    const ssize_t sent = send(fd_, out_.data() + out_done_, out_.size() - out_done_, MSG_NOSIGNAL);
    if (sent >= 0) {
      out_done_ += static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      event_add(writable_, nullptr);
      break;
    } else if (errno != EINTR) {
      Die();
    }
  }
  Compact(&out_, &out_done_);
  if (closing_ && out_.empty() && waiting_.empty()) {
    Die();
  }
}

void Connection::Die() {
  if (!std::exchange(dead_, true)) {
    event_del(readable_);
    event_del(writable_);
    host_->Died(this);
  }
}

void Connection::UpdateReading() {
  // Enough for one request of any size, and nothing while requests stand in front that cannot be executed now.
  const bool want = !dead_ && !closing_ && !held_ && in_.size() - in_done_ < kRequestBytesMax + kReadBytes &&
                    out_.size() - out_done_ + waiting_bytes_.size() < kUnsentBytesMax && waiting_.size() < kWaitingMax;
  if (want != reading_) {
    reading_ = want;
    want ? event_add(readable_, nullptr) : event_del(readable_);
  }
}

}  // namespace understudy::resp_kv

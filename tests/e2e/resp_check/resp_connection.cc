#include "tests/e2e/resp_check/resp_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace understudy::resp_check {

namespace {

bool WaitFor(int fd, short events, int timeout_ms) {
  pollfd waiting{fd, events, 0};
  int ready = 0;
  do {
    ready = poll(&waiting, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

}  // namespace

Status RespConnection::Connect(const std::string& endpoint, int timeout_ms) {
  Close();
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const std::string host = endpoint.substr(0, colon) == "localhost" ? "127.0.0.1" : endpoint.substr(0, colon);
  const int port = colon == std::string::npos ? 0 : std::atoi(endpoint.c_str() + colon + 1);
  if (port <= 0 || port > 65535 || inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return {StatusCode::kInvalidArgument, "'" + endpoint + "' is not IPv4:port"};
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  endpoint_ = endpoint;
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  int problem = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  if (problem == EINPROGRESS) {
    if (!WaitFor(fd_, POLLOUT, timeout_ms)) {
      Close();
      return {StatusCode::kDeadlineExceeded, "connecting to " + endpoint};
    }
    socklen_t size = sizeof(problem);
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &problem, &size);
  }
  if (problem != 0) {
    Close();
    return {StatusCode::kUnavailable, "connecting to " + endpoint + ": " + std::strerror(problem)};
  }
  return Status::Ok();
}

void RespConnection::Close() {
  if (fd_ >= 0) {
    close(fd_);
    fd_ = -1;
  }
  in_.clear();
}

Result<Reply> RespConnection::Ask(const std::vector<std::string>& words, int timeout_ms) {
  std::string request = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) {
    request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  const Status sent = SendAll(request, timeout_ms);
  Result<Reply> reply = sent.ok() ? ReadReply(timeout_ms) : Result<Reply>(sent);
  if (!reply.ok()) {
    Close();
    return Status(StatusCode::kOutcomeUnknown, reply.status().message());
  }
  return reply;
}

Result<Reply> RespConnection::ReadReply(int timeout_ms) {
  Result<std::string> line = ReadLine(timeout_ms);
  if (!line.ok()) {
    return line.status();
  }
  const char type = line->empty() ? '\0' : (*line)[0];
  Reply reply{Reply::Kind::kText, line->empty() ? std::string() : line->substr(1), {}};
  if (type == '-') {
    reply.kind = Reply::Kind::kError;
  } else if (type == ':') {
    reply.kind = Reply::Kind::kInteger;
  } else if (type == '*') {
    reply.kind = Reply::Kind::kArray;
    for (long i = std::strtol(reply.text.c_str(), nullptr, 10); i > 0; --i) {
      Result<Reply> item = ReadReply(timeout_ms);
      if (!item.ok()) {
        return item.status();
      }
      reply.items.push_back(std::move(item->text));
    }
  } else if (type == '$' && reply.text == "-1") {
    reply.kind = Reply::Kind::kNull;
  } else if (type == '$') {
    const size_t size = std::strtoul(reply.text.c_str(), nullptr, 10);
    while (in_.size() < size + 2) {
      UNDERSTUDY_RETURN_IF_ERROR(Fill(timeout_ms));
    }
    reply.text = in_.substr(0, size);
    in_.erase(0, size + 2);
  } else if (type != '+') {
    return Status(StatusCode::kCorruption, "not a reply: " + *line);
  }
  return reply;
}

Status RespConnection::SendAll(const std::string& bytes, int timeout_ms) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t sent = send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (errno == EAGAIN && !WaitFor(fd_, POLLOUT, timeout_ms)) {
      return {StatusCode::kDeadlineExceeded, "sending to " + endpoint_};
    } else if (errno != EAGAIN && errno != EINTR) {
      return {StatusCode::kUnavailable, "sending to " + endpoint_ + ": " + std::strerror(errno)};
    }
  }
  return Status::Ok();
}

Result<std::string> RespConnection::ReadLine(int timeout_ms) {
  size_t end = in_.find("\r\n");
  while (end == std::string::npos) {
    UNDERSTUDY_RETURN_IF_ERROR(Fill(timeout_ms));
    end = in_.find("\r\n");
  }
  std::string line = in_.substr(0, end);
  in_.erase(0, end + 2);
  return line;
}

Status RespConnection::Fill(int timeout_ms) {
  if (!WaitFor(fd_, POLLIN, timeout_ms)) {
    return {StatusCode::kDeadlineExceeded,
            "no reply from " + endpoint_ + " within " + std::to_string(timeout_ms) + " ms"};
  }
  char chunk[16384];
  const ssize_t got = recv(fd_, chunk, sizeof(chunk), 0);
  if (got > 0) {
    in_.append(chunk, static_cast<size_t>(got));
    return Status::Ok();
  }
  return {StatusCode::kUnavailable,
          endpoint_ + (got == 0 ? " closed the connection" : std::string(": ") + std::strerror(errno))};
}

}  // namespace understudy::resp_check

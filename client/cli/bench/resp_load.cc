#include "client/cli/bench/resp_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "log/env/clock.h"

namespace understudy::cli {
namespace {

constexpr int64_t kCallMs = 2000;
constexpr int kPauseMs = 1;  // between two endpoints that do not take the write: a busy loop would slow the takeover
constexpr size_t kPipeline = 4000;  // each waits for the log once: a longer one fills faster

int64_t NowNs() { return SystemClock()->Now().ns(); }

bool Ready(int fd, short events, int64_t deadline_ns) {
  while (true) {
    const int64_t left_ms = (deadline_ns - NowNs() + kNsPerMs - 1) / kNsPerMs;
    if (left_ms <= 0) return false;
    pollfd entry = {fd, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(left_ms));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

void Pause() { poll(nullptr, 0, kPauseMs); }

}  // namespace

void RespConnection::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  input_.clear();
}

Status RespConnection::Connect(int64_t timeout_ms) {
  const size_t colon = endpoint_.rfind(':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(endpoint_.c_str() + colon + 1)));
  if (colon == std::string::npos || inet_pton(AF_INET, endpoint_.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return {StatusCode::kInvalidArgument, "'" + endpoint_ + "' is not an address"};
  }
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
    const int error = errno;
    Close();
    return {StatusCode::kUnavailable, std::strerror(error)};
  }
  int error = ETIMEDOUT;
  socklen_t size = sizeof error;
  if (Ready(fd_, POLLOUT, NowNs() + timeout_ms * kNsPerMs)) getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) return {};
  Close();
  return {StatusCode::kUnavailable, std::strerror(error)};
}

Status RespConnection::Fill(int64_t deadline_ns) {
  if (!Ready(fd_, POLLIN, deadline_ns)) return {StatusCode::kDeadlineExceeded, "no answer"};
  char chunk[16384];
  const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
  if (n <= 0) return {StatusCode::kUnavailable, n == 0 ? "closed" : std::strerror(errno)};
  input_.append(chunk, static_cast<size_t>(n));
  return {};
}

Result<std::string> RespConnection::Line(int64_t deadline_ns) {
  size_t end;
  while ((end = input_.find("\r\n")) == std::string::npos) UNDERSTUDY_RETURN_IF_ERROR(Fill(deadline_ns));
  std::string line = input_.substr(0, end);
  input_.erase(0, end + 2);
  return line;
}

Result<std::vector<std::string>> RespConnection::Call(const std::vector<std::vector<std::string>>& commands,
                                                      int64_t timeout_ms) {
  if (fd_ < 0) UNDERSTUDY_RETURN_IF_ERROR(Connect(timeout_ms));
  const int64_t deadline_ns = NowNs() + timeout_ms * kNsPerMs;
  std::string out;
  for (const std::vector<std::string>& words : commands) {
    out += "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string& word : words) out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  const auto failed = [this](const Status& status) {
    Close();
    return status;
  };
  size_t sent = 0;
  while (sent < out.size()) {
    const ssize_t n = send(fd_, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<size_t>(n);
    } else if (errno != EAGAIN || !Ready(fd_, POLLOUT, deadline_ns)) {
      return failed({StatusCode::kUnavailable, "the connection broke"});
    }
  }
  std::vector<std::string> replies;
  while (replies.size() < commands.size()) {
    Result<std::string> line = Line(deadline_ns);
    if (!line.ok()) return failed(line.status());
    if (line->empty()) return failed({StatusCode::kCorruption, "an empty reply"});
    if ((*line)[0] == '$' && *line != "$-1") {
      const size_t size = std::strtoull(line->c_str() + 1, nullptr, 10);
      while (input_.size() < size + 2) {
        if (const Status status = Fill(deadline_ns); !status.ok()) return failed(status);
      }
      replies.push_back("$" + input_.substr(0, size));
      input_.erase(0, size + 2);
    } else {
      replies.push_back(*line == "$-1" ? "$" : *line);
    }
  }
  return replies;
}

RespLoad::RespLoad(std::vector<std::string> endpoints, int clients) : endpoints_(std::move(endpoints)) {
  for (int i = 0; i < clients; ++i) clients_.push_back(std::make_unique<Client>());
}

RespLoad::~RespLoad() { Stop(); }

void RespLoad::Start() {
  stopping_ = false;
  for (size_t i = 0; i < clients_.size(); ++i) clients_[i]->thread = std::thread([this, i] { Run(i); });
}

void RespLoad::Stop() {
  stopping_ = true;
  for (const auto& client : clients_) {
    if (client->thread.joinable()) client->thread.join();
  }
}

void RespLoad::Acknowledged() {
  const int64_t now = NowNs();
  const int64_t before = last_success_ns_.exchange(now);
  const int64_t gap = now - before;
  int64_t longest = longest_gap_ns_.load();
  while (gap > longest && !longest_gap_ns_.compare_exchange_weak(longest, gap)) {
  }
  acknowledged_.fetch_add(1);
}

void RespLoad::Run(size_t index) {
  Client& client = *clients_[index];
  std::vector<std::unique_ptr<RespConnection>> connections;
  for (const std::string& endpoint : endpoints_) connections.push_back(std::make_unique<RespConnection>(endpoint));
  size_t at = index % connections.size();
  uint64_t value = client.acked.load();
  const std::string key = "client:" + std::to_string(index);
  while (!stopping_) {
    ++value;
    const uint64_t sent_at = sent_after_.load();
    const auto replies = connections[at]->Call({{"SET", key, std::to_string(value)}}, kCallMs);
    if (replies.ok() && (*replies)[0] == "+OK") {
      client.acked.store(value);
      Acknowledged();
      // Success of a write sent after WaitForSuccess began is what that waits for: told by clearing its mark.
      uint64_t mark = sent_at;
      if (mark % 2 == 1) sent_after_.compare_exchange_strong(mark, mark + 1);
      continue;
    }
    // Not carried out, or perhaps carried out: the next value replaces it either way.
    if (replies.ok() && (*replies)[0].rfind("-MOVED ", 0) == 0) {
      const std::string to = (*replies)[0].substr((*replies)[0].rfind(' ') + 1);
      const auto found = std::find(endpoints_.begin(), endpoints_.end(), to);
      if (found != endpoints_.end() && to != endpoints_[at]) {
        at = static_cast<size_t>(found - endpoints_.begin());
        continue;
      }
    }
    at = (at + 1) % connections.size();
    Pause();
  }
}

void RespLoad::BeginWindow() {
  last_success_ns_.store(NowNs());
  longest_gap_ns_.store(0);
}

bool RespLoad::WaitForSuccess(int64_t timeout_ms) {
  // Odd: somebody waits. A client whose write was sent under this number and succeeded makes it even.
  const uint64_t mark = sent_after_.load() + (sent_after_.load() % 2 == 0 ? 1 : 2);
  sent_after_.store(mark);
  const int64_t deadline = NowNs() + timeout_ms * kNsPerMs;
  while (sent_after_.load() == mark) {
    if (NowNs() > deadline) return false;
    Pause();
  }
  return true;
}

double RespLoad::LongestGapMs() const {
  const int64_t open = NowNs() - last_success_ns_.load();
  return static_cast<double>(std::max(longest_gap_ns_.load(), open)) / kNsPerMs;
}

std::unique_ptr<RespConnection> RespLoad::FindPrimary(int64_t timeout_ms) {
  const int64_t deadline = NowNs() + timeout_ms * kNsPerMs;
  while (NowNs() < deadline) {
    for (const std::string& endpoint : endpoints_) {
      auto connection = std::make_unique<RespConnection>(endpoint);
      const auto replies = connection->Call({{"SET", "probe", "1"}}, kCallMs);
      if (replies.ok() && (*replies)[0] == "+OK") return connection;
    }
    Pause();
  }
  return nullptr;
}

Result<int> RespLoad::CountLost() {
  const std::unique_ptr<RespConnection> primary = FindPrimary(30'000);
  if (!primary) return Status(StatusCode::kUnavailable, "no endpoint takes writes");
  int lost = 0;
  for (size_t i = 0; i < clients_.size(); ++i) {
    const auto replies = primary->Call({{"GET", "client:" + std::to_string(i)}}, kCallMs);
    if (!replies.ok()) return replies.status();
    const uint64_t value = std::strtoull((*replies)[0].c_str() + 1, nullptr, 10);
    if (value < clients_[i]->acked.load()) ++lost;
  }
  return lost;
}

Status RespLoad::Fill(uint64_t first, uint64_t count, uint64_t keys) {
  const std::unique_ptr<RespConnection> primary = FindPrimary(30'000);
  if (!primary) return {StatusCode::kUnavailable, "no endpoint takes writes"};
  const std::string value(64, 'v');
  for (uint64_t i = 0; i < count; i += kPipeline) {
    std::vector<std::vector<std::string>> commands;
    for (uint64_t k = i; k < std::min(count, i + kPipeline); ++k) {
      commands.push_back({"SET", "fill:" + std::to_string((first + k) % keys), value});
    }
    const auto replies = primary->Call(commands, 30'000);
    if (!replies.ok()) return replies.status();
    for (const std::string& reply : *replies) {
      if (reply != "+OK") return {StatusCode::kInternal, "filling: " + reply};
    }
  }
  return {};
}

}  // namespace understudy::cli

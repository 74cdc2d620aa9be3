#include "predictors/host/worker.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "log/format/coding.h"
#include "predictors/host/wire.h"

namespace understudy {

Worker::Worker(int fd) : fd_(fd) { fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK); }

Worker::~Worker() { CloseSocket(); }

void Worker::CloseSocket() {
  if (fd_ < 0) return;
  shutdown(fd_, SHUT_RDWR);
  close(fd_);
  fd_ = -1;
}

Status Worker::Send(const std::string& body) {
  if (body.size() > kWorkerFrameBytesMax) return {StatusCode::kResourceExhausted, "the batch is too large"};
  output_.erase(0, sent_);
  sent_ = 0;
  Append32(&output_, static_cast<uint32_t>(body.size()));
  output_ += body;
  return Pump(nullptr);
}

Status Worker::Pump(std::vector<std::string>* frames) {
  while (sent_ < output_.size()) {
    const ssize_t n = send(fd_, output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL);
    if (n > 0) {
      sent_ += static_cast<size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      return {StatusCode::kUnavailable, std::strerror(errno)};
    }
  }
  if (frames == nullptr) return {};
  char chunk[65536];
  while (true) {
    const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
    if (n > 0) {
      input_.append(chunk, static_cast<size_t>(n));
      while (input_.size() >= 4) {
        const size_t size = Load32(input_.data());
        if (size > kWorkerFrameBytesMax) return {StatusCode::kCorruption, "its answer is malformed"};
        if (input_.size() < 4 + size) break;
        frames->push_back(input_.substr(4, size));
        input_.erase(0, 4 + size);
      }
    } else if (n == 0) {
      return {StatusCode::kUnavailable, "closed its connection"};
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return {};
    } else if (errno != EINTR) {
      return {StatusCode::kUnavailable, std::strerror(errno)};
    }
  }
}

namespace {

class RefusedWorkers : public WorkerFactory {
 public:
  explicit RefusedWorkers(Status why) : why_(std::move(why)) {}
  Result<std::unique_ptr<Worker>> Start(const std::string&) override { return why_; }

 private:
  const Status why_;
};

}  // namespace

std::unique_ptr<WorkerFactory> NewRefusedWorkers(Status why) {
  return std::make_unique<RefusedWorkers>(std::move(why));
}

}  // namespace understudy

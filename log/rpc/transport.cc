#include "log/rpc/transport.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace understudy {

namespace {

constexpr int kBacklog = 512;

std::string ErrnoText(int error) { return std::generic_category().message(error); }

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PlainSocket : public Transport {
 public:
  explicit PlainSocket(Fd fd) : fd_(std::move(fd)) {}
  int fd() const override { return fd_.get(); }
  ssize_t Receive(char* into, size_t size) override {
    const ssize_t n = recv(fd_.get(), into, size, 0);
    return n >= 0 ? n : -errno;
  }
  ssize_t Send(const iovec* parts, int count) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = static_cast<size_t>(count);
    const ssize_t n = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    return n >= 0 ? n : -errno;
  }
  void EndOutput() override { shutdown(fd_.get(), SHUT_WR); }

 private:
  Fd fd_;
};

struct Address {
  std::string path;  // of a Unix socket; empty for TCP
  std::string host;
  std::string port;
};

Result<Address> Parse(const std::string& address) {
  Address result;
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) {
    result.path = address.substr(kUnix.size());
    if (result.path.empty() || result.path.size() >= sizeof(sockaddr_un::sun_path)) {
      return Status(StatusCode::kInvalidArgument, "'" + address + "': a socket path has 1 to " +
                                                      std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
    }
    return result;
  }
  const size_t colon = address.rfind(':');
  uint16_t port = 0;
  if (colon != std::string::npos) {
    result.host = address.substr(0, colon);
    result.port = address.substr(colon + 1);
    const char* end = result.port.data() + result.port.size();
    const auto parsed = std::from_chars(result.port.data(), end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      result.port.clear();
    }
  }
  if (result.host.starts_with('[') && result.host.ends_with(']')) {
    result.host = result.host.substr(1, result.host.size() - 2);
  }
  if (result.host.empty() || result.port.empty()) {
    return Status(StatusCode::kInvalidArgument, "'" + address + "' is neither host:port nor unix:/path");
  }
  if (result.host == "localhost") {
    result.host = "127.0.0.1";
  }
  return result;
}

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  return name;
}

struct AddrInfoDeleter {
  void operator()(addrinfo* info) const { freeaddrinfo(info); }
};
using AddrInfo = std::unique_ptr<addrinfo, AddrInfoDeleter>;

Result<AddrInfo> Resolve(const std::string& address, const Address& parsed, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parsed.host.c_str(), parsed.port.c_str(), &hints, &found);
  if (error != 0) {
    return Status(StatusCode::kUnavailable, "'" + address + "': " + gai_strerror(error));
  }
  return AddrInfo(found);
}

SocketName First(const addrinfo& found) {
  SocketName to;
  to.size = found.ai_addrlen;
  std::memcpy(&to.name, found.ai_addr, found.ai_addrlen);
  return to;
}

std::string NameOf(const sockaddr_storage& name) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (name.ss_family == AF_UNIX) {
    return "unix";
  }
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&name), sizeof name, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  const bool v6 = name.ss_family == AF_INET6;
  return (v6 ? "[" : "") + std::string(host) + (v6 ? "]:" : ":") + port;
}

// Small messages leave at once; a peer whose machine is gone is noticed within some ten seconds.
void TuneTcp(int fd) {
  const auto set = [fd](int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 10'000);
}

Status UnixInUse(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status::Ok() : Status(StatusCode::kIoError, path + ": " + ErrnoText(errno));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return {StatusCode::kAlreadyExists, path + " exists and is not a socket"};
  }
  Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un name = UnixAddress(path);
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 || errno == EAGAIN) {
    return {StatusCode::kAlreadyExists, "another process listens on " + path};
  }
  if (unlink(path.c_str()) != 0) {
    return {StatusCode::kIoError, "removing the stale socket " + path + ": " + ErrnoText(errno)};
  }
  return Status::Ok();
}

Result<int> ListenUnix(const std::string& path) {
  UNDERSTUDY_RETURN_IF_ERROR(UnixInUse(path));
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un name = UnixAddress(path);
  // Nobody can connect before listen(), so there is no moment at which others could slip in.
  if (fd.get() < 0 || bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(fd.get(), kBacklog) != 0) {
    return Status(StatusCode::kIoError, "listening on unix:" + path + ": " + ErrnoText(errno));
  }
  return fd.Release();
}

Result<int> ListenTcp(const std::string& address, const Address& parsed, std::string* actual) {
  auto resolved = Resolve(address, parsed, AI_PASSIVE);
  if (!resolved.ok()) {
    return resolved.status();
  }
  const addrinfo& info = **resolved;
  Fd fd(socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (fd.get() < 0 || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      bind(fd.get(), info.ai_addr, info.ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    const bool used = errno == EADDRINUSE;
    return Status(used ? StatusCode::kAlreadyExists : StatusCode::kIoError,
                  "listening on " + address + ": " + ErrnoText(errno));
  }
  *actual = NameOf(name);
  return fd.Release();
}

}  // namespace

Result<int> ListenOn(const std::string& address, std::string* actual) {
  auto parsed = Parse(address);
  if (!parsed.ok()) {
    return parsed.status();
  }
  *actual = address;
  return parsed->path.empty() ? ListenTcp(address, *parsed, actual) : ListenUnix(parsed->path);
}

void RemoveUnixSocket(const std::string& address) {
  const auto parsed = Parse(address);
  if (parsed.ok() && !parsed->path.empty()) {
    unlink(parsed->path.c_str());
  }
}

Result<std::unique_ptr<Transport>> AcceptFrom(int listen_fd, std::string* peer) {
  for (;;) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    Fd fd(accept4(listen_fd, reinterpret_cast<sockaddr*>(&name), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.get() >= 0) {
      *peer = NameOf(name);
      if (name.ss_family != AF_UNIX) {
        TuneTcp(fd.get());
      }
      return std::unique_ptr<Transport>(std::make_unique<PlainSocket>(std::move(fd)));
    }
    if (errno == EAGAIN) {
      return std::unique_ptr<Transport>();
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return Status(StatusCode::kResourceExhausted, "accepting a connection: " + ErrnoText(errno));
    }
    // Anything else is about that one connection, which is gone; the next may be well.
  }
}

Result<std::optional<SocketName>> SocketNameOf(const std::string& address) {
  const auto parsed = Parse(address);
  if (!parsed.ok()) {
    return parsed.status();
  }
  SocketName found;
  if (!parsed->path.empty()) {
    const sockaddr_un name = UnixAddress(parsed->path);
    found.size = sizeof name;
    std::memcpy(&found.name, &name, sizeof name);
    return std::optional(found);
  }
  const auto numeric = Resolve(address, *parsed, AI_NUMERICHOST);
  if (!numeric.ok()) {
    return std::optional<SocketName>();
  }
  return std::optional(First(**numeric));
}

Result<SocketName> LookUp(const std::string& address) {
  const auto parsed = Parse(address);
  if (!parsed.ok()) {
    return parsed.status();
  }
  const auto resolved = Resolve(address, *parsed, 0);
  if (!resolved.ok()) {
    return resolved.status();
  }
  return First(**resolved);
}

Result<std::unique_ptr<Transport>> ConnectTo(const std::string& address, const SocketName& to) {
  Fd fd(socket(to.name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) {
    return Status(StatusCode::kUnavailable, "connecting to " + address + ": " + ErrnoText(errno));
  }
  if (to.name.ss_family != AF_UNIX) {
    TuneTcp(fd.get());
  }
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.name), to.size) != 0 && errno != EINPROGRESS) {
    return Status(StatusCode::kUnavailable, "connecting to " + address + ": " + ErrnoText(errno));
  }
  return std::unique_ptr<Transport>(std::make_unique<PlainSocket>(std::move(fd)));
}

Status ConnectOutcome(const Transport& transport) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(transport.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
    error = errno;
  }
  return error == 0 ? Status::Ok() : Status(StatusCode::kUnavailable, ErrnoText(error));
}

}  // namespace understudy

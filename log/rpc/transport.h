// Addresses, and the bytes of one connection. The one place where a transport is made; what encrypts goes in here.
// Addresses are "host:port" (IPv6 in brackets) or "unix:/path".
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "understudy/status.h"

namespace understudy {

// Strand of the connection's loop held for every call. Closes in the destructor.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int fd() const = 0;  // to be watched
  // Like recv and sendmsg on a socket that never blocks: the bytes, 0 at the end of the stream, or -errno.
  virtual ssize_t Receive(char* into, size_t size) = 0;
  virtual ssize_t Send(const iovec* parts, int count) = 0;
  virtual void EndOutput() = 0;  // the peer sees the end of the stream after what was sent
};

// A listening socket, non-blocking. A Unix socket is made with mode 0600, and in the place of a socket file that
// nobody listens on any more; one that is in use is kAlreadyExists. `actual` gets the address with the real port.
Result<int> ListenOn(const std::string& address, std::string* actual);
void RemoveUnixSocket(const std::string& address);  // of a listener that is closed; nothing for other addresses

// Takes a connection of a listening socket: null without an error when there is none now.
Result<std::unique_ptr<Transport>> AcceptFrom(int listen_fd, std::string* peer);

// Where a socket is.
struct SocketName {
  sockaddr_storage name{};
  socklen_t size = 0;
};
// Never waits. Nothing: the host is a name (other than localhost), which LookUp finds. kInvalidArgument: no address.
Result<std::optional<SocketName>> SocketNameOf(const std::string& address);
// Asks the system's resolver, and waits for it: for a thread of its own (resolver.h).
Result<SocketName> LookUp(const std::string& address);

// Begins to connect; wait for EPOLLOUT, then ConnectOutcome says how it went. `address` is for errors.
Result<std::unique_ptr<Transport>> ConnectTo(const std::string& address, const SocketName& to);
Status ConnectOutcome(const Transport& transport);

}  // namespace understudy

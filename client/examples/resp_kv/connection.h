// One client: its socket, the requests that have arrived, and the replies that wait for the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "client/examples/resp_kv/request_parser.h"

struct event;
struct event_base;

namespace understudy::resp_kv {

class Connection;

// What one request led to. A reply waits until everything up to `wait_for` is committed and the read barrier with the
// number `barrier` has completed.
struct Answer {
  bool held = false;   // the request was not executed: offer it again on Resume
  bool close = false;  // after this reply
  bool write = false;  // its outcome is unknown when `wait_for` is never committed
  uint64_t wait_for = 0;
  uint64_t barrier = 0;
  int slot = 0;  // for the redirection, should a read's barrier never complete
};

// What a connection needs of its server. All on the executing thread.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // Executes `args` and appends the reply.
  virtual Answer Handle(Connection* connection, const std::vector<std::string_view>& args, std::string* reply) = 0;
  virtual uint64_t committed() const = 0;
  virtual uint64_t barriers_done() const = 0;
  virtual int64_t MonotonicUs() = 0;
  virtual void Replied(int64_t latency_us) = 0;  // a reply was let go
  // It is held or waits: call Resume, Release or FailWaiting when there is progress. Called whenever that begins anew.
  virtual void Watch(Connection* connection) = 0;
  // dead() has become true. Destroy it, but not in this call.
  virtual void Died(Connection* connection) = 0;
};

class Connection {
 public:
  Connection(ConnectionHost* host, event_base* base, int fd, uint64_t id, std::string address);
  ~Connection();  // closes the socket
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Tries a held request again, and goes on with what stands behind it.
  void Resume();
  // Lets go the replies that the log covers now, and sends them.
  void Release();
  // The replies that still wait become errors. `owner`: where reads are redirected to; empty: they get `for_read`.
  void FailWaiting(std::string_view for_write, std::string_view for_read, const std::string& owner);

  bool dead() const { return dead_; }  // to be destroyed by the host
  bool held() const { return held_; }
  bool waiting() const { return !waiting_.empty(); }
  uint64_t id() const { return id_; }
  const std::string& address() const { return address_; }

  std::string name;      // CLIENT SETNAME
  std::string service;   // AUTH: the only service this client wants to talk to; empty: any
  bool watched = false;  // the host's: it is among those that wait for progress

 private:
  struct Waiting {
    uint64_t lsn;
    uint64_t barrier;
    int64_t since_us;
    size_t bytes;  // of the reply, in waiting_bytes_
    bool write;
    int slot;
  };
  bool Covered(uint64_t lsn, uint64_t barrier) const {
    return lsn <= host_->committed() && barrier <= host_->barriers_done();
  }

  void OnReadable();
  void OnWritable();
  void Execute();  // the requests in in_
  void Flush();    // sends out_
  void UpdateReading();
  void Die();

  ConnectionHost* host_;
  int fd_;
  uint64_t id_;
  std::string address_;
  event* readable_;
  event* writable_;

  RequestParser parser_;
  std::string in_;
  size_t in_done_ = 0;  // bytes of in_ that are executed
  bool held_ = false;   // the request at in_done_ is to be tried again

  std::deque<Waiting> waiting_;  // in the order of the requests
  std::string waiting_bytes_;
  size_t waiting_done_ = 0;
  std::string out_;
  size_t out_done_ = 0;
  std::string scratch_;
  bool reading_ = false;
  bool closing_ = false;  // nothing more is read; dead when all is sent
  bool dead_ = false;
};

}  // namespace understudy::resp_kv

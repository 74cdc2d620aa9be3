// One framed connection on an EventLoop, the same for both sides: received frames come out, queued bytes go in.
// Reading can be paused (back-pressure); what is queued within one dispatch leaves in one system call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "log/rpc/event_loop.h"
#include "log/rpc/frame_buffer.h"
#include "log/rpc/output_queue.h"
#include "log/rpc/transport.h"
#include "understudy/status.h"

namespace understudy {

// Strand held for every call. Owned by its user and, while it is open, by the loop.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // The frame is valid during the call. May pause or close the connection.
    virtual void OnFrame(std::string_view frame) = 0;
    virtual void OnConnected() {}  // after Start(connecting)
    // Queued bytes went out: a bound on them may allow more now. May come from within OutputAdded.
    virtual void OnSent() {}
    // Once, never from inside a call of the owner's, and not after Close: the peer ended it (kUnavailable), or sent
    // what is no frame (kInvalidArgument).
    virtual void OnBroken(const Status& why) = 0;
  };

  Connection(EventLoop* loop, std::unique_ptr<Transport> transport, Owner* owner, size_t frame_bytes_max);
  ~Connection();

  // `connecting`: the transport comes from ConnectTo and waits for its outcome first.
  void Start(bool connecting);
  // No more calls of the owner; queued bytes are dropped.
  void Close();
  // Hands no more frames to the owner; closes, without telling it, when the queued bytes are out and the peer has
  // closed too, or after `timeout_ns`.
  void CloseWhenSent(int64_t timeout_ns);
  bool open() const { return transport_ != nullptr; }

  void Pause() { paused_ = true; }
  void Resume();  // frames already received come soon, not within the call
  bool paused() const { return paused_; }
  void set_frame_bytes_max(size_t bytes) { frame_bytes_max_ = bytes; }

  // Append whole frames, then say so.
  OutputQueue& output() { return output_; }
  void OutputAdded();

 private:
  void OnEvents(uint32_t events);
  void ReadAndDeliver(bool hung_up);
  bool Deliver();  // whole frames; false when it must not read on
  void Discard();
  void Flush();
  void WatchOutput(bool wanted);
  void BreakSoon(Status why);

  EventLoop* const loop_;
  std::unique_ptr<Transport> transport_;
  Owner* owner_;
  size_t frame_bytes_max_;
  FrameBuffer input_;
  OutputQueue output_;
  EventLoop::TimerId linger_timer_ = 0;
  bool connecting_ = false;
  bool paused_ = false;
  bool broken_ = false;
  bool closing_ = false;  // CloseWhenSent
  bool delivering_ = false;
  bool hung_up_ = false;  // the peer has ended its side; there may still be bytes to read
  bool read_scheduled_ = false;
  bool flush_scheduled_ = false;
  bool output_watched_ = false;
};

}  // namespace understudy

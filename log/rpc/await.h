// How a blocking caller waits for what a handler of the loop will bring: it drives the loop itself, which saves the
// wake-up of a second thread. When several callers wait at once, one drives and the others sleep until they are
// completed or it is their turn to drive. A thread in EventLoop::Run is not needed, but does no harm.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "log/rpc/event_loop.h"
#include "understudy/status.h"

namespace understudy {

// One event that one thread waits for. Set may still be running when Wait returns, so share ownership with the setter.
class Completion {
 public:
  explicit Completion(EventLoop* loop) : loop_(loop) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Once; any thread, strand held or not. Cheap when nobody waits. What was written before it is visible after Wait.
  void Set();
  bool done() const { return state_.load(std::memory_order_acquire) == kDone; }

  // One thread, without the strand, not from a handler. Drives the loop or sleeps until Set or until `timeout_ns` have
  // passed (negative: no bound) on the loop's clock. Returns done().
  bool Wait(int64_t timeout_ns = -1);

 private:
  friend class EventLoop;
  enum State : uint32_t { kPending, kParked, kDriving, kDone };
  void Drive(Instant deadline);
  void Park(Instant deadline);
  void PromoteOne();  // parking lock held: when nobody drives, a sleeper's turn

  EventLoop* const loop_;
  std::atomic<uint32_t> state_{kPending};
  Completion* next_parked_ = nullptr;  // under the loop's parking lock
  bool parked_ = false;                // likewise
};

// Calls `start` with the strand held and a callback for the answer, then waits for the answer: `Await<AppendResponse>(
// loop, [&](auto done) { client->Append(request, timeout_ms, std::move(done)); })`. The caller does not hold the
// strand.
template <class Response, class Start>
Result<Response> Await(EventLoop* loop, Start&& start) {
  struct Shared {
    explicit Shared(EventLoop* l) : completion(l) {}
    Completion completion;
    std::optional<Result<Response>> answer;
  };
  auto shared = std::make_shared<Shared>(loop);
  {
    EventLoop::Section section(loop);
    std::forward<Start>(start)(std::function<void(Result<Response>)>([shared](Result<Response> answer) {
      shared->answer.emplace(std::move(answer));
      shared->completion.Set();
    }));
  }
  shared->completion.Wait();
  return *std::move(shared->answer);
}

// Drives the loop until `condition`, which is evaluated with the strand held, is true or `timeout_ns` have passed. For
// tests and for shutdown: it looks again after every dispatch of this thread and every few milliseconds.
bool DriveUntil(EventLoop* loop, int64_t timeout_ns, const std::function<bool()>& condition);

}  // namespace understudy

// The client library's event loop and its one thread, and how the application's threads get at it.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "log/env/clock.h"
#include "log/rpc/await.h"
#include "log/rpc/event_loop.h"

namespace understudy {

// Thread-safe. Everything that belongs to the loop is touched only under its strand.
class Runtime {
 public:
  explicit Runtime(Clock* clock);
  ~Runtime();  // Stop()
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  EventLoop* loop() { return &loop_; }
  Instant Now() { return loop_.clock()->Now(); }

  // Runs `fn` soon, under the strand, on another thread or a later turn of this one. Never waits.
  void Run(std::function<void()> fn) { loop_.Post(std::move(fn)); }

  // Runs after each dispatch, without the strand, on whatever thread dispatched. `fn` lives as long as the loop runs.
  void SetAfterWork(const std::function<void()>* fn) { after_work_.store(fn, std::memory_order_release); }

  // Ends the loop's thread; nothing runs under the strand any more. Idempotent.
  void Stop();

  // Blocks for the result of work under the strand: `start` is run there and calls back, once, with the result. The
  // calling thread drives the loop meanwhile, so it may run callbacks of the application's. Not from such a callback.
  template <class T>
  T Call(const std::function<void(std::function<void(T)>)>& start) {
    struct Shared {
      explicit Shared(EventLoop* loop) : completion(loop) {}
      Completion completion;
      std::optional<T> result;
    };
    auto shared = std::make_shared<Shared>(&loop_);
    {
      EventLoop::Section section(&loop_);
      start([shared](T result) {
        shared->result.emplace(std::move(result));
        shared->completion.Set();
      });
    }
    AfterWork();
    shared->completion.Wait();
    return *std::move(shared->result);
  }

  // The same for the library's own background threads, which leave the network's work to others.
  template <class T>
  T CallFromBackground(std::function<void(std::function<void(T)>)> start) {
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> result = promise->get_future();
    Run([promise, start = std::move(start)] { start([promise](T value) { promise->set_value(std::move(value)); }); });
    return result.get();
  }

  // True while this thread runs a callback of the application's from inside the library: blocking calls are refused.
  static bool InCallback();
  // Marks the calling thread for the time it runs the application's callbacks.
  class CallbackScope {
   public:
    CallbackScope();
    ~CallbackScope();

   private:
    bool outer_;
  };

 private:
  void AfterWork();

  EventLoop loop_;
  std::atomic<const std::function<void()>*> after_work_{nullptr};
  std::thread thread_;
};

}  // namespace understudy

// The client library's event loop, its one thread, and how other threads wait for it: a thread that blocks for an
// answer drives the loop itself when no other does, so that an idle system pays no hop from thread to thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "log/env/clock.h"
#include "log/rpc/event_loop.h"

namespace understudy {

// A one-shot event that one thread waits for. Shared, because the finisher may touch it after the waiter has left.
class Completion {
 public:
  bool done() const { return state_.load(std::memory_order_acquire) == kDone; }

 private:
  friend class Runtime;
  enum : uint32_t { kPending, kSleeping, kDriving, kDone };
  std::atomic<uint32_t> state_{kPending};
};

// Thread-safe. Everything that belongs to the loop is touched only under its strand.
class Runtime {
 public:
  explicit Runtime(Clock* clock);
  ~Runtime();  // stops and joins the thread; nobody waits any more
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  EventLoop* loop() { return &loop_; }
  Instant Now() { return loop_.clock()->Now(); }

  // Runs `fn` under the strand: before it returns when the strand is free, else soon. Never waits for it.
  void Run(std::function<void()> fn);

  // Runs after each dispatch, without the strand, on whatever thread dispatched. `fn` lives as long as the loop runs.
  void SetAfterWork(const std::function<void()>* fn) { after_work_.store(fn, std::memory_order_release); }

  // Ends the loop's thread; nothing runs under the strand any more. Idempotent.
  void Stop();

  // Who does the network's work while a thread waits. kSelf: the waiter, when no other waiter does: the quickest
  // answer. kOthers: background work, which shall not run the application's callbacks on its own thread.
  enum class Drive { kSelf, kOthers };

  // Blocks until Finish(completion). Not from a callback of the library's: it would wait for itself.
  void Await(const std::shared_ptr<Completion>& completion, Drive drive = Drive::kSelf);
  // Strand held or not.
  void Finish(const std::shared_ptr<Completion>& completion);

  // Blocks for the result of work under the strand: `start` is run there and calls back, once, with the result.
  template <class T>
  T Call(std::function<void(std::function<void(T)>)> start, Drive drive = Drive::kSelf) {
    struct Shared {
      std::shared_ptr<Completion> completion = std::make_shared<Completion>();
      std::optional<T> result;
    };
    auto shared = std::make_shared<Shared>();
    Run([this, shared, start = std::move(start)] {
      start([this, shared](T result) {
        shared->result.emplace(std::move(result));
        Finish(shared->completion);
      });
    });
    Await(shared->completion, drive);
    return std::move(*shared->result);
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
  EventLoop loop_;
  std::atomic<const std::function<void()>*> after_work_{nullptr};
  std::atomic<bool> driven_{false};  // a waiter drives the loop beside the thread
  std::thread thread_;
};

}  // namespace understudy

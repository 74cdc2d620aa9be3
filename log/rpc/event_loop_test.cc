#include "log/rpc/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "log/rpc/await.h"

namespace understudy {
namespace {

constexpr int64_t kLongNs = 20 * kNsPerSecond;

class FakeClock : public Clock {
 public:
  Instant Now() override { return Instant(now_ns.load()); }
  int64_t WallUnixMs() override { return 0; }
  std::atomic<int64_t> now_ns{0};
};

class Eventfd {
 public:
  Eventfd() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Eventfd() { close(fd_); }
  int fd() const { return fd_; }
  void Signal() {
    const uint64_t one = 1;
    ASSERT_EQ(write(fd_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  bool Take() {
    uint64_t value;
    return read(fd_, &value, sizeof value) == static_cast<ssize_t>(sizeof value);
  }

 private:
  int fd_;
};

// Returns when the kernel says that the thread sleeps.
void AwaitSleeping(pid_t thread) {
  const Instant deadline = SystemClock()->Now() + kLongNs;
  std::string state;
  while (state != "S" && SystemClock()->Now() < deadline) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string pid;
    std::string name;
    stat >> pid >> name >> state;
    std::this_thread::yield();
  }
  ASSERT_EQ(state, "S");
}

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

// Drives a loop in a thread of its own.
class Runner {
 public:
  explicit Runner(EventLoop* loop)
      : loop_(loop), thread_([this] {
          id_.store(ThreadId());
          loop_->Run();
        }) {
    while (id_.load() == 0) {
      std::this_thread::yield();
    }
  }
  ~Runner() {
    loop_->Stop();
    thread_.join();
  }
  pid_t id() const { return id_.load(); }

 private:
  EventLoop* loop_;
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

TEST(EventLoop, RunsWhatIsPostedInOrderWithTheStrandHeld) {
  EventLoop loop(SystemClock());
  std::string order;
  loop.Post([&] {
    EXPECT_FALSE(loop.strand().try_lock());
    order += 'a';
    loop.Post([&] { order += 'c'; });
  });
  loop.Post([&] { order += 'b'; });
  loop.RunOnce(0);
  EXPECT_EQ(order, "abc");
}

TEST(EventLoop, PostWakesAThreadThatWaits) {
  EventLoop loop(SystemClock());
  Runner runner(&loop);
  AwaitSleeping(runner.id());
  std::atomic<pid_t> ran_on{0};
  loop.Post([&] { ran_on = ThreadId(); });
  ASSERT_TRUE(DriveUntil(&loop, kLongNs, [&] { return ran_on != 0; }));
}

TEST(EventLoop, ManyPostersLoseNothing) {
  EventLoop loop(SystemClock());
  int ran = 0;
  {
    Runner one(&loop);
    Runner two(&loop);
    std::vector<std::thread> posters;
    for (int t = 0; t < 4; ++t) {
      posters.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) {
          loop.Post([&] { ++ran; });  // not atomic: the strand protects it
        }
      });
    }
    for (auto& poster : posters) {
      poster.join();
    }
    EXPECT_TRUE(DriveUntil(&loop, kLongNs, [&] { return ran == 8000; }));
  }
}

TEST(EventLoop, TimersFireInOrderAndNotBeforeTheirTime) {
  FakeClock clock;
  EventLoop loop(&clock);
  std::string fired;
  {
    EventLoop::Section section(&loop);
    loop.At(Instant(300), [&] { fired += 'c'; });
    loop.At(Instant(100), [&] { fired += 'a'; });
    const auto cancelled = loop.At(Instant(150), [&] { fired += 'x'; });
    loop.At(Instant(200), [&] { fired += 'b'; });
    loop.Cancel(cancelled);
  }
  loop.RunOnce(0);
  EXPECT_EQ(fired, "");
  clock.now_ns = 250;
  loop.RunOnce(0);
  EXPECT_EQ(fired, "ab");
  clock.now_ns = 300;
  loop.RunOnce(0);
  EXPECT_EQ(fired, "abc");
}

TEST(EventLoop, ATimerEndsTheWait) {
  EventLoop loop(SystemClock());
  bool fired = false;
  const Instant start = SystemClock()->Now();
  {
    std::lock_guard lock(loop.strand());
    loop.At(start + 5 * kNsPerMs, [&] { fired = true; });
  }
  while (!fired && SystemClock()->Now() - start < kLongNs) {
    loop.RunOnce(-1);
  }
  EXPECT_TRUE(fired);
  EXPECT_GE(SystemClock()->Now() - start, 5 * kNsPerMs);
}

TEST(EventLoop, ATimerThatSetsItselfForNowDoesNotHoldUpTheRest) {
  EventLoop loop(SystemClock());
  int fired = 0;
  std::function<void()> again = [&] {
    ++fired;
    loop.At(SystemClock()->Now(), again);
  };
  {
    EventLoop::Section section(&loop);
    again();
  }
  bool posted = false;
  loop.Post([&] { posted = true; });
  loop.RunOnce(0);
  EXPECT_TRUE(posted);
  EXPECT_GT(fired, 1);
}

TEST(EventLoop, EdgesReachTheHandlerUntilItIsUnwatched) {
  EventLoop loop(SystemClock());
  Eventfd event;
  int calls = 0;
  {
    EventLoop::Section section(&loop);
    loop.Watch(event.fd(), EPOLLIN, [&](uint32_t events) {
      EXPECT_NE(events & EPOLLIN, 0U);
      event.Take();
      ++calls;
    });
  }
  event.Signal();
  loop.RunOnce(0);
  loop.RunOnce(0);
  EXPECT_EQ(calls, 1);
  event.Signal();
  {
    EventLoop::Section section(&loop);
    loop.Unwatch(event.fd());
  }
  loop.RunOnce(0);
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, AHandlerMayUnwatchItselfAndWatchAgain) {
  EventLoop loop(SystemClock());
  Eventfd first;
  Eventfd second;
  std::string calls;
  {
    EventLoop::Section section(&loop);
    std::string name = "first, long enough to live on the heap and be missed when it is gone";
    loop.Watch(first.fd(), EPOLLIN, [&, name](uint32_t) {
      loop.Unwatch(first.fd());
      loop.Watch(second.fd(), EPOLLIN, [&](uint32_t) { calls += "second"; });
      calls += name.substr(0, 5) + ",";
    });
  }
  first.Signal();
  second.Signal();
  loop.RunOnce(0);
  loop.RunOnce(0);
  EXPECT_EQ(calls, "first,second");
}

// An event of a descriptor that was closed must not reach the handler of the one that got its number.
TEST(EventLoop, AStaleEventDoesNotReachTheNextUserOfTheDescriptor) {
  EventLoop loop(SystemClock());
  auto old_one = std::make_unique<Eventfd>();
  Eventfd closer;
  std::unique_ptr<Eventfd> new_one;
  std::string calls;
  {
    EventLoop::Section section(&loop);
    const auto replace = [&](uint32_t) {
      if (new_one == nullptr) {
        const int number = old_one->fd();
        loop.Unwatch(number);
        old_one = nullptr;
        new_one = std::make_unique<Eventfd>();
        ASSERT_EQ(new_one->fd(), number);
        loop.Watch(number, EPOLLIN, [&](uint32_t) { calls += "new"; });
      }
    };
    loop.Watch(closer.fd(), EPOLLIN, replace);
    loop.Watch(old_one->fd(), EPOLLIN, [&](uint32_t) { calls += "old"; });
  }
  closer.Signal();
  old_one->Signal();
  loop.RunOnce(0);
  EXPECT_EQ(calls, "");
}

TEST(EventLoop, DeferredFunctionsRunOnceAtTheEndBeforeTheAfterWork) {
  EventLoop loop(SystemClock());
  std::string order;
  loop.SetAfterWork([&] {
    EXPECT_TRUE(loop.strand().try_lock());
    loop.strand().unlock();
    order += "w";
  });
  loop.Post([&] {
    loop.Defer([&] { order += "d"; });
    order += "1";
  });
  loop.Post([&] { order += "2"; });
  loop.RunOnce(0);
  EXPECT_EQ(order, "12dw");
  {
    EventLoop::Section section(&loop);
    loop.Defer([&] { order += "d"; });
    order += "s";
  }
  EXPECT_EQ(order, "12dwsd");
  std::lock_guard lock(loop.strand());
  loop.Defer([&] { order += "now"; });
  EXPECT_EQ(order, "12dwsdnow");
}

// While one thread is in the after-work, another drives on.
TEST(EventLoop, AThreadInTheAfterWorkDoesNotHoldUpTheOthers) {
  EventLoop loop(SystemClock());
  std::atomic<bool> block{true};
  std::atomic<int> blocked{0};
  std::atomic<bool> done{false};
  loop.SetAfterWork([&] {
    if (block.exchange(false)) {
      ++blocked;
      const Instant deadline = SystemClock()->Now() + kLongNs;
      while (!done && SystemClock()->Now() < deadline) {
        std::this_thread::yield();
      }
    }
  });
  Runner one(&loop);
  Runner two(&loop);
  loop.Post([] {});
  while (blocked == 0) {
    std::this_thread::yield();
  }
  loop.Post([&] { done = true; });
  EXPECT_TRUE(DriveUntil(&loop, kLongNs, [&] { return done.load(); }));
}

// What saves a writer that waits for its answer the wake-up of a second thread.
TEST(EventLoop, TheThreadThatBeganToWaitLastGetsTheEvent) {
  EventLoop loop(SystemClock());
  Runner background(&loop);
  Eventfd event;
  pid_t handled_by = 0;
  int handled = 0;
  {
    EventLoop::Section section(&loop);
    loop.Watch(event.fd(), EPOLLIN, [&](uint32_t) {
      event.Take();
      handled_by = ThreadId();
      ++handled;
    });
  }
  const pid_t caller = ThreadId();
  int by_caller = 0;
  constexpr int kRounds = 100;
  for (int round = 1; round <= kRounds; ++round) {
    AwaitSleeping(background.id());
    std::thread signaller([&] {
      AwaitSleeping(caller);
      event.Signal();
    });
    while (true) {
      loop.RunOnce(kNsPerSecond);
      EventLoop::Section section(&loop);
      if (handled == round) {
        by_caller += handled_by == caller ? 1 : 0;
        break;
      }
    }
    signaller.join();
  }
  // Joining can make the caller sleep before it waits for events; all but a few rounds are decided by the order.
  EXPECT_GE(by_caller, kRounds * 9 / 10);
}

TEST(EventLoop, StopEndsEveryThreadInRun) {
  EventLoop loop(SystemClock());
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] { loop.Run(); });
  }
  loop.Stop();
  for (auto& thread : threads) {
    thread.join();
  }
  loop.Run();  // returns at once
}

TEST(Completion, TheWaitingThreadDrivesByItself) {
  EventLoop loop(SystemClock());
  Completion completion(&loop);
  pid_t ran_on = 0;
  std::thread poster([&] {
    loop.Post([&] {
      ran_on = ThreadId();
      completion.Set();
    });
  });
  EXPECT_TRUE(completion.Wait());
  EXPECT_EQ(ran_on, ThreadId());
  poster.join();
}

TEST(Completion, IsWokenWhenAnotherThreadCompletesIt) {
  EventLoop loop(SystemClock());
  const pid_t caller = ThreadId();
  for (int round = 0; round < 50; ++round) {
    auto completion = std::make_shared<Completion>(&loop);
    std::thread other([completion, caller] {
      AwaitSleeping(caller);  // in epoll_wait
      completion->Set();
    });
    EXPECT_TRUE(completion->Wait(kLongNs));
    other.join();
  }
}

TEST(Completion, TimesOut) {
  EventLoop loop(SystemClock());
  Completion completion(&loop);
  EXPECT_FALSE(completion.Wait(2 * kNsPerMs));
  EXPECT_FALSE(completion.done());
  completion.Set();
  EXPECT_TRUE(completion.Wait());
}

// Many callers, no other thread: whoever drives completes the others too, and hands on when it leaves.
TEST(Completion, ManyWaitersTakeTurnsDriving) {
  EventLoop loop(SystemClock());
  constexpr int kThreads = 8;
  constexpr int kRounds = 500;
  std::atomic<int> finished{0};
  std::atomic<int> timed_out{0};
  std::vector<std::shared_ptr<Completion>> outstanding;  // under the strand
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        auto completion = std::make_shared<Completion>(&loop);
        {
          EventLoop::Section section(&loop);
          outstanding.push_back(completion);
        }
        // Completes all that wait, now and then only: the others sleep until then.
        if ((round + t) % 3 == 0) {
          loop.Post([&] {
            for (auto& each : outstanding) {
              each->Set();
            }
            outstanding.clear();
          });
        } else {
          loop.Post([&, completion] {
            const auto found = std::find(outstanding.begin(), outstanding.end(), completion);
            if (found != outstanding.end()) {
              outstanding.erase(found);
              completion->Set();
            }
          });
        }
        timed_out += completion->Wait(kLongNs) ? 0 : 1;
      }
      ++finished;
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(finished, kThreads);
  EXPECT_EQ(timed_out, 0);
}

TEST(Await, ReturnsWhatTheCallbackGot) {
  EventLoop loop(SystemClock());
  const Result<int> answer = Await<int>(&loop, [&](auto done) { loop.Post([done] { done(42); }); });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, 42);
  const Result<int> error = Await<int>(&loop, [](auto done) { done(Status(StatusCode::kNotFound, "none")); });
  EXPECT_EQ(error.status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace understudy

#include "log/rpc/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "log/rpc/await.h"
#include "log/rpc/loop_testing.h"

namespace understudy {
namespace {

using rpc_test::AwaitSleeping;
using rpc_test::kWaitNs;
using rpc_test::Runner;
using rpc_test::ThreadId;

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
  ASSERT_TRUE(DriveUntil(&loop, kWaitNs, [&] { return ran_on != 0; }));
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
    EXPECT_TRUE(DriveUntil(&loop, kWaitNs, [&] { return ran == 8000; }));
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
  while (!fired && SystemClock()->Now() - start < kWaitNs) {
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
      const Instant deadline = SystemClock()->Now() + kWaitNs;
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
  EXPECT_TRUE(DriveUntil(&loop, kWaitNs, [&] { return done.load(); }));
}

// A thread that wakes up with an event while another dispatches does not queue for the strand.
TEST(EventLoop, EventsThatComeDuringADispatchAreHandedToIt) {
  EventLoop loop(SystemClock());
  Eventfd event;
  std::atomic<pid_t> handled_by{0};
  {
    EventLoop::Section section(&loop);
    loop.Watch(event.fd(), EPOLLIN, [&](uint32_t) { handled_by = ThreadId(); });
  }
  Runner runner(&loop);
  std::atomic<bool> dispatching{false};
  std::atomic<bool> go_on{false};
  loop.Post([&] {
    dispatching = true;
    const Instant deadline = SystemClock()->Now() + kWaitNs;
    while (!go_on && SystemClock()->Now() < deadline) {
      std::this_thread::yield();
    }
  });
  while (!dispatching) {
    std::this_thread::yield();
  }
  event.Signal();
  loop.RunOnce(kWaitNs);  // returns although the strand is taken
  EXPECT_EQ(handled_by, 0);
  go_on = true;
  ASSERT_TRUE(DriveUntil(&loop, kWaitNs, [&] { return handled_by != 0; }));
  EXPECT_EQ(handled_by, runner.id());
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

}  // namespace
}  // namespace understudy

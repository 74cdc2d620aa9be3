#include "log/rpc/await.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "log/rpc/loop_testing.h"

namespace understudy {
namespace {

using rpc_test::AwaitSleeping;
using rpc_test::kWaitNs;
using rpc_test::ThreadId;

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
    EXPECT_TRUE(completion->Wait(kWaitNs));
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
        timed_out += completion->Wait(kWaitNs) ? 0 : 1;
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

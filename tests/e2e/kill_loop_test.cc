// understudyd is killed at random moments under load, at least 50 times, also while it recovers. Every record that was
// acknowledged is there afterwards, at its LSN, with its bytes; the writer of before the first kill writes on.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "log/env/random.h"
#include "tests/e2e/server_process.h"
#include "understudy/log.h"

namespace understudy::e2e {
namespace {

constexpr int kKills = 50;

// Appends as fast as it may, and remembers what was acknowledged.
class Load {
 public:
  Load(Log* log, uint64_t seed) : log_(log), random_(seed), thread_([this] { Run(); }) {}
  ~Load() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  size_t acknowledged() const {
    const std::lock_guard lock(mutex_);
    return acknowledged_.size();
  }
  size_t refused() const { return refused_; }
  std::map<Lsn, std::string> TakeAcknowledged() {
    const std::lock_guard lock(mutex_);
    return std::move(acknowledged_);
  }

 private:
  void Run() {
    for (uint64_t number = 1; !stop_; ++number) {
      std::string payload = std::to_string(number) + ":" + std::string(random_.Below(400), 'x');
      const std::string copy = payload;
      // Bound the window, so that records are acknowledged all the time and not only in bursts.
      for (int spins = 0; !stop_ && sent_ - answered_ >= 256; ++spins) Pause(1);
      const Result<Lsn> lsn = log_->Append(copy, number, [this, payload = std::move(payload)](Result<Lsn> answer) {
        ++answered_;
        if (!answer.ok()) {
          ++refused_;
          return;
        }
        const std::lock_guard lock(mutex_);
        acknowledged_.emplace(*answer, payload);
      });
      if (lsn.ok()) {
        ++sent_;
      } else if (lsn.status().code() == StatusCode::kResourceExhausted) {
        Pause(1);
      } else {
        ADD_FAILURE() << "append: " << lsn.status().ToString();
        return;
      }
    }
  }

  Log* log_;
  SeededRandom random_;
  mutable std::mutex mutex_;
  std::map<Lsn, std::string> acknowledged_;
  std::atomic<size_t> sent_{0}, answered_{0}, refused_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

bool WaitFor(const std::function<bool()>& condition, int64_t ms) {
  for (int64_t waited = 0; waited < ms; ++waited) {
    if (condition()) return true;
    Pause(1);
  }
  return condition();
}

Result<std::unique_ptr<Log>> OpenLog(const ServerProcess& server, bool create) {
  LogOptions options;
  options.coordinators = {server.coordinator()};
  options.node = "writer";
  return Log::Open(options, "kills", create);
}

TEST(KillLoopTest, EveryAcknowledgedRecordSurvives) {
  const uint64_t seed = TestSeed();
  SeededRandom random(seed);
  const TestFolder folder;
  ServerProcess server(folder.path() + "/data");
  const std::vector<std::string> flags = {"--log-level", "warning"};
  server.Start(flags);
  Result<std::unique_ptr<Log>> log = Status(StatusCode::kUnavailable, "not tried");
  ASSERT_TRUE(WaitFor([&] { return (log = OpenLog(server, true)).ok(); }, 10'000)) << log.status().ToString();
  Result<Lsn> taken = Status(StatusCode::kUnavailable, "not tried");
  ASSERT_TRUE(WaitFor([&] { return (taken = (*log)->TakeOver(Epoch(0))).ok(); }, 10'000)) << taken.status().ToString();
  const Epoch epoch = (*log)->epoch();

  std::map<Lsn, std::string> acknowledged;
  {
    Load load(log->get(), random.Next64());
    for (int kill = 1; kill <= kKills; ++kill) {
      // Three in four strike a server that serves again, the others one that still recovers.
      if (random.Below(4) != 0) {
        const size_t goal = load.acknowledged() + 1 + random.Below(300);
        ASSERT_TRUE(WaitFor([&] { return load.acknowledged() >= goal; }, 20'000))
            << "kill " << kill << ": stuck at " << load.acknowledged() << " acknowledged; output:\n"
            << server.Output();
      }
      Pause(static_cast<int64_t>(random.Below(60)));
      server.Kill();
      server.Start(flags);
    }
    const size_t goal = load.acknowledged() + 1;
    ASSERT_TRUE(WaitFor([&] { return load.acknowledged() >= goal; }, 20'000)) << server.Output();
    EXPECT_EQ((*log)->epoch(), epoch) << "the writer wrote on, it did not begin anew";
    load.Stop();
    ASSERT_TRUE(WaitFor([&] { return (*log)->commit() == (*log)->last_appended(); }, 20'000));
    EXPECT_EQ(load.refused(), 0u);
    acknowledged = load.TakeAcknowledged();
  }
  std::printf("%d kills, %zu records acknowledged\n", kKills, acknowledged.size());
  EXPECT_EQ(acknowledged.size(), (*log)->commit().value()) << "one acknowledgement a record";
  log->reset();

  // A reader that has never seen the log, from a server started once more, after a takeover.
  server.Kill();
  server.Start(flags);
  ASSERT_TRUE(WaitFor([&] { return (log = OpenLog(server, false)).ok(); }, 10'000)) << log.status().ToString();
  ASSERT_TRUE(WaitFor([&] { return (taken = (*log)->TakeOver(epoch)).ok(); }, 10'000)) << taken.status().ToString();
  EXPECT_GE(*taken, acknowledged.rbegin()->first);
  Lsn expected(1);
  size_t wrong = 0;
  const auto check = [&](const Record& record) {
    EXPECT_EQ(record.lsn, expected) << "a gap";
    const auto found = acknowledged.find(record.lsn);
    if (found != acknowledged.end()) {
      wrong += found->second != record.payload ? 1 : 0;
      acknowledged.erase(found);
    }
    expected = record.lsn + 1;
  };
  const Result<ReplayProgress> read = (*log)->Read(Lsn(1), *taken, check);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(acknowledged.empty()) << acknowledged.size() << " acknowledged records are missing, the first at "
                                    << acknowledged.begin()->first.value();
}

}  // namespace
}  // namespace understudy::e2e

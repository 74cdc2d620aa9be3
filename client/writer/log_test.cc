// Log against real log servers: appends of every kind, back-pressure, lost connections, takeovers, reading.
#include "understudy/log.h"

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/testing/cluster_testing.h"
#include "gtest/gtest.h"
#include "log/env/clock.h"

namespace understudy {
namespace {

using testing::TestCluster;

constexpr std::chrono::seconds kPatience(30);

std::unique_ptr<Log> MustOpen(const LogOptions& options, const std::string& name, bool create = true) {
  Result<std::unique_ptr<Log>> log = Log::Open(options, name, create);
  EXPECT_TRUE(log.ok()) << log.status().ToString();
  return log.ok() ? std::move(log).value() : nullptr;
}

std::map<uint64_t, std::string> MustRead(Log* log, uint64_t from = 1, std::optional<Lsn> until = std::nullopt) {
  std::map<uint64_t, std::string> records;
  const Result<ReplayProgress> progress = log->Read(
      Lsn(from), until, [&](const Record& record) { records[record.lsn.value()] = std::string(record.payload); });
  EXPECT_TRUE(progress.ok()) << progress.status().ToString();
  return records;
}

TEST(Log, AppendsAreReadBackInOrder) {
  TestCluster cluster;
  const std::unique_ptr<Log> log = MustOpen(cluster.log_options("n1"), "orders");
  ASSERT_TRUE(log);
  const Result<Lsn> last = log->TakeOver(Epoch(0));
  ASSERT_TRUE(last.ok()) << last.status().ToString();
  EXPECT_EQ(*last, Lsn(0));
  EXPECT_EQ(log->epoch(), Epoch(1));
  for (uint64_t i = 1; i <= 50; ++i) {
    const Result<Lsn> lsn = log->Append("record " + std::to_string(i), i).Get();
    ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
    EXPECT_EQ(lsn->value(), i);
  }
  EXPECT_EQ(log->commit(), Lsn(50));
  const auto records = MustRead(log.get());
  ASSERT_EQ(records.size(), 50u);
  for (const auto& [lsn, payload] : records) EXPECT_EQ(payload, "record " + std::to_string(lsn));
  EXPECT_EQ(MustRead(log.get(), 41).size(), 10u);
}

TEST(Log, OpenFindsByNameAndCreatesOnce) {
  TestCluster cluster;
  EXPECT_EQ(Log::Open(cluster.log_options("n1"), "a", false).status().code(), StatusCode::kNotFound);
  const auto a = MustOpen(cluster.log_options("n1"), "a");
  const auto b = MustOpen(cluster.log_options("n1"), "b");
  ASSERT_TRUE(a && b);
  ASSERT_TRUE(a->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(a->Append("x", 1).Get().ok());
  const auto again = MustOpen(cluster.log_options("n2"), "a", false);
  ASSERT_TRUE(again);
  EXPECT_EQ(MustRead(again.get(), 1, Lsn(1)).size(), 1u) << "waits until others, too, may know it committed";
  const Result<TailInfo> tail = again->Tail();
  ASSERT_TRUE(tail.ok());
  EXPECT_EQ(tail->epoch, Epoch(1));
  EXPECT_EQ(tail->owner, "n1");
  EXPECT_EQ(tail->endpoint, "n1:1");
  EXPECT_TRUE(tail->open);
  EXPECT_EQ(again->epoch(), Epoch(0)) << "looking does not make a writer";
  EXPECT_EQ(again->Append("y", 1).Get().status().code(), StatusCode::kFailedPrecondition);
}

TEST(Log, CallbacksComeInLsnOrderWithManyInFlight) {
  TestCluster cluster;
  const auto log = MustOpen(cluster.log_options("n1"), "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  constexpr uint64_t kRecords = 200'000;
  std::atomic<uint64_t> next{1};
  std::atomic<bool> in_order{true};
  std::promise<void> all;
  uint64_t appended = 0;
  while (appended < kRecords) {
    const Result<Lsn> lsn = log->Append(std::string(100, 'x'), appended + 1, [&](Result<Lsn> done) {
      const uint64_t expected = next.fetch_add(1);
      if (!done.ok() || done->value() != expected) in_order = false;
      if (expected == kRecords) all.set_value();
    });
    if (lsn.ok()) {
      EXPECT_EQ(lsn->value(), ++appended);
    } else {
      ASSERT_EQ(lsn.status().code(), StatusCode::kResourceExhausted) << lsn.status().ToString();
      std::this_thread::yield();
    }
  }
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(in_order);
  EXPECT_EQ(log->commit(), Lsn(kRecords));
}

TEST(Log, SixtyFourBlockingThreadsShareOneWriter) {
  TestCluster cluster;
  const auto log = MustOpen(cluster.log_options("n1"), "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  std::mutex mutex;
  std::map<uint64_t, std::string> acknowledged;
  std::vector<std::thread> threads;
  for (int t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string payload = std::to_string(t) + ":" + std::to_string(i);
        const Result<Lsn> lsn = log->Append(payload, 1).Get();
        ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
        const std::lock_guard<std::mutex> lock(mutex);
        EXPECT_TRUE(acknowledged.emplace(lsn->value(), payload).second) << "an LSN was given out twice";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(MustRead(log.get()), acknowledged);
}

TEST(Log, BackpressureHoldsWhileTheLogServerIsAwayAndNothingIsLost) {
  TestCluster cluster;
  LogOptions options = cluster.log_options("n1");
  options.inflight_bytes_max = 10'000;
  const auto log = MustOpen(options, "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(log->Append("before", 1).Get().ok());
  cluster.StopLogServer(0);
  std::atomic<int> answered{0};
  std::atomic<int> failed{0};
  int accepted = 0;
  while (true) {
    const Result<Lsn> lsn = log->Append(std::string(88, 'x'), 1, [&](Result<Lsn> done) {
      if (!done.ok()) ++failed;
      ++answered;
    });
    if (!lsn.ok()) {
      EXPECT_EQ(lsn.status().code(), StatusCode::kResourceExhausted);
      break;
    }
    ++accepted;
  }
  EXPECT_EQ(accepted, 100) << "records of 100 bytes each with their headers, up to the bound";
  EXPECT_EQ(answered, 0);
  std::future<Result<Lsn>> blocked = std::async(std::launch::async, [&] { return log->Append("after", 1).Get(); });
  cluster.StartLogServer(0);
  const Result<Lsn> after = blocked.get();
  ASSERT_TRUE(after.ok()) << after.status().ToString();
  EXPECT_EQ(*after, Lsn(102));
  EXPECT_EQ(answered, 100);
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(MustRead(log.get()).size(), 102u);
}

TEST(Log, ATakeoverFencesTheOldWriterAndKeepsWhatItAcknowledged) {
  TestCluster cluster;
  const auto old_writer = MustOpen(cluster.log_options("old"), "a");
  ASSERT_TRUE(old_writer && old_writer->TakeOver(Epoch(0)).ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(old_writer->Append("old", 1).Get().ok());

  const auto new_writer = MustOpen(cluster.log_options("new"), "a");
  const Result<Lsn> last = new_writer->TakeOver(Epoch(1));
  ASSERT_TRUE(last.ok()) << last.status().ToString();
  EXPECT_EQ(*last, Lsn(10));
  EXPECT_EQ(new_writer->epoch(), Epoch(2));

  std::promise<Status> callback;
  const Result<Lsn> doomed =
      old_writer->Append("doomed", 1, [&](Result<Lsn> done) { callback.set_value(done.status()); });
  if (doomed.ok()) {
    EXPECT_EQ(callback.get_future().get().code(), StatusCode::kFenced);
  } else {
    EXPECT_EQ(doomed.status().code(), StatusCode::kFenced) << doomed.status().ToString();
  }
  EXPECT_EQ(old_writer->ReadBarrier().code(), StatusCode::kFenced);
  EXPECT_EQ(old_writer->Append("doomed", 1).Get().status().code(), StatusCode::kFenced);
  EXPECT_EQ(old_writer->epoch(), Epoch(0));

  const Result<Lsn> next = new_writer->Append("new", 1).Get();
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(*next, Lsn(11));
  const auto records = MustRead(new_writer.get());
  ASSERT_EQ(records.size(), 11u);
  EXPECT_EQ(records.at(11), "new");

  const Result<bool> doomed_is_in = new_writer->Resolve(Epoch(1), Lsn(11));
  ASSERT_TRUE(doomed_is_in.ok());
  EXPECT_FALSE(*doomed_is_in) << "LSN 11 of epoch 1 is not part of the log; that of epoch 2 is";
  EXPECT_TRUE(*new_writer->Resolve(Epoch(1), Lsn(10)));
  EXPECT_EQ(new_writer->Resolve(Epoch(2), Lsn(11)).status().code(), StatusCode::kUnavailable);
}

TEST(Log, ATakeoverOfAnEpochThatIsHistoryNamesTheOwner) {
  TestCluster cluster;
  const auto first = MustOpen(cluster.log_options("first"), "a");
  const auto second = MustOpen(cluster.log_options("second"), "a");
  const auto third = MustOpen(cluster.log_options("third"), "a");
  ASSERT_TRUE(first->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(second->TakeOver(Epoch(1)).ok());
  const Status refused = third->TakeOver(Epoch(1)).status();
  EXPECT_EQ(refused.code(), StatusCode::kFenced);
  EXPECT_NE(refused.message().find("second"), std::string::npos) << refused.message();
  ASSERT_TRUE(second->Append("still the writer", 1).Get().ok());
}

TEST(Log, BarriersAndCommitWaitersCoverWhatWasAppendedBefore) {
  TestCluster cluster;
  const auto log = MustOpen(cluster.log_options("n1"), "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  EXPECT_TRUE(log->ReadBarrier().ok());
  std::promise<std::pair<Status, Lsn>> barrier;
  std::promise<std::pair<Status, Lsn>> committed;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(log->Append("x", 1, nullptr).ok());
  log->ReadBarrier([&](const Status& status) { barrier.set_value({status, log->commit()}); });
  log->WhenCommitted([&](const Status& status) { committed.set_value({status, log->commit()}); });
  const auto [barrier_status, barrier_commit] = barrier.get_future().get();
  const auto [commit_status, commit] = committed.get_future().get();
  EXPECT_TRUE(barrier_status.ok()) << barrier_status.ToString();
  EXPECT_GE(barrier_commit, Lsn(1000));
  EXPECT_TRUE(commit_status.ok());
  EXPECT_GE(commit, Lsn(1000));
}

TEST(Log, BlockingCallsInsideACallbackAreRefused) {
  TestCluster cluster;
  const auto log = MustOpen(cluster.log_options("n1"), "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  std::promise<std::vector<StatusCode>> codes;
  std::promise<Lsn> nested;
  ASSERT_TRUE(log->Append("x", 1,
                          [&](const Result<Lsn>&) {
                            std::vector<StatusCode> seen = {log->ReadBarrier().code(), log->Tail().status().code()};
                            const Result<Lsn> second = log->Append(
                                "y", 1, [&](Result<Lsn> done) { nested.set_value(done.ok() ? *done : Lsn(0)); });
                            seen.push_back(second.status().code());
                            codes.set_value(seen);
                          })
                  .ok());
  EXPECT_EQ(codes.get_future().get(), (std::vector<StatusCode>{StatusCode::kFailedPrecondition,
                                                               StatusCode::kFailedPrecondition, StatusCode::kOk}));
  EXPECT_EQ(nested.get_future().get(), Lsn(2)) << "an append from a callback goes out when the callbacks are done";
}

TEST(Log, ClosingAnswersWhatIsOutstanding) {
  TestCluster cluster;
  auto log = MustOpen(cluster.log_options("n1"), "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  cluster.StopLogServer(0);
  std::promise<Status> answer;
  ASSERT_TRUE(log->Append("x", 1, [&](Result<Lsn> done) { answer.set_value(done.status()); }).ok());
  log.reset();
  EXPECT_EQ(answer.get_future().get().code(), StatusCode::kCancelled);
}

TEST(Log, ThreeReplicasAcknowledgeWithOneAway) {
  TestCluster cluster(3);
  LogOptions options = cluster.log_options("n1");
  options.replicas = 3;
  options.ack_quorum = 2;
  auto log = MustOpen(options, "a");
  uint64_t epoch = 0;
  ASSERT_TRUE(log && log->TakeOver(Epoch(epoch++)).ok());
  while (cluster.ChainOf(LogId(1)).last()->disks.size() < 3) {  // on a busy machine one may have answered too late
    log = MustOpen(options, "a");
    ASSERT_TRUE(log && log->TakeOver(Epoch(epoch++)).ok());
  }
  ASSERT_TRUE(log->Append("all three", 1).Get().ok());
  cluster.StopLogServer(1);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(log->Append("two of three", 1).Get().ok());
  const auto heir = MustOpen(cluster.log_options("n2"), "a");
  const Result<Lsn> last = heir->TakeOver(Epoch(epoch));
  ASSERT_TRUE(last.ok()) << last.status().ToString();
  EXPECT_EQ(*last, Lsn(21));
  EXPECT_EQ(MustRead(heir.get()).size(), 21u);
}

TEST(Log, AnEpochThatOpenedWithTooFewDisksMovesToMoreWhenTheyReturn) {
  TestCluster cluster(3);
  LogOptions options = cluster.log_options("n1");
  options.replicas = 3;
  options.ack_quorum = 2;
  cluster.StopLogServer(1);
  const auto log = MustOpen(options, "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  EXPECT_LT(cluster.ChainOf(LogId(1)).last()->disks.size(), 3u);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(log->Append("before", 1).Get().ok());
  cluster.StartLogServer(1);
  const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
  uint64_t appended = 10;
  while (cluster.ChainOf(LogId(1)).last()->disks.size() < 3 && SystemClock()->Now() < deadline) {
    ASSERT_TRUE(log->Append("while it moves", 1).Get().ok());
    ++appended;
  }
  const Chain chain = cluster.ChainOf(LogId(1));
  ASSERT_EQ(chain.last()->disks.size(), 3u);
  EXPECT_EQ(chain.last()->owner.node, "n1");
  ASSERT_TRUE(log->Append("after", 1).Get().ok());
  EXPECT_EQ(log->epoch(), chain.last()->epoch);
  cluster.StopLogServer(0);
  ASSERT_TRUE(log->Append("with the one that returned", 1).Get().ok());
  EXPECT_EQ(MustRead(log.get(), 1, Lsn(appended + 2)).size(), appended + 2);
}

TEST(Log, LargeRecordsAndOversizedOnes) {
  TestCluster cluster;
  const auto log = MustOpen(cluster.log_options("n1"), "a");
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  const std::string large(3u << 20, 'L');
  ASSERT_TRUE(log->Append(large, 1).Get().ok());
  ASSERT_TRUE(log->Append("", 0).Get().ok());
  EXPECT_EQ(log->Append(std::string(kRecordBytesMax + 1, 'x'), 1).Get().status().code(), StatusCode::kInvalidArgument);
  const auto records = MustRead(log.get());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records.at(1), large);
  EXPECT_EQ(records.at(2), "");
}

}  // namespace
}  // namespace understudy

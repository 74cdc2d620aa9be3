// A log on several log servers: disks that die, drain, return and are destroyed under a living writer, links that are
// cut.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/testing/cluster_testing.h"
#include "client/testing/relay.h"
#include "gtest/gtest.h"
#include "log/env/clock.h"
#include "log/epoch/takeover.h"
#include "understudy/log.h"

namespace understudy {
namespace {

using testing::Relay;
using testing::TestCluster;

constexpr int64_t kPatienceNs = 40 * kNsPerSecond;

LogOptions Options(const TestCluster& cluster, const std::string& node, int replicas = 3, int ack_quorum = 2) {
  LogOptions options = cluster.log_options(node);
  options.replicas = replicas;
  options.ack_quorum = ack_quorum;
  return options;
}

std::unique_ptr<Log> MustOpen(const LogOptions& options) {
  Result<std::unique_ptr<Log>> log = Log::Open(options, "a", true);
  EXPECT_TRUE(log.ok()) << log.status().ToString();
  return log.ok() ? std::move(log).value() : nullptr;
}

std::vector<std::string> NodesOf(const EpochEntry& epoch) {
  std::vector<std::string> nodes;
  for (const ReplicaRef& disk : epoch.disks) nodes.push_back(disk.node);
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

// Appends until the log's last epoch is as wanted, so that the test fails by its count when appends stop.
class DisksTest : public ::testing::Test {
 protected:
  bool AppendUntil(TestCluster* cluster, Log* log, const std::function<bool(const EpochEntry&)>& wanted) {
    const Instant deadline = SystemClock()->Now() + kPatienceNs;
    while (SystemClock()->Now() < deadline) {
      const Result<Lsn> lsn = log->Append("record", 1).Get();
      EXPECT_TRUE(lsn.ok()) << lsn.status().ToString();
      if (!lsn.ok()) return false;
      ++appended_;
      if (wanted(*cluster->ChainOf(LogId(1)).last())) return true;
    }
    const EpochEntry last = *cluster->ChainOf(LogId(1)).last();
    ADD_FAILURE() << "the last epoch is " << last.epoch.value() << " on " << ::testing::PrintToString(NodesOf(last));
    return false;
  }
  static std::function<bool(const EpochEntry&)> On(std::vector<std::string> nodes) {
    return [nodes](const EpochEntry& epoch) { return NodesOf(epoch) == nodes; };
  }
  uint64_t Read(Log* log) {
    uint64_t records = 0;
    const Result<ReplayProgress> read = log->Read(Lsn(1), Lsn(appended_), [&](const Record&) { ++records; });
    EXPECT_TRUE(read.ok()) << read.status().ToString();
    return records;
  }
  uint64_t appended_ = 0;
};

TEST_F(DisksTest, ADeadReplicaIsReplacedAndABriefAbsenceChangesNothing) {
  TestCluster cluster(4);
  const auto log = MustOpen(Options(cluster, "n1"));
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [](const EpochEntry& epoch) { return epoch.disks.size() == 3; }));
  const Epoch before = cluster.ChainOf(LogId(1)).last()->epoch;
  const std::vector<std::string> nodes = NodesOf(*cluster.ChainOf(LogId(1)).last());
  const int victim = nodes[0].back() - '0';
  const Instant stopped = SystemClock()->Now();
  cluster.StopLogServer(victim);
  ASSERT_TRUE(log->Append("with one away", 1).Get().ok());
  ++appended_;
  cluster.StartLogServer(victim);
  const bool brief = SystemClock()->Now() - stopped < 2 * kNsPerSecond;  // a busy machine may have taken longer
  const Instant calm = SystemClock()->Now() + 4 * kNsPerSecond;
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [&](const EpochEntry&) { return SystemClock()->Now() > calm; }));
  if (brief) {
    EXPECT_EQ(log->epoch(), before) << "it came back at once: no reason to move";
  }

  cluster.StopLogServer(victim);
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [&](const EpochEntry& epoch) {
    const std::vector<std::string> now = NodesOf(epoch);
    return now.size() == 3 && std::find(now.begin(), now.end(), cluster.node_of(victim)) == now.end();
  }));
  EXPECT_EQ(cluster.ChainOf(LogId(1)).last()->ack_quorum, 2);
  EXPECT_EQ(Read(log.get()), appended_);
}

TEST_F(DisksTest, NobodyInItsPlaceNoMove) {
  TestCluster cluster(3);
  const auto log = MustOpen(Options(cluster, "n1"));
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), On({"log0", "log1", "log2"})));
  const Epoch before = log->epoch();
  cluster.StopLogServer(2);
  const Instant later = SystemClock()->Now() + 6 * kNsPerSecond;  // longer than a replica may be silent
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [&](const EpochEntry&) { return SystemClock()->Now() > later; }));
  EXPECT_EQ(log->epoch(), before);
  cluster.AddLogServer();
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), On({"log0", "log1", "log3"})));
}

TEST_F(DisksTest, DrainingAndRetiredDisksAreLeft) {
  TestCluster cluster(4);
  const auto log = MustOpen(Options(cluster, "n1", 2, 1));
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [](const EpochEntry& epoch) { return epoch.disks.size() == 2; }));
  const std::vector<std::string> first = NodesOf(*cluster.ChainOf(LogId(1)).last());
  cluster.EditDisk(first[0].back() - '0', [](DiskEntry* entry) { entry->state = DiskState::kDraining; });
  cluster.EditDisk(first[1].back() - '0', [](DiskEntry* entry) { entry->state = DiskState::kRetired; });
  std::vector<std::string> rest;
  for (int i = 0; i < 4; ++i) {
    if (std::find(first.begin(), first.end(), cluster.node_of(i)) == first.end()) rest.push_back(cluster.node_of(i));
  }
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), On(rest)));
  EXPECT_EQ(Read(log.get()), appended_);
}

TEST_F(DisksTest, ReplicasSpreadOverZonesWhenTheyCan) {
  TestCluster cluster(3, {"x", "x", "y", "z"});
  const auto log = MustOpen(Options(cluster, "n1"));
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), On({"log0", "log1", "log2"})));
  cluster.AddLogServer();  // in zone z
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [](const EpochEntry& epoch) {
    const std::vector<std::string> nodes = NodesOf(epoch);
    return nodes.size() == 3 && nodes[1] == "log2" && nodes[2] == "log3";
  }));
}

TEST_F(DisksTest, NoMoveBeginsWithoutMetadataAndAppendsGoOn) {
  TestCluster cluster(4);
  const auto log = MustOpen(Options(cluster, "n1"));
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [](const EpochEntry& epoch) { return epoch.disks.size() == 3; }));
  const EpochEntry before = *cluster.ChainOf(LogId(1)).last();
  cluster.StopMetadata();
  cluster.StopLogServer(NodesOf(before)[0].back() - '0');
  const Instant later = SystemClock()->Now() + 6 * kNsPerSecond;
  Instant slowest(0);
  while (SystemClock()->Now() < later) {
    const Instant began = SystemClock()->Now();
    ASSERT_TRUE(log->Append("record", 1).Get().ok());
    ++appended_;
    slowest = std::max(slowest, Instant(SystemClock()->Now() - began));
  }
  EXPECT_LT(slowest.ns(), 4 * kNsPerSecond) << "no append waits for metadata";
  EXPECT_EQ(log->epoch(), before.epoch);
  cluster.StartMetadata();
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), [&](const EpochEntry& epoch) {
    return epoch.epoch > before.epoch && epoch.disks.size() == 3;
  }));
}

TEST_F(DisksTest, ALossThatIsAcceptedIsSeenByReaders) {
  TestCluster cluster(3);
  auto log = MustOpen(Options(cluster, "n1"));
  ASSERT_TRUE(log && log->TakeOver(Epoch(0)).ok());
  ASSERT_TRUE(AppendUntil(&cluster, log.get(), On({"log0", "log1", "log2"})));
  const Epoch epoch = log->epoch();
  log.reset();
  cluster.DestroyLogServer(0);
  cluster.DestroyLogServer(1);
  cluster.AddLogServer();
  cluster.AddLogServer();
  const auto heir = MustOpen(Options(cluster, "n2"));
  const Result<Lsn> last = heir->TakeOverAcceptingLoss(epoch);
  ASSERT_TRUE(last.ok()) << last.status().ToString();
  const Chain chain = cluster.ChainOf(LogId(1));
  const EpochEntry& closed = *chain.Find(epoch);
  EXPECT_EQ(chain.last()->first_lsn, *last + 1);
  EXPECT_GE(*last - *closed.last_lsn, kLossGap - 1);
  const Result<Lsn> next = heir->Append("after the loss", 1).Get();
  ASSERT_TRUE(next.ok());
  std::vector<Lsn> seen;
  const Result<ReplayProgress> read =
      heir->Read(Lsn(1), *next, [&](const Record& record) { seen.push_back(record.lsn); });
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(seen.size(), closed.last_lsn->value() + 1);
  EXPECT_EQ(seen.back(), *next);
  ASSERT_EQ(read->losses.size(), 1u);
  EXPECT_EQ(read->losses[0].from, *closed.last_lsn + 1);
  EXPECT_EQ(read->losses[0].to, *last);
}

// A writer whose links to two of three log servers can be cut while others reach them.
class CutWriterTest : public DisksTest {
 protected:
  CutWriterTest() : cluster_(3) {
    for (int i = 0; i < 2; ++i) {
      relays_.push_back(std::make_unique<Relay>(cluster_.log_server_address(i)));
      Serve(i, relays_.back()->address());
    }
    LogOptions options = Options(cluster_, "n1");
    options.self_fence_ms = 1000;
    options.heartbeat_ms = 100;
    log_ = MustOpen(options);
    EXPECT_TRUE(log_ && log_->TakeOver(Epoch(0)).ok());
    EXPECT_TRUE(AppendUntil(&cluster_, log_.get(), On({"log0", "log1", "log2"})));
    EXPECT_TRUE(log_->ReadBarrier().ok());
    EXPECT_TRUE(log_->MayServe());
    for (int i = 0; i < 2; ++i) Serve(i, cluster_.log_server_address(i));  // others go there themselves
  }
  void Serve(int index, const std::string& address) {
    cluster_.EditDisk(index, [&](DiskEntry* entry) { entry->address = address; });
  }
  void Cut(bool cut) {
    for (const auto& relay : relays_) relay->Cut(cut);
  }
  // When MayServe() became `value`; fails the test when it does not.
  Instant WaitUntilMayServe(bool value) {
    const Instant deadline = SystemClock()->Now() + kPatienceNs;
    while (log_->MayServe() != value && SystemClock()->Now() < deadline) std::this_thread::yield();
    EXPECT_EQ(log_->MayServe(), value);
    return SystemClock()->Now();
  }

  TestCluster cluster_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::unique_ptr<Log> log_;
};

TEST_F(CutWriterTest, StopsServingWithinSelfFenceAndServesAgainInTheSameEpoch) {
  const Epoch epoch = log_->epoch();
  const Instant cut_at = SystemClock()->Now();
  Cut(true);
  std::promise<std::pair<Status, Instant>> barrier;
  auto done = barrier.get_future();
  // Two rounds were perhaps under way: this call's begins after the cut, and cannot complete.
  log_->ReadBarrier([&](const Status& status) { barrier.set_value({status, SystemClock()->Now()}); });
  const Instant fenced_at = WaitUntilMayServe(false);
  EXPECT_LE(fenced_at - cut_at, 3 * kNsPerSecond) << "self_fence_ms, and what a busy machine adds";
  EXPECT_EQ(done.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
  const Instant healed_at = SystemClock()->Now();
  Cut(false);
  const auto [status, completed_at] = done.get();
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_GE(completed_at, healed_at);
  WaitUntilMayServe(true);
  EXPECT_EQ(log_->epoch(), epoch);
  EXPECT_TRUE(log_->Append("after", 1).Get().ok());
}

TEST_F(CutWriterTest, ADeposedWriterNeverServesAgain) {
  Cut(true);
  WaitUntilMayServe(false);
  const auto rival = MustOpen(Options(cluster_, "n2"));
  const Result<Lsn> taken = rival->TakeOver(log_->epoch());
  ASSERT_TRUE(taken.ok()) << taken.status().ToString();
  ASSERT_TRUE(rival->Append("of the new owner", 1).Get().ok());
  std::atomic<bool> watching{true};
  std::atomic<bool> served{false};
  std::thread watch([&] {
    while (watching) {
      if (log_->MayServe()) served = true;
      std::this_thread::yield();
    }
  });
  Cut(false);
  EXPECT_EQ(log_->ReadBarrier().code(), StatusCode::kFenced);
  EXPECT_EQ(log_->Append("of the old owner", 1).Get().status().code(), StatusCode::kFenced);
  watching = false;
  watch.join();
  EXPECT_FALSE(served);
  EXPECT_EQ(log_->epoch(), Epoch(0));
  EXPECT_TRUE(rival->MayServe());
}

}  // namespace
}  // namespace understudy

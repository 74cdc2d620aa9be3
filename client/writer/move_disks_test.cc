// Where a living writer takes its epoch when its disks change: zones, members that are not seen alive, and what there
// is too little of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "client/testing/cluster_testing.h"
#include "client/writer/log_writer.h"
#include "log/env/clock.h"

namespace understudy {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr int64_t kPatienceNs = 30 * kNsPerSecond;
constexpr int64_t kNever = 3'600'000;

class MoveDisksTest : public ::testing::Test {
 protected:
  // A log server in each of `zones`, a log of 3 disks and 2 to acknowledge, its epoch 1 open on servers 0, 1 and 2, and
  // its writer. A member that is silent for `replace_after_ms` counts as lost.
  void Start(const std::vector<std::string>& zones, int64_t replace_after_ms = kNever) {
    zones_ = zones;
    servers_ = std::make_unique<testing::TestCluster>(static_cast<int>(zones.size()), zones);
    LogOptions log = servers_->log_options("n1");
    log.replicas = 3;
    log.ack_quorum = 2;
    ASSERT_TRUE(Log::Open(log, "a", true).ok());
    servers_->EditChain(LogId(1), [&](Chain* chain) {
      EpochEntry& epoch = chain->epochs.emplace_back();
      epoch.epoch = Epoch(1);
      epoch.attempt = {1, 2};
      epoch.owner = {"n1", "n1:1"};
      epoch.first_lsn = Lsn(1);
      epoch.ack_quorum = 2;
      for (int i = 0; i < 3; ++i) epoch.disks.push_back({servers_->disk_of(i), servers_->node_of(i)});
    });
    ClusterOptions options;
    options.cluster = testing::kClusterName;
    options.coordinators = {servers_->coordinator()};
    options.name = "n1";
    cluster_.emplace(runtime_.loop(), options);
    chains_.emplace(&*cluster_, LogId(1));
    LogWriterOptions writer;
    writer.replace_after_ms = replace_after_ms;
    writer_.emplace(&runtime_, &*cluster_, writer, LogWriterEvents());
    runtime_.Call<bool>([&](const std::function<void(bool)>& done) {
      chains_->Read([this, done](Result<VersionedChain> chain) {
        writer_->Begin(&*chains_, *chain);
        done(true);
      });
    });
  }
  void TearDown() override {
    if (!writer_) return;
    runtime_.Call<bool>([this](const std::function<void(bool)>& done) {
      writer_->Close();
      cluster_->Close();
      done(true);
    });
    runtime_.Stop();
    writer_.reset();
  }
  // To the disks of these servers, as the coordinator asks for it.
  Status Move(const std::vector<int>& servers) {
    std::vector<DiskId> wanted;
    for (const int index : servers) wanted.push_back(servers_->disk_of(index));
    return runtime_.Call<Status>(
        [&](std::function<void(Status)> done) { writer_->MoveDisks(wanted, std::move(done)); });
  }
  EpochEntry Last() const { return *servers_->ChainOf(LogId(1)).last(); }
  // The servers of the last epoch, ascending, and the zones that they are in.
  std::vector<int> Servers() const {
    std::vector<int> servers;
    for (const ReplicaRef& disk : Last().disks) servers.push_back(disk.node.back() - '0');
    std::sort(servers.begin(), servers.end());
    return servers;
  }
  std::set<std::string> Zones() const {
    std::set<std::string> zones;
    for (const int index : Servers()) zones.insert(zones_[static_cast<size_t>(index)]);
    return zones;
  }
  bool Append() {
    return runtime_.Call<bool>([this](const std::function<void(bool)>& done) {
      const Result<Lsn> lsn = writer_->Append("record", 1, [done](const Result<Lsn>& answer) { done(answer.ok()); });
      if (!lsn.ok()) done(false);
    });
  }

  std::vector<std::string> zones_;
  std::unique_ptr<testing::TestCluster> servers_;
  Runtime runtime_{SystemClock()};
  std::optional<Cluster> cluster_;
  std::optional<ChainStore> chains_;
  std::optional<LogWriter> writer_;
};

TEST_F(MoveDisksTest, ToTheWantedDisksAsFarAsTheirZonesDiffer) {
  Start({"x", "y", "z", "x", "y", "z"});
  ASSERT_TRUE(Move({3}).ok());
  EXPECT_THAT(Servers(), ElementsAre(1, 2, 3)) << "in place of the one in its zone";
  ASSERT_TRUE(Move({0, 3}).ok());
  EXPECT_THAT(Servers(), ElementsAre(1, 2, 3)) << "of two in one zone one is enough";
  EXPECT_EQ(Last().epoch, Epoch(2)) << "and no Move is made of it";
  ASSERT_TRUE(Move({0, 4, 5}).ok());
  EXPECT_THAT(Servers(), ElementsAre(0, 4, 5));
  EXPECT_EQ(Last().epoch, Epoch(3));
  EXPECT_TRUE(Append());
}

// It is no candidate, but still a member, and its zone is taken as long as it is one.
TEST_F(MoveDisksTest, AMemberThatIsNotSeenAliveIsInItsZoneAllTheSame) {
  Start({"x", "y", "z", "x"});
  servers_->StopLogServer(1);
  ASSERT_TRUE(Move({3}).ok());
  EXPECT_THAT(Servers(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(Append());
}

TEST_F(MoveDisksTest, AMemberThatIsNotSeenAliveMakesRoomForOneOfItsZone) {
  Start({"x", "y", "z", "y"});
  servers_->StopLogServer(1);
  ASSERT_TRUE(Move({3}).ok());
  EXPECT_THAT(Servers(), ElementsAre(0, 2, 3));
  EXPECT_TRUE(Append());
}

TEST_F(MoveDisksTest, ALostMemberIsReplacedByOneOfItsZone) {
  Start({"x", "y", "z", "x", "y"}, /*replace_after_ms=*/3000);
  servers_->StopLogServer(1);
  const Instant deadline = SystemClock()->Now() + kPatienceNs;
  while (Last().epoch == Epoch(1) && SystemClock()->Now() < deadline) std::this_thread::yield();
  EXPECT_THAT(Servers(), ElementsAre(0, 2, 4));
  EXPECT_TRUE(Append());
}

TEST_F(MoveDisksTest, WithTooFewZonesAsManyAsThereAre) {
  Start({"x", "x", "y", "x"});
  ASSERT_TRUE(Move({3}).ok());
  EXPECT_THAT(Servers(), SizeIs(3));
  EXPECT_THAT(Servers(), Contains(3));
  EXPECT_THAT(Zones(), ElementsAre("x", "y"));
  EXPECT_TRUE(Append());
}

TEST_F(MoveDisksTest, AWantedDiskThatIsNotAliveIsNotTaken) {
  Start({"x", "y", "z", "x"});
  servers_->StopLogServer(3);
  EXPECT_TRUE(Move({3}).ok()) << "it is where it should be, as far as can be";
  EXPECT_EQ(Last().epoch, Epoch(1));
  EXPECT_THAT(Servers(), ElementsAre(0, 1, 2));
}

TEST_F(MoveDisksTest, FewerDisksThanAcknowledgeAreNotMovedTo) {
  Start({"x", "y", "z", "x"}, /*replace_after_ms=*/0);  // all members count as lost
  EXPECT_TRUE(Move({3}).ok());
  EXPECT_EQ(Last().epoch, Epoch(1));
  EXPECT_TRUE(Append()) << "it goes on where it is";
}

}  // namespace
}  // namespace understudy

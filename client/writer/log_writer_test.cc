// LogWriter under its shell: what Begin believes.
#include "client/writer/log_writer.h"

#include <memory>
#include <thread>

#include "client/rpc/chain_store.h"
#include "client/rpc/cluster.h"
#include "client/rpc/runtime.h"
#include "client/testing/cluster_testing.h"
#include "gtest/gtest.h"
#include "log/env/clock.h"

namespace understudy {
namespace {

class LogWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Log>> log = Log::Open(servers_.log_options("n1"), "orders", true);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    ASSERT_TRUE((*log)->TakeOver(Epoch(0)).ok());
  }
  void TearDown() override {
    runtime_.Call<bool>([this](std::function<void(bool)> done) {
      writer_.Close();
      cluster_.Close();
      done(true);
    });
    runtime_.Stop();
  }

  ClusterOptions Options() const {
    ClusterOptions options;
    options.cluster = testing::kClusterName;
    options.coordinators = {servers_.coordinator()};
    options.name = "n1";
    return options;
  }
  // Goes on with the epoch that SetUp left open; true: it may serve at once.
  bool Begin(ChainStore* chains, const VersionedChain& chain) {
    return runtime_.Call<bool>([&](const std::function<void(bool)>& done) {
      writer_.Begin(chains, chain);
      done(writer_.MayServe());
    });
  }
  VersionedChain Read(ChainStore* chains) {
    return runtime_.Call<VersionedChain>([&](const std::function<void(VersionedChain)>& done) {
      chains->Read([done](Result<VersionedChain> chain) { done(std::move(chain).value()); });
    });
  }

  testing::TestCluster servers_;
  Runtime runtime_{SystemClock()};
  Cluster cluster_{runtime_.loop(), Options()};
  LogWriter writer_{&runtime_, &cluster_, {}, {}};
  ChainStore chains_{&cluster_, LogId(1)};
  ChainStore others_{&cluster_, LogId(1)};
};

TEST_F(LogWriterTest, WhoHasJustSeenTheChainMayServe) {
  const VersionedChain chain = Read(&chains_);
  servers_.StopLogServer(0);
  EXPECT_TRUE(Begin(&chains_, chain));
}

TEST_F(LogWriterTest, WhoSawItLongAgoAsksTheDisksFirst) {
  const VersionedChain chain = Read(&others_);
  servers_.StopLogServer(0);
  EXPECT_FALSE(Begin(&chains_, chain)) << "a process that was stopped since may have been replaced since";
  EXPECT_FALSE(writer_.MayServe());
  servers_.StartLogServer(0);
  const Instant deadline = runtime_.Now() + 30 * kNsPerSecond;
  while (!writer_.MayServe() && runtime_.Now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(writer_.MayServe());
}

TEST_F(LogWriterTest, AChainIsSeenUntilAnotherIs) {
  const Instant before = runtime_.Now();
  const VersionedChain chain = Read(&chains_);
  EXPECT_GE(chains_.SeenAt(chain.version), before);
  EXPECT_LE(chains_.SeenAt(chain.version), runtime_.Now());
  const Result<VersionedChain> edited =
      runtime_.Call<Result<VersionedChain>>([&](const std::function<void(Result<VersionedChain>)>& done) {
        others_.Edit(
            [](Chain* edit) -> Result<bool> {
              edit->pins.push_back({"n2", 0, Lsn(0), 1});
              return true;
            },
            done);
      });
  ASSERT_TRUE(edited.ok()) << edited.status().ToString();
  EXPECT_EQ(Read(&chains_).version, edited->version);
  EXPECT_EQ(chains_.SeenAt(chain.version), Instant());
  EXPECT_GE(chains_.SeenAt(edited->version), before);
}

}  // namespace
}  // namespace understudy

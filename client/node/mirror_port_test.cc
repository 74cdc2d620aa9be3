// The end of a mirror stream is noticed on both sides as it happens: the spare reads the log again, the primary begins
// anew. Time stands still but where a test moves it, so that no wait can stand in for noticing.
#include "client/node/mirror_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/replay/tailer.h"
#include "log/epoch/testing/make.h"
#include "log/format/disk_entry.h"
#include "log/metadata/metadata_store.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

using rpc_test::kLongNs;
using rpc_test::Options;
using testing::Batch;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::kA1;
using testing::kA2;
using testing::kD1;
using testing::kLog7;

class StandingClock : public Clock {
 public:
  Instant Now() override { return now; }
  int64_t WallUnixMs() override { return 0; }
  Instant now{kNsPerSecond};
};

MirrorPush Push(uint64_t epoch, AttemptId attempt, BatchRef batch, uint64_t commit) {
  return {kLog7, Epoch(epoch), attempt, Lsn(commit), std::move(batch), {}};
}

// A spare that follows a log at its port, the metadata and the log server that it asks, and a primary's connection.
class MirrorPortTest : public ::testing::Test {
 protected:
  MirrorPortTest() {
    const EventLoop::Section strand(&loop_);
    logs_.on_read = [this](const ReadRequest& request) {
      reads_.push_back(request.from.value());
      return ReadResponse();
    };
    server_ = std::make_unique<RpcServer>(&loop_, RpcServerOptions{.cluster = "test"});
    server_->Serve(&logs_);
    server_->Serve(&store_);
    EXPECT_TRUE(server_->Listen("127.0.0.1:0").ok());
    DiskEntry disk;
    disk.disk = kD1;
    disk.address = server_->address();
    const std::string disk_key = DiskKey("test", ToHex(kD1));
    store_.entries[disk_key] = {disk_key, EncodeDiskEntry(disk), ++store_.version};
    SetChain({testing::Entry(1, kA1, 1, {kD1}, 1)});
    ClusterOptions options;
    options.cluster = "test";
    options.coordinators = {server_->address()};
    cluster_ = std::make_unique<Cluster>(&loop_, options);
    chains_ = std::make_unique<ChainStore>(cluster_.get(), kLog7);
    FollowerOptions follow;
    follow.log = kLog7;
    TailerSink sink;
    sink.released = [](const std::vector<Released>&) {};
    sink.mirror_lost = [this](const Status& why) {
      lost_.push_back(why.code());
      port_->EndStream(why);
    };
    tailer_ = std::make_unique<Tailer>(cluster_.get(), chains_.get(), follow, std::move(sink));
    MirrorEvents events;
    events.push = [this](MirrorPush push) {
      tailer_->Mirror(std::move(push));
      return true;
    };
    events.broken = [this] {
      ++broken_;
      tailer_->MirrorBroken();
    };
    port_ = std::make_unique<MirrorPort>(&loop_, "test", std::move(events));
    EXPECT_TRUE(port_->Listen("127.0.0.1").ok());
    primary_ = Connect();
  }
  ~MirrorPortTest() override {
    const EventLoop::Section strand(&loop_);
    cluster_->Close();
    tailer_.reset();
    primary_.reset();
    port_.reset();
    server_.reset();
  }
  void SetChain(std::vector<EpochEntry> epochs) {
    const std::string key = LogKey("test", kLog7.value());
    store_.entries[key] = {key, EncodeChain(testing::ChainOf(std::move(epochs))), ++store_.version};
  }
  std::unique_ptr<MirrorServiceClient> Connect() {
    auto primary = MirrorServiceClient::Create(&loop_, Options("test"), port_->address());
    primary->SetOnBroken([this] { ++primary_broken_; });
    return primary;
  }
  // The stream begins at the start of an empty log, so the log is never read; then it brings records 1 to 3.
  void Begin() {
    {
      const EventLoop::Section strand(&loop_);
      primary_->Mirror(Push(1, kA1, nullptr, 0));
      primary_->Mirror(Push(1, kA1, Batch(1, 1, 3), 3));
    }
    ASSERT_TRUE(Until([&] { return tailer_->follower().next() == Lsn(4) && tailer_->follower().mirror_live(); }));
    ASSERT_THAT(reads_, IsEmpty());
  }
  bool Until(const std::function<bool()>& condition) {
    const Instant deadline = SystemClock()->Now() + kLongNs;
    while (SystemClock()->Now() < deadline) {
      {
        const EventLoop::Section strand(&loop_);
        if (condition()) return true;
      }
      loop_.RunOnce(2 * kNsPerMs);
    }
    return false;
  }

  StandingClock clock_;
  EventLoop loop_{&clock_};
  rpc_test::HoldingLogService logs_;
  rpc_test::MapStore store_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<ChainStore> chains_;
  std::unique_ptr<MirrorPort> port_;
  std::unique_ptr<Tailer> tailer_;
  std::unique_ptr<MirrorServiceClient> primary_;
  std::vector<uint64_t> reads_;  // from where
  std::vector<StatusCode> lost_;
  int broken_ = 0;
  int primary_broken_ = 0;
};

TEST_F(MirrorPortTest, ASpareReadsTheLogAtOnceWhenItsPrimaryIsGone) {
  Begin();
  {
    const EventLoop::Section strand(&loop_);
    primary_->Close();
  }
  ASSERT_TRUE(Until([&] { return !reads_.empty(); }));
  EXPECT_THAT(reads_, ElementsAre(4));
  EXPECT_FALSE(tailer_->follower().mirror_live());
  EXPECT_THAT(lost_, IsEmpty()) << "nobody is there to begin again";
}

TEST_F(MirrorPortTest, WhatWasSentBeforeTheEndIsTaken) {
  Begin();
  {
    const EventLoop::Section strand(&loop_);
    primary_->Mirror(Push(1, kA1, Batch(1, 4, 6), 3));
    primary_->Mirror(Push(1, kA1, nullptr, 6));
  }
  ASSERT_TRUE(Until([&] { return tailer_->follower().next() == Lsn(7); }));
  {
    const EventLoop::Section strand(&loop_);
    primary_->Close();
  }
  ASSERT_TRUE(Until([&] { return !reads_.empty(); }));
  EXPECT_THAT(reads_, ElementsAre(7));
}

TEST_F(MirrorPortTest, APrimaryLearnsAtOnceThatItsStreamIsGivenUpAndBeginsAgain) {
  Begin();
  {
    const EventLoop::Section strand(&loop_);
    primary_->Mirror(Push(1, kA1, Batch(1, 6, 6), 3));  // 4 and 5 are missing
  }
  ASSERT_TRUE(Until([&] { return primary_broken_ == 1 && !reads_.empty(); }));
  EXPECT_THAT(lost_, ElementsAre(StatusCode::kGap));
  EXPECT_THAT(reads_, ElementsAre(4));
  EXPECT_EQ(broken_, 0) << "who ended the stream need not be told";
  {
    const EventLoop::Section strand(&loop_);
    clock_.now = clock_.now + 10 * kNsPerMs;  // a client's pause before it connects again
    primary_->Mirror(Push(1, kA1, nullptr, 3));
  }
  EXPECT_TRUE(Until([&] { return tailer_->follower().mirror_live(); }));
}

TEST_F(MirrorPortTest, TheEndOfADeposedPrimarysConnectionIsNotTheStreams) {
  Begin();
  SetChain({testing::Closed(testing::Entry(1, kA1, 1, {kD1}, 1), 3), testing::Entry(2, kA2, 4, {kD1}, 1)});
  std::unique_ptr<MirrorServiceClient> next;
  {
    const EventLoop::Section strand(&loop_);
    next = Connect();
    next->Mirror(Push(2, kA2, nullptr, 3));
    next->Mirror(Push(2, kA2, Batch(2, 4, 4), 4));
  }
  ASSERT_TRUE(Until([&] { return tailer_->follower().next() == Lsn(5); }));
  {
    const EventLoop::Section strand(&loop_);
    primary_->Close();
    next->Mirror(Push(2, kA2, Batch(2, 5, 5), 5));
  }
  ASSERT_TRUE(Until([&] { return tailer_->follower().next() == Lsn(6); }));
  EXPECT_TRUE(tailer_->follower().mirror_live());
  {
    const EventLoop::Section strand(&loop_);
    next->Close();
  }
  EXPECT_TRUE(Until([&] { return broken_ == 1; }));
  EXPECT_FALSE(tailer_->follower().mirror_live());
}

}  // namespace
}  // namespace understudy

// How long ago a log's disks heard from its writer: settled by as many answers as decide it, not by the slowest disk.
#include "server/coordinator/writer_age_probe.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log/rpc/await.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy::coordinator {
namespace {

using rpc_test::HoldingLogService;
using rpc_test::kLongNs;

// Answers only when the test says so.
class Disk : public HoldingLogService {
 public:
  void ReplicaStatus(ReplicaStatusRequest, Reply<ReplicaStatusResponse> reply) override {
    replies.push_back(std::move(reply));
  }
  void Say(StatusCode code, int64_t age_ms) {
    ReplicaStatusResponse response;
    response.code = code;
    response.writer_age_ms = age_ms;
    for (const auto& reply : std::exchange(replies, {})) reply(response);
  }
  std::vector<Reply<ReplicaStatusResponse>> replies;
};

class WriterAgeProbeTest : public testing::Test {
 protected:
  static constexpr size_t kDisks = 3;  // two of them make a quorum

  WriterAgeProbeTest() {
    const EventLoop::Section section(&loop_);
    chain_.log = LogId(7);
    EpochEntry epoch;
    epoch.epoch = Epoch(4);
    epoch.ack_quorum = 2;
    for (size_t i = 0; i < kDisks; ++i) {
      RpcServerOptions options;
      options.cluster = "test";
      servers_.push_back(std::make_unique<RpcServer>(&loop_, options));
      servers_[i]->Serve(&disks_[i]);
      EXPECT_TRUE(servers_[i]->Listen("127.0.0.1:0").ok());
      epoch.disks.push_back({DiskId{0, i}, "s" + std::to_string(i)});
    }
    chain_.epochs = {epoch};
    probe_.emplace(
        &loop_, "test", "c1", [this](const DiskId& disk) { return unknown_ ? "" : servers_[disk.lo]->address(); },
        [this](const WriterAge& age) { heard_.push_back(age); });
  }
  ~WriterAgeProbeTest() override {
    const EventLoop::Section section(&loop_);
    probe_.reset();
    for (Disk& disk : disks_) disk.replies.clear();
    servers_.clear();
  }

  // Every disk has the question when this returns.
  void Ask() {
    std::vector<size_t> before;
    for (const Disk& disk : disks_) before.push_back(disk.replies.size());
    {
      const EventLoop::Section section(&loop_);
      probe_->Ask("kv", chain_);
    }
    ASSERT_TRUE(Until([&] {
      for (size_t i = 0; i < kDisks; ++i) {
        if (disks_[i].replies.size() == before[i]) return false;
      }
      return true;
    }));
  }
  void Say(size_t disk, int64_t age_ms, StatusCode code = StatusCode::kOk) {
    const EventLoop::Section section(&loop_);
    disks_[disk].Say(code, age_ms);
  }
  bool Until(const std::function<bool()>& condition) { return DriveUntil(&loop_, kLongNs, condition); }

  EventLoop loop_{SystemClock()};
  Disk disks_[kDisks];
  std::vector<std::unique_ptr<RpcServer>> servers_;
  Chain chain_;
  bool unknown_ = false;
  std::optional<WriterAgeProbe> probe_;
  std::vector<WriterAge> heard_;
};

TEST_F(WriterAgeProbeTest, TwoOfThreeSettleItWhileTheThirdHangs) {
  Ask();
  Say(0, 1200);
  Say(1, 1100);
  ASSERT_TRUE(Until([&] { return !heard_.empty(); }));
  EXPECT_EQ(disks_[2].replies.size(), 1u) << "it has not answered";
  EXPECT_EQ(heard_[0].service, "kv");
  EXPECT_EQ(heard_[0].epoch, Epoch(4));
  EXPECT_EQ(heard_[0].answered, 2);
  EXPECT_EQ(heard_[0].needed, 2);
  EXPECT_EQ(heard_[0].age_ms, 1100);
}

TEST_F(WriterAgeProbeTest, OneOfThreeDoesNot) {
  Ask();
  Say(0, 1200);
  Say(1, 0, StatusCode::kWrongDisk);
  ASSERT_TRUE(Until([&] { return !heard_.empty(); })) << "the third runs out of time";
  EXPECT_EQ(heard_[0].answered, 1);
  EXPECT_EQ(heard_[0].age_ms, 1200);
}

TEST_F(WriterAgeProbeTest, ALateAnswerIsNotTakenForAnotherQuestions) {
  Ask();
  Say(0, 1200);
  Say(1, 1100);
  ASSERT_TRUE(Until([&] { return heard_.size() == 1; }));
  Ask();
  Say(2, 5);  // to both: the first comes too late, the second counts once
  Say(1, 0, StatusCode::kNotFound);
  ASSERT_TRUE(Until([&] { return heard_.size() == 2; }));
  EXPECT_EQ(disks_[0].replies.size(), 1u);
  EXPECT_EQ(heard_[1].answered, 2);
  EXPECT_EQ(heard_[1].age_ms, 5);
}

TEST_F(WriterAgeProbeTest, DisksOfUnknownAddressAreNotWaitedFor) {
  unknown_ = true;
  {
    const EventLoop::Section section(&loop_);
    probe_->Ask("kv", chain_);
  }
  ASSERT_TRUE(Until([&] { return !heard_.empty(); }));
  EXPECT_EQ(heard_[0].answered, 0);
  EXPECT_EQ(heard_[0].age_ms, -1);
}

}  // namespace
}  // namespace understudy::coordinator

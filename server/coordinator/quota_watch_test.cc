// Logs that their disks slow or refuse, as the coordinator tells of them: what changed once, what is so as long as it
// is.
#include "server/coordinator/quota_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/rpc/await.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy::coordinator {
namespace {

using rpc_test::HoldingLogService;
using rpc_test::kLongNs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const DiskId kDisk{1, 2};

class QuotaWatchTest : public testing::Test {
 protected:
  QuotaWatchTest() {
    const EventLoop::Section section(&loop_);
    service_.on_log_server_status = [this](const LogServerStatusRequest&) {
      LogServerStatusResponse response;
      response.document = says_;
      return response;
    };
    RpcServerOptions options;
    options.cluster = "test";
    server_ = std::make_unique<RpcServer>(&loop_, options);
    server_->Serve(&service_);
    EXPECT_TRUE(server_->Listen("127.0.0.1:0").ok());
    QuotaWatch::Sources sources;
    sources.disks = [this] {
      return there_ ? std::vector<QuotaWatch::Disk>{{kDisk, "s1", server_->address()}}
                    : std::vector<QuotaWatch::Disk>();
    };
    sources.service_of = [](LogId log) { return log == LogId(7) ? "kv" : ""; };
    sources.checkpoint_of = [](LogId log) { return log == LogId(7) ? "it has none" : ""; };
    sources.event = [this](const Event& event) {
      EXPECT_EQ(event.node, "s1");
      events_.push_back(event.kind + " " + event.service + " " + event.text);
    };
    watch_.emplace(&loop_, "test", "c1", std::move(sources), /*look_ms=*/1);
    watch_->Start();
  }
  ~QuotaWatchTest() override {
    const EventLoop::Section section(&loop_);
    watch_.reset();
    server_.reset();
  }
  // The disk says so until it says something else; returns when it has been asked and its answer has come.
  void Says(const std::string& over, const DiskId& disk = kDisk) {
    const EventLoop::Section section(&loop_);
    says_ = R"({"disk": ")" + ToHex(disk) + R"(", "quota": {"bytes": 0, "over": )" + over + "}}";
  }
  void Look() {
    int calls = 0;
    {
      const EventLoop::Section section(&loop_);
      calls = service_.calls;
    }
    // The answer to the first has come when the third is asked: they go over one connection.
    ASSERT_TRUE(DriveUntil(&loop_, kLongNs, [&] { return service_.calls >= calls + 3; }));
  }
  bool Until(const std::function<bool()>& condition) { return DriveUntil(&loop_, kLongNs, condition); }

  EventLoop loop_{SystemClock()};
  HoldingLogService service_;
  std::unique_ptr<RpcServer> server_;
  std::string says_ = "{}";
  bool there_ = true;
  std::vector<std::string> events_;
  std::optional<QuotaWatch> watch_;
};

TEST_F(QuotaWatchTest, SaysWhatChangesAndKeepsWhatIsSo) {
  Says("[]");
  Look();
  EXPECT_THAT(watch_->alerts(), IsEmpty());
  Says(R"([{"log": 7, "bytes": 81, "word": "slowed", "text": "log 7 nears it"}])");
  Look();
  EXPECT_THAT(events_, ElementsAre("log_slowed kv s1: log 7 nears it; it has none"));
  Says(R"([{"log": 7, "bytes": 100, "word": "refused", "text": "log 7 is over it"}, {"log": 8, "word": "slowed"}])");
  Look();
  EXPECT_THAT(events_, ElementsAre("log_slowed kv s1: log 7 nears it; it has none",
                                   "log_refused kv s1: log 7 is over it; it has none", "log_slowed  s1: "));
  ASSERT_THAT(watch_->alerts(), SizeIs(2));
  EXPECT_EQ(watch_->alerts()[0].service, "kv");
  EXPECT_EQ(watch_->alerts()[0].text, "s1: log 7 is over it; it has none");
  events_.clear();
  Says(R"([{"log": 7, "bytes": 90, "word": "slowed", "text": "log 7 nears it"}])");
  Look();
  EXPECT_THAT(events_, ElementsAre("log_within_quota  s1: log 8 is below its quota"));
  EXPECT_EQ(watch_->alerts().at(0).text, "s1: log 7 nears it; it has none");
  Says("[]");
  Look();
  EXPECT_THAT(watch_->alerts(), IsEmpty());
  EXPECT_THAT(events_.back(), HasSubstr("log_within_quota kv"));
}

TEST_F(QuotaWatchTest, WhatIsNotTheDisksOwnWordChangesNothing) {
  Says(R"([{"log": 7, "word": "refused", "text": "over"}])");
  Look();
  ASSERT_THAT(watch_->alerts(), SizeIs(1));
  for (const char* strange : {"not JSON", "[]", "{}", R"({"disk": "00"})"}) {
    {
      const EventLoop::Section section(&loop_);
      says_ = strange;
    }
    Look();
  }
  Says("[]", DiskId{3, 4});  // another disk has its address by now
  Look();
  Says("7");
  EXPECT_THAT(watch_->alerts(), SizeIs(1));
  Says(R"([7, {"log": "x"}, {"log": 7, "word": "refused", "text": 3}])");
  Look();
  EXPECT_THAT(watch_->alerts(), SizeIs(1));
  EXPECT_THAT(events_, SizeIs(1));
}

TEST_F(QuotaWatchTest, ADiskThatLeavesTakesItsAlertsWithIt) {
  Says(R"([{"log": 7, "word": "refused", "text": "over"}])");
  Look();
  ASSERT_THAT(watch_->alerts(), SizeIs(1));
  {
    const EventLoop::Section section(&loop_);
    there_ = false;
  }
  EXPECT_TRUE(Until([&] { return watch_->alerts().empty(); }));
}

TEST_F(QuotaWatchTest, ThereIsABoundAndBeyondItNothingIsSaidAgainAndAgain) {
  std::string over;
  for (uint32_t log = 1; log <= QuotaWatch::kLogsMax + 10; ++log) {
    over += (over.empty() ? "" : ",") + (R"({"log":)" + std::to_string(log)) + R"(,"word":"refused"})";
  }
  Says("[" + over + "]");
  Look();
  Look();
  EXPECT_THAT(watch_->alerts(), SizeIs(QuotaWatch::kLogsMax));
  EXPECT_THAT(events_, SizeIs(QuotaWatch::kLogsMax));
}

}  // namespace
}  // namespace understudy::coordinator

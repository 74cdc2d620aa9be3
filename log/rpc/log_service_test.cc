#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

using rpc_test::HoldingLogService;
using rpc_test::kLongNs;
using rpc_test::Options;

class LogServiceTest : public testing::Test {
 protected:
  LogServiceTest() {
    EventLoop::Section section(&loop_);
    server_.emplace(&loop_, RpcServerOptions{.cluster = "test"});
    server_->Serve(&handler_);
    EXPECT_TRUE(server_->Listen("127.0.0.1:0").ok());
    client_ = LogServiceClient::Create(&loop_, Options("test"), server_->address());
  }
  ~LogServiceTest() override {
    EventLoop::Section section(&loop_);
    client_ = nullptr;
    server_.reset();
  }
  Result<AppendResponse> Append(const AppendRequest& request) {
    return Await<AppendResponse>(&loop_, [&](auto done) { client_->Append(request, 5000, std::move(done)); });
  }

  EventLoop loop_{SystemClock()};
  HoldingLogService handler_;
  std::optional<RpcServer> server_;
  std::unique_ptr<LogServiceClient> client_;
};

AppendRequest SomeAppend(uint64_t lsn, size_t bytes) {
  AppendRequest request;
  request.log = LogId(7);
  request.disk = {0x0102030405060708, 0x090a0b0c0d0e0f10};
  request.epoch = Epoch(3);
  request.attempt = {11, 12};
  request.epoch_first_lsn = Lsn(100);
  request.commit = Lsn(lsn - 1);
  if (bytes > 0) {
    request.batch = std::make_shared<const std::string>(bytes, static_cast<char>('a' + lsn % 26));
  }
  return request;
}

TEST_F(LogServiceTest, AnAppendArrivesAsItWasSent) {
  handler_.on_append = [&](const AppendRequest& got) {
    const AppendRequest sent = SomeAppend(101, 100'000);
    EXPECT_EQ(got.log, sent.log);
    EXPECT_EQ(got.disk, sent.disk);
    EXPECT_EQ(got.epoch, sent.epoch);
    EXPECT_EQ(got.attempt, sent.attempt);
    EXPECT_EQ(got.epoch_first_lsn, sent.epoch_first_lsn);
    EXPECT_EQ(got.commit, sent.commit);
    EXPECT_EQ(*got.batch, *sent.batch);
    AppendResponse response;
    response.code = StatusCode::kGap;
    response.detail = "why";
    response.durable_tail = Lsn(UINT64_MAX - 5);
    return response;
  };
  const auto response = Append(SomeAppend(101, 100'000));
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(response->code, StatusCode::kGap);
  EXPECT_EQ(response->detail, "why");
  EXPECT_EQ(response->durable_tail, Lsn(UINT64_MAX - 5));
}

TEST_F(LogServiceTest, AnEmptyBatchArrivesAsNone) {
  handler_.on_append = [](const AppendRequest& got) {
    EXPECT_EQ(got.batch, nullptr);
    return AppendResponse();
  };
  EXPECT_TRUE(Append(SomeAppend(1, 0)).ok());
}

TEST_F(LogServiceTest, AnswersComeInAnyOrder) {
  constexpr uint64_t kCalls = 50;
  std::vector<uint64_t> answered;
  {
    EventLoop::Section section(&loop_);
    for (uint64_t lsn = 1; lsn <= kCalls; ++lsn) {
      client_->Append(SomeAppend(lsn, 100), kNoTimeout, [&answered](Result<AppendResponse> response) {
        ASSERT_TRUE(response.ok());
        answered.push_back(response->durable_tail.value());
      });
    }
  }
  ASSERT_TRUE(DriveUntil(&loop_, kLongNs, [&] { return handler_.held.size() == kCalls; }));
  {
    EventLoop::Section section(&loop_);
    while (!handler_.held.empty()) {  // last first
      handler_.AnswerHeld(handler_.held.size() - 1);
    }
  }
  ASSERT_TRUE(DriveUntil(&loop_, kLongNs, [&] { return answered.size() == kCalls; }));
  for (uint64_t i = 0; i < kCalls; ++i) {
    EXPECT_EQ(answered[i], kCalls - i);
  }
}

TEST_F(LogServiceTest, ManyMegabytesAtOncePassBothWays) {
  handler_.on_read = [](const ReadRequest& request) {
    ReadResponse response;
    response.batches.assign(request.bytes_max, static_cast<char>(request.from.value()));
    response.commit = request.to;
    return response;
  };
  int answers = 0;
  {
    EventLoop::Section section(&loop_);
    for (uint64_t i = 1; i <= 20; ++i) {
      ReadRequest request;
      request.from = Lsn(i);
      request.to = Lsn(1000 + i);
      request.bytes_max = kReadBytesMax;
      client_->Read(request, kNoTimeout, [&answers, i](Result<ReadResponse> response) {
        ASSERT_TRUE(response.ok());
        EXPECT_EQ(response->batches.size(), kReadBytesMax);
        EXPECT_EQ(response->batches.back(), static_cast<char>(i));
        EXPECT_EQ(response->commit, Lsn(1000 + i));
        ++answers;
      });
    }
  }
  EXPECT_TRUE(DriveUntil(&loop_, 3 * kLongNs, [&] { return answers == 20; }));
}

}  // namespace
}  // namespace understudy

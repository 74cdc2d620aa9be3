// Two services on one disk, one with a quota for its log: it is slowed, then refused with a word that says why, and the
// operator hears of it, while the other goes on. A higher quota lets it go on by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "log/env/clock.h"
#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "tests/e2e/server_process.h"
#include "understudy/log.h"

namespace understudy::e2e {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kQuota = 64u << 20;
constexpr size_t kRecordBytes = 64u << 10;
constexpr size_t kUnderWayMax = 64;  // records
constexpr int64_t kPatienceNs = 60 * kNsPerSecond;
constexpr int64_t kCallMs = 5000;

class LogQuotaE2eTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Start();
    RpcClientOptions options;
    options.cluster = "understudy";
    const EventLoop::Section section(&loop_);
    coordinator_ = CoordinatorServiceClient::Create(&loop_, options, server_.coordinator());
  }
  void TearDown() override {
    const EventLoop::Section section(&loop_);
    coordinator_.reset();
  }
  template <class Condition>
  static bool Until(Condition condition) {
    const Instant deadline = SystemClock()->Now() + kPatienceNs;
    while (SystemClock()->Now() < deadline) {
      if (condition()) return true;
      Pause(5);
    }
    return condition();
  }
  // No node can run it: this test is its writer.
  void Apply(const std::string& name, uint64_t quota_bytes) {
    const std::string document = R"({"name": ")" + name + R"(", "program": "/bin/none", "labels": {"no": "such"},)" +
                                 R"("log_quota_bytes": )" + std::to_string(quota_bytes) + "}";
    Status status;
    EXPECT_TRUE(Until([&] {
      const auto done = Await<DocumentResponse>(
          &loop_, [&](auto answer) { coordinator_->ServiceApply(document, kCallMs, std::move(answer)); });
      status = done.ok() ? Status(done->code, done->detail) : done.status();
      return status.ok();
    })) << status.ToString();
  }
  std::unique_ptr<Log> WriterOf(const std::string& name) {
    LogOptions options;
    options.coordinators = {server_.coordinator()};
    options.node = "writer";
    Result<std::unique_ptr<Log>> log = Log::Open(options, name, false);
    EXPECT_TRUE(log.ok()) << log.status().ToString();
    if (!log.ok()) return nullptr;
    Result<Lsn> taken = Status(StatusCode::kUnavailable, "not tried");
    EXPECT_TRUE(Until([&] { return (taken = (*log)->TakeOver(Epoch(0))).ok(); })) << taken.status().ToString();
    return std::move(log).value();
  }
  // Appends until the library refuses for another reason than that too much is under way; that reason.
  Status FillUp(Log* log) {
    const std::string payload(kRecordBytes, 'x');
    const Instant deadline = SystemClock()->Now() + kPatienceNs;
    while (SystemClock()->Now() < deadline) {
      if (sent_ - answered_ >= kUnderWayMax) {
        Pause(1);
        continue;
      }
      const Result<Lsn> lsn = log->Append(payload, 1, [this](const Result<Lsn>& answer) {
        EXPECT_TRUE(answer.ok()) << answer.status().ToString();
        ++answered_;
      });
      if (!lsn.ok()) return lsn.status();
      ++sent_;
    }
    return Status::Ok();
  }
  nlohmann::json Document(const std::function<void(CoordinatorServiceClient*, Done<DocumentResponse>)>& ask) {
    const auto document =
        Await<DocumentResponse>(&loop_, [&](auto answer) { ask(coordinator_.get(), std::move(answer)); });
    return document.ok() ? nlohmann::json::parse(document->document, nullptr, false) : nlohmann::json();
  }
  nlohmann::json StatusNow() {
    return Document([](auto* client, auto done) { client->GetStatus(kCallMs, std::move(done)); });
  }
  // The text of the first alert of a service; empty while there is none.
  std::string AlertOf(const std::string& service) {
    const nlohmann::json status = StatusNow();
    if (!status.is_object()) return "";
    for (const nlohmann::json& alert : status["alerts"]) {
      if (alert.value("service", "") == service) return alert.value("text", "");
    }
    return "";
  }
  bool Happened(const std::string& kind, const std::string& service) {
    const nlohmann::json events =
        Document([](auto* client, auto done) { client->Events(0, 1000, 0, std::move(done)); });
    if (!events.is_object()) return false;
    for (const nlohmann::json& event : events["events"]) {
      if (event.value("kind", "") == kind && event.value("service", "") == service) return true;
    }
    return false;
  }

  TestFolder folder_;
  ServerProcess server_{folder_.path() + "/data"};
  EventLoop loop_{SystemClock()};
  std::unique_ptr<CoordinatorServiceClient> coordinator_;
  std::atomic<size_t> sent_{0}, answered_{0};
};

TEST_F(LogQuotaE2eTest, OneServiceIsRefusedAndTheOtherGoesOn) {
  Apply("kv1", kQuota);
  Apply("kv2", 0);
  const std::unique_ptr<Log> log = WriterOf("kv1");
  const std::unique_ptr<Log> other = WriterOf("kv2");
  ASSERT_TRUE(log && other);

  const Status refused = FillUp(log.get());
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("is over its log_quota_bytes"));
  EXPECT_GE(sent_ * kRecordBytes, kQuota - kUnderWayMax * kRecordBytes);
  EXPECT_LE(sent_ * kRecordBytes, kQuota + kUnderWayMax * kRecordBytes);
  EXPECT_TRUE(Until([&] { return answered_ == sent_; })) << "what was let in is acknowledged";
  EXPECT_EQ(log->Append("a blocking one", 1).Get().status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(log->ReadBarrier().ok()) << "it serves";
  EXPECT_TRUE(server_.OutputHas("nears its log_quota_bytes, its appends are slowed")) << server_.Output();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(other->Append(std::string(kRecordBytes, 'y'), 1).Get().status().ToString(), "OK");
  }

  std::string alert;
  EXPECT_TRUE(Until([&] { return (alert = AlertOf("kv1")).find("refused") != std::string::npos; })) << alert;
  EXPECT_THAT(alert, HasSubstr("is over its log_quota_bytes, its appends are refused"));
  EXPECT_THAT(alert, HasSubstr("raise the log_quota_bytes of its service; it has no checkpoint"));
  EXPECT_EQ(AlertOf("kv2"), "");
  EXPECT_TRUE(Happened("log_refused", "kv1"));

  Apply("kv1", 4 * kQuota);
  Status status;
  EXPECT_TRUE(Until([&] {
    status = log->Append("there is room again", 1).Get().status();
    return status.ok();
  })) << status.ToString();
  EXPECT_TRUE(Until([&] { return AlertOf("kv1").empty(); }));
  EXPECT_TRUE(Happened("log_within_quota", "kv1"));
}

}  // namespace
}  // namespace understudy::e2e

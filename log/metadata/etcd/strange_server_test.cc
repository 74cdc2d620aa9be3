// The store against servers that are no etcd, or a broken one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <functional>
#include <thread>

#include "log/env/logging.h"
#include "log/metadata/etcd/etcd_metadata_store.h"
#include "log/metadata/metadata_calls_testing.h"

namespace understudy::etcd {
namespace {

using ::testing::HasSubstr;

class StrangeServerTest : public testing::Test {
 protected:
  void SetUp() override {
    SetLogSink([](LogLevel, std::string_view, std::string_view) {});
    server_.Post(".*", [this](const httplib::Request& request, httplib::Response& response) {
      ++requests_;
      answer_(request, response);
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    ASSERT_GT(port_, 0);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    EtcdMetadataOptions options;
    options.endpoints = {"http://127.0.0.1:" + std::to_string(port_)};
    options.call_timeout_ms = 1000;
    options.attempt_timeout_ms = 300;
    store_ = std::move(OpenEtcdMetadataStore(SystemClock(), options)).value();
  }
  void TearDown() override {
    store_.reset();
    released_ = true;
    released_.notify_all();
    server_.stop();
    thread_.join();
    SetLogSink(nullptr);
  }
  void Say(int status, std::string body) {
    answer_ = [status, body = std::move(body)](const httplib::Request&, httplib::Response& response) {
      response.status = status;
      response.set_content(body, "application/json");
    };
  }

  httplib::Server server_;
  std::function<void(const httplib::Request&, httplib::Response&)> answer_;
  std::atomic<int> requests_{0};
  std::atomic<bool> released_{false};  // handlers that wait go on
  int port_ = 0;
  std::thread thread_;
  std::unique_ptr<MetadataStore> store_;
};

TEST_F(StrangeServerTest, WhatIsNotJsonIsSaidAndAChangeIsInDoubt) {
  for (const char* body : {"", "{", "hello", "[1,2]", R"({"header":{"revision":"1"},"kvs":"no"})", "\xff\xfe"}) {
    Say(200, body);
    const Status read = GetNow(store_.get(), "/a").status();
    EXPECT_EQ(read.code(), StatusCode::kCorruption) << body;
    EXPECT_THAT(read.message(), HasSubstr("etcd answered what is not understood"));
    EXPECT_EQ(ListNow(store_.get(), "/a").status().code(), StatusCode::kCorruption) << body;
    EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kOutcomeUnknown) << body;
    EXPECT_EQ(DeleteNow(store_.get(), "/a", 1).status().code(), StatusCode::kOutcomeUnknown) << body;
  }
}

TEST_F(StrangeServerTest, DeepNestingEndsNothing) {
  Say(200, std::string(100'000, '['));
  EXPECT_EQ(GetNow(store_.get(), "/a").status().code(), StatusCode::kCorruption);
  std::string nested(50'000, '[');
  nested += std::string(50'000, ']');
  Say(200, R"({"header":{"revision":"1"},"kvs":)" + nested + "}");
  EXPECT_EQ(GetNow(store_.get(), "/a").status().code(), StatusCode::kCorruption);
}

TEST_F(StrangeServerTest, ErrorsOfAProxyLeaveAChangeInDoubt) {
  Say(502, "<html>bad gateway</html>");
  const Status read = GetNow(store_.get(), "/a").status();
  EXPECT_EQ(read.code(), StatusCode::kUnavailable);
  EXPECT_THAT(read.message(), HasSubstr("502"));
  EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kOutcomeUnknown);
}

TEST_F(StrangeServerTest, NoGatewayThereIsUnsupported) {
  Say(404, "404 page not found\n");
  const Status read = GetNow(store_.get(), "/a").status();
  EXPECT_EQ(read.code(), StatusCode::kUnsupported);
  EXPECT_THAT(read.message(), HasSubstr("JSON gateway"));
  EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kUnsupported) << "certainly not made";
}

TEST_F(StrangeServerTest, AChangeIsSentOnce) {
  Say(503, R"({"error":"etcdserver: request timed out","code":14})");
  EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(requests_, 1);
  EXPECT_EQ(GetNow(store_.get(), "/a").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(requests_, 3) << "a read is tried twice";
}

TEST_F(StrangeServerTest, ALeaderlessMemberCertainlyMadeNothing) {
  Say(503, R"({"error":"etcdserver: no leader","code":14})");
  EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kUnavailable);
}

TEST_F(StrangeServerTest, OutOfSpaceIsInDoubtUnlessTheKeyIsSeenUnchanged) {
  std::string version = "7";
  answer_ = [&](const httplib::Request& request, httplib::Response& response) {
    if (request.path == "/v3/kv/range") {
      response.set_content(R"({"header":{"revision":"9"},"kvs":[{"key":"L2E=","mod_revision":")" + version + R"("}]})",
                           "application/json");
      return;
    }
    response.status = 429;
    response.set_content(R"({"error":"etcdserver: mvcc: database space exceeded","code":8})", "application/json");
  };
  const Status unchanged = SwapNow(store_.get(), "/a", 7, "x").status();
  EXPECT_EQ(unchanged.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(unchanged.message(), HasSubstr("NOSPACE"));
  version = "9";  // the change that raised the alarm is made all the same
  EXPECT_EQ(SwapNow(store_.get(), "/a", 7, "x").status().code(), StatusCode::kOutcomeUnknown);
}

TEST_F(StrangeServerTest, EndlessAnswersAreBounded) {
  answer_ = [](const httplib::Request&, httplib::Response& response) {
    response.set_chunked_content_provider("application/json", [](size_t, httplib::DataSink& sink) {
      const std::string piece(65'536, ' ');
      return sink.write(piece.data(), piece.size());
    });
  };
  const Status read = GetNow(store_.get(), "/a").status();
  EXPECT_TRUE(read.code() == StatusCode::kResourceExhausted || read.code() == StatusCode::kUnavailable)
      << read.ToString();
  EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kOutcomeUnknown);
}

TEST_F(StrangeServerTest, AnAnswerThatNeverComesIsWaitedForInBounds) {
  answer_ = [this](const httplib::Request&, httplib::Response&) { released_.wait(false); };
  const Instant begin = SystemClock()->Now();
  EXPECT_EQ(GetNow(store_.get(), "/a").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(SwapNow(store_.get(), "/a", 0, "x").status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_LT((SystemClock()->Now() - begin) / kNsPerMs, 5000);
}

TEST_F(StrangeServerTest, AWatchOutlivesNonsense) {
  std::atomic<int> watches{0};
  answer_ = [&](const httplib::Request& request, httplib::Response& response) {
    const char* answer = R"({"header":{"revision":"5"}})";
    if (request.path == "/v3/watch") {
      const char* const answers[] = {
          "nonsense\n", "{\"error\":{\"message\":\"etcdserver: no leader\"}}\n",
          "{\"result\":{\"header\":{},\"canceled\":true,\"cancel_reason\":\"why not\"}}\n",
          "{\"result\":{\"header\":{},\"created\":true}}\n{\"result\":{\"header\":{},\"events\":[{\"kv\":7}]}}\n",
          "{\"result\":{\"header\":{},\"created\":true}}\n"
          "{\"result\":{\"header\":{\"revision\":\"7\"},\"events\":[{\"kv\":{\"key\":\"L2E=\",\"mod_revision\":\"7\","
          "\"value\":\"b25l\"}}]}}\n"};
      answer = answers[std::min(watches++, 4)];
    }
    response.set_content(answer, "application/json");
  };
  ASSERT_TRUE(GetNow(store_.get(), "/a").ok());
  WatchedChanges changes;
  store_->Watch("/a", changes.callback());
  ASSERT_TRUE(changes.WaitFor(1));
  EXPECT_EQ(changes.seen()[0].value, "one");
  EXPECT_EQ(changes.seen()[0].version, 7u);
  store_.reset();
}

}  // namespace
}  // namespace understudy::etcd

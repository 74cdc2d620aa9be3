// What a client tells its callers when connections break, peers refuse or say nothing, and bounds are reached.
#include "log/rpc/client_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/rpc/clients_testing.h"
#include "log/rpc/peer_testing.h"

namespace understudy {
namespace {

using rpc_test::ClientsTest;
using rpc_test::Options;
using rpc_test::SomeAppend;
using testing::HasSubstr;
namespace tp = apache::thrift::protocol;

TEST_F(ClientsTest, ALostAnswerToACasIsUnknown) {
  auto client = Make<MetadataServiceClient>();
  store_.hold = true;
  const auto cas = [&](int64_t timeout_ms) {
    return Await<uint64_t>(&loop_,
                           [&](auto done) { client->CompareAndSwap("k", 0, "v", timeout_ms, std::move(done)); });
  };
  EXPECT_EQ(cas(20).status().code(), StatusCode::kOutcomeUnknown);
  {
    EventLoop::Section section(&loop_);
    loop_.At(loop_.clock()->Now() + 20 * kNsPerMs, [&] { server_.reset(); });
  }
  EXPECT_EQ(cas(kNoTimeout).status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(cas(kNoTimeout).status().code(), StatusCode::kUnavailable);
  EventLoop::Section section(&loop_);
  store_.held.clear();
}

TEST_F(ClientsTest, WhatWasNeverSentIsUnavailableAndTheConnectionComesBack) {
  auto client = Make<LogServiceClient>();
  int broken = 0;
  client->SetOnBroken([&] { ++broken; });
  const auto seal = [&](int64_t timeout_ms) {
    const auto answer =
        Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), timeout_ms, std::move(done)); });
    return answer.ok() ? StatusCode::kOk : answer.status().code();
  };
  EXPECT_EQ(seal(kNoTimeout), StatusCode::kOk);
  EXPECT_TRUE(client->connected());
  StopServer();
  ASSERT_TRUE(Until([&] { return broken == 1; }));
  EXPECT_FALSE(client->connected());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(seal(kNoTimeout), StatusCode::kUnavailable);
  }
  EXPECT_EQ(broken, 6);
  EXPECT_EQ(seal(1), StatusCode::kUnavailable) << "still in the pause";
  const std::string address = address_;
  StartServer(address);
  EXPECT_EQ(seal(kNoTimeout), StatusCode::kOk);
}

TEST_F(ClientsTest, AnAnswerThatIsLostWithTheConnectionIsUnknown) {
  auto client = Make<LogServiceClient>();
  std::vector<StatusCode> codes;
  std::string order;
  {
    EventLoop::Section section(&loop_);
    client->SetOnBroken([&] { order += 'b'; });
    for (int i = 0; i < 3; ++i) {
      client->Append(SomeAppend(), kNoTimeout, [&](Result<AppendResponse> answer) {
        codes.push_back(answer.status().code());
        order += 'a';
      });
    }
  }
  ASSERT_TRUE(Until([&] { return logs_.held.size() == 3; }));
  StopServer();
  ASSERT_TRUE(Until([&] { return order.size() == 4; }));
  EXPECT_EQ(order, "aaab");
  EXPECT_THAT(codes, testing::Each(StatusCode::kOutcomeUnknown));
}

TEST_F(ClientsTest, ACallThatIsNotAnsweredInTimeIsAndALateAnswerIsNot) {
  auto client = Make<LogServiceClient>();
  const auto answer =
      Await<AppendResponse>(&loop_, [&](auto done) { client->Append(SomeAppend(), 20, std::move(done)); });
  EXPECT_EQ(answer.status().code(), StatusCode::kDeadlineExceeded);
  {
    EventLoop::Section section(&loop_);
    logs_.AnswerHeld(0);
  }
  const auto next =
      Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), kNoTimeout, std::move(done)); });
  EXPECT_TRUE(next.ok()) << "the late answer must not disturb";
}

TEST_F(ClientsTest, ARefusalAtHelloIsToldAsSuch) {
  auto client = Make<LogServiceClient>(Options("elsewhere"));
  for (int i = 0; i < 2; ++i) {
    const auto answer =
        Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), kNoTimeout, std::move(done)); });
    EXPECT_EQ(answer.status().code(), StatusCode::kForeignCluster);
    EXPECT_THAT(answer.status().message(), HasSubstr("this is cluster 'test'"));
  }
}

TEST_F(ClientsTest, AMethodThatIsNotServedIsUnsupported) {
  {
    EventLoop::Section section(&loop_);
    server_->Serve(static_cast<LogServiceHandler*>(nullptr));
  }
  auto client = Make<LogServiceClient>();
  const auto answer =
      Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), kNoTimeout, std::move(done)); });
  EXPECT_EQ(answer.status().code(), StatusCode::kUnsupported);
}

TEST_F(ClientsTest, CloseCancelsWhatIsOutstanding) {
  auto client = Make<LogServiceClient>();
  std::vector<StatusCode> codes;
  const auto note = [&](Result<AppendResponse> answer) { codes.push_back(answer.status().code()); };
  {
    EventLoop::Section section(&loop_);
    client->Append(SomeAppend(), kNoTimeout, note);
  }
  ASSERT_TRUE(Until([&] { return logs_.held.size() == 1; }));
  {
    EventLoop::Section section(&loop_);
    client->Close();
    EXPECT_EQ(codes, std::vector{StatusCode::kCancelled});
    client->Append(SomeAppend(), kNoTimeout, note);
    EXPECT_EQ(codes.size(), 1U) << "never from within the call";
  }
  ASSERT_TRUE(Until([&] { return codes.size() == 2; }));
  EXPECT_EQ(codes[1], StatusCode::kCancelled);
}

// The peer accepts and says nothing.
class SilentListener {
 public:
  SilentListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&name), size), 0);
    EXPECT_EQ(listen(fd_, 8), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(name.sin_port));
  }
  ~SilentListener() { close(fd_); }
  const std::string& address() const { return address_; }

 private:
  int fd_;
  std::string address_;
};

TEST_F(ClientsTest, APeerThatSaysNothingIsUnavailable) {
  SilentListener silent;
  address_ = silent.address();
  RpcClientOptions options = Options("test");
  options.connect_timeout_ms = 30;
  auto client = Make<LogServiceClient>(options);
  const auto answer =
      Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), kNoTimeout, std::move(done)); });
  EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable);
}

TEST_F(ClientsTest, WhatWaitsToBeSentIsBounded) {
  std::vector<StatusCode> codes;
  int broken = 0;
  SilentListener silent;
  address_ = silent.address();
  RpcClientOptions options = Options("test");
  options.output_bytes_max = 10'000;
  auto client = Make<LogServiceClient>(options);
  auto mirror = Make<MirrorServiceClient>(options);
  AppendRequest request = SomeAppend();
  request.batch = std::make_shared<const std::string>(6000, 'b');
  {
    EventLoop::Section section(&loop_);
    for (int i = 0; i < 3; ++i) {
      client->Append(request, kNoTimeout, [&](Result<AppendResponse> r) { codes.push_back(r.status().code()); });
    }
    mirror->SetOnBroken([&] { ++broken; });
    MirrorPush push;
    push.batch = request.batch;
    EXPECT_TRUE(mirror->Mirror(push));
    EXPECT_TRUE(mirror->Mirror(push));
    EXPECT_FALSE(mirror->Mirror(push));
    EXPECT_EQ(broken, 0);
  }
  ASSERT_TRUE(Until([&] { return broken == 1 && !codes.empty(); }));
  EXPECT_EQ(codes, std::vector{StatusCode::kResourceExhausted});
}

TEST_F(ClientsTest, ARequestLongerThanAFrameIsRefusedHere) {
  auto client = Make<LogServiceClient>();
  AppendRequest request = SomeAppend();
  request.batch = std::make_shared<const std::string>(16'000'000, 'b');
  const auto answer =
      Await<AppendResponse>(&loop_, [&](auto done) { client->Append(request, kNoTimeout, std::move(done)); });
  EXPECT_EQ(answer.status().code(), StatusCode::kInvalidArgument);
}

// An answer that is no Thrift, from a peer that said hello properly.
TEST_F(ClientsTest, AMalformedAnswerEndsTheConnection) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size), 0);
  address_ = "127.0.0.1:" + std::to_string(ntohs(name.sin_port));
  std::thread peer([listener] {
    const int fd = accept(listener, nullptr, nullptr);
    char scratch[4096];
    ASSERT_GT(recv(fd, scratch, sizeof scratch, 0), 0);
    wire::Handshake_hello_result hello;
    hello.success.version = kProtocolVersion;
    hello.__isset.success = true;
    const std::string answer = rpc_test::Message(rpc_test::Encoding::kBinary, "hello", tp::T_REPLY, 0,
                                                 [&](tp::TProtocol* out) { hello.write(out); });
    ASSERT_EQ(send(fd, answer.data(), answer.size(), 0), static_cast<ssize_t>(answer.size()));
    ASSERT_GT(recv(fd, scratch, sizeof scratch, 0), 0);
    const std::string cut = rpc_test::Message(rpc_test::Encoding::kBinary, "seal", tp::T_REPLY, 1,
                                              [&](tp::TProtocol* out) { out->writeFieldBegin("", tp::T_STRUCT, 0); });
    ASSERT_EQ(send(fd, cut.data(), cut.size(), 0), static_cast<ssize_t>(cut.size()));
    EXPECT_EQ(recv(fd, scratch, sizeof scratch, 0), 0) << "closed by the client";
    close(fd);
  });
  auto client = Make<LogServiceClient>();
  const auto answer =
      Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), kNoTimeout, std::move(done)); });
  EXPECT_EQ(answer.status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_THAT(answer.status().message(), HasSubstr("malformed"));
  peer.join();
  close(listener);
}

TEST_F(ClientsTest, MayBeDestroyedInItsOwnCallback) {
  std::unique_ptr<LogServiceClient> client;
  bool called = false;
  {
    EventLoop::Section section(&loop_);
    client = LogServiceClient::Create(&loop_, Options("test"), address_);
    client->Seal(SealRequest(), kNoTimeout, [&](Result<SealResponse> answer) {
      EXPECT_TRUE(answer.ok());
      client = nullptr;
      called = true;
    });
  }
  EXPECT_TRUE(Until([&] { return called; }));
}

}  // namespace
}  // namespace understudy

// What an RpcServer does with peers that are slow, wrong or hostile.
#include "log/rpc/rpc_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <mutex>

#include "gen/LogService.h"
#include "log/env/logging.h"
#include "log/rpc/await.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/peer_testing.h"

namespace understudy {
namespace {

using rpc_test::Decode;
using rpc_test::Encoding;
using rpc_test::HelloMessage;
using rpc_test::HoldingLogService;
using rpc_test::kLongNs;
using rpc_test::Message;
using rpc_test::Peer;
using rpc_test::RunningServer;
using testing::HasSubstr;
namespace tp = apache::thrift::protocol;

using Server = RunningServer<HoldingLogService>;

// What was logged since it was made.
class LogLines {
 public:
  LogLines() {
    SetLogSink([shared = shared_](LogLevel, std::string_view, std::string_view message) {
      std::lock_guard lock(shared->mutex);
      shared->text.append(message) += '\n';
    });
  }
  ~LogLines() { SetLogSink(nullptr); }
  std::string text() {
    std::lock_guard lock(shared_->mutex);
    return shared_->text;
  }

 private:
  struct Shared {  // a line may be on its way when this is destroyed
    std::mutex mutex;
    std::string text;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

std::string AppendMessage(Encoding encoding, int32_t seqid, const std::string& batch) {
  wire::LogService_append_args args;
  args.request.log = 1;
  args.request.commit = seqid;
  args.request.batch = batch;
  return Message(encoding, "append", tp::T_CALL, seqid, [&args](tp::TProtocol* out) { args.write(out); });
}

// A connection that said hello.
class Greeted : public Peer {
 public:
  explicit Greeted(Server* server, Encoding encoding = Encoding::kBinary) : Peer(server->address()) {
    EXPECT_TRUE(Send(HelloMessage(encoding, "test")));
    const auto payload = Receive();
    EXPECT_TRUE(payload.has_value());
    int32_t seqid = 0;
    wire::Handshake_hello_result result;
    EXPECT_EQ(Decode(*payload, &seqid, &result), tp::T_REPLY);
    EXPECT_EQ(seqid, 1);
    EXPECT_EQ(result.success.code, 0) << result.success.detail;
    EXPECT_EQ(result.success.version, kProtocolVersion);
    EXPECT_EQ(result.success.cluster, "test");
  }
};

// Sends `bytes` and expects the connection to end with `why` logged beside the peer's address.
void ExpectRefused(Peer* peer, Server* server, const std::string& bytes, const std::string& why) {
  LogLines lines;
  ASSERT_TRUE(peer->Send(bytes));
  EXPECT_TRUE(peer->ClosedByPeer());
  ASSERT_TRUE(DriveUntil(server->loop(), kLongNs, [&] { return server->server()->connections() == 0; }));
  EXPECT_THAT(lines.text(), HasSubstr(why));
  EXPECT_THAT(lines.text(), HasSubstr("127.0.0.1:"));
}

class BothEncodings : public testing::TestWithParam<Encoding> {};
INSTANTIATE_TEST_SUITE_P(RpcServer, BothEncodings, testing::Values(Encoding::kBinary, Encoding::kCompact),
                         [](const auto& info) { return info.param == Encoding::kBinary ? "Binary" : "Compact"; });

TEST_P(BothEncodings, PipelinedCallsAreAnsweredBySequenceId) {
  Server server;
  Greeted peer(&server, GetParam());
  std::string all;
  for (int32_t seqid = 10; seqid < 15; ++seqid) {
    all += AppendMessage(GetParam(), seqid, std::string(1000, 'b'));
  }
  ASSERT_TRUE(peer.Send(all));
  ASSERT_TRUE(DriveUntil(server.loop(), kLongNs, [&] { return server.handler()->held.size() == 5; }));
  {
    EventLoop::Section section(server.loop());
    for (const size_t index : {3, 0, 2, 1, 0}) {
      server.handler()->AnswerHeld(index);
    }
  }
  for (const int32_t expected : {13, 10, 14, 12, 11}) {
    const auto payload = peer.Receive();
    ASSERT_TRUE(payload.has_value());
    int32_t seqid = 0;
    wire::LogService_append_result result;
    EXPECT_EQ(Decode(*payload, &seqid, &result), tp::T_REPLY);
    EXPECT_EQ(seqid, expected);
    EXPECT_EQ(result.success.durable_tail, expected + 1);
  }
}

TEST_P(BothEncodings, AForeignClusterIsRefusedByName) {
  Server server;
  Peer peer(server.address());
  LogLines lines;
  ASSERT_TRUE(peer.Send(HelloMessage(GetParam(), "elsewhere")));
  const auto payload = peer.Receive();
  ASSERT_TRUE(payload.has_value());
  int32_t seqid = 0;
  wire::Handshake_hello_result result;
  Decode(*payload, &seqid, &result);
  EXPECT_EQ(result.success.code, static_cast<int>(StatusCode::kForeignCluster));
  EXPECT_THAT(result.success.detail, HasSubstr("'test'"));
  EXPECT_THAT(result.success.detail, HasSubstr("'elsewhere'"));
  EXPECT_TRUE(peer.ClosedByPeer());
  EXPECT_THAT(lines.text(), HasSubstr("elsewhere"));
}

TEST_P(BothEncodings, AVersionOutsideTheRangeIsRefused) {
  Server server;
  for (const auto& [low, high] : {std::pair(kProtocolVersion + 1, kProtocolVersion + 3), std::pair(0, 0)}) {
    Peer peer(server.address());
    ASSERT_TRUE(peer.Send(HelloMessage(GetParam(), "test", low, high)));
    const auto payload = peer.Receive();
    ASSERT_TRUE(payload.has_value());
    int32_t seqid = 0;
    wire::Handshake_hello_result result;
    Decode(*payload, &seqid, &result);
    EXPECT_EQ(result.success.code, static_cast<int>(StatusCode::kUnsupported));
    EXPECT_TRUE(peer.ClosedByPeer());
  }
}

TEST_P(BothEncodings, AnotherCallBeforeHelloIsAnsweredAndTheConnectionClosed) {
  Server server;
  Peer peer(server.address());
  ASSERT_TRUE(peer.Send(AppendMessage(GetParam(), 5, "x")));
  const auto payload = peer.Receive();
  ASSERT_TRUE(payload.has_value());
  int32_t seqid = 0;
  wire::LogService_append_result result;
  EXPECT_EQ(Decode(*payload, &seqid, &result), tp::T_REPLY);
  EXPECT_EQ(seqid, 5);
  EXPECT_EQ(result.success.code, static_cast<int>(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(peer.ClosedByPeer());
  EXPECT_EQ(server.handler()->calls, 0);
}

TEST_P(BothEncodings, AnUnknownMethodIsAnExceptionAndTheConnectionStays) {
  Server server;
  Greeted peer(&server, GetParam());
  ASSERT_TRUE(peer.Send(Message(GetParam(), "metadata_get", tp::T_CALL, 9, [](tp::TProtocol* out) {
    out->writeStructBegin("");
    out->writeFieldStop();
    out->writeStructEnd();
  })));
  auto payload = peer.Receive();
  ASSERT_TRUE(payload.has_value());
  int32_t seqid = 0;
  apache::thrift::TApplicationException error;
  EXPECT_EQ(Decode(*payload, &seqid, &error), tp::T_EXCEPTION);
  EXPECT_EQ(seqid, 9);
  EXPECT_EQ(error.getType(), apache::thrift::TApplicationException::UNKNOWN_METHOD);
  EXPECT_THAT(error.what(), HasSubstr("metadata_get"));
  ASSERT_TRUE(peer.Send(HelloMessage(GetParam(), "test")));
  EXPECT_TRUE(peer.Receive().has_value());
}

TEST_P(BothEncodings, AnIdOfTheWrongSizeIsRefusedInTheAnswer) {
  Server server;
  Greeted peer(&server, GetParam());
  wire::LogService_seal_args args;
  args.request.disk = "short";
  ASSERT_TRUE(peer.Send(Message(GetParam(), "seal", tp::T_CALL, 2, [&args](tp::TProtocol* out) { args.write(out); })));
  const auto payload = peer.Receive();
  ASSERT_TRUE(payload.has_value());
  int32_t seqid = 0;
  wire::LogService_seal_result result;
  Decode(*payload, &seqid, &result);
  EXPECT_EQ(result.success.code, static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_THAT(result.success.detail, HasSubstr("16 bytes"));
}

TEST_P(BothEncodings, ATruncatedMessageEndsTheConnection) {
  Server server;
  Greeted peer(&server, GetParam());
  std::string message = AppendMessage(GetParam(), 3, std::string(500, 'b'));
  message.resize(message.size() - 100);
  message[2] = static_cast<char>((message.size() - 4) >> 8);
  message[3] = static_cast<char>(message.size() - 4);
  ExpectRefused(&peer, &server, message, "a malformed frame");
}

// A list that announces more elements than its bytes could hold, or than are allowed.
TEST_P(BothEncodings, AHugeListEndsTheConnection) {
  Server server;
  Greeted peer(&server, GetParam());
  const std::string message = Message(GetParam(), "fetch", tp::T_CALL, 3, [](tp::TProtocol* out) {
    out->writeStructBegin("");
    out->writeFieldBegin("", tp::T_STRUCT, 1);
    out->writeStructBegin("");
    out->writeFieldBegin("", tp::T_LIST, 7);
    out->writeListBegin(tp::T_STRUCT, 0x7fffffff);
  });
  ExpectRefused(&peer, &server, message, "a malformed frame");
}

TEST_P(BothEncodings, AStringLongerThanItsFrameEndsTheConnection) {
  Server server;
  Greeted peer(&server, GetParam());
  std::string message = AppendMessage(GetParam(), 3, std::string(200, 'b'));
  const size_t at = message.find("bbbb");
  if (GetParam() == Encoding::kBinary) {
    message[at - 4] = 0x7f;  // the length's highest byte
  } else {
    message[at - 1] = 0x7f;  // 200 is 0xc8 0x01 as a varint
  }
  ExpectRefused(&peer, &server, message, "a malformed frame");
}

TEST(RpcServer, AnOversizeFrameIsRefusedAtItsHeader) {
  Server server({.cluster = "test", .frame_bytes_max = 100'000});
  Greeted peer(&server);
  ExpectRefused(&peer, &server, std::string("\x00\x01\x86\xa1", 4), "a frame of 100001 bytes; at most 100000");
}

TEST(RpcServer, BeforeHelloOnlyShortFramesAreTaken) {
  Server server;
  Peer peer(server.address());
  ExpectRefused(&peer, &server, std::string("\x00\x01\x00\x00", 4), "a frame of 65536 bytes; at most 4096");
}

TEST(RpcServer, ALongFrameForASmallMethodIsRefused) {
  Server server;
  Greeted peer(&server);
  wire::LogService_seal_args args;
  args.request.disk.assign(2u << 20, 'x');
  ExpectRefused(&peer, &server,
                Message(Encoding::kBinary, "seal", tp::T_CALL, 2, [&args](tp::TProtocol* out) { args.write(out); }),
                "for 'seal'; at most 1048576");
}

TEST(RpcServer, WhatIsNotThriftEndsTheConnection) {
  Server server;
  {
    Peer peer(server.address());
    ExpectRefused(&peer, &server, "GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes");
  }
  {
    Peer peer(server.address());
    ExpectRefused(&peer, &server, std::string("\0\0\0\0", 4), "an empty frame");
  }
  {
    Peer peer(server.address());
    ExpectRefused(&peer, &server, std::string("\0\0\0\4abcd", 8), "neither Thrift's binary nor its compact");
  }
  {
    Peer peer(server.address());
    ExpectRefused(&peer, &server,
                  Message(Encoding::kBinary, "hello", tp::T_REPLY, 2,
                          [](tp::TProtocol* out) { wire::Handshake_hello_args().write(out); }),
                  "a message that is no call");
  }
}

TEST(RpcServer, APeerThatGoesAwayInTheMiddleLeavesNothing) {
  Server server;
  {
    Greeted peer(&server);
    ASSERT_TRUE(peer.Send(AppendMessage(Encoding::kBinary, 1, "whole")));
    const std::string half = AppendMessage(Encoding::kBinary, 2, std::string(1000, 'b'));
    ASSERT_TRUE(peer.Send(std::string_view(half).substr(0, 500)));
    ASSERT_TRUE(DriveUntil(server.loop(), kLongNs, [&] { return server.handler()->held.size() == 1; }));
  }
  ASSERT_TRUE(DriveUntil(server.loop(), kLongNs, [&] { return server.server()->connections() == 0; }));
  EventLoop::Section section(server.loop());
  server.handler()->AnswerHeld(0);  // goes nowhere
  EXPECT_EQ(server.handler()->calls, 1);
}

TEST(RpcServer, SilenceInsteadOfHelloIsNotWaitedForLong) {
  Server server({.cluster = "test", .hello_timeout_ms = 5});
  LogLines lines;
  Peer peer(server.address());
  EXPECT_TRUE(peer.ClosedByPeer());
  EXPECT_THAT(lines.text(), HasSubstr("no hello in time"));
}

TEST(RpcServer, MoreConnectionsThanAllowedAreRefused) {
  Server server({.cluster = "test", .connections_max = 2});
  Greeted one(&server);
  auto two = std::make_unique<Greeted>(&server);
  {
    Peer three(server.address());
    EXPECT_TRUE(three.ClosedByPeer());
  }
  two = nullptr;
  ASSERT_TRUE(DriveUntil(server.loop(), kLongNs, [&] { return server.server()->connections() == 1; }));
  Greeted four(&server);
}

// A client that asks and does not read: the server stops reading its requests, and serves others.
TEST(RpcServer, ASlowReaderIsHeldBackByTheBounds) {
  constexpr uint32_t kAnswerBytes = 1u << 20;
  Server server({.cluster = "test", .inflight_bytes_max = 4u << 20, .output_bytes_max = 4u << 20});
  server.handler()->on_read = [](const ReadRequest& request) {
    ReadResponse response;
    response.batches.assign(request.bytes_max, 'r');
    return response;
  };
  Greeted slow(&server);
  wire::LogService_read_args args;
  args.request.bytes_max = kAnswerBytes;
  std::string all;
  constexpr int kRequests = 200;
  for (int32_t i = 0; i < kRequests; ++i) {
    all += Message(Encoding::kBinary, "read", tp::T_CALL, 100 + i, [&args](tp::TProtocol* out) { args.write(out); });
  }
  ASSERT_TRUE(slow.Send(all));
  // Wait until it stands still: another connection's call is served in between, and calls no longer grow.
  int before = -1;
  int calls = 0;
  const Instant deadline = SystemClock()->Now() + kLongNs;
  for (int still = 0; still < 20 && SystemClock()->Now() < deadline;) {
    Greeted other(&server);
    EventLoop::Section section(server.loop());
    calls = server.handler()->calls;
    still = calls == before ? still + 1 : 0;
    before = calls;
  }
  // What the bounds allow, and what fits into the kernel's buffers on both sides.
  EXPECT_LT(calls, 60);
  for (int i = 0; i < kRequests; ++i) {
    const auto payload = slow.Receive();
    ASSERT_TRUE(payload.has_value()) << i;
    ASSERT_GT(payload->size(), kAnswerBytes);
  }
  EventLoop::Section section(server.loop());
  EXPECT_EQ(server.handler()->calls, kRequests);
}

// Requests that are not answered: beyond the bound no more are read.
TEST(RpcServer, UnansweredRequestsAreBounded) {
  Server server({.cluster = "test", .inflight_bytes_max = 1u << 20});
  Greeted peer(&server);
  const std::string message = AppendMessage(Encoding::kBinary, 5, std::string(100'000, 'b'));
  std::thread sender([&] {
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(peer.Send(message));
    }
  });
  ASSERT_TRUE(DriveUntil(server.loop(), kLongNs, [&] { return server.handler()->held.size() == 11; }));
  for (int i = 0; i < 20; ++i) {
    Greeted other(&server);
    EventLoop::Section section(server.loop());
    EXPECT_EQ(server.handler()->held.size(), 11U);
  }
  int answered = 0;
  ASSERT_TRUE(DriveUntil(server.loop(), kLongNs, [&] {
    EXPECT_LE(server.handler()->held.size(), 11U);
    for (; !server.handler()->held.empty(); ++answered) {
      server.handler()->AnswerHeld(0);
    }
    return answered == 200;
  }));
  sender.join();
}

TEST(RpcServer, AnAnswerLongerThanAFrameBecomesAnError) {
  Server server({.cluster = "test", .frame_bytes_max = 100'000});
  server.handler()->on_read = [](const ReadRequest&) {
    ReadResponse response;
    response.batches.assign(200'000, 'r');
    return response;
  };
  Greeted peer(&server);
  wire::LogService_read_args args;
  ASSERT_TRUE(
      peer.Send(Message(Encoding::kBinary, "read", tp::T_CALL, 2, [&args](tp::TProtocol* out) { args.write(out); })));
  const auto payload = peer.Receive();
  ASSERT_TRUE(payload.has_value());
  int32_t seqid = 0;
  wire::LogService_read_result result;
  Decode(*payload, &seqid, &result);
  EXPECT_EQ(result.success.code, static_cast<int>(StatusCode::kResourceExhausted));
}

// Thrift's own budget of 100 MiB for a message must not become one for the connection.
TEST_P(BothEncodings, GigabytesPassOverOneConnection) {
  Server server;
  int64_t received = 0;
  server.handler()->on_append = [&received](const AppendRequest& request) {
    received += static_cast<int64_t>(request.batch->size());
    return AppendResponse();
  };
  Greeted peer(&server, GetParam());
  constexpr int kMessages = 300;
  constexpr size_t kBytes = 4u << 20;
  const std::string message = AppendMessage(GetParam(), 3, std::string(kBytes, 'b'));
  std::thread sender([&] {
    for (int i = 0; i < kMessages; ++i) {
      ASSERT_TRUE(peer.Send(message));
    }
  });
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(peer.Receive().has_value()) << i;
  }
  sender.join();
  EventLoop::Section section(server.loop());
  EXPECT_EQ(received, int64_t{kMessages} * int64_t{kBytes});
}

TEST(RpcServer, AUnixSocketIsPrivateAndAStaleOneIsReplaced) {
  const std::string path = testing::TempDir() + "rpc_server_test." + std::to_string(getpid()) + ".sock";
  const std::string address = "unix:" + path;
  {
    Server server({.cluster = "test"}, address);
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
    EventLoop::Section section(server.loop());
    RpcServer second(server.loop(), {.cluster = "test"});
    EXPECT_EQ(second.Listen(address).code(), StatusCode::kAlreadyExists);
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "left behind";
  {
    // What a killed server leaves: a socket file that nobody listens on.
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    close(fd);
    Server server({.cluster = "test"}, address);
    auto client = LogServiceClient::Create(server.loop(), rpc_test::Options("test"), address);
    const auto response = Await<SealResponse>(
        server.loop(), [&](auto done) { client->Seal(SealRequest(), kNoTimeout, std::move(done)); });
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    EventLoop::Section section(server.loop());
    client = nullptr;
  }
}

TEST(RpcServer, ARefusedAddressSaysWhy) {
  EventLoop loop(SystemClock());
  Server taken;
  EventLoop::Section section(&loop);
  const auto code = [&loop](const std::string& address) {
    RpcServer server(&loop, {.cluster = "test"});
    return server.Listen(address).code();
  };
  EXPECT_EQ(code(taken.address()), StatusCode::kAlreadyExists);
  EXPECT_EQ(code("nonsense"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("127.0.0.1:99999"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("127.0.0.1:"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("unix:" + std::string(200, 'x')), StatusCode::kInvalidArgument);
  EXPECT_EQ(code("unix:/nonexistent/folder/socket"), StatusCode::kIoError);
}

}  // namespace
}  // namespace understudy

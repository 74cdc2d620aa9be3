// The server on a loopback port, with a Node whose acknowledgements the test gives.
#include "client/examples/resp_kv/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "client/examples/resp_kv/key_hash.h"
#include "client/examples/resp_kv/latency.h"

namespace understudy::resp_kv {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FakeNode : public Node {
 public:
  AppendFuture Append(std::string_view, uint64_t) override { std::abort(); }
  Result<Lsn> Append(std::string_view payload, uint64_t, AppendCallback callback) override {
    const std::lock_guard guard(mutex);
    if (!refusal.ok()) {
      return std::exchange(refusal, Status::Ok());
    }
    records.emplace_back(payload);
    if (acknowledge_at_once) {
      const Lsn lsn(++last);
      callback(lsn);
      return lsn;
    }
    unacknowledged.emplace_back(++last, std::move(callback));
    return Lsn(last);
  }
  void WhenCommitted(std::function<void(Status)>) override { std::abort(); }
  Status ReadBarrier() override { return Status::Ok(); }
  void ReadBarrier(std::function<void(Status)> callback) override {
    {
      const std::lock_guard guard(mutex);
      ++barriers;
      if (hold_barriers) {
        held_barriers.push_back(std::move(callback));
        return;
      }
    }
    callback(Status::Ok());
  }
  // Ends the one barrier under way, once there is one.
  void EndBarrier(const Status& status) {
    std::function<void(Status)> callback;
    for (int i = 0; i < 10'000 && callback == nullptr; ++i) {
      const std::lock_guard guard(mutex);
      if (held_barriers.empty()) {
        poll(nullptr, 0, 1);
        continue;
      }
      ASSERT_EQ(held_barriers.size(), 1u);
      callback = std::move(held_barriers.front());
      held_barriers.pop_front();
    }
    ASSERT_NE(callback, nullptr);
    callback(status);
  }
  int Barriers() const {
    const std::lock_guard guard(mutex);
    return barriers;
  }
  bool MayServe() const override { return may_serve; }
  Role role() const override { return Role::kPrimary; }
  Lsn applied() const override { return Lsn(last); }
  std::string owner_endpoint() const override {
    const std::lock_guard guard(mutex);
    return owner;
  }
  void SetGauge(const std::string&, double) override {}
  Result<CheckpointInfo> Checkpoint() override { std::abort(); }

  // Answers the first `count` of what waits, from this thread as if it were the library's.
  void Acknowledge(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      std::unique_lock lock(mutex);
      auto [lsn, callback] = std::move(unacknowledged.front());
      unacknowledged.pop_front();
      lock.unlock();
      callback(Lsn(lsn));
    }
  }
  void Fence() {
    while (Pending() > 0) {
      std::unique_lock lock(mutex);
      auto callback = std::move(unacknowledged.front().second);
      unacknowledged.pop_front();
      lock.unlock();
      callback(Status(StatusCode::kFenced, "another writer"));
    }
  }
  size_t Records() const {
    const std::lock_guard guard(mutex);
    return records.size();
  }
  size_t Pending() const {
    const std::lock_guard guard(mutex);
    return unacknowledged.size();
  }

  mutable std::mutex mutex;
  uint64_t last = 0;
  bool acknowledge_at_once = true;
  std::atomic<bool> may_serve{true};
  Status refusal;  // of the next append, once
  std::string owner;
  std::vector<std::string> records;
  std::deque<std::pair<uint64_t, AppendCallback>> unacknowledged;
  bool hold_barriers = false;
  int barriers = 0;
  std::deque<std::function<void(Status)>> held_barriers;
};

class TestClient {
 public:
  explicit TestClient(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~TestClient() { close(fd_); }
  void Send(const std::string& bytes) {
    EXPECT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // Reads until the bytes end with `end`, or the server closes, or ten seconds have passed.
  std::string ReadUntil(const std::string& end) {
    std::string bytes;
    while (!bytes.ends_with(end) && Readable(10'000)) {
      char chunk[4096];
      const ssize_t got = recv(fd_, chunk, sizeof(chunk), 0);
      if (got <= 0) {
        return bytes + "(closed)";
      }
      bytes.append(chunk, static_cast<size_t>(got));
    }
    return bytes;
  }
  std::string Ask(const std::string& line) {
    Send(line + "\r\n");
    return ReadUntil("\r\n");
  }
  bool Readable(int ms) {
    pollfd waiting{fd_, POLLIN, 0};
    return poll(&waiting, 1, ms) == 1;
  }

 private:
  int fd_;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    ServerOptions options;
    options.port = 0;
    options.memory_bytes_max = 64u << 20;
    server_ = std::make_unique<Server>(options, &executor_, &state_);
    EXPECT_TRUE(server_->Listen().ok());
    server_->SetNode(&node_);
    thread_ = std::thread([this] { executor_.Run(); });
  }
  ~ServerTest() override {
    executor_.Stop();
    thread_.join();
  }
  void BecomePrimary() { server_->data()->OnPrimary("kv", Lsn(node_.last)); }
  // Waits until the executing thread has done what came before, however the sockets deliver it.
  void WaitForPending(size_t count) {
    for (int i = 0; i < 10'000 && node_.Pending() != count; ++i) {
      poll(nullptr, 0, 1);
    }
    ASSERT_EQ(node_.Pending(), count);
  }

  Executor executor_;
  KvStateMachine state_;
  FakeNode node_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

TEST_F(ServerTest, AnswersWritesOnlyAfterTheLogAndReadsOnlyOfWhatIsCommitted) {
  BecomePrimary();
  TestClient writer(server_->port());
  TestClient reader(server_->port());
  EXPECT_EQ(writer.Ask("SET other 0"), "+OK\r\n");
  node_.acknowledge_at_once = false;
  writer.Send("SET a 1\r\nSET b 2\r\nPING\r\n");
  WaitForPending(2);
  EXPECT_EQ(reader.Ask("GET none"), "$-1\r\n");  // of another shard: waits for nothing
  EXPECT_EQ(reader.Ask("GET other"), "$1\r\n0\r\n");
  reader.Send("GET a\r\nPING\r\n");
  EXPECT_FALSE(writer.Readable(20));
  EXPECT_FALSE(reader.Readable(20));  // it has seen a = 1, which is not committed; and the PING stands behind it
  node_.Acknowledge(1);
  EXPECT_EQ(writer.ReadUntil("\r\n"), "+OK\r\n");
  EXPECT_EQ(reader.ReadUntil("PONG\r\n"), "$1\r\n1\r\n+PONG\r\n");
  node_.Acknowledge(1);
  EXPECT_EQ(writer.ReadUntil("PONG\r\n"), "+OK\r\n+PONG\r\n");
}

TEST_F(ServerTest, RedirectsWhenItIsNotThePrimary) {
  TestClient client(server_->port());
  EXPECT_THAT(client.Ask("GET foo"), StartsWith("-CLUSTERDOWN"));
  server_->data()->OnNotPrimary("10.0.0.7:7001", true);
  EXPECT_EQ(client.Ask("GET foo"), "-MOVED 12182 10.0.0.7:7001\r\n");
  EXPECT_EQ(client.Ask("DBSIZE"), "-MOVED 0 10.0.0.7:7001\r\n");
  EXPECT_EQ(client.Ask("PING"), "+PONG\r\n");
  {
    const std::lock_guard guard(node_.mutex);
    node_.owner = server_->endpoint();  // stale: nobody is sent in a circle
  }
  EXPECT_THAT(client.Ask("GET foo"), StartsWith("-CLUSTERDOWN"));
  EXPECT_THAT(client.Ask("CLUSTER KEYSLOT foo"), StartsWith(":12182"));
}

TEST_F(ServerTest, AClientThatNamesItsServiceNeverTalksToAnother) {
  BecomePrimary();
  TestClient client(server_->port());
  EXPECT_EQ(client.Ask("AUTH other x"), "+OK\r\n");
  EXPECT_THAT(client.Ask("SET k 1"), StartsWith("-CLUSTERDOWN this server is the primary of service 'kv'"));
  EXPECT_EQ(client.Ask("AUTH kv x"), "+OK\r\n");
  EXPECT_EQ(client.Ask("SET k 1"), "+OK\r\n");
  EXPECT_THAT(client.Ask("AUTH x"), StartsWith("-ERR"));
  EXPECT_EQ(node_.Records(), 1u);
}

TEST_F(ServerTest, HoldsEverythingDuringAHandoverAndThenRedirectsOrGoesOn) {
  BecomePrimary();
  TestClient client(server_->port());
  EXPECT_EQ(client.Ask("SET k 1"), "+OK\r\n");
  server_->data()->OnHandoverBegins();
  client.Send("GET k\r\nSET k 2\r\n");
  EXPECT_FALSE(client.Readable(20));
  EXPECT_EQ(node_.Records(), 1u);
  BecomePrimary();  // it came to nothing
  EXPECT_EQ(client.ReadUntil("OK\r\n"), "$1\r\n1\r\n+OK\r\n");
  server_->data()->OnHandoverBegins();
  client.Send("SET k 3\r\nGET k\r\n");
  server_->data()->OnNotPrimary("10.0.0.7:7001", true);
  const std::string moved = "-MOVED " + std::to_string(HashSlot("k")) + " 10.0.0.7:7001\r\n";
  EXPECT_EQ(client.ReadUntil(moved + moved), moved + moved);
  EXPECT_EQ(node_.Records(), 2u);
}

TEST_F(ServerTest, HoldsWhoComesToASpareThatIsAboutToBecomeThePrimary) {
  TestClient client(server_->port());
  EXPECT_THAT(client.Ask("SET k 1"), StartsWith("-CLUSTERDOWN"));
  server_->data()->OnPromotionBegins();
  client.Send("SET k 1\r\nGET k\r\n");
  EXPECT_FALSE(client.Readable(20));
  server_->data()->OnNotPrimary("10.0.0.7:7001", true);  // it takes too long, or came to nothing
  const std::string moved = "-MOVED " + std::to_string(HashSlot("k")) + " 10.0.0.7:7001\r\n";
  EXPECT_EQ(client.ReadUntil(moved + moved), moved + moved);
  server_->data()->OnPromotionBegins();
  client.Send("SET k 2\r\nGET k\r\n");
  EXPECT_FALSE(client.Readable(20));
  EXPECT_EQ(node_.Records(), 0u);
  BecomePrimary();
  EXPECT_EQ(client.ReadUntil("2\r\n"), "+OK\r\n$1\r\n2\r\n");
  server_->data()->OnPromotionBegins();  // late: it is the primary already
  EXPECT_EQ(client.Ask("SET k 3"), "+OK\r\n");
}

TEST_F(ServerTest, SaysThatTheOutcomeIsUnknownWhenItIsDeposed) {
  BecomePrimary();
  TestClient writer(server_->port());
  TestClient reader(server_->port());
  EXPECT_EQ(writer.Ask("SET clean 1"), "+OK\r\n");
  node_.acknowledge_at_once = false;
  writer.Send("SET k 1\r\nSET k 2\r\n");
  WaitForPending(2);
  reader.Send("GET k\r\n");
  EXPECT_FALSE(reader.Readable(20));
  node_.Acknowledge(1);
  EXPECT_EQ(writer.ReadUntil("\r\n"), "+OK\r\n");
  node_.Fence();
  EXPECT_THAT(writer.ReadUntil("\r\n"), StartsWith("-OUTCOMEUNKNOWN"));
  EXPECT_THAT(reader.ReadUntil("\r\n"), StartsWith("-CLUSTERDOWN"));
  EXPECT_THAT(writer.Ask("GET clean"), StartsWith("-CLUSTERDOWN"));  // its state is not to be trusted any more
  server_->data()->OnNotPrimary("", false);
  state_.Reset();
  node_.acknowledge_at_once = true;
  BecomePrimary();
  EXPECT_EQ(writer.Ask("GET k"), "$-1\r\n");
  EXPECT_EQ(writer.Ask("SET k 3"), "+OK\r\n");
}

TEST_F(ServerTest, AReadWaitsForABarrierThatBeganBehindItAndSharesItWithOthers) {
  BecomePrimary();
  TestClient first(server_->port());
  TestClient second(server_->port());
  EXPECT_EQ(first.Ask("SET k 1"), "+OK\r\n");
  EXPECT_EQ(node_.Barriers(), 0);
  node_.hold_barriers = true;
  first.Send("GET k\r\n");
  EXPECT_FALSE(first.Readable(20));
  second.Send("GET k\r\nSET k 1 NX\r\nEXISTS none\r\n");  // what changes nothing has only looked
  EXPECT_FALSE(second.Readable(20));
  EXPECT_EQ(node_.Barriers(), 1);
  node_.EndBarrier(Status::Ok());
  EXPECT_EQ(first.ReadUntil("1\r\n"), "$1\r\n1\r\n");
  EXPECT_FALSE(second.Readable(20));                                     // the first barrier began before these
  node_.EndBarrier(Status(StatusCode::kResourceExhausted, "too many"));  // tried again
  node_.EndBarrier(Status::Ok());
  EXPECT_EQ(second.ReadUntil(":0\r\n"), "$1\r\n1\r\n$-1\r\n:0\r\n");
  EXPECT_EQ(node_.Barriers(), 3);
}

TEST_F(ServerTest, AReadWhoseBarrierIsFencedGoesToTheOwnerOrIsRefused) {
  BecomePrimary();
  TestClient client(server_->port());
  node_.hold_barriers = true;
  client.Send("GET k\r\n");
  node_.EndBarrier(Status(StatusCode::kFenced, "another writer"));
  EXPECT_THAT(client.ReadUntil("\r\n"), StartsWith("-CLUSTERDOWN"));
  BecomePrimary();
  client.Send("GET k\r\n");
  EXPECT_FALSE(client.Readable(20));
  server_->data()->OnHandoverBegins();
  node_.EndBarrier(Status(StatusCode::kFenced, "moved"));  // the move itself; where to is not known yet
  EXPECT_FALSE(client.Readable(20));
  server_->data()->OnNotPrimary("10.0.0.7:7001", true);
  EXPECT_EQ(client.ReadUntil("\r\n"), "-MOVED " + std::to_string(HashSlot("k")) + " 10.0.0.7:7001\r\n");
}

TEST_F(ServerTest, SaysWhereToGoBeforeItEnds) {
  BecomePrimary();
  TestClient client(server_->port());
  EXPECT_EQ(client.Ask("SET k 1"), "+OK\r\n");
  server_->data()->OnNotPrimary("10.0.0.7:7001", true);
  server_->data()->OnStop();
  EXPECT_THAT(client.Ask("SET k 2"), StartsWith("-MOVED"));
  client.Send("QUIT\r\n");
  EXPECT_EQ(client.ReadUntil("never"), "+OK\r\n(closed)");
  thread_.join();  // nobody is left, so it ends
  thread_ = std::thread([] {});
}

TEST_F(ServerTest, StopsServingWithoutABarrierAndTriesRefusedAppendsAgain) {
  BecomePrimary();
  TestClient client(server_->port());
  node_.may_serve = false;
  EXPECT_THAT(client.Ask("SET k 1"), StartsWith("-CLUSTERDOWN"));
  node_.may_serve = true;
  {
    const std::lock_guard guard(node_.mutex);
    node_.refusal = Status(StatusCode::kResourceExhausted, "too much in flight");
  }
  EXPECT_EQ(client.Ask("INCR n"), ":1\r\n");
  {
    const std::lock_guard guard(node_.mutex);
    node_.refusal = Status(StatusCode::kFailedPrecondition, "not primary yet");
  }
  EXPECT_EQ(client.Ask("INCR n"), ":2\r\n");
  EXPECT_EQ(node_.Records(), 2u);
}

TEST_F(ServerTest, ProtocolErrorsAreAnsweredInOrderAndClose) {
  BecomePrimary();
  TestClient client(server_->port());
  client.Send("PING\r\n*1\r\n#x\r\nPING\r\n");
  EXPECT_EQ(client.ReadUntil("never"), "+PONG\r\n-ERR Protocol error: expected '$', got '#'\r\n(closed)");
  TestClient other(server_->port());
  EXPECT_EQ(other.Ask("NOSUCH a b"), "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n");
  EXPECT_EQ(other.Ask("GET"), "-ERR wrong number of arguments for 'get' command\r\n");
  other.Send("QUIT\r\n");
  EXPECT_EQ(other.ReadUntil("never"), "+OK\r\n(closed)");
}

TEST_F(ServerTest, PipelinesOfThousandsComeBackInOrderWhileTheLogIsBehind) {
  BecomePrimary();
  TestClient client(server_->port());
  std::string requests;
  std::string expected;
  for (int i = 1; i <= 5000; ++i) {
    requests += i % 5 == 0 ? "GET n\r\n" : "INCR n\r\n";
    const std::string count = std::to_string(i - i / 5);
    expected += i % 5 == 0 ? "$" + std::to_string(count.size()) + "\r\n" + count + "\r\n" : ":" + count + "\r\n";
  }
  node_.acknowledge_at_once = false;
  client.Send(requests);
  WaitForPending(4000);
  node_.Acknowledge(1500);
  node_.Acknowledge(2500);
  EXPECT_EQ(client.ReadUntil("$4\r\n4000\r\n"), expected);
}

TEST_F(ServerTest, LeaksOnDemandOnly) {
  TestClient client(server_->port());
  EXPECT_EQ(client.Ask("DEBUG LEAK 10000000"), "+OK\r\n");
  EXPECT_EQ(client.Ask("DEBUG FDLEAK 100"), "+OK\r\n");
  EXPECT_EQ(client.Ask("DEBUG THREADLEAK 10"), "+OK\r\n");
  std::string info;
  for (int i = 0; i < 200 && (info.find("debug_leaked_bytes:0\r\n") != std::string::npos || info.empty()); ++i) {
    poll(nullptr, 0, 20);
    client.Send("INFO\r\n");
    info = client.ReadUntil("cluster_enabled:1\r\n\r\n# Keyspace\r\n\r\n");
  }
  EXPECT_THAT(info, HasSubstr("debug_leaked_bytes:1000000"));
  EXPECT_THAT(info, HasSubstr("debug_leaked_threads:1\r\n"));
  EXPECT_EQ(client.Ask("DEBUG LEAK 0"), "+OK\r\n");
  EXPECT_EQ(client.Ask("DEBUG FDLEAK 0"), "+OK\r\n");
  EXPECT_EQ(client.Ask("DEBUG THREADLEAK 0"), "+OK\r\n");
  EXPECT_EQ(client.Ask("DEBUG STALL 1"), "+OK\r\n");
  EXPECT_EQ(client.Ask("DEBUG IOCREEP 3"), "+OK\r\n");
  for (int i = 0; i < 200 && info.find("debug_scratch_writes:6\r\n") == std::string::npos; ++i) {
    poll(nullptr, 0, 20);
    client.Send("INFO\r\n");
    info = client.ReadUntil("cluster_enabled:1\r\n\r\n# Keyspace\r\n\r\n");
  }
  EXPECT_THAT(info, HasSubstr("debug_scratch_writes:6\r\n"));
  EXPECT_EQ(client.Ask("DEBUG IOCREEP 0"), "+OK\r\n");
  EXPECT_THAT(client.Ask("DEBUG LEAK lots"), StartsWith("-ERR DEBUG LEAK wants"));
  EXPECT_THAT(client.Ask("DEBUG THREADLEAK -1"), StartsWith("-ERR DEBUG THREADLEAK wants"));
  EXPECT_THAT(client.Ask("DEBUG SEGFAULT"), StartsWith("-ERR unknown subcommand"));
}

TEST_F(ServerTest, RefusesToGrowBeyondItsMemory) {
  BecomePrimary();
  TestClient client(server_->port());
  const std::string value(5u << 20, 'x');
  int stored = 0;
  std::string reply = "+OK\r\n";
  while (reply == "+OK\r\n" && stored < 100) {
    const std::string key = "k" + std::to_string(stored++);
    client.Send("*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n$" +
                std::to_string(value.size()) + "\r\n" + value + "\r\n");
    reply = client.ReadUntil("\r\n");
  }
  EXPECT_THAT(reply, StartsWith("-OOM"));
  EXPECT_EQ(stored, 14);  // 13 of 5 MiB are more than 64 MiB
  EXPECT_EQ(client.Ask("DEL k0"), ":1\r\n");
}

TEST(LatencyHistogramTest, PercentilesAreWithinABucket) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(0.99), 0);
  for (int us = 1; us <= 1000; ++us) {
    histogram.Add(us);
  }
  EXPECT_NEAR(static_cast<double>(histogram.Percentile(0.5)), 500, 70);
  EXPECT_NEAR(static_cast<double>(histogram.Percentile(0.99)), 990, 130);
  histogram.Add(INT64_MAX);
  EXPECT_GT(histogram.Percentile(1), INT64_MAX / 2);
}

}  // namespace
}  // namespace understudy::resp_kv

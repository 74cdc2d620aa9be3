// Coordinators that are dead, hang before or after their hello, or answer late.
#include "server/understudyd/remote_metadata.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "log/rpc/await.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

using rpc_test::kLongNs;
using Entry = std::optional<MetadataEntry>;

// The kernel takes connections, and nobody ever reads from them: a process that is stopped.
class HungListener {
 public:
  HungListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(name.sin_port));
  }
  ~HungListener() { close(fd_); }
  HungListener(const HungListener&) = delete;
  HungListener& operator=(const HungListener&) = delete;
  const std::string& address() const { return address_; }

 private:
  const int fd_;
  std::string address_;
};

// Holds questions, too, when told.
class SlowStore : public rpc_test::MapStore {
 public:
  void Get(const std::string& key, GetCallback done) override {
    ++gets;
    if (!hold) return MapStore::Get(key, std::move(done));
    held_gets.push_back(std::move(done));
  }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override {
    ++swaps;
    MapStore::CompareAndSwap(key, expected, std::move(value), std::move(done));
  }
  std::vector<GetCallback> held_gets;
  int gets = 0;
  int swaps = 0;
};

class RemoteMetadataTest : public ::testing::Test {
 protected:
  RemoteMetadataTest() {
    EventLoop::Section section(&loop_);
    for (int i = 0; i < 2; ++i) {
      servers_[i].emplace(&loop_, RpcServerOptions{.cluster = "test"});
      servers_[i]->Serve(&stores_[i]);
      EXPECT_TRUE(servers_[i]->Listen("127.0.0.1:0").ok());
      stores_[i].entries["k"] = {"k", i == 0 ? "first" : "second", 1};
    }
  }
  ~RemoteMetadataTest() override {
    EventLoop::Section section(&loop_);
    metadata_.reset();
    for (auto& server : servers_) server.reset();
  }
  void Use(const std::vector<std::string>& coordinators) {
    EventLoop::Section section(&loop_);
    metadata_ = std::make_unique<RemoteMetadata>(&loop_, "test", "log", "here", coordinators);
  }
  std::string Get() {
    const Result<Entry> got =
        Await<Entry>(&loop_, [&](auto done) { metadata_->Get("k", [done](Result<Entry> entry) { done(entry); }); });
    return got.ok() && got->has_value() ? (*got)->value : got.status().ToString();
  }
  Result<uint64_t> Cas(uint64_t expected) {
    return Await<uint64_t>(&loop_, [&](auto done) {
      metadata_->CompareAndSwap("k", expected, "new", [done](Result<uint64_t> version) { done(version); });
    });
  }

  EventLoop loop_{SystemClock()};
  SlowStore stores_[2];
  std::optional<RpcServer> servers_[2];
  HungListener hung_;
  std::unique_ptr<RemoteMetadata> metadata_;
};

TEST_F(RemoteMetadataTest, PassesOverACoordinatorThatHangs) {
  Use({hung_.address(), servers_[1]->address()});
  EXPECT_EQ(Get(), "second") << "the first call already";
  EXPECT_EQ(Get(), "second");
  const Result<uint64_t> swapped = Cas(1);
  EXPECT_TRUE(swapped.ok()) << swapped.status().ToString();
  EXPECT_EQ(stores_[1].entries["k"].value, "new");
}

TEST_F(RemoteMetadataTest, AChangeThatWasNeverSentGoesToTheNext) {
  Use({hung_.address(), "127.0.0.1:1", servers_[1]->address()});
  const Result<uint64_t> swapped = Cas(1);
  EXPECT_TRUE(swapped.ok()) << swapped.status().ToString();
  EXPECT_EQ(stores_[1].swaps, 1);
}

TEST_F(RemoteMetadataTest, AsksTheNextWhileOneIsSlowAndTakesTheFirstAnswer) {
  Use({servers_[0]->address(), servers_[1]->address()});
  stores_[0].hold = true;
  EXPECT_EQ(Get(), "second");
  EXPECT_EQ(stores_[0].gets, 1);
  ASSERT_EQ(stores_[0].held_gets.size(), 1u);
  {
    EventLoop::Section section(&loop_);
    stores_[0].held_gets[0](Entry());  // late: nobody listens any more
  }
  EXPECT_EQ(Get(), "second") << "the one that answered is asked first from now on";
  EXPECT_EQ(stores_[0].gets, 1);
}

TEST_F(RemoteMetadataTest, AChangeWhoseOutcomeIsUnknownIsNeverSentTwice) {
  Use({servers_[0]->address(), servers_[1]->address()});
  stores_[0].hold = true;
  std::optional<Result<uint64_t>> answer;
  metadata_->CompareAndSwap("k", 1, "new", [&](Result<uint64_t> version) { answer = std::move(version); });
  ASSERT_TRUE(DriveUntil(&loop_, kLongNs, [&] { return stores_[0].swaps == 1; }));
  {
    EventLoop::Section section(&loop_);
    servers_[0].reset();
    stores_[0].held.clear();
  }
  ASSERT_TRUE(DriveUntil(&loop_, kLongNs, [&] { return answer.has_value(); }));
  EXPECT_EQ(answer->status().code(), StatusCode::kOutcomeUnknown);
  EXPECT_EQ(stores_[1].swaps, 0);
}

TEST_F(RemoteMetadataTest, SaysSoWhenNobodyAnswers) {
  Use({hung_.address(), "127.0.0.1:1"});
  EXPECT_NE(Get().find("UNAVAILABLE"), std::string::npos);
  EXPECT_EQ(Cas(1).status().code(), StatusCode::kUnavailable);
}

TEST_F(RemoteMetadataTest, EndsWhileACallIsUnderWay) {
  Use({hung_.address(), servers_[1]->address()});
  stores_[1].hold = true;
  std::optional<Result<Entry>> answer;
  metadata_->Get("k", [&](Result<Entry> entry) { answer = std::move(entry); });
  ASSERT_TRUE(DriveUntil(&loop_, kLongNs, [&] { return stores_[1].gets == 1; }));
  EventLoop::Section section(&loop_);
  metadata_.reset();
  EXPECT_TRUE(!answer.has_value() || answer->status().code() == StatusCode::kCancelled);
}

}  // namespace
}  // namespace understudy

// Names of hosts: a resolver that hangs holds nobody up but who asked it.
#include "log/rpc/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "log/rpc/clients_testing.h"

namespace understudy {
namespace {

using rpc_test::ClientsTest;
using rpc_test::kLongNs;
using rpc_test::Options;
using testing::HasSubstr;

// Hangs until it is opened; then every name is `to`. Shared with the threads that hang in it.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  int asked = 0;
  int answered = 0;
  std::string to;

  static LookUpFunction Through(const std::shared_ptr<Gate>& gate) {
    return [gate](const std::string& address) -> Result<SocketName> {
      std::unique_lock lock(gate->mutex);
      ++gate->asked;
      gate->changed.notify_all();
      gate->changed.wait(lock, [&] { return gate->open; });
      ++gate->answered;
      gate->changed.notify_all();
      if (gate->to.empty()) return Status(StatusCode::kUnavailable, "'" + address + "': no such name");
      return **SocketNameOf(gate->to);
    };
  }
  void Open() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  void WaitFor(int Gate::*count, int n) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::nanoseconds(kLongNs), [&] { return this->*count >= n; }));
  }
};

class ResolverTest : public ClientsTest {
 protected:
  std::shared_ptr<LogServiceClient> ByName(int64_t connect_timeout_ms) {
    RpcClientOptions options = Options("test");
    options.look_up = Gate::Through(gate_);
    options.connect_timeout_ms = connect_timeout_ms;
    const auto client = LogServiceClient::Create(&loop_, std::move(options), "a-name.example:7401").release();
    return std::shared_ptr<LogServiceClient>(client, [this](LogServiceClient* c) {
      EventLoop::Section section(&loop_);
      delete c;
    });
  }
  Status Seal(LogServiceClient* client, int64_t timeout_ms) {
    const auto answer =
        Await<SealResponse>(&loop_, [&](auto done) { client->Seal(SealRequest(), timeout_ms, std::move(done)); });
    return answer.status();
  }
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

TEST_F(ResolverTest, AResolverThatHangsHoldsNobodyElseUpAndIsAskedOnce) {
  const auto by_name = ByName(20);
  const auto by_number = Make<LogServiceClient>();
  for (int i = 0; i < 3; ++i) {
    const Status status = Seal(by_name.get(), kNoTimeout);
    EXPECT_EQ(status.code(), StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr("a-name.example:7401: its name was not found in time"));
    EXPECT_TRUE(Seal(by_number.get(), kNoTimeout).ok());
  }
  gate_->WaitFor(&Gate::asked, 1);
  EXPECT_EQ(gate_->asked, 1);
  EXPECT_EQ(gate_->answered, 0);
  gate_->to = address_;
  gate_->Open();
  Status status;
  const Instant deadline = loop_.clock()->Now() + kLongNs;
  while (!(status = Seal(by_name.get(), kNoTimeout)).ok() && loop_.clock()->Now() < deadline) {
  }
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST_F(ResolverTest, AnAnswerInTimeConnects) {
  gate_->to = address_;
  gate_->Open();
  const auto by_name = ByName(10'000);
  EXPECT_TRUE(Seal(by_name.get(), kNoTimeout).ok());
}

TEST_F(ResolverTest, AnUnknownNameIsUnavailableAndNamed) {
  gate_->Open();
  const auto by_name = ByName(10'000);
  const Status status = Seal(by_name.get(), kNoTimeout);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("'a-name.example:7401': no such name"));
}

TEST_F(ResolverTest, ClosedWhileTheNameIsLookedUp) {
  auto by_name = ByName(10'000);
  std::optional<StatusCode> code;
  {
    EventLoop::Section section(&loop_);
    by_name->Seal(SealRequest(), kNoTimeout, [&](Result<SealResponse> answer) { code = answer.status().code(); });
  }
  gate_->WaitFor(&Gate::asked, 1);
  {
    EventLoop::Section section(&loop_);
    by_name->Close();
  }
  EXPECT_EQ(code, StatusCode::kCancelled);
  by_name.reset();
  gate_->Open();
  gate_->WaitFor(&Gate::answered, 1);
}

TEST_F(ResolverTest, TheLoopMayEndBeforeTheLookup) {
  {
    EventLoop loop(SystemClock());
    const auto lookup = Lookup::Start(&loop, "x:1", Gate::Through(gate_), [](const auto&) { ADD_FAILURE(); });
    ASSERT_TRUE(lookup.ok());
    gate_->WaitFor(&Gate::asked, 1);
    (*lookup)->Cancel();
  }
  gate_->Open();
  gate_->WaitFor(&Gate::answered, 1);
}

TEST_F(ResolverTest, AsManyRunAsMay) {
  std::vector<std::shared_ptr<Lookup>> lookups;
  while (true) {  // those of the tests before may still be ending
    auto lookup = Lookup::Start(&loop_, "x:1", Gate::Through(gate_), [](const auto&) {});
    if (!lookup.ok()) {
      EXPECT_EQ(lookup.status().code(), StatusCode::kUnavailable);
      EXPECT_THAT(lookup.status().message(), HasSubstr("too many names"));
      break;
    }
    lookups.push_back(std::move(*lookup));
    ASSERT_LE(lookups.size(), static_cast<size_t>(kLookupsMax));
  }
  for (const auto& lookup : lookups) lookup->Cancel();
  gate_->Open();
  gate_->WaitFor(&Gate::answered, static_cast<int>(lookups.size()));
}

TEST(SocketNameTest, NumbersAndPathsNeedNoLookup) {
  EXPECT_TRUE(SocketNameOf("127.0.0.1:80")->has_value());
  EXPECT_TRUE(SocketNameOf("[::1]:80")->has_value());
  EXPECT_TRUE(SocketNameOf("localhost:80")->has_value());
  EXPECT_TRUE(SocketNameOf("unix:/tmp/x")->has_value());
  EXPECT_FALSE(SocketNameOf("some-host:80")->has_value());
  EXPECT_EQ(SocketNameOf("some-host").status().code(), StatusCode::kInvalidArgument);
  const auto found = LookUp("127.0.0.1:80");
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(found->name.ss_family, AF_INET);
}

}  // namespace
}  // namespace understudy

// Which coordinator an agent speaks to: it follows the leader, finds the next one when that is silent or gone, and
// loses neither results nor its head over commands of a leader that was.
#include "server/agent/coordinator_link.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "log/env/clock.h"
#include "log/rpc/await.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

constexpr int64_t kLongNs = 20 * kNsPerSecond;

// One of several; does as the test says.
class FakeCoordinator : public CoordinatorServiceHandler {
 public:
  explicit FakeCoordinator(EventLoop* loop) {
    RpcServerOptions options;
    options.cluster = "test";
    server = std::make_unique<RpcServer>(loop, options);
    server->Serve(this);
    EXPECT_TRUE(server->Listen("127.0.0.1:0").ok());
    address = server->address();
  }

  void AgentNextCommand(AgentReport report, uint32_t, Reply<NextCommandResponse> reply) override {
    if (hangs || leads) {
      if (leads) Take(report);
      polls.push_back(std::move(reply));
    } else {
      reply({StatusCode::kUnavailable, "stands by", {}, leader});
    }
  }
  void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) override {
    ++asked;
    if (hangs) {
      held.push_back(std::move(reply));
    } else if (leads) {
      Take(report);
      reply({});
    } else {
      reply({StatusCode::kUnavailable, "stands by", {}, leader});
    }
  }
  void ServiceApply(std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void ServiceRemove(std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void GetStatus(Reply<DocumentResponse> reply) override { reply({}); }
  void Events(uint64_t, uint32_t, uint32_t, Reply<DocumentResponse> reply) override { reply({}); }
  void Switchover(std::string, std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void SetPaused(bool, Reply<DocumentResponse> reply) override { reply({}); }
  void LogsRequest(std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void PolicyRequest(std::string, Reply<DocumentResponse> reply) override { reply({}); }

  void Take(const AgentReport& report) {
    ++reports;
    samples += report.samples.size();
    for (const CommandResult& result : report.done) results.push_back(result.id);
  }
  void Send(int64_t id) {
    ASSERT_FALSE(polls.empty());
    NextCommandResponse response;
    response.command.id = id;
    response.command.kind = CommandKind::kFollow;
    const auto poll = std::move(polls.back());
    polls.pop_back();
    poll(response);
  }

  std::string address;
  std::unique_ptr<RpcServer> server;
  bool leads = false;
  bool hangs = false;  // as one that was stopped: takes everything, answers nothing
  std::string leader;
  size_t asked = 0, reports = 0, samples = 0;
  std::vector<int64_t> results;
  std::vector<Reply<NextCommandResponse>> polls, held;
};

class CoordinatorLinkTest : public ::testing::Test {
 protected:
  CoordinatorLinkTest() : section_(new EventLoop::Section(&loop_)), a_(&loop_), b_(&loop_) {}
  ~CoordinatorLinkTest() override {
    link_.reset();
    a_.polls.clear();
    b_.polls.clear();
    a_.held.clear();
    b_.held.clear();
    a_.server.reset();
    b_.server.reset();
    section_.reset();
  }
  void Start(std::vector<std::string> coordinators) {
    CoordinatorLinkOptions options;
    options.cluster = "test";
    options.node = "n1";
    options.coordinators = std::move(coordinators);
    options.heartbeat_ms = 50;
    link_ = std::make_unique<CoordinatorLink>(
        &loop_, options,
        [] {
          AgentReport report;
          report.node = "n1";
          return report;
        },
        [this](const Command& command) { commands_.push_back(command.id); });
    link_->Start();
  }
  bool Until(const std::function<bool()>& condition) {
    section_.reset();
    const bool done = DriveUntil(&loop_, kLongNs, condition);
    section_ = std::make_unique<EventLoop::Section>(&loop_);
    return done;
  }
  // Time until it happened.
  int64_t MsUntil(const std::function<bool()>& condition) {
    const Instant began = SystemClock()->Now();
    EXPECT_TRUE(Until(condition));
    return (SystemClock()->Now() - began) / kNsPerMs;
  }

  EventLoop loop_{SystemClock()};
  std::unique_ptr<EventLoop::Section> section_;
  FakeCoordinator a_, b_;
  std::unique_ptr<CoordinatorLink> link_;
  std::vector<int64_t> commands_;
};

TEST_F(CoordinatorLinkTest, FollowsToALeaderThatItWasNotToldOf) {
  b_.leads = true;
  a_.leader = b_.address;
  Start({a_.address});
  link_->AddResult({7, StatusCode::kOk, ""});
  ASSERT_TRUE(Until([&] { return b_.reports > 0 && !b_.polls.empty(); }));
  EXPECT_EQ(std::count(b_.results.begin(), b_.results.end(), 7) > 0, true);
  EXPECT_EQ(a_.polls.size(), 0u) << "it polls where it was heard";
}

TEST_F(CoordinatorLinkTest, GoesOnToTheNextWhenTheLeaderHangs) {
  a_.leads = true;
  Start({a_.address, b_.address});
  ASSERT_TRUE(Until([&] { return a_.reports > 2; }));
  // A's process is stopped; B names it until its lease has run out.
  a_.leads = false;
  a_.hangs = true;
  b_.leader = a_.address;
  ASSERT_TRUE(Until([&] { return b_.asked > 3; }));
  EXPECT_TRUE(b_.polls.empty());
  link_->AddResult({9, StatusCode::kOk, ""});
  link_->AddSample({1, 1, {}});
  b_.leads = true;
  EXPECT_LT(MsUntil([&] { return b_.reports > 0; }), 1000);
  ASSERT_TRUE(Until([&] { return !b_.polls.empty() && !b_.results.empty() && b_.samples > 0; }));
  EXPECT_EQ(b_.results.front(), 9);
}

TEST_F(CoordinatorLinkTest, AnAddressWhereNobodyListensCostsNoTime) {
  a_.leads = true;
  const std::string gone = b_.address;
  b_.server.reset();
  Start({gone, a_.address});
  EXPECT_LT(MsUntil([&] { return a_.reports > 0; }), 1000);
}

TEST_F(CoordinatorLinkTest, ACommandOfATermThatIsOverIsRefused) {
  a_.leads = true;
  Start({a_.address, b_.address});
  ASSERT_TRUE(Until([&] { return !a_.polls.empty(); }));
  a_.leads = false;
  a_.leader = b_.address;
  b_.leads = true;
  ASSERT_TRUE(Until([&] { return !b_.polls.empty(); }));
  ASSERT_FALSE(a_.polls.empty()) << "its poll at the old leader is still open";
  b_.Send((int64_t{2} << 32) + 1);
  ASSERT_TRUE(Until([&] { return commands_.size() == 1; }));
  a_.Send((int64_t{1} << 32) + 5);
  ASSERT_TRUE(Until([&] { return !b_.polls.empty(); }));
  b_.Send((int64_t{2} << 32) + 2);
  ASSERT_TRUE(Until([&] { return commands_.size() == 2; }));
  EXPECT_EQ(commands_, (std::vector<int64_t>{(int64_t{2} << 32) + 1, (int64_t{2} << 32) + 2}));
}

}  // namespace
}  // namespace understudy

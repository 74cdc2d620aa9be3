// An agent between a coordinator and an application that do as the test says.
#include "server/agent/agent.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>

#include "log/env/clock.h"
#include "log/env/process.h"
#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

constexpr int64_t kLongNs = 20 * kNsPerSecond;

// Takes reports, hands out commands by the long poll.
class FakeCoordinator : public CoordinatorServiceHandler {
 public:
  void AgentNextCommand(AgentReport report, uint32_t, Reply<NextCommandResponse> reply) override {
    Take(std::move(report));
    poll = std::move(reply);
    Deliver();
  }
  void AgentReported(AgentReport report, Reply<NextCommandResponse> reply) override {
    Take(std::move(report));
    ++reports;
    reply({});
  }
  void ServiceApply(std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void ServiceRemove(std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void GetStatus(Reply<DocumentResponse> reply) override { reply({}); }
  void Events(uint64_t, uint32_t, uint32_t, Reply<DocumentResponse> reply) override { reply({}); }
  void Switchover(std::string, std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void SetPaused(bool, Reply<DocumentResponse> reply) override { reply({}); }
  void LogsRequest(std::string, Reply<DocumentResponse> reply) override { reply({}); }
  void PolicyRequest(std::string, Reply<DocumentResponse> reply) override { reply({}); }

  void Send(Command command) {
    commands.push_back(std::move(command));
    Deliver();
  }
  void Take(AgentReport report) {
    for (const CommandResult& result : report.done) results[result.id] = result;
    samples += report.samples.size();
    last = std::move(report);
  }
  void Deliver() {
    if (!poll || commands.empty()) return;
    const auto reply = std::exchange(poll, nullptr);
    NextCommandResponse response;
    response.command = commands.front();
    commands.pop_front();
    reply(response);
  }

  AgentReport last;
  std::map<int64_t, CommandResult> results;
  size_t samples = 0;
  size_t reports = 0;
  std::deque<Command> commands;
  Reply<NextCommandResponse> poll;
};

class AgentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/understudy_agent_XXXXXX";
    folder_ = mkdtemp(name);
    StartCoordinator("127.0.0.1:0");
    StartAgent();
  }
  void TearDown() override {
    bool stopped = false;
    Do([&] { agent_->StopApplication(0, [&] { stopped = true; }); });
    EXPECT_TRUE(Until([&] { return stopped; }));
    Do([&] {
      app_.reset();
      agent_.reset();
      server_.reset();
    });
    std::system(("rm -rf " + folder_).c_str());
  }
  static RpcServerOptions Options() {
    RpcServerOptions options;
    options.cluster = "test";
    return options;
  }
  void StartCoordinator(const std::string& address) {
    Do([&] {
      server_ = std::make_unique<RpcServer>(&loop_, Options());
      server_->Serve(&coordinator_);
      ASSERT_TRUE(server_->Listen(address).ok());
      coordinator_address_ = server_->address();
    });
  }
  void StartAgent() {
    AgentOptions options;
    options.node = "n1";
    options.cluster = "test";
    options.coordinators = {coordinator_address_};
    options.data_dir = folder_;
    options.port = 7001;
    options.sample_interval_ms = 100;
    options.heartbeat_ms = 50;
    Do([&] {
      agent_ = std::make_unique<Agent>(&loop_, SystemRandom(), options);
      const Status started = agent_->Start();
      ASSERT_TRUE(started.ok()) << started.ToString();
    });
  }
  template <class Fn>
  void Do(const Fn& fn) {
    const EventLoop::Section section(&loop_);
    fn();
  }
  bool Until(const std::function<bool()>& condition) { return DriveUntil(&loop_, kLongNs, condition); }
  void Send(int64_t id, CommandKind kind, const std::string& program = "", std::vector<std::string> arguments = {}) {
    Command command;
    command.id = id;
    command.kind = kind;
    command.service = "kv";
    command.program = program;
    command.arguments = std::move(arguments);
    command.grace_ms = 100;
    Do([&] { coordinator_.Send(command); });
  }
  StatusCode ResultOf(int64_t id) {
    EXPECT_TRUE(Until([&] { return coordinator_.results.contains(id); })) << "no result of command " << id;
    return coordinator_.results[id].code;
  }
  // What an application of this agent would say.
  AppReport Say(AppRole role) {
    AppReport report;
    report.pid = pid_;
    report.start_ticks = start_ticks_;
    report.role = role;
    report.gauges["depth"] = 3;
    return report;
  }
  void StartSleeper(int64_t id) {
    Send(id, CommandKind::kStartApp, "/bin/sleep", {"1000"});
    ASSERT_EQ(ResultOf(id), StatusCode::kOk) << coordinator_.results[id].detail;
    // Its pid stands in no report until it speaks; ask the kernel for the only child called sleep.
    FindChild();
  }
  void FindChild() {
    FILE* const found = popen(("pgrep -n -P " + std::to_string(getpid()) + " sleep").c_str(), "r");
    ASSERT_EQ(std::fscanf(found, "%ld", &pid_), 1);
    pclose(found);
    start_ticks_ = *ProcessStartTicks(pid_);
  }
  void ConnectApp() {
    Do([&] {
      app_ = AgentServiceClient::Create(&loop_, {"test", "application", "n1"}, "unix:" + agent_->socket_path());
    });
  }
  void Poll(AppRole role, std::vector<CommandResult> done = {}) {
    answer_.reset();
    AppReport report = Say(role);
    report.done = std::move(done);
    Do([&] { app_->AppNextCommand(report, 10'000, [this](auto answer) { answer_ = std::move(answer); }); });
  }

  std::string folder_;
  EventLoop loop_{SystemClock()};
  FakeCoordinator coordinator_;
  std::unique_ptr<RpcServer> server_;
  std::string coordinator_address_;
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<AgentServiceClient> app_;
  long pid_ = 0;
  int64_t start_ticks_ = 0;
  std::optional<Result<NextCommandResponse>> answer_;
};

TEST_F(AgentTest, ReportsHeartbeatsAndSamplesWithoutAnApplication) {
  EXPECT_TRUE(Until([&] { return coordinator_.samples >= 3 && coordinator_.reports >= 5; }));
  EXPECT_EQ(coordinator_.last.node, "n1");
  EXPECT_EQ(coordinator_.last.process, ProcessState::kNone);
  EXPECT_FALSE(coordinator_.last.has_app);
  EXPECT_NE(coordinator_.last.incarnation, 0);
}

TEST_F(AgentTest, CarriesCommandsDownAndResultsUp) {
  StartSleeper(1);
  EXPECT_TRUE(Until([&] { return coordinator_.last.process == ProcessState::kStarting; }));
  ConnectApp();
  Poll(AppRole::kWarm);
  EXPECT_TRUE(Until([&] { return coordinator_.last.has_app; }));
  EXPECT_EQ(coordinator_.last.process, ProcessState::kRunning);
  EXPECT_EQ(coordinator_.last.process_service, "kv");
  EXPECT_EQ(coordinator_.last.app.gauges.at("depth"), 3);

  Send(2, CommandKind::kFollow);
  ASSERT_TRUE(Until([&] { return answer_.has_value() && (*answer_)->command.kind != CommandKind::kNone; }));
  EXPECT_EQ((*answer_)->command.id, 2);
  EXPECT_FALSE(coordinator_.results.contains(2));
  Poll(AppRole::kLoading, {{2, StatusCode::kOk, "following"}});
  EXPECT_EQ(ResultOf(2), StatusCode::kOk);
  EXPECT_EQ(coordinator_.results[2].detail, "following");
  EXPECT_TRUE(Until([&] { return coordinator_.last.app.role == AppRole::kLoading; }));
}

TEST_F(AgentTest, ACommandLostWithItsConnectionIsToldAgain) {
  StartSleeper(1);
  ConnectApp();
  Poll(AppRole::kWarm);
  Send(2, CommandKind::kFollow);
  ASSERT_TRUE(Until([&] { return answer_.has_value() && (*answer_)->command.id == 2; }));
  ConnectApp();  // it never heard it
  EXPECT_TRUE(Until([&] { return !coordinator_.last.has_app; }));
  Poll(AppRole::kWarm);
  ASSERT_TRUE(Until([&] { return answer_.has_value() && (*answer_)->command.id == 2; }));
}

TEST_F(AgentTest, ADeathReachesTheCoordinatorAndFailsWhatWasUnderWay) {
  StartSleeper(1);
  ConnectApp();
  Poll(AppRole::kWarm);
  Send(2, CommandKind::kFollow);
  ASSERT_TRUE(Until([&] { return answer_.has_value() && (*answer_)->command.id == 2; }));
  ASSERT_EQ(kill(static_cast<pid_t>(pid_), SIGKILL), 0);
  EXPECT_TRUE(Until([&] { return coordinator_.last.process == ProcessState::kExited; }));
  EXPECT_EQ(coordinator_.last.exit_reason, "killed by signal 9 (Killed)");
  EXPECT_FALSE(coordinator_.last.has_app);
  EXPECT_EQ(ResultOf(2), StatusCode::kUnavailable);
  Send(3, CommandKind::kFollow);
  EXPECT_EQ(ResultOf(3), StatusCode::kUnavailable) << "nobody is left to follow";
}

TEST_F(AgentTest, AProgramThatDoesNotStartIsFailedWithTheReason) {
  Send(1, CommandKind::kStartApp, "/no/such/program");
  EXPECT_EQ(ResultOf(1), StatusCode::kNotFound);
  EXPECT_TRUE(Until([&] { return coordinator_.last.process == ProcessState::kFailed; }));
  EXPECT_EQ(coordinator_.last.exit_reason, "exec /no/such/program: No such file or directory");
}

TEST_F(AgentTest, ARepeatedCommandIsCarriedOutOnce) {
  StartSleeper(1);
  coordinator_.results.clear();
  Send(1, CommandKind::kStartApp, "/bin/sleep", {"1000"});
  EXPECT_EQ(ResultOf(1), StatusCode::kOk);
  EXPECT_EQ(coordinator_.last.starts, 1);
  Send(2, CommandKind::kStopApp);
  EXPECT_EQ(ResultOf(2), StatusCode::kOk);
  EXPECT_TRUE(Until([&] { return coordinator_.last.process == ProcessState::kExited; }));
}

// The coordinator of the same process lives a little longer, and would fill the pool again.
TEST_F(AgentTest, NothingIsStartedOnceTheApplicationWasEnded) {
  StartSleeper(1);
  bool stopped = false;
  Do([&] { agent_->StopApplication(0, [&] { stopped = true; }); });
  Send(2, CommandKind::kStartApp, "/bin/sleep", {"1000"});
  EXPECT_EQ(ResultOf(2), StatusCode::kCancelled);
  EXPECT_TRUE(Until([&] { return stopped && coordinator_.last.process == ProcessState::kExited; }));
  EXPECT_EQ(coordinator_.last.starts, 1);
}

TEST_F(AgentTest, OnlyTheNodesOwnProcessIsListenedTo) {
  StartSleeper(1);
  ConnectApp();
  pid_ = getpid();
  start_ticks_ = *ProcessStartTicks(pid_);
  Poll(AppRole::kPrimary);
  ASSERT_TRUE(Until([&] { return answer_.has_value(); }));
  EXPECT_EQ((*answer_)->code, StatusCode::kFailedPrecondition);
  EXPECT_FALSE(coordinator_.last.has_app);
}

TEST_F(AgentTest, ASilentApplicationCountsAsHung) {
  StartSleeper(1);
  ConnectApp();
  Poll(AppRole::kPrimary);
  ASSERT_TRUE(Until([&] { return coordinator_.last.has_app; }));
  ASSERT_TRUE(Until([&] { return answer_.has_value(); })) << "a poll is answered so that it can be heard again";
  EXPECT_TRUE(Until([&] { return !coordinator_.last.has_app; })) << "connected, but it said nothing for a second";
  EXPECT_EQ(coordinator_.last.process, ProcessState::kRunning);
  Poll(AppRole::kPrimary);
  EXPECT_TRUE(Until([&] { return coordinator_.last.has_app; }));
}

TEST_F(AgentTest, TheNextAgentAdoptsTheApplication) {
  StartSleeper(1);
  const int64_t incarnation = coordinator_.last.incarnation;
  Do([&] { agent_.reset(); });
  StartAgent();
  EXPECT_TRUE(Until([&] { return coordinator_.last.incarnation != incarnation; }));
  EXPECT_EQ(coordinator_.last.process, ProcessState::kStarting);
  ConnectApp();
  Poll(AppRole::kPrimary);
  EXPECT_TRUE(Until([&] { return coordinator_.last.has_app; }));
  EXPECT_EQ(coordinator_.last.app.pid, pid_);
  EXPECT_EQ(coordinator_.last.starts, 0);
}

TEST_F(AgentTest, GoesOnWithoutACoordinatorAndCatchesUpLater) {
  StartSleeper(1);
  const std::string address = coordinator_address_;
  Do([&] { server_.reset(); });
  coordinator_.poll = nullptr;
  ASSERT_EQ(kill(static_cast<pid_t>(pid_), SIGKILL), 0);
  const size_t samples = coordinator_.samples;
  // The agent lives on without it; nothing reaches this side, so the kernel is asked.
  EXPECT_TRUE(Until([&] { return !ProcessStartTicks(pid_).ok(); }));
  StartCoordinator(address);
  EXPECT_TRUE(Until([&] { return coordinator_.last.process == ProcessState::kExited; }));
  EXPECT_TRUE(Until([&] { return coordinator_.samples > samples; }));
  StartSleeper(2);
}

}  // namespace
}  // namespace understudy

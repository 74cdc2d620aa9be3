// understudyd as its operator meets it: wrong flags, a second instance, signals, and applications that outlive it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <string>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "log/env/process.h"
#include "log/env/small_files.h"
#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "tests/e2e/server_process.h"
#include "understudy/log.h"

namespace understudy::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class UnderstudydTest : public ::testing::Test {
 protected:
  UnderstudydTest() : server_(folder_.path() + "/data") {}
  void TearDown() override {
    server_.Kill();
    if (const auto left = RunningApp()) (void)left->Signal(SIGKILL, true).ok();
  }
  // The application of node n1, whether or not understudyd could write it down.
  std::unique_ptr<Process> RunningApp() const {
    for (const int64_t pid : FindProcesses("UNDERSTUDY_AGENT", "unix:" + server_.data_dir() + "/run/n1.sock")) {
      const Result<int64_t> start_ticks = ProcessStartTicks(pid);
      auto app = Process::Adopt(pid, start_ticks.ok() ? *start_ticks : 0);
      if (app.ok()) return std::move(app).value();
    }
    return nullptr;
  }
  // Declares a service whose program just sleeps and waits until the node n1 runs it.
  void RunSleeper() {
    EventLoop loop(SystemClock());
    std::unique_ptr<CoordinatorServiceClient> client;
    {
      const EventLoop::Section section(&loop);
      client = CoordinatorServiceClient::Create(&loop, {"understudy", "operator", "test"}, server_.coordinator());
    }
    const std::string spec = R"({"name":"sleeper","program":"/bin/sleep","arguments":["1000"]})";
    std::string detail = "not tried";
    for (int tries = 0; tries < 2000 && !detail.empty(); ++tries) {
      const auto answer =
          Await<DocumentResponse>(&loop, [&](auto done) { client->ServiceApply(spec, 1000, std::move(done)); });
      detail = !answer.ok() ? answer.status().ToString() : answer->code == StatusCode::kOk ? "" : answer->detail;
      if (!detail.empty()) Pause(5);
    }
    EXPECT_EQ(detail, "");
    {
      const EventLoop::Section section(&loop);
      client.reset();
    }
    ASSERT_TRUE(server_.OutputHas("started process")) << server_.Output();
    // The kernel lets the parent of a new program go on a moment before the program's environment can be read.
    const Instant deadline = SystemClock()->Now() + 20 * kNsPerSecond;
    while ((app_ = RunningApp()) == nullptr && SystemClock()->Now() < deadline) Pause(1);
    ASSERT_NE(app_, nullptr);
  }
  bool AppRuns() const { return ProcessStartTicks(app_->pid()).ok(); }
  std::string record_path() const { return server_.data_dir() + "/run/n1.json"; }

  TestFolder folder_;
  ServerProcess server_;
  std::unique_ptr<Process> app_;
};

TEST_F(UnderstudydTest, WrongFlagsEndItWithTheirNames) {
  server_.Start({"--heartbeat-ms", "fast"});
  EXPECT_EQ(server_.WaitForEnd(), "exit status 2");
  EXPECT_THAT(server_.Output(), HasSubstr("--heartbeat-ms"));
  server_.Start({"--config", folder_.path() + "/none"});
  EXPECT_EQ(server_.WaitForEnd(), "exit status 2");
  EXPECT_THAT(server_.Output(), HasSubstr("--config"));
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), folder_.path() + "/conf", "sample-interval-ms = 1\n").ok());
  server_.Start({"--config", folder_.path() + "/conf"});
  EXPECT_EQ(server_.WaitForEnd(), "exit status 2");
  EXPECT_THAT(server_.Output(), HasSubstr("--sample-interval-ms: 1 is out of bounds"));
}

TEST_F(UnderstudydTest, ASecondInstanceIsRefusedByName) {
  server_.Start();
  ASSERT_TRUE(server_.OutputHas("log server on"));
  ServerProcess second(server_.data_dir());
  second.Start();
  EXPECT_EQ(second.WaitForEnd(), "exit status 1");
  EXPECT_THAT(second.Output(), HasSubstr("in use by process " + std::to_string(server_.pid())));
  ServerProcess other(folder_.path() + "/other");
  other.Start({"--log-listen", server_.log_address()});
  EXPECT_EQ(other.WaitForEnd(), "exit status 2") << "the flag is given twice";
}

TEST_F(UnderstudydTest, APortThatIsTakenIsNamed) {
  server_.Start();
  ASSERT_TRUE(server_.OutputHas("log server on"));
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), folder_.path() + "/conf", "grace-ms = 1\n").ok());
  auto other = Process::Spawn(
      {UNDERSTUDYD_PROGRAM,
       {"--data-dir", folder_.path() + "/other", "--listen", server_.coordinator(), "--log-listen", "127.0.0.1:0"},
       {},
       folder_.path() + "/other.output"});
  ASSERT_TRUE(other.ok());
  while (!(*other)->Reap()) Pause(1);
  EXPECT_THAT(*ReadSmallFile(folder_.path() + "/other.output"), HasSubstr("--listen: "));
  EXPECT_THAT(*ReadSmallFile(folder_.path() + "/other.output"), HasSubstr(server_.coordinator()));
}

TEST_F(UnderstudydTest, EndsInOrderOnSignals) {
  for (const int signal : {SIGTERM, SIGINT}) {
    server_.Start({"--nodes", "n1"});
    ASSERT_TRUE(server_.OutputHas("log server on", signal == SIGTERM ? 1 : 2));
    EXPECT_EQ(server_.EndWith(signal), "exit status 0") << server_.Output();
  }
}

TEST_F(UnderstudydTest, ApplicationsOutliveItAndAreAdopted) {
  server_.Start({"--nodes", "n1"});
  ASSERT_NO_FATAL_FAILURE(RunSleeper());
  EXPECT_EQ(server_.EndWith(SIGTERM), "exit status 0");
  EXPECT_TRUE(AppRuns());
  server_.Start({"--nodes", "n1"});
  EXPECT_TRUE(server_.OutputHas("adopted process " + std::to_string(app_->pid()))) << server_.Output();
  server_.Kill();
  EXPECT_TRUE(AppRuns());
  server_.Start({"--nodes", "n1"});
  EXPECT_TRUE(server_.OutputHas("adopted process " + std::to_string(app_->pid()), 2)) << server_.Output();
  // It is nobody's child any more; its end is noticed all the same.
  ASSERT_TRUE(app_->Signal(SIGKILL, true).ok());
  EXPECT_TRUE(server_.OutputHas("process " + std::to_string(app_->pid()) + " of sleeper has ended"))
      << server_.Output();
}

TEST_F(UnderstudydTest, RolesWorkTogetherInProcessesOfTheirOwn) {
  // The log server comes first: it waits for the metadata before it answers anything.
  ServerProcess log_server(folder_.path() + "/log");
  log_server.Start({"log", "--node", "m1", "--coordinators", "127.0.0.1:1," + server_.coordinator()});
  EXPECT_TRUE(log_server.OutputHas("trying again")) << log_server.Output();
  EXPECT_THAT(log_server.Output(), Not(HasSubstr("log server on")));
  server_.Start({"coordinator"});
  ASSERT_TRUE(log_server.OutputHas("log server on")) << log_server.Output();
  ServerProcess agent(folder_.path() + "/agent");
  agent.Start({"agent", "--nodes", "n7", "--coordinators", server_.coordinator()});
  EXPECT_TRUE(agent.OutputHas("in touch with the coordinator at " + server_.coordinator())) << agent.Output();

  LogOptions options;
  options.coordinators = {server_.coordinator()};
  Result<std::unique_ptr<Log>> log = Log::Open(options, "roles", true);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  ASSERT_TRUE((*log)->TakeOver(Epoch(0)).ok());
  EXPECT_EQ((*log)->Append("over the wire", 1).Get().status().ToString(), "OK");
  // The log goes on without a coordinator, and so do the agent and its heartbeats once there is one again.
  server_.Kill();
  EXPECT_EQ((*log)->Append("without metadata", 1).Get().status().ToString(), "OK");
  server_.Start({"coordinator"});
  EXPECT_TRUE(agent.OutputHas("in touch with the coordinator", 2)) << agent.Output();
  EXPECT_EQ(log_server.EndWith(SIGTERM), "exit status 0");
  EXPECT_EQ(agent.EndWith(SIGTERM), "exit status 0");
}

TEST_F(UnderstudydTest, ForeignClustersAreRefusedByName) {
  server_.Start({"coordinator", "--cluster", "theirs"});
  ServerProcess agent(folder_.path() + "/agent");
  agent.Start({"agent", "--nodes", "n7", "--coordinators", server_.coordinator(), "--cluster", "ours"});
  EXPECT_TRUE(agent.OutputHas("FOREIGN_CLUSTER")) << agent.Output();
  EXPECT_THAT(agent.Output(), HasSubstr("'theirs'"));
}

TEST_F(UnderstudydTest, StopApplicationsTakesThemAlong) {
  server_.Start({"--nodes", "n1", "--stop-applications", "--grace-ms", "2000"});
  ASSERT_NO_FATAL_FAILURE(RunSleeper());
  EXPECT_EQ(server_.EndWith(SIGTERM), "exit status 0") << server_.Output();
  EXPECT_FALSE(AppRuns());
  EXPECT_EQ(ReadSmallFile(record_path()).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace understudy::e2e

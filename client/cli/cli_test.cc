// The command's own work: parsing, tables, documents as text, and whole commands against a coordinator made for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "client/cli/command.h"
#include "client/cli/status_view.h"
#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/rpc/rpc_server.h"

namespace understudy::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const Command kCommand = {
    "test",
    "Tests",
    {"SERVICE", "[NODE]"},
    {{"records", Option::kNumber, "N", "7", "how many", 1, 100}, {"sync", Option::kFlag, "", "", "wait", 0, 0}},
    "Details.\n",
    nullptr};

TEST(CommandTest, ParsesAndNamesWhatIsWrong) {
  Result<Arguments> arguments = ParseArguments(kCommand, {"kv", "--sync", "--records=9", "--coordinator", "h:1"});
  ASSERT_TRUE(arguments.ok()) << arguments.status().ToString();
  EXPECT_EQ(arguments->Text("SERVICE"), "kv");
  EXPECT_FALSE(arguments->Given("NODE"));
  EXPECT_TRUE(arguments->Flag("sync"));
  EXPECT_EQ(arguments->Number("records"), 9);
  EXPECT_EQ(arguments->coordinators(), "h:1");
  EXPECT_EQ(ParseArguments(kCommand, {"kv", "--coordinators", "a:1,b:2"})->coordinators(), "a:1,b:2");
  setenv("UNDERSTUDY_COORDINATORS", "e:1,e:2", 1);
  EXPECT_EQ(ParseArguments(kCommand, {"kv"})->coordinators(), "e:1,e:2");
  EXPECT_EQ(ParseArguments(kCommand, {"kv", "--coordinators", "a:1"})->coordinators(), "a:1");
  unsetenv("UNDERSTUDY_COORDINATORS");
  EXPECT_EQ(ParseArguments(kCommand, {"kv"})->coordinators(), "127.0.0.1:7400");
  EXPECT_EQ(ParseArguments(kCommand, {"kv"})->Number("records"), 7);

  const auto error = [](const std::vector<std::string>& words) {
    return ParseArguments(kCommand, words).status().message();
  };
  EXPECT_EQ(error({}), "SERVICE is required");
  EXPECT_EQ(error({"a", "b", "c"}), "'c' is one argument too many");
  EXPECT_EQ(error({"a", "--records", "0"}), "--records: '0' is not a whole number from 1 to 100");
  EXPECT_EQ(error({"a", "--records", "7x"}), "--records: '7x' is not a whole number from 1 to 100");
  EXPECT_THAT(error({"a", "--rec", "7"}), HasSubstr("--rec"));
  EXPECT_THAT(error({"a", "--coordinator"}), HasSubstr("--coordinator"));
}

TEST(CommandTest, ListsRealsAndAllTheRest) {
  const Command command = {
      "test",
      "Tests",
      {"MODEL", "TRACES..."},
      {{"predictor", Option::kList, "NAME", "", "which", 0, 0}, {"horizon", Option::kReal, "S", "60", "ahead", 1, 100}},
      "Details.\n",
      nullptr};
  const Result<Arguments> arguments =
      ParseArguments(command, {"m", "a", "--predictor", "x", "b", "--horizon", "2.5", "--predictor", "y:{\"z\": 1}"});
  ASSERT_TRUE(arguments.ok()) << arguments.status().ToString();
  EXPECT_EQ(arguments->Text("MODEL"), "m");
  EXPECT_THAT(arguments->List("TRACES"), testing::ElementsAre("a", "b"));
  EXPECT_THAT(arguments->List("predictor"), testing::ElementsAre("x", "y:{\"z\": 1}"));
  EXPECT_EQ(arguments->Real("horizon"), 2.5);
  EXPECT_EQ(ParseArguments(command, {"m", "a"})->Real("horizon"), 60);
  EXPECT_THAT(ParseArguments(command, {"m", "a"})->List("predictor"), testing::IsEmpty());
  EXPECT_EQ(ParseArguments(command, {"m"}).status().message(), "TRACES is required");
  for (const char* wrong : {"0.5", "101", "nan", "2s", ""}) {
    EXPECT_EQ(ParseArguments(command, {"m", "a", std::string("--horizon=") + wrong}).ok(), false) << wrong;
  }
}

TEST(CommandTest, HelpAndSuggestions) {
  const std::string help = Help(kCommand);
  EXPECT_THAT(help, HasSubstr("Usage: understudy test SERVICE [NODE] [options]"));
  EXPECT_THAT(help, HasSubstr("--records N"));
  EXPECT_THAT(help, HasSubstr("how many (7)"));
  Command status = kCommand, events = kCommand;
  status.name = "status";
  events.name = "events";
  EXPECT_STREQ(Nearest({status, events}, "stauts")->name, "status");
  EXPECT_STREQ(Nearest({status, events}, "event")->name, "events");
  EXPECT_EQ(Nearest({status, events}, "switchover"), nullptr);
}

TEST(TextTest, NumbersAndTables) {
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(1234567), "1,234,567");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanMs(1.25), "1.2 ms");
  EXPECT_EQ(HumanMs(90'000), "90.0 s");
  Table table({"NAME", "LAG>"});
  table.Add({"\xC3\xA4", "5"});
  table.Add({{"kv", Color::kRed}, "1,000"});
  EXPECT_EQ(table.Render(false), "NAME    LAG\n\xC3\xA4         5\nkv    1,000\n");
  EXPECT_THAT(table.Render(true), HasSubstr("\033[1;31mkv\033[0m    1,000"));
}

constexpr char kStatus[] = R"({
  "cluster": "demo", "coordinator": "c1", "paused": true, "braked": false, "unsafe": ["--unsafe-no-fsync"],
  "services": [
    {"name": "kv1", "state": "SERVING", "trouble": "", "epoch": 3, "commit": 120403, "risk": "ASSIGN",
     "primary": {"node": "n1", "endpoint": "127.0.0.1:7001", "may_serve": true, "append_p99_us": 420},
     "spare": {"node": "n4", "state": "REPLAYING", "lag": 5312, "caught_up": false},
     "forecast": {"predictor": "threshold", "status": "OK", "horizon_ms": 60000, "probability": 0.9, "ttf_p50_s": 42,
                  "reason": "proc.rss_bytes 412 MiB > 400 MiB for 5 s"},
     "move": {"kind": "planned", "from": "n1", "to": "n4", "step": "PREPARE"}},
    {"name": "kv2", "state": "DOWN", "trouble": "exec: No such file", "primary": null, "spare": null,
     "forecast": {"status": "WARMING", "reason": "no samples"}, "move": null, "epoch": 0, "commit": 0, "later": 1}],
  "nodes": [{"name": "n1", "alive": true, "last_heard_ms": 120, "process": "RUNNING", "pid": 4711, "state": "PRIMARY", "service": "kv1"},
            {"name": "n5", "alive": true, "last_heard_ms": 90, "process": "RUNNING", "pid": 4713, "state": "WARM"},
            {"name": "n6", "alive": false, "last_heard_ms": 9000, "process": "EXITED", "exit_reason": "killed by signal 9"},
            {"name": "n7", "alive": false, "last_heard_ms": null, "process": "NONE"}],
  "moves": [{"kind": "unplanned", "service": "kv1", "from": "n2", "to": "n1", "started_unix_ms": 1000, "ended_unix_ms": 1040,
             "gap_ms": 38.2, "lead_s": null, "replayed": 12, "reason": "killed by signal 9"}],
  "alerts": [{"plugin": "threshold", "service": "", "text": "killed by signal 11"},
             {"plugin": "", "service": "kv2", "text": "s1: log 2 is over its quota"}]})";

TEST(StatusViewTest, ShowsWhatAPersonMustKnow) {
  const std::string text = RenderStatus(kStatus, "127.0.0.1:7400", false);
  EXPECT_THAT(text, HasSubstr("cluster demo, coordinator c1 at 127.0.0.1:7400: 2 services, 4 nodes, 1 free\n"));
  EXPECT_THAT(text, HasSubstr("UNSAFE: --unsafe-no-fsync"));
  EXPECT_THAT(text, HasSubstr("PAUSED"));
  EXPECT_THAT(text, HasSubstr("ALERT: predictor threshold: killed by signal 11"));
  EXPECT_THAT(text, HasSubstr("ALERT: kv2: s1: log 2 is over its quota"));
  EXPECT_THAT(
      text,
      HasSubstr("kv1      SERVING  n1 127.0.0.1:7001      3  120,403      0.4 ms  n4 REPLAYING (catching up)  5,312  "
                "ASSIGN  90 % in 60.0 s, about 42.0 s left: proc.rss_bytes 412 MiB > 400 MiB for 5 s\n"));
  EXPECT_THAT(text, HasSubstr("kv2: exec: No such file"));
  EXPECT_THAT(text, HasSubstr("WARMING: no samples"));
  EXPECT_THAT(text, HasSubstr("kv1: planned n1 -> n4, at step PREPARE"));
  EXPECT_THAT(text, HasSubstr("n6    GONE"));
  EXPECT_THAT(text, HasSubstr("n7    UNHEARD"));
  EXPECT_THAT(text, HasSubstr("EXITED, killed by signal 9"));
  EXPECT_THAT(text, HasSubstr("unplanned  kv1      n2    n1"));
  EXPECT_THAT(text, HasSubstr("38 ms"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(RenderStatus(kStatus, "", true), HasSubstr("\033[1;31mUNSAFE"));
}

TEST(StatusViewTest, StandsOddDocuments) {
  EXPECT_THAT(RenderStatus("", "", false), HasSubstr("not JSON"));
  EXPECT_THAT(RenderStatus("{}", "", false), HasSubstr("No services"));
  EXPECT_THAT(
      RenderStatus(R"({"services":[{"name":1,"primary":7,"forecast":[]},3],"nodes":{},"moves":[null]})", "", false),
      HasSubstr("2 services"));
  EXPECT_EQ(RenderEvents("[]", false), "");
}

TEST(StatusViewTest, EventsAreLines) {
  const std::string text = RenderEvents(
      R"({"events":[{"seq":812,"unix_ms":5,"kind":"moved","service":"kv1","node":"n4","text":"in 3 ms"}]})", false);
  EXPECT_THAT(text, HasSubstr("#812  moved  kv1  on n4  in 3 ms\n"));
}

class FakeCoordinator : public CoordinatorServiceHandler {
 public:
  void AgentNextCommand(AgentReport, uint32_t, Reply<NextCommandResponse> reply) override { reply({}); }
  void AgentReported(AgentReport, Reply<NextCommandResponse> reply) override { reply({}); }
  void ServiceApply(std::string document, Reply<DocumentResponse> reply) override {
    applied = document;
    reply({StatusCode::kOk, "", R"({"service":"kv1","log_id":4})"});
  }
  void ServiceRemove(std::string service, Reply<DocumentResponse> reply) override {
    reply({StatusCode::kNotFound, "no service '" + service + "'", ""});
  }
  void GetStatus(Reply<DocumentResponse> reply) override { reply({StatusCode::kOk, "", kStatus}); }
  void Events(uint64_t after, uint32_t limit, uint32_t, Reply<DocumentResponse> reply) override {
    nlohmann::json events = nlohmann::json::array();
    for (uint64_t seq = after + 1; seq <= 2500 && events.size() < limit; ++seq)
      events.push_back({{"seq", seq}, {"kind", "k"}});
    reply({StatusCode::kOk, "", nlohmann::json({{"events", events}, {"last", 2500}}).dump()});
  }
  void Switchover(std::string service, std::string to_node, Reply<DocumentResponse> reply) override {
    if (to_node == "n9") return reply({StatusCode::kFailedPrecondition, "no caught-up spare on n9", ""});
    reply({StatusCode::kOk, "", R"({"service":")" + service + R"(","from":"n1","to":"n4","gap_ms":3.1})"});
  }
  void SetPaused(bool value, Reply<DocumentResponse> reply) override {
    paused = value;
    reply({StatusCode::kOk, "", "{}"});
  }
  void LogsRequest(std::string document, Reply<DocumentResponse> reply) override {
    logs_request = std::move(document);
    reply({StatusCode::kOk, "", R"({"disks":[],"moves":[],"notes":["done"]})"});
  }
  void PolicyRequest(std::string document, Reply<DocumentResponse> reply) override {
    policy_request = std::move(document);
    reply({StatusCode::kOk, "", policy_answer});
  }
  std::string policy_request;
  std::string policy_answer = "{}";
  std::string logs_request;
  std::string applied;
  bool paused = false;
};

// One of several coordinators, that does not lead.
class Standby : public FakeCoordinator {
 public:
  void GetStatus(Reply<DocumentResponse> reply) override {
    ++asked;
    if (hangs) return held.push_back(std::move(reply));
    reply({StatusCode::kUnavailable, "stands by", "", leader});
  }
  void Switchover(std::string, std::string, Reply<DocumentResponse> reply) override { GetStatus(std::move(reply)); }
  std::string leader;
  std::atomic<bool> hangs = false;
  std::atomic<int> asked = 0;
  std::vector<Reply<DocumentResponse>> held;
};

class WholeCommandTest : public testing::Test {
 protected:
  WholeCommandTest() : loop_(SystemClock()), server_(std::make_unique<RpcServer>(&loop_, Options())) {
    {
      EventLoop::Section section(&loop_);
      server_->Serve(&coordinator_);
      EXPECT_TRUE(server_->Listen("127.0.0.1:0").ok());
    }
    thread_ = std::thread([this] { loop_.Run(); });
  }
  ~WholeCommandTest() override {
    loop_.Stop();
    thread_.join();
    server_.reset();
  }
  static RpcServerOptions Options() {
    RpcServerOptions options;
    options.cluster = "understudy";
    return options;
  }

  std::unique_ptr<RpcServer> Serve(CoordinatorServiceHandler* handler) {
    EventLoop::Section section(&loop_);
    auto server = std::make_unique<RpcServer>(&loop_, Options());
    server->Serve(handler);
    EXPECT_TRUE(server->Listen("127.0.0.1:0").ok());
    return server;
  }

  // Runs a command and keeps what it says.
  int Run(int (*run)(const Arguments&), std::map<std::string, std::string> values, bool json = false) {
    Arguments arguments;
    arguments.values = {{"coordinators", server_->address()},
                        {"cluster", "understudy"},
                        {"after", "0"},
                        {"limit", "0"},
                        {"timeout-s", "5"},
                        {"to", ""}};
    for (const auto& [key, value] : values) arguments.values[key] = value;
    arguments.given["json"] = json;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = run(arguments);
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }

  EventLoop loop_;
  FakeCoordinator coordinator_;
  std::unique_ptr<RpcServer> server_;
  std::thread thread_;
  std::string out_, err_;
};

TEST_F(WholeCommandTest, AskTheCoordinatorAndTellTheTruthInTheExitCode) {
  EXPECT_EQ(Run(RunStatus, {}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("cluster demo"));
  EXPECT_EQ(Run(RunStatus, {}, true), kExitOk);
  EXPECT_EQ(nlohmann::json::parse(out_), nlohmann::json::parse(kStatus));
  EXPECT_EQ(Run(RunSwitchover, {{"SERVICE", "kv1"}}), kExitOk);
  EXPECT_EQ(out_, "Service kv1 has moved from n1 to n4 in 3.1 ms.\n");
  EXPECT_EQ(Run(RunSwitchover, {{"SERVICE", "kv1"}, {"to", "n9"}}), kExitFailed);
  EXPECT_EQ(err_, "understudy: no caught-up spare on n9\n");
  EXPECT_EQ(Run(RunServiceRemove, {{"SERVICE", "kv7"}}), kExitFailed);
  EXPECT_EQ(err_, "understudy: no service 'kv7'\n");
  EXPECT_EQ(Run(RunPause, {}), kExitOk);
  EXPECT_TRUE(coordinator_.paused);
  EXPECT_EQ(Run(RunResume, {}), kExitOk);
  EXPECT_FALSE(coordinator_.paused);
}

TEST_F(WholeCommandTest, EventsAreGatheredPageByPage) {
  EXPECT_EQ(Run(RunEvents, {}, true), kExitOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["events"].size(), 2500u);
  EXPECT_EQ(Run(RunEvents, {{"limit", "3"}}, true), kExitOk);
  EXPECT_EQ(nlohmann::json::parse(out_)["events"][0]["seq"], 2498);
  EXPECT_EQ(Run(RunEvents, {{"after", "2499"}}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("#2500  k\n"));
}

TEST_F(WholeCommandTest, ServiceFiles) {
  const std::string path = testing::TempDir() + "/service.json";
  std::ofstream(path) << R"({"name":"kv1"})";
  EXPECT_EQ(Run(RunServiceApply, {{"FILE", path}}), kExitOk);
  EXPECT_EQ(coordinator_.applied, R"({"name":"kv1"})");
  EXPECT_EQ(out_, "Service kv1 is applied; its log is 4.\n");
  EXPECT_EQ(Run(RunServiceApply, {{"FILE", "/nonexistent.json"}}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("/nonexistent.json: No such file"));
}

TEST_F(WholeCommandTest, NobodyThereIsAnExitCodeOfItsOwn) {
  EXPECT_EQ(Run(RunStatus, {{"coordinators", "127.0.0.1:1"}}), kExitUnreachable);
  EXPECT_THAT(err_, HasSubstr("is understudyd running"));
  EXPECT_EQ(Run(RunStatus, {{"cluster", "another"}}), kExitUnreachable);
}

TEST_F(WholeCommandTest, FindsTheLeaderAmongSeveral) {
  Standby standby;
  std::unique_ptr<RpcServer> other = Serve(&standby);
  std::string dead = "127.0.0.1:1,";
  standby.leader = server_->address();
  EXPECT_EQ(Run(RunStatus, {{"coordinators", dead + other->address()}}), kExitOk) << err_;
  EXPECT_THAT(out_, HasSubstr("at " + server_->address())) << "it says who answered";
  EXPECT_EQ(Run(RunSwitchover, {{"coordinators", other->address()}, {"SERVICE", "kv1"}}), kExitOk) << err_;
  // One that takes the question and never answers: the next is asked as well.
  standby.hangs = true;
  EXPECT_EQ(Run(RunStatus, {{"coordinators", other->address() + "," + server_->address()}}), kExitOk) << err_;
  // A switchover is not asked for twice: it may have been taken.
  standby.asked = 0;
  EXPECT_EQ(
      Run(RunSwitchover,
          {{"coordinators", other->address() + "," + server_->address()}, {"SERVICE", "kv1"}, {"timeout-s", "1"}}),
      kExitUnreachable);
  EXPECT_EQ(standby.asked, 1);
  EventLoop::Section section(&loop_);
  standby.held.clear();
  other.reset();
}

TEST_F(WholeCommandTest, WaitsForALeaderAndSaysWhyThereIsNone) {
  Standby standby;
  std::unique_ptr<RpcServer> other = Serve(&standby);
  EXPECT_EQ(Run(RunStatus, {{"coordinators", other->address()}}), kExitUnreachable);
  EXPECT_THAT(err_, HasSubstr("stands by"));
  EXPECT_GT(standby.asked, 3) << "a leader may be elected any moment";
  EventLoop::Section section(&loop_);
  other.reset();
}

}  // namespace
}  // namespace understudy::cli

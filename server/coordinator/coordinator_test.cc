// The coordinator as it runs: the embedded metadata store on disk, the RPC server and clients over a socket, the
// threshold plugin. Only the agents and the log server are played by the test.
#include "server/coordinator/coordinator.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "log/env/file.h"
#include "log/format/chain.h"
#include "log/metadata/embedded_metadata_store.h"
#include "log/rpc/clients.h"
#include "log/rpc/handlers_testing.h"
#include "log/rpc/rpc_server.h"

namespace understudy {
namespace {

using nlohmann::json;

constexpr int64_t kPatienceMs = 10'000;
constexpr char kCluster[] = "test";
constexpr int64_t kNeverHeard = -2;  // the log server does not know the log

// One node's agent: polls, keeps what it was told, reports what the test says.
class Agent {
 public:
  Agent(EventLoop* loop, const std::string& address, const std::string& node, const AgentReport* known) : loop_(loop) {
    RpcClientOptions options;
    options.cluster = kCluster;
    options.role = "agent";
    options.name = node;
    client_ = CoordinatorServiceClient::Create(loop, options, address);
    report.node = node;
    report.address = "127.0.0.1";
    report.incarnation = 1;
    if (known != nullptr) report = *known;
    Poll();
    Beat();
  }
  ~Agent() {
    alive_.reset();
    loop_->Cancel(beat_);
    client_->Close();
  }

  void Report() {
    client_->AgentReported(report, 1000, [](Result<NextCommandResponse>) {});
    report.samples.clear();
  }
  void Run(const std::string& service, int64_t pid) {
    report.process = ProcessState::kRunning;
    report.process_service = service;
    report.has_app = true;
    report.app = AppReport();
    report.app.pid = pid;
    report.app.start_ticks = 1;
    report.app.endpoint = report.node + ":1";
    report.app.mirror_address = report.node + ":2";
    ++report.starts;
    Report();
  }
  void Become(AppRole role, const std::string& service, uint64_t epoch, bool caught_up) {
    report.app.role = role;
    report.app.service = service;
    report.app.epoch = Epoch(epoch);
    report.app.caught_up = caught_up;
    report.app.may_serve = role == AppRole::kPrimary;
    Report();
  }
  void Exit(const std::string& why) {
    report.process = ProcessState::kExited;
    report.exit_reason = why;
    report.has_app = false;
    report.app = AppReport();
    Report();
  }
  // The last command of that kind, if there was one.
  const Command* Told(CommandKind kind) const {
    for (auto it = told.rbegin(); it != told.rend(); ++it) {
      if (it->kind == kind) return &*it;
    }
    return nullptr;
  }

  AgentReport report;
  std::vector<Command> told;
  StatusCode last_code = StatusCode::kOk;
  bool silent = false;

 private:
  void Poll() {
    client_->AgentNextCommand(report, 5000,
                              [this, alive = std::weak_ptr<bool>(alive_)](Result<NextCommandResponse> answer) {
                                if (alive.expired()) return;
                                last_code = answer.ok() ? answer->code : answer.status().code();
                                if (last_code != StatusCode::kOk || silent) return;
                                if (answer->command.kind != CommandKind::kNone) told.push_back(answer->command);
                                Poll();
                              });
  }
  void Beat() {
    beat_ = loop_->At(loop_->clock()->Now() + 50 * kNsPerMs, [this] {
      if (!silent) Report();
      Beat();
    });
  }

  EventLoop* loop_;
  std::unique_ptr<CoordinatorServiceClient> client_;
  EventLoop::TimerId beat_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest() : loop_(SystemClock()) {
    dir_ = testing::TempDir() + "/coordinator_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    auto store = OpenEmbeddedMetadataStore(dir_, {}, SystemFileSystem());
    UNDERSTUDY_CHECK(store.ok());
    store_ = std::move(store).value();
    log_.on_replica_status = [this](const ReplicaStatusRequest&) {
      ++ages_asked_;
      ReplicaStatusResponse response;
      response.writer_age_ms = writer_age_ms_;
      response.code = writer_age_ms_ == kNeverHeard ? StatusCode::kNotFound : StatusCode::kOk;
      return response;
    };
    Start();
  }
  ~CoordinatorTest() override {
    agents_.clear();
    Stop();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  void Start() {
    const std::lock_guard lock(loop_.strand());
    CoordinatorOptions options;
    options.cluster = kCluster;
    options.addresses = {"127.0.0.1:1"};
    options.heartbeat_ms = 50;
    options.node_timeout_ms = 500;
    options.events_max = 20;
    options.unsafe = {"--unsafe-no-fsync"};
    PredictorHostOptions plugins;
    plugins.clock = SystemClock();
    plugins.plugin_folders = {UNDERSTUDY_PLUGINS};
    coordinator_ = std::make_unique<Coordinator>(&loop_, store_.get(), NewInProcessPredictorHost(plugins), options);
    RpcServerOptions server;
    server.cluster = kCluster;
    server_ = std::make_unique<RpcServer>(&loop_, server);
    server_->Serve(coordinator_->handler());
    server_->Serve(&log_);
    UNDERSTUDY_CHECK(server_->Listen("127.0.0.1:0").ok());
    RpcClientOptions client;
    client.cluster = kCluster;
    client.role = "operator";
    client.name = "test";
    operator_ = CoordinatorServiceClient::Create(&loop_, client, server_->address());
    coordinator_->Start();
  }
  void Stop() {
    const std::lock_guard lock(loop_.strand());
    coordinator_->Stop();
    operator_.reset();
    server_.reset();
    coordinator_.reset();
  }
  Agent& AddAgent(const std::string& node, const AgentReport* known = nullptr) {
    const std::lock_guard lock(loop_.strand());
    agents_[node] = std::make_unique<Agent>(&loop_, server_->address(), node, known);
    return *agents_[node];
  }
  // Drives the loop until `condition`, which is called with the strand held.
  ::testing::AssertionResult Await(const std::string& what, const std::function<bool()>& condition) {
    const Instant deadline = SystemClock()->Now() + kPatienceMs * kNsPerMs;
    while (SystemClock()->Now() < deadline) {
      {
        const std::lock_guard lock(loop_.strand());
        if (condition()) return ::testing::AssertionSuccess();
      }
      loop_.RunOnce(10 * kNsPerMs);
    }
    return ::testing::AssertionFailure() << what << " did not happen; status: " << Status().dump(1);
  }
  ::testing::AssertionResult AwaitTold(Agent& agent, CommandKind kind) {
    return Await(agent.report.node + " is told " + std::to_string(static_cast<int>(kind)),
                 [&] { return agent.Told(kind) != nullptr; });
  }
  using Call = std::function<void(CoordinatorServiceClient*, Done<DocumentResponse>)>;
  DocumentResponse Ask(const Call& call) {
    std::optional<DocumentResponse> answer;
    {
      const std::lock_guard lock(loop_.strand());
      call(operator_.get(), [&](Result<DocumentResponse> response) {
        answer =
            response.ok() ? *response : DocumentResponse{response.status().code(), response.status().message(), ""};
      });
    }
    const Instant deadline = SystemClock()->Now() + kPatienceMs * kNsPerMs;
    while (!answer && SystemClock()->Now() < deadline) loop_.RunOnce(10 * kNsPerMs);
    return answer.value_or(DocumentResponse{StatusCode::kDeadlineExceeded, "", ""});
  }
  DocumentResponse Apply(const std::string& document) {
    return Ask([&](CoordinatorServiceClient* client, Done<DocumentResponse> done) {
      client->ServiceApply(document, 5000, std::move(done));
    });
  }
  json Status() {
    for (;;) {
      const DocumentResponse answer = Ask([](CoordinatorServiceClient* client, Done<DocumentResponse> done) {
        client->GetStatus(5000, std::move(done));
      });
      if (answer.code != StatusCode::kUnavailable) return json::parse(answer.document, nullptr, false);
    }
  }
  ::testing::AssertionResult AwaitState(const std::string& state) {
    const Instant deadline = SystemClock()->Now() + kPatienceMs * kNsPerMs;
    json status;
    while (SystemClock()->Now() < deadline) {
      status = Status();
      if (status["services"][0]["state"] == state) return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << "not " << state << ": " << status.dump(1);
  }
  json Events(uint64_t after, uint32_t wait_ms) {
    const DocumentResponse answer = Ask([&](CoordinatorServiceClient* client, Done<DocumentResponse> done) {
      client->Events(after, 0, wait_ms, std::move(done));
    });
    return json::parse(answer.document, nullptr, false);
  }
  // The strand may be held: the store answers on its own thread.
  bool StoredEvent(const std::string& kind) {
    std::promise<bool> found;
    store_->List("/understudy/test/events/", 1000, [&](Result<std::vector<MetadataEntry>> listed) {
      bool any = false;
      for (const MetadataEntry& entry : *listed) any |= json::parse(entry.value)["kind"] == kind;
      found.set_value(any);
    });
    return found.get_future().get();
  }
  // What the application would do in a takeover: the log's next epoch is `node`'s.
  void OpenEpoch(const std::string& log, const std::string& node) {
    std::optional<MetadataEntry> entry;
    std::atomic<bool> done = false;
    const std::string key = "/understudy/test/logs/" + log;
    store_->Get(key, [&](Result<std::optional<MetadataEntry>> read) {
      entry = *read;
      done = true;
    });
    while (!done) loop_.RunOnce(kNsPerMs);
    Chain chain = *DecodeChain(entry->value);
    if (!chain.epochs.empty()) chain.epochs.back().last_lsn = chain.epochs.back().first_lsn;
    EpochEntry next;
    next.epoch = Epoch(chain.epochs.size() + 1);
    next.attempt = {9, next.epoch.value()};
    next.owner = {node, node + ":1"};
    next.first_lsn = chain.epochs.empty() ? Lsn(1) : *chain.epochs.back().last_lsn + 1;
    next.disks = {{DiskId{0, 5}, "n0"}};
    chain.epochs.push_back(next);
    done = false;
    store_->CompareAndSwap(key, entry->version, EncodeChain(chain), [&](Result<uint64_t>) { done = true; });
    while (!done) loop_.RunOnce(kNsPerMs);
  }
  void ListDisk() {
    std::atomic<bool> done = false;
    const std::string address = [this] {
      const std::lock_guard lock(loop_.strand());
      return server_->address();
    }();
    store_->CompareAndSwap(DiskKey(kCluster, ToHex(DiskId{0, 5})), 0,
                           json({{"disk", ToHex(DiskId{0, 5})}, {"node", "n0"}, {"address", address}}).dump(),
                           [&](Result<uint64_t>) { done = true; });
    while (!done) loop_.RunOnce(kNsPerMs);
  }
  // Two nodes; kv1 serves on n1, n2 is WARM or, with `extra` asking for a standby, mirrors.
  void Serve(const std::string& extra) {
    Agent& n1 = AddAgent("n1");
    Agent& n2 = AddAgent("n2");
    ASSERT_TRUE(Await("both are heard", [&] { return coordinator_->ready(); }));
    ASSERT_EQ(Status()["cluster"], kCluster);
    const DocumentResponse applied = Apply(R"({"name":"kv1","program":"/bin/kv")" + extra + "}");
    ASSERT_EQ(applied.code, StatusCode::kOk) << applied.detail;
    ASSERT_EQ(json::parse(applied.document), json({{"service", "kv1"}, {"log_id", 1}}));
    ASSERT_TRUE(AwaitTold(n1, CommandKind::kStartApp));
    const Command start = *n1.Told(CommandKind::kStartApp);
    EXPECT_EQ(start.program, "/bin/kv");
    EXPECT_EQ(start.cluster, kCluster);
    EXPECT_EQ(start.coordinators, std::vector<std::string>{"127.0.0.1:1"});
    With([&] { n1.Run("kv1", 101); });
    ASSERT_TRUE(AwaitTold(n1, CommandKind::kTakeOver));
    EXPECT_EQ(n1.Told(CommandKind::kTakeOver)->epoch, Epoch(0));
    OpenEpoch("1", "n1");
    With([&] { n1.Become(AppRole::kPrimary, "kv1", 1, false); });
    ASSERT_TRUE(AwaitTold(n2, CommandKind::kStartApp));
    With([&] { n2.Run("kv1", 102); });
    if (extra.find("standby") == std::string::npos) return;
    ASSERT_TRUE(AwaitTold(n2, CommandKind::kFollow));
    With([&] { n2.Become(AppRole::kReplaying, "kv1", 0, true); });
    ASSERT_TRUE(AwaitTold(n1, CommandKind::kMirrorTo));
    EXPECT_EQ(n1.Told(CommandKind::kMirrorTo)->address, "n2:2");
    With([&] { n2.Become(AppRole::kMirroring, "kv1", 0, true); });
  }
  void With(const std::function<void()>& fn) {
    const std::lock_guard lock(loop_.strand());
    fn();
  }

  std::string dir_;
  EventLoop loop_;
  std::unique_ptr<MetadataStore> store_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<CoordinatorServiceClient> operator_;
  std::map<std::string, std::unique_ptr<Agent>> agents_;
  rpc_test::HoldingLogService log_;
  int64_t writer_age_ms_ = 10;
  int ages_asked_ = 0;
};

TEST_F(CoordinatorTest, AKilledPrimaryIsTakenOverFromAndTheDocumentsSaySo) {
  Serve(R"(,"standby":true)");
  if (HasFatalFailure()) return;
  Agent& n2 = *agents_["n2"];
  With([&] { agents_["n1"]->Exit("killed by signal 9"); });
  ASSERT_TRUE(AwaitTold(n2, CommandKind::kTakeOver));
  EXPECT_EQ(n2.Told(CommandKind::kTakeOver)->epoch, Epoch(1));
  OpenEpoch("1", "n2");
  With([&] {
    n2.report.app.replayed = 3;
    n2.Become(AppRole::kPrimary, "kv1", 2, false);
  });
  ASSERT_TRUE(AwaitState("SERVING"));
  const json status = Status();
  ASSERT_EQ(status["moves"].size(), 1u);
  const json& service = status["services"][0];
  EXPECT_EQ(service["state"], "SERVING");
  EXPECT_EQ(service["primary"]["node"], "n2");
  EXPECT_EQ(service["primary"]["endpoint"], "n2:1");
  EXPECT_EQ(service["epoch"], 2);
  const json& move = status["moves"][0];
  EXPECT_EQ(move["kind"], "unplanned");
  EXPECT_EQ(move["from"], "n1");
  EXPECT_EQ(move["to"], "n2");
  EXPECT_EQ(move["replayed"], 3);
  EXPECT_TRUE(move["lead_s"].is_null());
  EXPECT_EQ(status["unsafe"], json::array({"--unsafe-no-fsync"}));
  ASSERT_TRUE(Await("the history is written", [&] { return StoredEvent("move_done"); }));
  With([&] { agents_.clear(); });
  Stop();
  Start();
  ASSERT_TRUE(Await("it is ready again", [&] { return coordinator_->ready(); }));
  EXPECT_EQ(Status()["moves"], status["moves"]);           // remembered
  EXPECT_EQ(Status()["services"][0]["state"], "UNHEARD");  // nobody has reported to it
  EXPECT_TRUE(Status()["services"][0]["primary"]["may_serve"].is_null());
  bool told = false;
  const json history = Events(0, 0);
  for (const json& event : history["events"]) told |= event["kind"] == "move_done" && event["service"] == "kv1";
  EXPECT_TRUE(told);
}

TEST_F(CoordinatorTest, AnotherCoordinatorGoesOnWithTheMove) {
  Serve(R"(,"standby":true)");
  if (HasFatalFailure()) return;
  With([&] { agents_["n1"]->Exit("killed by signal 9"); });
  ASSERT_TRUE(AwaitTold(*agents_["n2"], CommandKind::kTakeOver));
  const int64_t id = agents_["n2"]->Told(CommandKind::kTakeOver)->id;
  const AgentReport n1_report = agents_["n1"]->report;
  const AgentReport n2_report = agents_["n2"]->report;
  const size_t events = Events(0, 0)["last"].get<size_t>();
  With([&] { agents_.clear(); });
  Stop();
  Start();
  Agent& n2 = AddAgent("n2", &n2_report);
  AddAgent("n1", &n1_report);
  ASSERT_TRUE(AwaitTold(n2, CommandKind::kTakeOver));
  EXPECT_EQ(n2.Told(CommandKind::kTakeOver)->epoch, Epoch(1));
  EXPECT_GT(n2.Told(CommandKind::kTakeOver)->id, id);  // terms grow
  OpenEpoch("1", "n2");
  With([&] { n2.Become(AppRole::kPrimary, "kv1", 2, false); });
  EXPECT_TRUE(AwaitState("SERVING"));
  EXPECT_GT(Events(0, 0)["last"].get<size_t>(), events);  // the history went on where it was
}

TEST_F(CoordinatorTest, AMissingNodeIsLeftAloneWhileItsLogAdvances) {
  Serve("");
  if (HasFatalFailure()) return;
  ListDisk();
  With([&] { agents_["n1"]->silent = true; });
  ASSERT_TRUE(Await("replicas are asked", [&] { return ages_asked_ >= 5; }));
  EXPECT_EQ(agents_["n2"]->Told(CommandKind::kTakeOver), nullptr);
  EXPECT_TRUE(AwaitState("SUSPECT"));
  With([&] { writer_age_ms_ = 700; });
  ASSERT_TRUE(AwaitTold(*agents_["n2"], CommandKind::kTakeOver));
}

TEST_F(CoordinatorTest, ADiskThatNeverHeardOfTheLogHasNotHeardFromItsWriter) {
  Serve("");
  if (HasFatalFailure()) return;
  ListDisk();
  With([&] {
    writer_age_ms_ = kNeverHeard;
    agents_["n1"]->silent = true;
  });
  ASSERT_TRUE(AwaitTold(*agents_["n2"], CommandKind::kTakeOver));
}

TEST_F(CoordinatorTest, SamplesBecomeForecastsAndForecastsAssignASpare) {
  Serve(R"(,"predictors":[{"plugin":"threshold","config":{"bounds":[{"metric":"app.leak","above":5,"for_s":0}]}}])");
  if (HasFatalFailure()) return;
  Agent& n1 = *agents_["n1"];
  Agent& n2 = *agents_["n2"];
  int64_t at_ms = 0;
  ASSERT_TRUE(Await("n2 is told to follow", [&] {
    NodeSample sample;
    sample.monotonic_ms = at_ms += 1000;
    sample.metrics = {{"app.leak", 9.0}};
    n1.report.samples = {sample};
    n1.Report();
    return n2.Told(CommandKind::kFollow) != nullptr;
  }));
  const json forecast = Status()["services"][0]["forecast"];
  EXPECT_EQ(forecast["predictor"], "ensemble");
  EXPECT_EQ(forecast["status"], "OK");
  EXPECT_EQ(forecast["probability"], 0.9);
}

TEST_F(CoordinatorTest, RefusalsNameWhatIsWrong) {
  ASSERT_TRUE(Await("it is ready", [&] { return coordinator_->ready(); }));
  EXPECT_NE(Apply(R"({"name":"kv1"})").detail.find("'program'"), std::string::npos);
  const DocumentResponse missing = Apply(R"({"name":"a","program":"b","predictors":[{"plugin":"crystal_ball"}]})");
  EXPECT_EQ(missing.code, StatusCode::kNotFound) << missing.detail;
  EXPECT_NE(missing.detail.find("'predictors[0]'"), std::string::npos) << missing.detail;
  const DocumentResponse bad =
      Apply(R"({"name":"a","program":"b","predictors":[{"plugin":"threshold","config":{"bounds":[]}}]})");
  EXPECT_EQ(bad.code, StatusCode::kInvalidArgument) << bad.detail;
  const DocumentResponse unknown = Ask([](CoordinatorServiceClient* client, Done<DocumentResponse> done) {
    client->Switchover("kv9", "", 1000, std::move(done));
  });
  EXPECT_EQ(unknown.code, StatusCode::kNotFound);
  With([&] {
    AgentReport report;
    report.node = "../n";
    NextCommandResponse answer;
    coordinator_->handler()->AgentReported(report, [&](NextCommandResponse response) { answer = response; });
    EXPECT_EQ(answer.code, StatusCode::kInvalidArgument);
  });
}

TEST_F(CoordinatorTest, EventsAreBoundedAndWaitedFor) {
  ASSERT_TRUE(Await("it is ready", [&] { return coordinator_->ready(); }));
  const auto pause = [&](bool paused) {
    return Ask([&](CoordinatorServiceClient* client, Done<DocumentResponse> done) {
      client->SetPaused(paused, 1000, std::move(done));
    });
  };
  for (int i = 0; i < 30; ++i) EXPECT_EQ(pause(i % 2 == 0).code, StatusCode::kOk);
  std::vector<MetadataEntry> stored;
  ASSERT_TRUE(Await("the oldest go", [&] {
    std::atomic<bool> done = false;
    store_->List("/understudy/test/events/", 1000, [&](Result<std::vector<MetadataEntry>> listed) {
      stored = *listed;
      done = true;
    });
    while (!done) {
    }
    return stored.size() == 20 && json::parse(stored.back().value)["seq"] == 30;
  }));
  const uint64_t last = Events(0, 0)["last"];
  EXPECT_EQ(last, 30u);
  std::optional<DocumentResponse> waited;
  With([&] { operator_->Events(last, 10, 10'000, [&](Result<DocumentResponse> response) { waited = *response; }); });
  EXPECT_EQ(pause(true).code, StatusCode::kOk);
  ASSERT_TRUE(Await("the waiting one is answered", [&] { return waited.has_value(); }));
  EXPECT_EQ(json::parse(waited->document)["events"][0]["kind"], "paused");
}

TEST_F(CoordinatorTest, StoppingAnswersWhoWaits) {
  Serve("");
  if (HasFatalFailure()) return;
  Agent& n2 = *agents_["n2"];
  With([&] { coordinator_->Stop(); });
  EXPECT_TRUE(Await("the poll is answered", [&] { return n2.last_code == StatusCode::kUnavailable; }));
}

}  // namespace
}  // namespace understudy

// Two coordinators over one metadata store, each with a way to it that can be cut, and an agent's own link to them.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "log/metadata/embedded_metadata_store.h"
#include "log/rpc/await.h"
#include "log/rpc/rpc_server.h"
#include "server/agent/coordinator_link.h"
#include "server/coordinator/coordinator.h"

namespace understudy {
namespace {

using nlohmann::json;

constexpr int64_t kLongNs = 20 * kNsPerSecond;
constexpr int64_t kLeaseMs = 1200;  // long enough for a busy machine not to lose it

// A way to the store. Cut: nothing is answered and no change is told; what was told meanwhile comes when it is mended.
class CutStore : public MetadataStore {
 public:
  explicit CutStore(MetadataStore* store) : store_(store) {}
  void Cut() {
    const std::lock_guard lock(state_->mutex);
    state_->cut = true;
  }
  void Mend() {
    std::vector<std::function<void()>> held;
    {
      const std::lock_guard lock(state_->mutex);
      state_->cut = false;
      held.swap(state_->held);
    }
    for (const auto& fn : held) fn();
  }

  void Get(const std::string& key, GetCallback done) override {
    if (!Lost()) store_->Get(key, std::move(done));
  }
  void List(const std::string& prefix, size_t limit, ListCallback done) override {
    if (!Lost()) store_->List(prefix, limit, std::move(done));
  }
  void CompareAndSwap(const std::string& key, uint64_t expected, std::string value, CasCallback done) override {
    if (!Lost()) store_->CompareAndSwap(key, expected, std::move(value), std::move(done));
  }
  void CompareAndDelete(const std::string& key, uint64_t expected, CasCallback done) override {
    if (!Lost()) store_->CompareAndDelete(key, expected, std::move(done));
  }
  uint64_t Watch(const std::string& prefix, WatchCallback changed) override {
    return store_->Watch(prefix, [state = state_, changed = std::move(changed)](const MetadataEntry& entry) {
      {
        const std::lock_guard lock(state->mutex);
        if (state->cut) return state->held.push_back([changed, entry] { changed(entry); });
      }
      changed(entry);
    });
  }
  void Unwatch(uint64_t id) override { store_->Unwatch(id); }

 private:
  struct State {
    std::mutex mutex;
    bool cut = false;
    std::vector<std::function<void()>> held;
  };
  bool Lost() const {
    const std::lock_guard lock(state_->mutex);
    return state_->cut;
  }
  MetadataStore* const store_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// One of the two, on its port.
struct Member {
  Member(EventLoop* loop, MetadataStore* shared, const std::string& name) : store(shared) {
    RpcServerOptions server_options;
    server_options.cluster = "test";
    server = std::make_unique<RpcServer>(loop, server_options);
    EXPECT_TRUE(server->Listen("127.0.0.1:0").ok());
    address = server->address();
    CoordinatorOptions options;
    options.cluster = "test";
    options.name = name;
    options.addresses = {address};
    options.heartbeat_ms = 50;
    options.node_timeout_ms = 500;
    options.lease_ms = kLeaseMs;
    options.incarnation = static_cast<uint64_t>(name.back());
    coordinator = std::make_unique<Coordinator>(loop, &store, nullptr, options);
    server->Serve(coordinator->handler());
    RpcClientOptions client_options;
    client_options.cluster = "test";
    client_options.role = "operator";
    client_options.name = "test";
    client = CoordinatorServiceClient::Create(loop, client_options, address);
    coordinator->Start();
  }
  void End() {
    coordinator->Stop();
    client.reset();
    server.reset();
    coordinator.reset();
  }

  CutStore store;
  std::string address;
  std::unique_ptr<RpcServer> server;
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<CoordinatorServiceClient> client;
};

class StandbyTest : public ::testing::Test {
 protected:
  StandbyTest() {
    dir_ = testing::TempDir() + "/standby_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    auto store = OpenEmbeddedMetadataStore(dir_, {}, SystemFileSystem());
    UNDERSTUDY_CHECK(store.ok());
    store_ = std::move(store).value();
    Do([&] {
      members_[0] = std::make_unique<Member>(&loop_, store_.get(), "c1");
      members_[1] = std::make_unique<Member>(&loop_, store_.get(), "c2");
      CoordinatorLinkOptions options;
      options.cluster = "test";
      options.node = "n1";
      options.coordinators = {members_[0]->address, members_[1]->address};
      options.heartbeat_ms = 50;
      report_.node = "n1";
      report_.address = "127.0.0.1";
      report_.incarnation = 1;
      link_ = std::make_unique<CoordinatorLink>(
          &loop_, options, [this] { return report_; }, [this](const Command& command) { told_.push_back(command); });
      link_->Start();
    });
  }
  ~StandbyTest() override {
    for (auto& member : members_) member->store.Mend();
    Do([&] {
      link_.reset();
      for (auto& member : members_) member->End();
    });
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  template <class Fn>
  void Do(const Fn& fn) {
    const EventLoop::Section section(&loop_);
    fn();
  }
  bool Until(const std::function<bool()>& condition) { return DriveUntil(&loop_, kLongNs, condition); }
  // The one that leads; -1: none.
  int Leader() const {
    for (int i = 0; i < 2; ++i) {
      if (members_[i]->coordinator->ready()) return i;
    }
    return -1;
  }
  int AwaitLeader(int but_not) {
    EXPECT_TRUE(Until([&] { return Leader() >= 0 && Leader() != but_not; }));
    return Leader();
  }
  DocumentResponse Ask(int member, const std::function<void(CoordinatorServiceClient*, Done<DocumentResponse>)>& call) {
    std::optional<DocumentResponse> answer;
    Do([&] {
      call(members_[member]->client.get(), [&](Result<DocumentResponse> response) {
        answer =
            response.ok() ? *response : DocumentResponse{response.status().code(), response.status().message(), ""};
      });
    });
    EXPECT_TRUE(Until([&] { return answer.has_value(); }));
    return answer.value_or(DocumentResponse());
  }
  DocumentResponse Status(int member) {
    return Ask(member, [](auto* client, auto done) { client->GetStatus(5000, std::move(done)); });
  }
  json Decisions(int member) {
    const DocumentResponse answer = Ask(member, [](auto* client, auto done) {
      client->PolicyRequest(R"({"request":"explain","service":"kv1"})", 5000, std::move(done));
    });
    EXPECT_EQ(answer.code, StatusCode::kOk) << answer.detail;
    return json::parse(answer.document)["decisions"];
  }
  size_t Told(CommandKind kind) const {
    return static_cast<size_t>(
        std::count_if(told_.begin(), told_.end(), [&](const Command& one) { return one.kind == kind; }));
  }
  // kv1 is served by n1 in epoch 1, as far as reports go.
  void Serve(int leader) {
    const DocumentResponse applied = Ask(leader, [](auto* client, auto done) {
      client->ServiceApply(R"({"name":"kv1","program":"/bin/kv"})", 5000, std::move(done));
    });
    ASSERT_EQ(applied.code, StatusCode::kOk) << applied.detail;
    ASSERT_TRUE(Until([&] { return Told(CommandKind::kStartApp) > 0; }));
    Do([&] {
      report_.process = ProcessState::kRunning;
      report_.process_service = "kv1";
      report_.has_app = true;
      report_.starts = 1;
      report_.app.pid = 7;
      report_.app.start_ticks = 1;
      link_->ReportSoon();
    });
    ASSERT_TRUE(Until([&] { return Told(CommandKind::kTakeOver) > 0; }));
    Do([&] {
      report_.app.service = "kv1";
      report_.app.role = AppRole::kPrimary;
      report_.app.epoch = Epoch(1);
      report_.app.may_serve = true;
      link_->ReportSoon();
    });
    ASSERT_TRUE(AwaitState(leader, "SERVING"));
  }
  // Asks again and again; without the strand.
  bool AwaitStatus(int member, const std::function<bool(const DocumentResponse&)>& condition) {
    const Instant deadline = SystemClock()->Now() + kLongNs;
    while (SystemClock()->Now() < deadline) {
      if (condition(Status(member))) return true;
    }
    return false;
  }
  bool AwaitState(int member, const std::string& state) {
    return AwaitStatus(member, [&](const DocumentResponse& answer) {
      return answer.code == StatusCode::kOk && json::parse(answer.document)["services"][0]["state"] == state;
    });
  }

  std::string dir_;
  EventLoop loop_{SystemClock()};
  std::unique_ptr<MetadataStore> store_;
  std::unique_ptr<Member> members_[2];
  AgentReport report_;
  std::vector<Command> told_;
  std::unique_ptr<CoordinatorLink> link_;
};

TEST_F(StandbyTest, OneLeadsAndTheOtherSaysWhich) {
  const int leader = AwaitLeader(-1);
  const DocumentResponse refused = Status(1 - leader);
  EXPECT_EQ(refused.code, StatusCode::kUnavailable);
  EXPECT_EQ(refused.leader, members_[leader]->address);
  EXPECT_NE(refused.detail.find("stands by"), std::string::npos) << refused.detail;
  json coordinators;
  ASSERT_TRUE(AwaitStatus(leader, [&](const DocumentResponse& answer) {
    if (answer.code == StatusCode::kOk) coordinators = json::parse(answer.document)["coordinators"];
    return coordinators.size() == 2;
  }));
  EXPECT_EQ(coordinators[static_cast<size_t>(leader)]["leads"], true);
  EXPECT_EQ(coordinators[static_cast<size_t>(1 - leader)]["leads"], false);
}

TEST_F(StandbyTest, ALeaderThatCannotReachTheMetadataIsSucceededAndStopsActing) {
  const int first = AwaitLeader(-1);
  Serve(first);
  if (HasFatalFailure()) return;
  const int64_t term = told_.back().id >> 32;
  const size_t told = told_.size();
  members_[first]->store.Cut();
  const int second = AwaitLeader(first);
  EXPECT_FALSE(members_[first]->coordinator->ready());
  ASSERT_TRUE(AwaitState(second, "SERVING")) << "the agent went on to the next leader";
  // It dies: the second commands the restart, with a higher term; the first, which hears it no more, nothing.
  Do([&] {
    report_.process = ProcessState::kExited;
    report_.exit_reason = "killed by signal 9";
    report_.has_app = false;
    report_.app = AppReport();
    link_->ReportSoon();
  });
  ASSERT_TRUE(Until([&] { return told_.size() > told; }));
  EXPECT_EQ(told_.back().kind, CommandKind::kStartApp);
  EXPECT_GT(told_.back().id >> 32, term);
  // What comes to it late changes nothing.
  members_[first]->store.Mend();
  ASSERT_TRUE(
      AwaitStatus(first, [&](const DocumentResponse& answer) { return answer.leader == members_[second]->address; }));
  EXPECT_EQ(Leader(), second);
}

TEST_F(StandbyTest, WithoutMetadataNobodyLeadsAndNothingIsMoved) {
  const int first = AwaitLeader(-1);
  Serve(first);
  if (HasFatalFailure()) return;
  const size_t told = told_.size();
  for (auto& member : members_) member->store.Cut();
  ASSERT_TRUE(Until([&] { return Leader() < 0; }));
  const DocumentResponse refused = Status(first);
  EXPECT_EQ(refused.code, StatusCode::kUnavailable);
  EXPECT_NE(refused.detail.find("did not answer"), std::string::npos) << refused.detail;
  // Longer than a node may be silent.
  const Instant until = SystemClock()->Now() + kNsPerSecond;
  ASSERT_TRUE(Until([&] { return SystemClock()->Now() >= until; }));
  EXPECT_LT(Leader(), 0);
  for (auto& member : members_) member->store.Mend();
  const int next = AwaitLeader(-1);
  ASSERT_TRUE(AwaitState(next, "SERVING"));
  EXPECT_EQ(Told(CommandKind::kTakeOver), 1u) << "a healthy primary is left alone";
  for (size_t i = told; i < told_.size(); ++i) EXPECT_NE(told_[i].kind, CommandKind::kStopApp);
}

TEST_F(StandbyTest, OneThatResignsHandsOverWithoutWaitingForTheLease) {
  const int first = AwaitLeader(-1);
  bool settled = false;
  const Instant began = SystemClock()->Now();
  Do([&] { members_[first]->coordinator->Resign([&] { settled = true; }); });
  AwaitLeader(first);
  EXPECT_LT((SystemClock()->Now() - began) / kNsPerMs, kLeaseMs);
  EXPECT_TRUE(settled);
}

TEST_F(StandbyTest, TheNextLeaderKnowsWhatWasDecidedBefore) {
  const int first = AwaitLeader(-1);
  Serve(first);
  if (HasFatalFailure()) return;
  const json before = Decisions(first);
  ASSERT_GE(before.size(), 3u) << before;
  Do([&] { members_[first]->coordinator->Resign([] {}); });
  const int second = AwaitLeader(first);
  ASSERT_TRUE(AwaitState(second, "SERVING"));
  const json after = Decisions(second);
  ASSERT_GE(after.size(), before.size()) << after;
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i], before[i]);
}

}  // namespace
}  // namespace understudy

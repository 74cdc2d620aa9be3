// Nodes under an agent whose commands the test gives, against a real log server: first start, replay, mirroring, moves,
// deposition, checkpoints, an agent that goes away.
#include "understudy/node.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/testing/cluster_testing.h"
#include "gtest/gtest.h"
#include "log/env/clock.h"

namespace understudy {
namespace {

using testing::FakeAgent;
using testing::TestCluster;

constexpr std::chrono::seconds kPatience(30);
constexpr char kService[] = "orders";

// Keeps every payload, by key, in the order of arrival.
class History : public StateMachine {
 public:
  using State = std::map<uint64_t, std::vector<std::string>>;

  void Apply(const Record& record) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_[record.key].emplace_back(record.payload);
  }
  void Reset() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.clear();
    ++resets_;
  }
  std::unique_ptr<Snapshot> TakeSnapshot() override {
    struct Frozen : Snapshot {
      Status Write(CheckpointWriter& out) override {
        std::string bytes;
        for (const auto& [key, payloads] : state) {
          for (const std::string& payload : payloads) {
            bytes += std::to_string(key) + " " + payload + "\n";
            if (bytes.size() > 1000) {
              UNDERSTUDY_RETURN_IF_ERROR(out.Write(bytes));
              bytes.clear();
            }
          }
        }
        return out.Write(bytes);
      }
      State state;
    };
    auto frozen = std::make_unique<Frozen>();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (withholds_) return nullptr;
    frozen->state = state_;
    return frozen;
  }
  Status Load(CheckpointReader& in) override {
    std::string bytes;
    char buffer[777];
    while (true) {
      const Result<size_t> count = in.Read(buffer, sizeof buffer);
      if (!count.ok()) return count.status();
      if (*count == 0) break;
      bytes.append(buffer, *count);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.clear();
    ++loads_;
    for (size_t at = 0; at < bytes.size();) {
      const size_t space = bytes.find(' ', at);
      const size_t end = bytes.find('\n', at);
      state_[std::stoull(bytes.substr(at, space - at))].push_back(bytes.substr(space + 1, end - space - 1));
      at = end + 1;
    }
    return Status::Ok();
  }

  State state() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }
  // No snapshot can be taken meanwhile.
  void Withhold(bool withholds) {
    const std::lock_guard<std::mutex> lock(mutex_);
    withholds_ = withholds;
  }
  int resets() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return resets_;
  }
  int loads() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return loads_;
  }

 private:
  mutable std::mutex mutex_;
  State state_;
  bool withholds_ = false;
  int resets_ = 0;
  int loads_ = 0;
};

// Remembers what it was told.
class Listener : public RoleListener {
 public:
  void OnPrimary(const std::string& service, Lsn applied) override {
    Say("primary of " + service + " at " + std::to_string(applied.value()));
  }
  void OnNotPrimary(const std::string& owner, bool drained) override {
    Say("not primary, " + owner + (drained ? ", drained" : ", lost"));
  }
  void OnHandoverBegins() override { Say("handover begins"); }
  void OnPromotionBegins() override { Say("promotion begins"); }
  void OnStop() override { Say("stop"); }

  // The next thing said that was not yet taken; empty after half a minute.
  std::string Next() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!said_something_.wait_for(lock, kPatience, [&] { return !said_.empty(); })) return "";
    std::string next = said_.front();
    said_.pop_front();
    return next;
  }

 private:
  void Say(const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    said_.push_back(what);
    said_something_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable said_something_;
  std::deque<std::string> said_;
};

Command Make(CommandKind kind) {
  Command command;
  command.kind = kind;
  command.service = kService;
  command.log = LogId(1);
  return command;
}

// One application process, as it were: its agent, its state, its node.
class Instance {
 public:
  Instance(const TestCluster& cluster, const std::string& name) : agent(cluster) {
    options.agent = agent.address();
    options.cluster = testing::kClusterName;
    options.node = name;
    options.endpoint = "127.0.0.1:" + std::to_string(name.back());
    options.apply_on_primary = true;
    endpoint = options.endpoint;
  }
  void Start() {
    Result<std::unique_ptr<Node>> started = Node::Start(options, &state, &listener);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    node = std::move(started).value();
  }
  Status Carry(Command command) { return agent.Carry(std::move(command)); }
  void Follow() { ASSERT_TRUE(Carry(Make(CommandKind::kFollow)).ok()); }
  Status TakeOver(uint64_t epoch) {
    Command command = Make(CommandKind::kTakeOver);
    command.epoch = Epoch(epoch);
    return Carry(command);
  }
  void WaitApplied(uint64_t lsn) {
    agent.WaitFor([&](const AppReport& report) { return report.applied >= Lsn(lsn); });
  }

  FakeAgent agent;
  NodeOptions options;
  std::string endpoint;
  History state;
  Listener listener;
  std::unique_ptr<Node> node;
};

class NodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Log>> log = Log::Open(cluster_.log_options("setup"), kService, true);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
  }

  // P primary, with `records` appended; Q a spare that follows.
  void StartPair(int records) {
    p_.Start();
    q_.Start();
    ASSERT_TRUE(p_.TakeOver(0).ok());
    EXPECT_EQ(p_.listener.Next(), "promotion begins");
    EXPECT_EQ(p_.listener.Next(), "primary of orders at 0");
    AppendMany(p_, records);
    q_.Follow();
    q_.agent.WaitFor([&](const AppReport& report) { return report.caught_up; });
  }
  // And mirrors to it.
  void Mirror() { Mirror(p_, q_); }
  static void Mirror(Instance& primary, Instance& spare) {
    Command mirror = Make(CommandKind::kMirrorTo);
    mirror.address = spare.agent.last_report().mirror_address;
    ASSERT_TRUE(primary.Carry(mirror).ok());
    spare.agent.WaitFor([](const AppReport& report) { return report.role == AppRole::kMirroring; });
  }
  static Status HandOver(Instance& primary, Instance& spare) {
    const Status prepared = spare.Carry(Make(CommandKind::kPrepare));
    if (!prepared.ok()) return prepared;
    Command handover = Make(CommandKind::kHandover);
    handover.attempt = spare.agent.WaitFor([](const AppReport& report) { return !report.attempt.none(); }).attempt;
    handover.node = spare.options.node;
    handover.endpoint = spare.endpoint;
    return primary.Carry(handover);
  }
  void AppendMany(Instance& instance, int records) {
    for (int i = 0; i < records; ++i) {
      const std::string payload = "r" + std::to_string(appended_);
      const Result<Lsn> lsn = instance.node->Append(payload, appended_ % 7 + 1).Get();
      ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
      EXPECT_EQ(lsn->value(), ++appended_);
    }
  }
  History::State Expected() const {
    History::State expected;
    for (uint64_t i = 0; i < appended_; ++i) expected[i % 7 + 1].push_back("r" + std::to_string(i));
    return expected;
  }

  TestCluster cluster_;
  uint64_t appended_ = 0;
  Instance p_{cluster_, "p"};
  Instance q_{cluster_, "q"};
};

TEST_F(NodeTest, StartsWarmAndBecomesPrimaryOfANewLog) {
  p_.Start();
  const AppReport warm = p_.agent.WaitFor([](const AppReport& report) { return report.pid != 0; });
  EXPECT_EQ(warm.role, AppRole::kWarm);
  EXPECT_EQ(warm.endpoint, p_.endpoint);
  EXPECT_GT(warm.start_ticks, 0);
  EXPECT_EQ(p_.node->Append("early", 1).Get().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(p_.node->MayServe());

  ASSERT_TRUE(p_.TakeOver(0).ok());
  EXPECT_EQ(p_.listener.Next(), "promotion begins");
  EXPECT_EQ(p_.listener.Next(), "primary of orders at 0");
  EXPECT_EQ(p_.node->role(), Role::kPrimary);
  AppendMany(p_, 20);
  EXPECT_TRUE(p_.node->ReadBarrier().ok());
  EXPECT_TRUE(p_.node->MayServe());
  const AppReport primary =
      p_.agent.WaitFor([](const AppReport& report) { return report.applied == Lsn(20) && report.may_serve; });
  EXPECT_EQ(primary.role, AppRole::kPrimary);
  EXPECT_EQ(primary.service, kService);
  EXPECT_EQ(primary.epoch, Epoch(1));
  EXPECT_GT(primary.serving_since_unix_ms, 0);
  p_.agent.WaitFor([](const AppReport& report) { return report.append_p99_us > 0; });
}

TEST_F(NodeTest, ASpareReplaysAndFollows) {
  StartPair(100);
  EXPECT_EQ(q_.state.state(), Expected());
  EXPECT_EQ(q_.node->role(), Role::kReplaying);
  EXPECT_EQ(q_.node->owner_endpoint(), p_.endpoint);
  AppendMany(p_, 50);
  q_.WaitApplied(150);
  EXPECT_EQ(q_.state.state(), Expected());
  EXPECT_EQ(q_.agent.last_report().replayed, 150);
}

TEST_F(NodeTest, APlannedMoveLosesNothing) {
  StartPair(100);
  Mirror();
  AppendMany(p_, 100);
  const Status moved = HandOver(p_, q_);
  ASSERT_TRUE(moved.ok()) << moved.ToString();

  EXPECT_EQ(p_.listener.Next(), "handover begins");
  EXPECT_EQ(p_.listener.Next(), "not primary, " + q_.endpoint + ", drained");
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 200");
  EXPECT_EQ(q_.state.state(), Expected());
  AppendMany(q_, 10);
  EXPECT_FALSE(p_.node->Append("late", 1).Get().ok());
  EXPECT_FALSE(p_.node->MayServe());
  EXPECT_EQ(p_.node->owner_endpoint(), q_.endpoint);
  // TAKE_OVER by the attempt that owns the epoch changes nothing.
  EXPECT_TRUE(q_.TakeOver(1).ok());
  AppendMany(q_, 1);
  // The old primary follows the new one.
  p_.Follow();
  p_.WaitApplied(211);
  EXPECT_EQ(p_.state.state(), Expected());
}

// Nobody was restarted in between: what the first term of the primary left behind is not in the way of its second.
TEST_F(NodeTest, AServiceThatComesBackIsMirroredAgain) {
  StartPair(10);
  Mirror(p_, q_);
  ASSERT_TRUE(HandOver(p_, q_).ok());
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 10");
  p_.Follow();
  p_.WaitApplied(10);
  Mirror(q_, p_);
  AppendMany(q_, 5);
  ASSERT_TRUE(HandOver(q_, p_).ok());
  EXPECT_EQ(p_.listener.Next(), "handover begins");
  EXPECT_EQ(p_.listener.Next(), "not primary, " + q_.endpoint + ", drained");
  EXPECT_EQ(p_.listener.Next(), "promotion begins");
  EXPECT_EQ(p_.listener.Next(), "primary of orders at 15");
  q_.Follow();
  q_.WaitApplied(15);
  Mirror(p_, q_);
  AppendMany(p_, 5);
  q_.WaitApplied(20);
  EXPECT_EQ(q_.state.state(), Expected());
}

TEST_F(NodeTest, AMoveWithoutMirroringIsAdoptedByTakeOver) {
  StartPair(30);
  const Status moved = HandOver(p_, q_);
  ASSERT_TRUE(moved.ok()) << moved.ToString();
  ASSERT_TRUE(q_.TakeOver(1).ok());
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 30");
  AppendMany(q_, 5);
  EXPECT_EQ(q_.agent.last_report().epoch, Epoch(2)) << "adopted, not opened once more";
}

TEST_F(NodeTest, AMirroringSpareTakesOverWhenThePrimaryIsGone) {
  StartPair(100);
  Mirror();
  AppendMany(p_, 100);
  p_.node.reset();
  const Status taken = q_.TakeOver(1);
  ASSERT_TRUE(taken.ok()) << taken.ToString();
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 200");
  EXPECT_EQ(q_.state.state(), Expected());
  AppendMany(q_, 10);
}

TEST_F(NodeTest, ADeposedPrimaryStopsAndStartsOver) {
  StartPair(50);
  const int resets = p_.state.resets();
  ASSERT_TRUE(q_.TakeOver(1).ok());
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 50");
  // It learns by itself, from the next thing that it sends or asks.
  EXPECT_EQ(p_.listener.Next(), "not primary, " + q_.endpoint + ", lost");
  EXPECT_EQ(p_.node->Append("late", 1).Get().status().code(), StatusCode::kFenced);
  EXPECT_FALSE(p_.node->MayServe());
  p_.agent.WaitFor([](const AppReport& report) { return report.role == AppRole::kWarm; });
  AppendMany(q_, 10);
  p_.Follow();
  p_.WaitApplied(60);
  EXPECT_EQ(p_.state.state(), Expected());
  EXPECT_GT(p_.state.resets(), resets);
}

TEST_F(NodeTest, APromotionThatIsRefusedHoldsNobody) {
  StartPair(50);
  EXPECT_EQ(q_.TakeOver(0).code(), StatusCode::kFenced) << "the log is at epoch 1";
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "not primary, " + p_.endpoint + ", drained");
  AppendMany(p_, 10);
  q_.WaitApplied(60);
}

TEST_F(NodeTest, APromotionThatTakesLongHoldsNobodyAndEndsAllTheSame) {
  StartPair(50);
  p_.node.reset();
  cluster_.StopLogServer(0);
  Command command = Make(CommandKind::kTakeOver);
  command.epoch = Epoch(1);
  const int64_t id = q_.agent.Send(command);
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "not primary, " + p_.endpoint + ", drained");
  cluster_.StartLogServer(0);
  ASSERT_TRUE(q_.agent.ResultOf(id).ok());
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 50");
  AppendMany(q_, 10);
}

TEST_F(NodeTest, AWarmNodeTakesOverFromCheckpointAndLog) {
  p_.Start();
  ASSERT_TRUE(p_.TakeOver(0).ok());
  AppendMany(p_, 500);
  const Result<CheckpointInfo> checkpoint = p_.node->Checkpoint();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().ToString();
  EXPECT_GE(checkpoint->lsn, Lsn(499)) << "a record counts when it is applied, shortly after it is acknowledged";
  AppendMany(p_, 100);
  p_.node.reset();
  q_.Start();
  const Status taken = q_.TakeOver(1);
  ASSERT_TRUE(taken.ok()) << taken.ToString();
  EXPECT_EQ(q_.listener.Next(), "promotion begins");
  EXPECT_EQ(q_.listener.Next(), "primary of orders at 600");
  EXPECT_EQ(q_.state.loads(), 1);
  EXPECT_EQ(q_.state.state(), Expected());
  EXPECT_LE(q_.agent.last_report().replayed, 101);
}

TEST_F(NodeTest, CheckpointsTrimTheLogAndTwoAreRetained) {
  p_.Start();
  ASSERT_TRUE(p_.TakeOver(0).ok());
  for (int i = 0; i < 4; ++i) {
    AppendMany(p_, 100);
    ASSERT_TRUE(p_.node->Checkpoint().ok());
  }
  AppendMany(p_, 10);
  Result<std::unique_ptr<Log>> log = Log::Open(cluster_.log_options("reader"), kService, false);
  ASSERT_TRUE(log.ok());
  const auto ignore = [](const Record&) {};
  EXPECT_EQ((*log)->Read(Lsn(1), std::nullopt, ignore).status().code(), StatusCode::kTrimmed);
  EXPECT_TRUE((*log)->Read(Lsn(301), std::nullopt, ignore).ok());
  q_.Start();
  q_.Follow();
  q_.WaitApplied(410);
  EXPECT_EQ(q_.state.state(), Expected());
  EXPECT_EQ(q_.state.loads(), 1);
}

TEST_F(NodeTest, CheckpointsByIntervalAndByCommand) {
  p_.Start();
  ASSERT_TRUE(p_.TakeOver(0).ok());
  AppendMany(p_, 10);
  Command every = Make(CommandKind::kCheckpointEvery);
  every.interval_ms = 50;
  ASSERT_TRUE(p_.Carry(every).ok());
  p_.agent.WaitFor([](const AppReport& report) { return report.checkpoint_lsn >= Lsn(9); });
  q_.Start();
  EXPECT_EQ(q_.Carry(Make(CommandKind::kCheckpoint)).code(), StatusCode::kFailedPrecondition);
}

TEST_F(NodeTest, TheApplicationOutlivesItsAgent) {
  StartPair(10);
  p_.agent.GoAway();
  AppendMany(p_, 50);
  EXPECT_EQ(p_.node->role(), Role::kPrimary);
  p_.agent.Return();
  p_.agent.WaitFor([](const AppReport& report) { return report.applied == Lsn(60); });
  ASSERT_TRUE(p_.Carry(Make(CommandKind::kCheckpoint)).ok());
}

TEST_F(NodeTest, AReleasedSpareIsWarmAndEmptyAndCanFollowAgain) {
  StartPair(30);
  ASSERT_TRUE(q_.Carry(Make(CommandKind::kRelease)).ok());
  q_.agent.WaitFor([](const AppReport& report) { return report.role == AppRole::kWarm; });
  EXPECT_TRUE(q_.state.state().empty());
  AppendMany(p_, 10);
  q_.Follow();
  q_.WaitApplied(40);
  EXPECT_EQ(q_.state.state(), Expected());
}

TEST_F(NodeTest, CommandsThatDoNotFitTheRoleAreRefused) {
  StartPair(1);
  EXPECT_EQ(p_.Carry(Make(CommandKind::kFollow)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(p_.Carry(Make(CommandKind::kPrepare)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(p_.Carry(Make(CommandKind::kRelease)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(p_.Carry(Make(CommandKind::kHandover)).code(), StatusCode::kInvalidArgument) << "no attempt is named";
  EXPECT_EQ(q_.Carry(Make(CommandKind::kMirrorTo)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(q_.Carry(Make(CommandKind::kHandover)).code(), StatusCode::kFailedPrecondition);
  AppendMany(p_, 1);
}

TEST_F(NodeTest, GaugesTravelWithReports) {
  p_.Start();
  p_.node->SetGauge("rss", 12.5);
  p_.agent.WaitFor([](const AppReport& report) {
    return report.gauges == std::map<std::string, double>{{"rss", 12.5}};
  });
  p_.node->SetGauge("rss", std::nan(""));
  p_.agent.WaitFor([](const AppReport& report) { return report.gauges.empty(); });
}

TEST_F(NodeTest, ASparesReplayRunsInLanes) {
  q_.options.parallel_apply = true;
  q_.options.replay_lanes = 4;
  StartPair(0);
  std::atomic<int> left{20'000};
  std::promise<void> all;
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(p_.node
                    ->Append("r" + std::to_string(appended_), appended_ % 7 + 1,
                             [&](const Result<Lsn>&) {
                               if (--left == 0) all.set_value();
                             })
                    .ok());
    ++appended_;
  }
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  q_.WaitApplied(appended_);
  EXPECT_EQ(q_.state.state(), Expected());
}

// The application applies its own records: a snapshot is taken on its thread, between two of them.
TEST_F(NodeTest, APrimaryThatAppliesItselfTakesSnapshotsBetweenRecords) {
  p_.options.apply_on_primary = false;
  std::mutex between;  // the application's appending thread, as it were
  p_.options.run_between_records = [&](const std::function<void()>& fn) {
    const std::lock_guard<std::mutex> lock(between);
    fn();
  };
  p_.Start();
  ASSERT_TRUE(p_.TakeOver(0).ok());
  for (int i = 0; i < 100; ++i) {
    const std::lock_guard<std::mutex> lock(between);
    const std::string payload = "r" + std::to_string(appended_);
    const Result<Lsn> lsn = p_.node->Append(payload, appended_ % 7 + 1, nullptr);
    ASSERT_TRUE(lsn.ok());
    p_.state.Apply({*lsn, appended_ % 7 + 1, payload});
    ++appended_;
  }
  const Result<CheckpointInfo> checkpoint = p_.node->Checkpoint();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().ToString();
  EXPECT_EQ(checkpoint->lsn, Lsn(100));
  q_.Start();
  q_.Follow();
  q_.WaitApplied(100);
  EXPECT_EQ(q_.state.state(), Expected());
  EXPECT_EQ(q_.agent.last_report().replayed, 0);
}

// Its snapshots hold what is not acknowledged yet, so that must be let through for a checkpoint to count.
TEST_F(NodeTest, ALogOverItsQuotaTakesMoreAgainWhenCheckpointsHaveTrimmedIt) {
  p_.options.apply_on_primary = false;
  std::mutex between;
  p_.options.run_between_records = [&](const std::function<void()>& fn) {
    const std::lock_guard<std::mutex> lock(between);
    fn();
  };
  cluster_.EditChain(LogId(1), [](Chain* chain) { chain->quota_bytes = 2u << 20; });
  p_.state.Withhold(true);
  p_.Start();
  ASSERT_TRUE(p_.TakeOver(0).ok());
  const std::string payload(20'000, 'q');
  uint64_t appended = 0;
  const auto append = [&] {
    const std::lock_guard<std::mutex> lock(between);
    const Result<Lsn> lsn = p_.node->Append(payload, 1, nullptr);
    if (!lsn.ok()) return lsn.status();
    p_.state.Apply({*lsn, 1, payload});
    ++appended;
    return Status::Ok();
  };
  const auto until = [](const std::function<bool()>& condition) {
    const Instant deadline = SystemClock()->Now() + kPatience.count() * kNsPerSecond;
    while (!condition() && SystemClock()->Now() < deadline) std::this_thread::yield();
    return condition();
  };
  Status refused;
  ASSERT_TRUE(until([&] { return !(refused = append()).ok(); }));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("is over its log_quota_bytes"), std::string::npos) << refused.ToString();
  EXPECT_GE(appended, 100u);
  EXPECT_TRUE(p_.node->ReadBarrier().ok()) << "all that was let in is committed, and it serves";
  EXPECT_FALSE(p_.node->Checkpoint().ok());
  EXPECT_FALSE(append().ok());

  p_.state.Withhold(false);
  EXPECT_TRUE(until([&] { return append().ok(); }));
  const Chain chain = cluster_.ChainOf(LogId(1));
  EXPECT_EQ(chain.checkpoints.size(), 2u);
  EXPECT_GE(chain.trim_lsn, Lsn(100));
  EXPECT_EQ(chain.quota_bytes, 2u << 20) << "nobody's edit of the chain drops it";
  // And by itself for as long as checkpoints can be taken: many times its quota goes through.
  EXPECT_TRUE(until([&] { return append().ok() && appended >= 400; })) << appended;
  q_.Start();
  q_.Follow();
  q_.WaitApplied(appended);
  EXPECT_EQ(q_.state.state(), p_.state.state());
}

}  // namespace
}  // namespace understudy

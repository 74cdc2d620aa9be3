// A large fleet: an input has only what it concerns looked at, and what it concerns is looked at at once.
#include <gtest/gtest.h>

#include <algorithm>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

class LargeFleet {
 public:
  LargeFleet(int services, int spares) : services_(services), core_(Options()) {
    for (int i = 0; i < services + spares; ++i) {
      AgentReport report;
      report.node = Node(i);
      report.address = "10.0.0.1";
      report.process = ProcessState::kRunning;
      report.process_service = Service(0);
      report.has_app = true;
      report.app.pid = 100 + i;
      report.app.start_ticks = 1;
      report.app.endpoint = report.node + ":7000";
      report.app.mirror_address = report.node + ":9000";
      if (i < services) {
        report.app.role = AppRole::kPrimary;
        report.app.service = Service(i);
        report.app.epoch = Epoch(1);
        report.app.may_serve = true;
      }
      reports_.push_back(report);
    }
    for (int i = 0; i < services; ++i) {
      ServiceSpec spec;
      spec.name = Service(i);
      spec.program = "/bin/kv";
      spec.log = LogId(static_cast<uint64_t>(i) + 1);
      Feed(MetadataChanged{MetadataKind::kService, spec.name, EncodeServiceSpec(spec), 1});
    }
    for (int i = 0; i < services + spares; ++i) Report(i);
    Feed(MetadataLoaded{1});
    Settle(200);
  }

  static std::string Service(int i) { return "s" + std::to_string(i); }
  static std::string Node(int i) { return "n" + std::to_string(i); }

  template <class What>
  void Feed(What what) {
    effects_ = Effects();
    core_.Step({std::move(what), now_.ns() / kNsPerMs}, now_, &effects_);
    ++steps_;
    for (const SendCommand& send : effects_.commands) commands_.push_back(send);
    // Writes land.
    const std::vector<WriteMetadata> writes = effects_.writes;
    for (const WriteMetadata& write : writes) {
      Effects more;
      core_.Step({MetadataWritten{write.kind, write.name, StatusCode::kOk, "", write.expected + 1}, 0}, now_, &more);
      for (const SendCommand& send : more.commands) commands_.push_back(send);
    }
  }

  void Report(int i) { Feed(NodeReported{reports_[static_cast<size_t>(i)]}); }
  void Forecasts(int i, double probability) {
    Forecast forecast;
    forecast.predictor = "trend";
    forecast.version = "1";
    forecast.status = ForecastStatus::kOk;
    forecast.horizon_ms = 60'000;
    forecast.probability = probability;
    Feed(ForecastsArrived{Service(i), {forecast}});
  }
  // Time passes, every node is heard each 250 ms, ticks come when they are asked for.
  void Settle(int64_t ms) {
    const Instant until = now_ + ms * kNsPerMs;
    while (now_ < until) {
      now_ = std::min(until, now_ + 250 * kNsPerMs);
      for (size_t i = 0; i < reports_.size(); ++i) {
        if (silent_ != static_cast<int>(i)) Report(static_cast<int>(i));
      }
      if (effects_.wake_at <= now_) Feed(Tick{});
      Feed(Tick{});
    }
  }
  bool Sent(const std::string& node, CommandKind kind) const {
    return std::any_of(commands_.begin(), commands_.end(),
                       [&](const SendCommand& send) { return send.node == node && send.command.kind == kind; });
  }

  static CoreOptions Options() {
    CoreOptions options;
    options.cluster = "test";
    options.name = "c1";
    return options;
  }

  const int services_;
  Core core_;
  Instant now_ = Instant(kNsPerSecond);
  std::vector<AgentReport> reports_;
  std::vector<SendCommand> commands_;
  Effects effects_;
  int silent_ = -1;
  int64_t steps_ = 0;
};

TEST(LargeFleetTest, ADeadPrimaryIsTakenOverInAnswerToTheReport) {
  LargeFleet fleet(600, 3);
  AgentReport& report = fleet.reports_[5];
  report.process = ProcessState::kExited;
  report.exit_reason = "killed by signal 9";
  report.has_app = false;
  report.app = AppReport();
  fleet.commands_.clear();
  fleet.Report(5);
  EXPECT_TRUE(fleet.Sent("n600", CommandKind::kTakeOver)) << "in the same step";
}

TEST(LargeFleetTest, ASilentNodeIsMissedAndItsPrimarySuspected) {
  LargeFleet fleet(600, 3);
  fleet.silent_ = 7;
  fleet.Settle(1500);
  EXPECT_FALSE(fleet.core_.nodes().at("n7").alive);
  EXPECT_FALSE(fleet.core_.services().at("s7").suspicion.empty());
}

TEST(LargeFleetTest, ForecastsLeadToSparesForThoseWhoGainMost) {
  LargeFleet fleet(600, 2);
  fleet.core_.Step({OperatorRequest{1, RequestKind::kPolicy,
                                    R"({"request":"settings","settings":{"reserve_percent":0}})", "", "", false},
                    0},
                   fleet.now_, &fleet.effects_);
  fleet.Forecasts(3, 0.55);
  fleet.Forecasts(4, 0.9);
  fleet.Forecasts(9, 0.8);
  fleet.now_ = fleet.now_ + 60 * kNsPerMs;
  fleet.Feed(Tick{});
  EXPECT_FALSE(fleet.core_.services().at("s4").plan.spare.empty());
  EXPECT_FALSE(fleet.core_.services().at("s9").plan.spare.empty());
  EXPECT_TRUE(fleet.core_.services().at("s3").plan.spare.empty());
  EXPECT_EQ(fleet.core_.fleet().at_risk, 3);
}

TEST(LargeFleetTest, ASpareClimbsAndTheServiceIsSwitched) {
  LargeFleet fleet(600, 1);
  fleet.Forecasts(3, 0.9);
  fleet.Settle(250);
  ASSERT_EQ(fleet.core_.services().at("s3").plan.spare, "n600");
  EXPECT_TRUE(fleet.Sent("n600", CommandKind::kFollow));
  AppReport& app = fleet.reports_[600].app;
  app.service = "s3";
  app.role = AppRole::kReplaying;
  app.caught_up = true;
  fleet.Report(600);
  EXPECT_TRUE(fleet.Sent("n3", CommandKind::kMirrorTo)) << "in the same step";
  app.role = AppRole::kMirroring;
  fleet.Report(600);
  fleet.Forecasts(3, 0.9);
  fleet.Settle(1000);
  EXPECT_TRUE(fleet.Sent("n600", CommandKind::kPrepare));
}

TEST(LargeFleetTest, HeartbeatsAndSteadyForecastsLookAtWhatTheyConcern) {
  // No clock: what is counted are the looks at all services, which heartbeats and steady forecasts must not cause.
  LargeFleet fleet(2000, 50);
  const uint64_t before = fleet.core_.looks_at_all();
  for (int i = 0; i < 2000; ++i) {
    fleet.reports_[static_cast<size_t>(i)].app.applied = Lsn(1000);
    fleet.Report(i);
    fleet.Forecasts(i, 0.02);
  }
  EXPECT_EQ(fleet.core_.looks_at_all(), before);
  fleet.Forecasts(1, 0.9);
  fleet.Settle(100);
  EXPECT_GT(fleet.core_.looks_at_all(), before);
}

}  // namespace
}  // namespace understudy::coordinator

// Both hosts with good and bad plugins; the child-process host with real children that really crash and hang.
#include "predictors/host/predictor_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <optional>
#include <thread>

#include "log/env/clock.h"

namespace understudy {
namespace {

using testing::HasSubstr;

std::string Plugin(const std::string& name) { return std::string(TEST_PLUGINS) + "/" + name + ".so"; }

constexpr auto kPatience = std::chrono::seconds(30);

class HostTest : public testing::Test {
 protected:
  // Where deadlines are not what is tested, a busy machine shall not miss them.
  HostTest() { options_.call_deadline_ms = 10'000; }

  void Start(bool child) {
    options_.clock = SystemClock();
    options_.plugin_folders = {PLUGINS, TEST_PLUGINS};
    if (options_.helper.empty()) options_.helper = HELPER;
    host_ = child ? NewChildProcessPredictorHost(options_) : NewInProcessPredictorHost(options_);
    host_->SetOnAlert([this](PredictorAlert alert) {
      std::lock_guard lock(mutex_);
      alerts_.push_back(std::move(alert));
    });
  }

  // A second later each time: the plugins' time is the test's own.
  void Observe(const std::string& primary, const std::string& metric, double value) {
    const Instant now(now_ns_ += kNsPerSecond);
    host_->Observe(primary, {{0, now.ns() / kNsPerMs, {{metric, value}}}}, now);
  }
  PredictorHost::Forecasts Predict(std::vector<int64_t> horizons_ms = {60'000}) {
    auto promise = std::make_shared<std::promise<PredictorHost::Forecasts>>();
    auto future = promise->get_future();
    host_->Predict(Now(), std::move(horizons_ms),
                   [promise](PredictorHost::Forecasts forecasts) { promise->set_value(std::move(forecasts)); });
    EXPECT_EQ(future.wait_for(kPatience), std::future_status::ready) << "no answer at all";
    return future.get();
  }
  // Asks, with a fresh sample each time, until the first forecast of `primary` is as wanted.
  Forecast PredictUntil(const std::string& primary, const std::string& metric, double value,
                        const std::function<bool(const Forecast&)>& wanted) {
    const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
    while (true) {
      Observe(primary, metric, value);
      const PredictorHost::Forecasts forecasts = Predict();
      const Forecast& forecast = forecasts.at(primary).at(0);
      if (wanted(forecast)) return forecast;
      if (SystemClock()->Now() > deadline) {
        ADD_FAILURE() << "still " << ForecastStatusName(forecast.status) << ": " << forecast.reason;
        return forecast;
      }
    }
  }
  static bool Ok(const Forecast& forecast) { return forecast.status == ForecastStatus::kOk; }
  static bool Abstains(const Forecast& forecast) { return forecast.status == ForecastStatus::kAbstain; }

  Status Check(const std::string& plugin, const std::string& config) { return Check(PredictorSpec{plugin, config}); }
  Status Check(const PredictorSpec& spec) {
    auto promise = std::make_shared<std::promise<Status>>();
    auto future = promise->get_future();
    host_->Check(spec, [promise](Status status) { promise->set_value(std::move(status)); });
    EXPECT_EQ(future.wait_for(kPatience), std::future_status::ready);
    return future.get();
  }
  std::vector<PredictorAlert> Alerts() {
    std::lock_guard lock(mutex_);
    return alerts_;
  }
  bool Alerted(const std::string& part, bool resolved = false) {
    for (const PredictorAlert& alert : Alerts()) {
      if (alert.resolved == resolved && alert.text.find(part) != std::string::npos) return true;
    }
    return false;
  }

  PredictorHostOptions options_;
  std::unique_ptr<PredictorHost> host_;
  Instant Now() const { return Instant(now_ns_); }

  std::atomic<int64_t> now_ns_ = 1000 * kNsPerSecond;
  std::mutex mutex_;
  std::vector<PredictorAlert> alerts_;
};

// True: child processes; false: threads of this process.
class BothHostsTest : public HostTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override { options_.restart_pause_ms = 20; }
};
INSTANTIATE_TEST_SUITE_P(Hosts, BothHostsTest, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Child" : "InProcess"; });

TEST_P(BothHostsTest, ForecastsOfPluginsInCAndCppComeInTheSpecsOrder) {
  Start(GetParam());
  EXPECT_TRUE(Predict().empty());
  host_->Configure("kv", {{"plain", "{}"}, {Plugin("wrapped"), "{}"}});
  host_->Configure("other", {{"plain", "{}"}});
  PredictUntil("kv", "load", 80, [](const Forecast& f) { return Ok(f) && f.probability == 0.8; });
  PredictorHost::Forecasts forecasts = Predict({1000, 60'000});
  ASSERT_EQ(forecasts.size(), 2u);
  const std::vector<Forecast>& kv = forecasts["kv"];
  ASSERT_EQ(kv.size(), 4u);
  EXPECT_EQ(kv[0].predictor, "plain");
  EXPECT_EQ(kv[0].version, "2.1");
  EXPECT_EQ(kv[0].horizon_ms, 1000);
  EXPECT_EQ(kv[1].horizon_ms, 60'000);
  EXPECT_DOUBLE_EQ(kv[1].ttf_p50_s, 2);
  EXPECT_TRUE(Ok(kv[2])) << kv[2].reason;
  EXPECT_DOUBLE_EQ(kv[2].probability, 0.8);
  // Instances of one plugin do not share anything: this one has seen no sample.
  EXPECT_EQ(forecasts["other"][0].status, ForecastStatus::kWarming);
  EXPECT_EQ(forecasts["other"][0].reason, "no load yet");
  host_->Configure("kv", {});
  EXPECT_EQ(Predict().count("kv"), 0u);
  EXPECT_TRUE(Alerts().empty());
}

TEST_P(BothHostsTest, ResetFeedbackAndUnchangedSpecs) {
  Start(GetParam());
  host_->Configure("kv", {{"plain", "{}"}});
  PredictUntil("kv", "load", 10, Ok);
  host_->Feedback("kv", OutcomeKind::kFailed, 1, Now());
  host_->Configure("kv", {{"wrapped", "{}"}, {"plain", "{}"}});  // plain keeps what it has learnt
  PredictUntil("kv", "load", 20, Ok);
  EXPECT_THAT(Predict().at("kv").at(1).reason, HasSubstr("load 20"));
  EXPECT_THAT(Predict().at("kv").at(1).reason, HasSubstr("resets 0, outcomes 1"));
  host_->Reset("kv", ResetReason::kMoved);
  EXPECT_EQ(Predict().at("kv").at(0).status, ForecastStatus::kWarming);
  EXPECT_EQ(Predict().at("kv").at(1).status, ForecastStatus::kWarming);
  PredictUntil("kv", "load", 30, Ok);
  EXPECT_THAT(Predict().at("kv").at(1).reason, HasSubstr("resets 1"));
}

TEST_P(BothHostsTest, APredictorInTheShadowIsAskedAndMarkedAndKeepsWhatItLearnt) {
  Start(GetParam());
  host_->Configure("kv", {{"plain", "{}", /*shadow=*/true}, {"wrapped", "{}"}});
  const Forecast shadow = PredictUntil("kv", "load", 30, Ok);
  EXPECT_TRUE(shadow.shadow);
  EXPECT_DOUBLE_EQ(shadow.probability, 0.3);
  EXPECT_FALSE(Predict().at("kv").at(1).shadow);
  host_->Configure("kv", {{"plain", "{}"}, {"wrapped", "{}"}});
  const Forecast obeyed = Predict().at("kv").at(0);
  EXPECT_FALSE(obeyed.shadow);
  EXPECT_TRUE(Ok(obeyed)) << "made anew: " << obeyed.reason;
}

TEST_P(BothHostsTest, WhatCannotBeLoadedAbstainsWithAnAlertAndLeavesTheOthersAlone) {
  Start(GetParam());
  host_->Configure("kv", {{"plain", "{}"}, {"absent", "{}"}, {"plain_wrong_size", "{}"}, {"plain", "{\"x\":1}"}});
  PredictUntil("kv", "load", 80, Ok);
  const std::vector<Forecast> kv = Predict().at("kv");
  ASSERT_EQ(kv.size(), 4u);
  EXPECT_TRUE(Ok(kv[0]));
  EXPECT_TRUE(Abstains(kv[1]));
  EXPECT_THAT(kv[1].reason, HasSubstr("no plugin \"absent\""));
  EXPECT_TRUE(Abstains(kv[2]));
  EXPECT_THAT(kv[2].reason, HasSubstr("struct_size 40"));
  EXPECT_TRUE(Abstains(kv[3]));
  EXPECT_THAT(kv[3].reason, HasSubstr("bad configuration: config: has no fields"));
  EXPECT_TRUE(Alerted("no plugin \"absent\""));
  EXPECT_TRUE(Alerted("bad configuration"));
}

TEST_P(BothHostsTest, ChecksASpec) {
  Start(GetParam());
  EXPECT_TRUE(Check("threshold", R"({"bounds":[{"metric":"m","above":1}]})").ok());
  EXPECT_EQ(Check("threshold", R"({"bounds":[{"metric":"m"}]})"),
            Status(StatusCode::kInvalidArgument, "bounds[0].above: either above or below is required"));
  EXPECT_EQ(Check("absent", "{}").code(), StatusCode::kNotFound);
  EXPECT_EQ(Check(Plugin("plain_wrong_abi"), "{}").code(), StatusCode::kUnsupported);
  EXPECT_TRUE(Alerts().empty());
}

TEST_P(BothHostsTest, ImpossibleForecastsAbstainUntilTheyArePossibleAgain) {
  for (const char* mode : {"nan", "out of range", "backward ttf", "throw"}) {
    Start(GetParam());
    host_->Configure("bad", {{"misbehaving", "{\"" + std::string(mode) + "\"}"}});
    host_->Configure("good", {{"misbehaving", "{\"none\"}"}});
    EXPECT_DOUBLE_EQ(PredictUntil("bad", "trouble", 0, Ok).probability, 0.25);
    const size_t before = Alerts().size();
    PredictUntil("bad", "trouble", 1, Abstains);
    PredictUntil("bad", "trouble", 1, Abstains);
    EXPECT_TRUE(Ok(Predict().at("good").at(0))) << mode;
    EXPECT_EQ(Alerts().size(), before + 1) << mode;  // once, not every second
    EXPECT_EQ(Alerts().back().primary, "bad");
    PredictUntil("bad", "trouble", 0, Ok);
    EXPECT_TRUE(Alerts().back().resolved);
  }
}

TEST_P(BothHostsTest, AReasonWithoutEndIsCut) {
  Start(GetParam());
  host_->Configure("bad", {{"misbehaving", "{\"endless reason\"}"}});
  PredictUntil("bad", "trouble", 1, [](const Forecast& f) { return Ok(f) && f.reason.size() == 240; });
}

TEST_P(BothHostsTest, AHangAbstainsWithinTheDeadlineAndIsGivenUpAfterThree) {
  options_.call_deadline_ms = 300;
  options_.restart_pause_ms = 3'600'000;
  Start(GetParam());
  host_->Configure("bad", {{"misbehaving", "{\"hang\"}"}});
  host_->Configure("good", {{"plain", "{}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  PredictUntil("good", "load", 50, Ok);
  Observe("bad", "trouble", 1);
  int good_answers = 0;
  for (int i = 0; i < 3; ++i) {
    const PredictorHost::Forecasts forecasts = Predict();
    EXPECT_TRUE(Abstains(forecasts.at("bad").at(0)));
    EXPECT_EQ(forecasts.at("bad").at(0).reason, "no answer within 300 ms");
    if (Ok(forecasts.at("good").at(0))) ++good_answers;
  }
  EXPECT_GT(good_answers, 0);  // not in the way of the others
  EXPECT_TRUE(Alerted("3 times in a row"));
  EXPECT_THAT(Predict().at("bad").at(0).reason, HasSubstr("3 times in a row"));
}

// A service file may ask for a thread; only the operator of the coordinator can let it.
TEST_F(HostTest, AThreadOfThisProcessIsRefusedUnlessAllowed) {
  options_.restart_pause_ms = 20;
  Start(true);
  const PredictorSpec spec{"plain", "{}", false, Isolation::kThread};
  const Status refused = Check(spec);
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("--allow-in-process-predictors"));
  // A service that was applied where it was allowed: it abstains here, and the others go on.
  host_->Configure("kv", {spec, {"plain", "{}"}});
  EXPECT_THAT(PredictUntil("kv", "load", 50, Abstains).reason, HasSubstr("--allow-in-process-predictors"));
  const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
  while (!Ok(Predict().at("kv").at(1)) && SystemClock()->Now() < deadline) Observe("kv", "load", 50);
  EXPECT_TRUE(Ok(Predict().at("kv").at(1)));
  EXPECT_TRUE(Alerted("--allow-in-process-predictors"));
}

TEST_F(HostTest, AnAllowedThreadRunsInThisProcessBesideChildren) {
  options_.allow_in_process = true;
  Start(true);
  EXPECT_TRUE(Check({"misbehaving", "{\"whereabouts\"}", false, Isolation::kThread}).ok());
  host_->Configure(
      "kv", {{"misbehaving", "{\"whereabouts\"}", false, Isolation::kThread}, {"misbehaving", "{\"whereabouts\"}"}});
  const std::string here = std::to_string(getpid());
  EXPECT_EQ(PredictUntil("kv", "any", 0, Ok).reason, here);
  const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
  while (!Ok(Predict().at("kv").at(1)) && SystemClock()->Now() < deadline) Observe("kv", "any", 0);
  EXPECT_TRUE(Ok(Predict().at("kv").at(1)));
  EXPECT_NE(Predict().at("kv").at(1).reason, here);
}

// It cannot be killed, so it is not tried again while it hangs: no thread more a pause.
TEST_F(HostTest, AThreadThatHangsIsNotJoinedByOthers) {
  options_.call_deadline_ms = 100;
  options_.start_deadline_ms = 100;
  options_.restart_pause_ms = 1;
  options_.allow_in_process = true;
  Start(true);
  const std::string told = testing::TempDir() + "hang_" + std::to_string(getpid());
  std::ofstream(told) << "on";
  host_->Configure("bad", {{"misbehaving", "{\"hang while " + told + "\"}", false, Isolation::kThread}});
  PredictUntil("bad", "trouble", 0, Ok);
  const auto threads = [] {
    std::error_code error;
    return std::distance(std::filesystem::directory_iterator("/proc/self/task", error), {});
  };
  const auto before = threads();
  PredictUntil("bad", "trouble", 1,
               [](const Forecast& f) { return f.reason.find("has not returned") != std::string::npos; });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Abstains(Predict().at("bad").at(0)));
    EXPECT_LE(threads(), before);
  }
  std::filesystem::remove(told);  // the call returns, and all is well again
  PredictUntil("bad", "trouble", 0, Ok);
  EXPECT_TRUE(Alerted("answers again", /*resolved=*/true));
}

class ChildHostTest : public HostTest {
 protected:
  void SetUp() override { options_.restart_pause_ms = 20; }
};

TEST_F(ChildHostTest, ACrashAbstainsIsNamedAndThePluginComesBack) {
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"crash\"}"}});
  host_->Configure("good", {{"plain", "{}"}});
  for (int i = 0; i < 3; ++i) {
    PredictUntil("bad", "trouble", 0, Ok);
    const Forecast forecast = PredictUntil("bad", "trouble", 1, Abstains);
    EXPECT_THAT(forecast.reason, HasSubstr("killed by signal 11"));
  }
  PredictUntil("good", "load", 50, Ok);
  PredictUntil("bad", "trouble", 0, Ok);
  EXPECT_TRUE(Alerted("killed by signal 11"));
  EXPECT_TRUE(Alerted("trying again in 0.04"));  // the pauses grow
  EXPECT_TRUE(Alerted("answers again", /*resolved=*/true));
}

TEST_F(ChildHostTest, ExitsAndCrashesAtOnceAreNamedToo) {
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"exit\"}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  EXPECT_THAT(PredictUntil("bad", "trouble", 1, Abstains).reason, HasSubstr("exited with status 7"));
  EXPECT_EQ(Check("misbehaving", "{\"crash at once\"}").code(), StatusCode::kInternal);
  options_.start_deadline_ms = 100;
  Start(true);
  EXPECT_EQ(Check("misbehaving", "{\"hang at once\"}").code(), StatusCode::kDeadlineExceeded);
}

TEST_F(ChildHostTest, AHangingChildIsKilledAndReplaced) {
  options_.call_deadline_ms = 300;
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"hang\"}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  PredictUntil("bad", "trouble", 1, [](const Forecast& f) { return f.reason.find("in a row") != std::string::npos; });
  PredictUntil("bad", "trouble", 0, Ok);
  EXPECT_TRUE(Alerted("answers again", /*resolved=*/true));
}

TEST_F(ChildHostTest, AHoardOfMemoryIsRefusedToTheChild) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers need the address space that would be limited";
#endif
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"hoard\"}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  const Forecast forecast = PredictUntil("bad", "trouble", 1, Abstains);
  EXPECT_THAT(forecast.reason, HasSubstr("bad_alloc"));
  PredictUntil("bad", "trouble", 0, Ok);
}

TEST_F(ChildHostTest, ChatterOnTheTerminalIsNobodysBusiness) {
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"chatter\"}"}});
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) PredictUntil("bad", "trouble", 1, Ok);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("noise"), std::string::npos);
}

TEST_F(ChildHostTest, RubbishInTheHostsOwnSocketIsAFaultOfThePlugin) {
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"scribble\"}"}});
  host_->Configure("good", {{"plain", "{}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  PredictUntil("good", "load", 50, Ok);
  EXPECT_THAT(PredictUntil("bad", "trouble", 1, Abstains).reason, HasSubstr("its answer"));
  EXPECT_TRUE(Ok(Predict().at("good").at(0)));
  PredictUntil("bad", "trouble", 0, Ok);
}

TEST_F(ChildHostTest, APluginThatIgnoresAllSignalsIsEndedAllTheSame) {
  options_.call_deadline_ms = 300;
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"deaf\"}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  PredictUntil("bad", "trouble", 1, [](const Forecast& f) { return f.reason.find("in a row") != std::string::npos; });
  PredictUntil("bad", "trouble", 0, Ok);
}

TEST_F(ChildHostTest, WhatAPluginForksEndsWithIt) {
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"fork\"}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  const Forecast forecast = PredictUntil("bad", "trouble", 1, [](const Forecast& f) { return !f.reason.empty(); });
  const std::string page = "/proc/" + forecast.reason + "/stat";
  host_.reset();
  // Gone, or dead and not yet collected by whoever inherited it.
  const Instant deadline = SystemClock()->Now() + 30 * kNsPerSecond;
  std::string state = "R";
  while (state != "Z" && state != "" && SystemClock()->Now() < deadline) {
    std::ifstream stat(page);
    std::string pid, name;
    state.clear();
    stat >> pid >> name >> state;
    std::this_thread::yield();
  }
  EXPECT_TRUE(state == "Z" || state.empty()) << page << ": " << state;
}

TEST_F(ChildHostTest, ManyPrimariesAreAskedInSeveralBatches) {
  Start(true);
  for (int i = 0; i < 2500; ++i) host_->Configure("kv" + std::to_string(i), {{"plain", "{}"}});
  for (int i = 0; i < 2500; ++i) Observe("kv" + std::to_string(i), "load", i % 100);
  PredictUntil("kv2499", "load", 42, [](const Forecast& f) { return Ok(f) && f.probability == 0.42; });
  const PredictorHost::Forecasts forecasts = Predict({1000, 2000, 3000});
  ASSERT_EQ(forecasts.size(), 2500u);
  for (int i = 0; i < 2499; ++i) {
    const std::vector<Forecast>& kv = forecasts.at("kv" + std::to_string(i));
    ASSERT_EQ(kv.size(), 3u);
    EXPECT_TRUE(Ok(kv[2])) << i << ": " << kv[2].reason;
    EXPECT_DOUBLE_EQ(kv[2].probability, i % 100 / 100.0);
  }
  EXPECT_TRUE(Alerts().empty());
}

// What an agent says of time is not believed further than it can be true.
class LyingAgentTest : public HostTest {
 protected:
  void SetUp() override {
    Start(false);
    host_->Configure("kv", {{"plain", "{}"}});
    PredictUntil("kv", "load", 50, Ok);
  }
  // A second passes; the agent says that its clock shows `theirs_ms`.
  void Say(int64_t theirs_ms, double load) {
    const Instant now(now_ns_ += kNsPerSecond);
    host_->Observe("kv", {{0, theirs_ms, {{"load", load}}}}, now);
  }
  std::string Reason() { return Predict().at("kv").at(0).reason; }
  int64_t Honest() const { return now_ns_ / kNsPerMs; }
};

TEST_F(LyingAgentTest, TimesThatRepeatOrGoBackAreDroppedWithOneAlert) {
  const int64_t at = Honest() + 1000;
  Say(at, 60);
  EXPECT_THAT(Reason(), HasSubstr("load 60"));
  for (int i = 0; i < 20; ++i) Say(at, 99);
  for (int i = 0; i < 20; ++i) Say(at - 1000 * i, 99);
  EXPECT_THAT(Reason(), HasSubstr("load 60"));
  size_t alerts = 0;
  for (const PredictorAlert& alert : Alerts()) {
    if (alert.plugin == "samples" && !alert.resolved) ++alerts;
    EXPECT_EQ(alert.primary, "kv");
  }
  EXPECT_EQ(alerts, 1u);
  EXPECT_TRUE(Alerted("not after that of the sample before"));
  // Honest again: taken at once, and after a minute the alert is over.
  for (int i = 0; i < 70; ++i) Say(Honest() + 1000, 70);
  EXPECT_THAT(Reason(), HasSubstr("load 70"));
  EXPECT_TRUE(Alerted("times ascend again", /*resolved=*/true));
}

TEST_F(LyingAgentTest, AClockThatLeapsIsFollowedOnceAMinuteAtMost) {
  const int64_t day = 86'400'000;
  Say(Honest() + 30 * day, 61);  // perhaps another boot: believed
  EXPECT_THAT(Reason(), HasSubstr("load 61"));
  for (int i = 0; i < 30; ++i) Say(i % 2 == 0 ? 5 : Honest() + (60 + i) * day, 99);
  EXPECT_THAT(Reason(), HasSubstr("load 61"));
  EXPECT_TRUE(Alerted("the agent sent a sample with"));
  Say(INT64_MAX, 99);
  Say(INT64_MIN, 99);
  Say(-1, 99);
  EXPECT_THAT(Reason(), HasSubstr("load 61"));
  EXPECT_TRUE(Ok(Predict().at("kv").at(0)));
}

TEST_F(LyingAgentTest, ABatchOfSamplesThatWaitedIsTakenWhole) {
  const Instant now(now_ns_ += 10 * kNsPerSecond);
  std::vector<NodeSample> samples;
  for (int i = 9; i >= 0; --i) samples.push_back({0, now.ns() / kNsPerMs - 1000 * i, {{"load", 50.0 + i}}});
  host_->Observe("kv", samples, now);
  EXPECT_THAT(Reason(), HasSubstr("load 50, "));
  for (const PredictorAlert& alert : Alerts()) EXPECT_NE(alert.plugin, "samples") << alert.text;
}

TEST_F(ChildHostTest, AMissingHelperIsAnAlertNotACrash) {
  options_.helper = "/nonexistent/helper";
  Start(true);
  EXPECT_EQ(Check("plain", "{}").code(), StatusCode::kIoError);
  host_->Configure("kv", {{"plain", "{}"}});
  EXPECT_THAT(PredictUntil("kv", "load", 1, Abstains).reason, HasSubstr("/nonexistent/helper"));
}

TEST_F(ChildHostTest, WhatIsOutstandingIsAnsweredBeforeTheHostEnds) {
  options_.call_deadline_ms = 3'600'000;
  options_.start_deadline_ms = 3'600'000;
  Start(true);
  host_->Configure("bad", {{"misbehaving", "{\"hang\"}"}});
  PredictUntil("bad", "trouble", 0, Ok);
  Observe("bad", "trouble", 1);
  std::vector<PredictorHost::Forecasts> answers;
  for (int i = 0; i < 3; ++i) {
    host_->Predict(Now(), {1000}, [&](PredictorHost::Forecasts forecasts) { answers.push_back(std::move(forecasts)); });
  }
  std::optional<Status> check;
  host_->Check({"misbehaving", "{\"hang at once\"}"}, [&](Status status) { check = std::move(status); });
  host_.reset();  // joins the thread that calls back
  ASSERT_EQ(answers.size(), 3u);
  for (const PredictorHost::Forecasts& forecasts : answers) {
    ASSERT_EQ(forecasts.at("bad").size(), 1u);
    EXPECT_TRUE(Abstains(forecasts.at("bad")[0]));
    EXPECT_EQ(forecasts.at("bad")[0].reason, "the predictor host ends");
  }
  EXPECT_EQ(check->code(), StatusCode::kCancelled);
}

TEST_F(ChildHostTest, ConcurrentCallersAreServed) {
  Start(true);
  for (int i = 0; i < 20; ++i) host_->Configure("kv" + std::to_string(i), {{"plain", "{}"}});
  PredictUntil("kv0", "load", 50, Ok);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 20; ++i) {
        Observe("kv" + std::to_string(i), "load", t);
        EXPECT_EQ(Predict().size(), 20u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Alerts().empty());
}

}  // namespace
}  // namespace understudy

// The small parts: service files, plans, the hysteresis of risk.
#include <gtest/gtest.h>

#include <algorithm>

#include "server/coordinator/core/plan.h"
#include "server/coordinator/core/risk.h"
#include "server/coordinator/core/scenario_testing.h"
#include "server/coordinator/core/service_spec.h"
#include "server/coordinator/core/shadow.h"

namespace understudy::coordinator {
namespace {

TEST(ServiceSpecTest, EverythingSurvivesEncoding) {
  const char* text = R"({"name":"kv1","program":"/bin/kv","arguments":["--port","${port}"],"environment":{"A":"b"},
    "log_quota_bytes":67108864,"spare":"COLD","standby":true,"replicas":3,"ack_quorum":2,"predictors":[{"plugin":"threshold","config":{"rss":1},"shadow":true,"isolation":"thread"}],
    "labels":{"zone":"a"},"checkpoint_interval_ms":5000,"memory_limit_bytes":1000000,"stop_grace_ms":100,
    "policy":{"assign_at":0.4,"switch_at":0.9,"release_at":0.1,"persist_ms":1,"dwell_ms":2,"cooldown_ms":3},
    "rejuvenation":{"every_s":604800,"appends_per_s_max":50,"windows":[{"kind":"allow","weekly":"sun 02:00-05:00"}]}})";
  Result<ServiceSpec> spec = ParseServiceSpec(text);
  ASSERT_TRUE(spec.ok()) << spec.status().ToString();
  EXPECT_FALSE(spec->warm);
  EXPECT_EQ(spec->predictors.at(0).config, R"({"rss":1})");
  Result<ServiceSpec> again = ParseServiceSpec(EncodeServiceSpec(*spec));
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(*again, *spec);
}

TEST(ServiceSpecTest, ARestartCuresWhatOnlyTheProcessUsesUpUnlessTheFileSaysOtherwise) {
  const auto cures = [](const std::string& predictor) {
    const auto spec = ParseServiceSpec(R"({"name":"a","program":"p","predictors":[)" + predictor + "]}");
    EXPECT_TRUE(spec.ok()) << spec.status().message();
    EXPECT_EQ(ParseServiceSpec(EncodeServiceSpec(*spec))->predictors, spec->predictors);
    return spec->predictors.at(0).restart_cures;
  };
  EXPECT_FALSE(cures(R"({"plugin":"trend"})"));
  EXPECT_TRUE(cures(R"({"plugin":"trend","config":{"metrics":[{"metric":"proc.rss_bytes"},{"metric":"proc.fds"}]}})"));
  EXPECT_FALSE(
      cures(R"({"plugin":"trend","config":{"metrics":[{"metric":"proc.fds"},{"metric":"node.disk_free_bytes"}]}})"));
  EXPECT_FALSE(cures(R"({"plugin":"trend","config":{"metrics":[{"metric":"proc.fds"}],"limits":{"app.queue":9}}})"));
  EXPECT_FALSE(cures(R"({"plugin":"threshold","config":{"bounds":[{"metric":"proc.cpu_cores","above":3}]}})"));
  EXPECT_TRUE(
      cures(R"({"plugin":"threshold","config":{"bounds":[{"metric":"app.pool","above":3}]},"restart_cures":true})"));
  EXPECT_FALSE(
      cures(R"({"plugin":"threshold","config":{"bounds":[{"metric":"proc.fds","above":3}]},"restart_cures":false})"));
}

TEST(ServiceSpecTest, TheQuorumFollowsTheReplicas) {
  EXPECT_EQ(ParseServiceSpec(R"({"name":"a","program":"b"})")->ack_quorum, 1);
  EXPECT_EQ(ParseServiceSpec(R"({"name":"a","program":"b","replicas":3})")->ack_quorum, 2);
}

TEST(ServiceSpecTest, ErrorsNameTheField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"program":"b"})", "'name'"},
      {R"({"name":"../a","program":"b"})", "'name'"},
      {R"({"name":"a"})", "'program'"},
      {R"({"name":"a","program":7})", "'program'"},
      {R"({"name":"a","program":"b","arguments":"x"})", "'arguments'"},
      {R"({"name":"a","program":"b","arguments":[1]})", "'arguments'"},
      {R"({"name":"a","program":"b","environment":{"A":1}})", "'environment.A'"},
      {R"({"name":"a","program":"b","spare":"LUKEWARM"})", "'spare'"},
      {R"({"name":"a","program":"b","standby":1})", "'standby'"},
      {R"({"name":"a","program":"b","replicas":10})", "'replicas'"},
      {R"({"name":"a","program":"b","replicas":2.5})", "'replicas'"},
      {R"({"name":"a","program":"b","replicas":2,"ack_quorum":3})", "'ack_quorum'"},
      {R"({"name":"a","program":"b","log_quota_bytes":67108863})",
       "'log_quota_bytes': must be 0 (no bound) or at least"},
      {R"({"name":"a","program":"b","log_quota_bytes":-1})", "'log_quota_bytes'"},
      {R"({"name":"a","program":"b","log_quota_bytes":"1 GiB"})", "'log_quota_bytes'"},
      {R"({"name":"a","program":"b","predictors":{}})", "'predictors'"},
      {R"({"name":"a","program":"b","predictors":[{}]})", "'predictors[0].plugin'"},
      {R"({"name":"a","program":"b","predictors":[{"plugin":"t","config":3}]})", "'predictors[0].config'"},
      {R"({"name":"a","program":"b","predictors":[{"plugin":"t","conifg":{}}]})", "'predictors[0].conifg'"},
      {R"({"name":"a","program":"b","predictors":[{"plugin":"t","isolation":"none"}]})", "'predictors[0].isolation'"},
      {R"({"name":"a","program":"b","policy":{"assign_at":2}})", "'policy.assign_at'"},
      {R"({"name":"a","program":"b","policy":{"switch_at":0.3}})", "'policy.switch_at'"},
      {R"({"name":"a","program":"b","policy":{"dwel_ms":1}})", "'policy.dwel_ms'"},
      {R"({"name":"a","program":"b","typo":1})", "'typo'"},
      {R"([])", "object"},
      {R"({"name":)", "not JSON"},
      {std::string(300'000, ' '), "longer than"},
  };
  for (const auto& [text, part] : cases) {
    Result<ServiceSpec> spec = ParseServiceSpec(text);
    ASSERT_FALSE(spec.ok()) << text;
    EXPECT_EQ(spec.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(spec.status().message().find(part), std::string::npos) << spec.status().message();
  }
}

TEST(PlanTest, EverythingSurvivesEncoding) {
  Plan plan;
  plan.service = "kv1";
  plan.coordinator = "c1";
  plan.term = 7;
  plan.spare = "n4";
  plan.spare_reason = "forecast";
  plan.restarts = {{"n1", 100, 5}};
  plan.predicted_moves = 2;
  plan.moves = 3;
  plan.restarted_unix_ms = 1719;
  plan.fresh_unix_ms = 1720;
  plan.timings = {1, 2.5, -1, 0, 4};
  EXPECT_EQ(*DecodePlan(EncodePlan(plan)), plan);
  plan.move = {MoveKind::kUnplanned, MoveStep::kTakeOver, "n1", "n4", Epoch(3), {1, 2}, "killed", true, 1718, 20};
  EXPECT_EQ(*DecodePlan(EncodePlan(plan)), plan);
  plan.move.kind = MoveKind::kRestart;
  plan.move.step = MoveStep::kStop;
  EXPECT_EQ(*DecodePlan(EncodePlan(plan)), plan);
}

TEST(PlanTest, RefusesWhatIsNoPlan) {
  EXPECT_EQ(DecodePlan("").status().code(), StatusCode::kCorruption);
  EXPECT_EQ(DecodePlan("{}").status().code(), StatusCode::kCorruption);
  Plan plan;
  plan.move.kind = MoveKind::kFirst;
  std::string text = EncodePlan(plan);
  text.replace(text.find("first"), 5, "burst");
  EXPECT_EQ(DecodePlan(text).status().code(), StatusCode::kCorruption);
}

Instant At(int64_t ms) { return Instant(ms * kNsPerMs); }

std::vector<Forecast> P(double probability, const char* predictor = "threshold") {
  Forecast forecast;
  forecast.predictor = predictor;
  forecast.status = ForecastStatus::kOk;
  forecast.horizon_ms = 60'000;
  forecast.probability = probability;
  return {forecast};
}

void Hear(Risk* risk, const std::vector<Forecast>& forecasts, Instant now) {
  risk->Observe(forecasts, now);
  risk->Advance({}, {}, now);
}

TEST(RiskTest, TheHighestOfThoseThatCanSayDecides) {
  Risk risk;
  std::vector<Forecast> forecasts = {P(0.1)[0], P(0.95)[0], P(0.6)[0], P(0.99)[0]};
  forecasts[1].status = ForecastStatus::kAbstain;
  forecasts[3].shadow = true;
  Hear(&risk, forecasts, At(0));
  EXPECT_EQ(risk.forecast().probability, 0.6);
  EXPECT_EQ(risk.level(), RiskLevel::kAssign);
}

TEST(RiskTest, WhatIsSaidInShadowIsShownAsThat) {
  Risk risk;
  std::vector<Forecast> forecasts = P(0.99);
  forecasts[0].shadow = true;
  forecasts[0].reason = "it grows";
  Hear(&risk, forecasts, At(0));
  EXPECT_EQ(risk.forecast().status, ForecastStatus::kAbstain);
  EXPECT_EQ(risk.forecast().reason, "in shadow: it grows");
}

// A failure within the hour is none that a spare would have been assigned for now.
TEST(ShadowTest, OnlyHorizonsThatThePolicyWouldLookAtWarn) {
  std::vector<Forecast> forecasts = {P(0.1)[0], P(0.2)[0], P(0.3)[0], P(0.99)[0], P(0.9)[0]};
  const int64_t horizons_ms[] = {10'000, 60'000, 300'000, 3'600'000, 60'000};
  for (size_t i = 0; i < forecasts.size(); ++i) {
    forecasts[i].horizon_ms = horizons_ms[i];
    forecasts[i].shadow = i < 4;
  }
  EXPECT_EQ(LoudestShadow(forecasts, 60'000)->probability, 0.2);
  EXPECT_EQ(LoudestShadow(forecasts, 61'000)->probability, 0.3);
  EXPECT_EQ(LoudestShadow(forecasts, 86'400'000)->probability, 0.99);
  forecasts[1].status = ForecastStatus::kWarming;
  EXPECT_EQ(LoudestShadow(forecasts, 10'000)->probability, 0.1);
  EXPECT_EQ(LoudestShadow({}, 60'000), nullptr);
}

TEST(RiskTest, AnEnsembleSpeaksForThePredictorsItWasMadeFrom) {
  Risk risk;
  std::vector<Forecast> forecasts = {P(0.9)[0], P(0.1)[0], P(0.3, Risk::kEnsemble)[0]};
  Hear(&risk, forecasts, At(0));
  EXPECT_EQ(risk.forecast().probability, 0.3);
  EXPECT_EQ(risk.level(), RiskLevel::kNone);
  forecasts[2].status = ForecastStatus::kAbstain;
  Hear(&risk, forecasts, At(1));
  EXPECT_FALSE(risk.assessment().known);
}

TEST(RiskTest, ASwitchNeedsPersistence) {
  const PolicySpec policy;
  Risk risk;
  Hear(&risk, P(0.9), At(0));
  EXPECT_EQ(risk.level(), RiskLevel::kAssign);
  EXPECT_EQ(risk.next(), At(policy.persist_ms));
  Hear(&risk, P(0.6), At(500));  // an interruption starts it over
  Hear(&risk, P(0.9), At(600));
  risk.Advance({}, {}, At(1500));
  EXPECT_EQ(risk.level(), RiskLevel::kAssign);
  risk.Advance({}, {}, At(1600));
  EXPECT_EQ(risk.level(), RiskLevel::kSwitch);
  Hear(&risk, P(0.55), At(1700));  // between the thresholds it stays
  EXPECT_EQ(risk.level(), RiskLevel::kSwitch);
  Hear(&risk, P(0.45), At(1800));
  EXPECT_EQ(risk.level(), RiskLevel::kAssign);
}

TEST(RiskTest, SilenceRecedesAndNeverPromotes) {
  const PolicySpec policy;
  Risk risk;
  Hear(&risk, {}, At(0));
  EXPECT_EQ(risk.level(), RiskLevel::kNone);
  Hear(&risk, P(0.9), At(0));
  risk.Advance({}, {}, At(2000));
  EXPECT_EQ(risk.level(), RiskLevel::kSwitch);
  risk.Advance({}, {}, At(Risk::kFreshMs));  // stale: no longer a reason to switch
  EXPECT_EQ(risk.level(), RiskLevel::kAssign);
  EXPECT_EQ(risk.forecast().status, ForecastStatus::kAbstain);
  risk.Advance({}, {}, At(Risk::kFreshMs + policy.dwell_ms));
  EXPECT_EQ(risk.level(), RiskLevel::kNone);
}

TEST(DecisionsTest, AreRecordedWithWhatTheyWereMadeFrom) {
  Scenario scenario;
  for (const char* line : {"none n1 n2", R"(apply {"name":"kv1","program":"/bin/kv"})", "run n1 kv1", "run n2 kv1",
                           "role n1 PRIMARY kv1 epoch=1", "forecast kv1 0.8 memory will run out in 60 s"}) {
    scenario.Run(line);
  }
  const Event* assigned = nullptr;
  for (const Event& event : scenario.events()) {
    if (event.kind == "spare_assigned") assigned = &event;
  }
  ASSERT_NE(assigned, nullptr);
  std::map<std::string, EventValue> details(assigned->details.begin(), assigned->details.end());
  EXPECT_EQ(assigned->node, "n2");
  EXPECT_EQ(std::get<std::string>(details.at("predictor")), "threshold");
  EXPECT_EQ(std::get<std::string>(details.at("predictor_version")), "1");
  EXPECT_EQ(std::get<double>(details.at("probability")), 0.8);
  EXPECT_EQ(std::get<std::string>(details.at("reason")), "memory will run out in 60 s");
  EXPECT_EQ(std::get<int64_t>(details.at("fitness")), 30);
}

// A failure is a failure; one that only stopped serving was degraded; one that was ended in time nobody knows.
TEST(DecisionsTest, PredictorsAreToldWhatBecameOfThePrimary) {
  const auto told = [](const std::vector<const char*>& lines) {
    Scenario scenario;
    for (const char* line : {"none n1", R"(apply {"name":"kv1","program":"/bin/kv","policy":{"restart":true}})",
                             "run n1 kv1", "chain kv1 1 n1", "role n1 PRIMARY kv1 epoch=1 applied=100"}) {
      scenario.Run(line);
    }
    for (const char* line : lines) scenario.Run(line);
    EXPECT_TRUE(scenario.errors().empty());
    std::vector<OutcomeKind> out;
    for (const PredictorFeedback& feedback : scenario.feedback()) out.push_back(feedback.outcome);
    return out;
  };
  const std::vector<const char*> on_another = {"none n2", "run n2 kv1"};
  const auto with = [&](std::vector<const char*> more) {
    more.insert(more.begin(), on_another.begin(), on_another.end());
    return told(more);
  };
  EXPECT_EQ(with({"exit n1 killed by signal 9", "role n2 PRIMARY kv1 epoch=2"}),
            std::vector<OutcomeKind>{OutcomeKind::kFailed});
  EXPECT_EQ(told({"exit n1 killed by signal 9", "run n1 kv1", "role n1 PRIMARY kv1 epoch=2 applied=100"}),
            std::vector<OutcomeKind>{OutcomeKind::kFailed})
      << "in place as well";
  EXPECT_EQ(with({"role n1 PRIMARY kv1 epoch=1 applied=100 may_serve=0", "at 5500", "age kv1 10", "at 5600",
                  "role n2 PRIMARY kv1 epoch=2"}),
            std::vector<OutcomeKind>{OutcomeKind::kDegraded});
  EXPECT_EQ(told({"forecast kv1 0.9 proc.fds 900", "at 1000", "done n1 CHECKPOINT OK", "exit n1 exit status 0",
                  "run n1 kv1", "role n1 PRIMARY kv1 epoch=2 applied=100"}),
            std::vector<OutcomeKind>{OutcomeKind::kMoved});
}

// The chain names a new owner, whose process died before it served; what the next process is told may be lost as well.
TEST(DecisionsTest, ANewOwnerThatStartedAnewIsToldUntilItHears) {
  const CoreOptions options = TestOptions();
  Scenario scenario(options);
  for (const char* line : {"none n1", R"(apply {"name":"kv1","program":"/bin/kv"})", "run n1 kv1", "chain kv1 1 n1",
                           "role n1 PRIMARY kv1 epoch=1", "exit n1 killed by signal 9", "run n1 kv1",
                           "role n1 PROMOTING kv1", "chain kv1 2 n1", "exit n1 killed by signal 9", "run n1 kv1"}) {
    scenario.Run(line);
  }
  const std::vector<std::string> said = scenario.Run("at " + std::to_string(options.command_retry_ms + 100));
  EXPECT_TRUE(scenario.errors().empty());
  EXPECT_NE(std::find(said.begin(), said.end(), "n1 TAKE_OVER kv1 epoch=2 (again)"), said.end())
      << ::testing::PrintToString(said);
}

// What loads and switches took is known to the next leader, as far as a plan was written since.
TEST(DecisionsTest, WhatWasMeasuredOutlivesTheLeader) {
  Scenario scenario;
  for (const char* line :
       {"none n1 n2", R"(apply {"name":"kv1","program":"/bin/kv"})", "run n1 kv1", "run n2 kv1", "chain kv1 1 n1",
        "role n1 PRIMARY kv1 epoch=1", "forecast kv1 0.6 memory", "role n2 LOADING kv1", "at 400",
        "role n2 REPLAYING kv1 caught_up", "role n2 MIRRORING kv1 caught_up", "forecast kv1 0.9 memory", "at 1500"}) {
    scenario.Run(line);
  }
  const Timings before = scenario.core().services().at("kv1").measured;
  EXPECT_EQ(before.load_ms, 400);
  scenario.Run("elect c2");
  EXPECT_EQ(static_cast<const Timings&>(scenario.core().services().at("kv1").measured), before);
}

TEST(LogQuotaTest, TheLogFollowsItsService) {
  Scenario scenario;
  scenario.Run("none n1");
  const auto apply = [&](const std::string& more) {
    scenario.Run(R"(apply {"name":"kv1","program":"/bin/kv")" + more + "}");
    scenario.Run("elect c2");  // who comes next writes it if nobody has yet, and reads what was written
    scenario.Run("elect c1");
    return scenario.core().logs().at(1).chain.quota_bytes;
  };
  EXPECT_EQ(apply(R"(,"log_quota_bytes":100000000)"), 100'000'000u);
  EXPECT_EQ(apply(R"(,"log_quota_bytes":200000000)"), 200'000'000u);
  EXPECT_EQ(scenario.core().logs().at(1).chain.replicas_target, 1);
  EXPECT_EQ(apply(""), 0u);
}

// A wake-up in the past would have the shell step again at once, and for ever.
TEST(DecisionsTest, NeverWaitForThePast) {
  Core core(TestOptions());
  Effects effects;
  core.Step({MetadataChanged{MetadataKind::kNode, "n1", "{}", 1}}, Instant(kNsPerSecond), &effects);
  core.Step({MetadataLoaded{1}}, Instant(kNsPerSecond), &effects);
  EXPECT_GT(effects.wake_at, Instant(kNsPerSecond));
  const Instant later =
      Instant(10 * kNsPerSecond);  // the node has never been heard, and has counted as missing for long
  core.Step({Tick()}, later, &effects);
  EXPECT_GT(effects.wake_at, later);
}

}  // namespace
}  // namespace understudy::coordinator

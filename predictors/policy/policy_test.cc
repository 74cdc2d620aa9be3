// Properties of the policy that hold for all inputs, and its rules one by one.
#include "predictors/policy/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "log/env/random.h"
#include "predictors/policy/policy_json.h"

namespace understudy::policy {
namespace {

ForecastView Says(double probability, int64_t horizon_ms = 60'000) {
  ForecastView out;
  out.predictor = "p";
  out.known = true;
  out.horizon_ms = horizon_ms;
  out.probability = probability;
  return out;
}

ForecastView WithTtf(double probability, double p10, double p50, double p90) {
  ForecastView out = Says(probability);
  out.has_ttf = true;
  out.ttf_p10_s = p10;
  out.ttf_p50_s = p50;
  out.ttf_p90_s = p90;
  return out;
}

ServiceInput Of(std::vector<ForecastView> forecasts) {
  ServiceInput in;
  in.name = "kv1";
  in.forecasts = std::move(forecasts);
  in.ready = {2000, 3000, 3200, true};
  return in;
}

constexpr FleetView kFleet{10, 1, 4, 2};
constexpr int64_t kTuesday = 1'700'000'000'000;  // a Tuesday, 22:13:20 UTC

double Unit(SeededRandom* random) { return static_cast<double>(random->Next64() >> 11) * 0x1p-53; }

ServiceInput Any(SeededRandom* random) {
  ServiceInput in;
  in.name = "s";
  const auto count = random->Below(4);
  for (uint64_t i = 0; i < count; ++i) {
    ForecastView forecast = Says(Unit(random), static_cast<int64_t>(1000 + random->Below(3'600'000)));
    forecast.known = random->Below(8) != 0;
    forecast.obeyed = random->Below(8) != 0;
    forecast.has_ttf = random->Below(2) == 0;
    forecast.ttf_p10_s = Unit(random) * 300;
    forecast.ttf_p50_s = forecast.ttf_p10_s + Unit(random) * 300;
    forecast.ttf_p90_s = forecast.ttf_p50_s + Unit(random) * 300;
    in.forecasts.push_back(forecast);
  }
  in.age_ms = static_cast<int64_t>(random->Below(12'000));
  in.memory.rung = static_cast<Rung>(random->Below(kRungs));
  if (random->Below(2) == 0) in.memory.high_since_ms = static_cast<int64_t>(random->Below(1'000'000));
  if (random->Below(2) == 0) in.memory.low_since_ms = static_cast<int64_t>(random->Below(1'000'000));
  ServicePolicy& policy = in.policy;
  policy.assign_at = 0.05 + Unit(random) * 0.8;
  policy.switch_at = policy.assign_at + Unit(random) * (1 - policy.assign_at);
  policy.mirror_at = policy.assign_at + Unit(random) * (policy.switch_at - policy.assign_at);
  policy.reserve_at = policy.assign_at * Unit(random);
  policy.checkpoint_at = policy.assign_at * Unit(random);
  policy.release_at = policy.assign_at * Unit(random) * 0.99;
  policy.unplanned_cost = Unit(random) * 100;
  policy.planned_cost = Unit(random) * 20;
  const auto ms = [&] { return static_cast<int64_t>(random->Below(100'000)); };
  in.ready.follow_ms = ms();
  in.ready.mirror_ms = in.ready.follow_ms + ms();
  in.ready.switch_ms = in.ready.mirror_ms + ms();
  in.has_spare = random->Below(2) == 0;
  in.spare_mirrors = in.has_spare && random->Below(2) == 0;
  return in;
}

constexpr int kRounds = 20'000;
constexpr int64_t kNow = 2'000'000;

TEST(PolicyPropertyTest, AHigherProbabilityNeverWantsLess) {
  for (uint64_t seed = 1; seed <= kRounds; ++seed) {
    SeededRandom random(seed);
    const ServiceInput low = Any(&random);
    ServiceInput high = low;
    for (ForecastView& forecast : high.forecasts) {
      forecast.probability += Unit(&random) * (1 - forecast.probability) * (random.Below(2) == 0 ? 1 : 0);
    }
    FleetSettings settings;
    settings.spare_cost_per_s = Unit(&random) * 0.1;
    const Assessment a = Assess(low, kFleet, settings, kNow);
    const Assessment b = Assess(high, kFleet, settings, kNow);
    ASSERT_LE(a.memory.rung, b.memory.rung) << "seed " << seed;
    for (int r = 1; r < kRungs; ++r) ASSERT_LE(a.rungs[r].gain, b.rungs[r].gain + 1e-12) << "seed " << seed;
  }
}

TEST(PolicyPropertyTest, WithoutAWordNothingIsWantedThatWasNot) {
  for (uint64_t seed = 1; seed <= kRounds; ++seed) {
    SeededRandom random(seed);
    ServiceInput in = Any(&random);
    switch (random.Below(4)) {
      case 0:
        in.forecasts.clear();
        break;
      case 1:
        for (ForecastView& forecast : in.forecasts) forecast.known = false;
        break;
      case 2:
        for (ForecastView& forecast : in.forecasts) forecast.obeyed = false;
        break;
      default:
        in.age_ms = kFreshMs + static_cast<int64_t>(random.Below(1000));
    }
    const Assessment out = Assess(in, kFleet, {}, kNow);
    ASSERT_LE(out.memory.rung, in.memory.rung) << "seed " << seed;
    ASSERT_NE(out.memory.rung, Rung::kSwitch) << "seed " << seed;
    in.memory.rung = Rung::kNormal;
    ASSERT_EQ(Assess(in, kFleet, {}, kNow).memory.rung, Rung::kNormal) << "seed " << seed;
  }
}

TEST(PolicyPropertyTest, GarbageIsNoReasonToSwitchAndNoReasonToCrash) {
  const double values[] = {std::nan(""), std::numeric_limits<double>::infinity(), -1.0, 1e300, 0.0};
  for (uint64_t seed = 1; seed <= kRounds; ++seed) {
    SeededRandom random(seed);
    ServiceInput in = Any(&random);
    for (ForecastView& forecast : in.forecasts) {
      forecast.probability = std::nan("");
      forecast.ttf_p10_s = values[random.Below(5)];
      forecast.ttf_p50_s = values[random.Below(5)];
      forecast.ttf_p90_s = values[random.Below(5)];
    }
    in.memory = Memory();
    in.policy.checkpoint_at = 0.01;
    in.policy.reserve_at = 0.01;
    const Assessment out = Assess(in, kFleet, {}, kNow);
    ASSERT_EQ(out.memory.rung, Rung::kNormal) << "seed " << seed;
    for (int r = 1; r < kRungs; ++r) ASSERT_TRUE(std::isfinite(out.rungs[r].gain)) << "seed " << seed;
  }
}

FleetInput AnyFleet(SeededRandom* random) {
  FleetInput in;
  const auto count = 1 + random->Below(30);
  int holders = 0;
  for (uint64_t i = 0; i < count; ++i) {
    in.services.push_back(Any(random));
    in.services.back().name = "s" + std::to_string(i);
    in.services.back().spare_fixed = in.services.back().spare_mirrors;
    holders += in.services.back().has_spare ? 1 : 0;
  }
  in.spares_free = static_cast<int>(random->Below(8));
  in.spares = holders + in.spares_free;
  in.settings.brake_percent = 100;
  in.settings.reserve_spares = static_cast<int>(random->Below(3));
  in.now_ms = kNow;
  return in;
}

TEST(PolicyPropertyTest, TheReserveIsKeptAndSparesThatMirrorStay) {
  bool gave = false, preempted = false, ranked = false, reserved = false;
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SeededRandom random(seed);
    const FleetInput in = AnyFleet(&random);
    const FleetDecision out = Decide(in);
    int taken = 0;
    std::vector<int> victims;
    for (size_t i = 0; i < in.services.size(); ++i) {
      const ServiceDecision& one = out.services[i];
      taken += one.take_spare ? 1 : 0;
      if (one.preempts >= 0) victims.push_back(one.preempts);
      ASSERT_FALSE(one.take_spare && in.services[i].has_spare) << "seed " << seed;
      for (const Hold hold : one.permit.holds) {
        ranked |= hold == Hold::kRank;
        reserved |= hold == Hold::kReserve;
      }
    }
    gave |= taken > 0;
    preempted |= !victims.empty();
    ASSERT_LE(taken, std::max(0, in.spares_free - out.reserved)) << "seed " << seed;
    for (const int victim : victims) ASSERT_FALSE(in.services[victim].spare_mirrors) << "seed " << seed;
    std::sort(victims.begin(), victims.end());
    ASSERT_EQ(std::unique(victims.begin(), victims.end()), victims.end()) << "seed " << seed;
    // Whoever got nothing ranks behind all who got a free one.
    bool refused = false;
    for (const int i : out.ranking) {
      if (!out.services[i].take_spare) refused = true;
      ASSERT_FALSE(refused && out.services[i].take_spare) << "seed " << seed;
    }
  }
  EXPECT_TRUE(gave && preempted && ranked && reserved);
}

TEST(PolicyPropertyTest, BrakesHoldMovesForWhoeverAsks) {
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SeededRandom random(seed);
    FleetInput in = AnyFleet(&random);
    const auto which = random.Below(3);
    if (which == 0) in.settings.paused = true;
    if (which == 1) in.settings.dry_run = true;
    if (which == 2) in.settings.brake_percent = 1;
    const FleetDecision out = Decide(in);
    if (which == 2 && !out.braked) continue;
    for (size_t i = 0; i < in.services.size(); ++i) {
      const ServiceDecision& one = out.services[i];
      ASSERT_FALSE(one.take_spare || one.preempts >= 0 || one.permit.switch_over) << "seed " << seed;
      ASSERT_FALSE(which == 1 && (one.permit.checkpoint || one.permit.drive)) << "seed " << seed;
      ASSERT_FALSE(Explain(in.services[i], one.assessment, one.permit, kFleet, in.settings, kNow).empty());
    }
  }
}

TEST(PolicyTest, TheChanceToBeReadyFollowsFromTheTimeToFailure) {
  const ForecastView forecast = WithTtf(0.9, 10, 20, 40);
  EXPECT_DOUBLE_EQ(ChanceLater(forecast, 0), 1);
  EXPECT_DOUBLE_EQ(ChanceLater(forecast, 5), 0.95);
  EXPECT_DOUBLE_EQ(ChanceLater(forecast, 10), 0.9);
  EXPECT_DOUBLE_EQ(ChanceLater(forecast, 20), 0.5);
  EXPECT_NEAR(ChanceLater(forecast, 30), 0.3, 1e-12);
  EXPECT_NEAR(ChanceLater(forecast, 80), 0.05, 1e-12);
  EXPECT_DOUBLE_EQ(ChanceLater(Says(0.9, 60'000), 15), 0.75);  // without: any moment of the horizon
  EXPECT_DOUBLE_EQ(ShareDone(forecast, 0), 1);
  EXPECT_GT(ShareDone(forecast, 10), ShareDone(forecast, 30));
  EXPECT_NEAR(ShareDone(Says(0.9, 60'000), 120), 0.25,
              0.02);  // half of the work in the whole horizon, half of that on average
}

TEST(PolicyTest, AFailureThatCanWaitWaits) {
  // In an hour nearly surely, within a minute hardly: the next forecasts will know better, and the spare serves others.
  ServiceInput in = Of({Says(0.02, 60'000), Says(0.2, 600'000), Says(0.95, 3'600'000)});
  EXPECT_EQ(Assess(in, kFleet, {}, 0).memory.rung, Rung::kNormal);
  // But a spare that needs ten minutes to be ready begins now.
  in.ready = {600'000, 700'000, 700'100, true};
  in.policy.persist_ms = 0;
  EXPECT_GE(Assess(in, kFleet, {}, 0).memory.rung, Rung::kMirror);
}

TEST(PolicyTest, ASwitchThatCannotComeInTimeIsNotWanted) {
  ServiceInput in = Of({WithTtf(0.9, 1, 2, 3)});
  in.ready = {50'000, 60'000, 60'100, true};
  in.policy.persist_ms = 0;
  const Assessment late = Assess(in, kFleet, {}, 0);
  EXPECT_LT(late.memory.rung, Rung::kSwitch);
  EXPECT_GE(late.memory.rung, Rung::kCheckpoint) << "what shortens the recovery is still wanted";
  EXPECT_FALSE(late.feasible);
  in.has_spare = in.spare_mirrors = true;
  in.ready = {0, 0, 200, true};
  EXPECT_EQ(Assess(in, kFleet, {}, 0).memory.rung, Rung::kSwitch);
}

TEST(PolicyTest, CostsDecideWhereFloorsDoNot) {
  ServiceInput in = Of({Says(0.3)});
  in.policy.checkpoint_at = in.policy.reserve_at = in.policy.assign_at = in.policy.mirror_at = in.policy.switch_at = 0;
  in.policy.release_at = 0;
  in.policy.persist_ms = 0;
  EXPECT_EQ(Assess(in, kFleet, {}, 0).memory.rung, Rung::kSwitch) << "0.3 x 60 > 6";
  in.policy.planned_cost = 30;
  EXPECT_EQ(Assess(in, kFleet, {}, 0).memory.rung, Rung::kMirror) << "0.3 x 60 < 30";
  FleetSettings dear;
  dear.spare_cost_per_s = 10;
  EXPECT_EQ(Assess(in, {10, 1, 4, 0}, dear, 0).memory.rung, Rung::kCheckpoint) << "spares are all in use, and dear";
}

TEST(PolicyTest, ReadinessFollowsFromWhatWasMeasured) {
  SpareWork work;
  EXPECT_FALSE(EstimateReadiness(work).measured);
  work = {SpareState::kCold, 1000, 5000, 20'000, 10'000, 100'000, 40};
  const Readiness cold = EstimateReadiness(work);
  EXPECT_TRUE(cold.measured);
  EXPECT_EQ(cold.follow_ms, 6000);
  EXPECT_EQ(cold.mirror_ms, 6000 + (100'000 + 60'000) / 10 + 50);  // it writes on while the spare loads and replays
  EXPECT_EQ(cold.switch_ms, cold.mirror_ms + 40);
  work.state = SpareState::kWarm;
  EXPECT_EQ(EstimateReadiness(work).follow_ms, 5000);
  work.state = SpareState::kMirroring;
  EXPECT_EQ(EstimateReadiness(work).mirror_ms, 0);
  EXPECT_EQ(EstimateReadiness(work).switch_ms, 40);
  work = {SpareState::kReplaying, 0, 0, 1000, 5000, 1e30, 0};  // slower than the primary writes
  EXPECT_GT(EstimateReadiness(work).mirror_ms, 1'000'000'000);
}

TEST(PolicyTest, ARestartNeedsAForecastThatItCuresAGainAndTime) {
  ServiceInput in = Of({Says(0.9)});
  in.policy.restart = true;
  const auto allowed = [&](int64_t now_ms) {
    const Assessment out = Assess(in, kFleet, {}, now_ms);
    in.memory = out.memory;
    return AllowRestart(in, out, kFleet, {}, now_ms, 0);
  };
  EXPECT_EQ(allowed(0).holds, std::vector<Hold>{Hold::kNotCured});
  in.forecasts[0].restart_cures = true;
  EXPECT_EQ(allowed(100).holds, std::vector<Hold>{Hold::kPersist});
  EXPECT_FALSE(allowed(1099).restart);
  EXPECT_TRUE(allowed(1100).restart);
  in.spare_to_be_had = true;
  EXPECT_EQ(allowed(1200).holds, std::vector<Hold>{Hold::kSpare});
  in.spare_to_be_had = false;
  in.restart_cooldown_until_ms = 5000;
  EXPECT_EQ(allowed(1300).holds, std::vector<Hold>{Hold::kCooldown});
  EXPECT_TRUE(allowed(5000).restart);
  in.policy.restart = false;
  EXPECT_EQ(allowed(5100).holds, std::vector<Hold>{Hold::kRestartOff});
  in.policy.restart = true;
  in.policy.restart_cost = 55;
  EXPECT_EQ(allowed(5200).holds, std::vector<Hold>{Hold::kNoGain}) << "0.9 x 60 does not pay for it";
  in.policy.restart_cost = 20;
  in.checkpoint_ms = 50'000;  // of the minute in which it fails
  EXPECT_EQ(allowed(5300).holds, std::vector<Hold>{Hold::kNoGain});
  // A louder one that sees something else is not answered by a restart.
  in.checkpoint_ms = 100;
  in.forecasts = {Says(0.8), Says(0.95)};
  in.forecasts[0].restart_cures = true;
  EXPECT_EQ(allowed(5400).holds, std::vector<Hold>{Hold::kNotCured});
  in.forecasts = {Says(0.3)};
  in.forecasts[0].restart_cures = true;
  in.memory = Memory();
  EXPECT_TRUE(allowed(5500).holds.empty()) << "nobody would ask for one";
}

TEST(PolicyTest, ARejuvenationIsDueAfterItsTimeAndHeldByWhatAnOperatorWouldWaitFor) {
  RejuvenationInput in;
  FleetSettings settings;
  settings.reserve_percent = 0;
  const auto held = [&](int64_t unix_ms = kTuesday, FleetView fleet = kFleet) {
    return AllowRejuvenation(in, fleet, settings, unix_ms).holds;
  };
  in.fresh_unix_ms = kTuesday - 3'600'000;
  in.spare_fits = true;
  EXPECT_FALSE(AllowRejuvenation(in, kFleet, settings, kTuesday).due) << "nobody asked for it";
  in.rejuvenation.every_s = 3600;
  EXPECT_FALSE(AllowRejuvenation(in, kFleet, settings, kTuesday - 1).due);
  EXPECT_TRUE(AllowRejuvenation(in, kFleet, settings, kTuesday).prepare);
  EXPECT_FALSE(AllowRejuvenation(in, kFleet, settings, kTuesday).switch_over) << "its spare does not mirror";
  in.has_spare = in.spare_mirrors = true;
  EXPECT_TRUE(AllowRejuvenation(in, kFleet, settings, kTuesday).switch_over);
  in.has_spare = in.spare_mirrors = false;
  EXPECT_EQ(held(kTuesday, {10, 0, 4, 0}), std::vector<Hold>{Hold::kNoSpare});
  settings.reserve_spares = 2;
  EXPECT_EQ(held(), std::vector<Hold>{Hold::kReserve});
  settings.reserve_spares = 0;
  in.rejuvenation.appends_per_s_max = 10;
  EXPECT_EQ(held(), std::vector<Hold>{Hold::kLoad}) << "not known";
  in.append_known = true;
  in.append_per_s = 11;
  EXPECT_EQ(held(), std::vector<Hold>{Hold::kLoad});
  in.append_per_s = 9;
  EXPECT_TRUE(held().empty());
  in.others = 1;
  EXPECT_EQ(held(), std::vector<Hold>{Hold::kTurn});
  EXPECT_TRUE(held(kTuesday, {200, 0, 4, 2}).empty()) << "two of 200 at once";
  in.prepares = true;
  EXPECT_TRUE(held().empty()) << "it is the one";
  in.at_risk = in.cooling = settings.paused = settings.dry_run = true;
  EXPECT_EQ(held(), (std::vector<Hold>{Hold::kDryRun, Hold::kPaused, Hold::kAtRisk, Hold::kCooldown}));
}

TEST(PolicyTest, TheNextRejuvenationIsWhenItIsDueAndAllWindowsAreOpen) {
  RejuvenationInput in;
  in.fresh_unix_ms = kTuesday;
  in.rejuvenation = *ParseRejuvenation(R"({"every_s":86400,"windows":[{"kind":"allow","weekly":"sun 02:00-05:00"}]})");
  EXPECT_EQ(*ParseRejuvenation(EncodeRejuvenation(in.rejuvenation)), in.rejuvenation);
  const auto next = [&] { return NextRejuvenation(in, AllowRejuvenation(in, kFleet, {}, kTuesday), {}, kTuesday); };
  EXPECT_EQ(UtcText(next()), "2023-11-19T02:00:00Z");
  in.windows = ParseServicePolicy(R"({"windows":[{"kind":"forbid","from":"2023-11-19T00:00:00Z",)"
                                  R"("to":"2023-11-19T03:30:00Z"}]})")
                   ->windows;
  EXPECT_EQ(UtcText(next()), "2023-11-19T03:30:00Z");
  in.rejuvenation.windows[0] = {true, 0, 0, 0, kTuesday - 2000, kTuesday - 1000};  // over
  EXPECT_EQ(next(), -1);
  EXPECT_NE(ParseRejuvenation(R"({"every_s":3})").status().message().find("rejuvenation.every_s"), std::string::npos);
  EXPECT_NE(ParseRejuvenation(R"({"every_h":3})").status().message().find("rejuvenation.every_h"), std::string::npos);
}

TEST(PolicyTest, ShadowsAreNotObeyed) {
  ServiceInput in = Of({Says(0.99)});
  in.forecasts[0].shadow = true;
  in.forecasts[0].obeyed = false;
  EXPECT_EQ(Assess(in, kFleet, {}, 0).memory.rung, Rung::kNormal);
}

TEST(PolicyTest, WindowsAllowAndForbid) {
  const auto at = [](const char* windows, const char* when) {
    const auto settings = ParseFleetSettings(std::string(R"({"windows":)") + windows + "}", {});
    EXPECT_TRUE(settings.ok()) << settings.status().ToString();
    const auto once = ParseFleetSettings(
        std::string(R"({"windows":[{"kind":"allow","from":")") + when + R"(","to":"2999-01-01T00:00:00Z"}]})", {});
    EXPECT_TRUE(once.ok()) << once.status().ToString();
    return InsideWindows(settings->windows, once->windows.at(0).from_unix_ms);
  };
  const char* night = R"([{"kind":"allow","weekly":"mon-fri 22:00-04:00"}])";
  EXPECT_TRUE(at("[]", "2026-11-22T12:00:00Z"));
  EXPECT_FALSE(at(night, "2026-11-20T21:59:59Z"));  // a Friday
  EXPECT_TRUE(at(night, "2026-11-20T22:00:00Z"));
  EXPECT_TRUE(at(night, "2026-11-21T03:59:00Z"));  // the night of Friday still
  EXPECT_FALSE(at(night, "2026-11-21T22:30:00Z"));
  EXPECT_FALSE(at(night, "2026-11-23T03:00:00Z"));  // the night of Sunday
  const char* office = R"([{"kind":"forbid","weekly":"mon-fri 08:00-18:00"}])";
  EXPECT_TRUE(at(office, "2026-11-22T12:00:00Z"));
  EXPECT_FALSE(at(office, "2026-11-23T12:00:00Z"));
  const char* both =
      R"([{"kind":"allow","weekly":"sat-sun 00:00-24:00"},
          {"kind":"forbid","from":"2026-11-22T06:00:00Z","to":"2026-11-22T07:00:00Z"}])";
  EXPECT_TRUE(at(both, "2026-11-22T05:59:59Z"));
  EXPECT_FALSE(at(both, "2026-11-22T06:30:00Z"));
  EXPECT_FALSE(at(both, "2026-11-23T06:30:00Z"));
}

TEST(PolicyTest, SettingsSurviveEncodingAndErrorsNameTheField) {
  const auto settings = ParseFleetSettings(
      R"({"paused":true,"dry_run":true,"brake_percent":20,"reserve_spares":3,"spare_cost_per_s":0.5,
          "windows":[{"kind":"forbid","weekly":"sat-mon 10:00-11:30"},
                     {"kind":"allow","from":"2026-12-24T18:00:00Z","to":"2026-12-27T00:00:01Z"}]})",
      {});
  ASSERT_TRUE(settings.ok()) << settings.status().ToString();
  EXPECT_EQ(*ParseFleetSettings(EncodeFleetSettings(*settings), {}), *settings);
  EXPECT_EQ(settings->windows.at(0).days, 0b1100001);
  EXPECT_EQ(ParseFleetSettings(R"({"dry_run":false})", *settings)->brake_percent, 20) << "what is not given stays";
  ServicePolicy policy;
  policy.windows = settings->windows;
  policy.mirror_at = 0.6;
  policy.horizon_ms = 5000;
  EXPECT_EQ(*ParseServicePolicy(EncodeServicePolicy(policy)), policy);
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"assign_at":2})", "'policy.assign_at'"},
      {R"({"mirror_at":0.9})", "'policy.mirror_at'"},
      {R"({"checkpoint_at":0.6})", "'policy.checkpoint_at'"},
      {R"({"unplanned_cost":-1})", "'policy.unplanned_cost'"},
      {R"({"horizon_ms":1})", "'policy.horizon_ms'"},
      {R"({"windows":[{"kind":"x"}]})", "'policy.windows[0].kind'"},
      {R"({"windows":[{"kind":"allow"}]})", "'policy.windows[0]'"},
      {R"({"windows":[{"kind":"allow","weekly":"mon 25:00-26:00"}]})", "'policy.windows[0].weekly'"},
      {R"({"windows":[{"kind":"allow","weekly":"mun 20:00-21:00"}]})", "'policy.windows[0].weekly'"},
      {R"({"windows":[{"kind":"allow","from":"2026-02-30T00:00:00Z","to":"2026-03-30T00:00:00Z"}]})", ".from'"},
      {R"({"windows":[{"kind":"allow","from":"2026-02-03T00:00:00Z","to":"2026-02-03T00:00:00Z"}]})", ".to'"},
      {R"({"surprise":1})", "'policy.surprise'"},
      {"{", "not JSON"},
  };
  for (const auto& [text, part] : wrong) {
    const auto parsed = ParseServicePolicy(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.status().message().find(part), std::string::npos) << parsed.status().message();
  }
}

}  // namespace
}  // namespace understudy::policy

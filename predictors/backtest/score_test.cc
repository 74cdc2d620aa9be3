#include "predictors/backtest/score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace understudy::backtest {
namespace {

using trace::Event;

AlarmWatch Watch(AlarmRule rule, const std::vector<std::pair<double, std::optional<double>>>& words, double end) {
  AlarmWatch watch(rule);
  for (const auto& [time, probability] : words) watch.Forecast(time, probability, "why");
  watch.Finish(end);
  return watch;
}

TEST(AlarmWatchTest, OpensAfterPersistingAndClosesAfterDwelling) {
  const AlarmWatch watch =
      Watch({}, {{0, 0.1}, {10, 0.7}, {10.5, 0.9}, {11, 0.8}, {20, 0.3}, {21, 0.19}, {25, 0.1}, {40, 0.1}}, 50);
  ASSERT_EQ(watch.alarms().size(), 1u);
  EXPECT_EQ(watch.alarms()[0].opened_s, 11);  // 0.7 at 10, held for a second
  EXPECT_EQ(watch.alarms()[0].closed_s, 31);  // below 0.2 from 21 on, for ten seconds
  EXPECT_EQ(watch.alarms()[0].probability, 0.7);
  EXPECT_EQ(watch.alarms()[0].reason, "why");
}

TEST(AlarmWatchTest, ADipBeforePersistingStartsOver) {
  EXPECT_TRUE(Watch({}, {{0, 0.9}, {0.9, 0.6}, {1.8, 0.9}, {2.7, 0.1}}, 3).alarms().empty());
  EXPECT_TRUE(Watch({}, {{0, 0.9}, {0.9, std::nullopt}, {1.8, 0.9}}, 2).alarms().empty());
  // A new word at the very moment the time is up counts.
  EXPECT_TRUE(Watch({}, {{0, 0.9}, {1, 0.6}}, 5).alarms().empty());
}

TEST(AlarmWatchTest, AForecastHoldsUntilTheNextOne) {
  const AlarmWatch watch = Watch({}, {{0, 0.9}, {60, 0.1}, {120, 0.1}}, 120);
  ASSERT_EQ(watch.alarms().size(), 1u);
  EXPECT_EQ(watch.alarms()[0].opened_s, 1);
  EXPECT_EQ(watch.alarms()[0].closed_s, 70);
}

TEST(AlarmWatchTest, BetweenTheThresholdsAnAlarmStaysOpen) {
  const AlarmWatch watch = Watch({}, {{0, 0.9}, {10, 0.3}, {100, 0.9}, {200, 0.3}}, 1000);
  ASSERT_EQ(watch.alarms().size(), 1u);
  EXPECT_TRUE(std::isinf(watch.alarms()[0].closed_s));
}

TEST(AlarmWatchTest, UnknownClosesAndARestartClosesAtOnce) {
  EXPECT_EQ(Watch({}, {{0, 0.9}, {5, std::nullopt}}, 30).alarms()[0].closed_s, 15);
  AlarmWatch watch({});
  watch.Forecast(0, 0.9, "");
  watch.Restart(5);
  watch.Finish(100);
  ASSERT_EQ(watch.alarms().size(), 1u);
  EXPECT_EQ(watch.alarms()[0].closed_s, 5);
}

trace::Trace Shape(double end, std::vector<Event> events) {
  trace::Trace trace;
  trace.time_s = {0, end};
  trace.events = std::move(events);
  return trace;
}

std::vector<Alarm> Opened(std::vector<double> times) {
  std::vector<Alarm> alarms(times.size());
  for (size_t i = 0; i < times.size(); ++i) alarms[i].opened_s = times[i];
  return alarms;
}

TEST(TruthTest, AlarmsAreJudgedByTheWindow) {
  const Truth truth(Shape(86400, {{1000, 1500, Event::kFailure, ""}, {50000, 50000, Event::kDegradation, ""}}), 100,
                    false);
  std::vector<Alarm> alarms = Opened({899, 900, 950, 1000, 1001, 1500, 1501, 50100, 50101});
  Score score;
  truth.JudgeAlarms(&alarms, 60, &score);
  std::vector<Verdict> verdicts;
  for (const Alarm& alarm : alarms) verdicts.push_back(alarm.verdict);
  EXPECT_THAT(verdicts,
              testing::ElementsAre(Verdict::kFalse, Verdict::kTrue, Verdict::kTrue, Verdict::kTrue, Verdict::kInEvent,
                                   Verdict::kInEvent, Verdict::kFalse, Verdict::kInEvent, Verdict::kFalse));
  EXPECT_EQ(score.events, 2);
  EXPECT_EQ(score.events_forecast, 1);
  EXPECT_EQ(score.events_in_time, 1);
  EXPECT_THAT(score.leads_s, testing::ElementsAre(100));  // the earliest of its alarms
  EXPECT_EQ(score.alarms_true, 3);
  EXPECT_EQ(score.alarms_false, 3);
  EXPECT_DOUBLE_EQ(score.Precision(), 0.5);
  EXPECT_DOUBLE_EQ(score.Recall(), 0.5);
  EXPECT_DOUBLE_EQ(score.days, 1);
  EXPECT_DOUBLE_EQ(score.quiet_days, (86400.0 - 500 - 100) / 86400);
  EXPECT_DOUBLE_EQ(score.FalseAlarmsPerNodeDay(), 3 / score.quiet_days);
  // 10 a failure nobody was ready for, 1 an alarm.
  EXPECT_EQ(score.Cost({}), 10 + 9);
  EXPECT_EQ(score.CostOfNeverPredicting({}), 20);
}

TEST(TruthTest, OnlyFailuresAreToBeForecastIfAsked) {
  const Truth truth(Shape(86400, {{1000, 1500, Event::kDegradation, ""}}), 100, true);
  std::vector<Alarm> alarms = Opened({950, 1200});
  Score score;
  truth.JudgeAlarms(&alarms, 1, &score);
  EXPECT_EQ(alarms[0].verdict, Verdict::kFalse);
  EXPECT_EQ(alarms[1].verdict, Verdict::kInEvent);
  EXPECT_EQ(score.events, 0);
  EXPECT_TRUE(std::isnan(score.Recall()));
}

TEST(TruthTest, ARestartBetweenAlarmAndEventTakesTheCreditAway) {
  const Truth truth(Shape(1000, {{450, 450, Event::kRestart, ""}, {500, 500, Event::kFailure, ""}}), 100, false);
  std::vector<Alarm> alarms = Opened({420, 460});
  Score score;
  truth.JudgeAlarms(&alarms, 1, &score);
  EXPECT_EQ(alarms[0].verdict, Verdict::kFalse);
  EXPECT_EQ(alarms[1].verdict, Verdict::kTrue);
}

TEST(TruthTest, OutcomesOfForecasts) {
  using Outcome = Truth::Outcome;
  Truth truth(Shape(1000, {{300, 320, Event::kFailure, ""}, {600, 600, Event::kRestart, ""}}), 50, false);
  EXPECT_EQ(truth.Judge(0, 100), Outcome::kDidNot);
  EXPECT_EQ(truth.Judge(199, 100), Outcome::kDidNot);
  EXPECT_EQ(truth.Judge(200, 100), Outcome::kHappened);
  EXPECT_EQ(truth.NextEventIn(200), 100);
  EXPECT_EQ(truth.Judge(299, 100), Outcome::kHappened);
  EXPECT_EQ(truth.Judge(300, 100), Outcome::kUnknown);  // it is happening
  EXPECT_EQ(truth.Judge(320, 100), Outcome::kUnknown);
  EXPECT_EQ(truth.Judge(321, 100), Outcome::kDidNot);
  EXPECT_EQ(truth.NextEventIn(321), -1);
  EXPECT_EQ(truth.Judge(550, 100), Outcome::kUnknown);  // the restart: nobody knows what would have been
  EXPECT_EQ(truth.Judge(900, 100), Outcome::kDidNot);
  EXPECT_EQ(truth.Judge(901, 100), Outcome::kUnknown);  // the trace ends first
}

TEST(ScoreTest, CalibrationAndTimeToFailure) {
  Score score;
  for (int i = 0; i < 8; ++i) score.AddOutcome(0.85, i < 6);
  score.AddOutcome(1.0, true);
  score.AddOutcome(0.0, false);
  // Bins: 8 forecasts that say 0.85 and happen at 0.75; two that are right.
  EXPECT_NEAR(score.Ece(), 0.8 * 0.10, 1e-12);
  EXPECT_NEAR(score.Brier(), (6 * 0.15 * 0.15 + 2 * 0.85 * 0.85) / 10, 1e-12);
  score.ttf_errors_s = {10, 30, 20};
  score.ttf_relative = {0.1F, 0.5F, 0.2F};
  score.ttf_covered = 2;
  EXPECT_DOUBLE_EQ(score.TtfErrorS(), 20);
  EXPECT_NEAR(score.TtfRelative(), 0.2, 1e-6);
  EXPECT_NEAR(score.TtfCoverage(), 2.0 / 3, 1e-12);
  Score sum;
  sum.Add(score);
  sum.Add(score);
  EXPECT_EQ(sum.scored(), 20);
  EXPECT_NEAR(sum.Ece(), score.Ece(), 1e-12);
}

}  // namespace
}  // namespace understudy::backtest

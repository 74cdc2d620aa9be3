#include "predictors/policy/fleet_simulation.h"

#include <gtest/gtest.h>

namespace understudy::policy {
namespace {

FleetOptions Small() {
  FleetOptions options;
  options.primaries = 400;
  options.spares = 12;
  options.days = 2;
  return options;
}

TEST(FleetSimulationTest, IsTheSameForTheSameSeed) {
  const FleetOptions options = Small();
  const FleetOutcome a = SimulateFleet(options, FleetPolicy::kUnderstudy);
  const FleetOutcome b = SimulateFleet(options, FleetPolicy::kUnderstudy);
  EXPECT_EQ(a.moves, b.moves);
  EXPECT_EQ(a.failures, b.failures);
  EXPECT_EQ(a.downtime_s, b.downtime_s);
  FleetOptions other = options;
  other.seed = 2;
  EXPECT_NE(SimulateFleet(other, FleetPolicy::kUnderstudy).downtime_s, a.downtime_s);
}

TEST(FleetSimulationTest, PoliciesMeetTheSameFaultsAndMovesPreventFailures) {
  const FleetOptions options = Small();
  const FleetOutcome none = SimulateFleet(options, FleetPolicy::kNone);
  const FleetOutcome threshold = SimulateFleet(options, FleetPolicy::kThreshold90);
  const FleetOutcome ours = SimulateFleet(options, FleetPolicy::kUnderstudy);
  EXPECT_EQ(none.moves, 0);
  EXPECT_LE(none.failures, none.faults);
  EXPECT_GE(none.failures, none.faults * 8 / 10) << "all but those that still grow at the end";
  EXPECT_GT(none.faults, 20);
  // Faults that would have begun on a primary that is down, or has one already, are not had.
  EXPECT_NEAR(static_cast<double>(ours.faults), static_cast<double>(none.faults),
              0.15 * static_cast<double>(none.faults));
  for (const FleetOutcome& one : {threshold, ours}) {
    EXPECT_LT(one.failures, none.failures);
    EXPECT_LT(one.downtime_s, none.downtime_s);
    EXPECT_GT(one.moves, one.false_moves);
  }
  EXPECT_LT(ours.missed, none.missed);
}

TEST(FleetSimulationTest, TheBrakeHoldsAPredictorThatFlagsTheWholeFleet) {
  FleetOptions options = Small();
  options.faults.gradual_every_days = options.faults.sudden_every_days = options.faults.common_every_days = 0;
  options.faults.false_alarms_per_day = options.faults.peaks_per_day = 0;
  options.faults.scare_every_days = 0.2;
  const FleetOutcome braked = SimulateFleet(options, FleetPolicy::kUnderstudy);
  EXPECT_GT(braked.braked_s, 600);
  EXPECT_EQ(braked.moves, 0);
  options.settings.brake_percent = 100;
  const FleetOutcome unbraked = SimulateFleet(options, FleetPolicy::kUnderstudy);
  EXPECT_GT(unbraked.false_moves, 10);
}

TEST(FleetSimulationTest, WithoutSparesNothingIsMoved) {
  FleetOptions options = Small();
  options.spares = 0;
  const FleetOutcome ours = SimulateFleet(options, FleetPolicy::kUnderstudy);
  EXPECT_GT(ours.without_spare, 0);
  EXPECT_EQ(ours.moves, 0);
}

TEST(FleetSimulationTest, FilesNameTheWrongField) {
  FleetOptions options;
  EXPECT_TRUE(
      ReadFleetFile(R"({"policy":{"switch_at":0.9},"settings":{"reserve_spares":5},"faults":{"recall":0.5}})", &options)
          .ok());
  EXPECT_EQ(options.policy.switch_at, 0.9);
  EXPECT_EQ(options.settings.reserve_spares, 5);
  EXPECT_EQ(options.faults.recall, 0.5);
  for (const auto& [text, part] : {std::pair{"[]", "object"}, std::pair{R"({"polcy":{}})", "'polcy'"},
                                   std::pair{R"({"policy":{"switch_at":3}})", "'policy.switch_at'"},
                                   std::pair{R"({"faults":{"recal":1}})", "'faults.recal'"},
                                   std::pair{R"({"faults":{"recall":"x"}})", "'faults.recall'"},
                                   std::pair{R"({"settings":{"reserve_spares":-1}})", "'settings.reserve_spares'"}}) {
    const Status status = ReadFleetFile(text, &options);
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace understudy::policy

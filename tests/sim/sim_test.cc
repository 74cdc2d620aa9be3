// The simulator itself: runs repeat, plans are text, shrinking shrinks, liveness checkers fire, time and nodes behave.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/sim/hunt.h"
#include "tests/sim/plan.h"
#include "tests/sim/run.h"
#include "tests/sim/shrink.h"
#include "tests/sim/stage.h"

namespace understudy::sim {
namespace {

std::string TraceOf(const Plan& plan) {
  std::string all;
  Coverage coverage;
  sim::Run(plan, &coverage, [&](const std::string& line) { all += line + "\n"; });
  return all;
}

TEST(Run, TheSamePlanGivesTheSameRunMessageByMessage) {
  for (const uint64_t seed : {1u, 2u, 3u}) {
    const std::string first = TraceOf(MakePlan(seed));
    EXPECT_GT(first.size(), 10'000u);
    EXPECT_EQ(first, TraceOf(MakePlan(seed)));
  }
}

TEST(Run, WatchingChangesNothing) {
  Coverage coverage;
  const RunResult unseen = sim::Run(MakePlan(5), &coverage);
  const RunResult seen = sim::Run(MakePlan(5), &coverage, [](const std::string&) {});
  EXPECT_EQ(unseen.steps, seen.steps);
  EXPECT_EQ(unseen.acked, seen.acked);
}

TEST(Plan, TextSaysEverything) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const Plan plan = MakePlan(seed);
    const Result<Plan> read = PlanFromText(ToText(plan));
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(ToText(*read), ToText(plan));
    EXPECT_EQ(read->events, plan.events);
  }
}

TEST(Plan, TextThatIsNoPlanIsRefusedByName) {
  const auto refused = [](const std::string& text) { return PlanFromText(text).status().message(); };
  EXPECT_EQ(refused("at 1ms explode disk=1"), "no action is called explode");
  EXPECT_EQ(refused("at 1ms wipe node=1"), "wipe has no node");
  EXPECT_EQ(refused("at 1 wipe disk=1"), "a time ends in ms: 1");
  EXPECT_EQ(refused("set colour=3"), "nothing is called colour");
  EXPECT_EQ(refused("set quorum=x"), "not a name=number: quorum=x");
  EXPECT_EQ(refused("hello"), "a line begins with seed, set or at, not hello");
  EXPECT_EQ(refused("set replicas=2 quorum=3"), "a cluster of that size cannot be");
}

TEST(Shrink, LeavesWhatTheFailureNeeds) {
  Plan plan = MakePlan(3);
  plan.events.clear();
  for (int i = 0; i < 40; ++i) plan.events.push_back({i * 1000, i % 10 == 3 ? Action::kWipe : Action::kJump, {i}});
  // Fails as long as two wipes are left.
  const Shrunk shrunk = Shrink(plan, [](const Plan& candidate) {
    return std::count_if(candidate.events.begin(), candidate.events.end(),
                         [](const Event& event) { return event.action == Action::kWipe; }) >= 2;
  });
  ASSERT_EQ(shrunk.plan.events.size(), 2u);
  EXPECT_EQ(shrunk.plan.events[0].action, Action::kWipe);
  EXPECT_EQ(shrunk.plan.events[1].action, Action::kWipe);
  EXPECT_EQ(shrunk.plan.network.drop_permille, 0);
  EXPECT_LT(shrunk.runs, 400);
}

// Faults that do not stop when they should.
TEST(Checkers, LivenessIsSeenToFail) {
  Plan plan;
  plan.seed = 1;
  plan.run_us = 120'000;
  plan.programs = 2;
  plan.disks = 3;
  plan.events = {{0, Action::kRecover, {0}}, {60'000, Action::kKill, {0}}, {61'000, Action::kTakeOver, {1}}};
  Coverage coverage;
  EXPECT_FALSE(sim::Run(plan, &coverage).finding.has_value());
  const auto broken = [&](const std::function<void(Stage&)>& sabotage) {
    Stage stage(plan, &coverage);
    sabotage(stage);
    stage.Play();
    stage.Settle();
    return stage.oracle().finding().has_value() ? std::string(RuleName(stage.oracle().finding()->rule)) : "";
  };
  const auto cut_disks = [](Stage& stage) {
    for (NodeId disk = 1; disk <= 3; ++disk) {
      for (NodeId other = 4; other < stage.world().nodes(); ++other) stage.world().Cut(other, disk, true);
    }
  };
  EXPECT_EQ(
      broken([&](Stage& stage) { stage.world().After(59 * kNsPerMs, [&stage, cut_disks] { cut_disks(stage); }); }),
      "live-takeover");
  EXPECT_EQ(broken([&](Stage& stage) {
              // The writer stops, and whoever is to take over; nobody is under way.
              stage.world().After(115 * kNsPerMs, [&stage] {
                for (NodeId program = 4; program < 6; ++program) stage.world().Freeze(program, true);
              });
            }),
            "live-writes");
  EXPECT_EQ(broken([&](Stage& stage) {
              for (NodeId disk = 1; disk <= 3; ++disk) stage.world().Cut(6, disk, true);  // the reader of the end
            }),
            "live-readers");
  EXPECT_EQ(broken([&](Stage& stage) {
              // A disk that was away misses the first epoch, and never hears of repair.
              for (NodeId other = 4; other < 6; ++other) stage.world().Cut(other, 3, true);
              for (NodeId other = 0; other < 3; ++other) stage.world().Cut(3, other, true);
            }),
            "live-repair");
}

TEST(World, FrozenNodesMissNothingAndWakeUpLate) {
  World world(1, {});
  const NodeId node = world.AddNode("n");
  std::vector<int64_t> at;
  world.AfterOn(node, 5 * kNsPerMs, [&] { at.push_back(world.now().ns()); });
  world.Freeze(node, true);
  const Instant began = world.now();
  world.After(20 * kNsPerMs, [&] { world.Freeze(node, false); });
  world.RunUntil(began + kNsPerSecond);
  ASSERT_EQ(at.size(), 1u);
  EXPECT_EQ(at[0], began.ns() + 20 * kNsPerMs);
}

TEST(World, ClocksDriftAndJumpAndTimersFollow) {
  World world(1, {});
  const NodeId node = world.AddNode("n");
  const Instant began = world.now();
  const Instant local = world.Local(node);
  int ticks = 0;
  Timer timer(&world, node, [&] { ++ticks; });
  timer.Set(local + 100 * kNsPerMs);
  world.RunUntil(began + 50 * kNsPerMs);
  EXPECT_EQ(ticks, 0);
  world.JumpClock(node, 60 * kNsPerMs);
  world.RunUntil(began + 51 * kNsPerMs);
  EXPECT_EQ(ticks, 1);
  world.SetDrift(node, 10'000);  // one percent fast
  const Instant before = world.Local(node);
  world.RunUntil(world.now() + kNsPerSecond);
  EXPECT_NEAR(static_cast<double>(world.Local(node) - before), 1.01e9, 1e5);
}

TEST(World, CutLinksLoseMessagesOneWay) {
  World world(1, {});
  const NodeId a = world.AddNode("a"), b = world.AddNode("b");
  world.Cut(a, b, true);
  int there = 0, back = 0;
  const auto text = [] { return std::string("m"); };
  world.Send(
      a, b, [&] { ++there; }, text);
  world.Send(
      b, a, [&] { ++back; }, text);
  world.RunUntil(world.now() + kNsPerSecond);
  EXPECT_EQ(there, 0);
  EXPECT_EQ(back, 1);
}

TEST(Hunt, CountsWhatItDid) {
  HuntOptions options;
  options.seconds = 0;
  options.seeds_max = 40;
  options.jobs = 2;
  const HuntResult result = Hunt(options, nullptr);
  EXPECT_EQ(result.seeds, 40u);
  EXPECT_TRUE(result.findings.empty()) << "seed " << result.findings[0].seed << ": " << result.findings[0].finding.text;
  EXPECT_GT(result.acked, 1000u);
  EXPECT_GT(result.coverage.states(), 1000u);
  EXPECT_GT(result.coverage.kinds_reached(), Coverage::kinds() / 2);
}

}  // namespace
}  // namespace understudy::sim

// The fleet's own rules fire: each is shown a coordinator with a bug that it must catch, in a plan in which nothing is
// broken without that bug.
#include "tests/sim/fleet.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "server/coordinator/core/core.h"

namespace understudy::sim {
namespace {

using coordinator::Core;
using coordinator::Effects;
using coordinator::SendCommand;

std::string Broken(const std::string& text, const FleetMutant& mutant) {
  const Result<FleetPlan> plan = FleetPlanFromText(text);
  if (!plan.ok()) return plan.status().ToString();
  Coverage coverage;
  const FleetResult result = RunFleet(*plan, &coverage, nullptr, mutant);
  return result.run.finding.has_value() ? RuleName(result.run.finding->rule) : "";
}

// What is sent, one by one.
FleetMutant Sends(std::function<void(const Core&, SendCommand*)> change) {
  FleetMutant mutant;
  mutant.decides = [change](const Core& core, Effects* effects) {
    for (SendCommand& send : effects->commands) change(core, &send);
  };
  return mutant;
}

FleetMutant Withholds(std::function<bool(const Command&)> which) {
  FleetMutant mutant;
  mutant.decides = [which](const Core&, Effects* effects) {
    std::erase_if(effects->commands, [&](const SendCommand& send) { return which(send.command); });
  };
  return mutant;
}

std::string Another(const Core& core, const std::string& node) {
  for (const auto& [name, state] : core.nodes()) {
    if (name != node) return name;
  }
  return "";
}

// One action at one place after the other, at `at_ms`.
std::string All(int places, int at_ms, const std::string& action, int for_ms) {
  std::string events;
  for (int i = 0; i < places; ++i) {
    events += "at us=" + std::to_string(at_ms * 1000 + i) + " " + action + " which=" + std::to_string(i) +
              " for_us=" + std::to_string(for_ms * 1000) + " value=0\n";
  }
  return events;
}

// Two services that are mirrored, on four nodes, and what happens to them.
std::string Fleet(const std::string& events) {
  return "fleet seed=1 operators=1 labels=1 services=2 nodes=4 disks=3 run_us=1500000 standby=1\n" + events;
}

class FleetRules : public ::testing::Test {
 protected:
  // Nothing is broken without the bug, and the rule catches it.
  void Caught(const std::string& rule, const std::string& events, const FleetMutant& mutant) {
    EXPECT_EQ(Broken(Fleet(events), {}), "");
    EXPECT_EQ(Broken(Fleet(events), mutant), rule);
  }
  const std::string killed_ = All(4, 100, "kill", 0);
  const std::string forecasts_ = [] {
    std::string events;
    for (int at_ms = 200; at_ms < 1400; at_ms += 30) {
      events += "at us=" + std::to_string(at_ms) + "000 forecast which=0 for_us=0 value=99\n";
    }
    return events;
  }();
  const std::string switched_ = "at us=100000 switchover which=0 for_us=0 value=0\n";
};

TEST_F(FleetRules, OneMoveATakeoverIsToldToTwo) {
  FleetMutant mutant;
  mutant.decides = [](const Core& core, Effects* effects) {
    std::vector<SendCommand> more;
    for (const SendCommand& send : effects->commands) {
      if (send.command.kind == CommandKind::kTakeOver) more.push_back({Another(core, send.node), send.command});
    }
    effects->commands.insert(effects->commands.end(), more.begin(), more.end());
  };
  Caught("one-move", killed_, mutant);
}

TEST_F(FleetRules, OneMoveAnotherTargetWithoutAWordOfTheFirst) {
  FleetMutant mutant;
  mutant.decides = [](const Core&, Effects* effects) {
    std::erase_if(effects->events, [](const coordinator::Event& event) { return event.kind == "target_failed"; });
  };
  // The targets, which wait for the disks, are lost.
  Caught("one-move", All(3, 90, "disk-hang", 900) + killed_ + All(2, 400, "power-off", 900), mutant);
}

TEST_F(FleetRules, OneMoveWhoDoesNotTakeOverPrepares) {
  Caught("one-move", switched_, Sends([](const Core& core, SendCommand* send) {
           if (send->command.kind == CommandKind::kPrepare) send->node = Another(core, send->node);
         }));
}

TEST_F(FleetRules, OneMoveWhoIsNotThePrimaryHandsOver) {
  Caught("one-move", switched_, Sends([](const Core& core, SendCommand* send) {
           if (send->command.kind == CommandKind::kHandover) send->node = Another(core, send->node);
         }));
}

TEST_F(FleetRules, PausedKeptAForecastIsObeyed) {
  const std::string events = "at us=50000 pause which=0 for_us=0 value=0\n" + forecasts_;
  FleetMutant mutant;
  mutant.hears = [](coordinator::Input* input) {
    auto* request = std::get_if<coordinator::OperatorRequest>(&input->what);
    if (request != nullptr) request->paused = false;
  };
  Caught("paused-kept", events, mutant);
}

TEST_F(FleetRules, SettingsKeptADryRunIsNone) {
  FleetMutant mutant;
  mutant.hears = [](coordinator::Input* input) {
    auto* request = std::get_if<coordinator::OperatorRequest>(&input->what);
    if (request != nullptr) request->document = R"({"request":"settings","settings":{}})";
  };
  Caught("settings-kept", "at us=50000 settings which=0 for_us=0 value=0\n" + forecasts_, mutant);
}

TEST_F(FleetRules, SettingsKeptTheBrakeHoldsNothing) {
  FleetMutant mutant;
  mutant.decides = [](const Core& core, Effects* effects) {
    if (!core.braked()) return;
    effects->events.push_back({"switch_started", "s1", "n1", "forecast: it said so", {}});
  };
  // Both of two services at risk, and the brake from two on.
  Caught("settings-kept", "at us=50000 settings which=0 for_us=0 value=80\n" + All(1, 300, "common-cause", 0), mutant);
}

TEST_F(FleetRules, LabelsKeptAnyNodeWillDo) {
  FleetMutant mutant;
  mutant.decides = [](const Core&, Effects* effects) {
    for (coordinator::Event& event : effects->events) {
      if (event.kind == "target_chosen" && event.service == "x1") event.node = "n2";
    }
  };
  Caught("labels-kept", "at us=100000 apply which=2 for_us=0 value=130\n", mutant);
}

TEST_F(FleetRules, RestartSavedTheCheckpointIsNotWaitedFor) {
  auto asked = std::make_shared<std::map<std::string, int64_t>>();
  FleetMutant mutant;
  mutant.decides = [asked](const Core&, Effects* effects) {
    std::erase_if(effects->commands, [&](const SendCommand& send) {
      if (send.command.kind != CommandKind::kCheckpoint) return false;
      (*asked)[send.node] = send.command.id;
      return true;
    });
  };
  mutant.hears = [asked](coordinator::Input* input) {
    auto* reported = std::get_if<coordinator::NodeReported>(&input->what);
    if (reported == nullptr || !asked->contains(reported->report.node)) return;
    reported->report.done.push_back({(*asked)[reported->report.node], StatusCode::kOk, ""});
  };
  const std::string no_spare = "fleet seed=1 services=2 nodes=2 disks=3 run_us=1500000 restarts=1\n" + forecasts_;
  EXPECT_EQ(Broken(no_spare, {}), "");
  EXPECT_EQ(Broken(no_spare, mutant), "restart-saved");
}

TEST_F(FleetRules, HealthyKeptAPrimaryIsStopped) {
  Caught("healthy-kept", switched_, Sends([](const Core& core, SendCommand* send) {
           if (send->command.kind == CommandKind::kStopApp) send->node = core.services().at("s1").owner;
         }));
}

TEST_F(FleetRules, RemovedStoppedItRunsOn) {
  Caught("removed-stopped", "at us=100000 remove which=0 for_us=0 value=0\n",
         Withholds([](const Command& command) { return command.kind == CommandKind::kStopApp; }));
}

TEST_F(FleetRules, LiveServedNobodyTakesOver) {
  Caught("live-served", killed_, Withholds([](const Command& command) {
           return command.kind == CommandKind::kTakeOver && command.epoch > Epoch(0);
         }));
}

}  // namespace
}  // namespace understudy::sim

// Drawing a plan from a seed. Swarm testing (Groce et al., ISSTA 2012): each run draws which kinds of faults there are
// and how often, so that some runs are full of one kind and free of the rest.
#include <algorithm>

#include "tests/sim/plan.h"

namespace understudy::sim {
namespace {

struct Kind {
  Action action;
  int weight;       // when it is on
  int on_permille;  // in how many runs it is
};

constexpr Kind kKinds[] = {
    {Action::kCut, 6, 500},       {Action::kIsolate, 5, 500},      {Action::kFreeze, 5, 400},
    {Action::kJump, 2, 250},      {Action::kCrash, 10, 600},       {Action::kFsyncError, 3, 250},
    {Action::kFull, 3, 250},      {Action::kSlow, 3, 300},         {Action::kHang, 3, 300},
    {Action::kFlip, 2, 250},      {Action::kWipe, 2, 300},         {Action::kCopy, 4, 300},
    {Action::kRollBack, 3, 300},  {Action::kCasReplyLost, 4, 350}, {Action::kCasLate, 5, 350},
    {Action::kOutage, 2, 250},    {Action::kKill, 5, 600},         {Action::kTakeOver, 5, 500},
    {Action::kRecover, 16, 1000}, {Action::kHandOver, 7, 500},     {Action::kChangeReplicas, 7, 500},
    {Action::kFollow, 6, 700},    {Action::kMirror, 5, 500},       {Action::kCheckpoint, 6, 500},
    {Action::kDrain, 2, 250},     {Action::kBurst, 3, 300},        {Action::kQuiet, 2, 300},
};

int64_t Window(Stream* draw) { return draw->Between(1, draw->Chance(250) ? 150'000 : 40'000); }

Event Draw(const Plan& plan, Action action, int64_t at_us, Stream* draw) {
  Event event{at_us, action, {}};
  const int nodes = 1 + plan.disks + plan.logs * plan.programs;
  const auto below = [&](int n) { return static_cast<int64_t>(draw->Below(static_cast<uint64_t>(n))); };
  const int64_t program = below(plan.logs * plan.programs);
  switch (action) {
    case Action::kCut:
      event.args = {below(nodes), below(nodes), Window(draw)};
      break;
    case Action::kIsolate:
    case Action::kFreeze:
      event.args = {1 + below(nodes - 1), Window(draw)};
      break;
    case Action::kJump:
      event.args = {1 + below(nodes - 1), draw->Between(1000, 300'000)};
      break;
    case Action::kCrash:
      event.args = {below(plan.disks), below(5), below(2), below(4), draw->Between(1000, 60'000)};
      break;
    case Action::kFsyncError:
    case Action::kWipe:
    case Action::kRollBack:
      event.args = {below(plan.disks), draw->Between(1000, 40'000)};
      break;
    case Action::kFull:
    case Action::kHang:
    case Action::kDrain:
      event.args = {below(plan.disks), Window(draw)};
      break;
    case Action::kSlow:
      event.args = {below(plan.disks), draw->Between(5, 40), Window(draw)};
      break;
    case Action::kFlip:
      event.args = {below(plan.disks), below(1000)};
      break;
    case Action::kCopy:
      event.args = {below(plan.disks)};
      break;
    case Action::kCasReplyLost:
    case Action::kCheckpoint:
      event.args = {below(plan.logs)};
      break;
    case Action::kCasLate:
      event.args = {below(plan.logs), draw->Between(1000, draw->Chance(500) ? 15'000 : 120'000)};
      break;
    case Action::kOutage:
      event.args = {1 + below(2), Window(draw)};
      break;
    case Action::kHandOver:
      event.args = {program, below(plan.programs), draw->Between(5'000, 100'000), draw->Between(0, 60'000)};
      break;
    case Action::kChangeReplicas:
      event.args = {program, below(1'000'000), draw->Between(5'000, 100'000)};
      break;
    case Action::kMirror:
      event.args = {program, draw->Chance(850)};
      break;
    case Action::kBurst:
      event.args = {below(plan.logs), draw->Between(5, 60)};
      break;
    case Action::kQuiet:
      event.args = {below(plan.logs), Window(draw)};
      break;
    case Action::kGiveUp:
      event.args = {program, below(1'000'000), draw->Chance(500), draw->Between(1000, 60'000),
                    draw->Between(1000, 60'000)};
      break;
    case Action::kLoseSource:
      event.args = {draw->Between(0, 600), draw->Between(1000, 60'000)};
      break;
    default:
      event.args = {program};
  }
  return event;
}

// The writer reaches one disk alone and dies; that disk is lost when a takeover has counted on it and copies from it.
void LoseTheOnlyTail(Plan* plan, Stream* draw) {
  const int64_t at_us = draw->Between(15'000, 60'000);
  const auto only = static_cast<int64_t>(draw->Below(static_cast<uint64_t>(plan->disks)));
  const auto add = [&](int64_t after_us, Action action, std::array<int64_t, 5> args) {
    plan->events.push_back({at_us + after_us, action, args});
  };
  const int64_t writer = 1 + plan->disks;  // program 0, which began
  for (int64_t disk = 0; disk < plan->disks; ++disk) {
    if (disk != only) add(0, Action::kCut, {writer, 1 + disk, 20'000});
  }
  add(500, Action::kBurst, {0, 3});
  plan->events.push_back(Draw(*plan, Action::kLoseSource, at_us, draw));
  const int64_t dies_us = draw->Between(5'000, 9'000);
  add(dies_us, Action::kKill, {0});
  add(dies_us + draw->Between(100, 2'000), Action::kRecover, {1});
}

// What few plans have. From numbers of its own, so that the rest of a plan does not depend on it.
void AddRare(Plan* plan) {
  Stream draw(Mix(plan->seed, 0x4A4E));
  if (plan->logs == 1 && draw.Chance(60)) {
    plan->events.push_back(Draw(*plan, Action::kGiveUp, draw.Between(20'000, plan->run_us), &draw));
  }
  if (plan->quorum >= 2 && draw.Chance(60)) LoseTheOnlyTail(plan, &draw);
  if (draw.Chance(500)) {
    plan->zones = static_cast<int>(draw.Between(1, plan->disks));
    if (draw.Chance(500)) plan->workload.unseen_permille = static_cast<int>(draw.Between(50, 400));
  }
}

}  // namespace

Plan MakePlan(uint64_t seed) {
  Stream draw(Mix(seed, 0x9147));
  Plan plan;
  plan.seed = seed;
  static constexpr int kShapes[][2] = {{3, 2}, {3, 2}, {3, 2}, {3, 2}, {2, 1}, {2, 2}, {1, 1}, {3, 1}, {5, 3}};
  const auto& shape = kShapes[draw.Below(std::size(kShapes))];
  plan.replicas = shape[0];
  plan.quorum = shape[1];
  plan.disks = plan.replicas + 1 + static_cast<int>(draw.Below(2));
  plan.logs = draw.Chance(250) ? 2 : 1;
  plan.programs = 2 + static_cast<int>(draw.Below(2));
  plan.run_us = draw.Between(150'000, 500'000);
  if (draw.Chance(400)) plan.drift_ppm = static_cast<int>(draw.Between(10, 20'000));
  NetworkRates& network = plan.network;
  if (draw.Chance(600)) network.drop_permille = static_cast<int>(draw.Between(1, 40));
  if (draw.Chance(500)) network.duplicate_permille = static_cast<int>(draw.Between(1, 40));
  if (draw.Chance(600)) network.late_permille = static_cast<int>(draw.Between(1, 80));
  network.fifo = draw.Chance(250);
  network.delay_us_max = draw.Between(100, 2500);
  network.late_us_max = draw.Between(3'000, 40'000);
  plan.speed.sync_us_max = draw.Between(100, 3000);
  plan.workload.append_us = draw.Between(500, 3000);
  plan.workload.records_max = static_cast<int>(draw.Between(1, 3));
  plan.workload.repair_width = draw.Chance(600);

  std::vector<std::pair<Action, int>> kinds;
  int total = 0;
  for (const Kind& kind : kKinds) {
    if (!draw.Chance(kind.on_permille)) continue;
    const int weight = kind.weight * static_cast<int>(draw.Between(1, 4));
    kinds.emplace_back(kind.action, weight);
    total += weight;
  }
  const bool losses = std::any_of(kinds.begin(), kinds.end(), [](const auto& kind) {
    return kind.first == Action::kWipe || kind.first == Action::kFlip || kind.first == Action::kRollBack;
  });
  // Somebody begins.
  plan.events.push_back({draw.Between(0, 3000), Action::kRecover, {0}});
  if (plan.logs == 2) plan.events.push_back({draw.Between(0, 3000), Action::kRecover, {plan.programs}});
  const int64_t pause_us = draw.Between(1'500, 12'000);
  const int company_permille = draw.Chance(500) ? 600 : 100;
  for (int64_t at_us = 8'000; at_us < plan.run_us; at_us += draw.Between(0, 2 * pause_us)) {
    int dice = static_cast<int>(draw.Below(static_cast<uint64_t>(total)));
    for (const auto& [action, weight] : kinds) {
      dice -= weight;
      if (dice >= 0) continue;
      plan.events.push_back(Draw(plan, action, at_us, &draw));
      // Faults like company: something else strikes while this is under way.
      const bool change = action == Action::kTakeOver || action == Action::kRecover || action == Action::kHandOver ||
                          action == Action::kChangeReplicas;
      if (change && draw.Chance(company_permille)) {
        Action also = kinds[draw.Below(kinds.size())].first;
        if (losses && draw.Chance(300)) also = Action::kWipe;  // of a disk that was counted on
        plan.events.push_back(Draw(plan, also, at_us + draw.Between(0, 8'000), &draw));
      }
      break;
    }
  }
  AddRare(&plan);
  std::stable_sort(plan.events.begin(), plan.events.end(),
                   [](const Event& a, const Event& b) { return a.at_us < b.at_us; });
  return plan;
}

}  // namespace understudy::sim

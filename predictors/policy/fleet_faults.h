// What happens to a simulated fleet: faults that grow until they fail, failures without warning, causes that hit many
// at once, predictors that cry wolf. Drawn before any policy runs, so that all policies meet the same.
#pragma once

#include <cstdint>
#include <vector>

#include "predictors/policy/types.h"

namespace understudy::policy {

// Rates are means of exponential distributions; times are drawn as said. docs/coordinator.md gives the reasons.
struct FaultModel {
  double gradual_every_days = 20;  // a primary; grows for ramp_min_s to ramp_max_s (log-uniform), then it fails
  double ramp_min_s = 300;
  double ramp_max_s = 21'600;
  double sudden_every_days = 120;  // a primary; no warning
  double common_every_days = 3;    // a cause that many primaries share: common_share of them, ramps of 20 to 40 min
  double common_share = 0.01;
  double node_lost_share = 0.1;  // of failures: the node is gone for node_repair_s, else its process is restarted
  double node_repair_s = 14'400;
  double restart_s = 60;       // of a failed process, before it can load
  double rejuvenation_s = 30;  // of a process that was moved away from
  double detect_s = 1;         // until a failure is noticed and the log's end settled
  double load_s = 20;          // median of the services'; log-normal, sigma 0.7
  double replay_s = 10;        // as above, from a checkpoint of ordinary age
  double gap_s = 0.02;         // of a planned move

  // The predictors' quality curve.
  double recall = 0.9;  // of gradual faults that show at all, from visible_from of the ramp on
  double visible_from = 0.3;
  double sigma = 0.35;                  // of the logarithm of the estimated time to failure; halves near the end
  double false_alarms_per_day = 0.033;  // a primary: minutes of probabilities around 0.8
  double scare_every_days = 7;          // a predictor flags scare_share of the fleet for ten minutes
  double scare_share = 0.6;
  double peaks_per_day = 0.01;  // a primary: healthy, but beyond 90 % of a capacity for minutes
};

enum class FaultKind : int { kGradual = 0, kSudden, kFalseAlarm, kPeak };
struct Fault {
  FaultKind kind = FaultKind::kGradual;
  int primary = 0;
  double begin_s = 0;
  double end_s = 0;      // it fails (kGradual, kSudden), or it was nothing after all
  double visible_s = 0;  // kGradual: predictors see it from here on; beyond end_s: never
  double error = 0;      // of the predictors' estimate, in standard deviations
  bool node_lost = false;
  double level = 0.5;  // kGradual: of the resource when it began, ...
  double power = 1;    // ... and how it grows: 1 evenly, more: slowly at first
};

// By time of begin. Deterministic by seed.
std::vector<Fault> DrawFaults(const FaultModel& model, int primaries, double days, uint64_t seed);
// Load and replay time of each primary's state, seconds.
struct StateSize {
  double load_s = 0;
  double replay_s = 0;
};
std::vector<StateSize> DrawStates(const FaultModel& model, int primaries, uint64_t seed);

// What the predictors say of a primary with this fault at `now_s`; empty when they see nothing.
std::vector<ForecastView> ForecastsOf(const FaultModel& model, const Fault& fault, double now_s);
// The level of the resource that runs out, 0 to 1 of its capacity; what a threshold looks at. One fault in ten, as
// `recall` says, shows in no metric: neither to predictors nor to a threshold.
double LevelOf(const Fault& fault, double now_s);

}  // namespace understudy::policy

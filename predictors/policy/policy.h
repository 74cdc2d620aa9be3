// The policy: from forecasts to what is wanted and what may be done. Pure functions: no clock, no IO, no state but what
// is handed in; thread-safe. The coordinator's core and the simulation of fleets call the same ones. The formulae and
// the reasons for the defaults are in docs/coordinator.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "predictors/policy/types.h"

namespace understudy::policy {

inline constexpr int64_t kFreshMs = 10'000;  // an older forecast says nothing any more

Readiness EstimateReadiness(const SpareWork& work);

// What the service wants, whether or not it may have it. O(forecasts).
Assessment Assess(const ServiceInput& in, const FleetView& fleet, const FleetSettings& settings, int64_t now_ms);

// More than brake_percent of at least brake_services_min services at risk, and at least two.
bool Braked(const FleetView& fleet, const FleetSettings& settings);

// How many free spares predictions must leave for unplanned failures.
int SparesReserved(const FleetView& fleet, const FleetSettings& settings);

// May a predicted move begin? Only outside of all windows that forbid it, and, if any that allow it are given, inside
// one.
bool InsideWindows(const std::vector<Window>& windows, int64_t unix_ms);

// What may be done now. Reserve and rank are not looked at: they depend on the others (see Decide).
Permit Allow(const ServiceInput& in, const Assessment& assessed, const FleetView& fleet, const FleetSettings& settings,
             int64_t now_ms, int64_t unix_ms);

// Whether the process may be checkpointed and restarted on purpose now.
RestartPermit AllowRestart(const ServiceInput& in, const Assessment& assessed, const FleetView& fleet,
                           const FleetSettings& settings, int64_t now_ms, int64_t unix_ms);

// Whether a process that has served for long may be exchanged now. The calendar decides, so this is wall time.
RejuvenationPermit AllowRejuvenation(const RejuvenationInput& in, const FleetView& fleet, const FleetSettings& settings,
                                     int64_t unix_ms);
// The first moment from which on it is due and inside all windows; -1: none within a year.
int64_t NextRejuvenation(const RejuvenationInput& in, const RejuvenationPermit& permit, const FleetSettings& settings,
                         int64_t unix_ms);
std::vector<std::string> ExplainRejuvenation(const RejuvenationInput& in, const RejuvenationPermit& permit,
                                             const FleetSettings& settings, int64_t unix_ms);

// Before another when spares are short: gain per spare-second among those that can still be ready, then the others.
bool RanksBefore(const Assessment& a, const std::string& a_name, const Assessment& b, const std::string& b_name);

// May the spare of `victim` be taken for `taker`'s forecast? Never once it mirrors; otherwise from one that is not at
// risk, or that gains less than half as much.
bool MayPreempt(const Assessment& taker, const Assessment& victim, bool victim_mirrors);

// The same for a whole fleet whose spares serve any service, ranked and with the reserve kept.
struct FleetInput {
  std::vector<ServiceInput> services;
  int calm_services = 0;  // besides these, of which nobody forecasts anything
  FleetSettings settings;
  int spares = 0;
  int spares_free = 0;
  int64_t now_ms = 0;
  int64_t unix_ms = 0;
};
struct ServiceDecision {
  Assessment assessment;
  Permit permit;
  bool take_spare = false;  // assign it one of the free ones, ...
  int preempts = -1;        // ... or the spare of the service of this index
};
struct FleetDecision {
  bool braked = false;
  int reserved = 0;
  std::vector<int> ranking;  // of those that want a spare and have none; indexes
  std::vector<ServiceDecision> services;
};
FleetDecision Decide(const FleetInput& in);

// The chance that a failure within the horizon, if it comes, comes later than `after_s`.
double ChanceLater(const ForecastView& forecast, double after_s);
// The share of `work_s` seconds of preparation that is expected to be done before the failure.
double ShareDone(const ForecastView& forecast, double work_s);

// In plain words, for people: why it acts or does not, most important first.
std::vector<std::string> Explain(const ServiceInput& in, const Assessment& assessed, const Permit& permit,
                                 const FleetView& fleet, const FleetSettings& settings, int64_t now_ms);
// Likewise of a restart; nothing unless a failure is likely and no spare is there to move to.
std::vector<std::string> ExplainRestart(const ServiceInput& in, const Assessment& assessed, const RestartPermit& permit,
                                        const FleetView& fleet, const FleetSettings& settings, int64_t now_ms);

}  // namespace understudy::policy

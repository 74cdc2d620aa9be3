// The configuration of the threshold predictor (docs/predictors.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::threshold {

inline constexpr size_t kBoundsMax = 64;
inline constexpr size_t kRulesMax = 64;
inline constexpr int kRuleDepthMax = 4;  // of rules within rules

struct Bound {
  std::string metric;
  bool above = true;  // violated above `limit`, or below it
  double limit = 0;
  double for_s = 5;                // beyond `limit` for so long: the alarm is on
  double clear = 0;                // the alarm goes off once the value has been on the good side of this ...
  double clear_for_s = 5;          // ... for so long
  double probability = 0.9;        // of failure while the alarm is on, for every horizon
  std::optional<double> fails_at;  // where the failure itself is expected; needed for a time to failure
  bool anticipate = false;         // lets the slope raise the probability before the alarm is on
  bool alone = true;               // a forecast of its own; false: part of a rule
};

// Bounds and other rules put together: "all" of them, or "any".
struct Rule {
  bool all = true;
  std::vector<size_t> bounds, rules;  // indexes into Config; rules stand before those they are part of
  double for_s = 0;                   // true for so long: the rule's alarm is on
  double clear_for_s = 0;             // not true for so long: it goes off
  double probability = 0.9;
  bool alone = true;
};

struct Config {
  std::vector<Bound> bounds;       // 1 to kBoundsMax, those within rules included
  std::vector<Rule> rules;         // at most kRulesMax, those within rules included
  double base_probability = 0.01;  // while no alarm is on
  double stale_s = 30;             // a value older than this is unknown
  double trend_s = 60;             // window of the slope
};

// Throws sdk::BadConfig, whose message begins with the field: "bounds[0].above: ...".
Config ParseConfig(std::string_view json);

}  // namespace understudy::threshold

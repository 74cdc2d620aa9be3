// The configuration of the predict_linear predictor (docs/predictors.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace understudy::predict_linear {

struct Rule {
  std::string metric;
  bool above = true;
  double limit = 0;          // when limit_metric is empty
  std::string limit_metric;  // "proc.memory_limit_bytes": the limit is what this one says, times `limit_factor`
  double limit_factor = 1;
};

struct Config {
  std::vector<Rule> rules;   // 1 to 64; any of them raises the alarm
  double window_s = 3600;    // of the least-squares line
  double for_s = 0;          // the line must lead beyond the limit for so long
  double horizon_s = 0;      // how far ahead; 0: as far as the host asks
  double probability = 0.9;  // while the rule fires
  double base_probability = 0.01;
};

// Throws sdk::BadConfig, whose message begins with the field: "rules[0].above: ...".
Config ParseConfig(std::string_view json);

}  // namespace understudy::predict_linear

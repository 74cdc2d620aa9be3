// The configuration of the trend predictor (docs/predictors.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::trend {

struct Watched {
  std::string metric;
  bool down = false;                          // dangerous when low, like free space
  bool scatters = false;                      // its noise is multiplicative, like that of a latency
  std::optional<double> capacity;             // the configured one
  std::vector<std::string> capacity_metrics;  // the tightest of those that are there
  bool learned = false;                       // where there is neither: from failures
  bool optional = false;                      // of the default list: its absence says nothing
};

struct Config {
  std::vector<Watched> metrics;    // 1 to 64
  double base_probability = 0.01;  // while nothing grows
  double stale_s = 0;              // a value older than this is unknown; 0: ten sampling intervals
};

// Throws sdk::BadConfig, whose message begins with the field: "metrics[0].capacity: ...".
Config ParseConfig(std::string_view json);

// "41 s", "12 min", "3.4 h", "2.1 d".
std::string ShowTime(double s);

}  // namespace understudy::trend

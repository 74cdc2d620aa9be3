#include "predictors/builtin/trend/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "predictors/builtin/config_values.h"

namespace understudy::trend {
namespace {

using Json = nlohmann::json;
using predictor_config::Bad;
using predictor_config::MetricName;
using predictor_config::NumberIn;
using predictor_config::ParseObject;
using predictor_config::Quantity;

constexpr size_t kMetricsMax = 64;
constexpr size_t kLimitsMax = 32;
constexpr size_t kCapacitiesMax = 3;  // 64 metrics with their capacities and the uptime must fit UNDERSTUDY_METRICS_MAX

// What is known of the metrics of docs/metrics.md.
struct Known {
  const char* metric;
  bool down;
  double capacity;  // NaN: the metrics below, or learned
  std::array<const char*, 2> capacity_metrics;
  bool by_default;  // watched when the configuration names no metrics
};
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr Known kKnown[] = {
    {"proc.rss_bytes", false, kNone, {"proc.memory_limit_bytes", "cgroup.memory_limit_bytes"}, true},
    {"proc.fds", false, kNone, {"proc.fds_limit", nullptr}, true},
    {"proc.threads", false, kNone, {}, true},
    {"cgroup.pids", false, kNone, {"cgroup.pids_limit", nullptr}, true},
    {"node.memory_available_bytes", true, 0, {}, true},
    {"node.disk_free_bytes", true, 0, {}, true},
    {"node.inodes_free_fraction", true, 0, {}, true},
    {"node.disk_latency_ms", false, 100, {}, true},
    {"log.append_p99_us", false, 100000, {}, true},
    {"proc.memory_fraction", false, 1, {}, false},
    {"proc.fds_fraction", false, 1, {}, false},
    {"cgroup.memory_bytes", false, kNone, {"cgroup.memory_limit_bytes", nullptr}, false},
    {"cgroup.memory_fraction", false, 1, {}, false},
    {"node.memory_available_fraction", true, 0, {}, false},
    {"node.disk_free_fraction", true, 0, {}, false},
    {"node.swap_free_bytes", true, 0, {}, false},
};

const Known* Find(const std::string& metric) {
  for (const Known& known : kKnown) {
    if (metric == known.metric) return &known;
  }
  return nullptr;
}

// Latencies and stalls scatter by a factor, whatever measures them.
bool ScattersByName(const std::string& metric) {
  return metric.find("latency") != std::string::npos || metric.find("stall") != std::string::npos ||
         metric.starts_with("log.append_");
}

void TakeKnownCapacity(const Known* known, Watched* watched) {
  if (known && !std::isnan(known->capacity)) watched->capacity = known->capacity;
  if (known) {
    for (const char* name : known->capacity_metrics) {
      if (name) watched->capacity_metrics.push_back(name);
    }
  }
  watched->learned = !watched->capacity && watched->capacity_metrics.empty();
}

// 419430400, "400 MiB", "learned", or a metric's name.
void TakeCapacity(const Json& json, const std::string& field, Watched* watched) {
  if (!json.is_number() && !json.is_string()) {
    Bad(field, "a number, a string like \"400 MiB\", a metric's name, \"learned\", or an array of these is needed");
  }
  if (json == "learned") {
    watched->learned = true;
    return;
  }
  if (json.is_string()) {
    const std::string text = json.get<std::string>();
    char* end = nullptr;
    std::strtod(text.c_str(), &end);
    if (end == text.c_str()) {
      watched->capacity_metrics.push_back(MetricName(json, field));
      return;
    }
  }
  const double value = Quantity(json, field);
  if (!(std::abs(value) <= 1e18)) Bad(field, "not between -1e18 and 1e18");
  if (watched->capacity) Bad(field, "one number at most");
  watched->capacity = value;
}

// `json`: null or "auto", one capacity, or an array of them.
void TakeCapacities(const Json* json, const std::string& field, const Known* known, Watched* watched) {
  if (!json || *json == "auto") {
    TakeKnownCapacity(known, watched);
  } else if (json->is_array()) {
    if (json->empty() || json->size() > kCapacitiesMax) Bad(field, "1 to 3 elements are needed");
    for (size_t i = 0; i < json->size(); ++i) {
      TakeCapacity((*json)[i], field + "[" + std::to_string(i) + "]", watched);
    }
  } else {
    TakeCapacity(*json, field, watched);
  }
}

Watched ParseWatched(const Json& json, const std::string& at) {
  if (!json.is_object()) Bad(at, "an object is needed");
  Watched watched;
  const Json* capacity = nullptr;
  std::optional<bool> down, scatters;
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "metric") {
      watched.metric = MetricName(value, field);
    } else if (key == "capacity") {
      capacity = &value;
    } else if (key == "direction") {
      if (value != "up" && value != "down") Bad(field, "\"up\" or \"down\" is needed");
      down = value == "down";
    } else if (key == "noise") {
      if (value != "additive" && value != "multiplicative") Bad(field, "\"additive\" or \"multiplicative\" is needed");
      scatters = value == "multiplicative";
    } else {
      Bad(field, "unknown field");
    }
  }
  if (watched.metric.empty()) Bad(at + ".metric", "required");
  const Known* known = Find(watched.metric);
  watched.down = down.value_or(known && known->down);
  if (watched.down && scatters.value_or(false))
    Bad(at + ".noise", "\"multiplicative\" goes with the direction \"up\" only");
  watched.scatters = scatters.value_or(!watched.down && ScattersByName(watched.metric));
  TakeCapacities(capacity, at + ".capacity", known, &watched);
  return watched;
}

// The list of docs/predictors.md, with what `limits` adds to it or says otherwise.
void TakeDefaults(const Json* limits, Config* config) {
  for (const Known& known : kKnown) {
    if (!known.by_default) continue;
    Watched watched;
    watched.metric = known.metric;
    watched.down = known.down;
    watched.scatters = ScattersByName(watched.metric);
    watched.optional = true;
    TakeKnownCapacity(&known, &watched);
    config->metrics.push_back(std::move(watched));
  }
  if (!limits) return;
  if (!limits->is_object() || limits->empty() || limits->size() > kLimitsMax) {
    Bad("limits", "an object of 1 to 32 metrics and their capacities is needed");
  }
  for (const auto& [name, capacity] : limits->items()) {
    const std::string field = "limits." + name;
    const Known* known = Find(name);
    Watched watched;
    watched.metric = MetricName(name, field);
    watched.down = known && known->down;
    watched.scatters = ScattersByName(watched.metric);
    watched.optional = true;
    TakeCapacities(&capacity, field, known, &watched);
    const auto at = std::find_if(config->metrics.begin(), config->metrics.end(),
                                 [&](const Watched& other) { return other.metric == name; });
    if (at != config->metrics.end()) {
      *at = std::move(watched);
    } else {
      config->metrics.push_back(std::move(watched));
    }
  }
}

}  // namespace

Config ParseConfig(std::string_view text) {
  const Json json = ParseObject(text);
  Config config;
  const Json* limits = nullptr;
  for (const auto& [key, value] : json.items()) {
    if (key == "limits") {
      limits = &value;
    } else if (key == "metrics") {
      if (value == "auto") continue;
      if (!value.is_array() || value.empty() || value.size() > kMetricsMax) {
        Bad(key, "\"auto\" or an array of 1 to 64 metrics is needed");
      }
      for (size_t i = 0; i < value.size(); ++i) {
        const std::string at = "metrics[" + std::to_string(i) + "]";
        Watched watched = ParseWatched(value[i], at);
        for (const Watched& other : config.metrics) {
          if (other.metric == watched.metric) Bad(at + ".metric", "\"" + other.metric + "\" is watched already");
        }
        config.metrics.push_back(std::move(watched));
      }
    } else if (key == "base_probability") {
      config.base_probability = NumberIn(value, key, 0, 1);
    } else if (key == "stale_s") {
      config.stale_s = NumberIn(value, key, 0, 864000);
    } else {
      Bad(key, "unknown field");
    }
  }
  if (limits && !config.metrics.empty()) Bad("limits", "goes with \"auto\" only; metrics have their own capacity");
  if (config.metrics.empty()) TakeDefaults(limits, &config);
  return config;
}

std::string ShowTime(double s) {
  char text[32];
  if (s < 120) {
    std::snprintf(text, sizeof text, "%.0f s", s);
  } else if (s < 7200) {
    std::snprintf(text, sizeof text, "%.0f min", s / 60);
  } else if (s < 2 * 86400) {
    std::snprintf(text, sizeof text, "%.1f h", s / 3600);
  } else {
    std::snprintf(text, sizeof text, "%.1f d", s / 86400);
  }
  return text;
}

}  // namespace understudy::trend

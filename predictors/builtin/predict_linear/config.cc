#include "predictors/builtin/predict_linear/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "predictors/builtin/config_values.h"

namespace understudy::predict_linear {
namespace {

using Json = nlohmann::json;
using predictor_config::Bad;
using predictor_config::MetricName;
using predictor_config::NumberIn;
using predictor_config::ParseObject;

Rule ParseRule(const Json& json, const std::string& at) {
  if (!json.is_object()) Bad(at, "an object is needed");
  Rule rule;
  bool limited = false;
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "metric") {
      rule.metric = MetricName(value, field);
    } else if (key == "above" || key == "below") {
      if (limited) Bad(field, "either above or below, not both");
      limited = true;
      rule.above = key == "above";
      if (value.is_string()) {
        rule.limit_metric = MetricName(value, field);
      } else {
        rule.limit = NumberIn(value, field, -1e300, 1e300);
      }
    } else if (key == "factor") {
      rule.limit_factor = NumberIn(value, field, 1e-6, 1e6);
    } else {
      Bad(field, "unknown field");
    }
  }
  if (rule.metric.empty()) Bad(at + ".metric", "required");
  if (!limited) Bad(at + ".above", "either above or below is required");
  return rule;
}

}  // namespace

Config ParseConfig(std::string_view text) {
  const Json json = ParseObject(text);
  Config config;
  for (const auto& [key, value] : json.items()) {
    if (key == "rules") {
      if (!value.is_array() || value.empty() || value.size() > 64) Bad(key, "an array of 1 to 64 rules is needed");
      for (size_t i = 0; i < value.size(); ++i) {
        config.rules.push_back(ParseRule(value[i], "rules[" + std::to_string(i) + "]"));
      }
    } else if (key == "window_s") {
      config.window_s = NumberIn(value, key, 1, 90 * 86400.0);
    } else if (key == "for_s") {
      config.for_s = NumberIn(value, key, 0, 90 * 86400.0);
    } else if (key == "horizon_s") {
      config.horizon_s = NumberIn(value, key, 0, 3650 * 86400.0);
    } else if (key == "probability") {
      config.probability = NumberIn(value, key, 0, 1);
    } else if (key == "base_probability") {
      config.base_probability = NumberIn(value, key, 0, 1);
    } else {
      Bad(key, "unknown field");
    }
  }
  if (config.rules.empty()) Bad("rules", "required");
  // How long the line has led beyond the limit is counted sample by sample, for one distance ahead.
  if (config.for_s > 0 && config.horizon_s == 0) Bad("for_s", "needs horizon_s");
  return config;
}

}  // namespace understudy::predict_linear

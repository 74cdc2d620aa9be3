#include "predictors/builtin/predict_linear/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "understudy/predictor.hpp"

namespace understudy::predict_linear {
namespace {

using Json = nlohmann::json;

[[noreturn]] void Bad(const std::string& field, const std::string& why) { throw sdk::BadConfig(field + ": " + why); }

double NumberIn(const Json& json, const std::string& field, double low, double high) {
  if (!json.is_number()) Bad(field, "a number is needed");
  const double value = json.get<double>();
  if (!(value >= low && value <= high)) {
    char text[96];
    std::snprintf(text, sizeof text, "%g is not between %g and %g", value, low, high);
    Bad(field, text);
  }
  return value;
}

std::string Name(const Json& json, const std::string& field) {
  if (!json.is_string()) Bad(field, "a metric's name is needed");
  std::string name = json.get<std::string>();
  if (name.empty() || name.size() > UNDERSTUDY_METRIC_NAME_MAX) Bad(field, "a name of 1 to 128 bytes is needed");
  return name;
}

Rule ParseRule(const Json& json, const std::string& at) {
  if (!json.is_object()) Bad(at, "an object is needed");
  Rule rule;
  bool limited = false;
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "metric") {
      rule.metric = Name(value, field);
    } else if (key == "above" || key == "below") {
      if (limited) Bad(field, "either above or below, not both");
      limited = true;
      rule.above = key == "above";
      if (value.is_string()) {
        rule.limit_metric = Name(value, field);
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
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) Bad("config", "not valid JSON");
  if (!json.is_object()) Bad("config", "an object is needed");
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

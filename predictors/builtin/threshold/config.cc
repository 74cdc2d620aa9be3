#include "predictors/builtin/threshold/config.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "predictors/builtin/config_values.h"

namespace understudy::threshold {
namespace {

using Json = nlohmann::json;
using predictor_config::Bad;
using predictor_config::MetricName;
using predictor_config::ParseObject;
using predictor_config::Quantity;
using predictor_config::QuantityIn;

Bound ParseBound(const Json& json, const std::string& at) {
  if (!json.is_object()) Bad(at, "an object is needed");
  Bound bound;
  bool limited = false, clear = false, clear_for = false;
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "metric") {
      bound.metric = MetricName(value, field);
    } else if (key == "above" || key == "below") {
      if (limited) Bad(field, "either above or below, not both");
      limited = true;
      bound.above = key == "above";
      bound.limit = Quantity(value, field);
    } else if (key == "for_s") {
      bound.for_s = QuantityIn(value, field, 0, 86400);
    } else if (key == "clear") {
      bound.clear = Quantity(value, field);
      clear = true;
    } else if (key == "clear_for_s") {
      bound.clear_for_s = QuantityIn(value, field, 0, 86400);
      clear_for = true;
    } else if (key == "probability") {
      bound.probability = QuantityIn(value, field, 0, 1);
    } else if (key == "fails_at") {
      bound.fails_at = Quantity(value, field);
    } else if (key == "anticipate") {
      if (!value.is_boolean()) Bad(field, "true or false is needed");
      bound.anticipate = value.get<bool>();
    } else {
      Bad(field, "unknown field");
    }
  }
  if (bound.metric.empty()) Bad(at + ".metric", "required");
  if (!limited) Bad(at + ".above", "either above or below is required");
  if (!clear_for) bound.clear_for_s = bound.for_s;
  if (!clear) bound.clear = bound.limit - (bound.above ? 1 : -1) * 0.05 * std::abs(bound.limit);
  if (bound.above ? bound.clear > bound.limit : bound.clear < bound.limit) {
    Bad(at + ".clear", "must not be beyond the bound itself");
  }
  if (bound.fails_at && (bound.above ? *bound.fails_at < bound.limit : *bound.fails_at > bound.limit)) {
    Bad(at + ".fails_at", "must be beyond the bound");
  }
  return bound;
}

size_t AddBound(const Json& json, const std::string& at, bool alone, Config* config) {
  if (config->bounds.size() == kBoundsMax) Bad(at, "more than 64 bounds in all");
  Bound bound = ParseBound(json, at);
  bound.alone = alone;
  // What a part foresees cannot be put together with what the others are: only its alarm can.
  if (!alone && bound.anticipate) Bad(at + ".anticipate", "only for a bound that is not part of a rule");
  config->bounds.push_back(std::move(bound));
  return config->bounds.size() - 1;
}

// Adds the rule and its parts, parts first. A bound may stand in a rule's place.
void AddRule(const Json& json, const std::string& at, int depth, Config* config) {
  if (!json.is_object()) Bad(at, "an object is needed");
  if (json.contains("metric")) {
    AddBound(json, at, /*alone=*/true, config);
    return;
  }
  Rule rule;
  if (json.contains("all") == json.contains("any")) Bad(at, "either all, any or metric is needed");
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "all" || key == "any") {
      rule.all = key == "all";
      if (!value.is_array() || value.empty()) Bad(field, "an array of bounds and rules is needed");
      for (size_t i = 0; i < value.size(); ++i) {
        const std::string part = field + "[" + std::to_string(i) + "]";
        if (value[i].is_object() && value[i].contains("metric")) {
          rule.bounds.push_back(AddBound(value[i], part, /*alone=*/false, config));
        } else {
          if (depth == kRuleDepthMax) Bad(part, "rules within rules at most 4 deep");
          AddRule(value[i], part, depth + 1, config);
          config->rules.back().alone = false;
          rule.rules.push_back(config->rules.size() - 1);
        }
      }
    } else if (key == "for_s") {
      rule.for_s = QuantityIn(value, field, 0, 86400);
    } else if (key == "clear_for_s") {
      rule.clear_for_s = QuantityIn(value, field, 0, 86400);
    } else if (key == "probability") {
      rule.probability = QuantityIn(value, field, 0, 1);
    } else {
      Bad(field, "unknown field");
    }
  }
  if (config->rules.size() == kRulesMax) Bad(at, "more than 64 rules in all");
  config->rules.push_back(std::move(rule));
}

}  // namespace

Config ParseConfig(std::string_view text) {
  const Json json = ParseObject(text);
  Config config;
  for (const auto& [key, value] : json.items()) {
    if (key == "bounds") {
      if (!value.is_array() || value.empty() || value.size() > 64) Bad(key, "an array of 1 to 64 bounds is needed");
      for (size_t i = 0; i < value.size(); ++i) {
        AddBound(value[i], "bounds[" + std::to_string(i) + "]", /*alone=*/true, &config);
      }
    } else if (key == "rules") {
      if (!value.is_array() || value.empty() || value.size() > 64) Bad(key, "an array of 1 to 64 rules is needed");
      for (size_t i = 0; i < value.size(); ++i) AddRule(value[i], "rules[" + std::to_string(i) + "]", 1, &config);
    } else if (key == "base_probability") {
      config.base_probability = QuantityIn(value, key, 0, 1);
    } else if (key == "stale_s") {
      config.stale_s = QuantityIn(value, key, 0.1, 86400);
    } else if (key == "trend_s") {
      config.trend_s = QuantityIn(value, key, 1, 86400);
    } else {
      Bad(key, "unknown field");
    }
  }
  if (config.bounds.empty()) Bad("bounds", "bounds or rules are required");
  return config;
}

}  // namespace understudy::threshold

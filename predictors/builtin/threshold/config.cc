#include "predictors/builtin/threshold/config.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "understudy/predictor.hpp"

namespace understudy::threshold {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::pair<const char*, double>, 8> kUnits = {{{"KiB", 1024.0},
                                                                   {"MiB", 1048576.0},
                                                                   {"GiB", 1073741824.0},
                                                                   {"TiB", 1099511627776.0},
                                                                   {"k", 1e3},
                                                                   {"M", 1e6},
                                                                   {"G", 1e9},
                                                                   {"%", 1.0}}};

[[noreturn]] void Bad(const std::string& field, const std::string& why) { throw sdk::BadConfig(field + ": " + why); }

// 419430400, or "400 MiB".
double Number(const Json& json, const std::string& field) {
  if (json.is_number()) return json.get<double>();
  if (!json.is_string()) Bad(field, "a number, or a string like \"400 MiB\", is needed");
  const std::string text = json.get<std::string>();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(value)) Bad(field, "\"" + text + "\" is not a number");
  std::string unit = end;
  while (!unit.empty() && unit.front() == ' ') unit.erase(0, 1);
  if (unit.empty()) return value;
  for (const auto& [name, factor] : kUnits) {
    if (unit == name) return value * factor;
  }
  Bad(field, "unknown unit \"" + unit + "\"; known are KiB, MiB, GiB, TiB, k, M, G, %");
}

double NumberIn(const Json& json, const std::string& field, double low, double high) {
  const double value = Number(json, field);
  if (!(value >= low && value <= high)) {
    char text[96];
    std::snprintf(text, sizeof text, "%g is not between %g and %g", value, low, high);
    Bad(field, text);
  }
  return value;
}

Bound ParseBound(const Json& json, const std::string& at) {
  if (!json.is_object()) Bad(at, "an object is needed");
  Bound bound;
  bool limited = false, clear = false, clear_for = false;
  for (const auto& [key, value] : json.items()) {
    const std::string field = at + "." + key;
    if (key == "metric") {
      if (!value.is_string()) Bad(field, "a string is needed");
      bound.metric = value.get<std::string>();
      if (bound.metric.empty() || bound.metric.size() > UNDERSTUDY_METRIC_NAME_MAX) {
        Bad(field, "a name of 1 to 128 bytes is needed");
      }
      if (bound.metric.find('*') != std::string::npos) Bad(field, "wildcards are not supported");
    } else if (key == "above" || key == "below") {
      if (limited) Bad(field, "either above or below, not both");
      limited = true;
      bound.above = key == "above";
      bound.limit = Number(value, field);
    } else if (key == "for_s") {
      bound.for_s = NumberIn(value, field, 0, 86400);
    } else if (key == "clear") {
      bound.clear = Number(value, field);
      clear = true;
    } else if (key == "clear_for_s") {
      bound.clear_for_s = NumberIn(value, field, 0, 86400);
      clear_for = true;
    } else if (key == "probability") {
      bound.probability = NumberIn(value, field, 0, 1);
    } else if (key == "fails_at") {
      bound.fails_at = Number(value, field);
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
      rule.for_s = NumberIn(value, field, 0, 86400);
    } else if (key == "clear_for_s") {
      rule.clear_for_s = NumberIn(value, field, 0, 86400);
    } else if (key == "probability") {
      rule.probability = NumberIn(value, field, 0, 1);
    } else {
      Bad(field, "unknown field");
    }
  }
  if (config->rules.size() == kRulesMax) Bad(at, "more than 64 rules in all");
  config->rules.push_back(std::move(rule));
}

}  // namespace

Config ParseConfig(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) Bad("config", "not valid JSON");
  if (!json.is_object()) Bad("config", "an object is needed");
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
      config.base_probability = NumberIn(value, key, 0, 1);
    } else if (key == "stale_s") {
      config.stale_s = NumberIn(value, key, 0.1, 86400);
    } else if (key == "trend_s") {
      config.trend_s = NumberIn(value, key, 1, 86400);
    } else {
      Bad(key, "unknown field");
    }
  }
  if (config.bounds.empty()) Bad("bounds", "bounds or rules are required");
  return config;
}

std::string Show(const std::string& metric, double value) {
  char text[64];
  if (metric.ends_with("_bytes")) {
    const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (std::abs(value) >= 1024 && unit + 1 < std::size(units)) {
      value /= 1024;
      ++unit;
    }
    std::snprintf(text, sizeof text, "%.4g %s", value, units[unit]);
  } else {
    std::snprintf(text, sizeof text, "%.4g", value);
  }
  return text;
}

}  // namespace understudy::threshold

#include "predictors/builtin/config_values.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "understudy/predictor.hpp"

namespace understudy::predictor_config {
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

double Within(double value, const std::string& field, double low, double high) {
  if (value >= low && value <= high) return value;
  char text[96];
  std::snprintf(text, sizeof text, "%g is not between %g and %g", value, low, high);
  Bad(field, text);
}

}  // namespace

void Bad(const std::string& field, const std::string& why) { throw sdk::BadConfig(field + ": " + why); }

Json ParseObject(std::string_view text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) Bad("config", "not valid JSON");
  if (!json.is_object()) Bad("config", "an object is needed");
  return json;
}

double Quantity(const Json& json, const std::string& field) {
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

double QuantityIn(const Json& json, const std::string& field, double low, double high) {
  return Within(Quantity(json, field), field, low, high);
}

double NumberIn(const Json& json, const std::string& field, double low, double high) {
  if (!json.is_number()) Bad(field, "a number is needed");
  return Within(json.get<double>(), field, low, high);
}

std::string MetricName(const Json& json, const std::string& field) {
  if (!json.is_string()) Bad(field, "a metric's name is needed");
  std::string name = json.get<std::string>();
  if (name.empty() || name.size() > UNDERSTUDY_METRIC_NAME_MAX) Bad(field, "a name of 1 to 128 bytes is needed");
  if (name.find('*') != std::string::npos) Bad(field, "wildcards are not supported");
  return name;
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
    const bool fraction = std::abs(value) < 100 && value != std::floor(value);
    std::snprintf(text, sizeof text, "%.*f %s", fraction ? 1 : 0, value, units[unit]);
  } else {
    std::snprintf(text, sizeof text, "%.4g", value);
  }
  return text;
}

}  // namespace understudy::predictor_config

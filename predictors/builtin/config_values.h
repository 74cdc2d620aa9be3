// What the configurations of the built-in predictors have in common: values with bounds and units, and errors that name
// the field.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace understudy::predictor_config {

// Throws sdk::BadConfig, "field: why".
[[noreturn]] void Bad(const std::string& field, const std::string& why);

// The object that `text` holds; Bad("config", ...) when it is none.
nlohmann::json ParseObject(std::string_view text);

// A number, or a string with a unit: "400 MiB". KiB to TiB, k, M, G, and % (which is 1).
double Quantity(const nlohmann::json& json, const std::string& field);
double QuantityIn(const nlohmann::json& json, const std::string& field, double low, double high);
double NumberIn(const nlohmann::json& json, const std::string& field, double low, double high);

// 1 to 128 bytes, no wildcard.
std::string MetricName(const nlohmann::json& json, const std::string& field);

// "412 MiB" for names that end in _bytes, "93.1" otherwise.
std::string Show(const std::string& metric, double value);

}  // namespace understudy::predictor_config

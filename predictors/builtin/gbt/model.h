// A trained model: what is in a model file (docs/formats.md, "Model of gbt"), and how an answer is made of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "predictors/builtin/gbt/booster.h"
#include "predictors/builtin/gbt/features.h"
#include "predictors/stats/isotonic.h"
#include "predictors/stats/platt.h"

namespace understudy::gbt {

inline constexpr int kModelSchema = 1;
inline constexpr size_t kModelBytesMax = 4u << 20;    // of a model file
inline constexpr size_t kBoosterBytesMax = 3u << 20;  // of one booster in it, before base64

// What is wrong with a model: "model.schema: this is version 7, known is 1".
class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// From the failure head's margin to a probability.
struct Calibration {
  std::variant<stats::Platt, stats::Isotonic> curve;
  double Apply(double margin) const;
  const char* kind() const { return curve.index() == 0 ? "platt" : "isotonic"; }
};

// How the time head counts: margin = ln(time) or time / unit_s.
struct TimeScale {
  bool logarithmic = false;
  double unit_s = 1;  // of the linear scale
  double ToMargin(double seconds) const;
  double ToSeconds(double margin) const;  // at least 0, at most 1e9
};

struct Model {
  FeatureSpec features;
  std::vector<double> horizons_s;  // trained for, ascending; 1 to 16
  // Failure head: one row is the horizon in seconds, then the features.
  std::shared_ptr<const Booster> failure;
  std::string failure_bytes;  // UBJSON
  Calibration calibration;
  // Time head: one row is the features.
  std::shared_ptr<const Booster> time;
  std::string time_bytes;
  TimeScale time_scale;
  double cap_s = 0;                           // remaining times beyond were trained as "at least so long"
  std::array<double, 3> time_quantiles;       // p10, p50 and p90 of what the true margin was above the time head's
  std::vector<std::array<double, 2>> ranges;  // least and greatest value of each metric in the training
  nlohmann::json training;                    // of people's interest: traces, rows, hash of the data, report
  std::string checksum;                       // of the file; set by ReadModel and WriteModel
};

// The file's text. Sets model->checksum.
std::string WriteModel(Model* model);

// Checks everything, loads the boosters. Throws ModelError. `json` is the parsed file.
Model ReadModel(const nlohmann::json& json);
// Likewise from the text, at most kModelBytesMax.
Model ParseModel(std::string_view text);
// JSON from outside. Discarded when it is none, or nests deeper than any model: what walks it would exhaust the stack.
nlohmann::json ParseJson(std::string_view text);

struct RemainingTime {
  std::array<double, 3> seconds = {};  // p10, p50, p90; ascending, finite
};

// `row` holds one float for the horizon, which is overwritten, then the features. A horizon shorter than all trained
// ones is answered with the hazard of the shortest held constant; a longer one as the longest: a lower bound.
double FailureProbability(const Model& model, double horizon_s, std::span<float> row);
// `features` without the horizon.
RemainingTime TimeToFailure(const Model& model, std::span<const float> features);

// What the field "checksum" of `json`, an object, has to be: of all its other fields.
std::string ModelChecksum(const nlohmann::json& json);

std::string Base64Encode(std::string_view bytes);
bool Base64Decode(std::string_view text, std::string* bytes);  // false: not base64

}  // namespace understudy::gbt

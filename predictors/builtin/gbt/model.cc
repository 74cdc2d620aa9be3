#include "predictors/builtin/gbt/model.h"

#include <algorithm>
#include <cmath>

#include "predictors/builtin/gbt/sha256.h"

namespace understudy::gbt {
namespace {

using Json = nlohmann::json;

constexpr char kFormat[] = "understudy-gbt";
constexpr double kFarSeconds = 1e9;
constexpr int kJsonDepthMax = 33;  // the host takes 32, and puts the model into a configuration

[[noreturn]] void Bad(const std::string& field, const std::string& why) {
  throw ModelError("model." + field + ": " + why);
}

const Json& Field(const Json& json, const std::string& at, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) Bad(at + name, "missing");
  return *found;
}

double Number(const Json& json, const std::string& field) {
  if (!json.is_number() || !std::isfinite(json.get<double>())) Bad(field, "a finite number is needed");
  return json.get<double>();
}

std::string Text(const Json& json, const std::string& field) {
  if (!json.is_string()) Bad(field, "a string is needed");
  return json.get<std::string>();
}

std::vector<double> Numbers(const Json& json, const std::string& field, size_t min, size_t max) {
  if (!json.is_array() || json.size() < min || json.size() > max) {
    Bad(field, "an array of " + std::to_string(min) + " to " + std::to_string(max) + " numbers is needed");
  }
  std::vector<double> out;
  for (const Json& item : json) out.push_back(Number(item, field));
  return out;
}

void CheckAscending(const std::vector<double>& numbers, const std::string& field, bool strictly) {
  for (size_t i = 1; i < numbers.size(); ++i) {
    if (strictly ? numbers[i] <= numbers[i - 1] : numbers[i] < numbers[i - 1]) Bad(field, "must ascend");
  }
}

Json CalibrationJson(const Calibration& calibration) {
  if (const auto* platt = std::get_if<stats::Platt>(&calibration.curve)) {
    return {{"kind", "platt"}, {"slope", platt->slope}, {"offset", platt->offset}};
  }
  const auto& isotonic = std::get<stats::Isotonic>(calibration.curve);
  return {{"kind", "isotonic"}, {"margin", isotonic.score}, {"probability", isotonic.probability}};
}

Calibration ReadCalibration(const Json& json, const std::string& at) {
  const std::string kind = Text(Field(json, at, "kind"), at + "kind");
  if (kind == "platt") {
    stats::Platt platt{Number(Field(json, at, "slope"), at + "slope"),
                       Number(Field(json, at, "offset"), at + "offset")};
    if (platt.slope < 0) Bad(at + "slope", "must not be negative");
    return {platt};
  }
  if (kind != "isotonic") Bad(at + "kind", "\"" + kind + "\" is neither platt nor isotonic");
  stats::Isotonic isotonic;
  isotonic.score = Numbers(Field(json, at, "margin"), at + "margin", 1, 100'000);
  isotonic.probability = Numbers(Field(json, at, "probability"), at + "probability", 1, 100'000);
  if (isotonic.score.size() != isotonic.probability.size()) Bad(at + "probability", "must be as many as margins");
  CheckAscending(isotonic.score, at + "margin", true);
  CheckAscending(isotonic.probability, at + "probability", false);
  if (isotonic.probability.front() < 0 || isotonic.probability.back() > 1) Bad(at + "probability", "must be 0 to 1");
  return {isotonic};
}

// The booster's bytes and itself; checks that it is of the objective and as wide as the features.
std::shared_ptr<const Booster> ReadBooster(const Json& json, const std::string& at, const std::string& objective,
                                           size_t features, std::string* bytes) {
  if (!Base64Decode(Text(Field(json, at, "booster"), at + "booster"), bytes)) Bad(at + "booster", "is not base64");
  if (bytes->size() > kBoosterBytesMax) Bad(at + "booster", "is larger than 3 MiB");
  std::shared_ptr<const Booster> booster;
  try {
    booster = Booster::Load(*bytes);
  } catch (const BoosterError& error) {
    Bad(at + "booster", error.what());
  }
  if (booster->objective() != objective) Bad(at + "booster", "is of " + booster->objective() + ", not " + objective);
  if (booster->features() != features) {
    Bad(at + "booster",
        "takes " + std::to_string(booster->features()) + " features, the definitions give " + std::to_string(features));
  }
  return booster;
}

FeatureSpec ReadFeatures(const Json& json) {
  FeatureSpec spec;
  const Json& metrics = Field(json, "", "metrics");
  if (!metrics.is_array() || metrics.size() > kMetricsMax) Bad("metrics", "an array of at most 256 names is needed");
  for (const Json& name : metrics) spec.metrics.push_back(Text(name, "metrics"));
  const std::string unit = Text(Field(json, "", "window_unit"), "window_unit");
  if (unit != "samples" && unit != "seconds") Bad("window_unit", "\"" + unit + "\" is neither samples nor seconds");
  spec.unit = unit == "samples" ? WindowUnit::kSamples : WindowUnit::kSeconds;
  spec.windows = Numbers(Field(json, "", "windows"), "windows", 1, kWindowsMax);
  spec.interval_s = Number(Field(json, "", "interval_s"), "interval_s");
  const Json& age = Field(json, "", "age");
  if (!age.is_boolean()) Bad("age", "true or false is needed");
  spec.age = age.get<bool>();
  if (const std::string problem = spec.Problem(); !problem.empty()) throw ModelError("model." + problem);
  // The names are in the file for people and for Python; a file whose features were defined otherwise is refused.
  const Json& names = Field(json, "", "features");
  if (!names.is_array() || names != Json(spec.Names())) {
    Bad("features", "are not those that this version makes of the metrics and windows; train the model again");
  }
  return spec;
}

}  // namespace

std::string ModelChecksum(const Json& json) {
  Json copy = json;
  copy.erase("checksum");
  return "sha256:" + Sha256Hex(copy.dump(-1, ' ', false, Json::error_handler_t::replace));
}

double Calibration::Apply(double margin) const {
  return std::clamp(std::visit([margin](const auto& fitted) { return fitted.Apply(margin); }, curve), 0.0, 1.0);
}

double TimeScale::ToMargin(double seconds) const {
  return logarithmic ? std::log(std::max(seconds, 1e-9)) : seconds / unit_s;
}

double TimeScale::ToSeconds(double margin) const {
  const double seconds = logarithmic ? std::exp(std::min(margin, 25.0)) : margin * unit_s;
  return std::clamp(seconds, 0.0, kFarSeconds);
}

std::string WriteModel(Model* model) {
  Json json = {
      {"format", kFormat},
      {"schema", kModelSchema},
      {"metrics", model->features.metrics},
      {"window_unit", model->features.unit == WindowUnit::kSamples ? "samples" : "seconds"},
      {"windows", model->features.windows},
      {"interval_s", model->features.interval_s},
      {"age", model->features.age},
      {"features", model->features.Names()},
      {"horizons_s", model->horizons_s},
      {"ranges", model->ranges},
      {"failure",
       {{"booster", Base64Encode(model->failure_bytes)}, {"calibration", CalibrationJson(model->calibration)}}},
      {"time",
       {{"booster", Base64Encode(model->time_bytes)},
        {"scale", model->time_scale.logarithmic ? "log" : "linear"},
        {"unit_s", model->time_scale.unit_s},
        {"cap_s", model->cap_s},
        {"quantiles", model->time_quantiles}}},
      {"training", model->training},
  };
  // Once through text, so that the checksum is of what a reader will have.
  json = Json::parse(json.dump());
  model->checksum = ModelChecksum(json);
  json["checksum"] = model->checksum;
  return json.dump() + "\n";
}

Model ReadModel(const Json& json) {
  if (!json.is_object()) throw ModelError("model: an object is needed");
  if (Text(Field(json, "", "format"), "format") != kFormat) Bad("format", "this is not a model of gbt");
  const Json& schema = Field(json, "", "schema");
  if (!schema.is_number_integer()) Bad("schema", "a whole number is needed");
  if (schema.get<int64_t>() != kModelSchema) {
    Bad("schema", "this is version " + schema.dump() + ", known is " + std::to_string(kModelSchema) +
                      "; train the model again with this version of understudy");
  }
  Model model;
  model.checksum = Text(Field(json, "", "checksum"), "checksum");
  if (model.checksum != ModelChecksum(json)) Bad("checksum", "the file was changed or damaged after the training");
  model.features = ReadFeatures(json);
  model.horizons_s = Numbers(Field(json, "", "horizons_s"), "horizons_s", 1, 16);
  CheckAscending(model.horizons_s, "horizons_s", true);
  if (!(model.horizons_s.front() > 0)) Bad("horizons_s", "must be above 0");
  const Json& ranges = Field(json, "", "ranges");
  if (!ranges.is_array() || ranges.size() != model.features.metrics.size()) Bad("ranges", "one a metric is needed");
  for (const Json& range : ranges) {
    const std::vector<double> pair = Numbers(range, "ranges", 2, 2);
    CheckAscending(pair, "ranges", false);
    model.ranges.push_back({pair[0], pair[1]});
  }
  const Json& failure = Field(json, "", "failure");
  const Json& time = Field(json, "", "time");
  if (!failure.is_object()) Bad("failure", "an object is needed");
  if (!time.is_object()) Bad("time", "an object is needed");
  model.calibration = ReadCalibration(Field(failure, "failure.", "calibration"), "failure.calibration.");
  const std::string scale = Text(Field(time, "time.", "scale"), "time.scale");
  if (scale != "log" && scale != "linear") Bad("time.scale", "\"" + scale + "\" is neither log nor linear");
  model.time_scale.logarithmic = scale == "log";
  model.time_scale.unit_s = Number(Field(time, "time.", "unit_s"), "time.unit_s");
  model.cap_s = Number(Field(time, "time.", "cap_s"), "time.cap_s");
  if (!(model.time_scale.unit_s > 0) || !(model.cap_s > 0)) Bad("time", "unit_s and cap_s must be above 0");
  const std::vector<double> quantiles = Numbers(Field(time, "time.", "quantiles"), "time.quantiles", 3, 3);
  CheckAscending(quantiles, "time.quantiles", false);
  std::copy(quantiles.begin(), quantiles.end(), model.time_quantiles.begin());
  model.training = json.value("training", Json::object());
  const size_t width = model.features.Count();
  model.failure = ReadBooster(failure, "failure.", "binary:logistic", width + 1, &model.failure_bytes);
  model.time = ReadBooster(time, "time.", "survival:aft", width, &model.time_bytes);
  return model;
}

Json ParseJson(std::string_view text) {
  bool deep = false;
  Json json = Json::parse(
      text,
      [&deep](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > kJsonDepthMax;
        return !deep;
      },
      /*allow_exceptions=*/false);
  return deep ? Json(Json::value_t::discarded) : json;
}

Model ParseModel(std::string_view text) {
  if (text.size() > kModelBytesMax) throw ModelError("model: the file is larger than 4 MiB");
  const Json json = ParseJson(text);
  if (json.is_discarded()) throw ModelError("model: not valid JSON; the file is cut off or damaged");
  return ReadModel(json);
}

double FailureProbability(const Model& model, double horizon_s, std::span<float> row) {
  const double asked = std::clamp(horizon_s, model.horizons_s.front(), model.horizons_s.back());
  row[0] = static_cast<float>(asked);
  float margin = 0;
  model.failure->Margins(row, 1, std::span(&margin, 1));
  const double probability = model.calibration.Apply(margin);
  if (horizon_s >= asked) return probability;
  return 1 - std::pow(1 - probability, std::max(0.0, horizon_s) / asked);
}

RemainingTime TimeToFailure(const Model& model, std::span<const float> features) {
  float margin = 0;
  model.time->Margins(features, 1, std::span(&margin, 1));
  RemainingTime time;
  for (size_t i = 0; i < 3; ++i) time.seconds[i] = model.time_scale.ToSeconds(margin + model.time_quantiles[i]);
  return time;
}

}  // namespace understudy::gbt

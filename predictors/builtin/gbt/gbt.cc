// The gbt predictor: boosted trees over windows of metrics, as trained by `understudy train`. docs/predictors.md.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "predictors/builtin/gbt/model.h"
#include "understudy/predictor.hpp"

namespace understudy::gbt {
namespace {

using Json = nlohmann::json;

constexpr double kStaleIntervals = 10;  // a last sample older than this many intervals says nothing of now
constexpr double kStaleSecondsMin = 5;
constexpr double kIntervalFactorMax = 3;  // with windows in seconds: samples this much rarer than in the training
constexpr double kMetricsKnownMin = 0.5;  // share of the metrics without which there is no forecast
constexpr double kFamiliarMin = 0.5;      // share of the known ones that must be near what the training saw

// Instances of one process share a model: it is the larger part of their memory.
std::shared_ptr<const Model> SharedModel(const Json& json) {
  static std::map<std::string, std::weak_ptr<const Model>> models;
  // By what the file is, not by what it says it is: one with a wrong checksum never finds a good one here.
  const std::string checksum = json.is_object() ? ModelChecksum(json) : "";
  if (json.is_object() && json.value("checksum", Json()) == Json(checksum)) {
    if (const auto found = models.find(checksum); found != models.end()) {
      if (auto known = found->second.lock()) return known;
    }
  }
  std::erase_if(models, [](const auto& entry) { return entry.second.expired(); });
  const auto model = std::make_shared<const Model>(ReadModel(json));
  models[model->checksum] = model;
  return model;
}

struct Config {
  std::shared_ptr<const Model> model;
  std::map<std::string, std::string> metrics;  // the model's name -> the name here
};

Config ParseConfig(std::string_view text) {
  const Json json = ParseJson(text);
  if (json.is_discarded()) throw sdk::BadConfig("config: not valid JSON");
  if (!json.is_object()) throw sdk::BadConfig("config: an object is needed");
  Config config;
  for (const auto& [key, value] : json.items()) {
    if (key == "model") {
      try {
        config.model = SharedModel(value);
      } catch (const ModelError& error) {
        throw sdk::BadConfig(error.what());
      }
    } else if (key == "metrics") {
      if (!value.is_object())
        throw sdk::BadConfig("metrics: an object {\"name in the model\": \"name here\"} is needed");
      for (const auto& [from, to] : value.items()) {
        if (!to.is_string() || to.get<std::string>().empty() || to.get<std::string>().size() > 128) {
          throw sdk::BadConfig("metrics." + from + ": a name of 1 to 128 bytes is needed");
        }
        config.metrics[from] = to.get<std::string>();
      }
    } else if (key == "model_file") {
      throw sdk::BadConfig("model_file: whoever loads the plugin must read the file and hand it over as \"model\"");
    } else {
      throw sdk::BadConfig(key + ": unknown field");
    }
  }
  if (!config.model) throw sdk::BadConfig("model_file: required (as made by `understudy train`)");
  const std::vector<std::string>& wanted = config.model->features.metrics;
  for (const auto& [from, to] : config.metrics) {
    if (std::find(wanted.begin(), wanted.end(), from) == wanted.end()) {
      throw sdk::BadConfig("metrics." + from + ": the model has no such metric");
    }
  }
  return config;
}

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string Listed(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < 4; ++i) out += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > 4) out += " and " + std::to_string(names.size() - 4) + " more";
  return out;
}

class Gbt {
 public:
  Gbt(sdk::Host host, std::string_view config)
      : host_(host),
        config_(ParseConfig(config)),
        model_(*config_.model),
        state_(&model_.features),
        values_(model_.features.metrics.size()),
        row_(model_.features.Count() + 1) {}

  std::vector<std::string> Metrics() const {
    std::vector<std::string> names;
    for (const std::string& name : model_.features.metrics) {
      const auto renamed = config_.metrics.find(name);
      names.push_back(renamed == config_.metrics.end() ? name : renamed->second);
    }
    return names;
  }

  void Observe(const sdk::SampleView& sample) {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = sample[i].value_or(std::nan(""));
    state_.Observe(sample.time_ns(), values_);
  }

  int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const {
    double confidence = 0;
    std::string remark;
    if (const int32_t refused = Judge(now_ns, &confidence, &remark); refused != UNDERSTUDY_OK) return refused;
    state_.Fill(std::span(row_).subspan(1));
    const RemainingTime time = TimeToFailure(model_, std::span(row_).subspan(1));
    for (understudy_forecast& forecast : forecasts) {
      const double horizon_s = static_cast<double>(forecast.horizon_ns) * 1e-9;
      forecast.probability = FailureProbability(model_, horizon_s, row_);
      forecast.confidence = confidence;
      // Beyond the cap the training only said "at least so long": no time is better than a made-up one.
      if (time.seconds[0] < model_.cap_s) {
        forecast.has_ttf = 1;
        forecast.ttf_p10_s = time.seconds[0];
        forecast.ttf_p50_s = time.seconds[1];
        forecast.ttf_p90_s = time.seconds[2];
      }
      std::string reason = "failure within " + Short(horizon_s) + " s at " + Short(100 * forecast.probability) + " %";
      if (horizon_s > model_.horizons_s.back()) {
        reason += " at least (trained up to " + Short(model_.horizons_s.back()) + " s)";
      }
      reason += time.seconds[1] < model_.cap_s ? ", about " + Short(time.seconds[1]) + " s left"
                                               : ", more than " + Short(model_.cap_s) + " s left";
      sdk::SetReason(&forecast, reason + Unusual() + remark);
    }
    return UNDERSTUDY_OK;
  }

  void Reset(int32_t why) {
    if (why == UNDERSTUDY_RESET_GAP) {
      state_.ForgetWindows();
    } else {
      state_.Reset();
    }
  }

  // The model's checksum stands first: a state belongs to one model.
  std::string Save() const { return model_.checksum + "\n" + state_.Save(); }
  bool Restore(std::string_view bytes) {
    const std::string head = model_.checksum + "\n";
    return bytes.starts_with(head) && state_.Restore(bytes.substr(head.size()));
  }

 private:
  // Whether the samples allow a forecast, and how much it is worth.
  int32_t Judge(int64_t now_ns, double* confidence, std::string* remark) const {
    const std::vector<std::string> names = Metrics();
    if (state_.samples() == 0) {
      host_.Explain("no sample yet");
      return UNDERSTUDY_WARMING;
    }
    const double age_s = static_cast<double>(now_ns - state_.last_ns()) * 1e-9;
    if (age_s > std::max(kStaleSecondsMin, kStaleIntervals * model_.features.interval_s)) {
      host_.Explain("the last sample is " + Short(age_s) + " s old");
      return UNDERSTUDY_ABSTAIN;
    }
    std::vector<std::string> missing, strange;
    for (size_t i = 0; i < names.size(); ++i) {
      if (!state_.SeenInWindow(i, 0)) {
        missing.push_back(names[i]);
      } else if (Strange(i)) {
        strange.push_back(names[i]);
      }
    }
    const double all = static_cast<double>(names.size());
    const double known = all - static_cast<double>(missing.size());
    if (known < kMetricsKnownMin * all || known == 0) {
      host_.Explain("the samples lack " + std::to_string(missing.size()) + " of the " + std::to_string(names.size()) +
                    " metrics that the model was trained on: " + Listed(missing));
      return UNDERSTUDY_ABSTAIN;
    }
    if (!state_.Ready()) {
      host_.Explain("only " + std::to_string(state_.samples()) + " samples yet");
      return UNDERSTUDY_WARMING;
    }
    if (const auto interval_s = state_.IntervalSeconds();
        interval_s && model_.features.unit == WindowUnit::kSeconds &&
        *interval_s > kIntervalFactorMax * model_.features.interval_s) {
      host_.Explain("samples come every " + Short(*interval_s) + " s; the model was trained on one every " +
                    Short(model_.features.interval_s) + " s");
      return UNDERSTUDY_ABSTAIN;
    }
    const double familiar = 1 - static_cast<double>(strange.size()) / known;
    if (familiar < kFamiliarMin) {
      host_.Explain(std::to_string(strange.size()) +
                    " metrics are far outside what the model was trained on: " + Listed(strange));
      return UNDERSTUDY_ABSTAIN;
    }
    *confidence = known / all * familiar;
    if (!strange.empty()) *remark = "; not seen in the training: " + Listed(strange);
    return UNDERSTUDY_OK;
  }

  // Further outside the training's range than that range is wide.
  bool Strange(size_t metric) const {
    const double value = state_.last(metric);
    const auto [low, high] = model_.ranges[metric];
    const double wide = std::max(high - low, 1e-9 * std::max(std::abs(low), std::abs(high)));
    return value < low - wide || value > high + wide;  // NaN is neither
  }

  // The metric nearest to an end of its range, when it is near: a hint for people where to look.
  std::string Unusual() const {
    double best = 0.9;
    std::string text;
    for (size_t i = 0; i < values_.size(); ++i) {
      const auto [low, high] = model_.ranges[i];
      const double middle = low + (high - low) / 2, value = state_.last(i);
      if (!(high > low) || std::isnan(value)) continue;
      const double off = std::abs(value - middle) / ((high - low) / 2);
      if (off <= best) continue;
      best = off;
      text = "; " + model_.features.metrics[i] + " " + Short(value) + " is near the " +
             (value > middle ? "top" : "bottom") + " of what was seen in the training";
    }
    return text;
  }

  sdk::Host host_;
  Config config_;
  const Model& model_;
  FeatureState state_;
  std::vector<double> values_;
  mutable std::vector<float> row_;  // scratch of Predict; calls never overlap
};

}  // namespace
}  // namespace understudy::gbt

UNDERSTUDY_PREDICTOR(understudy::gbt::Gbt, "gbt", "1.0.0")

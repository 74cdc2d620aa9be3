// A loaded plugin and its instances, called directly in this process: the one place that calls through the C ABI of
// understudy/predictor.h. One thread at a time for a library and all its instances.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "predictors/host/predictor_host.h"
#include "understudy/predictor.h"
#include "understudy/status.h"

namespace understudy {

class PluginLibrary {
 public:
  // Loads and checks the plugin: kNotFound (no such file), kUnsupported (another ABI version), kInvalidArgument (not
  // a plugin, or its table is malformed; the message says how). A library is never unloaded again.
  static Result<std::unique_ptr<PluginLibrary>> Load(const std::string& path);

  // Checks a table and completes it: slots it does not have are NULL. For Load, and for tests without a file.
  static Result<std::unique_ptr<PluginLibrary>> FromTable(const understudy_predictor_api* table);

  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }
  const understudy_predictor_api& api() const { return api_; }

 private:
  PluginLibrary() = default;
  understudy_predictor_api api_ = {};
  std::string name_, version_;
};

// What a call into the plugin came to.
struct PluginAnswer {
  int32_t code = UNDERSTUDY_OK;  // UNDERSTUDY_OK, _WARMING, _ABSTAIN or an error
  std::string text;              // the plugin's explanation, or ours
  bool ok() const { return code == UNDERSTUDY_OK; }
};

// The metrics of one moment, by the instance's metric index; NaN: missing.
struct PluginSample {
  int64_t time_ns = 0;
  std::vector<double> values;
  bool operator==(const PluginSample&) const = default;  // (NaN is never equal)
};

class PluginInstance {
 public:
  // `library` must outlive the instance. On failure `*why` says it and the result is null.
  static std::unique_ptr<PluginInstance> Create(const PluginLibrary* library, std::string config, uint64_t seed,
                                                PluginAnswer* why);
  ~PluginInstance();
  PluginInstance(const PluginInstance&) = delete;
  PluginInstance& operator=(const PluginInstance&) = delete;

  const std::vector<std::string>& metrics() const { return metrics_; }

  PluginAnswer Observe(const std::vector<PluginSample>& samples);
  // On OK fills one forecast a horizon; they are as the plugin gave them: CheckForecast judges.
  PluginAnswer Predict(int64_t now_ns, const std::vector<int64_t>& horizons_ms, std::vector<Forecast>* out);
  // The same without copies, for replays at full speed: each sample has one value and one mark a metric, each later
  // than the ones before; forecasts come zeroed but for their horizons, which ascend. What returns is the code.
  int32_t ObserveInPlace(const understudy_sample* samples, size_t count);
  int32_t PredictInPlace(int64_t now_ns, understudy_forecast* forecasts, size_t count);
  // Why the last call returned something else than OK; empty when the plugin gave no reason.
  const std::string& explanation() const;

  // A plugin that cannot reset is created anew.
  PluginAnswer Reset(int32_t why);
  PluginAnswer Feedback(int64_t time_ns, int32_t kind, double lead_s);  // OK when not offered
  PluginAnswer Save(std::string* out);                                  // FAILED when not offered or too large
  PluginAnswer Restore(const std::string& state);                       // BAD_STATE when not offered

  // What the plugin has logged since the last call, at most 10 lines.
  std::vector<std::string> TakeLog();

 private:
  struct Context;
  PluginInstance(const PluginLibrary* library, std::string config, uint64_t seed);
  template <class Call>
  PluginAnswer Guard(Call call);
  PluginAnswer Open();

  const PluginLibrary* library_;
  std::string config_;
  std::unique_ptr<Context> context_;
  understudy_predictor* self_ = nullptr;
  std::vector<std::string> metrics_;
};

// Empty when the forecast is possible; otherwise what is wrong with it: "probability is nan".
std::string CheckForecast(const Forecast& forecast);

// A plugin's text made safe to show and to store: valid UTF-8, no control characters, at most `bytes_max`.
std::string SafeText(const std::string& text, size_t bytes_max);

}  // namespace understudy

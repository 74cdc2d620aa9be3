#include "predictors/host/plugin_library.h"

#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <limits>

namespace understudy {
namespace {

constexpr size_t kLogLinesMax = 10;
constexpr size_t kTextBytesMax = 400;
constexpr size_t kTableBytesMax = 4096;  // a larger struct_size is garbage, not the future

std::string Size(size_t n) { return std::to_string(n); }

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

Result<std::unique_ptr<PluginLibrary>> PluginLibrary::Load(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return Status(StatusCode::kNotFound, path + ": no such plugin");
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    return Status(StatusCode::kInvalidArgument, why == nullptr ? path + ": cannot be loaded" : SafeText(why, 400));
  }
  void* symbol = dlsym(handle, UNDERSTUDY_PREDICTOR_ENTRY_SYMBOL);
  if (symbol == nullptr) {
    return Status(StatusCode::kInvalidArgument, path + ": does not export " UNDERSTUDY_PREDICTOR_ENTRY_SYMBOL);
  }
  decltype(&understudy_predictor_entry) entry = nullptr;
  static_assert(sizeof entry == sizeof symbol);
  std::memcpy(&entry, &symbol, sizeof entry);
  const understudy_predictor_api* table = nullptr;
  try {
    table = entry(UNDERSTUDY_PREDICTOR_ABI);
  } catch (...) {
    return Status(StatusCode::kInvalidArgument, path + ": its entry function threw an exception");
  }
  if (table == nullptr) {
    return Status(StatusCode::kUnsupported,
                  path + ": does not support predictor ABI version " + Size(UNDERSTUDY_PREDICTOR_ABI_MAJOR));
  }
  Result<std::unique_ptr<PluginLibrary>> library = FromTable(table);
  if (!library.ok()) return library.status().WithContext(path);
  return library;
}

Result<std::unique_ptr<PluginLibrary>> PluginLibrary::FromTable(const understudy_predictor_api* table) {
  const size_t size = table->struct_size;
  const size_t needed = offsetof(understudy_predictor_api, predict) + sizeof table->predict;
  if (size < needed || size > kTableBytesMax || size % sizeof(void*) != 0) {
    return Status(StatusCode::kInvalidArgument,
                  "struct_size " + Size(size) + " is impossible: the required slots take " + Size(needed) + " bytes");
  }
  if (table->abi >> 16 != UNDERSTUDY_PREDICTOR_ABI_MAJOR) {
    return Status(StatusCode::kUnsupported, "made for predictor ABI version " + Size(table->abi >> 16) +
                                                ", this host has " + Size(UNDERSTUDY_PREDICTOR_ABI_MAJOR));
  }
  std::unique_ptr<PluginLibrary> library(new PluginLibrary());
  understudy_predictor_api& api = library->api_;
  std::memcpy(&api, table, size < sizeof api ? size : sizeof api);
  const struct {
    const char* name;
    bool missing;
  } slots[] = {{"name", api.name == nullptr},       {"version", api.version == nullptr},
               {"create", api.create == nullptr},   {"destroy", api.destroy == nullptr},
               {"metrics", api.metrics == nullptr}, {"observe", api.observe == nullptr},
               {"predict", api.predict == nullptr}};
  for (const auto& slot : slots) {
    if (slot.missing)
      return Status(StatusCode::kInvalidArgument, std::string("required slot ") + slot.name + " is NULL");
  }
  library->name_ = SafeText(api.name, 64);
  library->version_ = SafeText(api.version, 64);
  return library;
}

struct PluginInstance::Context {
  understudy_host host = {};
  std::string explanation;
  std::vector<std::string> log;
};

PluginInstance::PluginInstance(const PluginLibrary* library, std::string config, uint64_t seed)
    : library_(library), config_(std::move(config)), context_(std::make_unique<Context>()) {
  understudy_host& host = context_->host;
  host.struct_size = sizeof host;
  host.abi = UNDERSTUDY_PREDICTOR_ABI;
  host.context = context_.get();
  host.seed = seed;
  host.log = [](void* context, int32_t level, const char* message) {
    auto* self = static_cast<Context*>(context);
    if (message == nullptr || self->log.size() >= kLogLinesMax) return;
    self->log.push_back((level >= UNDERSTUDY_LOG_WARNING ? "warning: " : "") + SafeText(message, kTextBytesMax));
  };
  host.explain = [](void* context, const char* message) {
    if (message != nullptr) static_cast<Context*>(context)->explanation = SafeText(message, kTextBytesMax);
  };
}

PluginInstance::~PluginInstance() {
  if (self_ == nullptr) return;
  Guard([this] {
    library_->api().destroy(self_);
    return UNDERSTUDY_OK;
  });
}

// The ABI forbids exceptions to leave a call. One that does all the same must not end the other instances.
template <class Call>
PluginAnswer PluginInstance::Guard(Call call) {
  context_->explanation.clear();
  PluginAnswer answer;
  try {
    answer.code = call();
  } catch (const std::exception& error) {
    answer.code = UNDERSTUDY_FAILED;
    context_->explanation = SafeText(std::string("threw ") + error.what(), kTextBytesMax);
  } catch (...) {
    answer.code = UNDERSTUDY_FAILED;
    context_->explanation = "threw an exception";
  }
  if (answer.code != UNDERSTUDY_OK) {
    answer.text = context_->explanation.empty() ? "it gave no reason" : context_->explanation;
  }
  return answer;
}

PluginAnswer PluginInstance::Open() {
  const understudy_predictor_api& api = library_->api();
  understudy_predictor* self = nullptr;
  PluginAnswer answer = Guard([&] { return api.create(&context_->host, config_.c_str(), config_.size(), &self); });
  if (!answer.ok()) return answer;
  if (self == nullptr) return {UNDERSTUDY_FAILED, "create returned OK without an instance"};
  self_ = self;
  const char* const* names = nullptr;
  size_t count = 0;
  answer = Guard([&] { return api.metrics(self_, &names, &count); });
  if (!answer.ok()) return answer;
  if (count > UNDERSTUDY_METRICS_MAX || (count > 0 && names == nullptr)) {
    return {UNDERSTUDY_FAILED, "metrics named " + Size(count) + " metrics; at most 256 are possible"};
  }
  metrics_.clear();
  for (size_t i = 0; i < count; ++i) {
    if (names[i] == nullptr || strnlen(names[i], UNDERSTUDY_METRIC_NAME_MAX + 1) > UNDERSTUDY_METRIC_NAME_MAX) {
      return {UNDERSTUDY_FAILED, "the name of metric " + Size(i) + " is NULL or longer than 128 bytes"};
    }
    metrics_.push_back(SafeText(names[i], UNDERSTUDY_METRIC_NAME_MAX));
  }
  return answer;
}

std::unique_ptr<PluginInstance> PluginInstance::Create(const PluginLibrary* library, std::string config, uint64_t seed,
                                                       PluginAnswer* why) {
  std::unique_ptr<PluginInstance> instance(new PluginInstance(library, std::move(config), seed));
  *why = instance->Open();
  // Only for a reset by making it anew: it may hold a whole model, and there is one instance a primary.
  if (library->api().reset != nullptr) std::string().swap(instance->config_);
  return why->ok() ? std::move(instance) : nullptr;
}

PluginAnswer PluginInstance::Observe(const std::vector<PluginSample>& samples) {
  if (samples.empty()) return {};
  // present[] and values[] of all samples in one piece each; missing values stay NaN, never zero.
  std::vector<uint8_t> present;
  std::vector<understudy_sample> views;
  for (const PluginSample& sample : samples) {
    if (sample.values.size() != metrics_.size()) return {UNDERSTUDY_FAILED, "a sample of the wrong size"};
    for (double value : sample.values) present.push_back(std::isfinite(value) ? 1 : 0);
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    views.push_back({samples[i].time_ns, samples[i].values.data(), present.data() + i * metrics_.size(), 0});
  }
  return Guard([&] { return library_->api().observe(self_, views.data(), views.size()); });
}

PluginAnswer PluginInstance::Predict(int64_t now_ns, const std::vector<int64_t>& horizons_ms,
                                     std::vector<Forecast>* out) {
  std::vector<understudy_forecast> forecasts(horizons_ms.size());
  for (size_t i = 0; i < horizons_ms.size(); ++i) forecasts[i].horizon_ns = horizons_ms[i] * kNsPerMs;
  PluginAnswer answer =
      Guard([&] { return library_->api().predict(self_, now_ns, forecasts.data(), forecasts.size()); });
  out->clear();
  if (!answer.ok()) return answer;
  for (size_t i = 0; i < forecasts.size(); ++i) {
    const understudy_forecast& from = forecasts[i];
    Forecast forecast;
    forecast.predictor = library_->name();
    forecast.version = library_->version();
    forecast.status = ForecastStatus::kOk;
    forecast.horizon_ms = horizons_ms[i];
    forecast.probability = from.probability;
    forecast.confidence = from.confidence;
    forecast.has_ttf = from.has_ttf != 0;
    if (forecast.has_ttf) {
      forecast.ttf_p10_s = from.ttf_p10_s;
      forecast.ttf_p50_s = from.ttf_p50_s;
      forecast.ttf_p90_s = from.ttf_p90_s;
    }
    forecast.reason = SafeText(std::string(from.reason, strnlen(from.reason, sizeof from.reason)), sizeof from.reason);
    out->push_back(std::move(forecast));
  }
  return answer;
}

int32_t PluginInstance::ObserveInPlace(const understudy_sample* samples, size_t count) {
  return Guard([&] { return library_->api().observe(self_, samples, count); }).code;
}

int32_t PluginInstance::PredictInPlace(int64_t now_ns, understudy_forecast* forecasts, size_t count) {
  return Guard([&] { return library_->api().predict(self_, now_ns, forecasts, count); }).code;
}

const std::string& PluginInstance::explanation() const { return context_->explanation; }

PluginAnswer PluginInstance::Reset(int32_t why) {
  const understudy_predictor_api& api = library_->api();
  if (api.reset != nullptr) return Guard([&] { return api.reset(self_, why); });
  Guard([&] {
    api.destroy(self_);
    return UNDERSTUDY_OK;
  });
  self_ = nullptr;
  const std::vector<std::string> before = metrics_;
  PluginAnswer answer = Open();
  if (answer.ok() && metrics_ != before) answer = {UNDERSTUDY_FAILED, "wants other metrics after a reset"};
  return answer;
}

PluginAnswer PluginInstance::Feedback(int64_t time_ns, int32_t kind, double lead_s) {
  if (library_->api().feedback == nullptr) return {};
  understudy_outcome outcome = {};
  outcome.time_ns = time_ns;
  outcome.kind = kind;
  outcome.lead_s = lead_s;
  return Guard([&] { return library_->api().feedback(self_, &outcome); });
}

PluginAnswer PluginInstance::Save(std::string* out) {
  if (library_->api().save == nullptr) return {UNDERSTUDY_FAILED, "save is not offered"};
  out->clear();
  const understudy_state_sink sink = [](void* context, const void* bytes, size_t size) -> int32_t {
    auto* state = static_cast<std::string*>(context);
    if (size > UNDERSTUDY_STATE_MAX - state->size()) return 1;
    state->append(static_cast<const char*>(bytes), size);
    return 0;
  };
  PluginAnswer answer = Guard([&] { return library_->api().save(self_, sink, out); });
  if (!answer.ok()) out->clear();
  return answer;
}

PluginAnswer PluginInstance::Restore(const std::string& state) {
  if (library_->api().restore == nullptr) return {UNDERSTUDY_BAD_STATE, "restore is not offered"};
  return Guard([&] { return library_->api().restore(self_, state.data(), state.size()); });
}

std::vector<std::string> PluginInstance::TakeLog() { return std::move(context_->log); }

const char* ForecastStatusName(ForecastStatus status) {
  switch (status) {
    case ForecastStatus::kOk:
      return "OK";
    case ForecastStatus::kWarming:
      return "WARMING";
    case ForecastStatus::kAbstain:
      return "ABSTAIN";
  }
  return "ABSTAIN";
}

std::string CheckForecast(const Forecast& forecast) {
  // Written so that NaN fails every comparison.
  if (!(forecast.probability >= 0 && forecast.probability <= 1)) {
    return "probability is " + Number(forecast.probability) + ", not within 0 and 1";
  }
  if (!(forecast.confidence >= 0 && forecast.confidence <= 1)) {
    return "confidence is " + Number(forecast.confidence) + ", not within 0 and 1";
  }
  if (forecast.has_ttf && !(forecast.ttf_p10_s >= 0 && forecast.ttf_p10_s <= forecast.ttf_p50_s &&
                            forecast.ttf_p50_s <= forecast.ttf_p90_s && std::isfinite(forecast.ttf_p90_s))) {
    return "the time to failure is not 0 <= p10 <= p50 <= p90";
  }
  return "";
}

std::string SafeText(const std::string& text, size_t bytes_max) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    size_t length = byte < 0x80                   ? 1
                    : byte >= 0xC2 && byte < 0xE0 ? 2
                    : byte >= 0xE0 && byte < 0xF0 ? 3
                    : byte >= 0xF0 && byte < 0xF5 ? 4
                                                  : 0;
    bool good = length > 0 && i + length <= text.size() && byte >= 0x20 && byte != 0x7F;
    for (size_t k = 1; good && k < length; ++k) good = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    if (good && length == 3) {
      const auto next = static_cast<unsigned char>(text[i + 1]);  // overlong forms and surrogates
      good = !(byte == 0xE0 && next < 0xA0) && !(byte == 0xED && next >= 0xA0);
    } else if (good && length == 4) {
      const auto next = static_cast<unsigned char>(text[i + 1]);
      good = !(byte == 0xF0 && next < 0x90) && !(byte == 0xF4 && next >= 0x90);
    }
    if (!good) length = 1;
    if (out.size() + length > bytes_max) break;
    if (good) {
      out.append(text, i, length);
    } else {
      out.push_back('?');
    }
    i += length;
  }
  return out;
}

}  // namespace understudy

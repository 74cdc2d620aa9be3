// `understudy predictor new`: a plugin that builds, passes `predictor check` and forecasts on the trace beside it.
#include "client/cli/predictor_new.h"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"

namespace understudy::cli {
namespace {

constexpr char kCpp[] = R"text(// @NAME@: forecasts a failure when queue.depth grows towards its capacity.
#include <understudy/predictor.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

namespace {

constexpr double kCapacity = 1000;       // queue.depth at which the service fails
constexpr double kHalfLifeS = 20;        // older slopes count half after so long
constexpr int64_t kStaleNs = 30'000'000'000;

class Predictor {
 public:
  // The configuration is the JSON of the service file; this plugin has none. A plugin with fields parses them here,
  // with the JSON library it likes, and names the wrong one: throw BadConfig("capacity: must be above 0").
  Predictor(understudy::sdk::Host host, std::string_view config) : host_(host) {
    if (config != "{}") throw understudy::sdk::BadConfig("config: @NAME@ has no fields, give {}");
  }

  std::vector<std::string> Metrics() const { return {"queue.depth"}; }

  void Observe(const understudy::sdk::SampleView& sample) {
    if (!sample[0]) return;  // missing is not zero: it changes nothing
    const double value = *sample[0];
    if (samples_ > 0) {
      const double seconds = static_cast<double>(sample.time_ns() - last_ns_) * 1e-9;
      const double weight = 1 - std::exp2(-seconds / kHalfLifeS);
      const double slope = (value - last_) / seconds;
      const double next = samples_ == 1 ? slope : slope_ + weight * (slope - slope_);
      if (std::isfinite(next)) slope_ = next;  // values beyond all measure teach nothing
    }
    last_ = value;
    last_ns_ = sample.time_ns();
    ++samples_;
  }

  int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const {
    if (samples_ < 10) {
      host_.Explain(std::to_string(samples_) + " samples of queue.depth, 10 are needed");
      return UNDERSTUDY_WARMING;
    }
    if (now_ns - last_ns_ > kStaleNs) {
      host_.Explain("no value of queue.depth in the last 30 s");
      return UNDERSTUDY_ABSTAIN;
    }
    // Seconds until the line through the last value reaches the capacity.
    const double left_s = last_ >= kCapacity ? 0 : slope_ > 0 ? (kCapacity - last_) / slope_ : INFINITY;
    for (understudy_forecast& forecast : forecasts) {
      const double horizon_s = static_cast<double>(forecast.horizon_ns) * 1e-9;
      forecast.probability = std::isfinite(left_s) ? 0.9 * std::min(1.0, horizon_s / std::max(left_s, 1e-3)) : 0.01;
      forecast.confidence = 1;
      if (left_s < 30 * 86400) {
        forecast.has_ttf = 1;
        forecast.ttf_p10_s = 0.5 * left_s;
        forecast.ttf_p50_s = left_s;
        forecast.ttf_p90_s = 2 * left_s;
      }
      understudy::sdk::SetReason(&forecast, "queue.depth " + std::to_string(last_) + ", " + std::to_string(slope_) +
                                                " a second, capacity 1000");
    }
    return UNDERSTUDY_OK;
  }

  // Another process: what was observed no longer counts.
  void Reset(int32_t) { *this = Predictor(host_, "{}"); }

 private:
  understudy::sdk::Host host_;
  int64_t samples_ = 0, last_ns_ = 0;
  double last_ = 0, slope_ = 0;
};

}  // namespace

UNDERSTUDY_PREDICTOR(Predictor, "@NAME@", "0.1.0")
)text";

constexpr char kC[] = R"text(/* @NAME@: forecasts a failure when queue.depth grows towards its capacity. C99. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <understudy/predictor.h>

static const double kCapacity = 1000; /* queue.depth at which the service fails */
static const double kHalfLifeS = 20;  /* older slopes count half after so long */
static const int64_t kStaleNs = 30000000000;

struct understudy_predictor {
  const understudy_host *host;
  int64_t samples, last_ns;
  double last, slope;
};

static const char *const kMetrics[] = {"queue.depth"};

/* The configuration is the JSON of the service file; this plugin has none. One with fields names the wrong one. */
static int32_t Create(const understudy_host *host, const char *config, size_t size, understudy_predictor **out) {
  understudy_predictor *self;
  if (size != 2 || memcmp(config, "{}", 2) != 0) {
    host->explain(host->context, "config: @NAME@ has no fields, give {}");
    return UNDERSTUDY_BAD_CONFIG;
  }
  self = calloc(1, sizeof *self);
  if (self == NULL) {
    host->explain(host->context, "out of memory");
    return UNDERSTUDY_FAILED;
  }
  self->host = host;
  *out = self;
  return UNDERSTUDY_OK;
}

static void Destroy(understudy_predictor *self) { free(self); }

static int32_t Metrics(understudy_predictor *self, const char *const **names, size_t *count) {
  (void)self;
  *names = kMetrics;
  *count = 1;
  return UNDERSTUDY_OK;
}

static int32_t Observe(understudy_predictor *self, const understudy_sample *samples, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i) {
    double value;
    if (!samples[i].present[0]) continue; /* missing is not zero: it changes nothing */
    value = samples[i].values[0];
    if (self->samples > 0) {
      const double seconds = (double)(samples[i].time_ns - self->last_ns) * 1e-9;
      const double weight = 1 - pow(2, -seconds / kHalfLifeS);
      const double slope = (value - self->last) / seconds;
      const double next = self->samples == 1 ? slope : self->slope + weight * (slope - self->slope);
      if (isfinite(next)) self->slope = next; /* values beyond all measure teach nothing */
    }
    self->last = value;
    self->last_ns = samples[i].time_ns;
    self->samples++;
  }
  return UNDERSTUDY_OK;
}

static int32_t Predict(understudy_predictor *self, int64_t now_ns, understudy_forecast *forecasts, size_t count) {
  double left_s;
  size_t i;
  if (self->samples < 10) {
    self->host->explain(self->host->context, "fewer than 10 samples of queue.depth");
    return UNDERSTUDY_WARMING;
  }
  if (now_ns - self->last_ns > kStaleNs) {
    self->host->explain(self->host->context, "no value of queue.depth in the last 30 s");
    return UNDERSTUDY_ABSTAIN;
  }
  /* Seconds until the line through the last value reaches the capacity. */
  left_s = self->last >= kCapacity ? 0 : self->slope > 0 ? (kCapacity - self->last) / self->slope : HUGE_VAL;
  for (i = 0; i < count; ++i) {
    const double horizon_s = (double)forecasts[i].horizon_ns * 1e-9;
    const double share = horizon_s / (left_s > 1e-3 ? left_s : 1e-3);
    forecasts[i].probability = isfinite(left_s) ? 0.9 * (share < 1 ? share : 1) : 0.01;
    forecasts[i].confidence = 1;
    if (left_s < 30.0 * 86400) {
      forecasts[i].has_ttf = 1;
      forecasts[i].ttf_p10_s = 0.5 * left_s;
      forecasts[i].ttf_p50_s = left_s;
      forecasts[i].ttf_p90_s = 2 * left_s;
    }
    snprintf(forecasts[i].reason, sizeof forecasts[i].reason, "queue.depth %g, %g a second, capacity %g", self->last,
             self->slope, kCapacity);
  }
  return UNDERSTUDY_OK;
}

/* Another process: what was observed no longer counts. */
static int32_t Reset(understudy_predictor *self, int32_t why) {
  const understudy_host *host = self->host;
  (void)why;
  memset(self, 0, sizeof *self);
  self->host = host;
  return UNDERSTUDY_OK;
}

static const understudy_predictor_api kApi = {
    .struct_size = sizeof kApi,
    .abi = UNDERSTUDY_PREDICTOR_ABI,
    .name = "@NAME@",
    .version = "0.1.0",
    .create = Create,
    .destroy = Destroy,
    .metrics = Metrics,
    .observe = Observe,
    .predict = Predict,
    .reset = Reset,
};

const understudy_predictor_api *understudy_predictor_entry(uint32_t host_abi) {
  return host_abi >> 16 == UNDERSTUDY_PREDICTOR_ABI_MAJOR ? &kApi : NULL;
}
)text";

constexpr char kCMake[] = R"text(cmake_minimum_required(VERSION 3.16)
project(@NAME@ LANGUAGES @LANGUAGE@)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_package(understudy REQUIRED COMPONENTS predictor)
add_library(@NAME@ MODULE @SOURCE@)
target_link_libraries(@NAME@ PRIVATE understudy::predictor@MATH@)
target_compile_features(@NAME@ PRIVATE @STANDARD@)
target_compile_options(@NAME@ PRIVATE -Wall -Wextra)
set_target_properties(@NAME@ PROPERTIES PREFIX "" @VISIBILITY@ hidden)
install(TARGETS @NAME@ LIBRARY DESTINATION lib/understudy/predictors)
)text";

constexpr char kReadme[] = R"text(# @NAME@

A predictor plugin for understudy.

    cmake -S . -B build && cmake --build build         # add -DCMAKE_PREFIX_PATH=... when understudy is not in /usr or /usr/local
    understudy predictor check build/@NAME@.so           # does it keep the rules?
    understudy predictor run build/@NAME@.so trace.csv   # what does it say over a recorded run?
    cmake --install build --prefix /usr/local            # next to the plugins that come with understudy

In a service file:

    "predictors": [{"plugin": "@NAME@", "config": {}, "shadow": true}]

With `"shadow": true` its forecasts are recorded and never obeyed: begin with that. `plugin` may also be a path.

`trace.csv` is a queue that grows until the service fails (`trace.events.json` says when). `understudy record` makes such
files of your own services.
)text";

std::string Replace(std::string text, const std::vector<std::pair<std::string, std::string>>& words) {
  for (const auto& [from, to] : words) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

// 10 minutes, one row a second: quiet, then growing until 1000 is reached; a few values are missing.
std::pair<std::string, std::string> TestTrace() {
  std::string csv = "time_s,queue.depth\n";
  double failed_at = 0;
  for (int t = 0; t < 600 && failed_at == 0; ++t) {
    const double depth = 40 + 10 * std::sin(t / 7.0) + (t > 180 ? 2.6 * (t - 180) : 0);
    char row[64];
    std::snprintf(row, sizeof row, t % 97 == 50 ? "%d,\n" : "%d,%.1f\n", t, depth);
    csv += row;
    if (depth >= 1000) failed_at = t;
  }
  char events[160];
  std::snprintf(events, sizeof events,
                "[{\"time_s\": %.0f, \"end_s\": %.0f, \"kind\": \"failure\", \"note\": \"the queue is full\"}]\n",
                failed_at, failed_at);
  return {csv, events};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> PluginFiles(const std::string& name, const std::string& language) {
  const bool cpp = language == "cpp";
  const std::vector<std::pair<std::string, std::string>> words = {
      {"@NAME@", name},
      {"@LANGUAGE@", cpp ? "CXX" : "C"},
      {"@SOURCE@", name + (cpp ? ".cc" : ".c")},
      {"@MATH@", cpp ? "" : " m"},
      {"@STANDARD@", cpp ? "cxx_std_20" : "c_std_99"},
      {"@VISIBILITY@", cpp ? "CXX_VISIBILITY_PRESET" : "C_VISIBILITY_PRESET"}};
  const auto [csv, events] = TestTrace();
  return {{name + (cpp ? ".cc" : ".c"), Replace(cpp ? kCpp : kC, words)},
          {"CMakeLists.txt", Replace(kCMake, words)},
          {"README.md", Replace(kReadme, words)},
          {"trace.csv", csv},
          {"trace.events.json", events}};
}

int RunPredictorNew(const Arguments& arguments) {
  const std::string name = arguments.Text("NAME"), language = arguments.Text("language");
  bool good = !name.empty() && name.size() <= 64 && std::isalpha(static_cast<unsigned char>(name[0])) != 0;
  for (char c : name) good = good && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_');
  if (!good) {
    return Fail(
        {StatusCode::kInvalidArgument, "NAME: '" + name + "' must be 1 to 64 letters, digits and '_', a letter first"});
  }
  if (language != "c" && language != "cpp") {
    return Fail({StatusCode::kInvalidArgument, "--language: '" + language + "' is neither c nor cpp"});
  }
  const std::filesystem::path folder = arguments.Given("dir") ? arguments.Text("dir") : name;
  std::error_code error;
  if (std::filesystem::exists(folder, error) && !std::filesystem::is_empty(folder, error)) {
    return Fail({StatusCode::kAlreadyExists, folder.string() + ": exists and is not empty; nothing was written"});
  }
  std::filesystem::create_directories(folder, error);
  if (error) return Fail({StatusCode::kIoError, folder.string() + ": " + error.message()});
  nlohmann::json written = nlohmann::json::array();
  for (const auto& [file, content] : PluginFiles(name, language)) {
    const std::string path = (folder / file).string();
    std::ofstream out(path, std::ios::binary);
    out << content;
    out.close();
    if (!out) return Fail({StatusCode::kIoError, path + ": cannot be written"});
    written.push_back(path);
  }
  if (arguments.json()) {
    std::printf("%s\n", nlohmann::json({{"name", name}, {"language", language}, {"files", written}}).dump(1).c_str());
    return kExitOk;
  }
  for (const auto& path : written) std::printf("%s\n", path.get<std::string>().c_str());
  std::printf(
      "\nNext:\n  cmake -S %s -B %s/build && cmake --build %s/build\n  understudy predictor check %s/build/%s.so\n"
      "  understudy predictor run %s/build/%s.so %s/trace.csv\n",
      folder.c_str(), folder.c_str(), folder.c_str(), folder.c_str(), name.c_str(), folder.c_str(), name.c_str(),
      folder.c_str());
  return kExitOk;
}

}  // namespace understudy::cli

// What one forecast of the gbt predictor costs, through the plugin's interface: one sample in, one horizon asked, one
// thread. Usage: gbt_forecast GBT.so MODEL [FORECASTS]. docs/prediction.md has the figures.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "log/env/clock.h"
#include "log/env/random.h"
#include "predictors/host/model_file.h"
#include "predictors/host/plugin_library.h"

namespace understudy {
namespace {

void Show(const char* what, std::vector<int64_t> ns) {
  std::sort(ns.begin(), ns.end());
  const auto at = [&](double share) {
    return static_cast<double>(ns[static_cast<size_t>(share * static_cast<double>(ns.size() - 1))]) / 1e3;
  };
  std::printf("%-8s p50 %.1f us, p90 %.1f us, p99 %.1f us\n", what, at(0.5), at(0.9), at(0.99));
}

int Run(const char* plugin, const char* model_file, size_t count) {
  const auto library = PluginLibrary::Load(plugin);
  const auto config = ResolveModelFile(nlohmann::json({{"model_file", model_file}}).dump());
  if (!library.ok() || !config.ok()) {
    std::fprintf(stderr, "%s\n", (library.ok() ? config.status() : library.status()).message().c_str());
    return 1;
  }
  PluginAnswer answer;
  const auto instance = PluginInstance::Create(library->get(), *config, 1, &answer);
  if (!instance) {
    std::fprintf(stderr, "%s\n", answer.text.c_str());
    return 1;
  }
  // Values inside each metric's range, or the plugin would rightly abstain.
  const auto ranges = nlohmann::json::parse(*config)["model"]["ranges"].get<std::vector<std::vector<double>>>();
  const double interval_s = nlohmann::json::parse(*config)["model"]["interval_s"].get<double>();
  SeededRandom random(1);
  std::vector<int64_t> observe_ns, predict_ns;
  Clock* clock = SystemClock();
  for (size_t i = 0; i < count + 200; ++i) {
    PluginSample sample;
    sample.time_ns = static_cast<int64_t>(static_cast<double>(i) * interval_s * 1e9);
    for (const auto& range : ranges) {
      sample.values.push_back(range[0] + (range[1] - range[0]) * static_cast<double>(random.Below(1001)) / 1000);
    }
    const Instant a = clock->Now();
    instance->Observe({sample});
    const Instant b = clock->Now();
    std::vector<Forecast> forecasts;
    answer = instance->Predict(sample.time_ns, {60'000}, &forecasts);
    const Instant c = clock->Now();
    if (i < 200) continue;  // windows fill, caches warm up
    if (!answer.ok()) {
      std::fprintf(stderr, "no forecast: %s\n", answer.text.c_str());
      return 1;
    }
    observe_ns.push_back(b - a);
    predict_ns.push_back(c - b);
  }
  std::printf("%zu metrics, %zu forecasts\n", ranges.size(), count);
  Show("observe", observe_ns);
  Show("predict", predict_ns);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s GBT.so MODEL [FORECASTS]\n", argv[0]);
    return 2;
  }
  return understudy::Run(argv[1], argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 20'000);
}

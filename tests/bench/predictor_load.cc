// What predictors cost: processor time of this process while one plugin watches many primaries through the C ABI.
//   predictor_load PLUGIN.so CONFIG PRIMARIES SAMPLES SHAPE    SHAPE: calm, noisy, leaking
// Every primary gets a sample a second and is asked for a forecast after each. Prints rows (samples of all metrics) a
// second of processor time, microseconds a row, and memory.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "predictors/host/plugin_library.h"

namespace understudy {
namespace {

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double ResidentMiB() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// A cheap deterministic noise of mean 0 and deviation about 1.
class Noise {
 public:
  double operator()() {
    double sum = 0;
    for (int i = 0; i < 3; ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      sum += static_cast<double>(state_ >> 40) / 16777216.0 - 0.5;
    }
    return 2 * sum;
  }

 private:
  uint64_t state_ = 1;
};

// Share of its limit that a metric has after `t` samples.
double Level(const std::string& shape, int t, int salt, Noise* noise) {
  if (shape == "leaking") return 0.2 + 0.8 * ((t + salt) % 600) / 600.0 + 0.003 * (*noise)();
  if (shape == "noisy") return 0.7 + 0.1 * (*noise)();
  return 0.3 + 0.002 * (*noise)();
}

int Main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: predictor_load PLUGIN.so CONFIG PRIMARIES SAMPLES calm|noisy|leaking\n");
    return 2;
  }
  Result<std::unique_ptr<PluginLibrary>> library = PluginLibrary::Load(argv[1]);
  if (!library.ok()) {
    std::fprintf(stderr, "%s\n", library.status().ToString().c_str());
    return 1;
  }
  const int primaries = std::atoi(argv[3]), samples = std::atoi(argv[4]);
  const std::string shape = argv[5];
  std::vector<std::unique_ptr<PluginInstance>> instances;
  for (int i = 0; i < primaries; ++i) {
    PluginAnswer answer;
    instances.push_back(PluginInstance::Create(library.value().get(), argv[2], 1, &answer));
    if (!instances.back()) {
      std::fprintf(stderr, "%s\n", answer.text.c_str());
      return 1;
    }
  }
  const std::vector<std::string> names = instances[0]->metrics();
  const double gib = 1073741824.0;
  Noise noise;
  std::vector<PluginSample> row(1);
  std::vector<Forecast> forecasts;
  row[0].values.resize(names.size());
  const double before = CpuSeconds();
  size_t warned = 0;
  for (int t = 0; t < samples; ++t) {
    for (int p = 0; p < primaries; ++p) {
      row[0].time_ns = int64_t{1000000000} * t;
      for (size_t m = 0; m < names.size(); ++m) {
        const std::string& name = names[m];
        const double level = Level(shape, t, p, &noise);
        double value = level * 100;
        if (name.find("limit") != std::string::npos || name.find("total") != std::string::npos) {
          value = gib;
        } else if (name.find("free") != std::string::npos || name.find("available") != std::string::npos) {
          value = (1 - level) * gib;
        } else if (name.find("bytes") != std::string::npos) {
          value = level * gib;
        } else if (name.find("uptime") != std::string::npos) {
          value = shape == "leaking" ? (t + p) % 600 : t;  // it starts anew when it has failed
        }
        row[0].values[m] = value;
      }
      instances[static_cast<size_t>(p)]->Observe(row);
      const PluginAnswer answer = instances[static_cast<size_t>(p)]->Predict(row[0].time_ns, {60000}, &forecasts);
      if (answer.ok() && forecasts[0].probability >= 0.5) ++warned;
    }
  }
  const double cpu_s = CpuSeconds() - before;
  const double rows = static_cast<double>(primaries) * samples;
  std::printf(
      "%s %s: %d primaries, %zu metrics, %d samples each: %.0f rows/s of CPU, %.2f us/row, peak %.0f MiB, %.1f %% "
      "warned\n",
      library.value()->name().c_str(), shape.c_str(), primaries, names.size(), samples, rows / cpu_s,
      1e6 * cpu_s / rows, ResidentMiB(), 100.0 * static_cast<double>(warned) / rows);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) { return understudy::Main(argc, argv); }

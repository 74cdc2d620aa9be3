// Inside of conformance.h: one plugin under test, and the checks by subject. conformance.cc is what all share and
// whether the plugin loads; conformance_input.cc what it makes of good and bad input; conformance_repeat.cc whether it
// says the same again; conformance_resources.cc what it takes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/env/clock.h"
#include "predictors/host/conformance.h"
#include "predictors/host/conformance_samples.h"
#include "predictors/host/plugin_process.h"

namespace understudy::conformance {

inline const std::vector<int64_t> kHorizonsMs = {1000, 10'000, 60'000, 300'000, 3'600'000};

WorkerOp Op(OpKind kind, uint64_t instance);
WorkerOp Create(uint64_t instance, const std::string& config, const std::string& state = "");
WorkerOp Observe(uint64_t instance, std::vector<PluginSample> samples);
WorkerOp Predict(uint64_t instance, int64_t now_ns, std::vector<int64_t> horizons_ms = kHorizonsMs);

// Empty, or what is wrong with an answer to predict.
std::string Fault(const WorkerResult& result, size_t horizons);
// When the question comes after these samples.
inline int64_t After(const std::vector<PluginSample>& samples) { return samples.back().time_ns + kNsPerSecond / 2; }

using Finding = std::pair<ConformanceCheck::Verdict, std::string>;
inline Finding Pass(std::string text) { return {ConformanceCheck::kPass, std::move(text)}; }
inline Finding Warn(std::string text) { return {ConformanceCheck::kWarning, std::move(text)}; }
inline Finding Bad(std::string text) { return {ConformanceCheck::kFail, std::move(text)}; }
inline Finding Skip(std::string text) { return {ConformanceCheck::kSkipped, std::move(text)}; }

class Checker {
 public:
  explicit Checker(const ConformanceOptions& options) : options_(options) {}

  ConformanceReport Run();

 private:
  bool Check(const std::string& name, const std::function<Finding()>& run);
  Status Ensure();
  Result<std::unique_ptr<PluginProcess>> Fresh() const;
  // In the process all checks share; it is started anew after one that ended it.
  Result<std::vector<WorkerResult>> Call(std::vector<WorkerOp> ops);

  Finding Load();
  Finding OwnConfig();
  Finding Metrics();

  Finding OtherConfigs();
  Finding NoSamples();
  Finding Troubled(const SampleRun& run);
  Finding Horizons();
  Finding Reset();
  Finding Feedback();

  Finding Twice();
  Finding Replay();
  Finding Instances();
  Finding SaveRestore();
  Finding GarbageState();

  Finding Leaks();
  Finding Memory();
  Finding Time();
  Finding ProcessState();

  const ConformanceOptions& options_;
  ConformanceReport report_;
  std::unique_ptr<PluginProcess> process_;
  ProcessFacts facts_;  // once it had loaded the plugin
  std::vector<std::string> metrics_;
  uint32_t slots_ = 0;
};

}  // namespace understudy::conformance

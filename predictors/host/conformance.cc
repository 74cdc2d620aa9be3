#include "predictors/host/conformance.h"

#include <algorithm>
#include <set>

#include "predictors/host/conformance_checker.h"

namespace understudy {
namespace conformance {
namespace {

constexpr uint64_t kSeed = 42;

}  // namespace

WorkerOp Op(OpKind kind, uint64_t instance) {
  WorkerOp op;
  op.kind = kind;
  op.instance = instance;
  return op;
}
WorkerOp Create(uint64_t instance, const std::string& config, const std::string& state) {
  WorkerOp op = Op(OpKind::kCreate, instance);
  op.config = config;
  op.state = state;
  op.seed = kSeed;
  return op;
}
WorkerOp Observe(uint64_t instance, std::vector<PluginSample> samples) {
  WorkerOp op = Op(OpKind::kObserve, instance);
  op.samples = std::move(samples);
  return op;
}
WorkerOp Predict(uint64_t instance, int64_t now_ns, std::vector<int64_t> horizons_ms) {
  WorkerOp op = Op(OpKind::kPredict, instance);
  op.time_ns = now_ns;
  op.horizons_ms = std::move(horizons_ms);
  return op;
}

std::string Fault(const WorkerResult& result, size_t horizons) {
  if (result.code == UNDERSTUDY_WARMING || result.code == UNDERSTUDY_ABSTAIN) return "";
  if (result.code != UNDERSTUDY_OK) return "predict returned " + std::to_string(result.code) + ": " + result.text;
  if (result.forecasts.size() != horizons) return "another number of forecasts than of horizons";
  for (const Forecast& forecast : result.forecasts) {
    if (std::string fault = CheckForecast(forecast); !fault.empty()) return fault;
  }
  return "";
}

ConformanceReport Checker::Run() {
  if (!Check("load", [this] { return Load(); }) || !Check("config", [this] { return OwnConfig(); })) {
    return std::move(report_);
  }
  Check("other configs", [this] { return OtherConfigs(); });
  Check("metrics", [this] { return Metrics(); });
  Check("no samples", [this] { return NoSamples(); });
  for (const SampleRun& run : TroubledRuns(metrics_.size())) {
    Check(run.name, [&] { return Troubled(run); });
  }
  Check("horizons", [this] { return Horizons(); });
  Check("predict twice", [this] { return Twice(); });
  Check("replay", [this] { return Replay(); });
  Check("instances", [this] { return Instances(); });
  Check("save and restore", [this] { return SaveRestore(); });
  Check("garbage state", [this] { return GarbageState(); });
  Check("reset", [this] { return Reset(); });
  Check("feedback", [this] { return Feedback(); });
  Check("leaks", [this] { return Leaks(); });
  Check("memory", [this] { return Memory(); });
  Check("time", [this] { return Time(); });
  Check("process", [this] { return ProcessState(); });
  return std::move(report_);
}

bool Checker::Check(const std::string& name, const std::function<Finding()>& run) {
  auto [verdict, text] = run();
  report_.checks.push_back({name, verdict, std::move(text)});
  return verdict != ConformanceCheck::kFail;
}

Status Checker::Ensure() {
  if (process_ && process_->alive()) return {};
  Result<std::unique_ptr<PluginProcess>> started = Fresh();
  if (!started.ok()) return started.status();
  process_ = std::move(started).value();
  return {};
}

Result<std::unique_ptr<PluginProcess>> Checker::Fresh() const {
  return PluginProcess::Start({options_.helper, options_.plugin, options_.memory_bytes_max, options_.deadline_ms});
}

Result<std::vector<WorkerResult>> Checker::Call(std::vector<WorkerOp> ops) {
  if (Status status = Ensure(); !status.ok()) return status;
  Result<WorkerReply> reply = process_->Call(std::move(ops), options_.deadline_ms);
  if (!reply.ok()) return reply.status();
  return std::move(reply).value().results;
}

Finding Checker::Load() {
  if (Status status = Ensure(); !status.ok()) return Bad(status.message());
  const WorkerReply& greeting = process_->greeting();
  report_.name = greeting.name;
  report_.version = greeting.version;
  slots_ = greeting.slots;
  facts_ = process_->Facts();
  std::string text = greeting.name + " " + greeting.version + ", ABI " + std::to_string(greeting.abi >> 16) + "." +
                     std::to_string(greeting.abi & 0xFFFF) + ", offers";
  const std::pair<uint32_t, const char*> names[] = {
      {kSlotReset, " reset"}, {kSlotFeedback, " feedback"}, {kSlotSave, " save"}, {kSlotRestore, " restore"}};
  for (const auto& [bit, name] : names) text += (slots_ & bit) != 0 ? name : "";
  if (slots_ == 0) text += " no optional slot";
  if (greeting.name.empty() || greeting.version.empty()) return Bad("its name or version is empty");
  if (((slots_ & kSlotSave) != 0) != ((slots_ & kSlotRestore) != 0)) {
    return Bad("save and restore make sense only together: " + text);
  }
  return Pass(text);
}

Finding Checker::OwnConfig() {
  const auto results = Call({Create(1, options_.config), Op(OpKind::kDestroy, 1)});
  if (!results.ok()) return Bad(results.status().message());
  const WorkerResult& made = results->at(0);
  if (made.code == UNDERSTUDY_BAD_CONFIG) return Bad(made.text + " (give the configuration it wants with --config)");
  if (made.code != UNDERSTUDY_OK) return Bad("create returned " + std::to_string(made.code) + ": " + made.text);
  metrics_ = made.metrics;
  return Pass("makes an instance");
}

Finding Checker::Metrics() {
  if (metrics_.empty()) return Bad("wants no metric: it can know nothing");
  std::set<std::string> seen;
  for (const std::string& name : metrics_) {
    if (name.empty() || name.find_first_of("*? \t") != std::string::npos) {
      return Bad("\"" + name + "\" can be no metric's name");
    }
    if (!seen.insert(name).second) return Bad("wants " + name + " twice");
  }
  const auto results = Call({Create(1, options_.config), Op(OpKind::kDestroy, 1)});
  if (!results.ok()) return Bad(results.status().message());
  if (results->at(0).metrics != metrics_) return Bad("wants other metrics the second time");
  std::string text = metrics_[0];
  for (size_t i = 1; i < std::min<size_t>(metrics_.size(), 5); ++i) text += ", " + metrics_[i];
  return Pass(metrics_.size() > 5 ? text + " and " + std::to_string(metrics_.size() - 5) + " more" : text);
}

}  // namespace conformance

const char* VerdictName(ConformanceCheck::Verdict verdict) {
  static constexpr const char* kNames[] = {"pass", "warning", "fail", "skipped"};
  return kNames[verdict];
}

bool ConformanceReport::passed() const {
  return !checks.empty() && std::none_of(checks.begin(), checks.end(), [](const ConformanceCheck& check) {
    return check.verdict == ConformanceCheck::kFail;
  });
}

ConformanceReport CheckConformance(const ConformanceOptions& options) { return conformance::Checker(options).Run(); }

}  // namespace understudy

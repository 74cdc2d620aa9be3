#include "predictors/host/conformance.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <set>
#include <utility>

#include "log/env/clock.h"
#include "predictors/host/conformance_samples.h"
#include "predictors/host/plugin_process.h"

namespace understudy {
namespace {

using Verdict = ConformanceCheck::Verdict;

constexpr uint64_t kSeed = 42;
constexpr size_t kWarmCycles = 200, kLeakCycles = 2000;
constexpr int64_t kLeakBytesMax = 384 << 10;
constexpr size_t kGrowthSamples = 20'000;
constexpr int64_t kGrowthBytesMax = 256 << 10;
constexpr int64_t kPredictWarnUs = 2000;  // of 250 ms for all primaries together
const std::vector<int64_t> kHorizonsMs = {1000, 10'000, 60'000, 300'000, 3'600'000};

WorkerOp Op(OpKind kind, uint64_t instance) {
  WorkerOp op;
  op.kind = kind;
  op.instance = instance;
  return op;
}
WorkerOp Create(uint64_t instance, const std::string& config, const std::string& state = "") {
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
WorkerOp Predict(uint64_t instance, int64_t now_ns, std::vector<int64_t> horizons_ms = kHorizonsMs) {
  WorkerOp op = Op(OpKind::kPredict, instance);
  op.time_ns = now_ns;
  op.horizons_ms = std::move(horizons_ms);
  return op;
}

bool SameBits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

// Empty, or in what two answers to the same question differ.
std::string Difference(const WorkerResult& a, const WorkerResult& b) {
  if (a.code != b.code) return "answers " + std::to_string(a.code) + " and " + std::to_string(b.code);
  if (a.forecasts.size() != b.forecasts.size()) return "different numbers of forecasts";
  for (size_t i = 0; i < a.forecasts.size(); ++i) {
    const Forecast &x = a.forecasts[i], &y = b.forecasts[i];
    const std::string at = " at the horizon of " + std::to_string(x.horizon_ms) + " ms";
    if (!SameBits(x.probability, y.probability)) {
      return "probabilities " + std::to_string(x.probability) + " and " + std::to_string(y.probability) + at;
    }
    if (!SameBits(x.confidence, y.confidence)) return "different confidences" + at;
    if (x.has_ttf != y.has_ttf || !SameBits(x.ttf_p10_s, y.ttf_p10_s) || !SameBits(x.ttf_p50_s, y.ttf_p50_s) ||
        !SameBits(x.ttf_p90_s, y.ttf_p90_s)) {
      return "different times to failure" + at;
    }
    if (x.reason != y.reason) return "reasons \"" + x.reason + "\" and \"" + y.reason + "\"";
  }
  return "";
}

// Empty, or what is wrong with an answer to predict.
std::string Fault(const WorkerResult& result, size_t horizons) {
  if (result.code == UNDERSTUDY_WARMING || result.code == UNDERSTUDY_ABSTAIN) return "";
  if (result.code != UNDERSTUDY_OK) return "predict returned " + std::to_string(result.code) + ": " + result.text;
  if (result.forecasts.size() != horizons) return "another number of forecasts than of horizons";
  for (const Forecast& forecast : result.forecasts) {
    if (std::string fault = CheckForecast(forecast); !fault.empty()) return fault;
  }
  return "";
}

class Checker {
 public:
  explicit Checker(const ConformanceOptions& options) : options_(options) {}

  ConformanceReport Run() {
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

 private:
  using Finding = std::pair<Verdict, std::string>;
  static Finding Pass(std::string text) { return {Verdict::kPass, std::move(text)}; }
  static Finding Warn(std::string text) { return {Verdict::kWarning, std::move(text)}; }
  static Finding Bad(std::string text) { return {Verdict::kFail, std::move(text)}; }
  static Finding Skip(std::string text) { return {Verdict::kSkipped, std::move(text)}; }

  bool Check(const std::string& name, const std::function<Finding()>& run) {
    auto [verdict, text] = run();
    report_.checks.push_back({name, verdict, std::move(text)});
    return verdict != Verdict::kFail;
  }

  Status Ensure() {
    if (process_ && process_->alive()) return {};
    Result<std::unique_ptr<PluginProcess>> started = Fresh();
    if (!started.ok()) return started.status();
    process_ = std::move(started).value();
    return {};
  }
  Result<std::unique_ptr<PluginProcess>> Fresh() const {
    return PluginProcess::Start({options_.helper, options_.plugin, options_.memory_bytes_max, options_.deadline_ms});
  }
  // In the process all checks share; it is started anew after one that ended it.
  Result<std::vector<WorkerResult>> Call(std::vector<WorkerOp> ops) {
    if (Status status = Ensure(); !status.ok()) return status;
    Result<WorkerReply> reply = process_->Call(std::move(ops), options_.deadline_ms);
    if (!reply.ok()) return reply.status();
    return std::move(reply).value().results;
  }
  static int64_t After(const std::vector<PluginSample>& samples) { return samples.back().time_ns + kNsPerSecond / 2; }

  Finding Load() {
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

  Finding OwnConfig() {
    const auto results = Call({Create(1, options_.config), Op(OpKind::kDestroy, 1)});
    if (!results.ok()) return Bad(results.status().message());
    const WorkerResult& made = results->at(0);
    if (made.code == UNDERSTUDY_BAD_CONFIG) return Bad(made.text + " (give the configuration it wants with --config)");
    if (made.code != UNDERSTUDY_OK) return Bad("create returned " + std::to_string(made.code) + ": " + made.text);
    metrics_ = made.metrics;
    return Pass("makes an instance");
  }

  Finding OtherConfigs() {
    std::vector<std::string> configs = GarbageConfigs();
    configs.insert(configs.begin(), "{}");
    size_t refused = 0;
    for (const std::string& config : configs) {
      const std::string shown = "\"" + SafeText(config, 40) + (config.size() > 40 ? "...\"" : "\"");
      const auto results = Call({Create(1, config), Op(OpKind::kDestroy, 1)});
      if (!results.ok()) return Bad("with the configuration " + shown + ": " + results.status().message());
      const WorkerResult& made = results->at(0);
      if (made.code == UNDERSTUDY_OK) continue;
      ++refused;
      if (made.code != UNDERSTUDY_BAD_CONFIG) {
        return Bad("refuses the configuration " + shown + " with " + std::to_string(made.code) +
                   " rather than UNDERSTUDY_BAD_CONFIG");
      }
      if (made.text.empty() || made.text == "it gave no reason") {
        return Bad("refuses the configuration " + shown + " without a host.explain that says why");
      }
    }
    if (refused == 0) return Warn("takes every configuration, also what is not JSON: misspelt fields go unseen");
    return Pass(std::to_string(refused) + " of " + std::to_string(configs.size()) + " refused with a reason");
  }

  Finding Metrics() {
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

  Finding NoSamples() {
    const auto results = Call({Create(1, options_.config), Predict(1, kRunBeginNs), Op(OpKind::kDestroy, 1)});
    if (!results.ok()) return Bad(results.status().message());
    const WorkerResult& answer = results->at(1);
    if (std::string fault = Fault(answer, kHorizonsMs.size()); !fault.empty()) return Bad(fault);
    if (answer.code == UNDERSTUDY_OK) return Bad("forecasts though it has not seen one sample: WARMING is the word");
    if (answer.text == "it gave no reason") return Warn("says nothing of why it cannot: host.explain is for that");
    return Pass(answer.text);
  }

  Finding Troubled(const SampleRun& run) {
    const int64_t now = After(run.samples);
    std::vector<int64_t> many;
    for (int64_t i = 1; i <= UNDERSTUDY_HORIZONS_MAX; ++i) many.push_back(i * i * i * i * i * i * i);  // up to 3 days
    std::vector<WorkerOp> ops = {Create(1, options_.config)};
    size_t middle = run.samples.size() / 2;
    ops.push_back(Observe(1, {run.samples.begin(), run.samples.begin() + static_cast<int64_t>(middle)}));
    if (middle == 0) ops.pop_back();
    ops.push_back(Observe(1, {run.samples.begin() + static_cast<int64_t>(middle), run.samples.end()}));
    const size_t first = ops.size();
    for (const std::vector<int64_t>& horizons : {std::vector<int64_t>{1}, kHorizonsMs, many}) {
      ops.push_back(Predict(1, now, horizons));
    }
    ops.push_back(Predict(1, now + 365 * 86'400 * kNsPerSecond));  // nothing came for a year
    ops.push_back(Op(OpKind::kDestroy, 1));
    const std::vector<WorkerOp> sent = ops;
    const auto results = Call(std::move(ops));
    if (!results.ok()) return Bad(results.status().message());
    for (size_t i = 1; i < first; ++i) {
      const WorkerResult& seen = results->at(i);
      if (seen.code != UNDERSTUDY_OK) return Bad("observe returned " + std::to_string(seen.code) + ": " + seen.text);
    }
    for (size_t i = first; i + 1 < sent.size(); ++i) {
      const std::string fault = Fault(results->at(i), sent[i].horizons_ms.size());
      if (!fault.empty()) return Bad(fault);
    }
    const WorkerResult& answer = results->at(first + 1);
    if (answer.code != UNDERSTUDY_OK)
      return Pass(
          ForecastStatusName(answer.code == UNDERSTUDY_WARMING ? ForecastStatus::kWarming : ForecastStatus::kAbstain) +
          (": " + answer.text));
    bool any_value = false;
    for (const PluginSample& sample : run.samples) {
      for (double value : sample.values) any_value |= value - value == 0;
    }
    if (!any_value && answer.forecasts[0].confidence > 0) {
      return Bad("forecasts with a confidence above 0 though no metric ever had a value");
    }
    return Pass("p " + std::to_string(answer.forecasts.back().probability) + " within an hour");
  }

  Finding Horizons() {
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 600);
    const auto results =
        Call({Create(1, options_.config), Observe(1, samples), Predict(1, After(samples)), Op(OpKind::kDestroy, 1)});
    if (!results.ok()) return Bad(results.status().message());
    const WorkerResult& answer = results->at(2);
    if (std::string fault = Fault(answer, kHorizonsMs.size()); !fault.empty()) return Bad(fault);
    if (answer.code != UNDERSTUDY_OK) return Skip("no forecast after 10 minutes of samples: " + answer.text);
    for (size_t i = 1; i < answer.forecasts.size(); ++i) {
      const Forecast &near = answer.forecasts[i - 1], &far = answer.forecasts[i];
      if (far.probability < near.probability) {
        return Bad("a failure within " + std::to_string(near.horizon_ms) + " ms is one within " +
                   std::to_string(far.horizon_ms) + " ms too, but the probability falls from " +
                   std::to_string(near.probability) + " to " + std::to_string(far.probability));
      }
    }
    return Pass("the probability does not fall with the horizon");
  }

  Finding Twice() {
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 600);
    const int64_t now = After(samples);
    const auto results = Call({Create(1, options_.config), Observe(1, samples), Predict(1, now), Predict(1, now, {5}),
                               Predict(1, now), Op(OpKind::kDestroy, 1)});
    if (!results.ok()) return Bad(results.status().message());
    const std::string difference = Difference(results->at(2), results->at(4));
    return difference.empty() ? Pass("the same answer") : Bad(difference);
  }

  // The forecasts of a run in which the samples come in batches of changing size.
  static std::vector<WorkerOp> ReplayOps(uint64_t id, const std::string& config, size_t metrics) {
    const std::vector<PluginSample> samples = OrdinarySamples(metrics, 900);
    std::vector<WorkerOp> ops = {Create(id, config)};
    for (size_t at = 0, size = 1; at < samples.size(); at += size, size = size % 37 + 5) {
      const size_t end = std::min(samples.size(), at + size);
      ops.push_back(
          Observe(id, {samples.begin() + static_cast<int64_t>(at), samples.begin() + static_cast<int64_t>(end)}));
      ops.push_back(Predict(id, samples[end - 1].time_ns));
    }
    return ops;
  }

  static std::string Compare(const std::vector<WorkerResult>& a, const std::vector<WorkerResult>& b) {
    for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
      if (std::string difference = Difference(a[i], b[i]); !difference.empty()) {
        return "at question " + std::to_string(i / 2 + 1) + ": " + difference;
      }
    }
    return a.size() == b.size() ? "" : "different numbers of answers";
  }

  Finding Replay() {
    std::vector<WorkerResult> runs[2];
    for (std::vector<WorkerResult>& run : runs) {
      Result<std::unique_ptr<PluginProcess>> process = Fresh();
      if (!process.ok()) return Bad(process.status().message());
      Result<WorkerReply> reply =
          (*process)->Call(ReplayOps(1, options_.config, metrics_.size()), options_.deadline_ms);
      if (!reply.ok()) return Bad(reply.status().message());
      run = std::move(reply).value().results;
    }
    const std::string difference = Compare(runs[0], runs[1]);
    if (!difference.empty()) return Bad("two processes that saw the same, " + difference);
    return Pass(std::to_string(runs[0].size() / 2) + " answers of two processes are the same bit by bit");
  }

  Finding Instances() {
    const std::vector<WorkerOp> alone = ReplayOps(1, options_.config, metrics_.size());
    const auto first = Call(alone);
    if (!first.ok()) return Bad(first.status().message());
    // The same among calls to another instance that sees other things.
    std::vector<WorkerOp> mixed;
    const std::vector<PluginSample> others = TroubledRuns(metrics_.size())[10].samples;
    mixed.push_back(Create(2, options_.config));
    for (size_t i = 0; i < alone.size(); ++i) {
      mixed.push_back(alone[i]);
      mixed.back().instance = 3;
      if (i < others.size()) mixed.push_back(Observe(2, {others[i]}));
    }
    const auto second = Call(std::move(mixed));
    if (!second.ok()) return Bad(second.status().message());
    std::vector<WorkerResult> theirs;
    for (size_t i = 0, at = 1; i < alone.size(); ++i) {
      theirs.push_back(second->at(at));
      at += i < others.size() ? 2 : 1;
    }
    const auto ended = Call({Op(OpKind::kDestroy, 1), Op(OpKind::kDestroy, 2), Op(OpKind::kDestroy, 3)});
    if (!ended.ok()) return Bad(ended.status().message());
    const std::string difference = Compare(*first, theirs);
    return difference.empty() ? Pass("do not disturb each other") : Bad("beside another instance, " + difference);
  }

  Finding SaveRestore() {
    if ((slots_ & kSlotSave) == 0) return Skip("not offered: what it has learnt ends with its process");
    const std::vector<PluginSample> all = OrdinarySamples(metrics_.size(), 800);
    const std::vector<PluginSample> early(all.begin(), all.begin() + 500), late(all.begin() + 500, all.end());
    const auto saved =
        Call({Create(1, options_.config), Observe(1, early), Op(OpKind::kSave, 1), Predict(1, After(early))});
    if (!saved.ok()) return Bad(saved.status().message());
    const WorkerResult& state = saved->at(2);
    if (state.code != UNDERSTUDY_OK) return Bad("save returned " + std::to_string(state.code) + ": " + state.text);
    Result<std::unique_ptr<PluginProcess>> heir = Fresh();
    if (!heir.ok()) return Bad(heir.status().message());
    std::vector<WorkerOp> ops = {Create(1, options_.config, state.state), Op(OpKind::kSave, 1),
                                 Predict(1, After(early)), Observe(1, late), Predict(1, After(late))};
    Result<WorkerReply> restored = (*heir)->Call(std::move(ops), options_.deadline_ms);
    if (!restored.ok()) return Bad("with the restored state: " + restored.status().message());
    const auto went_on = Call({Observe(1, late), Predict(1, After(late)), Op(OpKind::kDestroy, 1)});
    if (!went_on.ok()) return Bad(went_on.status().message());
    const std::vector<WorkerResult>& theirs = restored->results;
    if (std::string difference = Difference(saved->at(3), theirs[2]); !difference.empty()) {
      return Bad("the restored instance answers otherwise: " + difference);
    }
    if (std::string difference = Difference(went_on->at(1), theirs[4]); !difference.empty()) {
      return Bad("with the samples that followed, the restored instance answers otherwise: " + difference);
    }
    return Pass("a state of " + std::to_string(state.state.size()) + " bytes; the restored instance goes on the same");
  }

  Finding GarbageState() {
    if ((slots_ & kSlotRestore) == 0) return Skip("restore is not offered");
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 60);
    const auto good =
        Call({Create(1, options_.config), Observe(1, samples), Op(OpKind::kSave, 1), Op(OpKind::kDestroy, 1)});
    if (!good.ok()) return Bad(good.status().message());
    const std::string& state = good->at(2).state;
    std::vector<std::string> bad = {"x", std::string(4096, '\xFF'), std::string(4096, '\0'), state + "x",
                                    state.substr(0, state.size() / 2)};
    for (size_t at = 0; at < state.size(); at += state.size() / 16 + 1) {
      bad.push_back(state);
      bad.back()[at] = static_cast<char>(bad.back()[at] ^ 0x80);
    }
    for (const std::string& broken : bad) {
      if (broken.empty()) continue;
      const auto results = Call({Create(1, options_.config, broken), Observe(1, samples), Predict(1, After(samples)),
                                 Op(OpKind::kDestroy, 1)});
      if (!results.ok())
        return Bad("a broken state of " + std::to_string(broken.size()) + " bytes: " + results.status().message());
      if (std::string fault = Fault(results->at(2), kHorizonsMs.size()); !fault.empty()) {
        return Bad("after a broken state of " + std::to_string(broken.size()) + " bytes: " + fault);
      }
    }
    return Pass(std::to_string(bad.size()) + " broken states did no harm");
  }

  Finding Reset() {
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 300);
    int64_t begin = kRunBeginNs;
    std::vector<WorkerOp> ops = {Create(1, options_.config)};
    const std::vector<int32_t> reasons = {UNDERSTUDY_RESET_RESTARTED, UNDERSTUDY_RESET_MOVED, UNDERSTUDY_RESET_GAP, 99};
    for (int32_t why : reasons) {
      const std::vector<PluginSample> run = OrdinarySamples(metrics_.size(), 300, begin);
      begin = run.back().time_ns + kNsPerSecond;
      ops.push_back(Observe(1, run));
      ops.push_back(Op(OpKind::kReset, 1));
      ops.back().code = why;
      ops.push_back(Predict(1, begin));
    }
    ops.push_back(Op(OpKind::kDestroy, 1));
    const auto results = Call(std::move(ops));
    if (!results.ok()) return Bad(results.status().message());
    for (size_t i = 0; i < reasons.size(); ++i) {
      const WorkerResult &reset = results->at(2 + 3 * i), &answer = results->at(3 + 3 * i);
      const std::string what = "reset " + std::to_string(reasons[i]);
      if (reset.code != UNDERSTUDY_OK) return Bad(what + " returned " + std::to_string(reset.code) + ": " + reset.text);
      if (std::string fault = Fault(answer, kHorizonsMs.size()); !fault.empty())
        return Bad("after " + what + ": " + fault);
      if (i < 2 && answer.code == UNDERSTUDY_OK) {
        return Bad("after " + what + " it still forecasts, from samples of a process that is no more");
      }
    }
    return Pass((slots_ & kSlotReset) != 0 ? "forgets what it saw" : "not offered: it is made anew");
  }

  Finding Feedback() {
    if ((slots_ & kSlotFeedback) == 0) return Skip("not offered");
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 300);
    std::vector<WorkerOp> ops = {Create(1, options_.config), Observe(1, samples)};
    for (int32_t kind : {0, UNDERSTUDY_OUTCOME_FAILED, UNDERSTUDY_OUTCOME_DEGRADED, UNDERSTUDY_OUTCOME_MOVED,
                         UNDERSTUDY_OUTCOME_QUIET, 99, -1}) {
      for (double lead_s : {-1.0, 0.0, 1e9}) {
        ops.push_back(Op(OpKind::kFeedback, 1));
        ops.back().code = kind;
        ops.back().lead_s = lead_s;
        ops.back().time_ns = After(samples);
      }
    }
    ops.push_back(Predict(1, After(samples)));
    ops.push_back(Op(OpKind::kDestroy, 1));
    const size_t last = ops.size() - 2;
    const auto results = Call(std::move(ops));
    if (!results.ok()) return Bad(results.status().message());
    for (size_t i = 2; i < last; ++i) {
      const WorkerResult& told = results->at(i);
      if (told.code != UNDERSTUDY_OK) return Bad("feedback returned " + std::to_string(told.code) + ": " + told.text);
    }
    const std::string fault = Fault(results->at(last), kHorizonsMs.size());
    return fault.empty() ? Pass("every outcome is taken, unknown ones too") : Bad("after feedback: " + fault);
  }

  Finding Leaks() {
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 20);
    const auto cycles = [&](size_t count) -> Status {
      for (size_t done = 0; done < count; done += 50) {
        std::vector<WorkerOp> ops;
        for (size_t i = 0; i < 50; ++i) {
          ops.push_back(Create(1, options_.config));
          ops.push_back(Observe(1, samples));
          ops.push_back(Predict(1, After(samples)));
          ops.push_back(Op(OpKind::kDestroy, 1));
        }
        if (const auto results = Call(std::move(ops)); !results.ok()) return results.status();
      }
      return {};
    };
    if (Status status = cycles(kWarmCycles); !status.ok()) return Bad(status.message());
    const int64_t before = process_->Facts().resident_bytes;
    if (Status status = cycles(kLeakCycles); !status.ok()) return Bad(status.message());
    const int64_t grown = process_->Facts().resident_bytes - before;
    const std::string text = std::to_string(kLeakCycles) +
                             " instances made and destroyed: " + std::to_string(std::max<int64_t>(grown, 0) / 1024) +
                             " KiB more memory";
    return grown > kLeakBytesMax ? Bad(text + "; destroy does not free all") : Pass(text);
  }

  Finding Memory() {
    int64_t begin = kRunBeginNs;
    const auto feed = [&](size_t count) -> Status {
      for (size_t done = 0; done < count; done += 500) {
        const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 500, begin);
        begin = samples.back().time_ns + kNsPerSecond;
        const auto results = Call({Observe(1, samples), Predict(1, begin)});
        if (!results.ok()) return results.status();
      }
      return {};
    };
    if (const auto made = Call({Create(1, options_.config)}); !made.ok()) return Bad(made.status().message());
    if (Status status = feed(kGrowthSamples); !status.ok()) return Bad(status.message());
    const int64_t before = process_->Facts().resident_bytes;
    if (Status status = feed(2 * kGrowthSamples); !status.ok()) return Bad(status.message());
    const int64_t after = process_->Facts().resident_bytes;
    if (const auto ended = Call({Op(OpKind::kDestroy, 1)}); !ended.ok()) return Bad(ended.status().message());
    const std::string text = "the process has " + std::to_string(after >> 10) + " KiB; " +
                             std::to_string(2 * kGrowthSamples) + " samples added " +
                             std::to_string(std::max<int64_t>(after - before, 0) / 1024) + " KiB";
    return after - before > kGrowthBytesMax ? Warn(text + ": does it keep every sample?") : Pass(text);
  }

  Finding Time() {
    const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 600);
    if (const auto made = Call({Create(1, options_.config), Observe(1, samples)}); !made.ok()) {
      return Bad(made.status().message());
    }
    // Batches of 20 questions, so that the way there and back hardly counts; the median of several is the machine's
    // word on the plugin rather than on what else runs.
    std::vector<int64_t> took_us;
    for (int i = 0; i < 15; ++i) {
      const std::vector<WorkerOp> ops(20, Predict(1, After(samples)));
      const Instant begin = SystemClock()->Now();
      if (const auto results = Call(ops); !results.ok()) return Bad(results.status().message());
      took_us.push_back((SystemClock()->Now() - begin) / 1000 / 20);
    }
    std::sort(took_us.begin(), took_us.end());
    const int64_t median_us = took_us[took_us.size() / 2];
    if (const auto ended = Call({Op(OpKind::kDestroy, 1)}); !ended.ok()) return Bad(ended.status().message());
    const std::string text = std::to_string(median_us) + " us for one primary";
    return median_us > kPredictWarnUs ? Warn(text + ": many primaries will miss the deadline of 250 ms") : Pass(text);
  }

  Finding ProcessState() {
    if (Status status = Ensure(); !status.ok()) return Bad(status.message());
    const ProcessFacts now = process_->Facts();
    if (now.threads > facts_.threads) return Bad("started threads: " + std::to_string(now.threads) + " run");
    if (now.open_files > facts_.open_files + 1) {
      return Bad("keeps " + std::to_string(now.open_files - facts_.open_files) + " files or sockets open");
    }
    if (now.signals_caught != 0) return Bad("installed a signal handler");
    return Pass("no threads, no open files, no signal handlers");
  }

  const ConformanceOptions& options_;
  ConformanceReport report_;
  std::unique_ptr<PluginProcess> process_;
  ProcessFacts facts_;
  std::vector<std::string> metrics_;
  uint32_t slots_ = 0;
};

}  // namespace

const char* VerdictName(Verdict verdict) {
  static constexpr const char* kNames[] = {"pass", "warning", "fail", "skipped"};
  return kNames[verdict];
}

bool ConformanceReport::passed() const {
  return !checks.empty() && std::none_of(checks.begin(), checks.end(),
                                         [](const ConformanceCheck& check) { return check.verdict == Verdict::kFail; });
}

ConformanceReport CheckConformance(const ConformanceOptions& options) { return Checker(options).Run(); }

}  // namespace understudy

// What a plugin makes of good and bad input: configurations, samples, resets, outcomes.
#include <string>

#include "predictors/host/conformance_checker.h"

namespace understudy::conformance {

Finding Checker::OtherConfigs() {
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

Finding Checker::NoSamples() {
  const auto results = Call({Create(1, options_.config), Predict(1, kRunBeginNs), Op(OpKind::kDestroy, 1)});
  if (!results.ok()) return Bad(results.status().message());
  const WorkerResult& answer = results->at(1);
  if (std::string fault = Fault(answer, kHorizonsMs.size()); !fault.empty()) return Bad(fault);
  if (answer.code == UNDERSTUDY_OK) return Bad("forecasts though it has not seen one sample: WARMING is the word");
  if (answer.text == "it gave no reason") return Warn("says nothing of why it cannot: host.explain is for that");
  return Pass(answer.text);
}

Finding Checker::Troubled(const SampleRun& run) {
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

Finding Checker::Horizons() {
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

Finding Checker::Reset() {
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

Finding Checker::Feedback() {
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

}  // namespace understudy::conformance

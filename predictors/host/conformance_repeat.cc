// Whether a plugin says the same again: asked twice, in another process, beside other instances, from a saved state.
#include <algorithm>
#include <bit>

#include "predictors/host/conformance_checker.h"

namespace understudy::conformance {
namespace {

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

// The forecasts of a run in which the samples come in batches of changing size.
std::vector<WorkerOp> ReplayOps(uint64_t id, const std::string& config, size_t metrics) {
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

std::string Compare(const std::vector<WorkerResult>& a, const std::vector<WorkerResult>& b) {
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (std::string difference = Difference(a[i], b[i]); !difference.empty()) {
      return "at question " + std::to_string(i / 2 + 1) + ": " + difference;
    }
  }
  return a.size() == b.size() ? "" : "different numbers of answers";
}

}  // namespace

Finding Checker::Twice() {
  const std::vector<PluginSample> samples = OrdinarySamples(metrics_.size(), 600);
  const int64_t now = After(samples);
  const auto results = Call({Create(1, options_.config), Observe(1, samples), Predict(1, now), Predict(1, now, {5}),
                             Predict(1, now), Op(OpKind::kDestroy, 1)});
  if (!results.ok()) return Bad(results.status().message());
  const std::string difference = Difference(results->at(2), results->at(4));
  return difference.empty() ? Pass("the same answer") : Bad(difference);
}

Finding Checker::Replay() {
  std::vector<WorkerResult> runs[2];
  for (std::vector<WorkerResult>& run : runs) {
    Result<std::unique_ptr<PluginProcess>> process = Fresh();
    if (!process.ok()) return Bad(process.status().message());
    Result<WorkerReply> reply = (*process)->Call(ReplayOps(1, options_.config, metrics_.size()), options_.deadline_ms);
    if (!reply.ok()) return Bad(reply.status().message());
    run = std::move(reply).value().results;
  }
  const std::string difference = Compare(runs[0], runs[1]);
  if (!difference.empty()) return Bad("two processes that saw the same, " + difference);
  return Pass(std::to_string(runs[0].size() / 2) + " answers of two processes are the same bit by bit");
}

Finding Checker::Instances() {
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

Finding Checker::SaveRestore() {
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
  std::vector<WorkerOp> ops = {Create(1, options_.config, state.state), Op(OpKind::kSave, 1), Predict(1, After(early)),
                               Observe(1, late), Predict(1, After(late))};
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

Finding Checker::GarbageState() {
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
    const auto results = Call(
        {Create(1, options_.config, broken), Observe(1, samples), Predict(1, After(samples)), Op(OpKind::kDestroy, 1)});
    if (!results.ok())
      return Bad("a broken state of " + std::to_string(broken.size()) + " bytes: " + results.status().message());
    if (std::string fault = Fault(results->at(2), kHorizonsMs.size()); !fault.empty()) {
      return Bad("after a broken state of " + std::to_string(broken.size()) + " bytes: " + fault);
    }
  }
  return Pass(std::to_string(bad.size()) + " broken states did no harm");
}

}  // namespace understudy::conformance

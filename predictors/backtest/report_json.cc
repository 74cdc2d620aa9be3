#include <cmath>
#include <nlohmann/json.hpp>

#include "predictors/backtest/backtest.h"
#include "predictors/host/plugin_library.h"

namespace understudy::backtest {
namespace {

using Json = nlohmann::ordered_json;

// NaN and infinity are null.
Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json ScoreToJson(const Score& score, const Costs& costs) {
  Json bins = Json::array();
  for (size_t i = 0; i < kBins; ++i) {
    const Score::Bin& bin = score.bins[i];
    const auto count = static_cast<double>(bin.count);
    bins.push_back({{"from", static_cast<double>(i) / kBins},
                    {"to", static_cast<double>(i + 1) / kBins},
                    {"forecasts", bin.count},
                    {"mean_probability", Number(bin.probability_sum / count)},
                    {"happened", Number(static_cast<double>(bin.happened) / count)}});
  }
  const double cost = score.Cost(costs), never = score.CostOfNeverPredicting(costs);
  return {
      {"rows", score.rows},
      {"node_days", score.days},
      {"node_days_outside_events", score.quiet_days},
      {"events", score.events},
      {"events_forecast", score.events_forecast},
      {"events_forecast_in_time", score.events_in_time},
      {"alarms_true", score.alarms_true},
      {"alarms_false", score.alarms_false},
      {"alarms_in_events", score.alarms_in_event},
      {"precision", Number(score.Precision())},
      {"recall", Number(score.Recall())},
      {"false_alarms_per_node_day", Number(score.FalseAlarmsPerNodeDay())},
      {"lead_time_s", {{"p10", Number(score.LeadS(0.1))}, {"p50", Number(score.LeadS(0.5))}}},
      {"forecasts",
       {{"ok", score.ok},
        {"warming", score.warming},
        {"abstain", score.abstained},
        {"impossible", score.impossible},
        {"scored", score.scored()}}},
      {"brier", Number(score.Brier())},
      {"expected_calibration_error", Number(score.Ece())},
      {"reliability", bins},
      {"time_to_failure",
       {{"forecasts", score.ttf_errors_s.size()},
        {"median_absolute_error_s", Number(score.TtfErrorS())},
        {"median_relative_error", Number(score.TtfRelative())},
        {"p10_p90_coverage", Number(score.TtfCoverage())}}},
      {"cost",
       {{"with", cost}, {"never_predicting", never}, {"saved_fraction", never > 0 ? Json(1 - cost / never) : Json()}}}};
}

Json TraceToJson(const TraceInfo& info, const TraceScore& trace, const Costs& costs) {
  Json json = {{"trace", info.name}, {"path", info.path}, {"time_faults", info.time_faults}};
  json["metrics_missing"] = trace.metrics_missing;
  json["complaint"] = trace.complaint.empty() ? Json() : Json(SafeText(trace.complaint, 400));
  json.update(ScoreToJson(trace.score, costs));
  json["alarms"] = Json::array();
  for (const Alarm& alarm : trace.alarms) {
    json["alarms"].push_back({{"opened_s", alarm.opened_s},
                              {"closed_s", Number(alarm.closed_s)},
                              {"verdict", VerdictName(alarm.verdict)},
                              {"lead_s", alarm.verdict == Verdict::kTrue ? Json(alarm.lead_s) : Json()},
                              {"probability", alarm.probability},
                              {"reason", SafeText(alarm.reason, 240)}});
  }
  return json;
}

Json VariantToJson(const Report& report, size_t index) {
  const VariantReport& one = report.variants[index];
  const Costs& costs = report.settings.costs;
  Json json = {{"label", one.variant.label}, {"predictor", one.name}, {"version", one.version}};
  json["group"] = one.variant.group;
  json["best_of_group"] = BestOfGroup(report, one.variant.group) == index;
  json["config"] = Json::parse(one.variant.config, nullptr, false);
  json["summary"] = ScoreToJson(one.summary, costs);
  json["traces"] = Json::array();
  double busy = 0;
  for (size_t i = 0; i < report.traces.size(); ++i) {
    json["traces"].push_back(TraceToJson(report.traces[i], one.traces[i], costs));
    busy += one.traces[i].busy_s;
  }
  json["performance"] = {{"busy_s", busy},
                         {"samples_per_s_and_core", Number(static_cast<double>(one.summary.rows) / busy)}};
  return json;
}

}  // namespace

std::string ToJson(const Report& report) {
  const Settings& s = report.settings;
  Json json = {{"version", 1}};
  json["settings"] = {
      {"horizon_s", s.horizon_s},        {"window_s", s.window()},           {"every_s", s.every_s},
      {"switch_at", s.rule.switch_at},   {"release_at", s.rule.release_at},  {"persist_s", s.rule.persist_s},
      {"dwell_s", s.rule.dwell_s},       {"ready_s", s.costs.ready_s},       {"cost_unplanned", s.costs.unplanned},
      {"cost_planned", s.costs.planned}, {"failures_only", s.failures_only}, {"seed", s.seed}};
  Json predictors = Json::array();
  int64_t samples = 0;
  for (size_t i = 0; i < report.variants.size(); ++i) {
    predictors.push_back(VariantToJson(report, i));
    samples += report.variants[i].summary.rows;
  }
  // What most readers look for, at the top: the first predictor's.
  const size_t first = BestOfGroup(report, 0);
  json["summary"] = predictors[first]["summary"];
  json["traces"] = predictors[first]["traces"];
  json["predictors"] = std::move(predictors);
  json["comparison"] = Json::array();
  const auto figures = [&](size_t index) {
    const Score& score = report.variants[index].summary;
    return Json{{"label", report.variants[index].variant.label},
                {"precision", Number(score.Precision())},
                {"recall", Number(score.Recall())},
                {"lead_time_p50_s", Number(score.LeadS(0.5))},
                {"false_alarms_per_node_day", Number(score.FalseAlarmsPerNodeDay())},
                {"cost", score.Cost(s.costs)}};
  };
  for (const Rival& rival : Compare(report)) {
    json["comparison"].push_back({{"first", figures(first)},
                                  {"best", figures(rival.best)},
                                  {"reaches_recall", rival.reaches},
                                  {"at_recall", figures(rival.at_recall)}});
  }
  json["performance"] = {{"samples", samples},
                         {"elapsed_s", report.elapsed_s},
                         {"samples_per_s", Number(static_cast<double>(samples) / report.elapsed_s)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace understudy::backtest

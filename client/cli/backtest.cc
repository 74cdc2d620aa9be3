#include "predictors/backtest/backtest.h"

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "client/cli/command.h"
#include "client/cli/text.h"
#include "log/env/file.h"
#include "predictors/host/predictor_host.h"
#include "predictors/trace/trace.h"

namespace understudy::cli {
namespace {

namespace bt = understudy::backtest;

std::string Figure(double value, const char* format = "%.3g") {
  if (!std::isfinite(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}
std::string Percent(double value) { return std::isfinite(value) ? Figure(100 * value, "%.1f %%") : "-"; }
std::string Duration(double seconds) { return std::isfinite(seconds) ? HumanMs(seconds * 1000) : "-"; }

void PrintTraces(const bt::Report& report, size_t index, bool color) {
  Table table({"TRACE", "NODE-DAYS>", "EVENTS>", "FORECAST>", "LEAD>", "RIGHT>", "FALSE>", "FALSE/NODE-DAY>", "NOTE"});
  for (size_t i = 0; i < report.traces.size(); ++i) {
    const bt::TraceScore& trace = report.variants[index].traces[i];
    const bt::Score& score = trace.score;
    std::string note = trace.complaint;
    if (!trace.metrics_missing.empty()) {
      note = "lacks " + trace.metrics_missing[0];
      if (trace.metrics_missing.size() > 1)
        note += " and " + std::to_string(trace.metrics_missing.size() - 1) + " more";
    }
    table.Add(
        {report.traces[i].name,
         Figure(score.days),
         std::to_string(score.events),
         {std::to_string(score.events_forecast), score.events_forecast < score.events ? Color::kYellow : Color::kNone},
         Duration(score.LeadS(0.5)),
         std::to_string(score.alarms_true),
         {std::to_string(score.alarms_false), score.alarms_false > 0 ? Color::kRed : Color::kNone},
         Figure(score.FalseAlarmsPerNodeDay()),
         note.substr(0, 100)});
  }
  std::printf("%s\n", table.Render(color).c_str());
}

void PrintSummary(const bt::Report& report, bool color) {
  const bt::Costs& costs = report.settings.costs;
  Table table({"PREDICTOR", "SAID>", "PRECISION>", "RECALL>", "LEAD P10>", "LEAD P50>", "FALSE/NODE-DAY>", "BRIER>",
               "ECE>", "TTF ERROR>", "COVERED>", "COST>"});
  for (const bt::VariantReport& one : report.variants) {
    const bt::Score& score = one.summary;
    // Silence is no merit: how often it was asked and could say something.
    const auto asked = static_cast<double>(score.ok + score.warming + score.abstained + score.impossible);
    table.Add({one.variant.label, Percent(static_cast<double>(score.ok) / asked), Percent(score.Precision()),
               Percent(score.Recall()), Duration(score.LeadS(0.1)), Duration(score.LeadS(0.5)),
               Figure(score.FalseAlarmsPerNodeDay()), Figure(score.Brier()), Figure(score.Ece()),
               Percent(score.TtfRelative()), Percent(score.TtfCoverage()), Figure(score.Cost(costs), "%g")});
  }
  table.Add({{"never predicting", Color::kDim},
             "-",
             "-",
             "-",
             "-",
             "0",
             "-",
             "-",
             "-",
             "-",
             Figure(report.variants[0].summary.CostOfNeverPredicting(costs), "%g")});
  std::printf("%s\n", table.Render(color).c_str());

  const bt::Score& first = report.variants[bt::BestOfGroup(report, 0)].summary;
  for (const bt::Rival& rival : bt::Compare(report)) {
    if (first.events == 0) break;  // no recall to compare at
    const bt::VariantReport& at = report.variants[rival.at_recall];
    std::printf("%s: precision %s against %s, median lead %s against %s of %s\n",
                rival.reaches ? "At the first one's recall"
                              : ("Its recall is not reached (highest " + Percent(at.summary.Recall()) + ")").c_str(),
                Percent(first.Precision()).c_str(), Percent(at.summary.Precision()).c_str(),
                Duration(first.LeadS(0.5)).c_str(), Duration(at.summary.LeadS(0.5)).c_str(), at.variant.label.c_str());
  }
  int64_t samples = 0;
  for (const bt::VariantReport& one : report.variants) samples += one.summary.rows;
  std::printf("%s samples in %.2f s: %s a second\n", WithCommas(static_cast<uint64_t>(samples)).c_str(),
              report.elapsed_s,
              WithCommas(static_cast<uint64_t>(static_cast<double>(samples) / report.elapsed_s)).c_str());
}

}  // namespace

int RunBacktest(const Arguments& arguments) {
  bt::Settings settings;
  settings.horizon_s = arguments.Real("horizon");
  settings.window_s = arguments.Real("window");
  settings.every_s = arguments.Real("every");
  settings.rule = {arguments.Real("switch-at"), arguments.Real("release-at"), arguments.Real("persist-ms") / 1000,
                   arguments.Real("dwell-ms") / 1000};
  settings.costs = {arguments.Real("cost-unplanned"), arguments.Real("cost-planned"), arguments.Real("ready")};
  settings.failures_only = arguments.Flag("failures-only");
  settings.threads = static_cast<int>(arguments.Number("threads"));
  if (settings.rule.release_at > settings.rule.switch_at) {
    std::fprintf(stderr, "understudy backtest: --release-at is above --switch-at\n");
    return kExitUsage;
  }

  std::vector<std::string> named = arguments.List("predictor");
  if (named.empty()) named = {"trend"};
  std::vector<bt::Variant> variants;
  for (size_t i = 0; i < named.size(); ++i) {
    const Result<std::vector<bt::Variant>> some = bt::ParsePredictor(named[i], i);
    if (!some.ok()) {
      std::fprintf(stderr, "understudy backtest: --predictor: %s\n", some.status().message().c_str());
      return kExitUsage;
    }
    variants.insert(variants.end(), some->begin(), some->end());
  }

  const Result<std::vector<std::string>> paths = trace::FindTraces(arguments.List("TRACES"));
  if (!paths.ok()) return Fail(paths.status());
  const std::string html = arguments.Text("html");
  // A report of hundreds of traces stays a few megabytes.
  if (!html.empty()) settings.plot_points = paths->size() <= 40 ? 400 : paths->size() <= 200 ? 160 : 60;
  const std::string folder = std::filesystem::path(arguments.program_path).parent_path().string();
  const Result<bt::Report> report = bt::Run(
      *paths, variants, settings, DefaultPredictorHostOptions(SystemClock(), folder).plugin_folders, SystemClock());
  if (!report.ok()) return Fail(report.status());

  if (!html.empty()) {
    const Status written = ReplaceFile(SystemFileSystem(), html, bt::ToHtml(*report));
    if (!written.ok()) return Fail(written);
  }
  if (arguments.json()) {
    std::printf("%s\n", bt::ToJson(*report).c_str());
    return kExitOk;
  }
  PrintTraces(*report, bt::BestOfGroup(*report, 0), arguments.color);
  PrintSummary(*report, arguments.color);
  if (!html.empty()) std::printf("The report is in %s\n", html.c_str());
  return kExitOk;
}

}  // namespace understudy::cli

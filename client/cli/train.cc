// understudy train: traces to a model of the gbt predictor. docs/cli.md.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/cli/bench/measure.h"
#include "client/cli/command.h"
#include "client/cli/text.h"
#include "log/env/file.h"
#include "predictors/train/split.h"
#include "predictors/train/table.h"
#include "predictors/train/trainer.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;
using namespace understudy::train;  // NOLINT: the command is its face

constexpr size_t kTracesMax = 10'000;

Status Invalid(const std::string& text) { return {StatusCode::kInvalidArgument, text}; }

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// "30", or "30s", "5m", "2h" in seconds with *unit set.
Result<double> Length(const std::string& option, const std::string& text, bool* seconds) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  const double factor = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit.empty() ? 1 : 0;
  if (end == text.c_str() || !(value > 0) || !(value < 1e9) || factor == 0) {
    return Invalid("--" + option + ": '" + text + "' is not a length like 30, 30s, 5m or 2h");
  }
  *seconds = !unit.empty();
  return value * factor;
}

Status ReadLengths(const Arguments& arguments, TrainOptions* options) {
  bool seconds = false;
  for (const std::string& text : Split(arguments.Text("horizons"))) {
    const Result<double> length = Length("horizons", text, &seconds);
    if (!length.ok()) return length.status();
    options->horizons_s.push_back(*length);
  }
  std::sort(options->horizons_s.begin(), options->horizons_s.end());
  const auto twice = std::unique(options->horizons_s.begin(), options->horizons_s.end());
  options->horizons_s.erase(twice, options->horizons_s.end());
  if (options->horizons_s.size() > 16) return Invalid("--horizons: at most 16");
  options->windows.clear();
  size_t in_seconds = 0;
  for (const std::string& text : Split(arguments.Text("windows"))) {
    const Result<double> length = Length("windows", text, &seconds);
    if (!length.ok()) return length.status();
    options->windows.push_back(*length);
    in_seconds += seconds ? 1 : 0;
  }
  if (in_seconds > 0 && in_seconds < options->windows.size()) {
    return Invalid("--windows: either all with a unit (seconds) or none (samples)");
  }
  options->window_unit = in_seconds > 0 ? gbt::WindowUnit::kSeconds : gbt::WindowUnit::kSamples;
  std::sort(options->windows.begin(), options->windows.end());
  return {};
}

Result<TrainOptions> ReadOptions(const Arguments& arguments) {
  TrainOptions options;
  UNDERSTUDY_RETURN_IF_ERROR(ReadLengths(arguments, &options));
  options.metrics = Split(arguments.Text("metrics"));
  options.age = !arguments.Flag("no-age");
  const std::string label = arguments.Text("label");
  if (label != "failure" && label != "degradation" && label != "both") {
    return Invalid("--label: '" + label + "' is none of failure, degradation, both");
  }
  options.failures = label != "degradation";
  options.degradations = label != "failure";
  options.cap_remaining_s = arguments.Real("cap-remaining");
  const std::string scale = arguments.Text("time-scale");
  if (scale != "auto" && scale != "linear" && scale != "log") {
    return Invalid("--time-scale: '" + scale + "' is none of auto, linear, log");
  }
  using Scale = TrainOptions::Scale;
  options.time_scale = scale == "auto" ? Scale::kAuto : scale == "linear" ? Scale::kLinear : Scale::kLog;
  options.rounds_max = static_cast<int>(arguments.Number("rounds"));
  options.depth = static_cast<int>(arguments.Number("depth"));
  options.learning_rate = arguments.Real("learning-rate");
  options.seed = static_cast<uint64_t>(arguments.Number("seed"));
  options.rows_max = static_cast<size_t>(arguments.Number("rows-max"));
  options.threads = static_cast<int>(arguments.Number("threads"));
  for (const auto& [name, into] :
       {std::pair{"failure-booster", &options.failure_booster}, std::pair{"time-booster", &options.time_booster}}) {
    if (!arguments.Given(name)) continue;
    Result<std::string> bytes = ReadWholeFile(SystemFileSystem(), arguments.Text(name), gbt::kBoosterBytesMax * 4);
    if (!bytes.ok()) return bytes.status();
    *into = std::move(bytes.value());
  }
  if (!options.time_booster.empty() && options.time_scale == Scale::kAuto) {
    return Invalid("--time-booster: --time-scale linear or log must say what it was trained on");
  }
  return options;
}

std::string Shown(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return std::isnan(value) ? "-" : text;
}

void PrintEvaluation(const Evaluation& evaluation, bool color) {
  Table table(
      {"HORIZON>", "ROWS>", "POSITIVES>", "ROC AUC>", "PR AUC>", "BRIER>", "OF BASE RATE>", "LOG LOSS>", "ECE>"});
  for (const FailureScores& s : evaluation.failure) {
    table.Add({Shown("%g s", s.horizon_s), WithCommas(s.rows), WithCommas(s.positives), Shown("%.3f", s.roc_auc),
               Shown("%.3f", s.average_precision), Shown("%.4f", s.brier), Shown("%.4f", s.brier_of_base_rate),
               Shown("%.4f", s.log_loss), Shown("%.4f", s.calibration_error)});
  }
  std::printf("%s", table.Render(color).c_str());
  if (!evaluation.time) return;
  const TimeScores& t = *evaluation.time;
  std::printf(
      "remaining time, %s rows: RMSE %.4g s, mean absolute error %.4g s, bias %+.3g s; "
      "the truth is below p10 in %.0f %% and above p90 in %.0f %% (10 %% each would be right)\n",
      WithCommas(t.rows).c_str(), t.rmse_s, t.mean_absolute_s, t.bias_s, 100 * t.below_p10, 100 * t.above_p90);
}

void PrintData(const Dataset& data) {
  std::printf("%zu traces, %zu failures, %s rows, one every %g s; %zu metrics, %zu features\n", data.trace_names.size(),
              data.failures, WithCommas(data.rows.size()).c_str(), data.interval_s, data.spec.metrics.size(),
              data.width());
  const auto list = [](const char* what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    std::printf("left out, %s: %s\n", what, text.c_str());
  };
  list("constant", data.constant_metrics);
  list("not in every trace", data.partial_metrics);
}

int PrintCrossValidation(const Dataset& data, const CrossValidation& validation, const Arguments& arguments) {
  if (arguments.json()) {
    Json json = ToJson(validation);
    json["traces"] = data.trace_names.size();
    json["rows"] = data.rows.size();
    json["cap_s"] = data.cap_s;
    json["data_sha256"] = data.hash;
    std::printf("%s\n", json.dump(2).c_str());
    return kExitOk;
  }
  PrintData(data);
  std::printf("\n%zu-fold cross-validation: each trace judged by a model that never saw it\n", validation.folds);
  PrintEvaluation(validation.all, arguments.color);
  std::printf("RMSE of the folds:");
  for (const double rmse : validation.fold_rmse_s) std::printf(" %s", Shown("%.2f", rmse).c_str());
  std::printf(" s\nat one random moment of each of %zu traces (seed %s): RMSE %s s\ntimes beyond %g s count as %g s\n",
              validation.one_cut_traces, arguments.Text("seed").c_str(),
              Shown("%.2f", validation.one_cut_rmse_s).c_str(), data.cap_s, data.cap_s);
  return kExitOk;
}

void PrintTraining(const Dataset& data, const Trained& trained, const Evaluation& test, bool color) {
  PrintData(data);
  Table parts({"PART", "TRACES>", "LIVES>", "FAILURES>", "ROWS>"});
  for (size_t p = 0; p < kParts; ++p) {
    const PartSize& size = trained.parts[p];
    parts.Add({PartName(static_cast<Part>(p)), WithCommas(size.traces), WithCommas(size.lives),
               WithCommas(size.failures), WithCommas(size.rows)});
  }
  std::printf("\n%s\n", parts.Render(color).c_str());
  std::printf("failure head: %d rounds, calibrated by %s; time head: %d rounds, %s\n\n", trained.failure_rounds,
              trained.model.calibration.kind(), trained.time_rounds,
              trained.model.time_scale.logarithmic ? "log" : "linear");
  if (trained.parts[static_cast<size_t>(Part::kTest)].rows > 0) {
    std::printf("on the test part:\n");
    PrintEvaluation(test, color);
  } else {
    std::printf("nothing was kept apart to judge: `understudy backtest` on other traces does\n");
  }
  Table features({"FEATURE", "GAIN>"});
  for (size_t i = 0; i < trained.importance.size() && i < 10; ++i) {
    features.Add({trained.importance[i].first, Shown("%.1f %%", 100 * trained.importance[i].second)});
  }
  std::printf("\n%s", features.Render(color).c_str());
}

Result<std::vector<trace::Trace>> ReadTraces(const std::vector<std::string>& paths, bool quiet) {
  Result<std::vector<std::string>> files = trace::FindTraces(paths);
  if (!files.ok()) return files.status();
  if (files->size() > kTracesMax) return Invalid("more than 10000 traces");
  std::vector<trace::Trace> traces;
  Progress bar("reading", files->size(), quiet);
  for (const std::string& file : *files) {
    Result<trace::Trace> trace = trace::ReadTrace(file);
    if (!trace.ok()) return trace.status();
    traces.push_back(std::move(trace.value()));
    bar.Show(traces.size());
  }
  return traces;
}

// A bar a stage.
class Bars {
 public:
  explicit Bars(bool quiet) : quiet_(quiet) {}
  void Show(const std::string& stage, double share) {
    if (stage != stage_) bar_.reset();
    if (!bar_) bar_ = std::make_unique<Progress>(stage, 1000, quiet_);
    stage_ = stage;
    bar_->Show(static_cast<uint64_t>(share * 1000));
  }
  void Clear() { bar_.reset(); }

 private:
  bool quiet_;
  std::string stage_;
  std::unique_ptr<Progress> bar_;
};

Result<int> Train(const Arguments& arguments) {
  const int64_t folds = arguments.Number("cross-validate");
  if (folds == 0 && !arguments.Given("out") && !arguments.Given("features-csv")) {
    return Invalid("--out MODEL, --features-csv FILE or --cross-validate K is needed");
  }
  Result<TrainOptions> options = ReadOptions(arguments);
  if (!options.ok()) return options.status();
  Result<std::vector<trace::Trace>> traces = ReadTraces(arguments.List("TRACES"), arguments.json());
  if (!traces.ok()) return traces.status();
  Bars bars(arguments.json());
  options.value().progress = [&](const std::string& stage, double share) { bars.Show(stage, share); };
  Result<Dataset> data = MakeDataset(*traces, *options);
  if (!data.ok()) return data.status();
  traces.value().clear();
  if (folds > 0) {
    const Result<CrossValidation> validation = CrossValidate(&data.value(), static_cast<size_t>(folds), *options);
    bars.Clear();
    if (!validation.ok()) return validation.status();
    return PrintCrossValidation(*data, *validation, arguments);
  }
  UNDERSTUDY_RETURN_IF_ERROR(SplitRows(&data.value(), !arguments.Flag("no-test")));
  if (arguments.Given("features-csv")) {
    bars.Clear();
    UNDERSTUDY_RETURN_IF_ERROR(WriteTable(*data, arguments.Text("features-csv"), SystemFileSystem()));
    if (!arguments.Given("out")) {
      if (arguments.json()) {
        std::printf(
            "%s\n",
            Json({{"features_csv", arguments.Text("features-csv")}, {"rows", data->rows.size()}}).dump(2).c_str());
      } else {
        PrintData(*data);
      }
      return kExitOk;
    }
  }
  Result<Trained> trained = TrainModel(*data, *options);
  if (!trained.ok()) return trained.status();
  gbt::Model& model = trained.value().model;
  const Evaluation test = Evaluate(*data, {PredictRows(model, *data, Part::kTest)});
  bars.Clear();
  model.training = DescribeTraining(*data, *trained, test, *options);
  const std::string text = gbt::WriteModel(&model);
  if (text.size() > gbt::kModelBytesMax) {
    return Status(StatusCode::kResourceExhausted, "the model has " + HumanBytes(static_cast<double>(text.size())) +
                                                      ", 4 MiB are allowed: less --depth or --rounds");
  }
  UNDERSTUDY_RETURN_IF_ERROR(ReplaceFile(SystemFileSystem(), arguments.Text("out"), text));
  if (arguments.json()) {
    Json json = model.training;
    json["model"] = {{"file", arguments.Text("out")}, {"bytes", text.size()}, {"checksum", model.checksum}};
    std::printf("%s\n", json.dump(2).c_str());
    return kExitOk;
  }
  PrintTraining(*data, *trained, test, arguments.color);
  std::printf("\n%s: %s, %s\nuse it: {\"plugin\": \"gbt\", \"config\": {\"model_file\": \"%s\"}}\n",
              arguments.Text("out").c_str(), HumanBytes(static_cast<double>(text.size())).c_str(),
              model.checksum.c_str(), arguments.Text("out").c_str());
  return kExitOk;
}

}  // namespace

int RunTrain(const Arguments& arguments) {
  const Result<int> result = Train(arguments);
  return result.ok() ? *result : Fail(result.status());
}

}  // namespace understudy::cli

// `understudy predictor check` and `run`: a plugin is tried out in a child process, without a cluster.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/text.h"
#include "log/env/small_files.h"
#include "predictors/host/conformance.h"
#include "predictors/host/model_file.h"
#include "predictors/host/plugin_process.h"
#include "predictors/host/predictor_host.h"
#include "predictors/trace/trace.h"

namespace understudy::cli {
namespace {

using nlohmann::json;

constexpr size_t kConfigBytesMax = 256 << 10;
constexpr size_t kRowsShown = 40;        // of a table, unless --every says otherwise
constexpr int64_t kDeadlineMs = 10'000;  // of a batch of calls; authors' builds are slow

std::string Folder(const Arguments& arguments) {
  return std::filesystem::path(arguments.program_path).parent_path().string();
}
std::string Helper(const Arguments& arguments) { return Folder(arguments) + "/understudy-predictor-host"; }

// --config: JSON, or @FILE with it.
Result<std::string> Config(const Arguments& arguments) {
  std::string text = arguments.Text("config");
  if (!text.empty() && text[0] == '@') {
    Result<std::string> file = ReadSmallFile(text.substr(1), kConfigBytesMax);
    if (!file.ok()) return file.status().WithContext("--config");
    text = std::move(file).value();
  }
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return Status(StatusCode::kInvalidArgument, "--config: is not a JSON object");
  return ResolveModelFile(parsed.dump());
}

// A path, or the name of a plugin that is installed beside this program, as in a service file.
std::string PluginPath(const Arguments& arguments) {
  const std::string given = arguments.Text("PLUGIN");
  std::error_code error;
  if (given.find('/') != std::string::npos || std::filesystem::exists(given, error)) {
    return std::filesystem::absolute(given, error).string();
  }
  return (std::filesystem::path(Folder(arguments)).parent_path() / "lib/understudy/predictors" / (given + ".so"))
      .string();
}

// A word a row: what the predictor said after the samples up to `time_s`.
struct Said {
  double time_s = 0;
  int32_t code = 0;
  std::string text;
  std::vector<Forecast> forecasts;
};

WorkerOp Op(OpKind kind) {
  WorkerOp op;
  op.kind = kind;
  op.instance = 1;
  return op;
}

// Feeds the trace and asks whenever `every_s` have passed.
Result<std::vector<Said>> RunTrace(PluginProcess* process, const std::string& config, const trace::Trace& trace,
                                   double every_s, const std::vector<int64_t>& horizons_ms) {
  WorkerOp create = Op(OpKind::kCreate);
  create.config = config;
  create.seed = 1;
  Result<WorkerReply> made = process->Call({create}, kDeadlineMs);
  if (!made.ok()) return made.status();
  const WorkerResult& instance = made->results[0];
  if (instance.code != UNDERSTUDY_OK) {
    return Status(StatusCode::kInvalidArgument, "the plugin refuses its configuration: " + instance.text);
  }
  std::vector<int> columns;  // of the metrics it wants; -1: not in the trace
  for (const std::string& metric : instance.metrics) {
    const auto found = std::find(trace.metrics.begin(), trace.metrics.end(), metric);
    columns.push_back(found == trace.metrics.end() ? -1 : static_cast<int>(found - trace.metrics.begin()));
  }
  if (std::all_of(columns.begin(), columns.end(), [](int column) { return column < 0; })) {
    std::string wanted;
    for (const std::string& metric : instance.metrics) wanted += (wanted.empty() ? "" : ", ") + metric;
    return Status(StatusCode::kInvalidArgument, "the trace has none of the metrics the plugin wants: " + wanted);
  }

  std::vector<Said> said;
  std::vector<WorkerOp> ops;
  std::vector<double> asked;
  const auto flush = [&]() -> Status {
    Result<WorkerReply> reply = process->Call(std::move(ops), kDeadlineMs);
    ops.clear();
    if (!reply.ok()) return reply.status();
    std::vector<WorkerResult>& results = reply.value().results;
    for (size_t i = 0; i < asked.size(); ++i) {  // in turn: observed, predicted
      const WorkerResult& observed = results[2 * i];
      if (observed.code != UNDERSTUDY_OK) return {StatusCode::kInternal, "observe failed: " + observed.text};
      WorkerResult& answer = results[2 * i + 1];
      said.push_back({asked[i], answer.code, std::move(answer.text), std::move(answer.forecasts)});
    }
    asked.clear();
    return {};
  };
  double next_s = -std::numeric_limits<double>::infinity();
  WorkerOp observe = Op(OpKind::kObserve);
  for (size_t row = 0; row < trace.rows(); ++row) {
    PluginSample& sample = observe.samples.emplace_back();
    sample.time_ns = static_cast<int64_t>(std::llround(trace.time_s[row] * 1e9));
    for (int column : columns) {
      sample.values.push_back(column < 0 ? std::numeric_limits<double>::quiet_NaN()
                                         : trace.columns[static_cast<size_t>(column)][row]);
    }
    if (trace.time_s[row] < next_s && row + 1 < trace.rows()) continue;
    next_s = trace.time_s[row] + every_s;
    WorkerOp predict = Op(OpKind::kPredict);
    predict.time_ns = sample.time_ns;
    predict.horizons_ms = horizons_ms;
    ops.push_back(std::move(observe));
    ops.push_back(std::move(predict));
    asked.push_back(trace.time_s[row]);
    observe = Op(OpKind::kObserve);
    if (asked.size() >= 256) UNDERSTUDY_RETURN_IF_ERROR(flush());
  }
  if (!ops.empty()) UNDERSTUDY_RETURN_IF_ERROR(flush());
  return said;
}

const char* StatusOf(const Said& said) {
  return said.code == UNDERSTUDY_OK        ? "OK"
         : said.code == UNDERSTUDY_WARMING ? "WARMING"
         : said.code == UNDERSTUDY_ABSTAIN ? "ABSTAIN"
                                           : "FAILED";
}

json ToJson(const Said& said) {
  json out = {{"time_s", said.time_s}, {"status", StatusOf(said)}};
  if (said.code != UNDERSTUDY_OK) out["reason"] = said.text;
  json forecasts = json::array();
  for (const Forecast& forecast : said.forecasts) {
    json one = {{"horizon_s", static_cast<double>(forecast.horizon_ms) / 1000},
                {"probability", forecast.probability},
                {"confidence", forecast.confidence},
                {"reason", forecast.reason}};
    if (const std::string fault = CheckForecast(forecast); !fault.empty()) one["impossible"] = fault;
    if (forecast.has_ttf) {
      one["ttf_s"] = {{"p10", forecast.ttf_p10_s}, {"p50", forecast.ttf_p50_s}, {"p90", forecast.ttf_p90_s}};
    }
    forecasts.push_back(std::move(one));
  }
  if (!forecasts.empty()) out["forecasts"] = std::move(forecasts);
  return out;
}

std::string Number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// One line a question, with the events of the trace between them where they began.
void Print(const std::vector<Said>& all, const trace::Trace& trace, bool color) {
  Table table({"TIME S>", "STATUS", "HORIZON S>", "P>", "TTF P50 S>", "REASON"});
  size_t event = 0;
  const auto events_until = [&](double time_s) {
    for (; event < trace.events.size() && trace.events[event].time_s <= time_s; ++event) {
      const trace::Event& what = trace.events[event];
      table.Add({Number("%.0f", what.time_s), Table::Cell(trace::EventKindName(what.kind), Color::kRed), "", "", "",
                 what.note});
    }
  };
  for (const Said& said : all) {
    events_until(said.time_s);
    if (said.forecasts.empty()) {
      table.Add({Number("%.0f", said.time_s), StatusOf(said), "", "", "", said.text});
      continue;
    }
    for (size_t i = 0; i < said.forecasts.size(); ++i) {
      const Forecast& forecast = said.forecasts[i];
      const std::string fault = CheckForecast(forecast);
      const Color shade = !fault.empty() || forecast.probability >= 0.5 ? Color::kRed : Color::kNone;
      table.Add({i == 0 ? Number("%.0f", said.time_s) : "", i == 0 ? StatusOf(said) : "",
                 Number("%g", static_cast<double>(forecast.horizon_ms) / 1000),
                 Table::Cell(Number("%.3f", forecast.probability), shade),
                 forecast.has_ttf ? Number("%.0f", forecast.ttf_p50_s) : "-", fault.empty() ? forecast.reason : fault});
    }
  }
  events_until(std::numeric_limits<double>::infinity());
  std::printf("%s", table.Render(color).c_str());
}

}  // namespace

int RunPredictorCheck(const Arguments& arguments) {
  const Result<std::string> config = Config(arguments);
  if (!config.ok()) return Fail(config.status());
  ConformanceOptions options;
  options.helper = Helper(arguments);
  options.plugin = PluginPath(arguments);
  options.config = *config;
  const ConformanceReport report = CheckConformance(options);
  size_t counts[4] = {};
  json checks = json::array();
  for (const ConformanceCheck& check : report.checks) {
    ++counts[check.verdict];
    checks.push_back({{"check", check.name}, {"verdict", VerdictName(check.verdict)}, {"text", check.text}});
    if (arguments.json()) continue;
    static constexpr Color kColors[] = {Color::kGreen, Color::kYellow, Color::kRed, Color::kDim};
    std::string verdict = VerdictName(check.verdict), name = check.name;
    verdict.resize(7, ' ');
    if (name.size() < 28) name.resize(28, ' ');
    std::printf("%s  %s  %s\n", Paint(verdict, kColors[check.verdict], arguments.color).c_str(), name.c_str(),
                check.text.c_str());
  }
  if (arguments.json()) {
    const json out = {{"plugin", options.plugin}, {"name", report.name}, {"version", report.version},
                      {"checks", checks},         {"passed", counts[0]}, {"warnings", counts[1]},
                      {"failed", counts[2]},      {"skipped", counts[3]}};
    std::printf("%s\n", out.dump(1).c_str());
  } else {
    std::printf("%zu checks: %zu passed, %zu warnings, %zu failed, %zu skipped\n", report.checks.size(), counts[0],
                counts[1], counts[2], counts[3]);
  }
  return report.passed() ? kExitOk : kExitFailed;
}

int RunPredictorRun(const Arguments& arguments) {
  const Result<std::string> config = Config(arguments);
  if (!config.ok()) return Fail(config.status());
  std::vector<int64_t> horizons_ms;
  for (const std::string& word : SplitAddresses(arguments.Text("horizons"))) {
    char* end = nullptr;
    const double seconds = std::strtod(word.c_str(), &end);
    const bool good = !word.empty() && *end == '\0' && seconds >= 0.001 && seconds <= 30 * 86'400.0;
    if (!good || horizons_ms.size() >= UNDERSTUDY_HORIZONS_MAX) {
      return Fail(
          {StatusCode::kInvalidArgument, "--horizons: '" + word + "': 1 to 16 numbers of seconds, 0.001 to 2592000"});
    }
    horizons_ms.push_back(std::llround(seconds * 1000));
  }
  std::sort(horizons_ms.begin(), horizons_ms.end());
  const Result<trace::Trace> trace = trace::ReadTrace(arguments.Text("TRACE"));
  if (!trace.ok()) return Fail(trace.status());
  if (trace->rows() == 0) return Fail({StatusCode::kInvalidArgument, arguments.Text("TRACE") + ": has no rows"});
  Result<std::unique_ptr<PluginProcess>> process =
      PluginProcess::Start({Helper(arguments), PluginPath(arguments), 512ll << 20, kDeadlineMs});
  if (!process.ok()) return Fail({StatusCode::kInvalidArgument, process.status().message()});
  const double span_s = trace->time_s.back() - trace->time_s.front();
  const double every_s = arguments.Given("every") ? static_cast<double>(arguments.Number("every"))
                         : arguments.json()       ? 0
                                                  : span_s / static_cast<double>(kRowsShown);
  Result<std::vector<Said>> said = RunTrace(process->get(), *config, *trace, every_s, horizons_ms);
  // Not Fail: a plugin that is late or ends is no coordinator that does not answer.
  if (!said.ok()) return Fail({StatusCode::kInternal, arguments.Text("PLUGIN") + ": " + said.status().message()});
  if (!arguments.json()) {
    Print(*said, *trace, arguments.color);
    return kExitOk;
  }
  json forecasts = json::array(), events = json::array();
  for (const Said& one : *said) forecasts.push_back(ToJson(one));
  for (const trace::Event& event : trace->events) {
    events.push_back({{"time_s", event.time_s},
                      {"end_s", event.end_s},
                      {"kind", trace::EventKindName(event.kind)},
                      {"note", event.note}});
  }
  const WorkerReply& greeting = (*process)->greeting();
  const json out = {{"predictor", greeting.name},
                    {"version", greeting.version},
                    {"trace", trace->name},
                    {"events", events},
                    {"said", forecasts}};
  std::printf("%s\n", out.dump(1).c_str());
  return kExitOk;
}

}  // namespace understudy::cli

#include <cmath>
#include <nlohmann/json.hpp>

#include "predictors/backtest/backtest.h"
#include "predictors/host/plugin_library.h"
#include "report_page.h"

namespace understudy::backtest {
namespace {

using Json = nlohmann::json;

constexpr char kDataMark[] = "\"REPORT_DATA\"";
constexpr size_t kAlarmsShownMax = 300;  // of one trace

// Four digits are more than a plot shows.
Json Rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

Json CurveToJson(const Curve& curve) {
  Json low = Json::array(), high = Json::array();
  bool same = true;
  for (size_t i = 0; i < curve.low.size(); ++i) {
    low.push_back(Rounded(curve.low[i]));
    high.push_back(Rounded(curve.high[i]));
    same = same && low.back() == high.back();
  }
  Json json = {{"name", curve.name}, {"high", std::move(high)}};
  if (!same) json["low"] = std::move(low);
  return json;
}

Json TraceToJson(const Report& report, size_t index, const std::vector<size_t>& shown) {
  const TraceInfo& info = report.traces[index];
  Json json = {{"name", info.name}, {"first", info.first_s}, {"last", info.last_s}, {"rows", info.rows}};
  json["events"] = Json::array();
  for (const trace::Event& event : info.events) {
    json["events"].push_back(
        {{"t", event.time_s}, {"end", event.end_s}, {"kind", trace::EventKindName(event.kind)}, {"note", event.note}});
  }
  json["metrics"] = Json::array();
  for (const Curve& curve : info.metrics) json["metrics"].push_back(CurveToJson(curve));
  json["words"] = Json::array();
  for (const size_t variant : shown) {
    const TraceScore& score = report.variants[variant].traces[index];
    Json alarms = Json::array();
    for (size_t i = 0; i < std::min(kAlarmsShownMax, score.alarms.size()); ++i) {
      const Alarm& alarm = score.alarms[i];
      alarms.push_back({{"t", alarm.opened_s},
                        {"end", std::isfinite(alarm.closed_s) ? Json(alarm.closed_s) : Json()},
                        {"verdict", VerdictName(alarm.verdict)},
                        {"lead", alarm.lead_s},
                        {"reason", SafeText(alarm.reason, 240)}});
    }
    json["words"].push_back({{"probability", CurveToJson(score.probability)["high"]},
                             {"alarms", std::move(alarms)},
                             {"alarms_total", score.alarms.size()},
                             {"missing", score.metrics_missing},
                             {"complaint", SafeText(score.complaint, 400)}});
  }
  return json;
}

}  // namespace

std::string ToHtml(const Report& report) {
  // Figures of all variants, curves of the best of each group.
  std::vector<size_t> shown;
  for (size_t group = 0; group < GroupCount(report); ++group) shown.push_back(BestOfGroup(report, group));
  Json data = Json::parse(ToJson(report));
  data.erase("traces");
  data.erase("summary");
  for (Json& predictor : data["predictors"]) {
    predictor.erase("traces");
    predictor.erase("config");
  }
  data["shown"] = shown;
  data["traces"] = Json::array();
  for (size_t i = 0; i < report.traces.size(); ++i) data["traces"].push_back(TraceToJson(report, i, shown));

  const std::string text = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string page = kReportPage, safe;
  // No text of a trace or a plugin can end the script element it stands in.
  for (const char c : text) safe += c == '<' ? std::string("\\u003c") : std::string(1, c);
  page.replace(page.find(kDataMark), sizeof kDataMark - 1, safe);
  return page;
}

}  // namespace understudy::backtest

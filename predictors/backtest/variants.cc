#include <nlohmann/json.hpp>

#include "log/env/file.h"
#include "predictors/backtest/backtest.h"

namespace understudy::backtest {
namespace {

using Json = nlohmann::json;

constexpr size_t kConfigBytesMax = 1 << 20;

Status Invalid(const std::string& text) { return {StatusCode::kInvalidArgument, text}; }

struct Sweep {
  Json::json_pointer at;
  std::string field;  // the last name on the way, for labels
  Json choices;
};

// Depth is bounded by the parser's caller.
Status FindSweeps(const Json& json, const Json::json_pointer& at, const std::string& field, std::vector<Sweep>* out) {
  if (json.is_object() && json.size() == 1 && json.contains("sweep")) {
    const Json& choices = json.at("sweep");
    if (!choices.is_array() || choices.empty()) return Invalid(at.to_string() + ": sweep: a list of values is needed");
    out->push_back({at, field, choices});
    return {};
  }
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) UNDERSTUDY_RETURN_IF_ERROR(FindSweeps(value, at / key, key, out));
  } else if (json.is_array()) {
    for (size_t i = 0; i < json.size(); ++i) UNDERSTUDY_RETURN_IF_ERROR(FindSweeps(json[i], at / i, field, out));
  }
  return {};
}

std::string PluginLabel(const std::string& plugin) {
  const size_t slash = plugin.rfind('/');
  std::string name = slash == std::string::npos ? plugin : plugin.substr(slash + 1);
  if (name.ends_with(".so")) name.resize(name.size() - 3);
  return name;
}

}  // namespace

Result<std::vector<Variant>> ParsePredictor(const std::string& text, size_t group) {
  const size_t library = text.find(".so");  // a path may hold the signs that follow
  const size_t cut = text.find_first_of(":@", library == std::string::npos ? 0 : library);
  const std::string plugin = text.substr(0, cut);
  if (plugin.empty()) return Invalid("'" + text + "': the name of a predictor is needed");
  std::string config = "{}";
  if (cut != std::string::npos) {
    config = text.substr(text[cut] == ':' ? cut + 1 : cut);
    if (!config.empty() && config[0] == '@') {
      const std::string path = config.substr(1);
      Result<std::string> content = ReadWholeFile(SystemFileSystem(), path, kConfigBytesMax);
      if (!content.ok()) return content.status().WithContext(plugin + ": its configuration");
      config = std::move(content).value();
    }
  }
  Json json;
  try {
    json = Json::parse(config, [](int depth, Json::parse_event_t, Json&) {
      if (depth > 64) throw std::length_error("nested too deeply");
      return true;
    });
  } catch (const std::exception& error) {
    return Invalid(plugin + ": its configuration: " + error.what());
  }
  std::vector<Sweep> sweeps;
  UNDERSTUDY_RETURN_IF_ERROR(
      FindSweeps(json, Json::json_pointer(), "", &sweeps).WithContext(plugin + ": its configuration"));
  size_t count = 1;
  for (const Sweep& sweep : sweeps) {
    count *= sweep.choices.size();
    if (count > kVariantsMax) return Invalid(plugin + ": its sweep has more than 1000 combinations");
  }
  std::vector<Variant> variants;
  for (size_t i = 0; i < count; ++i) {
    Variant variant;
    variant.group = group;
    variant.plugin = plugin;
    variant.label = PluginLabel(plugin);
    size_t rest = i;
    for (const Sweep& sweep : sweeps) {
      const Json& choice = sweep.choices[rest % sweep.choices.size()];
      rest /= sweep.choices.size();
      json[sweep.at] = choice;
      variant.label += " " + sweep.field + "=" + choice.dump().substr(0, 60);
    }
    // Without a sweep the plugin gets the very text that was written.
    variant.config = sweeps.empty() ? config : json.dump();
    variants.push_back(std::move(variant));
  }
  return variants;
}

size_t GroupCount(const Report& report) {
  return report.variants.empty() ? 0 : report.variants.back().variant.group + 1;
}

size_t BestOfGroup(const Report& report, size_t group) {
  const Costs& costs = report.settings.costs;
  size_t best = report.variants.size();
  for (size_t i = 0; i < report.variants.size(); ++i) {
    if (report.variants[i].variant.group != group) continue;
    if (best == report.variants.size()) {
      best = i;
      continue;
    }
    const Score &a = report.variants[i].summary, &b = report.variants[best].summary;
    const double cost_a = a.Cost(costs), cost_b = b.Cost(costs);
    const bool better = cost_a != cost_b                   ? cost_a < cost_b
                        : a.alarms_false != b.alarms_false ? a.alarms_false < b.alarms_false
                                                           : a.LeadS(0.5) > b.LeadS(0.5);
    if (better) best = i;
  }
  return best;
}

std::vector<Rival> Compare(const Report& report) {
  std::vector<Rival> rivals;
  if (GroupCount(report) < 2) return rivals;
  const double wanted = report.variants[BestOfGroup(report, 0)].summary.Recall();
  for (size_t group = 1; group < GroupCount(report); ++group) {
    Rival rival;
    rival.group = group;
    rival.best = BestOfGroup(report, group);
    rival.at_recall = rival.best;
    bool first = true;
    for (size_t i = 0; i < report.variants.size(); ++i) {
      if (report.variants[i].variant.group != group) continue;
      const Score &a = report.variants[i].summary, &b = report.variants[rival.at_recall].summary;
      const bool reaches = a.Recall() >= wanted;
      bool better = false;
      if (reaches != rival.reaches || first) {
        better = reaches || first;
      } else if (reaches) {
        // NaN, when there was no alarm, loses every comparison.
        better = a.Precision() > b.Precision() || (a.Precision() == b.Precision() && a.LeadS(0.5) > b.LeadS(0.5));
      } else {
        better = a.Recall() > b.Recall();
      }
      first = false;
      if (!better) continue;
      rival.at_recall = i;
      rival.reaches = reaches;
    }
    rivals.push_back(rival);
  }
  return rivals;
}

}  // namespace understudy::backtest

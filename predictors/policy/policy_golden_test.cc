// What the policy decides, as conversations: tests/golden/policy_*.txt. UNDERSTUDY_UPDATE_GOLDEN=1 writes the files
// anew from what it decides now; read the difference before committing it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "predictors/policy/policy.h"
#include "predictors/policy/policy_json.h"

namespace understudy::policy {
namespace {

// The verbs: settings JSON; spares N; service NAME [POLICY JSON]; forecast NAME P[@HORIZON_S] ... [ttf=P10,P50,P90]
// [none] [shadow]; ready NAME FOLLOW MIRROR SWITCH (ms); spare NAME none|loading|mirroring; cooldown NAME UNTIL_MS; at
// MS; decide [NAME ...]: what is decided now, and why, of all or of those.
class Script {
 public:
  std::vector<std::string> Run(const std::string& line) {
    std::istringstream words(line);
    std::string verb, name;
    words >> verb;
    if (verb.empty() || verb[0] == '#') return {};
    if (verb == "settings") {
      const auto parsed = ParseFleetSettings(line.substr(9), fleet_.settings);
      if (!parsed.ok()) return {parsed.status().message()};
      fleet_.settings = *parsed;
      return {};
    }
    if (verb == "spares") return words >> fleet_.spares, std::vector<std::string>();
    if (verb == "at") {
      words >> fleet_.now_ms;
      fleet_.unix_ms = 1'700'000'000'000 + fleet_.now_ms;  // a Tuesday, 22:13:20 UTC
      return {};
    }
    if (verb == "decide") return Decided(words);
    words >> name;
    if (verb == "service") {
      index_[name] = fleet_.services.size();
      fleet_.services.emplace_back();
      fleet_.services.back().name = name;
      fleet_.services.back().ready = {2000, 3000, 3200, true};
      heard_.push_back(0);
      std::string json;
      std::getline(words, json);
      const auto policy = ParseServicePolicy(json.find('{') == std::string::npos ? "{}" : json);
      if (!policy.ok()) return {policy.status().message()};
      fleet_.services.back().policy = *policy;
      return {};
    }
    if (index_.count(name) == 0) return {"no service " + name};
    ServiceInput& service = fleet_.services[index_[name]];
    if (verb == "forecast") {
      service.forecasts.clear();
      heard_[index_[name]] = fleet_.now_ms;
      for (std::string word; words >> word;) {
        if (word.rfind("ttf=", 0) == 0) {
          for (ForecastView& forecast : service.forecasts) {
            forecast.has_ttf = std::sscanf(word.c_str(), "ttf=%lf,%lf,%lf", &forecast.ttf_p10_s, &forecast.ttf_p50_s,
                                           &forecast.ttf_p90_s) == 3;
          }
        } else if (word == "shadow") {
          for (ForecastView& forecast : service.forecasts) forecast.shadow = true, forecast.obeyed = false;
        } else {
          ForecastView forecast;
          forecast.predictor = "trend";
          forecast.known = word != "none";
          if (forecast.known) forecast.probability = std::stod(word);
          const size_t at = word.find('@');
          if (at != std::string::npos) forecast.horizon_ms = std::stoll(word.substr(at + 1)) * 1000;
          service.forecasts.push_back(forecast);
        }
      }
    } else if (verb == "ready") {
      words >> service.ready.follow_ms >> service.ready.mirror_ms >> service.ready.switch_ms;
    } else if (verb == "spare") {
      std::string what;
      words >> what;
      service.has_spare = what != "none";
      service.spare_mirrors = service.spare_fixed = what == "mirroring";
      if (service.spare_mirrors) service.ready = {0, 0, 200, true};
    } else if (verb == "cooldown") {
      words >> service.cooldown_until_ms;
    } else {
      return {"unknown verb " + verb};
    }
    return {};
  }

 private:
  std::vector<std::string> Decided(std::istringstream& words) {
    std::vector<std::string> only;
    for (std::string word; words >> word;) only.push_back(word);
    int holders = 0;
    for (size_t i = 0; i < fleet_.services.size(); ++i) {
      holders += fleet_.services[i].has_spare ? 1 : 0;
      fleet_.services[i].age_ms = fleet_.now_ms - heard_[i];
    }
    fleet_.spares_free = fleet_.spares - holders;
    const FleetDecision decision = Decide(fleet_);
    FleetView view{static_cast<int>(fleet_.services.size()), 0, fleet_.spares, fleet_.spares_free};
    std::vector<std::string> out;
    for (size_t i = 0; i < fleet_.services.size(); ++i) {
      fleet_.services[i].memory = decision.services[i].assessment.memory;
      view.at_risk += fleet_.services[i].memory.rung >= Rung::kReserve ? 1 : 0;
    }
    if (decision.braked) out.push_back("braked");
    for (size_t i = 0; i < fleet_.services.size(); ++i) {
      const ServiceInput& service = fleet_.services[i];
      if (!only.empty() && std::find(only.begin(), only.end(), service.name) == only.end()) continue;
      const ServiceDecision& one = decision.services[i];
      std::string text = service.name + " wants " + RungName(one.assessment.memory.rung);
      if (one.take_spare) text += ", takes a spare";
      if (one.preempts >= 0) text += ", takes the spare of " + fleet_.services[one.preempts].name;
      if (one.permit.switch_over) text += ", switches";
      for (const Hold hold : one.permit.holds) text += std::string(" [") + HoldName(hold) + "]";
      out.push_back(text);
      for (const auto& why : Explain(service, one.assessment, one.permit, view, fleet_.settings, fleet_.now_ms)) {
        out.push_back("  " + why);
      }
    }
    return out;
  }

  FleetInput fleet_;
  std::map<std::string, size_t> index_;
  std::vector<int64_t> heard_;
};

std::vector<std::string> Files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden")) {
    const std::string name = entry.path().filename();
    if (name.rfind("policy_", 0) == 0 && entry.path().extension() == ".txt") files.push_back(name);
  }
  std::sort(files.begin(), files.end());
  return files;
}

class PolicyGoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(PolicyGoldenTest, ThePolicyDecidesWhatTheFileSays) {
  const std::string path = "tests/golden/" + GetParam();
  std::ifstream in(path);
  std::stringstream expected;
  expected << in.rdbuf();
  Script script;
  std::string actual;
  for (std::string line; std::getline(expected, line);) {
    if (line.rfind("  > ", 0) == 0) continue;
    actual += line + "\n";
    for (const std::string& said : script.Run(line)) actual += "  > " + said + "\n";
  }
  if (std::getenv("UNDERSTUDY_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, expected.str());
}

INSTANTIATE_TEST_SUITE_P(Files, PolicyGoldenTest, testing::ValuesIn(Files()),
                         [](const auto& info) { return info.param.substr(0, info.param.size() - 4); });

TEST(PolicyGoldenFilesTest, ThereAreSome) { EXPECT_GE(Files().size(), 3u); }

}  // namespace
}  // namespace understudy::policy
